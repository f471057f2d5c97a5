"""Who we are to Pipedrive: the API token's header, OAuth's tokens and the host that they name, bursts."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import parse_qs

import httpx
import pytest

from connectors.contract.errors import AuthenticationFailed
from connectors.contract.records import ObjectKind
from connectors.contract.source import Window
from connectors.contract.tokens import Tokens
from connectors.crm.pipedrive.settings import PipedriveSettings
from connectors.crm.pipedrive.source import PipedriveSource
from tests.memory_tokens import MemoryTokens
from tests.wire.pipedrive.fake_company import NOW, SELECTION, TOKEN, Company, ids_in, nothing_stored, read, refusal

OAUTH = {"client_id": "id", "client_secret": "secret", "refresh_token": "first"}
DEALS = Window(ObjectKind.DEAL, NOW - timedelta(days=1))


class OAuthCompany(Company):
    """Refuses all but the newest access token; a refresh token can be used once."""

    def __init__(self, api_domain: str | None = "https://acme.pipedrive.com") -> None:
        super().__init__()
        self.settings = dict(OAUTH)
        self.api_domain = api_domain
        self.refreshes: list[str] = []
        self.hosts: set[str] = set()
        self.good = "none"
        self.on_request = self._judge

    def _judge(self, request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/oauth/token":
            return self._renew(request)
        self.hosts.add(f"{request.url.scheme}://{request.url.host}")
        if request.headers.get("authorization") != f"Bearer {self.good}":
            return refusal(401, "unauthorized access", errorCode=401)
        return None

    def _renew(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Basic " + base64.b64encode(b"id:secret").decode()
        form = parse_qs(request.content.decode())
        assert form["grant_type"] == ["refresh_token"]
        given = form["refresh_token"][0]
        if given in self.refreshes:
            return httpx.Response(400, json={"success": "false", "error": "invalid_grant", "message": "Invalid grant"})
        self.refreshes.append(given)
        self.good = f"access{len(self.refreshes)}"
        body = {"access_token": self.good, "refresh_token": f"next{len(self.refreshes)}", "expires_in": 3600}
        return httpx.Response(200, json=body | ({} if self.api_domain is None else {"api_domain": self.api_domain}))


async def test_the_api_token_goes_into_its_header() -> None:
    """In the address it would stand in logs."""
    company = Company()

    await read(company, DEALS)

    assert company.requests[0].headers["x-api-token"] == TOKEN
    assert "authorization" not in company.requests[0].headers
    assert TOKEN not in str(company.requests[0].url)
    assert company.requests[0].url.host == "api.pipedrive.com"


async def test_oauth_speaks_to_the_host_that_its_token_names() -> None:
    """`api_domain` comes with every token, and is kept with it."""
    company = OAuthCompany()
    company.deal(1, NOW - timedelta(seconds=1))

    pages = await read(company, DEALS)

    assert ids_in(pages, ObjectKind.DEAL) == ["1"]
    assert company.hosts == {"https://acme.pipedrive.com"}
    assert company.tokens.tokens is not None
    assert (company.tokens.tokens.refresh_token, company.tokens.tokens.endpoint) == ("next1", "https://acme.pipedrive.com")


@pytest.mark.parametrize(
    "named",
    [
        "http://acme.pipedrive.com",
        "https://pipedrive.com.evil.example",
        "https://evilpipedrive.com",
        "https://acme.pipedrive.com:8443",
        "https://[",
        "https://169.254.169.254/.pipedrive.com",
        "",
        None,
    ],
)
async def test_a_token_is_sent_nowhere_else(named: str | None) -> None:
    """Whatever a reply says, only Pipedrive's own hosts get the token."""
    company = OAuthCompany(named)

    await read(company, DEALS)

    assert company.hosts == {"https://api.pipedrive.com"}


async def test_a_base_url_replaces_every_host() -> None:
    """For simulators and proxies: the token endpoint too."""
    company = OAuthCompany()
    source = company.source(base_url="http://localhost:9/pipedrive")
    company.on_request = lambda request: (
        company._renew(request)
        if request.url.path.endswith("/oauth/token")
        else httpx.Response(200, json={"success": True, "data": []})
    )

    await read(company, DEALS, source=source)

    assert {str(request.url.copy_with(query=None)) for request in company.requests} == {
        "http://localhost:9/pipedrive/oauth/token",
        "http://localhost:9/pipedrive/api/v2/deals",
        "http://localhost:9/pipedrive/api/v2/deals/archived",
    }


async def test_an_expired_token_in_the_middle_is_renewed_once_and_the_page_read_again() -> None:
    """401 on the third page: one refresh, and that page again."""
    company = OAuthCompany()
    for number in range(1, 1_600):
        company.deal(number, NOW - timedelta(hours=1))
    lists = 0

    def expire(changing: Company) -> None:
        nonlocal lists
        lists = changing.calls["GET /api/v2/deals"]
        if lists == 2 and len(company.refreshes) == 1:
            company.good = "another"

    company.after_request = expire

    pages = await read(company, DEALS)

    assert len(ids_in(pages, ObjectKind.DEAL)) == 1_599
    assert company.refreshes == ["first", "next1"]


async def test_ten_workers_and_an_expired_token_make_one_refresh() -> None:
    """The same exchange twice is `invalid_grant`, and the connection would be lost (complaint 12)."""
    company = OAuthCompany()
    company.tokens = MemoryTokens(Tokens("stale", NOW + timedelta(hours=1), "first", 1))
    held = asyncio.Lock()

    @asynccontextmanager
    async def lock() -> AsyncIterator[None]:
        async with held:
            yield

    client = httpx.AsyncClient(transport=httpx.MockTransport(company.answer))
    settings = PipedriveSettings.from_mapping(OAUTH)
    sources = [
        PipedriveSource(client, settings, company.tokens, lock, lambda: company.now, sleep=company.sleep) for _ in range(10)
    ]

    pages = await asyncio.gather(*(read(company, DEALS, source=source) for source in sources))

    assert len(pages) == 10
    assert company.refreshes == ["first"]
    assert company.tokens.saves == 1


async def test_a_dead_refresh_token_needs_a_human() -> None:
    """Sixty days without use, or the app was taken out."""
    company = OAuthCompany()
    company.refreshes = ["first"]

    with pytest.raises(AuthenticationFailed) as caught:
        await read(company, DEALS)

    assert caught.value.code == "needs_reauth"


async def test_a_dead_token_is_a_finding() -> None:
    """`check` says what to do."""
    company = OAuthCompany()
    company.refreshes = ["first"]

    (finding,) = await company.source().check()

    assert finding.subject == "token"
    assert "connect the OAuth app again" in finding.mend


@pytest.mark.parametrize("requests", [2, 20, 80])
async def test_no_two_seconds_see_more_requests_than_the_plan_allows(requests: int) -> None:
    """Refused bursts end in a block."""
    company = Company()
    at: list[float] = []
    company.on_request = lambda _request: at.append((company.now - NOW).total_seconds())
    source = company.source(requests_per_2_seconds=str(requests), daily_tokens="1000000")
    for number in range(1, 200):
        company.deal(number, NOW - timedelta(hours=1), added=NOW - timedelta(days=9), status="won")

    async for _page in source.changes(DEALS, SELECTION, nothing_stored()):
        pass

    assert len(at) > 199
    assert max(sum(1 for other in at if one <= other < one + 2) for one in at) <= requests
