"""One Meta dataset: uploads through the Conversions API, spend through Insights. The check is in check.py."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from http import HTTPStatus
from typing import ClassVar

import httpx

from connectors.ads.meta import spend
from connectors.ads.meta.check import WAIT_MEND, answered, check_dataset, test_finding, test_row
from connectors.ads.meta.payload import LIMITS, build
from connectors.ads.meta.refusals import failure_of, read_refusal
from connectors.ads.meta.settings import MetaSettings, TokenPlace
from connectors.ads.meta.usage import pause_asked
from connectors.ads.meta.versions import ADS_API, API, sunset_of
from connectors.contract.conversions import Target, UploadRow
from connectors.contract.destination import DestinationLimits
from connectors.contract.errors import ConnectorError, Effect, RateLimited, UnexpectedReply
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.results import Accepted, UploadResult
from connectors.contract.spend import SpendPage, SpendPending
from connectors.contract.tokens import TokenStore
from connectors.contract.versions import ApiVersion
from connectors.http.auth import Auth, Lock, StaticToken
from connectors.http.client import Clock, Hooks, HttpClient, Sleep
from connectors.http.reply import Reply
from connectors.upload.draft import Draft
from connectors.upload.json_values import as_whole

__all__ = ["MetaDestination", "MetaSettings"]

VENDOR = "Meta"


class NoHeader:
    """The token goes as a parameter."""

    async def headers(self) -> Mapping[str, str]:
        """None."""
        return {}

    async def refresh(self, used: Mapping[str, str]) -> bool:  # noqa: ARG002 the protocol's signature
        """Nothing to refresh."""
        return False


class MetaDestination:
    """Uploads conversions to one dataset. Meta says nothing later of a single event and corrects none."""

    kind: ClassVar[str] = "meta"
    limits: ClassVar[DestinationLimits] = LIMITS
    spend_days: ClassVar[int] = spend.MOST_DAYS

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: MetaSettings,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._away_until: datetime | None = None
        in_header = settings.token_in is TokenPlace.HEADER
        auth: Auth = StaticToken(settings.access_token) if in_header else NoHeader()
        self._http = HttpClient(
            client,
            vendor=VENDOR,
            base_url=settings.base_url,
            auth=auth,
            classify=lambda reply: failure_of(reply, clock()),
            hooks=hooks,
            clock=clock,
            sleep=sleep,
        )

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        MetaSettings.from_mapping(settings)

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
    ) -> "MetaDestination":
        """A connector from its text settings."""
        return cls(http, MetaSettings.from_mapping(settings), clock, hooks, sleep)

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """Ask what Meta knows of the dataset; that it takes events is proven by none but a real one, and said so."""
        return await check_dataset(targets, self._settings, self._read)

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send the rows in one request (none at all where nothing valid is left) and say what became of each."""
        draft = build(rows, self._settings, now)
        if not draft.rows:
            return draft.results([])
        self._stay_away_while_asked(now)
        reply = await self._post(draft)
        return draft.results(self._told(reply, draft, now))

    async def send_test_event(self, code: str, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """One made-up event of nobody's for each target under the code of Events Manager, where it then shows."""
        if not code.strip():
            # Without a code Meta would count it.
            return [
                Finding("test_event", FindingStatus.FAILED, "there is no test code", "take it from Events Manager, Test events")
            ]
        now = self._clock()
        draft = build([test_row(target, name, now) for name, target in targets.items()], self._settings, now, code)
        try:
            results = draft.results(self._told(await self._post(draft), draft, now) if draft.rows else [])
        except ConnectorError as error:
            return [Finding("test_event", FindingStatus.FAILED, error.message, WAIT_MEND)]
        return [test_finding(name, result, code) for name, result in zip(targets, results, strict=True)]

    async def spend(self, first: date, last: date, page: str | None = None) -> SpendPage | SpendPending:
        """One page of what campaigns cost. ValueError without the setting `ad_account_id`."""
        return await spend.read_page(self._ask, self._settings, first, last, page)

    async def _post(self, draft: Draft) -> Reply:
        return await self._http.send("POST", self._path("/events"), json={**draft.body, **self._settings.secret_parameters})

    def _told(self, reply: Reply, draft: Draft, now: datetime) -> Sequence[UploadResult]:
        """One result for each event; what the usage headers ask is remembered for the next request."""
        asked = pause_asked(reply.headers)
        self._away_until = None if asked is None else now + asked
        if reply.status >= HTTPStatus.BAD_REQUEST:
            return read_refusal(reply, draft)
        _check_count(reply, len(draft.rows))
        return [Accepted()] * len(draft.rows)

    def api_versions(self) -> Sequence[ApiVersion]:
        """Of the Conversions API, and of the reports."""
        events, reports = self._settings.api_version, self._settings.ads_api_version
        return [ApiVersion(API, events, sunset_of(events)), ApiVersion(ADS_API, reports, sunset_of(reports))]

    def _stay_away_while_asked(self, now: datetime) -> None:
        """The reply before said that the allowance is nearly used: wait before Meta throttles."""
        if self._away_until is not None and now < self._away_until:
            raise RateLimited("Meta's allowance is nearly used", retry_after=self._away_until - now, code="usage")

    async def _read(self, path: str, parameters: Mapping[str, str]) -> Reply:
        """Ask for something below the version; a read that Meta refuses raises or comes back with its status."""
        asked = {**parameters, **self._settings.secret_parameters}
        return await self._http.read("GET", f"/{self._settings.api_version}{path}", params=asked)

    async def _ask(self, path: str, parameters: Mapping[str, str]) -> Mapping[str, object]:
        """A report or an object of the Marketing API. Raises ConnectorError."""
        asked = {**parameters, **self._settings.secret_parameters}
        reply = await self._http.read("GET", f"/{self._settings.ads_api_version}{path}", params=asked)
        return answered(reply)

    def _path(self, edge: str) -> str:
        return f"/{self._settings.api_version}/{self._settings.dataset_id}{edge}"


def _check_count(reply: Reply, sent: int) -> None:
    """200 is not delivered: Meta has been seen to drop events with nothing but this count to tell."""
    received = as_whole(reply.json_object().get("events_received"))
    if received != sent:
        said = "no number" if received is None else str(received)
        raise UnexpectedReply(
            f"Meta received {said} of {sent} events and does not say which; look at Events Manager, Diagnostics",
            effect=Effect.UNKNOWN,
            code="events_received",
            status=reply.status,
        )
