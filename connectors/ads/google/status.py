"""From Google's status reply to the late verdict of each row (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

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
    """So many events of one destination failed for one reason. `positions` is None where Google does not say which."""

    destination: int
    code: str
    result: VerdictResult
    rows: int | None
    positions: frozenset[int] | None


def read_verdict(body: Mapping[str, object], *, sent: int, now: datetime, index_base: int = 0) -> VerdictReply:
    """The verdict on the `sent` events of one request. `index_base` is the index of the first event in Google's count."""
    entries = [as_object(entry) for entry in as_list(body.get("requestStatusPerDestination"))]
    if not entries:
        raise UnexpectedReply("Google's status reply names no destination", effect=Effect.NONE)
    if any(entry.get("requestStatus") not in _FINAL for entry in entries):
        return StillProcessing()
    has_all_failed = all(entry.get("requestStatus") in _FAILED for entry in entries)
    failures = [one for place, entry in enumerate(entries) for one in _failures(place, entry, sent, now, index_base)]
    named, loose = _sorted_out(failures)
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


def _sorted_out(failures: Sequence[_Failures]) -> tuple[dict[int, VerdictResult], list[_Failures]]:
    """What is known by position, and the failures without one.

    Each event goes to one destination: a position under two of them means that Google counts each destination's events
    from its own start, and then no position can be trusted.
    """
    owners: dict[int, int] = {}
    named: dict[int, list[_Failures]] = {}
    for one in failures:
        for position in one.positions or ():
            if owners.setdefault(position, one.destination) != one.destination:
                return {}, list(failures)
            named.setdefault(position, []).append(one)
    loose = [one for one in failures if one.positions is None]
    return {position: _strongest(of_it) for position, of_it in named.items()}, loose


def _failures(destination: int, entry: Mapping[str, object], sent: int, now: datetime, index_base: int) -> list[_Failures]:
    """The failures of one destination; one without a reason where Google gives a failed status and nothing else."""
    status = as_text(entry.get("requestStatus"))
    action = action_of(as_object(entry.get("destination")))
    found = []
    for error in map(as_object, as_list(as_object(entry.get("errorInfo")).get("errorCounts"))):
        code = late_code(as_text(error.get("reason"))) or "UNSPECIFIED"
        rows = as_whole(error.get("recordCount"))
        if rows != 0:
            positions = _positions(error.get("recordIndices"), rows, sent, index_base)
            found.append(_Failures(destination, code, _result(code, action, now), rows, positions))
    if not found and status != "SUCCESS":
        found.append(_Failures(destination, status, Retry(status), None, None))
    return found


def _positions(indices: object, rows: int | None, sent: int, index_base: int) -> frozenset[int] | None:
    """Which events are meant; None unless every index is one of ours and there are as many as Google counts."""
    read = [as_whole(index) for index in as_list(indices)]
    positions = frozenset(index - index_base for index in read if index is not None)
    is_consistent = len(positions) == len(read) and rows in (None, len(read))
    is_ours = all(0 <= position < sent for position in positions)
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
        case _:
            return Retry(code)


def _strongest(failures: Sequence[_Failures]) -> VerdictResult:
    """Where one event failed for several reasons: what is recorded stays recorded, then what settles more."""
    order = (AlreadyThere, Rejected, TargetRefused, Later, Retry, Unmatched)
    return min(
        (one.result for one in failures), key=lambda result: next(n for n, kind in enumerate(order) if isinstance(result, kind))
    )
