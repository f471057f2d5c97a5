"""HubSpot entered by an OAuth app: when a token is renewed, what a refusal means, and what a renewal costs a page."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from connectors.contract.errors import AuthenticationFailed, Unavailable
from connectors.contract.findings import FindingStatus
from connectors.contract.records import ObjectKind
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Page, Window
from connectors.crm.hubspot.settings import HubSpotSettings
from connectors.crm.hubspot.source import HubSpotSource
from connectors.http.client import Hooks
from connectors.simulators.hubspot import OAuthApp, Portal, create_hubspot
from tests.memory_tokens import MemoryTokens
from tests.wire.hubspot.fake_account import nothing_stored, refusal

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOKEN_PATH = "/oauth/2026-09/token"
APP = OAuthApp("client", "hush", "refresh-me")
SETTINGS = {"client_id": "client", "client_secret": "hush", "refresh_token": "refresh-me"}
DEALS = Selection({ObjectKind.DEAL: ObjectSelection()})


class World:
    """A portal with an app installed, a store, and a client that notes what is asked; `answers` come instead of HubSpot's."""

    def __init__(self, app: OAuthApp = APP) -> None:
        self.now = START
        self.portal = Portal(oauth=app, has_limits=False)
        self.store = MemoryTokens()
        self.requests: list[httpx.Request] = []
        self.answers: dict[str, list[httpx.Response]] = {}
        self.searches = 0
        self.expires_before_search = 0
        self._simulated = httpx.ASGITransport(app=create_hubspot(self.portal, lambda: self.now))
        self._lock = asyncio.Lock()

    def source(self, **more: str) -> HubSpotSource:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return HubSpotSource.open(
            {**SETTINGS, **more}, client, self.store, self.lock, lambda: self.now, Hooks(), self.sleep, "UTC"
        )

    async def answer(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        self.requests.append(request)
        if self.answers.get(request.url.path):
            return self.answers[request.url.path].pop(0)
        if request.url.path.endswith("/search"):
            self.searches += 1
            if self.searches == self.expires_before_search:
                self.portal.access.expire(self.now)
        return await self._simulated.handle_async_request(request)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        async with self._lock:
            yield

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def forms(self) -> list[dict[str, list[str]]]:
        return [parse_qs(one.content.decode()) for one in self.requests if one.url.path == TOKEN_PATH]


async def pages_of(source: HubSpotSource, since: datetime = START) -> list[Page]:
    return [page async for page in source.changes(Window(ObjectKind.DEAL, since), DEALS, nothing_stored())]


async def test_the_refresh_grant_goes_in_the_body_and_the_reply_is_kept() -> None:
    """A secret in a query string ends in the logs of every proxy on the way."""
    world = World()

    await pages_of(world.source())

    (form,) = world.forms()
    token_request = world.requests[0]
    assert form == {"grant_type": ["refresh_token"], **{name: [value] for name, value in SETTINGS.items()}}
    assert (token_request.url.query, token_request.headers["content-type"]) == (b"", "application/x-www-form-urlencoded")
    assert world.store.tokens is not None
    assert world.store.tokens.expires_at == START + timedelta(seconds=1800)
    assert len(world.store.tokens.access_token) > 300


@pytest.mark.parametrize(("left", "renewals"), [(timedelta(minutes=5, seconds=1), 0), (timedelta(minutes=4, seconds=59), 1)])
async def test_a_token_is_renewed_with_five_minutes_left(left: timedelta, renewals: int) -> None:
    """HubSpot tells apps not to wait for its 401."""
    world = World()
    await pages_of(world.source())
    world.now += timedelta(minutes=30) - left

    await pages_of(world.source())

    assert len(world.forms()) == 1 + renewals


async def test_the_lifetime_is_obeyed_and_not_assumed() -> None:
    """HubSpot may shorten what it documents."""
    world = World(replace(APP, lifetime=timedelta(hours=6)))
    source = world.source()
    await pages_of(source)
    world.now += timedelta(hours=5)

    await pages_of(source)

    assert len(world.forms()) == 1


async def test_a_rotated_refresh_token_is_used_next_by_any_process() -> None:
    """HubSpot does not rotate in practice; on the day it does, the configured token is dead after its first use."""
    world = World(replace(APP, is_rotating=True))
    for _ in range(3):
        await pages_of(world.source())
        world.now += timedelta(hours=1)

    used = [form["refresh_token"][0] for form in world.forms()]
    assert len(set(used)) == 3
    assert used[0] == "refresh-me"


async def test_an_expired_token_on_page_7_costs_one_renewal_and_no_page() -> None:
    """A token ends in the middle of a window: the same page is asked again, none is lost, none comes twice."""
    world = World()
    made = [world.portal.create("deals", {}, START + timedelta(seconds=number)) for number in range(95)]
    world.now += timedelta(hours=1)
    world.expires_before_search = 7

    pages = await pages_of(world.source(page_rows="10"))

    searches = [one.content for one in world.requests if one.url.path.endswith("/search")]
    assert Counter(record.ref.external_id for page in pages for record in page.records) == Counter(made)
    assert len(world.forms()) == 2
    assert [count for count in Counter(searches).values() if count > 1] == [2]
    assert searches[6] == searches[7]


async def test_ten_readers_with_an_expired_token_renew_it_once() -> None:
    """A stampede on the token endpoint is counted against the app."""
    world = World()
    await pages_of(world.source())
    world.now += timedelta(hours=2)

    await asyncio.gather(*(pages_of(world.source()) for _ in range(10)))

    assert len(world.forms()) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"error": "invalid_grant", "message": "unknown"},
        {"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token"},
        {"status": "error", "category": "BAD_REFRESH_TOKEN", "message": "unknown"},
    ],
)
async def test_a_grant_taken_back_needs_a_person(body: dict[str, Any]) -> None:
    """The app was uninstalled: trying again is useless, and the page must say what is to be done."""
    world = World()
    world.answers[TOKEN_PATH] = [httpx.Response(400, json=body) for _ in range(2)]
    source = world.source()

    with pytest.raises(AuthenticationFailed) as caught:
        await pages_of(source)
    findings = await source.check()

    assert caught.value.code == "needs_reauth"
    assert [(one.subject, one.status) for one in findings] == [("token", FindingStatus.FAILED)]
    assert "refresh_token" in findings[0].mend
    assert len(world.requests) == 2
    assert "refresh-me" not in f"{caught.value} {findings}"


