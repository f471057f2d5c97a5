"""Google Ads, simulated, for the tests that every ad platform must pass."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import httpx

from connectors.contract.conversions import Identifier, Target, UploadRow
from connectors.simulators.faults import FaultPlan, FaultyTransport, answer, server_error
from connectors.simulators.google import (
    ADS_SCOPE,
    DATA_MANAGER_SCOPE,
    Account,
    Behaviour,
    Click,
    ClickKind,
    ConversionAction,
    GooglePlatform,
    Key,
    Person,
    RefreshGrant,
    create_google,
)
from connectors.simulators.google.spending import Spent
from tests.contract.ad_stage import AD_BASE, AdAbility, AdFaults
from tests.contract.crm_stage import Clock

ACCOUNT = "4812093377"
ACTIONS = {"lead": "7302219940", "qualified_lead": "7302219941", "opportunity": "7302219942", "closed_revenue": "7302219943"}
SCOPES = (DATA_MANAGER_SCOPE, ADS_SCOPE)


def _error(status: int, canonical: str, reason: str) -> dict[str, object]:
    details = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": {}}
    ]
    return {"error": {"code": status, "status": canonical, "message": "Refused.", "details": details}}


class GoogleStage:
    """One account with a conversion action for each milestone, made long ago."""

    kind = "google"
    abilities = frozenset(
        {
            AdAbility.OAUTH,
            AdAbility.VERDICTS,
            AdAbility.NAMES_ROWS,
            AdAbility.DEDUPS,
            AdAbility.RESTATES,
            AdAbility.RETRACTS,
            AdAbility.PROVISIONS,
            AdAbility.SPEND,
        }
    )
    account_currency, account_zone = "EUR", "Europe/Madrid"
    passing_codes: Sequence[str] = (
        "INTERNAL_ERROR",
        "DEADLINE_EXCEEDED",
        "CONVERSION_ACTION_TOO_RECENTLY_CREATED",
        *(f"NEW_REASON_{number}" for number in range(7)),
    )
    final_codes: Sequence[str] = (
        "INVALID_FORMAT",
        "INVALID_EVENT",
        "INVALID_CURRENCY_CODE",
        "EVENT_TIME_INVALID",
        "INVALID_AD_IDENTIFIER_FOR_ACCOUNT",
        "INVALID_SHA256_FORMAT",
        "INVALID_POSTAL_CODE",
        "INVALID_REGION_CODE",
        "FIELD_VALUE_TOO_LONG",
        "NO_IDENTIFIERS_PROVIDED",
    )
    faults = AdFaults(
        expired_token=answer(401, _error(401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED")),
        throttled=answer(429, _error(429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED")),
        throttled_with_wait=answer(429, _error(429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"), {"Retry-After": "120"}),
        refused=answer(403, _error(403, "PERMISSION_DENIED", "PERMISSION_DENIED")),
        batch_refused=answer(400, _error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")),
        unknown=answer(400, _error(400, "INVALID_ARGUMENT", "FLUX_CAPACITOR_MISSING")),
        more={
            "internal": answer(500, _error(500, "INTERNAL", "INTERNAL_ERROR")),
            "unavailable": answer(503, _error(503, "UNAVAILABLE", "INTERNAL_ERROR")),
            "html": server_error(504),
        },
    )

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plan = FaultPlan()
        made = datetime(2026, 1, 1, tzinfo=UTC)
        actions = {one: ConversionAction(one, made, name=f"Action of {name}") for name, one in ACTIONS.items()}
        account = Account(ACCOUNT, actions, currency="EUR", time_zone="Europe/Madrid")
        self.platform = GooglePlatform([account], behaviour=Behaviour(longest_delay=timedelta(minutes=31)))
        self._token = self.platform.add_token("token-of-tests-20261126", [ACCOUNT], clock() + timedelta(days=9000), SCOPES)
        grant = RefreshGrant("refresh", "client", "secret", frozenset({ACCOUNT}), frozenset(SCOPES))
        self.platform.add_grant(grant)
        self._grant = grant
        self._app = create_google(self.platform, clock)

    def transport(self) -> httpx.AsyncBaseTransport:
        return FaultyTransport(httpx.ASGITransport(self._app), self.plan)

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        own = {"account_id": ACCOUNT, "base_url": AD_BASE, "token_url": f"{AD_BASE}/token"}
        grant = {"client_id": "client", "client_secret": "secret", "refresh_token": "refresh"}
        return {**own, **(grant if oauth else {"access_token": self._token.value})}

    def expire_tokens(self) -> None:
        self.platform.desk.tokens.clear()

    def revoke_grant(self) -> None:
        self._grant.is_revoked = True
        self.platform.desk.tokens.clear()

    def refreshes(self) -> int:
        return self.platform.calls["token"]

    def target(self, milestone: str) -> Target:
        return Target.of({"conversion_action": ACTIONS[milestone]})

    def wrong_target(self) -> Target:
        return Target.of({"conversion_action": "7302999999"})

    def person(self, number: int) -> Mapping[Identifier, str]:
        def digest(text: str) -> str:
            return hashlib.sha256(text.encode()).hexdigest()

        found = {
            Identifier.GCLID: f"Cj0KCQ_click{number:06d}",
            Identifier.GBRAID: f"gb_click{number:06d}",
            Identifier.WBRAID: f"wb_click{number:06d}",
            Identifier.EMAIL_GOOGLE_SHA256: digest(f"p{number}@example.com"),
            Identifier.PHONE_SHA256: digest(f"+1650555{number:04d}"),
            Identifier.FIRST_NAME_GOOGLE_SHA256: digest(f"first{number}"),
            Identifier.LAST_NAME_GOOGLE_SHA256: digest(f"last{number}"),
            Identifier.POSTAL_CODE: f"{10000 + number}",
            Identifier.COUNTRY: "DE",
        }
        if (ClickKind.GCLID, found[Identifier.GCLID]) not in self.platform.world.clicks:
            self.clicked(number, self.clock() - timedelta(days=10))
        return found

    def clicked(self, number: int, at: datetime) -> None:
        ids = {ClickKind.GCLID: "Cj0KCQ_", ClickKind.GBRAID: "gb_", ClickKind.WBRAID: "wb_"}
        self.platform.add_clicks(*(Click(f"{prefix}click{number:06d}", ACCOUNT, at, kind) for kind, prefix in ids.items()))
        for text in (f"p{number}@example.com", f"+1650555{number:04d}"):
            digest = hashlib.sha256(text.encode()).hexdigest()
            self.platform.world.people[digest] = [Person(frozenset({digest}), ACCOUNT, at)]

    def refuse(self, row: UploadRow, code: str) -> None:
        self.platform.refuses[row.conversion_id] = code

    def relent(self) -> None:
        self.platform.refuses.clear()

    def settle_verdicts(self) -> None:
        self.clock.go_on(timedelta(hours=1))

    def counted(self, row: UploadRow) -> int:
        """What arrived counts here, matched or not: an address alone matches nobody in this simulation."""
        entry = self.platform.ledger.entries.get(self._key(row))
        return 0 if entry is None or entry.is_retracted else max(1, entry.times_counted)

    def value_of(self, row: UploadRow) -> Decimal | None:
        entry = self.platform.ledger.entries.get(self._key(row))
        return None if entry is None or row.money is None else Decimal(str(entry.value))

    def total_counted(self) -> int:
        return sum(max(1, one.times_counted) for one in self.platform.ledger.entries.values() if not one.is_retracted)

    def requests(self) -> int:
        return len(self.platform.bodies)

    def bodies(self) -> Sequence[tuple[str, Mapping[str, object]]]:
        return self.platform.bodies

    def targets_there(self) -> int:
        return len(self.platform.world.accounts[ACCOUNT].actions)

    def add_spend(self, campaign_id: str, name: str, day: date, cost: Decimal, *, clicks: int = 0, impressions: int = 0) -> None:
        self.platform.spending.campaigns[campaign_id] = name
        self.platform.spending.days[ACCOUNT, campaign_id, day] = Spent(cost, clicks, impressions)

    def rename_campaign(self, campaign_id: str, name: str) -> None:
        self.platform.spending.campaigns[campaign_id] = name

    def drop_spend(self, campaign_id: str, day: date) -> None:
        self.platform.spending.days.pop((ACCOUNT, campaign_id, day), None)

    def _key(self, row: UploadRow) -> Key:
        return Key(row.target.get("conversion_action") or "", row.conversion_id)
