"""Runs of time against stored conversions: which run is which conversion, and which is a new occurrence (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.mapping.aggregate import ConversionState, EndReason
from app.mapping.stays import Run

# An `every_entry` occurrence is an epoch millisecond; the others are counted from 0.
FIRST_INSTANT = 10**11


@dataclass(frozen=True, slots=True)
class Matched:
    """Runs with the conversion that each is (None: a new one, with its occurrence), and conversions that no run touches.

    `beside`: further conversions inside a run, which it ends but does not rename.
    """

    pairs: list[tuple[Run, ConversionState | None, int]]
    beside: list[tuple[Run, ConversionState]]
    untouched: list[ConversionState]


def in_order(stored: Sequence[ConversionState]) -> list[ConversionState]:
    """Stored conversions by instant."""
    return sorted(stored, key=lambda one: (one.occurred_at, one.uid))


def match_first(runs: Sequence[Run], stored: Sequence[ConversionState]) -> Matched:
    """`first_only`: one conversion a run; a new one only where the run began after every end, and after what lives."""
    duplicates = [one for one in stored if one.ended_why is EndReason.DUPLICATE_AFTER_MERGE]
    free = in_order([one for one in stored if one.ended_why is not EndReason.DUPLICATE_AFTER_MERGE])
    known, ends = list(free), {one.uid: one.ended_at for one in free}
    following = 1 + max((one.occurrence for one in stored if one.occurrence < FIRST_INSTANT), default=-1)
    found = Matched([], [], duplicates)
    for run in runs:
        match = _match(run, free)
        if match is not None:
            free.remove(match)
            inside = [one for one in free if run.covers(one.occurred_at)]
            free = [one for one in free if one not in inside]
            found.pairs.append((run, match, match.occurrence))
            found.beside.extend((run, one) for one in inside)
            ends |= {one.uid: _end_in(run, one) for one in (match, *inside)}
        elif all(run.first.entered_at > (ends[one.uid] or one.occurred_at) for one in known):
            found.pairs.append((run, None, following))
            following += 1
    found.untouched.extend(free)
    return found


def _end_in(run: Run, one: ConversionState) -> datetime | None:
    """When a conversion of this run will have ended: as the run says, but for one whose end is final."""
    is_final = one.is_withdrawn and not one.is_live
    return one.ended_at if run.ended_at is None or is_final else run.ended_at


def _match(run: Run, free: Sequence[ConversionState]) -> ConversionState | None:
    """By its very instant; else inside the run; else one that lives on from before (its entry is not shown any more)."""
    for one in free:
        if one.occurred_at == run.first.entered_at:
            return one
    for one in free:
        if run.covers(one.occurred_at):
            return one
    return next((one for one in free if one.is_live and one.occurred_at < run.since), None)


def match_every(runs: Sequence[Run], stored: Sequence[ConversionState]) -> Matched:
    """`every_entry`: each entry is its own occurrence; what `first_only` had counted at that instant is that entry."""
    free = {one.uid: one for one in in_order(stored)}
    found = Matched([], [], [])
    for run in runs:
        at = run.first.entered_at
        occurrence = _milliseconds(at)
        match = next((one for one in free.values() if one.occurrence == occurrence or one.occurred_at == at), None)
        if match is None and run.first.observed_at is not None:
            observed = _milliseconds(run.first.observed_at)
            match = next((one for one in free.values() if one.occurrence == observed), None)
        match = match or next((one for one in free.values() if one.is_implied and one.is_live), None)
        if match is not None:
            del free[match.uid]
        found.pairs.append((run, match, occurrence if match is None else match.occurrence))
    found.untouched.extend(free.values())
    return found


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def after_merge(
    stored: Sequence[ConversionState], scope_kind: str, adopted: frozenset[str] = frozenset()
) -> list[ConversionState]:
    """Two live ones of one kind of scope under two refs: two scopes were merged. The earlier lives, the later is a duplicate.

    `adopted`: uids of another kind that this scope takes over now, as if they were merged into it.

    One that was a duplicate of the other all along gives way to it, whichever was earlier: it was never sent.
    """
    if len(stored) < 2:  # noqa: PLR2004 a pair
        return list(stored)
    mine = {one.uid for one in stored if one.is_live and (one.scope_kind == scope_kind or one.uid in adopted)}
    live = [one for one in stored if one.uid in mine and one.occurrence < FIRST_INSTANT]
    if len({_scope_of(one) for one in live}) > 1:
        keeper = min(live, key=lambda one: (one.duplicate_of is not None, one.is_implied, one.occurred_at, one.uid))
        stored = [_ended_by(one, keeper) if one in live and _scope_of(one) != _scope_of(keeper) else one for one in stored]
    by_instant: dict[int, ConversionState] = {}
    found: list[ConversionState] = []
    for one in stored:
        is_entry = one.uid in mine and one.occurrence >= FIRST_INSTANT
        keeper = by_instant.setdefault(one.occurrence, one) if is_entry else one
        found.append(one if keeper is one or _scope_of(keeper) == _scope_of(one) else _ended_by(one, keeper))
    return found


def _scope_of(one: ConversionState) -> tuple[str, str]:
    return one.scope_kind, one.scope_key


def _ended_by(one: ConversionState, keeper: ConversionState) -> ConversionState:
    return replace(
        one,
        is_live=False,
        ended_at=one.occurred_at,
        ended_why=EndReason.DUPLICATE_AFTER_MERGE,
        duplicate_of=None if one.duplicate_of == keeper.uid else one.duplicate_of,
    )
