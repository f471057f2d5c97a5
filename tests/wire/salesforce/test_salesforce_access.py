"""Tokens: three flows, rotation, one renewal for all workers, hosts that are believed; settings that name what is wrong."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.contract.errors import (
    NEEDS_REAUTH,
    AuthenticationFailed,
    ConnectorError,
    RateLimited,
    Unavailable,
    UnexpectedReply,
)
from connectors.contract.records import ObjectKind
from connectors.contract.tokens import Tokens
from connectors.crm.salesforce.settings import AuthFlow, SalesforceSettings, is_salesforce_url
from connectors.crm.salesforce.source import SalesforceSource
from tests.wire.salesforce.fake_org import HOST, NOW, SETTINGS, Org, no_lock, read, refusal

REFRESH = {"client_id": "key", "refresh_token": "refresh-1"}
TOKEN = "/services/oauth2/token"


def opened(org: Org, settings: dict[str, str]) -> SalesforceSource:
    client = httpx.AsyncClient(transport=httpx.MockTransport(org.answer))
    return SalesforceSource(
        client, SalesforceSettings.from_mapping(settings), org.store, no_lock, lambda: org.now, sleep=org.sleep
    )


def token_requests(org: Org) -> list[httpx.Request]:
    return [request for request in org.requests if request.url.path == TOKEN]


def form(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.content.decode()))


def refusing_tokens(org: Org, status: int, body: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(status, json=body) if request.url.path == TOKEN else None

    org.on_request = answer


async def test_client_credentials_are_asked_for_at_the_my_domain_host() -> None:
    """Salesforce refuses them at login.salesforce.com."""
    org = Org()

    await read(org)

    (request,) = token_requests(org)
    assert str(request.url) == HOST + TOKEN
    assert form(request) == {"grant_type": "client_credentials", "client_id": "key", "client_secret": "secret"}


async def test_a_signed_assertion_lives_at_most_three_minutes() -> None:
    """A longer one is refused, and a clock a little ahead must not make it longer."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    org = Org()
    settings = {"client_id": "key", "username": "api@acme.example", "private_key": pem.replace("\n", "\\n"), "login_url": "test"}

    await read(org, source=opened(org, settings))

    (request,) = token_requests(org)
    claims = jwt.decode(
        form(request)["assertion"],
        key.public_key(),
        algorithms=["RS256"],
        options={"verify_signature": True, "verify_exp": False, "verify_aud": False, "verify_iat": False},
    )
    assert str(request.url) == "https://test.salesforce.com" + TOKEN
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("key", "api@acme.example", "https://test.salesforce.com")
    assert 0 < claims["exp"] - NOW.timestamp() <= 180


async def test_a_rotated_refresh_token_is_saved_before_the_token_is_used() -> None:
    """The old one is dead: a crash between the answer and the first call must keep the new one."""
    org = Org()

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != TOKEN:
            return None
        org.access_token = "rotated"
        return httpx.Response(200, json={"access_token": "rotated", "refresh_token": "refresh-2", "instance_url": HOST})

    org.on_request = answer
    org.store.on_save = _die

    with pytest.raises(KeyboardInterrupt):
        await read(org, source=opened(org, REFRESH))
    org.store.on_save = lambda: None
    org.now += timedelta(hours=2)
    await read(org, source=opened(org, REFRESH))

    first, second = token_requests(org)
    assert form(first) == {"grant_type": "refresh_token", "refresh_token": "refresh-1", "client_id": "key"}
    assert form(second)["refresh_token"] == "refresh-2"
    assert org.requests[1].url.path == TOKEN


def _die() -> None:
    raise KeyboardInterrupt


async def test_ten_workers_and_an_expired_token_make_one_refresh() -> None:
    """With rotation a second refresh would lose the connection."""
    org = Org()
    org.store.tokens = Tokens("old", NOW - timedelta(minutes=1), "refresh-1", version=1, endpoint=HOST)
    one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def lock() -> Any:
        async with one_at_a_time:
            yield

    client = httpx.AsyncClient(transport=httpx.MockTransport(org.answer))
    settings = SalesforceSettings.from_mapping(REFRESH)
    workers = [SalesforceSource(client, settings, org.store, lock, lambda: org.now, sleep=org.sleep) for _ in range(10)]

    await asyncio.gather(*(read(org, source=worker) for worker in workers))

    assert org.tokens_given == 1


