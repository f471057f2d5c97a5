"""The simulated Conversions API refuses, forgets and counts twice as the facts about Meta say."""

import copy
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.simulators.meta import Dataset, GraphError, Key, MetaPlatform, Throttle, Token, create_meta

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DIGEST = "33ba87fd9ed214b4fcc4d931be50d6091c9572974bda75ec5df228f11a448892"
PATH = "/v26.0/777/events"
Body = dict[str, Any]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform() -> MetaPlatform:
    platform = MetaPlatform([Dataset("777"), Dataset("888")])
    platform.add_token(Token("good", frozenset({"777"})))
    return platform


@pytest.fixture
async def meta(platform: MetaPlatform, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_meta(platform, clock))
    headers = {"authorization": "Bearer good"}
    async with httpx.AsyncClient(transport=transport, base_url="http://meta.test", headers=headers) as client:
        yield client


def event(name: str = "deal-1", **changes: Any) -> Body:
    made: Body = {
        "event_name": "Qualified",
        "event_time": int((NOW - timedelta(days=1)).timestamp()),
        "event_id": name,
        "action_source": "system_generated",
        "user_data": {"em": [DIGEST], "lead_id": 5128873341120976},
        "custom_data": {"event_source": "crm", "lead_event_source": "HubSpot", "value": 42.5, "currency": "EUR"},
        **changes,
    }
    return copy.deepcopy({key: value for key, value in made.items() if value is not None})


def ago(**span: float) -> int:
    return int((NOW - timedelta(**span)).timestamp())


async def send(meta: httpx.AsyncClient, *events: Body, **changes: Any) -> httpx.Response:
    return await meta.post(PATH, json={"data": list(events) or [event()], **changes})


def codes(answer: httpx.Response) -> tuple[int, int, int | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("error_subcode")


async def test_a_batch_is_taken_and_counted_once(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """The plain case: everything received, each event counted, the CRM integration sees it."""
    answer = await send(meta, event("a"), event("b"))

    assert (answer.status_code, answer.json()["events_received"], answer.json()["messages"]) == (200, 2, [])
    assert [platform.ledger.times_counted("Qualified", each) for each in "ab"] == [1, 1]
    assert platform.ledger.entries[Key("777", "Qualified", "a")].is_in_crm_integration
    assert platform.ledger.total("Qualified") == 85.0
    assert platform.received(event_id="b") == [event("b")]


@pytest.mark.parametrize(
    ("changes", "subcode"),
    [
        ({"event_time": ago(days=7, seconds=1)}, 2804003),
        ({"event_time": ago(days=62, seconds=1), "action_source": "physical_store"}, 2804003),
        ({"event_time": ago(seconds=-61)}, 2804001),
        ({"event_time": ago(days=1) * 1000}, 2804001),
        ({"event_time": str(ago(days=1))}, 2804001),
        ({"event_time": float(ago(days=1))}, 2804001),
        ({"event_name": ""}, 2804001),
        ({"action_source": "crm"}, 2804001),
        ({"action_source": "website"}, 2804001),
        ({"user_data": None}, 2804001),
        ({"user_data": {}}, 2804050),
        ({"user_data": {"em": []}}, 2804050),
        ({"user_data": {"fn": DIGEST, "ge": DIGEST}}, 2804050),
        ({"user_data": {"ct": DIGEST, "country": DIGEST, "zp": DIGEST}}, 2804050),
        ({"user_data": {"em": ["jane@example.com"]}}, 2804001),
        ({"user_data": {"em": [DIGEST.upper()]}}, 2804001),
        ({"user_data": {"lead_id": 12345}}, 2804001),
        ({"user_data": {"lead_id": 5.128873341120976e15}}, 2804001),
        ({"user_data": {"email": DIGEST}}, None),
        ({"eventId": "x"}, None),
        ({"event_name": "Purchase", "custom_data": None}, 2804009),
        ({"event_name": "Purchase", "custom_data": {"currency": "EUR"}}, 2804009),
        ({"event_name": "Purchase", "custom_data": {"value": 1}}, 2804001),
        ({"custom_data": {"value": "42.50", "currency": "EUR"}}, 2804001),
        ({"custom_data": {"value": 42.5, "currency": "EURO"}}, 2804001),
        ({"data_processing_options": ["LDU"]}, 2804001),
        ({"data_processing_options": ["LDU"], "data_processing_options_country": 1, "data_processing_options_state": 5}, 2804001),
    ],
)
async def test_one_bad_event_loses_the_batch_and_no_row_is_named(
    meta: httpx.AsyncClient, platform: MetaPlatform, changes: Body, subcode: int | None
) -> None:
    """Only bisection finds the row; nothing of the batch may be stored."""
    answer = await send(meta, event("good"), event("bad", **changes))

    assert codes(answer) == (400, 100, subcode)
    assert "[1]" not in answer.text
    assert not platform.ledger.entries


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": ago(days=7)},
        {"event_time": ago(seconds=-60)},
        {"event_time": ago(days=62), "action_source": "physical_store"},
        {"user_data": {"lead_id": "5128873341120976"}},
        {"user_data": {"fn": DIGEST, "ln": DIGEST}},
        {"user_data": {"external_id": "HS-1"}},
        {"event_name": "Purchase", "custom_data": {"value": 0, "currency": "usd"}},
        {"data_processing_options": ["LDU"], "data_processing_options_country": 0, "data_processing_options_state": 0},
    ],
)
async def test_what_lies_just_inside_the_rules_is_taken(meta: httpx.AsyncClient, changes: Body) -> None:
    """A simulator that is too strict would make the connector drop good conversions."""
    assert (await send(meta, event(**changes))).status_code == 200


