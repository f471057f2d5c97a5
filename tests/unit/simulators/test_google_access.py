"""The simulated Google lets in only who may: tokens, accounts, quotas, status."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.simulators.google import AUDIENCE, DATA_MANAGER_SCOPE, GooglePlatform, Quota, RefreshGrant, ServiceAccount
from tests.unit.simulators.google_rig import (
    ADS,
    MANAGER,
    NOW,
    OTHER,
    WON,
    Clock,
    accept,
    body,
    event,
    new_client,
    new_platform,
    reason,
    send,
    verdict,
    violations,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform() -> GooglePlatform:
    return new_platform()


@pytest.fixture
async def google(platform: GooglePlatform, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(platform, clock) as client:
        yield client


async def test_status_is_told_only_for_real_recent_requests_to_those_with_access(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """A dry run has no status, an old request has none any more, and strangers see nothing."""
    rehearsed, real = await accept(google, event(), validateOnly=True), await accept(google, event())
    platform.add_token("stranger", [OTHER], NOW + timedelta(days=999))

    async def ask(request_id: str, token: str = "good") -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return await google.get("/v1/requestStatus:retrieve", params={"requestId": request_id}, headers=headers)

    assert violations(await ask(rehearsed)) == {("request_id", "INVALID_REQUEST_ID")}
    assert (await ask(real, "stranger")).status_code == 403
    clock.now += timedelta(days=50, seconds=1)
    assert violations(await ask(real)) == {("request_id", "REQUEST_TOO_OLD")}


async def test_refused_credentials_are_told_apart(google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock) -> None:
    """401 wants a fresh token; each 403 wants a person, for another reason."""
    platform.add_token("ads-only", [MANAGER], NOW + timedelta(days=1), ["https://www.googleapis.com/auth/adwords"])
    platform.add_token("short", [MANAGER], NOW + timedelta(seconds=1))
    clock.now += timedelta(seconds=1)

    async def told(token: str) -> tuple[int, str]:
        answer = await google.post("/v1/events:ingest", json=body(), headers={"authorization": f"Bearer {token}"})
        return answer.status_code, reason(answer)

    assert await told("short") == (401, "ACCESS_TOKEN_EXPIRED")
    assert await told("ads-only") == (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
    platform.behaviour.is_service_enabled = False
    assert await told("good") == (403, "SERVICE_DISABLED")


@pytest.mark.parametrize(("operating", "login"), [(ADS, None), (ADS, OTHER), (OTHER, MANAGER), ("1", MANAGER)])
async def test_a_wrong_way_to_an_account_is_no_permission(google: httpx.AsyncClient, operating: str, login: str | None) -> None:
    """The credential is a user of the manager only: directly, through another account or elsewhere it has no access."""
    wrong = {
        "reference": "won",
        "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": operating},
        "productDestinationId": WON,
    }
    if login is not None:
        wrong["loginAccount"] = {"accountType": "GOOGLE_ADS", "accountId": login}

    answer = await send(google, body(destinations=[wrong]))

    assert (answer.status_code, answer.json()["error"]["status"]) == (403, "PERMISSION_DENIED")


async def test_the_quota_counts_status_calls_and_frees_itself(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """A dispatcher that polls too much starves its own uploads."""
    platform.quota = Quota(per_minute=2, per_day=3, tells_retry_after=True)
    request_id = await accept(google)
    await verdict(google, request_id)

    refused = await send(google, body())
    clock.now += timedelta(minutes=1)
    freed = await send(google, body())
    clock.now += timedelta(minutes=1)
    spent = await send(google, body())

    assert [each.status_code for each in (refused, freed, spent)] == [429, 200, 429]
    assert (refused.headers["retry-after"], spent.json()["error"]["status"]) == ("60", "RESOURCE_EXHAUSTED")
    assert platform.calls == {"events:ingest": 4, "requestStatus:retrieve": 1}


async def test_a_refresh_token_opens_the_door_until_it_is_revoked(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """The token works for an hour; a revoked consent is invalid_grant, which only a person mends."""
    grant = RefreshGrant("refresh", "client", "secret", frozenset({MANAGER}))
    platform.add_grant(grant)
    form = {"grant_type": "refresh_token", "client_id": "client", "client_secret": "secret", "refresh_token": "refresh"}

    answer = await google.post("/token", data=form)
    headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
    fresh = await google.post("/v1/events:ingest", json=body(), headers=headers)
    clock.now += timedelta(seconds=answer.json()["expires_in"])
    stale = await google.post("/v1/events:ingest", json=body(), headers=headers)
    wrong = await google.post("/token", data={**form, "client_secret": "other"})
    grant.is_revoked = True
    revoked = await google.post("/token", data=form)

    assert (fresh.status_code, stale.status_code) == (200, 401)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert (revoked.status_code, revoked.json()["error"]) == (400, "invalid_grant")


async def test_a_service_account_signs_for_its_token(google: httpx.AsyncClient, platform: GooglePlatform) -> None:
    """The assertion is verified in truth: key, audience, life and clock."""
    ours, theirs = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    pem = ours.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    platform.add_service_account(ServiceAccount("robot@example.test", pem, frozenset({MANAGER})))
    issued = int(NOW.timestamp())
    claims = {"iss": "robot@example.test", "scope": DATA_MANAGER_SCOPE, "aud": AUDIENCE, "iat": issued, "exp": issued + 3600}

    async def exchange(key: rsa.RSAPrivateKey = ours, **changes: Any) -> httpx.Response:
        assertion = jwt.encode({**claims, **changes}, key, algorithm="RS256")
        return await google.post(
            "/token", data={"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        )

    good = await exchange()
    bad = [
        await exchange(theirs),
        await exchange(aud="other"),
        await exchange(exp=issued + 3601),
        await exchange(iat=issued - 3600, exp=issued),
    ]
    sent = await google.post("/v1/events:ingest", json=body(), headers={"authorization": f"Bearer {good.json()['access_token']}"})

    assert (good.status_code, sent.status_code) == (200, 200)
    assert [each.json()["error"] for each in bad] == ["invalid_grant"] * 4
