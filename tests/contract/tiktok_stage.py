"""TikTok, simulated, for the tests that every ad platform must pass."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

import httpx

from connectors.contract.conversions import Identifier, Target, UploadRow
from connectors.simulators.faults import FaultPlan, FaultyTransport, answer, server_error
from connectors.simulators.tiktok.app import create_tiktok
from connectors.simulators.tiktok.ledger import Counted
from connectors.simulators.tiktok.platform import Spent, TikTokPlatform
from tests.contract.ad_stage import AD_BASE, AdAbility, AdFaults
from tests.contract.crm_stage import Clock

CRM_SET, OFFLINE_SET = "7398001122334455667", "7398001122334455000"


def _said(code: int, message: str = "said") -> dict[str, object]:
    return {"code": code, "message": message, "request_id": "1", "data": {}}


class TikTokStage:
    """One ad account with a CRM and an offline event set."""

    kind = "tiktok"
    abilities = frozenset({AdAbility.NAMES_ROWS, AdAbility.DEDUPS, AdAbility.SPEND, AdAbility.TEST_EVENTS})
    account_currency, account_zone = "USD", "America/New_York"
    passing_codes: Sequence[str] = ("40202", "40902", "40903", "40913", "50000", "50002", "50999", "40016", "40100", "40133")
    final_codes: Sequence[str] = ("40002", "40000", "40700")
    faults = AdFaults(
        expired_token=answer(200, _said(40105, "Access token is incorrect or has been revoked.")),
        throttled=answer(200, _said(40100, "Too many requests.")),
        throttled_with_wait=answer(429, _said(40100, "Too many requests."), {"Retry-After": "120"}),
        refused=answer(200, _said(40301, "No permission.")),
        batch_refused=answer(200, _said(40002, "Something is not valid.")),
        unknown=answer(200, _said(49999, "Never seen before.")),
        more={
            "temporary": answer(200, _said(40902)),
            "internal": answer(200, _said(50000)),
            "minute": answer(200, _said(40016)),
            "html": server_error(502),
        },
    )

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plan = FaultPlan()
        self.platform = TikTokPlatform(
            "7000111122223333", {CRM_SET: "CRM"}, {OFFLINE_SET: "Offline"}, tokens={"token-of-tests-20261126"}
        )
        self._app = create_tiktok(self.platform, clock)

    def transport(self) -> httpx.AsyncBaseTransport:
        return FaultyTransport(httpx.ASGITransport(self._app), self.plan)

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        return {
            "advertiser_id": "7000111122223333",
            "access_token": "token-of-tests-20261126",
            "crm_event_set_id": CRM_SET,
            "offline_event_set_id": OFFLINE_SET,
            "base_url": AD_BASE,
        }

    def expire_tokens(self) -> None:
        self.platform.expired |= self.platform.tokens

    def revoke_grant(self) -> None:
        self.platform.tokens.clear()

    def refreshes(self) -> int:
        return 0

    def target(self, milestone: str) -> Target:
        return Target.of({"event_name": milestone.title().replace("_", "")})

    def wrong_target(self) -> Target:
        return Target.of({"event_name": " "})

    def person(self, number: int) -> Mapping[Identifier, str]:
        def digest(text: str) -> str:
            return hashlib.sha256(text.encode()).hexdigest()

        return {
            Identifier.EMAIL_SHA256: digest(f"p{number}@example.com"),
            Identifier.PHONE_SHA256: digest(f"+1650555{number:04d}"),
            Identifier.EXTERNAL_ID_SHA256: digest(f"crm-{number}"),
            Identifier.TTCLID: f"E.C.P.click{number:06d}",
            Identifier.TIKTOK_LEAD_ID: f"7400112233445{number:06d}",
        }

    def clicked(self, number: int, at: datetime) -> None:
        """TikTok demands nothing of a click's age."""

    def refuse(self, row: UploadRow, code: str) -> None:
        self.platform.refuses[row.conversion_id] = (int(code), "properties.value" if code in self.final_codes else "")

    def relent(self) -> None:
        self.platform.refuses.clear()

    def settle_verdicts(self) -> None:
        """TikTok has none."""

    def counted(self, row: UploadRow) -> int:
        return len(self._copies(row))

    def value_of(self, row: UploadRow) -> Decimal | None:
        values = [one.value for one in self._copies(row) if one.value is not None]
        return sum(values, Decimal(0)) if values else None

    def total_counted(self) -> int:
        return self.platform.ledger.total

    def requests(self) -> int:
        return self.platform.calls["track"]

    def bodies(self) -> Sequence[tuple[str, Mapping[str, object]]]:
        return self.platform.bodies

    def targets_there(self) -> int:
        return 0

    def add_spend(self, campaign_id: str, name: str, day: date, cost: Decimal, *, clicks: int = 0, impressions: int = 0) -> None:
        self.platform.campaigns[campaign_id] = name
        self.platform.spent[campaign_id, day] = Spent(cost, clicks, impressions)

    def rename_campaign(self, campaign_id: str, name: str) -> None:
        self.platform.campaigns[campaign_id] = name

    def drop_spend(self, campaign_id: str, day: date) -> None:
        self.platform.spent.pop((campaign_id, day), None)

    def _copies(self, row: UploadRow) -> list[Counted]:
        event = row.target.get("event_name") or ""
        keys = [(one, event, row.conversion_id) for one in (CRM_SET, OFFLINE_SET)]
        return [copy for key in keys for copy in self.platform.ledger.counted.get(key, [])]
