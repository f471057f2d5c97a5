import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.simulators.faults import FaultPlan, FaultyTransport
from connectors.simulators.pipedrive import DEFAULT_SCOPES, Company, OAuthApp, Plan, create_pipedrive
from connectors.simulators.pipedrive.faults import day_is_used_up, is_blocked, is_unpaid, pipedrive_faults
from tests.unit.simulators.pipedrive_rig import DEALS, START, Rig

APP = OAuthApp("client", "hush", "refresh-me", "https://leadloop.example/callback")
LOGIN = {"Authorization": "Basic " + base64.b64encode(b"client:hush").decode()}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Company(has_limits=False))
    yield made
    await made.client.aclose()


async def granted(rig: Rig, **form: str) -> httpx.Response:
    return await rig.client.post("/oauth/token", data=form, headers=LOGIN)


async def refreshed(rig: Rig, token: str = "refresh-me") -> httpx.Response:
    return await granted(rig, grant_type="refresh_token", refresh_token=token)


async def test_only_the_header_opens_the_company(rig: Rig) -> None:
    """The query form would put the token into logs; a wrong, old or missing one is told as 401 in the vendor's words."""
    token, headers = rig.company.tokens[0], {"x-api-token": "wrong"}

    answers = [
        await rig.client.get(DEALS),
        await rig.client.get(DEALS, params={"api_token": token}),
        await rig.client.get(DEALS, headers=headers),
    ]
    renewed = rig.company.access.regenerate(token)
    answers.append(await rig.get(DEALS))
    rig.token = renewed

    assert [one.status_code for one in answers] == [401] * 4
    assert answers[0].json()["error"] == "unauthorized access"
    assert answers[0].json()["errorCode"] == 401
    assert (await rig.get(DEALS)).status_code == 200


async def test_both_prefixes_of_v1_serve_and_its_old_twins_do_not(rig: Rig) -> None:
    """What went out of support in August 2026 must not be built upon; recents loses rows."""
    twins = ["/v1/deals", "/api/v1/deals/1", "/v1/persons", "/v1/recents", "/v1/stages/1/deals", "/v1/deals/archived"]

    answers = [await rig.get(path) for path in twins]

    assert [one.status_code for one in answers] == [410] * len(twins)
    assert [(await rig.get(path)).status_code for path in ("/v1/users/me", "/api/v1/users/me")] == [200, 200]
    assert [(await rig.get(path)).status_code for path in ("/api/v2/leads", "/v2/deals", "/api/v2/recents")] == [404] * 3
    assert (await rig.post(DEALS)).status_code == 405


async def test_access_tokens_run_out_and_are_got_by_the_refresh_token() -> None:
    """A token ends in the middle of a page; refreshing must mend that, and must end when the app is uninstalled."""
    rig = Rig(Company(oauth=APP, has_limits=False))
    reply = (await refreshed(rig)).json()
    rig.bearer = reply["access_token"]

    fresh = await rig.get(DEALS)
    rig.now += timedelta(seconds=reply["expires_in"])
    stale = await rig.get(DEALS)
    rig.company.access.revoke()
    revoked = await refreshed(rig)

    assert (fresh.status_code, stale.status_code) == (200, 401)
    assert (reply["token_type"], reply["expires_in"], reply["api_domain"]) == ("Bearer", 3600, "https://northwind.pipedrive.com")
    assert (reply["refresh_token"], reply["scope"].split()) == ("refresh-me", sorted(DEFAULT_SCOPES))
    assert (revoked.status_code, revoked.json()["error"]) == (400, "invalid_grant")


async def test_an_exchange_that_is_repeated_is_refused() -> None:
    """Ten workers and an expired token: all but the first exchange fail, so there must be only one."""
    rig = Rig(Company(oauth=APP))
    code = rig.company.access.authorize(rig.now)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": APP.redirect_uri}

    codes = [(await granted(rig, **form)).status_code for _ in range(2)]
    rig.now += timedelta(minutes=1)
    refreshes = [(await refreshed(rig)).status_code for _ in range(2)]
    rig.now += timedelta(minutes=1)

    assert (codes, refreshes, (await refreshed(rig)).status_code) == ([200, 400], [200, 400], 200)
    late = rig.company.access.authorize(rig.now)
    rig.now += timedelta(minutes=5)
    assert (await granted(rig, **{**form, "code": late})).status_code == 400


async def test_refresh_tokens_rotate_and_die_unused() -> None:
    """Whichever refresh token comes back is the one to keep; after 60 days of rest none is good."""
    rotating = OAuthApp(APP.client_id, APP.client_secret, APP.refresh_token, is_rotating=True)
    rig = Rig(Company(oauth=rotating))
    second = (await refreshed(rig)).json()["refresh_token"]

    old, new = await refreshed(rig), await refreshed(rig, second)
    rig.now += timedelta(days=60)
    dead = await refreshed(rig, new.json()["refresh_token"])

    assert second != APP.refresh_token
    assert (old.status_code, new.status_code, dead.status_code) == (400, 200, 400)


