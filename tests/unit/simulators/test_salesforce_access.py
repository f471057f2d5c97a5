import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.simulators.faults import FaultPlan, FaultyTransport
from connectors.simulators.salesforce import JWT_GRANT, ConnectedApp, Org, create_salesforce
from connectors.simulators.salesforce.faults import day_is_used_up, locator_is_dead, row_is_locked, salesforce_faults
from tests.unit.simulators.salesforce_rig import HOST, ROOT, TOKEN_PATH, Rig, at, code

APP = ConnectedApp()
CLIENT = {"client_id": APP.client_id, "client_secret": APP.client_secret}
CREDENTIALS = {"grant_type": "client_credentials", **CLIENT}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Org(session_lifetime=timedelta(minutes=15)))
    yield made
    await made.client.aclose()


def told(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]


async def test_client_credentials_open_a_session_on_my_domain_only(rig: Rig) -> None:
    """The reply holds no lifetime, and the shared login host refuses this grant."""
    basic = await rig.client.post(TOKEN_PATH, data={"grant_type": "client_credentials"}, auth=(APP.client_id, APP.client_secret))
    in_body = await rig.client.post(TOKEN_PATH, data=CREDENTIALS)
    shared = await rig.client.post(f"https://login.salesforce.com{TOKEN_PATH}", data=CREDENTIALS)
    wrong = [await rig.client.post(TOKEN_PATH, data={**CREDENTIALS, name: "x"}) for name in (*CLIENT, "grant_type")]

    assert basic.json()["instance_url"] == HOST
    assert set(basic.json()) == {"access_token", "instance_url", "id", "issued_at", "signature", "token_type", "scope"}
    assert in_body.json()["access_token"] != basic.json()["access_token"]
    assert (told(shared), shared.json()["error_description"]) == (
        (400, "unsupported_grant_type"),
        "request not supported on this domain",
    )
    assert [told(one) for one in wrong] == [(400, "invalid_client_id"), (400, "invalid_client"), (400, "unsupported_grant_type")]
    assert rig.org.requests["token"] == 6


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def with_certificate(key: rsa.RSAPrivateKey) -> Rig:
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Rig(Org(app=ConnectedApp(certificate=pem.decode())))


def claims_at(now: datetime, **more: Any) -> dict[str, Any]:
    expires = int((now + timedelta(minutes=3)).timestamp())
    return {"iss": APP.client_id, "sub": APP.run_as, "aud": "https://login.salesforce.com", "exp": expires, **more}


async def test_a_signed_assertion_opens_a_session(key: rsa.RSAPrivateKey) -> None:
    """The JWT is good on both hosts, and the session belongs to the org whatever the host was."""
    rig = with_certificate(key)
    form = {"grant_type": JWT_GRANT, "assertion": jwt.encode(claims_at(rig.now), key, "RS256")}

    replies = [await rig.client.post(f"{host}{TOKEN_PATH}", data=form) for host in ("https://login.salesforce.com", HOST)]
    rig.session = replies[0].json()["access_token"]

    assert [one.json()["instance_url"] for one in replies] == [HOST, HOST]
    assert (await rig.get("/limits")).status_code == 200


@pytest.mark.parametrize(
    ("broken", "description"),
    [
        (lambda _: {"sub": "stranger@acme.example"}, "user hasn't approved this consumer"),
        (lambda _: {"aud": "https://example.com"}, "audience is invalid"),
        (lambda now: {"exp": int((now + timedelta(minutes=4)).timestamp())}, "expired authorization code"),
        (lambda now: {"exp": int((now - timedelta(seconds=1)).timestamp())}, "expired authorization code"),
        (lambda _: {"iss": "other"}, "client identifier invalid"),
    ],
)
async def test_an_assertion_is_refused_with_its_reason(
    key: rsa.RSAPrivateKey, broken: Callable[[datetime], dict[str, Any]], description: str
) -> None:
    """Whether an admin has to approve a user or a clock runs wrong stands in the description only."""
    rig = with_certificate(key)
    assertion = jwt.encode(claims_at(rig.now, **broken(rig.now)), key, "RS256")

    reply = await rig.client.post(TOKEN_PATH, data={"grant_type": JWT_GRANT, "assertion": assertion})

    assert (reply.status_code, reply.json()["error_description"]) == (400, description)


