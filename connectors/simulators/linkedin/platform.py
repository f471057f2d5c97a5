"""The simulated ad account: tokens, rules, campaigns, what was spent, what events were taken."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.simulators.linkedin.errors import ApiError
from connectors.simulators.linkedin.ledger import Ledger

TOKEN_LIFE = timedelta(days=60)
# In November 2026.
LIVING_VERSIONS = frozenset([f"2026{month:02d}" for month in range(1, 10)])


@dataclass(slots=True)
class Spent:
    """One campaign on one day."""

    cost: Decimal
    clicks: int
    impressions: int


@dataclass(slots=True)
class LinkedInPlatform:
    """`static_token` never runs out and may not read reports where `static_token_reads` is off.

    `members` are identifiers that belong to somebody; `field_faults` refuse an event (by its id) with a path and words;
    `plain_faults` with an error that names no event.
    """

    account_id: str
    name: str = "Example GmbH"
    currency: str = "EUR"
    static_token: str = "direct"
    static_token_reads: bool = True
    client_id: str = "app"
    client_secret: str = "app-secret"
    refresh_token: str = "refresh-1"
    versions: frozenset[str] = LIVING_VERSIONS
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    campaigns: dict[str, str] = field(default_factory=dict)
    spent: dict[tuple[str, date], Spent] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    field_faults: dict[str, tuple[str, str]] = field(default_factory=dict)
    plain_faults: dict[str, ApiError] = field(default_factory=dict)
    tokens: dict[str, datetime] = field(default_factory=dict)
    is_revoked: bool = False
    refreshes: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def urn(self) -> str:
        """The account's URN."""
        return f"urn:li:sponsoredAccount:{self.account_id}"

    def grant(self, form: dict[str, str], now: datetime) -> dict[str, Any]:
        """The token endpoint."""
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            raise ApiError(401, "Client authentication failed", "invalid_client")
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != self.refresh_token or self.is_revoked:
            raise ApiError(400, "The provided authorization grant or refresh token is invalid", "invalid_grant")
        self.refreshes += 1
        token = f"access-{self.refreshes}"
        self.tokens[token] = now + TOKEN_LIFE
        return {"access_token": token, "expires_in": int(TOKEN_LIFE.total_seconds()), "refresh_token": self.refresh_token}

    def admit(self, bearer: str, now: datetime) -> None:
        """ApiError where the token is none, old, or taken back."""
        if not bearer:
            raise ApiError(401, "Empty oauth2 access token", "EMPTY_ACCESS_TOKEN", 65604)
        is_static = bearer == self.static_token and bool(bearer)
        if self.is_revoked:
            raise ApiError(401, "The token used in the request has been revoked", "REVOKED_ACCESS_TOKEN", 65601)
        if not is_static and self.tokens.get(bearer, now) <= now:
            raise ApiError(401, "Invalid access token", "INVALID_ACCESS_TOKEN", 65600)

    def expire_tokens(self) -> None:
        """Every token runs out now, the one that never does too."""
        self.tokens.clear()
        self.static_token = ""

    def add_rule(
        self, rule: str, name: str, *, method: str = "CONVERSIONS_API", kind: str = "LEAD", enabled: bool = True
    ) -> None:
        """A conversion rule of the account."""
        self.rules[rule] = {
            "id": int(rule),
            "name": name,
            "account": self.urn,
            "conversionMethod": method,
            "type": kind,
            "enabled": enabled,
            "postClickAttributionWindowSize": 30,
            "associatedCampaigns": [],
        }

    def refused_fields(self, event: Any) -> list[tuple[str, str]]:
        """What a test wants said of this event."""
        fault = self.field_faults.get(str(event.get("eventId", "")) if isinstance(event, dict) else "")
        return [fault] if fault else []
