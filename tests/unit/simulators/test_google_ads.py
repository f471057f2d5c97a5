"""The simulated Google Ads API answers queries, makes conversion actions and takes conversions back as the facts say."""

import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.simulators.google import ADS_SCOPE, EnhancedConversions, GooglePlatform, Key
from connectors.simulators.google.spending import Spent
from tests.unit.simulators.google_rig import (
    ADS,
    MANAGER,
    NOW,
    OTHER,
    SQL,
    WON,
    Clock,
    accept,
    event,
    late_reason,
    new_client,
    new_platform,
)

ROOT = f"/v26/customers/{ADS}"
HEADERS = {"authorization": "Bearer ads", "login-customer-id": MANAGER}
AT = "2026-11-23 10:00:00+01:00"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform() -> GooglePlatform:
    platform = new_platform()
    platform.add_token("ads", [MANAGER], NOW + timedelta(days=999), [ADS_SCOPE])
    return platform


@pytest.fixture
async def google(platform: GooglePlatform, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(platform, clock) as client:
        yield client


async def ask(google: httpx.AsyncClient, query: str, root: str = ROOT, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await google.post(f"{root}/googleAds:searchStream", json={"query": query}, headers={**HEADERS, **named})


async def found(google: httpx.AsyncClient, query: str) -> list[Any]:
    answer = await ask(google, query)
    assert answer.status_code == 200, answer.text
    return [row for chunk in answer.json() for row in chunk["results"]]


def retraction(name: str = "deal-1:won", action: str = WON, **changes: Any) -> dict[str, Any]:
    resource = f"customers/{ADS}/conversionActions/{action}"
    made = {"conversionAction": resource, "adjustmentType": "RETRACTION", "orderId": name, "adjustmentDateTime": AT}
    return {**made, **changes}


async def adjust(google: httpx.AsyncClient, *items: Any, **changes: Any) -> httpx.Response:
    body = {"conversionAdjustments": list(items), "partialFailure": True, "validateOnly": False, **changes}
    return await google.post(f"{ROOT}:uploadConversionAdjustments", json=body, headers=HEADERS)


async def mutate(google: httpx.AsyncClient, *actions: Any, **changes: Any) -> httpx.Response:
    body = {"operations": [{"create": one} for one in actions], "partialFailure": True, **changes}
    return await google.post(f"{ROOT}/conversionActions:mutate", json=body, headers=HEADERS)


def action(name: str = "Qualified", **changes: Any) -> dict[str, Any]:
    made = {"name": name, "type": "UPLOAD_CLICKS", "category": "QUALIFIED_LEAD", "countingType": "MANY_PER_CLICK"}
    return {**made, "clickThroughLookbackWindowDays": "90", **changes}


def told(answer: httpx.Response) -> dict[int | None, str]:
    """The code of each failed row (None: of the whole call), read from the shape of the facts, section 3.5."""
    body = answer.json()
    status = body.get("partialFailureError") or body["error"]
    (failure,) = status["details"]
    codes: dict[int | None, str] = {}
    for error in failure["errors"]:
        ((_, code),) = error["errorCode"].items()
        path = error.get("location", {}).get("fieldPathElements", [{}])
        codes[path[0].get("index")] = code
    return codes


async def recorded(google: httpx.AsyncClient, clock: Clock, name: str = "deal-1:won") -> None:
    """One conversion, processed and old enough to be corrected."""
    await accept(google, event(name))
    clock.now += timedelta(hours=1)


@pytest.mark.parametrize(("heading", "count"), [("## 9.", 2), ("## 10.", 1)])
async def test_the_queries_of_the_facts_are_answered(
    google: httpx.AsyncClient, platform: GooglePlatform, shared: Path, heading: str, count: int
) -> None:
    """A simulator that knows other fields than Google would let a connector ask for what is not there."""
    platform.spending.campaigns["111"] = "Brand"
    platform.spending.days[ADS, "111", date(2026, 11, 3)] = Spent(Decimal("1.23"), 4, 200)
    section = (shared / "facts/ads_google.md").read_text(encoding="utf-8").partition(f"\n{heading}")[2].partition("\n## ")[0]
    queries = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)

    assert len(queries) == count
    for query in queries:
        assert await found(google, query), query


async def test_spend_is_told_as_google_writes_it(google: httpx.AsyncClient, platform: GooglePlatform) -> None:
    """Whole numbers are texts, zeros are left out, and days outside of the question have no row."""
    platform.spending.campaigns |= {"111": "Brand", "112": "Idle"}
    platform.spending.days[ADS, "111", date(2026, 11, 1)] = Spent(Decimal("1.23"), 4, 200)
    platform.spending.days[ADS, "112", date(2026, 11, 21)] = Spent(Decimal(0), 0, 7)
    platform.spending.days[ADS, "111", date(2026, 11, 22)] = Spent(Decimal(9), 1, 1)
    platform.spending.days[OTHER, "111", date(2026, 11, 2)] = Spent(Decimal(8), 1, 1)

    rows = await found(
        google,
        "SELECT campaign.id, campaign.name, segments.date, metrics.cost_micros, metrics.clicks, metrics.impressions,"
        " customer.currency_code FROM campaign WHERE segments.date BETWEEN '2026-11-01' AND '2026-11-21'",
    )

    assert rows == [
        {
            "campaign": {"id": "111", "name": "Brand"},
            "segments": {"date": "2026-11-01"},
            "metrics": {"costMicros": "1230000", "clicks": "4", "impressions": "200"},
            "customer": {"currencyCode": "EUR"},
        },
        {
            "campaign": {"id": "112", "name": "Idle"},
            "segments": {"date": "2026-11-21"},
            "metrics": {"impressions": "7"},
            "customer": {"currencyCode": "EUR"},
        },
    ]


async def test_a_long_answer_comes_in_chunks(google: httpx.AsyncClient, platform: GooglePlatform) -> None:
    """The answer is an array, of one empty chunk where there is nothing."""
    platform.spending.campaigns |= {str(number): "Brand" for number in range(501)}
    for number in range(501):
        platform.spending.days[ADS, str(number), date(2026, 11, 3)] = Spent(Decimal(1), 1, 1)
    query = "SELECT campaign.id, segments.date FROM campaign WHERE segments.date BETWEEN '{}' AND '2026-11-21'"

    many, none = await ask(google, query.format("2026-11-01")), await ask(google, query.format("2026-11-04"))

    assert [len(chunk["results"]) for chunk in many.json()] == [500, 1]
    assert [chunk["results"] for chunk in none.json()] == [[]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (
            "SELECT campaign.identity FROM campaign WHERE segments.date BETWEEN '2026-11-01' AND '2026-11-02'",
            "UNRECOGNIZED_FIELD",
        ),
        ("SELECT campaign.id FROM campaign", "EXPECTED_FILTERS_ON_DATE_RANGE"),
        ("SELECT campaign.id FROM campaigns", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"),
        ("SELECT conversion_action.id FROM conversion_action WHERE conversion_action.type = 'UPLOAD'", "BAD_VALUE"),
        ("DELETE FROM campaign", "UNEXPECTED_INPUT"),
    ],
)
async def test_a_query_that_google_does_not_know_is_refused(google: httpx.AsyncClient, query: str, code: str) -> None:
    """One wrong field fails all of it, and a refusal has one error of one family."""
    answer = await ask(google, query)

    assert (answer.status_code, told(answer)) == (400, {None: code})


@pytest.mark.parametrize(("version", "is_new"), [("v25", False), ("v26", True)])
@pytest.mark.parametrize("is_on", [True, False])
async def test_the_switch_of_enhanced_conversions_has_a_name_by_version(
    google: httpx.AsyncClient, platform: GooglePlatform, version: str, *, is_new: bool, is_on: bool
) -> None:
    """v26 renamed it: asking by the other name fails the question."""
    if not is_on:
        platform.world.accounts[ADS].enhanced_conversions = EnhancedConversions.OFF_UNNOTICED
    prefix = "customer.conversion_tracking_setting."
    names = [f"{prefix}effective_enablement_setting", f"{prefix}enhanced_conversions_for_leads_enabled"]

    new, old = [await ask(google, f"SELECT {name} FROM customer", f"/{version}/customers/{ADS}") for name in names]

    assert (new.status_code, old.status_code) == ((200, 400) if is_new else (400, 200))
    (chunk,) = (new if is_new else old).json()
    tracking = chunk["results"][0]["customer"]["conversionTrackingSetting"] if chunk["results"][0] else {}
    # What is false is left out.
    old_way = {"enhancedConversionsForLeadsEnabled": True} if is_on else {}
    assert tracking == ({"effectiveEnablementSetting": "ON" if is_on else "OFF"} if is_new else old_way)


@pytest.mark.parametrize(
    ("root", "headers", "status", "code"),
    [
        (ROOT, {"authorization": "Bearer gone"}, 401, "OAUTH_TOKEN_EXPIRED"),
        (ROOT, {"authorization": ""}, 401, "OAUTH_TOKEN_EXPIRED"),
        (ROOT, {"login_customer_id": ADS}, 403, "USER_PERMISSION_DENIED"),
        (f"/v26/customers/{OTHER}", {}, 403, "USER_PERMISSION_DENIED"),
        (f"/v19/customers/{ADS}", {}, 404, "UNSUPPORTED_VERSION"),
    ],
)
async def test_who_may_ask(google: httpx.AsyncClient, root: str, headers: dict[str, str], status: int, code: str) -> None:
    """Access through a manager needs its header; versions end."""
    answer = await ask(google, "SELECT customer.id FROM customer", root, **headers)

    assert (answer.status_code, told(answer)) == (status, {None: code})


async def test_a_token_without_the_scope_is_told_a_reason(google: httpx.AsyncClient) -> None:
    """What stands before the API knows no families of codes: an ErrorInfo says it."""
    answer = await ask(google, "SELECT customer.id FROM customer", authorization="Bearer good")

    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (403, "PERMISSION_DENIED")
    assert [detail["reason"] for detail in error["details"]] == ["ACCESS_TOKEN_SCOPE_INSUFFICIENT"]


async def test_a_conversion_action_that_is_made_is_found_again(google: httpx.AsyncClient, platform: GooglePlatform) -> None:
    """By the number of its resource name, with what was asked for."""
    answer = await mutate(google, action("Qualified", countingType="ONE_PER_CLICK"))

    (made,) = answer.json()["results"]
    number = made["resourceName"].removeprefix(f"customers/{ADS}/conversionActions/")
    names = ("id", "name", "status", "type", "category", "counting_type", "click_through_lookback_window_days")
    fields = ", ".join(f"conversion_action.{name}" for name in names)
    rows = await found(google, f"SELECT {fields} FROM conversion_action WHERE conversion_action.type = 'UPLOAD_CLICKS'")
    assert {"id": number, "name": "Qualified", "status": "ENABLED", "type": "UPLOAD_CLICKS", "category": "QUALIFIED_LEAD"} | {
        "countingType": "ONE_PER_CLICK",
        "clickThroughLookbackWindowDays": "90",
    } in [row["conversionAction"] for row in rows]
    assert platform.world.accounts[ADS].actions[number].created_at == NOW


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "Taken"}, "DUPLICATE_NAME"),
        ({"type": "WEBPAGE_CODELESS"}, "CREATION_NOT_SUPPORTED"),
        ({"clickThroughLookbackWindowDays": "91"}, "TOO_HIGH"),
        ({"clickThroughLookbackWindowDays": "0"}, "TOO_LOW"),
    ],
)
async def test_an_action_that_is_refused_is_named_alone(google: httpx.AsyncClient, changes: dict[str, Any], code: str) -> None:
    """The others of the request are made; the refused one has an empty result in its place."""
    await mutate(google, action("Taken"))

    answer = await mutate(google, action("Before"), {**action("Bad"), **changes}, action("After"))

    assert (answer.status_code, told(answer)) == (200, {1: code})
    assert [bool(one) for one in answer.json()["results"]] == [True, False, True]


