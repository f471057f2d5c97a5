"""From a status reply to late verdicts."""

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ads.google.errors import REFUSALS, VERDICTS, Meaning, late_code
from connectors.ads.google.status import read_verdict
from connectors.contract.errors import UnexpectedReply
from connectors.contract.results import (
    AlreadyThere,
    Later,
    Rejected,
    Retry,
    StillProcessing,
    TargetRefused,
    Unmatched,
    Unnamed,
    VerdictReply,
    VerdictResult,
    Verdicts,
)
from tests.wire.google.google_rig import NOW, SQL, WON

PREFIX = "PROCESSING_ERROR_REASON_"
Count = dict[str, object]


def failed(code: str, rows: int, indices: list[Any] | None = None) -> Count:
    count: Count = {"reason": PREFIX + code, "recordCount": str(rows)}
    return count if indices is None else {**count, "recordIndices": indices}


def entry(status: str, *counts: Count, action: str = SQL) -> dict[str, object]:
    return {
        "destination": {"reference": f"action-{action}"},
        "requestStatus": status,
        "errorInfo": {"errorCounts": list(counts)},
    }


def verdict(*entries: dict[str, object], sent: int = 3, base: int = 0) -> VerdictReply:
    return read_verdict({"requestStatusPerDestination": list(entries)}, sent=sent, now=NOW, index_base=base)


def test_every_reason_of_google_is_in_the_tables(shared: Path) -> None:
    """A reason that is not in the tables was never thought about."""
    document = json.loads((shared / "specs/google/datamanager.v1.json").read_text())
    reasons = document["schemas"]["ErrorCount"]["properties"]["reason"]["enum"]

    assert {late_code(reason) for reason in reasons} == set(VERDICTS)
    assert all(not code.startswith("PROCESSING") for code in VERDICTS)


def test_every_refusal_of_the_facts_is_in_the_tables(shared: Path) -> None:
    """The discovery document enumerates no ErrorReason; the package does (tests/referees), the facts name those that matter."""
    section = (shared / "facts/ads_google.md").read_text().partition("### 8.2")[2].partition("### 8.3")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    named = {code for cell in cells for code in cell.replace(",", " ").split() if code.isupper()}

    assert len(named) > 40
    assert named <= {code for code, meaning in REFUSALS.items() if meaning is not Meaning.UNKNOWN}


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("CLICK_NOT_FOUND", Unmatched("CLICK_NOT_FOUND")),
        ("DUPLICATE_TRANSACTION_ID", AlreadyThere("DUPLICATE_TRANSACTION_ID")),
        ("DENIED_CONSENT", Rejected("DENIED_CONSENT")),
        ("EXPIRED_CLICK", Rejected("EXPIRED_CLICK")),
        ("TOO_RECENT_CLICK", Later(NOW + timedelta(hours=6), "TOO_RECENT_CLICK")),
        ("DESTINATION_TOO_RECENTLY_CREATED", Later(NOW + timedelta(hours=6), "DESTINATION_TOO_RECENTLY_CREATED")),
        ("INTERNAL_ERROR", Retry("INTERNAL_ERROR")),
        ("NEVER_HEARD_OF", Retry("NEVER_HEARD_OF", is_known=False)),
        (
            "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED",
            TargetRefused(SQL, "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED"),
        ),
    ],
)
def test_what_a_reason_means(code: str, result: VerdictResult) -> None:
    """What an owner can mend drops nothing, what is new is not taken for final, what is counted is a success."""
    assert verdict(entry("PARTIAL_SUCCESS", failed(code, 1, [1]))) == Verdicts({1: result})


def of(count: int, made: dict[str, object]) -> dict[str, object]:
    """With Google's count of the destination's events."""
    return {**made, "eventsIngestionStatus": {"recordCount": str(count)}}


def test_indices_over_the_request_s_events() -> None:
    """Destinations stand in order of size; the second one's events are the fourth and fifth of the request."""
    reply = verdict(
        of(3, entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 2, ["0", 2]))),
        of(2, entry("PARTIAL_SUCCESS", failed("CLICK_NOT_FOUND", 1, [4]), action=WON)),
        sent=5,
    )

    assert reply == Verdicts({0: Rejected("INVALID_GCLID"), 2: Rejected("INVALID_GCLID"), 4: Unmatched("CLICK_NOT_FOUND")})


def test_indices_over_each_destination_s_events() -> None:
    """Google does not say which of the two it counts; one reading must fit all destinations."""
    reply = verdict(
        of(3, entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1, [2]))),
        of(2, entry("PARTIAL_SUCCESS", failed("CLICK_NOT_FOUND", 1, [1]), action=WON)),
        sent=5,
    )

    assert reply == Verdicts({2: Rejected("INVALID_GCLID"), 4: Unmatched("CLICK_NOT_FOUND")})


