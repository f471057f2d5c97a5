"""The simulated TikTok takes and refuses as the facts about its Events API say."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.simulators.tiktok.app import create_tiktok
from connectors.simulators.tiktok.platform import TikTokPlatform

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CRM, OFFLINE = "7398001122334455667", "7398001122334455000"
DIGEST = "b947f8ad7dc00f0f4ba3da5a5fbdf3959603e725e50858e8383eb4fd109fc591"
LEAD = {"lead_id": "7400112233445566778", "lead_event_source": "HubSpot"}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform() -> TikTokPlatform:
    return TikTokPlatform("7000111122223333", {CRM: "CRM"}, {OFFLINE: "Offline"}, tokens={"good"})


@pytest.fixture
async def tiktok(platform: TikTokPlatform, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_tiktok(platform, clock))
    headers = {"Access-Token": "good"}
    async with httpx.AsyncClient(transport=transport, base_url="http://tiktok.test", headers=headers) as client:
        yield client


def event(**changes: Any) -> dict[str, Any]:
    at = int((NOW - timedelta(days=1)).timestamp())
    made = {"event": "QualifiedLead", "event_time": at, "event_id": "deal-1", "user": {"email": DIGEST}, "lead": LEAD}
    return {name: value for name, value in (made | changes).items() if value is not None}


async def send(tiktok: httpx.AsyncClient, *events: Any, **changes: Any) -> tuple[int, int, str]:
    body = {"event_source": "crm", "event_source_id": CRM, "data": list(events), **changes}
    answer = await tiktok.post("/open_api/v1.3/event/track/", json=body)
    return answer.status_code, answer.json()["code"], answer.json()["message"]


async def test_code_0_is_success(tiktok: httpx.AsyncClient, platform: TikTokPlatform) -> None:
    """HTTP says 200 to nearly everything."""
    assert await send(tiktok, event(), event(event_id="deal-2")) == (200, 0, "OK")
    assert platform.ledger.total == 2


@pytest.mark.parametrize(("hours", "copies"), [(0, 1), (47, 1), (49, 2)])
async def test_a_copy_is_dropped_for_48_hours(
    tiktok: httpx.AsyncClient, platform: TikTokPlatform, clock: Clock, hours: int, copies: int
) -> None:
    """By event set, name and id; later it counts again."""
    await send(tiktok, event())
    clock.now += timedelta(hours=hours)

    await send(tiktok, event())

    assert platform.ledger.total == copies


async def test_the_first_bad_event_costs_its_whole_request(tiktok: httpx.AsyncClient, platform: TikTokPlatform) -> None:
    """Its place stands in the message, with what was sent."""
    status, code, message = await send(tiktok, event(), event(event_id="deal-2", event_time="yesterday"))

    assert (status, code) == (200, 40002)
    assert message.startswith("data.1.event_time:")
    assert platform.ledger.total == 0


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"event": " "}, "event"),
        ({"event_time": int((NOW - timedelta(days=29)).timestamp())}, "event_time"),
        ({"event_time": int((NOW + timedelta(minutes=5)).timestamp())}, "event_time"),
        ({"user": {"email": "anna@example.com"}}, "user.email"),
        ({"user": {"email": DIGEST, "ttclid": "E.C.P"}}, "user.ttclid"),
        ({"user": {}, "lead": {"lead_event_source": "HubSpot"}}, "user"),
        ({"lead": None}, "lead"),
        ({"properties": {"value": 5}}, "properties.currency"),
        ({"properties": {"value": -1, "currency": "EUR"}}, "properties.value"),
        ({"properties": {"value": 1, "currency": "LKR"}}, "properties.currency"),
        ({"limited_data_use": True}, "limited_data_use"),
        ({"custom": 1}, "custom"),
    ],
)
async def test_what_is_refused_of_a_crm_event(tiktok: httpx.AsyncClient, changes: dict[str, Any], path: str) -> None:
    """The lead's object, a hash and a known currency are musts; the click id has no place there."""
    _, code, message = await send(tiktok, event(**changes))

    assert code == 40002
    assert message.startswith(f"data.0.{path}:")


async def test_an_offline_event_has_no_lead(tiktok: httpx.AsyncClient) -> None:
    """Two sources, two contracts."""
    offline = {"event_source": "offline", "event_source_id": OFFLINE}

    assert (await send(tiktok, event(lead=None), **offline))[1] == 0
    assert (await send(tiktok, event(), **offline))[1] == 40002


async def test_a_test_event_does_not_count(tiktok: httpx.AsyncClient, platform: TikTokPlatform) -> None:
    """The code stands at the top of the request."""
    assert (await send(tiktok, event(), test_event_code="TEST1234"))[1] == 0
    assert platform.ledger.total == 0


async def test_more_than_a_request_holds(tiktok: httpx.AsyncClient) -> None:
    """1,000 events."""
    many = [event(event_id=f"deal-{number}") for number in range(1001)]

    assert (await send(tiktok, *many[:1000]))[1] == 0
    assert (await send(tiktok, *many))[1] != 0


@pytest.mark.parametrize(
    ("headers", "changes", "code"),
    [
        ({"Access-Token": ""}, {}, 40104),
        ({"Access-Token": "other"}, {}, 40105),
        ({}, {"event_source_id": "7000"}, 40001),
    ],
)
async def test_who_is_let_in(tiktok: httpx.AsyncClient, headers: dict[str, str], changes: dict[str, Any], code: int) -> None:
    """The token stands in its own header; an event set of somebody else's is out of reach."""
    tiktok.headers.update(headers)

    assert (await send(tiktok, event(), **changes))[1] // 1000 == code // 1000
    assert (await send(tiktok, event(), **changes))[1] != 0
