"""Every error code of Microsoft that is documented, with what must come of it: of a row inside a 200, and of a whole call."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.ads.microsoft.errors import CODES
from connectors.contract.conversions import DeliveryKind, UploadRow
from connectors.contract.results import Later
from connectors.simulators.faults import Fault, answer, server_error
from tests.contract.ad_reading import DAY, connected, row
from tests.contract.crm_stage import Clock
from tests.contract.microsoft_stage import MicrosoftStage
from tests.wire.error_words import adjusted, fact_rows, uploaded

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
# By code of 8.1: its name, what becomes of the row that a partial error names.
ROWS: dict[int, tuple[str, str]] = {
    5600: ("OfflineConversionsNullOrEmpty", "Rejected"),
    5601: ("OfflineConversionsLimitExceeded", "NotProcessed"),
    5602: ("OfflineConversionIsNull", "Rejected"),
    5603: ("OfflineConversionMicrosoftClickIdNullOrEmpty", "Rejected"),
    5604: ("OfflineConversionMicrosoftClickIdInvalid", "Rejected"),
    5605: ("OfflineConversionNameNullOrEmpty", "TargetRefused"),
    5606: ("OfflineConversionNameInvalid", "TargetRefused"),
    5607: ("OfflineConversionTimeInvalid", "Rejected"),
    5608: ("OfflineConversionTimeNullOrEmpty", "Rejected"),
    5609: ("OfflineConversionTimeOutOfWindow", "Rejected"),
    5610: ("OfflineConversionValueInvalid", "Rejected"),
    5611: ("OfflineConversionCurrencyCodeInvalid", "Rejected"),
    5612: ("OfflineConversionsApplyFailed", "Retry"),
    5613: ("OfflineConversionPilotNotEnabledForCustomer", "TargetRefused"),
    5614: ("FutureConversionTimeCannotBeSet", "Rejected"),
    5615: ("OfflineConversionNotAcceptedForGoal", "Later"),
    5616: ("ConversionTimeEarlierThanClickTime", "Rejected"),
    5617: ("ClickIdDateTimeOutsideGoalConversionWindow", "Rejected"),
    5618: ("OfflineConversionInvalidAdjustmentType", "Rejected"),
    5619: ("OfflineConversionAdjustmentTimeNullOrEmpty", "Rejected"),
    5620: ("OfflineConversionAdjustmentTimeEarlierThanConversionTime", "Rejected"),
    5621: ("OfflineConversionAdjustmentTimeInvalid", "Rejected"),
    5622: ("OfflineConversionFutureAdjustmentTimeCannotBeSet", "Later"),
    5623: ("OfflineConversionAdjustmentTimeOutOfWindow", "Rejected"),
    5624: ("OfflineConversionAdjustmentValueNotExpected", "Rejected"),
    5625: ("OfflineConversionAdjustmentValueRequired", "Rejected"),
    5626: ("OfflineConversionCurrencyValueRequired", "Rejected"),
    5627: ("OfflineConversionRestateRetractNotSupported", "Unsupported"),
}
# By code of 8.2: its name, the status it comes with, what becomes of the call (or of a lone row).
CALLS: dict[int, tuple[str, int, str]] = {
    0: ("InternalError", 500, "Unavailable {} unknown"),
    100: ("NullRequest", 400, "RequestRefused {}"),
    105: ("InvalidCredentials", 401, "AuthenticationFailed {}"),
    106: ("UserIsNotAuthorized", 403, "AuthenticationFailed {}"),
    109: ("AuthenticationTokenExpired", 401, "AuthenticationFailed {}"),
    117: ("CallRateExceeded", 400, "RateLimited {} 60 s"),
    123: ("WorkIdentityNotAvailable", 400, "AuthenticationFailed {}"),
    207: ("ConcurrentRequestOverLimit", 400, "RateLimited {} 60 s"),
    2004: ("NoCompleteDataAvaliable", 400, "Later {}"),
    4204: ("BulkServiceNoMoreCallsPermittedForTheTimePeriod", 400, "RateLimited {} 900 s"),
}
# 8.3 are a report's words about rows that were taken long before: they are shown by Microsoft, and no call of ours meets them.
# 8.4 is of another transport, the Conversions API, which Leadloop does not use.


@pytest.fixture
def stage() -> MicrosoftStage:
    return MicrosoftStage(Clock(NOW))


def partial(*errors: dict[str, Any]) -> Fault:
    return answer(200, {"PartialErrors": list(errors), "TrackingId": "t"})


def error(code: int, name: str, index: int | None = None, **more: Any) -> dict[str, Any]:
    place = {} if index is None else {"Index": index}
    return {"Code": code, "ErrorCode": name, "Message": "says nothing", "Type": "BatchError", **place, **more}


def correction(stage: MicrosoftStage, number: int = 1, kind: DeliveryKind = DeliveryKind.RESTATE) -> UploadRow:
    return row(stage, number, kind=kind, occurred_at=stage.clock() - 3 * DAY, clicked_at=stage.clock() - 9 * DAY)


@pytest.mark.parametrize(("code", "case"), ROWS.items())
async def test_what_a_partial_error_comes_to(stage: MicrosoftStage, code: int, case: tuple[str, str]) -> None:
    """Only failures are listed; the rows between them were taken."""
    name, outcome = case
    told = f"{outcome} {code} {name}"
    fault = partial(error(code, name, 1))

    if outcome == "NotProcessed":
        assert await uploaded(stage, fault, 3) == [told] * 3
    else:
        assert await uploaded(stage, fault, 3) == ["Accepted", told, "Accepted"]


@pytest.mark.parametrize(("code", "case"), ROWS.items())
async def test_what_a_partial_error_of_a_correction_comes_to(stage: MicrosoftStage, code: int, case: tuple[str, str]) -> None:
    """Corrections are answered in the same way, by the same table."""
    name, outcome = case
    told = f"{outcome} {code} {name}"
    given = [correction(stage, 1), correction(stage, 2)]

    both = await adjusted(stage, partial(error(code, name, 1)), given)

    assert both == ([told] * 2 if outcome == "NotProcessed" else ["Accepted", told])


@pytest.mark.parametrize(("code", "case"), CALLS.items())
@pytest.mark.parametrize("shape", ["OperationErrors", "Errors"])
async def test_what_an_error_of_the_call_comes_to(
    stage: MicrosoftStage, code: int, case: tuple[str, int, str], shape: str
) -> None:
    """Two shapes of a fault, one meaning."""
    name, status, outcome = case
    fault = answer(status, {shape: [{"Code": code, "ErrorCode": name, "Message": "says nothing"}], "TrackingId": "t"})

    assert await uploaded(stage, fault) == [outcome.format(f"{code} {name}")]
    assert stage.total_counted() == 0


def test_every_code_of_the_facts_has_a_row(shared: Path) -> None:
    """A code that is in no row was never thought about."""
    of_rows = {int(code) for cell, *_ in fact_rows(shared, "ads_microsoft.md", "### 8.1") for code in re.findall(r"\d+", cell)}
    of_calls = {int(code) for cell, *_ in fact_rows(shared, "ads_microsoft.md", "### 8.2") for code in re.findall(r"\d+", cell)}

    assert of_rows == set(ROWS)
    assert of_calls == set(CALLS)


def test_every_code_of_the_connector_has_a_row() -> None:
    """A code of the connector's table that no test names could mean anything."""
    assert set(CODES) == {*ROWS, *CALLS}


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_gateway_s_page_is_an_outage(stage: MicrosoftStage, status: int) -> None:
    """Gateways in front of Microsoft know no codes, and the work may have been done."""
    (told,) = await uploaded(stage, server_error(status))

    assert told.startswith("Unavailable")
    assert told.endswith("unknown")


