"""The simulated Microsoft takes, refuses and forgets as the facts about its offline conversions say."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.simulators.microsoft.app import create_microsoft
from connectors.simulators.microsoft.platform import MicrosoftPlatform

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CLICK = "f894f652ea334e739002f7167ab8f8e3"
DIGEST = "62a8040a00736e70808e43009b5c63c4f6229ced98f486d0968441b292b9858a"
HEADERS = {
    "Authorization": "Bearer static",
    "DeveloperToken": "dev",
    "CustomerId": "17000999",
    "CustomerAccountId": "180001234",
}
ROOT = "/CampaignManagement/v13"
AT = "2026-11-20T14:03:11Z"


@pytest.fixture
def platform() -> MicrosoftPlatform:
    platform = MicrosoftPlatform("180001234", "17000999", "dev")
    platform.add_goal("Qualified Lead", datetime(2026, 1, 1, tzinfo=UTC))
    platform.add_goal("New Goal", NOW - timedelta(hours=1))
    platform.clicks[CLICK] = NOW - timedelta(days=10)
    return platform


@pytest.fixture
async def microsoft(platform: MicrosoftPlatform) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_microsoft(platform, lambda: NOW))
    async with httpx.AsyncClient(transport=transport, base_url="http://microsoft.test", headers=HEADERS) as client:
        yield client


def conversion(**changes: Any) -> dict[str, Any]:
    made = {
        "ConversionName": "Qualified Lead",
        "ConversionTime": AT,
        "MicrosoftClickId": CLICK,
        "ConversionValue": 150.0,
        "ConversionCurrencyCode": "EUR",
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def adjustment(kind: str, **changes: Any) -> dict[str, Any]:
    made = {"ConversionName": "Qualified Lead", "ConversionTime": AT, "MicrosoftClickId": CLICK}
    return {**made, "AdjustmentType": kind, "AdjustmentTime": "2026-11-22T09:00:00Z", **changes}


async def apply(microsoft: httpx.AsyncClient, *rows: Any) -> list[tuple[int, int]]:
    answer = await microsoft.post(f"{ROOT}/OfflineConversions/Apply", json={"OfflineConversions": list(rows)})
    assert answer.status_code == 200
    return [(one["Index"], one["Code"]) for one in answer.json()["PartialErrors"]]


async def adjust(microsoft: httpx.AsyncClient, *rows: Any) -> list[tuple[int, int]]:
    body = {"OfflineConversionAdjustments": list(rows)}
    answer = await microsoft.post(f"{ROOT}/OfflineConversionAdjustments/Apply", json=body)
    assert answer.status_code == 200
    return [(one["Index"], one["Code"]) for one in answer.json()["PartialErrors"]]


async def test_goal_click_and_second_are_the_key(microsoft: httpx.AsyncClient, platform: MicrosoftPlatform) -> None:
    """A copy is dropped without a word; another second is another conversion."""
    assert await apply(microsoft, conversion(), conversion(ConversionValue=9.0)) == []
    assert await apply(microsoft, conversion(MicrosoftClickId=CLICK.upper())) == []
    assert platform.ledger.total == 1
    assert ("Qualified Lead", "DuplicateConversionKey") in platform.ledger.alerts

    assert await apply(microsoft, conversion(ConversionTime="2026-11-20T14:03:12Z")) == []
    assert platform.ledger.total == 2


async def test_only_failures_are_listed(microsoft: httpx.AsyncClient, platform: MicrosoftPlatform) -> None:
    """By their place; the rows between them were taken."""
    rows = [conversion(ConversionTime=f"2026-11-20T14:03:1{number}Z") for number in range(4)]
    rows[1]["ConversionName"] = "No Such Goal"
    rows[3]["ConversionValue"] = -1

    assert await apply(microsoft, *rows) == [(1, 5606), (3, 5610)]
    assert platform.ledger.total == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ConversionName": ""}, 5605),
        ({"ConversionName": "qualified lead"}, 5606),
        ({"ConversionName": "New Goal"}, 5615),
        ({"ConversionTime": None}, 5608),
        ({"ConversionTime": "2026-11-20 14:03:11"}, 5607),
        ({"ConversionTime": "2026-11-20T14:03:11+01:00"}, 5607),
        ({"ConversionTime": "2026-11-22T12:00:01Z"}, 5614),
        ({"ConversionTime": "2026-08-20T12:00:00Z"}, 5609),
        ({"ConversionTime": "2026-11-01T12:00:00Z"}, 5616),
        ({"MicrosoftClickId": None}, 5603),
        ({"MicrosoftClickId": "Cj0KCQ"}, 5604),
        ({"HashedEmailAddress": "anna@example.com"}, 5603),
        ({"ConversionValue": -1}, 5610),
        ({"ConversionCurrencyCode": "QQQ"}, 5611),
    ],
)
async def test_what_is_refused_of_a_row(microsoft: httpx.AsyncClient, changes: dict[str, Any], code: int) -> None:
    """Each row by itself, with one code."""
    assert await apply(microsoft, conversion(**changes)) == [(0, code)]


async def test_hashes_suffice_without_a_click(microsoft: httpx.AsyncClient, platform: MicrosoftPlatform) -> None:
    """Where the goal takes them."""
    assert await apply(microsoft, conversion(MicrosoftClickId=None, HashedEmailAddress=DIGEST)) == []

    platform.goals["Qualified Lead"].takes_hashes = False
    later = conversion(MicrosoftClickId=None, HashedEmailAddress=DIGEST, ConversionTime="2026-11-20T14:03:12Z")
    assert await apply(microsoft, later) == [(0, 5603)]


async def test_a_conversion_is_restated_and_taken_back(microsoft: httpx.AsyncClient, platform: MicrosoftPlatform) -> None:
    """By the same goal, click and second; after a retraction nothing changes it any more."""
    await apply(microsoft, conversion())

    assert await adjust(microsoft, adjustment("Restate", AdjustmentValue=90.0)) == []
    (counted,) = platform.ledger.conversions.values()
    assert counted.value == 90

    assert await adjust(microsoft, adjustment("Retract", AdjustmentTime="2026-11-22T10:00:00Z")) == []
    assert await adjust(microsoft, adjustment("Restate", AdjustmentValue=9.0, AdjustmentTime="2026-11-22T11:00:00Z")) == []
    assert platform.ledger.total == 0
    assert ("Qualified Lead", "ConversionAlreadyRetracted") in platform.ledger.alerts


async def test_a_correction_of_what_was_never_sent_shows_in_the_report_only(
    microsoft: httpx.AsyncClient, platform: MicrosoftPlatform
) -> None:
    """It is accepted, and counts nothing."""
    assert await adjust(microsoft, adjustment("Restate", AdjustmentValue=9.0)) == []
    assert (platform.ledger.total, platform.ledger.alerts) == (0, [("Qualified Lead", "AdjustmentOriginalNotFound")])


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (adjustment("Delete"), 5618),
        (adjustment("Retract", AdjustmentTime=""), 5619),
        (adjustment("Retract", AdjustmentTime="2026-11-19T09:00:00Z"), 5620),
        (adjustment("Retract", AdjustmentTime="today"), 5621),
        (adjustment("Retract", AdjustmentTime="2026-11-23T09:00:00Z"), 5622),
        (adjustment("Retract", AdjustmentValue=1.0), 5624),
        (adjustment("Restate"), 5625),
    ],
)
async def test_what_is_refused_of_a_correction(microsoft: httpx.AsyncClient, row: dict[str, Any], code: int) -> None:
    """The vendor's own list of adjustment errors."""
    assert await adjust(microsoft, row) == [(0, code)]


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"Authorization": "Bearer other"}, 105), ({"DeveloperToken": "other"}, 105), ({"CustomerAccountId": "1"}, 106)],
)
async def test_who_is_let_in(microsoft: httpx.AsyncClient, headers: dict[str, str], code: int) -> None:
    """Token, developer token and account each have a code."""
    microsoft.headers.update(headers)

    answer = await microsoft.post(f"{ROOT}/OfflineConversions/Apply", json={"OfflineConversions": [conversion()]})

    body = answer.json()
    told = [one["Code"] for one in [*body.get("Errors", []), *body.get("OperationErrors", [])]]
    assert told == [code]
    assert answer.status_code >= 400


async def test_more_than_a_request_holds(microsoft: httpx.AsyncClient) -> None:
    """1,000 rows; one more refuses all."""
    body = {"OfflineConversions": [conversion()] * 1001}

    answer = await microsoft.post(f"{ROOT}/OfflineConversions/Apply", json=body)

    assert answer.status_code == 400
    assert "5601" in answer.text