async def test_a_session_that_ended_is_renewed_once_and_the_page_read_again() -> None:
    """An org's session may be as short as fifteen minutes, and nothing tells it."""
    org = Org()
    source = org.source()
    await read(org, source=source)
    org.access_token = "another"

    pages = await read(org, source=source)

    assert (len(pages), org.tokens_given) == (1, 2)


async def test_a_second_refused_session_needs_a_person() -> None:
    """A new token that is refused as well will not get better by asking."""
    org = Org()
    org.on_request = lambda request: None if request.url.path == TOKEN else refusal(401, "INVALID_SESSION_ID", "Session expired")

    with pytest.raises(AuthenticationFailed) as caught:
        await read(org)

    assert caught.value.code == NEEDS_REAUTH
    assert org.tokens_given == 2


async def test_a_token_is_renewed_before_the_session_ends() -> None:
    """No reply tells a lifetime: ninety minutes are less than the two hours that are Salesforce's default."""
    org = Org()
    source = org.source()
    await read(org, source=source)
    org.now += timedelta(minutes=89, seconds=30)

    await read(org, source=source)

    assert org.tokens_given == 2


@pytest.mark.parametrize(
    ("status", "body", "code", "mend"),
    [
        (
            400,
            {"error": "invalid_grant", "error_description": "user hasn't approved this consumer"},
            "user_not_approved",
            "pre-authorise",
        ),
        (400, {"error": "invalid_grant", "error_description": "expired access/refresh token"}, NEEDS_REAUTH, "connect again"),
        (400, {"error": "invalid_grant", "error_description": "ip restricted"}, NEEDS_REAUTH, "connect again"),
        (
            400,
            {"error": "invalid_client_id", "error_description": "client identifier invalid"},
            "invalid_client_id",
            "`client_id`",
        ),
        (
            401,
            {"error": "invalid_client", "error_description": "invalid client credentials"},
            "invalid_client",
            "`client_secret`",
        ),
        (400, {"error": "inactive_user", "error_description": "user is inactive"}, "inactive_user", "activate"),
        (400, {"error": "inactive_org", "error_description": "org is inactive"}, "inactive_org", "ask Salesforce"),
        (
            400,
            {"error": "unsupported_grant_type", "error_description": "grant type not supported"},
            "unsupported_grant_type",
            "My Domain",
        ),
        (
            400,
            {"error": "invalid_grant", "error_description": "request not supported on this domain"},
            "unsupported_grant_type",
            "My Domain",
        ),
    ],
)
async def test_each_refusal_of_the_token_endpoint_says_what_to_do(status: int, body: Any, code: str, mend: str) -> None:
    """`invalid_grant` alone has sent many people to reset what was right."""
    org = Org()
    refusing_tokens(org, status, body)

    with pytest.raises(AuthenticationFailed, match=mend) as caught:
        await read(org, source=opened(org, REFRESH))

    assert caught.value.code == code


async def test_too_many_logins_wait() -> None:
    """More than 3,600 logins of a user in an hour are refused, whatever the credentials."""
    org = Org()
    refusing_tokens(org, 400, {"error": "login_rate_exceeded", "error_description": "login rate exceeded"})

    with pytest.raises(RateLimited) as caught:
        await read(org)

    assert caught.value.retry_after == timedelta(hours=1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(200, text="<html>maintenance</html>"), UnexpectedReply),
        (httpx.Response(503, text="<html>maintenance</html>"), Unavailable),
        (httpx.Response(200, json={"instance_url": HOST}), UnexpectedReply),
        (httpx.Response(200, json={"access_token": "t"}), UnexpectedReply),
        (httpx.Response(200, json={"access_token": "t", "instance_url": 7}), UnexpectedReply),
        (httpx.Response(200, json={"access_token": "t", "instance_url": "https://salesforce.com.evil.example"}), UnexpectedReply),
        (httpx.Response(200, json={"access_token": "t", "instance_url": "http://acme.my.salesforce.com"}), UnexpectedReply),
    ],
)
async def test_a_token_goes_to_salesforces_hosts_only(answer: httpx.Response, error: type[ConnectorError]) -> None:
    """Whoever could name another host would be given the token, and then the people."""
    org = Org()
    org.on_request = lambda request: answer if request.url.path == TOKEN else None

    with pytest.raises(error) as caught:
        await read(org)

    assert {request.url.path for request in org.requests} == {TOKEN}
    assert "evil" not in str(caught.value)


