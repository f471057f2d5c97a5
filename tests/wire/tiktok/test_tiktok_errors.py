"""Every code of TikTok that is known, with what must come of it: nearly all of them stand in the body of a 200."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.ads.tiktok.errors import CODES
from connectors.simulators.faults import Fault, FaultKind, answer, server_error
from tests.contract.ad_reading import connected, row
from tests.contract.crm_stage import Clock
from tests.contract.tiktok_stage import TikTokStage
from tests.wire.error_words import fact_rows, uploaded

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROW, TOKEN, ACCESS = "Rejected {}", "AuthenticationFailed {}", "AuthenticationFailed {}"
PASSES, INTERNAL = "Unavailable {} none", "Unavailable {} unknown"
# By first and last code: what becomes of a lone row, or of the call. Of two in one request only a named one is judged.
TABLE: dict[tuple[int, int], str] = {
    (0, 0): "Accepted",
    (20001, 20001): "UnexpectedReply {} unknown",
    (40000, 40000): ROW,
    (40002, 40002): ROW,
    (40700, 40700): ROW,
    (40001, 40001): ACCESS,
    (40007, 40007): ACCESS,
    (40300, 40300): ACCESS,
    (40301, 40301): ACCESS,
    (40016, 40016): "RateLimited {} 60 s",
    (40100, 40100): "RateLimited {} 300 s",
    (40133, 40133): "RateLimited {} 60 s",
    (40101, 40117): TOKEN,
    (40118, 40118): ACCESS,
    (40125, 40125): ACCESS,
    (40202, 40202): PASSES,
    (40902, 40902): PASSES,
    (40903, 40903): PASSES,
    (40913, 40913): PASSES,
    (50000, 50999): INTERNAL,
}
# Replies without a code of the body, by the facts' words for them.
STATUSES: dict[int, str] = {
    429: "RateLimited 429 60 s",
    500: "Unavailable 500 unknown",
    502: "Unavailable 502 unknown",
    503: "Unavailable 503 unknown",
    504: "Unavailable 504 unknown",
    400: "Rejected 400",
    413: "Rejected 413",
    422: "Rejected 422",
}


@pytest.fixture
def stage() -> TikTokStage:
    return TikTokStage(Clock(NOW))


def said(code: int, message: str = "says nothing") -> Fault:
    return answer(200, {"code": code, "message": message, "request_id": "1", "data": {}})


def ends_and_middles() -> Iterator[tuple[int, str]]:
    for (first, last), outcome in TABLE.items():
        for code in sorted({first, (first + last) // 2, last}):
            yield code, outcome.format(code)


@pytest.mark.parametrize(("code", "told"), list(ends_and_middles()))
async def test_what_a_code_comes_to(stage: TikTokStage, code: int, told: str) -> None:
    """Each meaning was thought about once; HTTP says 200 to all of them."""
    assert await uploaded(stage, said(code)) == [told]

    both = await uploaded(stage, said(code), 2)

    is_of_rows = told.startswith(("Rejected", "Retry"))
    assert both == ([f"NotProcessed {code}"] * 2 if is_of_rows else [told] * (2 if told == "Accepted" else 1))


@pytest.mark.parametrize(("status", "told"), STATUSES.items())
async def test_what_a_bare_status_comes_to(stage: TikTokStage, status: int, told: str) -> None:
    """Gateways in front of TikTok know no codes, and speak HTML."""
    assert await uploaded(stage, answer(status, {"message": "says nothing"})) == [told]


def test_every_code_of_the_facts_has_a_row(shared: Path) -> None:
    """A code that is in no row was never thought about."""
    codes: set[tuple[int, int]] = set()
    statuses: set[int] = set()
    for cell, *_ in fact_rows(shared, "ads_tiktok.md", "## 8."):
        if cell.startswith("HTTP"):
            statuses |= {int(one) for one in re.findall(r"\b\d{3}\b", cell)}
        elif " to " in cell:
            first, last = re.findall(r"\d+", cell)
            codes.add((int(first), int(last)))
        else:
            codes |= {(int(one), int(one)) for one in re.findall(r"\d+", cell)} if "unknown" not in cell else set()

    assert codes == set(TABLE)
    assert statuses == set(STATUSES)


def test_every_code_of_the_connector_has_a_row() -> None:
    """A code of the connector's table that no test names could mean anything."""
    named = {code for first, last in TABLE for code in range(first, last + 1)}

    assert set(CODES) | {0} == named


async def test_an_unknown_code_costs_a_lone_row_nothing(stage: TikTokStage) -> None:
    """TikTok publishes no list; a conversion must outlive what nobody knows."""
    assert await uploaded(stage, said(49999)) == ["Retry 49999 (unknown)"]


async def test_a_page_of_html_is_no_success(stage: TikTokStage) -> None:
    """A gateway's page may come with any status."""
    assert await uploaded(stage, server_error(502)) == ["Unavailable 502 unknown"]

    stage.plan.clear()
    page = Fault(FaultKind.ANSWER, has_effect=False, status=200, headers={"Content-Type": "text/html"}, body=b"<html>ok</html>")
    (told,) = await uploaded(stage, page)

    assert told.startswith("UnexpectedReply")
    assert told.endswith("unknown")


@pytest.mark.parametrize("body", [{}, {"message": "OK"}, {"code": None}, {"code": "zero"}, []])
async def test_200_without_a_code_is_not_delivered(stage: TikTokStage, body: object) -> None:
    """Only code 0 says that the events were taken."""
    (told,) = await uploaded(stage, answer(200, body))

    assert told.startswith("UnexpectedReply")
    assert told.endswith("unknown")


@pytest.mark.parametrize("path", ["data.1.event_time", "Batch.1.event_time"])
async def test_a_named_event_falls_and_the_others_go_again(stage: TikTokStage, path: str) -> None:
    """The message has the place in its path, in one of two spellings."""
    told = await uploaded(stage, said(40002, f"{path}: Not a valid timestamp 1795176000"), 3)

    assert told == ["NotProcessed 40002", "Rejected 40002", "NotProcessed 40002"]


async def test_a_place_that_was_not_sent_condemns_nobody(stage: TikTokStage) -> None:
    """A wrong place must not reject a good conversion."""
    assert await uploaded(stage, said(40002, "data.7.event: wrong"), 2) == ["NotProcessed 40002"] * 2


async def test_what_was_sent_is_not_repeated_in_words(stage: TikTokStage) -> None:
    """TikTok quotes the refused value, which may be a person's."""
    stage.plan.always(said(40002, 'data.0.user.email: invalid value "anna@example.com" 49301234567'))

    async with connected(stage) as destination:
        (result,) = await destination.upload([row(stage)], stage.clock())

    assert "anna" not in str(result)
    assert "49301234567" not in str(result)