async def test_a_retraction_takes_count_and_value_for_ever(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """The same id does not count again, whatever it brings; another one does."""
    await recorded(google, clock)
    assert platform.ledger.total(WON) == 150.0
    clock.now += timedelta(days=1)

    answer = await adjust(google, retraction())

    entry = platform.ledger.entries[Key(WON, "deal-1:won")]
    assert answer.json() == {
        "results": [{"conversionAction": f"customers/{ADS}/conversionActions/{WON}", "orderId": "deal-1:won"}]
    }
    assert (entry.times_counted, entry.is_retracted, platform.ledger.total(WON)) == (0, True, 0.0)
    assert await late_reason(google, clock, event(conversionValue=99.0)) == "DUPLICATE_TRANSACTION_ID"
    assert await late_reason(google, clock, event("deal-1:won-again")) is None
    assert platform.ledger.total(WON) == 150.0


async def test_each_row_that_cannot_be_taken_back_is_named(google: httpx.AsyncClient, clock: Clock) -> None:
    """200 with failures by index; those between them are done."""
    await recorded(google, clock)
    clock.now += timedelta(days=2)
    foreign = retraction(conversionAction=f"customers/{OTHER}/conversionActions/{WON}")

    answer = await adjust(google, retraction("never-sent"), retraction(), retraction(), retraction(action="999"), foreign)

    assert answer.status_code == 200
    assert told(answer) == {
        0: "CONVERSION_NOT_FOUND",
        2: "DUPLICATE_ADJUSTMENT_IN_REQUEST",
        3: "NO_CONVERSION_ACTION_FOUND",
        4: "NO_CONVERSION_ACTION_FOUND",
    }
    assert [bool(one) for one in answer.json()["results"]] == [False, True, False, False, False]
    assert told(await adjust(google, retraction())) == {0: "CONVERSION_ALREADY_RETRACTED"}


@pytest.mark.parametrize(
    ("age", "code"),
    [
        (timedelta(hours=23, minutes=59), "TOO_RECENT_CONVERSION"),
        (timedelta(hours=24), None),
        (timedelta(days=54), None),
        (timedelta(days=54, seconds=1), "CONVERSION_EXPIRED"),
    ],
)
async def test_the_window_of_a_retraction(google: httpx.AsyncClient, clock: Clock, age: timedelta, code: str | None) -> None:
    """From 24 hours to 54 days after the conversion."""
    await recorded(google, clock)
    clock.now = NOW.replace(month=11, day=20, hour=14, minute=3, second=11) + age

    answer = await adjust(google, retraction())

    assert (told(answer) if code else answer.json().get("partialFailureError")) == ({0: code} if code else None)


async def test_what_never_matched_has_nothing_to_take_back(google: httpx.AsyncClient, clock: Clock) -> None:
    """Google took it and recorded nothing."""
    await accept(google, event("deal-2:won", adIdentifiers={"gclid": "Cj0KCQ_madeup"}, userData=None))
    clock.now += timedelta(days=2)

    assert told(await adjust(google, retraction("deal-2:won"))) == {0: "CONVERSION_NOT_FOUND"}


async def test_a_rehearsal_takes_nothing_back(google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock) -> None:
    """With `validateOnly` there are no results, only what would fail."""
    await recorded(google, clock)
    clock.now += timedelta(days=1)

    answer = await adjust(google, retraction(), retraction("never-sent"), validateOnly=True)

    assert (told(answer), answer.json()["results"]) == ({1: "CONVERSION_NOT_FOUND"}, [])
    assert platform.ledger.total(WON) == 150.0


@pytest.mark.parametrize(
    ("items", "changes", "code"),
    [
        ([retraction()], {"partialFailure": False}, "PARTIAL_FAILURE_MODE_REQUIRED"),
        ([retraction(str(number)) for number in range(2001)], {}, "TOO_MANY_ADJUSTMENTS_IN_REQUEST"),
        ([retraction(adjustmentDateTime="2026-11-23T10:00:00Z")], {}, "REQUIRED_FIELD_MISSING"),
        ([retraction(restatementValue={"adjustedValue": 1.0})], {}, "REQUIRED_FIELD_MISSING"),
        ([retraction(adjustmentType="ENHANCEMENT")], {}, "REQUIRED_FIELD_MISSING"),
        ([{"orderId": "deal-1:won"}], {}, "REQUIRED_FIELD_MISSING"),
    ],
)
async def test_a_request_of_another_shape_fails_as_a_whole(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock, items: list[Any], changes: dict[str, Any], code: str
) -> None:
    """Times need a space and an offset with its colon, and a retraction has no value."""
    await recorded(google, clock)
    clock.now += timedelta(days=1)

    answer = await adjust(google, *items, **changes)

    assert (answer.status_code, told(answer)) == (400, {None: code})
    assert platform.ledger.total(WON) == 150.0
    assert platform.ledger.entries.keys() == {Key(WON, "deal-1:won")}
    assert SQL in platform.world.accounts[ADS].actions
