"""The simulated ad account of Meta tells what campaigns cost as the facts about Insights say."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.simulators.meta import Dataset, MetaPlatform, Throttle, Token, create_meta
from connectors.simulators.meta.ad_account import FIELDS, AdAccount, Spent
from tests.wire.error_words import fact_rows

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
INSIGHTS = "/v26.0/act_998877/insights"
FIRST, LAST = "2026-11-01", "2026-11-21"
ALL = "account_id,account_currency,campaign_id,campaign_name,spend,impressions,clicks,date_start,date_stop"


@pytest.fixture
def platform() -> MetaPlatform:
    platform = MetaPlatform([Dataset("777")])
    platform.add_token(Token("good", frozenset({"777"})))
    platform.ad_account = AdAccount("998877", currency="EUR", time_zone="Europe/Madrid")
    return platform


@pytest.fixture
async def meta(platform: MetaPlatform) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_meta(platform, lambda: NOW))
    headers = {"authorization": "Bearer good"}
    async with httpx.AsyncClient(transport=transport, base_url="http://meta.test", headers=headers) as client:
        yield client


def spend(platform: MetaPlatform, campaign: str, day: str, cost: str, clicks: int = 4, impressions: int = 200) -> None:
    platform.ad_account.campaigns[campaign] = f"Campaign {campaign}"
    platform.ad_account.days[campaign, date.fromisoformat(day)] = Spent(Decimal(cost), clicks, impressions)


def question(**changes: Any) -> dict[str, str]:
    made = {
        "level": "campaign",
        "time_increment": "1",
        "time_range": json.dumps({"since": changes.pop("since", FIRST), "until": changes.pop("until", LAST)}),
        "fields": ALL,
        "limit": "500",
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def codes(answer: httpx.Response) -> tuple[int, int, int | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("error_subcode")


def test_its_fields_are_those_of_the_facts(shared: Path) -> None:
    """A simulator that knows other fields than Meta would let a connector ask for what is not there."""
    cells = {row[0]: row[1] for row in fact_rows(shared, "ads_meta.md", "## 10.")}

    assert set(cells["fields"].split(",")) == FIELDS


async def test_a_row_is_a_campaign_on_a_day(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """Figures are texts, both ends of the range count, and a day without delivery has no row."""
    spend(platform, "111", FIRST, "5339.5")
    spend(platform, "112", LAST, "0.10", clicks=0, impressions=3)
    spend(platform, "111", "2026-10-31", "7")
    spend(platform, "111", "2026-11-22", "8")

    answer = await meta.get(INSIGHTS, params=question())

    assert answer.json()["data"] == [
        {
            "account_id": "998877",
            "account_currency": "EUR",
            "campaign_id": "111",
            "campaign_name": "Campaign 111",
            "spend": "5339.5",
            "impressions": "200",
            "clicks": "4",
            "date_start": FIRST,
            "date_stop": FIRST,
        },
        {
            "account_id": "998877",
            "account_currency": "EUR",
            "campaign_id": "112",
            "campaign_name": "Campaign 112",
            "spend": "0.10",
            "impressions": "3",
            "clicks": "0",
            "date_start": LAST,
            "date_stop": LAST,
        },
    ]
    assert "next" not in answer.json()["paging"]


async def test_pages_follow_the_cursor_until_there_is_no_next(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """The last page still has a cursor: only `next` says whether there is more."""
    for number in range(5):
        spend(platform, f"{100 + number}", FIRST, "1")
    seen, after, pages = [], None, []
    while True:
        body = (await meta.get(INSIGHTS, params=question(limit="2", after=after))).json()
        seen += [row["campaign_id"] for row in body["data"]]
        pages.append(len(body["data"]))
        after = body["paging"]["cursors"]["after"]
        if "next" not in body["paging"]:
            break

    assert (pages, seen) == ([2, 2, 1], ["100", "101", "102", "103", "104"])


async def test_a_page_holds_twenty_five_rows_where_nobody_says_more(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """Whoever forgets `limit` or the cursor loses the rest."""
    for number in range(30):
        spend(platform, f"{100 + number}", FIRST, "1")

    body = (await meta.get(INSIGHTS, params=question(limit=None))).json()

    assert (len(body["data"]), "next" in body["paging"]) == (25, True)


async def test_nothing_spent_is_an_empty_list(meta: httpx.AsyncClient) -> None:
    """No row, no cursor, no error."""
    assert (await meta.get(INSIGHTS, params=question())).json() == {"data": []}


async def test_a_corrected_day_and_a_new_name_are_told_at_once(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """Spend is restated for weeks, and a name is of today even on old days."""
    spend(platform, "111", FIRST, "5")
    spend(platform, "111", FIRST, "4.5")
    platform.ad_account.campaigns["111"] = "Renamed"

    (row,) = (await meta.get(INSIGHTS, params=question(fields="spend,campaign_name"))).json()["data"]

    assert row == {"spend": "4.5", "campaign_name": "Renamed"}


@pytest.mark.parametrize(
    "changes",
    [
        {"level": "ad"},
        {"level": None},
        {"time_increment": "monthly"},
        {"time_increment": None},
        {"fields": "campaign_id,cost"},
        {"time_range": None},
        {"time_range": "yesterday"},
        {"since": LAST, "until": FIRST},
        {"since": "01/11/2026"},
        {"limit": "many"},
        {"after": "no cursor"},
        {"after": base64.urlsafe_b64encode(b"x").decode()},
    ],
)
async def test_a_question_that_meta_does_not_know_is_refused(meta: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    """Code 100, as of every wrong parameter."""
    assert codes(await meta.get(INSIGHTS, params=question(**changes))) == (400, 100, None)


@pytest.mark.parametrize(("days", "status"), [(37 * 31, 200), (37 * 31 + 1, 400)])
async def test_old_days_are_gone(meta: httpx.AsyncClient, days: int, status: int) -> None:
    """Meta keeps 37 months and refuses the whole question for one day more."""
    since = (NOW - timedelta(days=days)).date().isoformat()

    assert (await meta.get(INSIGHTS, params=question(since=since))).status_code == status


async def test_the_account_tells_currency_and_zone(meta: httpx.AsyncClient) -> None:
    """Of the fields that are asked for, and of no other account."""
    asked = {"fields": "currency,timezone_name"}

    answer = await meta.get("/v26.0/act_998877", params=asked)

    assert answer.json() == {"id": "act_998877", "currency": "EUR", "timezone_name": "Europe/Madrid"}
    assert codes(await meta.get("/v26.0/act_998877", params={"fields": "moneda"})) == (400, 100, None)
    assert codes(await meta.get("/v26.0/act_1", params=asked)) == (400, 100, 33)
    assert codes(await meta.get("/v26.0/act_1/insights", params=question())) == (400, 100, 33)


async def test_reports_are_asked_with_a_token_and_by_a_version(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """As uploads are: a dead token is 190, a version that is not served is no path; the token may stand in the address."""
    in_address = await meta.get(INSIGHTS, params=question(access_token="good"), headers={"authorization": ""})
    dead = await meta.get(INSIGHTS, params=question(), headers={"authorization": "Bearer dead"})
    old = await meta.get(INSIGHTS.replace("v26.0", "v19.0"), params=question())

    assert in_address.status_code == 200
    assert (codes(dead)[:2], codes(old)[:2]) == ((401, 190), (400, 2500))
    assert platform.calls["insights"] == 3


async def test_reports_use_up_the_allowance(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """The headers say how much is used before the throttle falls."""
    platform.throttle = Throttle(per_hour=2)

    answers = [await meta.get(INSIGHTS, params=question()) for _ in range(3)]

    assert [json.loads(one.headers["x-app-usage"])["call_count"] for one in answers] == [50, 100, 100]
    assert [one.status_code for one in answers] == [200, 200, 400]
    assert codes(answers[2])[1] == 80004
    usage = json.loads(answers[2].headers["x-business-use-case-usage"])
    assert usage["1029384756"][0]["estimated_time_to_regain_access"] == 60