async def test_a_gateway_s_429_throttles(stage: MicrosoftStage) -> None:
    """Microsoft itself says 117; what stands before it says 429."""
    (told,) = await uploaded(stage, server_error(429))

    assert told.startswith("RateLimited")


async def test_403_without_a_code_asks_for_access(stage: MicrosoftStage) -> None:
    """The account or its customer is not the token's."""
    (found,) = await uploaded(stage, answer(403, {"Message": "says nothing"}))

    assert found.startswith("AuthenticationFailed")


async def test_an_unknown_code_of_a_row_costs_it_nothing(stage: MicrosoftStage) -> None:
    """The list is of 2021; codes for hashed fields came since and are documented nowhere."""
    fault = partial(error(5699, "OfflineConversionHashedSomething", 0))

    assert await uploaded(stage, fault, 2) == ["Retry 5699 OfflineConversionHashedSomething (unknown)", "Accepted"]


async def test_an_unknown_code_of_the_call_costs_nobody_anything(stage: MicrosoftStage) -> None:
    """Nobody is named, so the request is halved down to one."""
    fault = answer(400, {"OperationErrors": [error(99_999, "NeverSeenBefore")]})

    assert await uploaded(stage, fault, 2) == ["NotProcessed 99999 NeverSeenBefore"] * 2
    stage.plan.clear()
    assert await uploaded(stage, fault) == ["Retry 99999 NeverSeenBefore (unknown)"]