async def test_a_wrong_client_is_told_apart_from_a_grant_taken_back() -> None:
    """Connecting again does not mend a mistyped client secret."""
    world = World()

    (finding,) = await world.source(client_secret="wrong").check()

    assert (finding.subject, finding.status) == ("token", FindingStatus.FAILED)
    assert "client_secret" in finding.mend


@pytest.mark.parametrize("status", [401, 530])
async def test_a_refused_access_token_is_renewed_once_and_then_given_up(status: int) -> None:
    """A malformed token may be mended by a new one; one that is refused again is no outage."""
    world = World()
    path = "/crm/objects/2026-09/deals/search"
    refused = [refusal(401, "INVALID_AUTHENTICATION") if status == 401 else httpx.Response(530, text="error code: 1016")] * 2
    world.answers[path] = list(refused)

    with pytest.raises(AuthenticationFailed) as caught:
        await pages_of(world.source())

    assert caught.value.status == status
    assert (len(world.forms()), len(world.requests)) == (2, 4)


async def test_an_outage_of_the_token_endpoint_is_no_refusal() -> None:
    """A grant is not dead because HubSpot is down."""
    world = World()
    world.answers[TOKEN_PATH] = [httpx.Response(503) for _ in range(9)]

    with pytest.raises(Unavailable):
        await pages_of(world.source())


async def test_check_asks_for_no_daily_quota() -> None:
    """Only static tokens have one; the call is refused to OAuth apps."""
    world = World()

    findings = await world.source().check()

    assert {one.status for one in findings} <= {FindingStatus.OK, FindingStatus.UNPROVEN}
    assert "quota" not in {one.subject for one in findings}
    assert not [one for one in world.requests if "api-usage" in one.url.path]


async def test_no_ten_seconds_hold_more_than_an_oauth_app_may_ask() -> None:
    """110 in ten seconds for each account that installed the app, searches counted."""
    world = World()
    source = world.source(searches_per_second="100")
    sent: list[datetime] = []
    for _ in range(300):
        await pages_of(source)
        sent.append(world.now)

    busiest = max(sum(at <= one < at + timedelta(seconds=10) for one in sent) for at in sent)
    assert 100 <= busiest <= 110


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "`access_token`, or `client_id`, `client_secret` and `refresh_token`"),
        ({**SETTINGS, "access_token": "pat-secret"}, "not both"),
        ({"access_token": "pat-secret", "refresh_token": "refresh-me"}, "`refresh_token`"),
        ({"client_id": "client", "client_secret": "hush"}, "`refresh_token`"),
        ({"client_secret": "hush", "refresh_token": "refresh-me"}, "`client_id`"),
        ({**SETTINGS, "client_secret": "  "}, "`client_secret`"),
        ({**SETTINGS, "oauth": "yes"}, "no setting `oauth`"),
        ({**SETTINGS, "page_rows": "201"}, "`page_rows`"),
    ],
)
def test_exactly_one_way_in_is_asked_for(values: dict[str, str], named: str) -> None:
    """Two ways in would leave it open which account is read; the message names keys and no values."""
    with pytest.raises(ValueError, match="HubSpot") as caught:
        HubSpotSettings.from_mapping(values)

    assert named in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("pat-secret", "hush", "refresh-me"))


def test_secrets_stay_out_of_the_repr() -> None:
    """A repr ends in a log."""
    settings = HubSpotSettings.from_mapping(SETTINGS)

    assert (settings.access_token, settings.requests_per_second) == (None, 10)
    assert not any(secret in repr(settings) for secret in ("hush", "refresh-me"))
