"""From Google's status reply to the late verdict of each row (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from connectors.ads.google.errors import TOO_RECENT_DELAY, Meaning, late, late_code
from connectors.ads.google.payload import action_of
from connectors.contract.errors import Effect, UnexpectedReply
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
from connectors.upload.json_values import as_list, as_object, as_text, as_whole

# Google's guide says FAILURE where its enum says FAILED.
_FAILED = frozenset({"FAILED", "FAILURE"})
_FINAL = frozenset({"SUCCESS", "PARTIAL_SUCCESS"}) | _FAILED


@dataclass(frozen=True, slots=True)
class _Failures:
    """So many events of one destination failed for one reason. `positions` is None where Google does not say which.

    `is_misfit`: it does say, and that fits none of the destination's events.
    """

    code: str
    result: VerdictResult
    rows: int | None
    positions: frozenset[int] | None
    is_misfit: bool = False


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a destination's events stand in the request."""

    start: int
    count: int


def read_verdict(body: Mapping[str, object], *, sent: int, now: datetime, index_base: int = 0) -> VerdictReply:
    """The verdict on the `sent` events of one request. `index_base` is the index of the first event in Google's count."""
    entries = [as_object(entry) for entry in as_list(body.get("requestStatusPerDestination"))]
    if not entries:
        raise UnexpectedReply("Google's status reply names no destination", effect=Effect.NONE)
    if any(entry.get("requestStatus") not in _FINAL for entry in entries):
        return StillProcessing()
    has_all_failed = all(entry.get("requestStatus") in _FAILED for entry in entries)
    failures = _read_failures(entries, sent, now, index_base)
    named = _strongest_by_position(failures)
    loose = [one for one in failures if one.positions is None]
    if has_all_failed and len(named) < sent:
        loose = loose or failures
    if not loose:
        return Verdicts(named)
    rest = [position for position in range(sent) if position not in named]
    total = len(rest) if has_all_failed else sum(one.rows or 0 for one in loose)
    if sent == 1:
        return Verdicts({0: _strongest(loose)})
    # Without positions it is clear only where the failures fill up all that is left, for one reason.
    if total >= len(rest) and len({one.result for one in loose}) == 1:
        return Verdicts({**named, **dict.fromkeys(rest, loose[0].result)})
    is_unknown = not has_all_failed and any(one.rows is None for one in loose)
    return Unnamed(sent if is_unknown else min(sent, len(named) + total), loose[0].code)


def _read_failures(entries: Sequence[Mapping[str, object]], sent: int, now: datetime, index_base: int) -> list[_Failures]:
    """All failures, by the one reading of indices that fits all of them: over the request's events, or each destination's.

    With destinations in order of size both fit only where they say the same. Where neither fits, no position is trusted.
    """
    spans = _spans(entries, sent)
    read: list[list[_Failures]] = []
    for counts_request in (True, False):
        found = [
            one
            for place, entry in enumerate(entries)
            for one in _failures(entry, None if spans is None else spans[place], now, index_base, counts_request=counts_request)
        ]
        if not any(one.is_misfit for one in found):
            return found
        read.append(found)
    return [replace(one, positions=None) for one in read[0]]


def _spans(entries: Sequence[Mapping[str, object]], sent: int) -> Sequence[_Span] | None:
    """Where each destination's events stand, by Google's counts in the order of the request; None where these do not add up."""
    if len(entries) == 1:
        return [_Span(0, sent)]
    counts = [as_whole(as_object(entry.get("eventsIngestionStatus")).get("recordCount")) or 0 for entry in entries]
    if sum(counts) != sent or any(later > earlier for earlier, later in pairwise(counts)):
        return None
    return [_Span(sum(counts[:place]), count) for place, count in enumerate(counts)]


def _strongest_by_position(failures: Sequence[_Failures]) -> dict[int, VerdictResult]:
    named: dict[int, list[_Failures]] = {}
    for one in failures:
        for position in one.positions or ():
            named.setdefault(position, []).append(one)
    return {position: _strongest(of_it) for position, of_it in named.items()}


def _failures(
    entry: Mapping[str, object], span: _Span | None, now: datetime, index_base: int, *, counts_request: bool
) -> list[_Failures]:
    """The failures of one destination; one without a reason where Google gives a failed status and nothing else."""
    status = as_text(entry.get("requestStatus"))
    action = action_of(as_object(entry.get("destination")))
    found = []
    for error in map(as_object, as_list(as_object(entry.get("errorInfo")).get("errorCounts"))):
        code = late_code(as_text(error.get("reason"))) or "UNSPECIFIED"
        rows = as_whole(error.get("recordCount"))
        if rows != 0:
            indices = [as_whole(index) for index in as_list(error.get("recordIndices"))]
            positions = _positions(indices, rows, span, index_base, counts_request=counts_request)
            found.append(_Failures(code, _result(code, action, now), rows, positions, bool(indices) and positions is None))
    if not found and status != "SUCCESS":
        found.append(_Failures(status, Retry(status), None, None))
    return found


def _positions(
    indices: Sequence[int | None], rows: int | None, span: _Span | None, index_base: int, *, counts_request: bool
) -> frozenset[int] | None:
    """Which events are meant; None unless every index is one of this destination's and there are as many as Google counts."""
    if span is None:
        return None
    start = 0 if counts_request else span.start
    positions = frozenset(index - index_base + start for index in indices if index is not None)
    is_consistent = len(positions) == len(indices) and rows in (None, len(indices))
    is_ours = all(span.start <= position < span.start + span.count for position in positions)
    return positions if positions and is_consistent and is_ours else None


def _result(code: str, action: str, now: datetime) -> VerdictResult:
    match late(code):
        case Meaning.ALREADY_THERE:
            return AlreadyThere(code)
        case Meaning.UNMATCHED:
            return Unmatched(code)
        case Meaning.LATER:
            return Later(now + TOO_RECENT_DELAY, code)
        case Meaning.ROW:
            return Rejected(code)
        case Meaning.TARGET:
            return TargetRefused(action, code)
        case Meaning.UNKNOWN:
            return Retry(code, is_known=False)
        case _:
            return Retry(code)


def _strongest(failures: Sequence[_Failures]) -> VerdictResult:
    """Where one event failed for several reasons: what is recorded stays recorded, then what settles more."""
    order = (AlreadyThere, Rejected, TargetRefused, Later, Retry, Unmatched)
    return min(
        (one.result for one in failures), key=lambda result: next(n for n, kind in enumerate(order) if isinstance(result, kind))
    )
