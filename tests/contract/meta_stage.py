"""Meta, simulated, for the tests that every ad platform must pass."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

import httpx

from connectors.contract.conversions import Identifier, Target, UploadRow
from connectors.simulators.faults import FaultPlan, FaultyTransport, answer, server_error
from connectors.simulators.meta import Dataset, MetaPlatform, Token, create_meta
from connectors.simulators.meta.ad_account import AdAccount, Spent
from connectors.simulators.meta.errors import GraphError
from connectors.simulators.meta.ledger import LedgerEntry
from tests.contract.ad_stage import AD_BASE, AdAbility, AdFaults
from tests.contract.crm_stage import Clock

WAITS = '{"1":[{"estimated_time_to_regain_access":2}]}'
DATASET, AD_ACCOUNT = "1234567890", "998877665544"


def _error(code: int, subcode: int | None = None) -> dict[str, object]:
    return GraphError("Refused", code, subcode).as_json("A1")  # type: ignore[return-value]  # a JSON object


class MetaStage:
    """One dataset that takes offline events and has a CRM connected, and one ad account."""

    kind = "meta"
    abilities = frozenset({AdAbility.DEDUPS, AdAbility.SPEND, AdAbility.TEST_EVENTS})
    account_currency, account_zone = "USD", "America/Los_Angeles"
    passing_codes: Sequence[str] = ("2", "5000", "21009", "4", "17", "32", "613", "80000", "80004", "80014")
    final_codes: Sequence[str] = (
        "100/2804048",
        "100/2804001",
        "100/2804003",
        "100/2804007",
        "100/2804009",
        "100/2804016",
        "100/2804017",
        "100/2804019",
        "100/2804050",
        "100/2804043",
    )
    faults = AdFaults(
        expired_token=answer(401, _error(190, 463)),
        throttled=answer(400, _error(80004)),
        throttled_with_wait=answer(
            400, _error(17), {"X-Business-Use-Case-Usage": '{"1":[{"estimated_time_to_regain_access":2}]}'}
        ),
        refused=answer(403, _error(200)),
        batch_refused=answer(400, _error(100)),
        unknown=answer(400, _error(424242)),
        more={"temporary": answer(500, _error(2)), "html": server_error(502), "blocked": answer(400, _error(368))},
    )

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plan = FaultPlan()
        self.platform = MetaPlatform([Dataset(DATASET, is_crm=True, is_consolidated_container=True)])
        self.platform.add_token(Token("token-of-tests-20261126", frozenset({DATASET})))
        self.platform.ad_account = AdAccount(AD_ACCOUNT)
        self._app = create_meta(self.platform, clock)

    def transport(self) -> httpx.AsyncBaseTransport:
        return FaultyTransport(httpx.ASGITransport(self._app), self.plan)

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        return {
            "dataset_id": DATASET,
            "access_token": "token-of-tests-20261126",
            "ad_account_id": AD_ACCOUNT,
            "base_url": AD_BASE,
        }

    def expire_tokens(self) -> None:
        self.platform.tokens.clear()

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
            Identifier.PHONE_DIGITS_SHA256: digest(f"1650555{number:04d}"),
            Identifier.FIRST_NAME_META_SHA256: digest(f"first{number}"),
            Identifier.LAST_NAME_META_SHA256: digest(f"last{number}"),
            Identifier.CITY_META_SHA256: digest(f"city{number}"),
            Identifier.STATE_META_SHA256: digest("ca"),
            Identifier.POSTAL_CODE_META_SHA256: digest(f"{10000 + number}"),
            Identifier.COUNTRY_META_SHA256: digest("us"),
            Identifier.EXTERNAL_ID_SHA256: digest(f"crm-{number}"),
            Identifier.FBC: f"fb.1.1795345820402.IwAR2F4abc{number}",
            Identifier.FBP: f"fb.1.1795345820402.10981153{number:04d}",
            Identifier.META_LEAD_ID: f"51288733411{number:06d}",
        }

    def clicked(self, number: int, at: datetime) -> None:
        self.platform.leads[f"51288733411{number:06d}"] = at

    def refuse(self, row: UploadRow, code: str) -> None:
        number, _, subcode = code.partition("/")
        self.platform.refuses[row.conversion_id] = GraphError("Refused", int(number), int(subcode) if subcode else None)

    def relent(self) -> None:
        self.platform.refuses.clear()

    def settle_verdicts(self) -> None:
        """Meta has none."""

    def counted(self, row: UploadRow) -> int:
        return sum(one.times_counted for one in self._entries(row))

    def value_of(self, row: UploadRow) -> Decimal | None:
        entries = self._entries(row)
        return Decimal(str(sum(one.worth for one in entries))) if entries and row.money is not None else None

    def total_counted(self) -> int:
        return sum(one.times_counted for one in self.platform.ledger.entries.values())

    def requests(self) -> int:
        return self.platform.calls["events"]

    def bodies(self) -> Sequence[tuple[str, Mapping[str, object]]]:
        return self.platform.bodies

    def targets_there(self) -> int:
        return 0

    def add_spend(self, campaign_id: str, name: str, day: date, cost: Decimal, *, clicks: int = 0, impressions: int = 0) -> None:
        self.platform.ad_account.campaigns[campaign_id] = name
        self.platform.ad_account.days[campaign_id, day] = Spent(cost, clicks, impressions)

    def rename_campaign(self, campaign_id: str, name: str) -> None:
        self.platform.ad_account.campaigns[campaign_id] = name

    def drop_spend(self, campaign_id: str, day: date) -> None:
        self.platform.ad_account.days.pop((campaign_id, day), None)

    def _entries(self, row: UploadRow) -> list[LedgerEntry]:
        named = (row.target.get("event_name"), row.conversion_id)
        return [one for key, one in self.platform.ledger.entries.items() if (key.event_name, key.event_id) == named]