async def test_an_assertion_of_another_key_is_refused(key: rsa.RSAPrivateKey) -> None:
    """Who does not hold the private key must not come in, nor who holds none and says so."""
    rig = with_certificate(key)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = [jwt.encode(claims_at(rig.now), other, "RS256"), jwt.encode(claims_at(rig.now), "", "none"), "a.b.c", ""]

    replies = [await rig.client.post(TOKEN_PATH, data={"grant_type": JWT_GRANT, "assertion": one}) for one in forged]

    assert [told(one) for one in replies] == [(400, "invalid_grant")] * 4


async def test_a_rotated_refresh_token_kills_the_old_one_at_once() -> None:
    """Whoever loses the new token after the answer has to ask a human for another."""
    rig = Rig(Org(app=ConnectedApp(refresh_token="first", rotates=True)))
    form = {"grant_type": "refresh_token", **CLIENT}

    renewed = await rig.client.post(TOKEN_PATH, data={**form, "refresh_token": "first"})
    dead = await rig.client.post(TOKEN_PATH, data={**form, "refresh_token": "first"})
    again = await rig.client.post(TOKEN_PATH, data={**form, "refresh_token": renewed.json()["refresh_token"]})
    rig.org.sessions.revoke()
    revoked = await rig.client.post(TOKEN_PATH, data={**form, "refresh_token": again.json()["refresh_token"]})

    assert (dead.status_code, dead.json()) == (
        400,
        {"error": "invalid_grant", "error_description": "expired access/refresh token"},
    )
    assert again.status_code == 200
    assert (told(revoked), told(await rig.client.post(TOKEN_PATH, data=CREDENTIALS))) == ((400, "invalid_grant"),) * 2


async def test_a_refresh_token_that_does_not_rotate_lasts() -> None:
    """Without rotation the reply holds no refresh token, and the old one has to be kept."""
    rig = Rig(Org(app=ConnectedApp(refresh_token="first")))

    replies = [
        await rig.client.post(TOKEN_PATH, data={"grant_type": "refresh_token", **CLIENT, "refresh_token": "first"})
        for _ in range(2)
    ]

    assert [(one.status_code, "refresh_token" in one.json()) for one in replies] == [(200, False)] * 2


async def test_sessions_end_when_idle_and_are_told_so_in_an_array(rig: Rig) -> None:
    """Each call keeps the session open; a pause longer than its lifetime ends it."""
    fresh = [(await rig.get("/limits")).status_code]
    for _ in range(2):
        rig.now += timedelta(minutes=10)
        fresh.append((await rig.get("/limits")).status_code)
    rig.now += timedelta(minutes=15)

    stale = await rig.get("/limits")

    assert fresh == [200, 200, 200]
    assert (stale.status_code, stale.json()) == (
        401,
        [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}],
    )
    assert (await rig.client.get(f"{ROOT}/limits")).status_code == 401
    assert (await rig.get("/services/oauth2/userinfo")).json() == {"error": "Bad_OAuth_Token"}


async def test_versions_are_listed_to_anyone_and_retired_ones_gone(rig: Rig) -> None:
    """Setup checks the pinned version before it has a session."""
    listed = await rig.client.get("/services/data/")

    replies = [await rig.get(f"/services/data/v{one}/limits") for one in ("20.0", "99.0", "67.0")]

    assert {"version": "67.0", "label": "Summer '26", "url": ROOT} in listed.json()
    who = (await rig.get("/services/oauth2/userinfo")).json()
    assert [one.status_code for one in replies] == [410, 404, 200]
    assert (await rig.get("/")).json()["query"] == f"{ROOT}/query"
    assert (who["organization_id"], who["preferred_username"]) == (rig.org.org_id, APP.run_as)


