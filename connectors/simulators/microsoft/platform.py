"""The simulated ad account: tokens, goals, campaigns, what was spent, what conversions were taken."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.simulators.microsoft import rows
from connectors.simulators.microsoft.faults import ApiFault, partial
from connectors.simulators.microsoft.ledger import Ledger

MOST_ROWS = 1000
TOKEN_LIFE = timedelta(hours=1)


@dataclass(slots=True)
class Goal:
    """An offline conversion goal."""

    id: str
    name: str
    created_at: datetime
    window: timedelta = timedelta(days=90)
    status: str = "Active"
    takes_hashes: bool = True
    takes_adjustments: bool = True
    fields: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            **self.fields,
            "Type": "OfflineConversion",
            "Id": self.id,
            "Name": self.name,
            "Status": self.status,
            "ConversionWindowInMinutes": int(self.window.total_seconds() // 60),
            "IsEnhancedConversionsEnabled": self.takes_hashes,
        }


@dataclass(slots=True)
class Spent:
    """One campaign on one day."""

    cost: Decimal
    clicks: int
    impressions: int


@dataclass(slots=True)
class MicrosoftPlatform:
    """`static_token` is a token of tests that does not run out. `clicks`: when each click id of the account was clicked.

    `refuses`: by (goal, second) or by an identifier, the code with which a row is refused.
    """

    account_id: str
    customer_id: str
    developer_token: str
    name: str = "Example GmbH"
    currency: str = "EUR"
    time_zone: str = "AmsterdamBerlinBernRomeStockholmVienna"
    static_token: str = "static"
    client_id: str = "app"
    refresh_token: str = "refresh-0"
    goals: dict[str, Goal] = field(default_factory=dict)
    clicks: dict[str, datetime] = field(default_factory=dict)
    refuses: dict[str, int] = field(default_factory=dict)
    campaigns: dict[str, str] = field(default_factory=dict)
    spent: dict[tuple[str, date], Spent] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    tokens: dict[str, datetime] = field(default_factory=dict)
    is_revoked: bool = False
    refreshes: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def grant(self, form: Mapping[str, str], now: datetime) -> dict[str, Any] | None:
        """A new pair of tokens, the old refresh token dies; None for invalid_grant."""
        if form.get("client_id") != self.client_id or form.get("refresh_token") != self.refresh_token or self.is_revoked:
            return None
        self.refreshes += 1
        self.refresh_token = f"refresh-{self.refreshes}"
        token = f"access-{self.refreshes}"
        self.tokens[token] = now + TOKEN_LIFE
        seconds = int(TOKEN_LIFE.total_seconds())
        return {"access_token": token, "refresh_token": self.refresh_token, "expires_in": seconds, "token_type": "Bearer"}

    def admit(self, headers: Mapping[str, str], now: datetime) -> None:
        """ApiFault where token, developer token, customer or account are not right."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        is_static = bool(token) and token == self.static_token
        if kind != "Bearer" or self.is_revoked or (not is_static and token not in self.tokens):
            raise ApiFault(105, 401, is_ad_api=True)
        if not is_static and self.tokens[token] <= now:
            raise ApiFault(109, 401, is_ad_api=True)
        if headers.get("developertoken") != self.developer_token:
            raise ApiFault(105, 401, is_ad_api=True)
        if (headers.get("customerid"), headers.get("customeraccountid")) != (self.customer_id, self.account_id):
            raise ApiFault(106, 403, is_ad_api=True)

    def add_goal(self, name: str, created_at: datetime, **changes: Any) -> Goal:
        """A goal of the account."""
        goal = Goal(str(46001000 + len(self.goals)), name, created_at, **changes)
        self.goals[name] = goal
        return goal

    def apply(self, items: Any, now: datetime, *, adjusts: bool) -> list[dict[str, Any]]:
        """Take what is right; the errors of the others, by index."""
        if not isinstance(items, list) or not items:
            raise ApiFault(5600)
        if len(items) > MOST_ROWS:
            raise ApiFault(5601)
        errors = []
        for index, row in enumerate(items):
            code = rows.judge(self, row, now, adjusts=adjusts)
            if code is not None:
                errors.append(partial(index, code))
            elif adjusts:
                value = rows.value_of(row, "AdjustmentValue")
                at = datetime.fromisoformat(row["AdjustmentTime"][:19])
                self.ledger.adjust(rows.key_of(row), at, value, row.get("AdjustmentCurrencyCode"))
            else:
                value = rows.value_of(row, "ConversionValue")
                self.ledger.take(rows.key_of(row), value, row.get("ConversionCurrencyCode"))
        return errors

    def refusal_of(self, row: Mapping[str, Any]) -> int | None:
        """The code that a test wants for this row."""
        given = (row.get("MicrosoftClickId"), row.get("HashedEmailAddress"), row.get("HashedPhoneNumber"))
        return next((self.refuses[one] for one in given if one in self.refuses), None)
