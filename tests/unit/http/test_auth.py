import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, Unavailable
from connectors.contract.tokens import Tokens
from connectors.http.auth import ClientCredentials, Lock, OAuthRefresh, ServiceAccountJwt
from tests.memory_tokens import MemoryTokens

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Endpoint:
    """A token endpoint that counts and rotates."""

    def __init__(self, *answers: httpx.Response | Callable[[], httpx.Response]) -> None:
        self.answers = list(answers)
        self.forms: list[dict[str, str]] = []
        self.requests: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.001)
        self.requests.append(request)
        self.forms.append({name: values[0] for name, values in parse_qs(request.content.decode()).items()})
        if self.answers:
            answer = self.answers.pop(0)
            return answer if isinstance(answer, httpx.Response) else answer()
        count = len(self.forms)
        return httpx.Response(
            200, json={"access_token": f"access-{count}", "refresh_token": f"refresh-{count}", "expires_in": 3600}
        )


def shared_lock() -> Lock:
    lock = asyncio.Lock()
    return lambda: _held(lock)


@asynccontextmanager
async def _held(lock: asyncio.Lock) -> AsyncIterator[None]:
    async with lock:
        yield


def oauth(
    endpoint: Endpoint,
    store: MemoryTokens,
    *,
    lock: Lock | None = None,
    clock: Callable[[], datetime] = lambda: NOW,
    client_in_header: bool = False,
) -> OAuthRefresh:
    return OAuthRefresh(
        httpx.AsyncClient(transport=httpx.MockTransport(endpoint)),
        vendor="Acme",
        token_url="https://login.acme.example/token",
        client_id="id",
        client_secret="hush",
        refresh_token="configured",
        store=store,
        lock=lock or shared_lock(),
        clock=clock,
        extra={"scope": "ads offline_access"},
        client_in_header=client_in_header,
    )


def stored(access: str, left: timedelta, *, refresh: str | None = "kept", version: int = 3) -> Tokens:
    return Tokens(access, NOW + left, refresh, version)


async def test_ten_callers_with_an_expired_token_refresh_once() -> None:
    """A rotating refresh token used twice is a dead connection."""
    endpoint, store = Endpoint(), MemoryTokens(stored("stale", timedelta(seconds=-1)))
    shared, asked = shared_lock(), []

    def lock() -> AbstractAsyncContextManager[None]:
        asked.append(1)
        return shared()

    auth = oauth(endpoint, store, lock=lock)

    headers = await asyncio.gather(*(auth.headers() for _ in range(10)))

    assert {header["authorization"] for header in headers} == {"Bearer access-1"}
    assert len(endpoint.forms) == 1
    assert store.saves == 1
    assert len(asked) == 1


async def test_ten_processes_with_a_refused_token_refresh_once() -> None:
    """Replicas share only the lock and the store."""
    endpoint, store, lock = Endpoint(), MemoryTokens(stored("refused", timedelta(hours=1))), shared_lock()
    replicas = [oauth(endpoint, store, lock=lock) for _ in range(10)]
    used = [await replica.headers() for replica in replicas]

    renewed = await asyncio.gather(*(replica.refresh(headers) for replica, headers in zip(replicas, used, strict=True)))

    assert renewed == [True] * 10
    assert len(endpoint.forms) == 1
    assert {(await replica.headers())["authorization"] for replica in replicas} == {"Bearer access-1"}


async def test_a_good_stored_token_needs_no_request() -> None:
    """A restart must not burn a refresh."""
    endpoint = Endpoint()

    headers = await oauth(endpoint, MemoryTokens(stored("good", timedelta(seconds=61)))).headers()

    assert headers == {"authorization": "Bearer good"}
    assert endpoint.forms == []


async def test_a_token_with_under_a_minute_left_is_renewed_and_the_new_refresh_token_saved_before_use() -> None:
    """A lost rotated refresh token means that a human has to connect again."""
    endpoint, store = Endpoint(), MemoryTokens(stored("late", timedelta(seconds=59)))

    await oauth(endpoint, store).headers()

    assert store.tokens == Tokens("access-1", NOW + timedelta(hours=1), "refresh-1", 4)
    assert endpoint.forms == [
        {
            "grant_type": "refresh_token",
            "refresh_token": "kept",
            "client_id": "id",
            "client_secret": "hush",
            "scope": "ads offline_access",
        }
    ]


async def test_a_refresh_token_that_is_not_rotated_is_kept() -> None:
    """Google sends none with a refresh."""
    endpoint = Endpoint(httpx.Response(200, json={"access_token": "a", "expires_in": "3599"}))
    store = MemoryTokens()

    await oauth(endpoint, store).headers()

    assert store.tokens == Tokens("a", NOW + timedelta(seconds=3599), "configured", 1)


async def test_the_client_may_prove_itself_by_header() -> None:
    """Pipedrive takes client id and secret by Basic auth only."""
    endpoint = Endpoint()

    await oauth(endpoint, MemoryTokens(), client_in_header=True).headers()

    assert endpoint.requests[0].headers["authorization"] == "Basic aWQ6aHVzaA=="
    assert "client_secret" not in endpoint.forms[0]