async def test_the_calls_of_a_day_run_out_and_come_back(rig: Rig) -> None:
    """The budget is shared with the customer's other integrations and rolls: nobody is told when it ends."""
    rig.org.limits.daily, rig.org.limits.used_elsewhere = 100, 98

    replies = [await rig.get("/limits") for _ in range(3)]
    rig.org.limits.tolerance = 1
    tolerated = await rig.get("/limits")
    rig.org.limits.tolerance = 0
    rig.now += timedelta(hours=24)
    rig.session = rig.org.sessions.issue(rig.now)
    later = await rig.get("/limits")

    assert [one.headers["Sforce-Limit-Info"] for one in replies] == ["api-usage=99/100", "api-usage=100/100", "api-usage=100/100"]
    assert [one.json()["DailyApiRequests"] for one in replies[:2]] == [{"Max": 100, "Remaining": 1}, {"Max": 100, "Remaining": 0}]
    assert code(replies[2]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert "Retry-After" not in replies[2].headers
    assert (tolerated.status_code, later.status_code) == (200, 200)
    assert later.headers["Date"] == "Tue, 03 Nov 2026 12:00:00 GMT"


async def test_a_login_may_be_refused_for_everyone_or_give_an_open_session() -> None:
    """An inactive user stops the source; a session that others use too must not be ended by one of them."""
    rig = Rig(Org(app=ConnectedApp(shares_session=True)))
    rig.org.limits.app = "leadloop"

    shared = await rig.client.post(TOKEN_PATH, data=CREDENTIALS)
    limited = await rig.get("/limits")
    rig.org.sessions.refuses = "inactive_user", "user is inactive"
    refused = await rig.client.post(TOKEN_PATH, data=CREDENTIALS)

    assert shared.json()["access_token"] == rig.session
    assert told(refused) == (400, "inactive_user")
    usage = "api-usage=1/100000; per-app-api-usage=1/100000(appName=leadloop)"
    assert limited.headers["Sforce-Limit-Info"] == usage


async def test_logins_are_counted_by_the_hour(rig: Rig) -> None:
    """A reader that logs in for every call is stopped."""
    for _ in range(3599):
        rig.org.sessions._logins.append(rig.now)

    replies = [await rig.client.post(TOKEN_PATH, data=CREDENTIALS) for _ in range(2)]

    assert replies[0].status_code == 200
    assert told(replies[1]) == (400, "login_rate_exceeded")


async def test_what_the_user_may_not_see_is_not_there(rig: Rig) -> None:
    """Permissions look like schema: hidden objects and fields do not exist; an edition without API says so."""
    contact = rig.org.create("Contact", {"Email": "ada@example.com"}, at())
    rig.org.hide("Lead")
    rig.org.hide("Contact", "Email")

    lead, email = await rig.query("SELECT Id FROM Lead"), await rig.query("SELECT Email FROM Contact")
    described, record = await rig.get("/sobjects/Lead/describe"), await rig.get(f"/sobjects/Contact/{contact}")
    rig.org.is_api_enabled = False
    disabled = await rig.get("/limits")

    assert (code(lead), code(email), code(described)) == ((400, "INVALID_TYPE"), (400, "INVALID_FIELD"), (404, "NOT_FOUND"))
    assert "Email" not in record.json()
    assert code(disabled) == (403, "API_DISABLED_FOR_ORG")


async def test_unknown_paths_and_methods_are_refused(rig: Rig) -> None:
    """A wrong address must not look like an empty answer."""
    replies = [await rig.get("/wizards"), await rig.call("POST", "/query"), await rig.call("DELETE", "/sobjects/Lead/x")]

    assert [code(one) for one in replies] == [(404, "NOT_FOUND"), (405, "METHOD_NOT_ALLOWED"), (405, "METHOD_NOT_ALLOWED")]


async def test_faults_are_the_vendors() -> None:
    """Which limit, whose fault and whether to ask less stands in the body, which may be no JSON at all."""
    faults = {**salesforce_faults(), "day": day_is_used_up(), "locator": locator_is_dead(), "lock": row_is_locked()}
    codes = {name: json.loads(one.body)[0]["errorCode"] for name, one in faults.items() if one.body.startswith(b"[{")}
    org = Org()
    transport = FaultyTransport(httpx.ASGITransport(create_salesforce(org, at)), FaultPlan().script(faults["maintenance"]))

    async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
        down, up = await client.get("/services/data"), await client.get("/services/data")

    assert codes == {
        "throttled": "REQUEST_LIMIT_EXCEEDED",
        "expired_token": "INVALID_SESSION_ID",
        "query_timeout": "QUERY_TIMEOUT",
        "unknown_exception": "UNKNOWN_EXCEPTION",
        "unknown_error": "FLUX_CAPACITOR",
        "day": "REQUEST_LIMIT_EXCEEDED",
        "locator": "INVALID_QUERY_LOCATOR",
        "lock": "UNABLE_TO_LOCK_ROW",
    }
    assert (faults["not_acceptable"].status, b"<html>" in faults["not_acceptable"].body) == (406, True)
    assert (down.status_code, up.status_code, org.requests["versions"]) == (503, 200, 1)
