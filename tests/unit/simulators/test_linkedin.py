"""The simulated LinkedIn takes and refuses as the facts about its Conversions API say."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.simulators.linkedin.app import create_linkedin
from connectors.simulators.linkedin.platform import LinkedInPlatform

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULE = "urn:lla:llaPartnerConversion:7712345"
DIGEST = "33ba87fd9ed214b4fcc4d931be50d6091c9572974bda75ec5df228f11a448892"
HEADERS = {
    "Authorization": "Bearer direct",
    "Linkedin-Version": "202608",
    "X-Restli-Protocol-Version": "2.0.0",
    "X-RestLi-Method": "BATCH_CREATE",
}
EMAIL = [{"idType": "SHA256_EMAIL", "idValue": DIGEST}]


@pytest.fixture
def platform() -> LinkedInPlatform:
    platform = LinkedInPlatform("512345678")
    platform.add_rule("7712345", "Qualified")
    platform.add_rule("7712399", "Insight Tag", method="INSIGHT_TAG")
    return platform


@pytest.fixture
async def linkedin(platform: LinkedInPlatform) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_linkedin(platform, lambda: NOW))
    async with httpx.AsyncClient(transport=transport, base_url="http://linkedin.test", headers=HEADERS) as client:
        yield client


def event(**changes: Any) -> dict[str, Any]:
    at = int((NOW - timedelta(days=1)).timestamp() * 1000)
    made = {"conversion": RULE, "conversionHappenedAt": at, "eventId": "deal-1", "user": {"userIds": EMAIL}}
    return {name: value for name, value in (made | changes).items() if value is not None}


async def send(linkedin: httpx.AsyncClient, *events: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
    return await linkedin.post("/rest/conversionEvents", json={"elements": list(events)}, headers=headers)


async def test_a_batch_answers_a_status_for_each_event(linkedin: httpx.AsyncClient, platform: LinkedInPlatform) -> None:
    """In the order of the request."""
    answer = await send(linkedin, event(), event(eventId="deal-2"))

    assert (answer.status_code, answer.json()) == (200, {"elements": [{"status": 201}, {"status": 201}]})
    assert len(platform.ledger.events) == 2


async def test_a_copy_counts_again(linkedin: httpx.AsyncClient, platform: LinkedInPlatform) -> None:
    """No page says that LinkedIn drops a second event of one id from the same interface."""
    await send(linkedin, event())
    await send(linkedin, event())

    assert len(platform.ledger.copies("7712345", "deal-1")) == 2


async def test_one_bad_event_costs_its_whole_batch(linkedin: httpx.AsyncClient, platform: LinkedInPlatform) -> None:
    """All or nothing, and the message has the place."""
    bad = event(eventId="deal-2", conversionValue={"currencyCode": "EUR", "amount": 12.5})

    answer = await send(linkedin, event(), bad)

    assert answer.status_code == 422
    assert answer.json()["message"].startswith("Index: 1, ERROR :: /conversionValue/amount ::")
    assert platform.ledger.events == []


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"conversion": "urn:li:llaPartnerConversion:7712345"}, 400, "Invalid conversion URN"),
        ({"conversion": "urn:lla:llaPartnerConversion:1"}, 403, "No ad accounts found"),
        ({"conversion": "urn:lla:llaPartnerConversion:7712399"}, 400, "method should be CONVERSIONS_API, indices [0]"),
        ({"conversionHappenedAt": int((NOW + timedelta(minutes=1)).timestamp() * 1000)}, 400, "out of range"),
        ({"conversionHappenedAt": int((NOW - timedelta(days=91)).timestamp() * 1000)}, 400, "out of range"),
        ({"conversionHappenedAt": int(NOW.timestamp())}, 400, "out of range"),
        ({"user": {"userIds": []}}, 400, "No identifier"),
        ({"user": {}}, 422, "/user/userIds"),
        ({"user": {"userIds": [{"idType": "SHA256_PHONE", "idValue": DIGEST}]}}, 422, "is not an enum symbol"),
        ({"conversionValue": {"currencyCode": "EUR"}}, 422, "/conversionValue"),
        ({"eventName": "Lead"}, 422, "unrecognized field"),
    ],
)
async def test_what_is_refused(linkedin: httpx.AsyncClient, changes: dict[str, Any], status: int, words: str) -> None:
    """Strict on shape, rule, time and identity."""
    answer = await send(linkedin, event(**changes))

    assert answer.status_code == status
    assert words in answer.json()["message"]


@pytest.mark.parametrize(
    "changes",
    [
        {"user": {"userIds": [{"idType": "SHA256_EMAIL", "idValue": "nonsense"}]}},
        {"conversionValue": {"currencyCode": "QQQ", "amount": "99999999999999"}},
        {"user": {"userIds": [], "lead": "urn:li:leadGenFormResponse:5f0c"}},
    ],
)
async def test_what_is_taken_without_a_look(linkedin: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    """Measured by others: nonsense digests, currencies and amounts are taken; a lead alone suffices."""
    assert (await send(linkedin, event(**changes))).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": ""}, 401, "EMPTY_ACCESS_TOKEN"),
        ({"Authorization": "Bearer other"}, 401, "INVALID_ACCESS_TOKEN"),
        ({"Linkedin-Version": "202511"}, 426, "NONEXISTENT_VERSION"),
    ],
)
async def test_who_is_let_in(linkedin: httpx.AsyncClient, headers: dict[str, str], status: int, code: str) -> None:
    """Version 202511 went dark on 2026-11-16."""
    answer = await send(linkedin, event(), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_more_than_a_batch_holds(linkedin: httpx.AsyncClient) -> None:
    """5,000 events."""
    assert (await send(linkedin, *[event()] * 5000)).status_code == 200
    assert (await send(linkedin, *[event()] * 5001)).status_code == 413