async def test_after_a_reconnect_the_configured_refresh_token_replaces_the_dead_stored_one() -> None:
    """The operator's new grant must win over what the store still has."""
    endpoint = Endpoint(httpx.Response(400, json={"error": "invalid_grant"}))
    store = MemoryTokens(stored("stale", timedelta(0), refresh="dead"))

    headers = await oauth(endpoint, store).headers()

    assert [form["refresh_token"] for form in endpoint.forms] == ["dead", "configured"]
    assert headers == {"authorization": "Bearer access-2"}


async def test_a_dead_grant_says_so() -> None:
    """Only a human can mend it, so the connection must pause."""
    dead = httpx.Response(400, json={"error": "invalid_grant", "error_description": "revoked for jane@example.com"})

    with pytest.raises(AuthenticationFailed) as caught:
        await oauth(Endpoint(dead), MemoryTokens()).headers()

    assert caught.value.code == "needs_reauth"
    assert str(caught.value) == "Acme token endpoint: answered 400: revoked for [email]; connect again"


async def test_losing_the_race_for_the_store_uses_the_winner_s_tokens() -> None:
    """A lease may run out while its holder still works."""
    store = MemoryTokens(stored("stale", timedelta(0)))

    def winner_saves() -> httpx.Response:
        store.tokens = stored("winner", timedelta(hours=1), version=4)
        return httpx.Response(200, json={"access_token": "loser", "expires_in": 3600})

    assert await oauth(Endpoint(winner_saves), store).headers() == {"authorization": "Bearer winner"}


async def test_a_grant_that_another_process_rotated_away_is_no_failure() -> None:
    """The loser of the race sees invalid_grant although the connection is well."""
    store = MemoryTokens(stored("stale", timedelta(0), refresh="configured"))

    def winner_rotated() -> httpx.Response:
        store.tokens = stored("winner", timedelta(hours=1), version=4)
        return httpx.Response(400, json={"error": "invalid_grant"})

    assert await oauth(Endpoint(winner_rotated), store).headers() == {"authorization": "Bearer winner"}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(503), Unavailable),
        (httpx.Response(429, headers={"retry-after": "7"}), RateLimited),
        (httpx.Response(401, json={"error": "invalid_client"}), AuthenticationFailed),
        (httpx.Response(200, text="<html>"), ConnectorError),
        (httpx.Response(200, json={"token_type": "Bearer"}), ConnectorError),
    ],
)
async def test_a_failing_endpoint_has_no_effect_on_the_upload_that_waits(
    answer: httpx.Response, kind: type[ConnectorError]
) -> None:
    """The upload was not sent, so it must not count as a try of unknown effect."""
    with pytest.raises(kind) as caught:
        await oauth(Endpoint(answer), MemoryTokens()).headers()

    assert caught.value.effect is Effect.NONE


@pytest.mark.parametrize("expires_in", [None, "soon", 0, 10**30, True, []])
async def test_an_odd_lifetime_neither_fails_nor_renews_for_ever(expires_in: object) -> None:
    """Salesforce sends none at all."""
    endpoint = Endpoint(httpx.Response(200, json={"access_token": "a", "expires_in": expires_in}))
    auth = oauth(endpoint, MemoryTokens())

    await auth.headers()
    await auth.headers()

    assert len(endpoint.forms) == 1


async def test_client_credentials_need_no_refresh_token() -> None:
    """Salesforce's server-to-server grant is simply asked again."""
    endpoint, store = Endpoint(), MemoryTokens(stored("stale", timedelta(0), refresh=None))
    auth = ClientCredentials(
        httpx.AsyncClient(transport=httpx.MockTransport(endpoint)),
        vendor="Acme",
        token_url="https://login.acme.example/token",
        client_id="id",
        client_secret="hush",
        store=store,
        lock=shared_lock(),
        clock=lambda: NOW,
    )

    assert await auth.headers() == {"authorization": "Bearer access-1"}
    assert endpoint.forms == [{"grant_type": "client_credentials", "client_id": "id", "client_secret": "hush"}]


def service_account(endpoint: Endpoint, private_key: str) -> ServiceAccountJwt:
    return ServiceAccountJwt(
        httpx.AsyncClient(transport=httpx.MockTransport(endpoint)),
        vendor="Google",
        token_url="https://proxy.example/token",
        issuer="sa@project.iam.example",
        private_key=private_key,
        audience="https://oauth2.googleapis.com/token",
        scope="https://www.googleapis.com/auth/datamanager",
        key_id="k1",
        store=MemoryTokens(),
        lock=shared_lock(),
        clock=lambda: NOW,
    )


async def test_a_service_account_signs_what_google_asks_for() -> None:
    """The claims are Google's wire format; its audience does not follow a proxied token_url."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    endpoint = Endpoint()

    await service_account(endpoint, pem).headers()

    form = endpoint.forms[0]
    claims = jwt.decode(
        form["assertion"],
        key.public_key(),
        algorithms=["RS256"],
        audience="https://oauth2.googleapis.com/token",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "k1"
    assert claims["iss"] == "sa@project.iam.example"
    assert claims["scope"] == "https://www.googleapis.com/auth/datamanager"
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["iat"] < NOW.timestamp()
    assert "sub" not in claims


@pytest.mark.parametrize("key", ["", "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----", "\udcff"])
async def test_a_broken_private_key_is_refused_without_being_shown(key: str) -> None:
    """A pasted key that lost its line breaks is the most usual mistake."""
    with pytest.raises(AuthenticationFailed) as caught:
        await service_account(Endpoint(), key).headers()

    assert caught.value.code == "bad_private_key"
    assert "nonsense" not in str(caught.value)