async def test_the_token_endpoint_wants_the_client_by_basic() -> None:
    """Client id and secret in the form are not Pipedrive's way."""
    rig = Rig(Company(oauth=APP))
    form = {"grant_type": "refresh_token", "refresh_token": "refresh-me", "client_id": "client", "client_secret": "hush"}

    assert (await rig.client.post("/oauth/token", data=form)).status_code == 401
    assert (await granted(rig, grant_type="password")).json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    ("scope", "paths"),
    [
        ("base", ["/v1/users/me", "/v1/currencies"]),
        ("deals:read", [DEALS, "/api/v2/stages", "/api/v2/dealFields"]),
        ("contacts:read", ["/api/v2/persons", "/api/v2/personFields"]),
        ("leads:read", ["/v1/leads", "/v1/leadLabels"]),
        ("recents:read", ["/v1/deals/1/changelog"]),
        ("admin", ["/v1/webhooks", "/api/v2/pipelines", "/api/v2/dealFields"]),
    ],
)
async def test_each_scope_opens_its_own_endpoints(scope: str, paths: list[str]) -> None:
    """A missing scope is a 403 in JSON that names it; the changelog wants recents:read, which is easily forgotten."""
    rig = Rig(Company(oauth=APP, has_limits=False, scopes=frozenset({scope})))
    rig.company.create_deal({"title": "x"}, START)
    rig.bearer = rig.company.access.issue(rig.now)
    others = {"base": DEALS, "admin": "/v1/leads"}.get(scope, "/v1/webhooks")

    opened = [(await rig.get(path)).status_code for path in paths]
    shut = await rig.get(others)

    assert opened == [200] * len(paths)
    assert (shut.status_code, shut.json()["success"], "scope" in shut.json()["error"].lower()) == (403, False, True)


async def test_bursts_are_limited_in_two_seconds_by_token() -> None:
    """A refused call costs nothing and says when the window is over; an OAuth app has a window of its own."""
    rig = Rig(Company(oauth=APP))
    answers = [await rig.get("/v1/users/me") for _ in range(21)]
    rig.bearer = rig.company.access.issue(rig.now)
    by_app = await rig.get("/v1/users/me")
    rig.bearer, rig.now = None, rig.now + timedelta(seconds=2)

    assert [one.status_code for one in answers] == [200] * 20 + [429]
    assert (answers[0].headers["x-ratelimit-limit"], answers[0].headers["x-ratelimit-remaining"]) == ("20", "19")
    assert answers[20].headers["x-ratelimit-reset"] == "2"
    assert (by_app.headers["x-ratelimit-limit"], (await rig.get("/v1/users/me")).status_code) == ("80", 200)
    assert rig.company.limits.spent_today(rig.now) == 22 * 2


async def test_the_daily_budget_is_spent_by_cost_until_midnight_utc() -> None:
    """It is shared with the customer's other apps, and when it is spent nothing goes before midnight."""
    rig = Rig(Company(plan=Plan.GROWTH, seats=3), now=datetime(2026, 11, 2, 23, 59, 50, tzinfo=UTC))
    whole = rig.company.limits.daily
    rig.company.limits.spend(whole - 25, rig.now)

    paths = ["/v1/leads", DEALS, "/v1/users/me"]
    answers = [await rig.get(path) for path in paths]
    rig.now += timedelta(seconds=10)
    tomorrow = await rig.get("/v1/leads")

    assert (whole, [one.status_code for one in answers]) == (180_000, [200, 429, 200])
    assert answers[0].headers["x-daily-ratelimit-token-remaining"] == "5"
    assert (answers[1].headers["x-daily-ratelimit-token-remaining"], answers[1].json()["errorCode"]) == ("0", 429)
    assert (tomorrow.status_code, tomorrow.headers["x-daily-ratelimit-token-remaining"]) == (200, "179980")
    assert rig.company.tokens_spent == {"GET v1/leads": 40, "GET v1/users/me": 2}


async def test_who_ignores_429_is_blocked_for_half_an_hour() -> None:
    """Then every call gets Cloudflare's page, which is no JSON, even within all limits."""
    rig = Rig(Company())
    rig.company.limits.patience = 3
    answers = [await rig.get("/v1/users/me") for _ in range(24)]
    rig.now += timedelta(minutes=29)
    blocked = await rig.get(DEALS)
    rig.now += timedelta(minutes=1)

    assert [one.status_code for one in answers[19:]] == [200, 429, 429, 429, 403]
    assert (blocked.status_code, blocked.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert (await rig.get(DEALS)).status_code == 200


async def test_an_unpaid_company_answers_402(rig: Rig) -> None:
    """It is no fault of the token: the customer has to pay."""
    rig.company.is_paid = False

    assert (await rig.get(DEALS)).status_code == 402


async def test_every_answer_has_the_date_of_the_clock(rig: Rig) -> None:
    """Windows end at the server's Date, so a simulated day needs a simulated Date."""
    answers = [await rig.get(DEALS), await rig.get("/nowhere"), await rig.client.get(DEALS)]

    assert {one.headers["date"] for one in answers} == {"Mon, 02 Nov 2026 12:00:00 GMT"}
    assert rig.company.requests["GET v2/deals"] == 2


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (pipedrive_faults()["throttled"], 429, "application/json"),
        (pipedrive_faults()["expired_token"], 401, "application/json"),
        (pipedrive_faults()["unknown_error"], 400, "application/json"),
        (day_is_used_up(), 429, "application/json"),
        (is_blocked(), 403, "text/html; charset=utf-8"),
        (is_unpaid(), 402, "application/json"),
    ],
)
async def test_faults_speak_as_the_vendor(fault: Any, status: int, kind: str) -> None:
    """A scripted fault must look like the one that the company itself would raise."""
    company = Company()
    plan = FaultPlan().script(fault)
    transport = FaultyTransport(httpx.ASGITransport(create_pipedrive(company, lambda: START)), plan)

    async with httpx.AsyncClient(transport=transport, base_url="https://northwind.pipedrive.com") as client:
        answer = await client.get(DEALS, headers={"x-api-token": company.tokens[0]})

    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
    assert kind.startswith("text") or answer.json()["success"] is False