async def test_a_base_url_replaces_every_host() -> None:
    """For simulators and proxies; the token's own word on hosts is then not asked."""
    org = Org()

    source = org.source(base_url="http://127.0.0.1:8000/", currency="USD")
    await read(org, source=source)
    schema = await source.describe()

    assert {request.url.host for request in org.requests} == {"127.0.0.1"}
    assert schema.record_urls[ObjectKind.LEAD] == f"{HOST}/lightning/r/Lead/{{id}}/view"  # people go to Salesforce itself


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.my.salesforce.com",
        "https://acme--dev.sandbox.my.salesforce.com/",
        "https://x.cloudforce.com",
        "https://a.salesforce.mil",
    ],
)
def test_hosts_that_are_salesforces(url: str) -> None:
    """Production, sandboxes, government and the older domains."""
    assert is_salesforce_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://[",
        "http://acme.my.salesforce.com",
        "https://salesforce.com.evil.example",
        "https://evilsalesforce.com",
        "https://a.salesforce.com:8443",
        "https://a.salesforce.com@evil.example",
        "https://a.salesforce.com/path",
        "https://a.salesforce.com?x",
    ],
)
def test_hosts_that_are_not(url: str) -> None:
    """Each is a way in which a name only looks like Salesforce's."""
    assert not is_salesforce_url(url)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({}, "client_secret"),
        ({"client_id": "k"}, "client_secret"),
        ({"client_secret": "s", "instance_url": HOST}, "client_id"),
        ({"client_id": "k", "client_secret": "s"}, "instance_url"),
        (SETTINGS | {"instance_url": "https://login.salesforce.com"}, "My Domain"),
        (SETTINGS | {"instance_url": "login"}, "My Domain"),
        (SETTINGS | {"instance_url": "https://evil.example"}, "instance_url"),
        (SETTINGS | {"auth": "password"}, "auth"),
        (SETTINGS | {"auth": "jwt"}, "username"),
        ({"client_id": "k", "private_key": "p", "refresh_token": "r"}, "auth"),
        ({"client_id": "k", "private_key": "p"}, "username"),
        (REFRESH | {"login_url": "http://test.salesforce.com"}, "login_url"),
        (SETTINGS | {"api_version": "latest"}, "api_version"),
        (SETTINGS | {"currency": "dollars"}, "currency"),
        (SETTINGS | {"look_back_minutes": "0"}, "look_back_minutes"),
        (SETTINGS | {"daily_share": "101"}, "daily_share"),
        (SETTINGS | {"daily_share": "9" * 5000}, "daily_share"),
        (SETTINGS | {"password": "x"}, "password"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_never_shown(settings: dict[str, str], word: str) -> None:
    """The message is for a person; its value may be a secret."""
    with pytest.raises(ValueError, match=word) as caught:
        SalesforceSource.check_settings(settings)

    assert "evil" not in str(caught.value)


def test_settings_are_read_as_people_write_them() -> None:
    """With and without scheme, v and percent sign; nothing secret is shown."""
    read_settings = SalesforceSettings.from_mapping(
        SETTINGS
        | {
            "instance_url": "Acme.my.salesforce.com/",
            "api_version": "68",
            "daily_share": "30 %",
            "currency": "eur",
            "webhook_secrets": "one, two",
            "write_back": "x",
        }
    )

    assert (read_settings.auth, read_settings.instance_url) == (AuthFlow.CLIENT_CREDENTIALS, HOST)
    assert (read_settings.api_version, read_settings.daily_share, read_settings.currency) == ("v68.0", 30, "EUR")
    assert read_settings.webhook_secrets == ("one", "two")
    assert "secret" not in repr(read_settings).replace("client_secret", "").replace("webhook_secrets", "")