@pytest.mark.parametrize("data", [[], {}, None, [event(str(each)) for each in range(1001)], [1]])
async def test_data_is_a_list_of_one_to_a_thousand_events(meta: httpx.AsyncClient, data: object) -> None:
    """The batch limit is the connector's to keep."""
    answer = await meta.post(PATH, json={"data": data})

    assert codes(answer)[:2] == (400, 100)


async def test_a_repetition_is_recognised_for_48_hours_and_counted_twice_after(
    meta: httpx.AsyncClient, platform: MetaPlatform, clock: Clock
) -> None:
    """The promise of at most once ends with the window, counted from the first receipt and not from the last."""
    await send(meta, event(event_time=ago()))
    clock.now = NOW + timedelta(hours=47)
    await send(meta, event(event_time=ago()))
    clock.now = NOW + timedelta(hours=48)
    await send(meta, event(event_time=ago()))
    inside = platform.ledger.times_counted("Qualified", "deal-1")

    clock.now = NOW + timedelta(hours=48, seconds=1)
    await send(meta, event(event_time=ago()))

    assert (inside, platform.duplicates) == (1, 2)
    assert platform.ledger.times_counted("Qualified", "deal-1") == 2
    assert platform.ledger.total("Qualified") == 85.0


async def test_one_id_may_serve_two_event_names(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """The key is (event name, event id)."""
    await send(meta, event(), event(event_name="Opportunity"))

    assert [platform.ledger.times_counted(each, "deal-1") for each in ("Qualified", "Opportunity")] == [1, 1]


async def test_without_an_id_the_external_id_tells_events_apart(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """The fallback of Meta; events with neither are all counted."""
    await send(meta, *[event(event_id=None, user_data={"external_id": "HS-1"})] * 2)
    await send(meta, *[event(event_id=None, event_name="Lead")] * 2)

    assert (platform.ledger.times_counted("Qualified", ""), platform.ledger.times_counted("Lead", "")) == (1, 2)


async def test_store_events_go_by_order_for_seven_days(meta: httpx.AsyncClient, platform: MetaPlatform, clock: Clock) -> None:
    """For physical_store the event id protects from nothing, the order id does."""

    def sale(name: str, order: str | None, at: int) -> Body:
        custom = {"value": 10, "currency": "EUR", **({"order_id": order} if order else {})}
        return event(name, event_name="Purchase", action_source="physical_store", event_time=at, custom_data=custom)

    await send(meta, sale("a", "order-1", ago(days=9)), sale("b", "order-1", ago(days=9)))
    await send(meta, sale("c", None, ago(days=8)), sale("c", None, ago(days=8, hours=1)))
    clock.now += timedelta(days=7)
    await send(meta, sale("a", "order-1", ago(days=9)))
    inside = platform.ledger.times_counted("Purchase", "a")
    clock.now += timedelta(seconds=1)
    await send(meta, sale("a", "order-1", ago(days=9)))

    assert [platform.ledger.times_counted("Purchase", each) for each in "bc"] == [0, 2]
    assert (inside, platform.ledger.times_counted("Purchase", "a")) == (1, 2)


async def test_an_event_without_the_crm_marks_is_taken_but_not_seen_there(
    meta: httpx.AsyncClient, platform: MetaPlatform
) -> None:
    """The opposite mistake is silent: a web-shaped event of a lead-ad lead earns a 200."""
    answer = await send(meta, event(custom_data={"event_source": "crm"}))

    assert answer.json()["events_received"] == 1
    assert not platform.ledger.entries[Key("777", "Qualified", "deal-1")].is_in_crm_integration


async def test_an_event_before_its_lead_vanishes_silently(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """The CRM's clock may run ahead of Meta's lead; nothing in the answer tells."""
    platform.leads["5128873341120976"] = NOW - timedelta(hours=1)

    answer = await send(meta, event("early"), event("late", event_time=ago(minutes=1)))

    assert answer.json()["events_received"] == 2
    assert [platform.ledger.times_counted("Qualified", each) for each in ("early", "late")] == [0, 1]


async def test_a_dropped_event_shows_only_in_the_count(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """Seen in production: a 200 that received fewer than were sent."""
    platform.drops.add("b")

    answer = await send(meta, event("a"), event("b"))

    assert (answer.status_code, answer.json()["events_received"]) == (200, 1)
    assert platform.ledger.times_counted("Qualified", "b") == 0


async def test_test_events_are_kept_apart(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """The connection check must not count as a conversion."""
    answer = await send(meta, event(), test_event_code="TEST123")

    assert answer.json()["events_received"] == 1
    assert [each.id for _, each in platform.test_events] == ["deal-1"]
    assert not platform.ledger.entries


async def test_a_malformed_click_id_only_alerts(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """No error reaches the caller, so the connector must get fbc right by itself."""
    good = ["fb.1.1795345820402.IwAR2F4abc", "fb.1.1795345820402.IwAR2F4abc.AQICAQMC"]
    for number, fbc in enumerate([*good, "IwAR2F4abc", "fb.1.1795345820.IwAR2F4abc"]):
        assert (await send(meta, event(str(number), user_data={"fbc": fbc}))).status_code == 200

    assert platform.alerts["invalid_fbc"] == 2


async def test_the_token_may_come_in_header_query_or_body(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """All three are in use; the form that the official library posts carries events as JSON strings."""
    del meta.headers["authorization"]
    form = {"access_token": "good", "data": json.dumps([json.dumps(event("form"))])}

    answers = [
        await meta.post(PATH, json={"data": [event("query")]}, params={"access_token": "good"}),
        await meta.post(PATH, json={"data": [event("body")], "access_token": "good"}),
        await meta.post(PATH, data=form),
        await meta.post(PATH, json={"data": [event("none")]}),
    ]

    assert [each.status_code for each in answers] == [200, 200, 200, 400]
    assert [platform.ledger.times_counted("Qualified", each) for each in ("query", "body", "form", "none")] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("token", "path", "expected"),
    [
        ("unknown", PATH, (401, 190, None)),
        ("expired", PATH, (401, 190, 463)),
        ("reader", PATH, (403, 200, None)),
        ("good", "/v26.0/888/events", (400, 100, 33)),
        ("good", "/v26.0/999/events", (400, 100, 33)),
        ("good", "/v20.0/777/events", (400, 2500, None)),
        ("proven", PATH, (400, 104, None)),
    ],
)
async def test_refused_credentials_and_targets_are_told_apart(
    meta: httpx.AsyncClient, platform: MetaPlatform, token: str, path: str, expected: tuple[int, int, int | None]
) -> None:
    """Each pauses the destination for another reason; none is the row's fault."""
    platform.add_token(Token("expired", frozenset({"777"}), expires_at=NOW))
    platform.add_token(Token("reader", frozenset({"777"}), may_send=False))
    platform.add_token(Token("proven", frozenset({"777"}), app_secret="secret"))

    answer = await meta.post(path, json={"data": [event()]}, headers={"authorization": f"Bearer {token}"})

    assert codes(answer) == expected


async def test_the_app_secret_proof_opens(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """Apps that require a secret take only calls with its HMAC over the token."""
    platform.add_token(Token("proven", frozenset({"777"}), app_secret="secret"))
    proof = hmac.new(b"secret", b"proven", hashlib.sha256).hexdigest()

    answer = await meta.post(
        PATH, json={"data": [event()]}, params={"access_token": "proven", "appsecret_proof": proof}, headers={"authorization": ""}
    )

    assert answer.status_code == 200


async def test_throttling_is_announced_and_ends(meta: httpx.AsyncClient, platform: MetaPlatform, clock: Clock) -> None:
    """The headers tell how full the hour is and when to come back; there is no Retry-After."""
    platform.throttle = Throttle(per_hour=2)

    def usage(answer: httpx.Response) -> Body:
        (rows,) = json.loads(answer.headers["x-business-use-case-usage"]).values()
        row: Body = rows[0]
        return row

    first, second, refused = [await send(meta, event(each)) for each in "abc"]
    clock.now += timedelta(hours=1)
    freed = await send(meta, event("c"))

    assert [usage(each)["call_count"] for each in (first, second, refused)] == [50, 100, 100]
    assert (codes(refused), usage(refused)["estimated_time_to_regain_access"]) == ((400, 80004, None), 60)
    assert (freed.status_code, "retry-after" in refused.headers) == (200, False)


async def test_vendor_errors_can_be_ordered(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """A temporary fault of Meta stores nothing and passes."""
    platform.errors_to_come.append(GraphError("Service temporarily unavailable", 2, None, 500, is_transient=True))

    failed, passed = await send(meta), await send(meta)

    assert (codes(failed), failed.json()["error"]["is_transient"]) == ((500, 2, None), True)
    assert (passed.status_code, platform.ledger.times_counted("Qualified", "deal-1")) == (200, 1)


async def test_a_dataset_tells_what_it_is_ready_for(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """The check needs CRM mode and consolidation; a token for sending only may not read them."""
    fields = "id,name,is_crm,is_consolidated_container,is_unavailable,last_fired_time,owner_business"
    platform.datasets["777"].is_crm = False
    await send(meta)

    told = (await meta.get("/v26.0/777", params={"fields": fields})).json()
    unknown = await meta.get("/v26.0/777", params={"fields": "id,colour"})
    platform.tokens["good"].may_read = False
    sealed = await meta.get("/v26.0/777", params={"fields": fields})

    assert (told["is_crm"], told["is_consolidated_container"], told["last_fired_time"]) == (
        False,
        True,
        "2026-11-22T12:00:00+0000",
    )
    assert (codes(unknown), codes(sealed)) == ((400, 100, None), (403, 200, None))


async def test_offline_events_need_a_consolidated_dataset(meta: httpx.AsyncClient, platform: MetaPlatform) -> None:
    """The old pixels take no store events."""
    platform.datasets["777"].is_consolidated_container = False

    assert codes(await send(meta, event(action_source="physical_store"))) == (400, 100, None)