@pytest.mark.parametrize(
    "body", [{}, {"TrackingId": "t"}, {"PartialErrors": "none"}, {"PartialErrors": 0}, [], {"PartialErrors": {"Index": 0}}]
)
async def test_200_without_a_list_of_errors_is_not_delivered(stage: MicrosoftStage, body: object) -> None:
    """What the reply does not say was not done."""
    (told,) = await uploaded(stage, answer(200, body), 2)

    assert told.startswith("UnexpectedReply")
    assert told.endswith("unknown")


@pytest.mark.parametrize("index", [None, -1, 2, 9, "first"])
async def test_an_error_that_names_no_row_of_ours_confirms_nobody(stage: MicrosoftStage, index: object) -> None:
    """One of them failed and nobody knows which: the others may have been taken, so time, goal and click stay as they are."""
    fault = partial({"Code": 5609, "ErrorCode": "OfflineConversionTimeOutOfWindow", "Message": "m", "Index": index})

    assert await uploaded(stage, fault, 2) == ["UnexpectedReply 5609 OfflineConversionTimeOutOfWindow unknown"]


async def test_two_errors_of_one_row_and_the_heavier_stands(stage: MicrosoftStage) -> None:
    """A row may fail in several ways at once."""
    fault = partial(error(5612, "OfflineConversionsApplyFailed", 0), error(5610, "OfflineConversionValueInvalid", 0))

    assert await uploaded(stage, fault, 2) == ["Rejected 5610 OfflineConversionValueInvalid", "Accepted"]


async def test_a_null_in_the_list_is_a_row_that_was_taken(stage: MicrosoftStage) -> None:
    """Some versions answer one entry for each row, null for those that were taken."""
    fault = answer(200, {"PartialErrors": [None, error(5610, "OfflineConversionValueInvalid", 1)]})

    assert await uploaded(stage, fault, 2) == ["Accepted", "Rejected 5610 OfflineConversionValueInvalid"]


@pytest.mark.parametrize(("code", "hours"), [(5615, 2), (5622, 1)])
async def test_what_is_too_early_says_when(stage: MicrosoftStage, code: int, hours: int) -> None:
    """Microsoft takes nothing in the first two hours of a goal, and no correction ahead of its own clock."""
    stage.plan.always(partial(error(code, ROWS[code][0], 0)))

    async with connected(stage) as destination:
        (result,) = await destination.upload([row(stage)], NOW)

    assert result == Later(NOW + timedelta(hours=hours), f"{code} {ROWS[code][0]}")
