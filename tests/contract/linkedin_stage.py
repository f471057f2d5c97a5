"""LinkedIn, simulated, for the tests that every ad platform must pass."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

import httpx

from connectors.contract.conversions import Identifier, Target, UploadRow
from connectors.simulators.faults import FaultPlan, FaultyTransport, answer, server_error
from connectors.simulators.linkedin.app import create_linkedin
from connectors.simulators.linkedin.errors import ApiError
from connectors.simulators.linkedin.platform import LinkedInPlatform, Spent
from tests.contract.ad_stage import AD_BASE, AdAbility, AdFaults
from tests.contract.crm_stage import Clock

RULES = {"lead": "7712340", "qualified_lead": "7712341", "opportunity": "7712342", "closed_revenue": "7712343"}
THROTTLED = {"status": 429, "message": "Resource level throttle MINUTE limit for calls to this resource is reached."}


class LinkedInStage:
    """One ad account with a rule for each milestone."""

    kind = "linkedin"
    abilities = frozenset({AdAbility.OAUTH, AdAbility.NAMES_ROWS, AdAbility.PROVISIONS, AdAbility.SPEND})
    account_currency, account_zone = "EUR", "UTC"
    passing_codes: Sequence[str] = ()
    final_codes: Sequence[str] = (
        "/user/userIds/0/idValue",
        "/conversionValue/amount",
        "/conversionHappenedAt",
        "/eventId",
        "INVALID_CONVERSION_TIME_FIELD_VALUE",
        "INVALID_USER_IDENTIFICATION_FIELD_VALUE",
    )
    faults = AdFaults(
        expired_token=answer(
            401, {"status": 401, "serviceErrorCode": 65600, "code": "INVALID_ACCESS_TOKEN", "message": "Invalid access token"}
        ),
        throttled=answer(429, THROTTLED),
        throttled_with_wait=answer(429, THROTTLED, {"Retry-After": "120"}),
        refused=answer(403, {"status": 403, "code": "ACCESS_DENIED", "message": "Not enough permissions to access"}),
        batch_refused=answer(
            400, {"status": 400, "message": "Something in this batch is wrong", "code": "INVALID_SOMETHING_NEW"}
        ),
        unknown=answer(400, {"status": 400, "message": "Never seen before", "code": "FLUX_CAPACITOR_MISSING"}),
        more={
            "locked": answer(423, {"status": 423, "message": "Locked"}),
            "gateway": server_error(504),
        },
    )

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plan = FaultPlan()
        self.platform = LinkedInPlatform("512345678")
        for milestone, rule in RULES.items():
            self.platform.add_rule(rule, f"Rule of {milestone}")
        self._app = create_linkedin(self.platform, clock)

    def transport(self) -> httpx.AsyncBaseTransport:
        return FaultyTransport(httpx.ASGITransport(self._app), self.plan)

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        own = {"account_id": "512345678", "base_url": AD_BASE}
        grant = {"client_id": "app", "client_secret": "app-secret", "refresh_token": "refresh-1"}
        return {**own, **(grant if oauth else {"access_token": "direct"})}

    def expire_tokens(self) -> None:
        self.platform.expire_tokens()

    def revoke_grant(self) -> None:
        self.platform.is_revoked = True

    def refreshes(self) -> int:
        return self.platform.refreshes

    def target(self, milestone: str) -> Target:
        return Target.of({"conversion_rule": RULES[milestone]})

    def wrong_target(self) -> Target:
        return Target.of({"conversion_rule": "1"})

    def person(self, number: int) -> Mapping[Identifier, str]:
        found = {
            Identifier.EMAIL_SHA256: hashlib.sha256(f"p{number}@example.com".encode()).hexdigest(),
            Identifier.LI_FAT_ID: str(uuid.UUID(int=number + 1)),
            Identifier.LINKEDIN_LEAD_ID: f"lead-{number}",
        }
        lead = f"urn:li:leadGenFormResponse:{found[Identifier.LINKEDIN_LEAD_ID]}"
        self.platform.members |= {found[Identifier.EMAIL_SHA256], found[Identifier.LI_FAT_ID], lead}
        return found

    def clicked(self, number: int, at: datetime) -> None:
        """LinkedIn demands nothing of a click's age."""

    def refuse(self, row: UploadRow, code: str) -> None:
        if code.startswith("/"):
            self.platform.field_faults[row.conversion_id] = (code, "is not valid")
        else:
            self.platform.plain_faults[row.conversion_id] = ApiError(400, "An event is wrong", code)

    def relent(self) -> None:
        self.platform.field_faults.clear()
        self.platform.plain_faults.clear()

    def settle_verdicts(self) -> None:
        """LinkedIn has none."""

    def counted(self, row: UploadRow) -> int:
        return len(self.platform.ledger.copies(row.target.get("conversion_rule") or "", row.conversion_id))

    def value_of(self, row: UploadRow) -> Decimal | None:
        copies = self.platform.ledger.copies(row.target.get("conversion_rule") or "", row.conversion_id)
        amounts = [one.amount for one in copies if one.amount is not None]
        return sum(amounts, Decimal(0)) if amounts else None

    def total_counted(self) -> int:
        return len(self.platform.ledger.events)

    def requests(self) -> int:
        return self.platform.calls["events"]

    def bodies(self) -> Sequence[tuple[str, Mapping[str, object]]]:
        return self.platform.bodies

    def targets_there(self) -> int:
        return len(self.platform.rules)

    def add_spend(self, campaign_id: str, name: str, day: date, cost: Decimal, *, clicks: int = 0, impressions: int = 0) -> None:
        self.platform.campaigns[campaign_id] = name
        self.platform.spent[campaign_id, day] = Spent(cost, clicks, impressions)

    def rename_campaign(self, campaign_id: str, name: str) -> None:
        self.platform.campaigns[campaign_id] = name

    def drop_spend(self, campaign_id: str, day: date) -> None:
        self.platform.spent.pop((campaign_id, day), None)
