"""A CRM behind an OAuth endpoint that rotates refresh tokens: each is taken once."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import parse_qs

import httpx
import yaml
from pydantic import SecretStr

from app.bootstrap.services import Services, open_services
from app.config import Settings
from connectors.contract.errors import AuthenticationFailed
from connectors.contract.findings import Finding
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection
from connectors.contract.source import Page, SourceLimits, SourceSchema, Stored, Window
from connectors.contract.tokens import TokenStore
from connectors.http.auth import Lock, OAuthRefresh
from connectors.http.client import Hooks
from tests.unit.mapping.mapping_rig import DOCUMENT, SCHEMA

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
TOKEN_URL = "https://login.fake.example/token"
API_URL = "https://api.fake.example/records"


@dataclass
class Endpoint:
    """Token endpoint and API in one. `good` is the only refresh token that is taken now."""

    good: str = "first"
    access: str = ""
    shown: list[str] = field(default_factory=list)
    served: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        if str(request.url) == API_URL:
            is_good = request.headers.get("authorization") == f"Bearer {self.access}"
            self.served += is_good
            return httpx.Response(200 if is_good else 401, json={})
        (token,) = parse_qs(request.content.decode())["refresh_token"]
        self.shown.append(token)
        if token != self.good:
            return httpx.Response(400, json={"error": "invalid_grant", "error_description": "token is used up"})
        self.good, self.access = f"rotated-{len(self.shown)}", f"access-{len(self.shown)}"
        return httpx.Response(200, json={"access_token": self.access, "refresh_token": self.good, "expires_in": 3600})


class OAuthCrm:
    """A CRM of no records; every method calls the API."""

    kind: ClassVar[str] = "oauth"
    limits: ClassVar[SourceLimits] = SourceLimits(page_rows=100, poll_every=timedelta(minutes=1))

    def __init__(self, http: httpx.AsyncClient, auth: OAuthRefresh, clock: Callable[[], datetime]) -> None:
        self.auth = auth
        self._http = http
        self._clock = clock

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """Any will do."""

    @classmethod
    def open(
        cls,
        settings: Mapping[str, str],
        http: httpx.AsyncClient,
        tokens: TokenStore,
        lock: Lock,
        clock: Callable[[], datetime],
        hooks: Hooks,  # noqa: ARG003 the registry's signature
        sleep: Callable[[float], Awaitable[None]],  # noqa: ARG003
        time_zone: str | None = None,  # noqa: ARG003
    ) -> "OAuthCrm":
        """As a real connector opens."""
        auth = OAuthRefresh(
            http,
            vendor="Fake",
            token_url=TOKEN_URL,
            client_id="an-app",
            client_secret="its-secret",
            refresh_token=settings["refresh_token"],
            store=tokens,
            lock=lock,
            clock=clock,
        )
        return cls(http, auth, clock)

    async def _call(self) -> None:
        answer = await self._http.get(API_URL, headers=dict(await self.auth.headers()))
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise AuthenticationFailed("the token is refused", status=401)

    async def check(self, kinds: frozenset[ObjectKind] = frozenset()) -> Sequence[Finding]:
        """Nothing is wrong where it answers."""
        await self._call()
        return ()

    async def describe(self) -> SourceSchema:
        """The mapping rig's account."""
        await self._call()
        return SCHEMA

    async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
        """Nothing changed."""
        await self._call()
        yield Page((), self._clock(), None, is_last=True)

    async def fetch(self, refs: Sequence[RecordRef], selection: Selection, stored: Stored) -> Sequence[Record]:
        """Nothing is there."""
        await self._call()
        return ()


@dataclass
class Clock:
    """A clock that the test sets."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """Its time."""
        return self.now


async def _no_pause(_seconds: float) -> None:
    """Nothing here waits."""


@asynccontextmanager
async def process(database_url: str, endpoint: Endpoint, clock: Clock) -> AsyncIterator[Services]:
    """A process of its own on the shared database."""
    settings = Settings(database_url=database_url, secret_key=SecretStr("a secret key for tests"))
    http = httpx.AsyncClient(transport=httpx.MockTransport(endpoint))
    services = await open_services(settings, clock=clock, environ={}, http=http, sleep=_no_pause)
    try:
        yield services
    finally:
        await services.close()


def config(refresh_token: str, **more: str) -> str:
    """A config file with the source and a mapping that sends nowhere."""
    document = {**DOCUMENT, "destinations": {}}
    source = {"kind": "oauth", "refresh_token": refresh_token, **more}
    return yaml.safe_dump({"sources": {"crm": source}, "mappings": {"crm": document}})
