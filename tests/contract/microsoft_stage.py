"""Microsoft Advertising, simulated, for the tests that every ad platform must pass."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx

from connectors.contract.conversions import Identifier, Target, UploadRow
from connectors.simulators.faults import FaultPlan, FaultyTransport, answer, server_error
from connectors.simulators.microsoft.app import create_microsoft
from connectors.simulators.microsoft.faults import ApiFault
from connectors.simulators.microsoft.ledger import Counted
from connectors.simulators.microsoft.platform import MicrosoftPlatform, Spent
from tests.contract.ad_stage import AD_BASE, AdAbility, AdFaults
from tests.contract.crm_stage import Clock


def _whole(code: int, status: int = 400, *, is_ad_api: bool = False) -> dict[str, object]:
    return ApiFault(code, status, is_ad_api=is_ad_api).body()


class MicrosoftStage:
    """One ad account with a goal for each milestone, made long ago."""

    kind = "microsoft"
    abilities = frozenset(
        {
            AdAbility.OAUTH,
            AdAbility.BY_CONTENT,
            AdAbility.NAMES_ROWS,
            AdAbility.PARTIAL,
            AdAbility.DEDUPS,
            AdAbility.RESTATES,
            AdAbility.RETRACTS,
            AdAbility.PROVISIONS,
            AdAbility.SPEND,
        }
    )
    account_currency, account_zone = "EUR", "Europe/Berlin"
    passing_codes: Sequence[str] = ("5612", "5615", "5622", "5799", "5800", "5801", "5802", "5803", "5804", "5805")
    final_codes: Sequence[str] = ("5604", "5602", "5603", "5607", "5608", "5609", "5610", "5611", "5616", "5617")
    faults = AdFaults(
        expired_token=answer(401, _whole(109, 401, is_ad_api=True)),
        throttled=answer(400, _whole(117)),
        throttled_with_wait=answer(429, _whole(117), {"Retry-After": "120"}),
        refused=answer(403, _whole(106, 403, is_ad_api=True)),
        batch_refused=answer(400, _whole(5601)),
        unknown=answer(400, _whole(99_999)),
        more={"internal": answer(500, _whole(0, 500)), "html": server_error(502), "bulk": answer(400, _whole(117))},
    )

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plan = FaultPlan()
        self.platform = MicrosoftPlatform("180001234", "17000999", "BBD37VB98X20261126")
        for milestone in ("lead", "qualified_lead", "opportunity", "closed_revenue"):
            self.platform.add_goal(self._goal(milestone), datetime(2026, 1, 1, tzinfo=UTC))
        self._app = create_microsoft(self.platform, clock)

    def transport(self) -> httpx.AsyncBaseTransport:
        return FaultyTransport(httpx.ASGITransport(self._app), self.plan)

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        own = {
            "account_id": "180001234",
            "customer_id": "17000999",
            "developer_token": "BBD37VB98X20261126",
            "base_url": AD_BASE,
        }
        return {**own, **({"client_id": "app", "refresh_token": "refresh-0"} if oauth else {"access_token": "static"})}

    def expire_tokens(self) -> None:
        self.platform.tokens = dict.fromkeys(self.platform.tokens, self.clock())
        self.platform.static_token = ""

    def revoke_grant(self) -> None:
        self.platform.is_revoked = True

    def refreshes(self) -> int:
        return self.platform.refreshes

    def target(self, milestone: str) -> Target:
        return Target.of({"goal": self._goal(milestone)})

    def wrong_target(self) -> Target:
        return Target.of({"goal": "No Such Goal"})

    def person(self, number: int) -> Mapping[Identifier, str]:
        def digest(text: str) -> str:
            return hashlib.sha256(text.encode()).hexdigest()

        return {
            Identifier.MSCLKID: f"{number:032x}",
            Identifier.EMAIL_MICROSOFT_SHA256: digest(f"p{number}@example.com"),
            Identifier.PHONE_SHA256: digest(f"+1650555{number:04d}"),
        }

    def clicked(self, number: int, at: datetime) -> None:
        self.platform.clicks[f"{number:032x}"] = at

    def refuse(self, row: UploadRow, code: str) -> None:
        for value in row.identifiers.values():
            self.platform.refuses[value] = int(code)

    def relent(self) -> None:
        self.platform.refuses.clear()

    def settle_verdicts(self) -> None:
        """Microsoft has none."""

    def counted(self, row: UploadRow) -> int:
        return len(self._copies(row))

    def value_of(self, row: UploadRow) -> Decimal | None:
        values = [one.value for one in self._copies(row) if one.value is not None]
        return sum(values, Decimal(0)) if values else None

    def total_counted(self) -> int:
        return self.platform.ledger.total

    def requests(self) -> int:
        return self.platform.calls["apply"] + self.platform.calls["adjust"]

    def bodies(self) -> Sequence[tuple[str, Mapping[str, object]]]:
        return self.platform.bodies

    def targets_there(self) -> int:
        return len(self.platform.goals)

    def add_spend(self, campaign_id: str, name: str, day: date, cost: Decimal, *, clicks: int = 0, impressions: int = 0) -> None:
        self.platform.campaigns[campaign_id] = name
        self.platform.spent[campaign_id, day] = Spent(cost, clicks, impressions)

    def rename_campaign(self, campaign_id: str, name: str) -> None:
        self.platform.campaigns[campaign_id] = name

    def drop_spend(self, campaign_id: str, day: date) -> None:
        self.platform.spent.pop((campaign_id, day), None)

    def _copies(self, row: UploadRow) -> list[Counted]:
        """What is counted for the row's goal and second, by its click id or its hashes."""
        goal, second = row.target.get("goal") or "", row.occurred_at.replace(microsecond=0)
        known = {value.replace("-", "").lower() for value in row.identifiers.values()}
        return [
            one
            for (name, who, at), one in self.platform.ledger.conversions.items()
            if (name, at) == (goal, second) and set(who.split("|")) & known and not one.is_retracted
        ]

    @staticmethod
    def _goal(milestone: str) -> str:
        return milestone.replace("_", " ").title()
