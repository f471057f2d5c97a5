"""A small ad platform that behaves: campaigns with costs, goals by name, test events, and faults of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import ClassVar

import httpx

from connectors.contract.conversions import Identifier, Money, Target, UploadRow
from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.provisioning import PlannedTarget, Provision, WantedTarget
from connectors.contract.results import Accepted, UploadResult
from connectors.contract.spend import CampaignSpend, SpendPage, SpendPending
from connectors.contract.tokens import TokenStore
from connectors.contract.versions import ApiVersion
from connectors.http.auth import Lock
from connectors.http.client import Hooks
from connectors.registry import Clock, OpenableDestination, Sleep

KIND = "fake"
LIMITS = DestinationLimits(
    rows=500,
    age_with_click=timedelta(days=90),
    age_without_click=timedelta(days=7),
    identifiers=frozenset({Identifier.GCLID, Identifier.EMAIL_SHA256}),
    click_identifiers=frozenset({Identifier.GCLID}),
    sufficient=(frozenset({Identifier.GCLID}), frozenset({Identifier.EMAIL_SHA256})),
    requests_per_minute=60,
    too_recent_click=timedelta(hours=6),
    dedup_window=FOREVER,
    restates=True,
    correction_after=timedelta(hours=24),
    correction_within=timedelta(days=55),
    target_settings=frozenset({"goal"}),
)


@dataclass
class FakeAccount:
    """What the platform knows, and how it answers. `asked`: the days of each question for spend, with its page."""

    currency: str = "EUR"
    zone: str | None = "Europe/Berlin"
    days: int = 30
    page_rows: int = 2
    pending: int = 0
    wait: timedelta = timedelta(seconds=5)
    spend: dict[tuple[str, date], tuple[str, int, int]] = field(default_factory=dict)
    asked: list[tuple[date, date, str | None]] = field(default_factory=list)
    fails: Callable[[date, date, str | None], None] = field(default=lambda *_: None)
    goals: dict[str, str] = field(default_factory=dict)
    frozen_goals: set[str] = field(default_factory=set)
    provision_fails: Exception | None = None
    versions: list[ApiVersion] = field(default_factory=lambda: [ApiVersion("Fake API", "v3", date(2027, 6, 1))])
    findings: list[Finding] = field(default_factory=lambda: [Finding("token", FindingStatus.OK, "works")])
    checks: int = 0
    test_events: list[tuple[str, Mapping[str, Target]]] = field(default_factory=list)

    def cost(self, campaign: str, day: date, micros: int, name: str = "Brand", clicks: int = 3) -> None:
        """A campaign's day; a second time replaces the first."""
        self.spend[campaign, day] = (name, micros, clicks)


class Uploads:
    """What every destination must do, and no ability."""

    kind: ClassVar[str] = KIND
    limits: ClassVar[DestinationLimits] = LIMITS
    _account: ClassVar[FakeAccount]

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """Takes all."""

    @classmethod
    def open(
        cls,
        settings: Mapping[str, str],
        http: httpx.AsyncClient,
        tokens: TokenStore,
        lock: Lock,
        clock: Clock,
        hooks: Hooks,
        sleep: Sleep,
    ) -> "Uploads":
        """Needs nothing."""
        del settings, http, tokens, lock, clock, hooks, sleep
        return cls()

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """What the account says."""
        del targets
        self._account.checks += 1
        return list(self._account.findings)

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Takes all."""
        del now
        return [Accepted() for _ in rows]

    def api_versions(self) -> Sequence[ApiVersion]:
        """As the account has them."""
        return list(self._account.versions)


def fake_platform(account: FakeAccount) -> type[OpenableDestination]:
    """A connector class of this account, for the registry."""

    class FakeDestination(Uploads):
        _account = account
        spend_days: ClassVar[int] = account.days

        async def spend(self, first: date, last: date, page: str | None = None) -> SpendPage | SpendPending:
            account.asked.append((first, last, page))
            account.fails(first, last, page)
            if account.pending > 0:
                account.pending -= 1
                return SpendPending("made:0", account.wait)
            start = int((page or "0").removeprefix("made:"))
            rows = [
                CampaignSpend(campaign, day, Money(micros, account.currency), name, clicks, clicks * 10)
                for (campaign, day), (name, micros, clicks) in sorted(account.spend.items())
                if first <= day <= last
            ]
            end = start + account.page_rows
            more = str(end) if end < len(rows) else None
            return SpendPage(rows[start:end], more, account.currency, account.zone)

        async def plan(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
            return [self._planned(one) for one in wanted]

        async def provision(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
            if account.provision_fails is not None:
                raise account.provision_fails
            done = []
            for one in wanted:
                planned = self._planned(one)
                if planned.action is Provision.CREATE:
                    name = _goal(one)
                    account.goals[name] = "new"
                    planned = PlannedTarget(one.milestone, Provision.CREATE, f"goal {name!r} made", Target.of({"goal": name}))
                done.append(planned)
            return done

        async def send_test_event(self, code: str, targets: Mapping[str, Target]) -> Sequence[Finding]:
            account.test_events.append((code, targets))
            return [Finding(f"test_event:{name}", FindingStatus.OK, f"sent under {code}") for name in targets]

        def _planned(self, one: WantedTarget) -> PlannedTarget:
            name = _goal(one)
            if name in account.frozen_goals:
                return PlannedTarget(one.milestone, Provision.BLOCKED, f"goal {name!r} is paused; enable it on the Goals page")
            if name in account.goals:
                return PlannedTarget(one.milestone, Provision.KEEP, f"goal {name!r} is there", Target.of({"goal": name}))
            return PlannedTarget(one.milestone, Provision.CREATE, f"goal {name!r} will be made")

    return FakeDestination


def _goal(one: WantedTarget) -> str:
    return (one.target.get("goal") if one.target is not None else None) or one.name


def bare_platform(account: FakeAccount) -> type[OpenableDestination]:
    """A connector class without any ability."""

    class BareDestination(Uploads):
        _account = account

    return BareDestination
