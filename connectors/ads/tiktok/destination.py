"""One TikTok ad account: uploads through the Events API 2.0. TikTok says nothing later of a single event and corrects none."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import ClassVar

import httpx

from connectors.ads.tiktok import spend
from connectors.ads.tiktok.api import Api
from connectors.ads.tiktok.check import WAIT_MEND, check_account, test_row
from connectors.ads.tiktok.payload import LIMITS, build
from connectors.ads.tiktok.refusals import failure_of, read_answer, results_of
from connectors.ads.tiktok.settings import API, TikTokSettings
from connectors.contract.conversions import Target, UploadRow
from connectors.contract.destination import DestinationLimits
from connectors.contract.errors import ConnectorError
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.results import Accepted, UploadResult
from connectors.contract.spend import SpendPage, SpendPending
from connectors.contract.tokens import TokenStore
from connectors.contract.versions import ApiVersion
from connectors.http.auth import Lock, StaticToken
from connectors.http.client import Clock, Hooks, HttpClient, Sleep
from connectors.http.rate_limit import Rate, RateLimits
from connectors.http.reply import Reply
from connectors.upload.draft import Draft

__all__ = ["TikTokDestination", "TikTokSettings"]

VENDOR = "TikTok"
REQUESTS = Rate(1000, timedelta(seconds=1))


class TikTokDestination:
    """Uploads conversions to the CRM and offline event sets of one ad account."""

    kind: ClassVar[str] = "tiktok"
    limits: ClassVar[DestinationLimits] = LIMITS
    spend_days: ClassVar[int] = spend.MOST_DAYS

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: TikTokSettings,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._http = HttpClient(
            client,
            vendor=VENDOR,
            base_url=settings.base_url,
            auth=StaticToken(settings.access_token, header="Access-Token", scheme=""),
            classify=lambda reply: failure_of(read_answer(reply), reply, clock()),
            rate_limits=RateLimits({"general": REQUESTS}, clock, sleep),
            hooks=hooks,
            clock=clock,
            sleep=sleep,
        )

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        TikTokSettings.from_mapping(settings)

    @classmethod
    def open(
        cls,
        settings: Mapping[str, str],
        http: httpx.AsyncClient,
        tokens: TokenStore,  # noqa: ARG003 the token is a human's
        lock: Lock,  # noqa: ARG003 nothing to renew
        clock: Clock,
        hooks: Hooks,
        sleep: Sleep,
    ) -> "TikTokDestination":
        """A connector from its text settings."""
        return cls(http, TikTokSettings.from_mapping(settings), clock, hooks, sleep)

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """Ask for the account and its event sets; that the token may send is proven by an event only, and said so."""
        return await check_account(targets, self._settings, self._api())

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send conversions in one request (none at all where nothing valid is left) and say what became of each."""
        draft = build(rows, self._settings, now)
        if not draft.rows:
            return draft.results([])
        reply = await self._track(draft, now)
        return draft.results(results_of(read_answer(reply), reply, draft))

    async def send_test_event(self, code: str, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """One made-up event of nobody's for each target under the code of Events Manager, where it then shows."""
        now = self._clock()
        draft = build([test_row(target, name, now) for name, target in targets.items()], self._settings, now, code)
        try:
            reply = await self._track(draft, now)
            results: Sequence[UploadResult] = draft.results(results_of(read_answer(reply), reply, draft))
        except ConnectorError as error:
            return [Finding("test_event", FindingStatus.FAILED, error.message, WAIT_MEND)]
        return [_test_finding(name, result, code) for name, result in zip(targets, results, strict=True)]

    def api_versions(self) -> Sequence[ApiVersion]:
        """The only live version; TikTok has named no last day of it."""
        return [ApiVersion(API, self._settings.api_version)]

    async def spend(self, first: date, last: date, page: str | None = None) -> SpendPage | SpendPending:
        """One page of what campaigns cost."""
        return await spend.read_page(self._api(), self._settings, first, last, page)

    async def _track(self, draft: Draft, now: datetime) -> Reply:
        """Send a request; raises what its code says of the whole call."""
        reply = await self._http.send("POST", f"/open_api/{self._settings.api_version}/event/track/", json=draft.body)
        failure = failure_of(read_answer(reply), reply, now)
        if failure is not None:
            raise failure
        return reply

    def _api(self) -> Api:
        return Api(self._http, self._settings.api_version, self._clock)


def _test_finding(name: str, result: UploadResult, code: str) -> Finding:
    subject = f"test_event:{name}"
    if isinstance(result, Accepted):
        return Finding(subject, FindingStatus.OK, f"TikTok took a test event; it shows in Events Manager under {code}")
    return Finding(subject, FindingStatus.FAILED, f"TikTok refuses the test event: {result}", "follow what it says")
