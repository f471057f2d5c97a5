"""One Meta dataset: uploads through the Conversions API. The check is in check.py."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import ClassVar

import httpx

from connectors.ads.meta.check import check_dataset
from connectors.ads.meta.payload import LIMITS, build
from connectors.ads.meta.refusals import failure_of, read_refusal
from connectors.ads.meta.settings import MetaSettings, TokenPlace
from connectors.ads.meta.usage import pause_asked
from connectors.contract.conversions import Target, UploadRow
from connectors.contract.destination import DestinationLimits
from connectors.contract.errors import Effect, RateLimited, UnexpectedReply
from connectors.contract.findings import Finding
from connectors.contract.results import Accepted, UploadResult
from connectors.contract.tokens import TokenStore
from connectors.contract.versions import ApiVersion
from connectors.http.auth import Auth, Lock, StaticToken
from connectors.http.client import Clock, Hooks, HttpClient, Sleep
from connectors.http.reply import Reply
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
        reply = await self._http.send("POST", self._path("/events"), json={**draft.body, **self._settings.secret_parameters})
        asked = pause_asked(reply.headers)
        self._away_until = None if asked is None else now + asked
        if reply.status >= HTTPStatus.BAD_REQUEST:
            return draft.results(read_refusal(reply, draft))
        _check_count(reply, len(draft.rows))
        return draft.results([Accepted()] * len(draft.rows))

    def api_versions(self) -> Sequence[ApiVersion]:
        """The Graph API of the Conversions API."""
        return [ApiVersion("Meta Graph API", self._settings.api_version)]

    def _stay_away_while_asked(self, now: datetime) -> None:
        """The reply before said that the allowance is nearly used: wait before Meta throttles."""
        if self._away_until is not None and now < self._away_until:
            raise RateLimited("Meta's allowance is nearly used", retry_after=self._away_until - now, code="usage")

    async def _read(self, path: str, parameters: Mapping[str, str]) -> Reply:
        """Ask for something below the version; a read that Meta refuses raises or comes back with its status."""
        asked = {**parameters, **self._settings.secret_parameters}
        return await self._http.read("GET", f"/{self._settings.api_version}{path}", params=asked)

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