@pytest.mark.parametrize("counts", [(2, 3), (3, 3), (0, 5)])
def test_indices_of_destinations_in_another_order_are_not_trusted(counts: tuple[int, int]) -> None:
    """Where Google's counts are not those of the request, nobody knows whose event an index means."""
    reply = verdict(
        of(counts[0], entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1, [1]))),
        of(counts[1], entry("SUCCESS", action=WON)),
        sent=5,
    )

    assert reply == Unnamed(1, "INVALID_GCLID")


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5).map(lambda all_: sorted(all_, reverse=True)),
    seed=st.integers(0, 2**20),
    counts_request=st.booleans(),
)
def test_no_reading_condemns_a_wrong_row(sizes: list[int], seed: int, *, counts_request: bool) -> None:
    """Whichever way Google counts, a verdict names exactly the rows that failed."""
    luck = random.Random(seed)
    entries, wrong, start = [], set(), 0
    for place, size in enumerate(sizes):
        bad = sorted(luck.sample(range(size), luck.randint(0, size - 1))) if size > 1 else []
        wrong |= {start + one for one in bad}
        indices = [one + start if counts_request else one for one in bad]
        counts = [failed("INVALID_GCLID", len(bad), indices)] if bad else []
        entries.append(of(size, entry("PARTIAL_SUCCESS" if bad else "SUCCESS", *counts, action=str(place))))
        start += size

    assert verdict(*entries, sent=start) == Verdicts(dict.fromkeys(wrong, Rejected("INVALID_GCLID")))


def test_the_base_is_a_setting() -> None:
    """Google does not say whether it counts from zero."""
    assert verdict(entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1, [3])), base=1) == Verdicts({2: Rejected("INVALID_GCLID")})


@pytest.mark.parametrize(
    "entries",
    [
        [entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1))],
        [entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1, []))],
        [entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1, [3]))],
        [entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1, [-1]))],
        [entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1, [0, 1]))],
        [entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1, [True]))],
    ],
)
def test_indices_that_do_not_add_up_condemn_nobody(entries: list[dict[str, object]]) -> None:
    """A wrong row marked as failed, and the failed one as confirmed, would be two errors nobody sees."""
    assert verdict(*entries) == Unnamed(1, "INVALID_GCLID")


def test_an_index_under_two_destinations_is_not_trusted() -> None:
    """Each event goes to one destination, so Google must be counting each destination from its own start."""
    reply = verdict(
        entry("PARTIAL_SUCCESS", failed("INVALID_GCLID", 1, [0])),
        entry("PARTIAL_SUCCESS", failed("EVENT_TOO_OLD", 1, [0]), action=WON),
    )

    assert reply == Unnamed(2, "INVALID_GCLID")


def test_all_failed_needs_no_index() -> None:
    """Where nobody passed there is nobody to tell apart."""
    rejected = Rejected("INVALID_GCLID")

    assert verdict(entry("FAILED", failed("INVALID_GCLID", 3))) == Verdicts(dict.fromkeys(range(3), rejected))
    assert verdict(entry("FAILED")) == Verdicts(dict.fromkeys(range(3), Retry("FAILED")))
    # What is left after the named ones has one reason.
    mixed = verdict(entry("FAILED", failed("CLICK_NOT_FOUND", 1, [1]), failed("INVALID_GCLID", 2)))
    assert mixed == Verdicts({1: Unmatched("CLICK_NOT_FOUND"), 0: rejected, 2: rejected})


def test_failed_with_too_few_named_confirms_nobody() -> None:
    """FAILED says that nothing was recorded: a row that Google forgot to name is not a success."""
    reply = verdict(entry("FAILED", failed("INVALID_GCLID", 1, [0]), failed("EVENT_TOO_OLD", 1, [1])))

    assert isinstance(reply, Unnamed)


def test_a_single_row_needs_no_name() -> None:
    """Asked about one row, `Unnamed` would be sent one by one for ever."""
    reply = verdict(entry("FAILED", failed("CLICK_NOT_FOUND", 1), failed("EVENT_TOO_OLD", 1)), sent=1)

    assert reply == Verdicts({0: Rejected("EVENT_TOO_OLD")})


@pytest.mark.parametrize("status", ["PROCESSING", "REQUEST_STATUS_UNKNOWN", "NEVER_HEARD_OF", None])
def test_one_open_destination_keeps_the_question_open(status: str | None) -> None:
    """Half a verdict would confirm the other half by silence."""
    assert verdict(entry("SUCCESS"), {"requestStatus": status}) == StillProcessing()


def test_partial_success_without_any_count() -> None:
    """Somebody failed and nothing else is known."""
    assert verdict(entry("PARTIAL_SUCCESS")) == Unnamed(3, "PARTIAL_SUCCESS")


def test_a_reply_without_destinations_is_no_verdict() -> None:
    """An empty object must not confirm everything."""
    with pytest.raises(UnexpectedReply):
        verdict()
