"""A record's history: what of it must be asked for, and how changelog and row become entries (pure).

Pipedrive has no history of many records at once: a changelog costs a request a record, so it is read only where the row
differs from what is stored.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from connectors.contract.records import Entry, EntryOrigin, ObjectKind
from connectors.contract.source import Held
from connectors.crm.pipedrive.objects import (
    CHANGELOG_NAMES,
    DELETED,
    FIRST_WON,
    LOST,
    OPEN,
    PIPELINE,
    STAGE,
    STATUS,
    VALUE,
    WON,
)
from connectors.crm.pipedrive.records import created_at, field_of, is_zero, modified_at
from connectors.crm.pipedrive.replies import optional_second, second, text
from connectors.http.strict_json import Json

# The row's own instant and the changelog's of the same change may differ by so much.
SAME_CHANGE = timedelta(seconds=2)
# Pipedrive's instants are whole seconds: what follows within one comes so much later, or its order would be lost.
NEXT = timedelta(milliseconds=1)

# The newest stored entry of each property that has one.
HeldByName = Mapping[str, Held]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a changelog, of a property that is asked for. `source` is how it was made (app, api)."""

    name: str
    old: str
    new: str
    at: datetime
    source: str | None = None


# A line of a changelog: a change that is asked for, or only the instant of another one.
Line = Change | datetime


@dataclass(frozen=True, slots=True)
class Changelog:
    """The changes in the order of time. `is_whole`: read back to the record's creation."""

    changes: tuple[Change, ...] = ()
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What a row itself tells of its history. `values` are the current ones ("" where empty).

    `since`: since when the current value holds. `touched`: when a property changed last, at the least, so far as the row tells.
    """

    created_at: datetime
    modified_at: datetime
    values: Mapping[str, str]
    since: Mapping[str, datetime] = field(default_factory=dict)
    touched: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def is_modified(self) -> bool:
        """Whether anything has changed since the record was created."""
        return self.modified_at > self.created_at

    def is_untouched(self, name: str) -> bool:
        """Whether the row itself proves (or its emptiness makes likely) that the property was never changed."""
        if not self.is_modified:
            return True
        if name in (STAGE, PIPELINE):
            return self.touched.get(STAGE, self.created_at) <= self.created_at
        if name == STATUS:
            return self.values.get(STATUS) == OPEN and STATUS not in self.touched
        return not self.values.get(name)


def facts_of(kind: ObjectKind, row: Json, names: Iterable[str]) -> RowFacts:
    """The facts of a row for these properties."""
    at = modified_at(kind, row).replace(microsecond=0)
    created = created_at(kind, row) or at
    values = {name: _value(name, field_of(kind, row, name)) for name in names}
    if kind is not ObjectKind.DEAL:
        return RowFacts(created, at, values)
    stage_since = optional_second(row.get("stage_change_time"), "a deal's `stage_change_time`")
    won = optional_second(row.get("won_time"), "a deal's `won_time`")
    lost = optional_second(row.get("lost_time"), "a deal's `lost_time`")
    first_won = optional_second(row.get(FIRST_WON), f"a deal's `{FIRST_WON}`")
    closed = {WON: won, LOST: lost}.get(values.get(STATUS, ""))
    since = {STAGE: stage_since or created, STATUS: closed}
    touched = {STAGE: stage_since, STATUS: closed or first_won}
    return RowFacts(
        created_at=created,
        modified_at=at,
        values=values,
        since={name: one for name, one in since.items() if one is not None},
        touched={name: one for name, one in touched.items() if one is not None},
    )


def needs_changelog(facts: RowFacts, held: HeldByName) -> bool:
    """Whether the row shows that something happened which is not stored."""
    if not held:
        return not all(facts.is_untouched(name) for name in facts.values)
    return any(is_news(name, facts, held.get(name)) for name in facts.values)


def is_news(name: str, facts: RowFacts, held: Held | None) -> bool:
    """Whether a property's newest stored entry is not its newest."""
    if held is None:
        return bool(facts.values[name])
    touched = facts.touched.get(name)
    return not _is_same(held.value, facts.values[name]) or (touched is not None and touched > held.at)


def read_back_to(facts: RowFacts, held: HeldByName) -> datetime | None:
    """How far back a changelog must be read for what is news, or for what came and went unseen; None for all of it."""
    news = [name for name in facts.values if is_news(name, facts, held.get(name))] or list(held)
    return min(held[name].at for name in news) if news and all(name in held for name in news) else None


def change_of(raw: Json, names: frozenset[str]) -> Line:
    """One line of a changelog; of a property that nobody asked for, only its instant."""
    at = second(raw.get("time"), "a changelog's `time`")
    key = text(raw.get("field_key"), "a changelog's `field_key`") or ""
    name = key if key in names else CHANGELOG_NAMES.get(key, key)
    if name not in names:
        return at
    source = raw.get("change_source")
    return Change(
        name=name,
        old=_value(name, text(raw.get("old_value"), "a changelog's `old_value`")),
        new=_value(name, text(raw.get("new_value"), "a changelog's `new_value`")),
        at=at,
        source=source if isinstance(source, str) and source else None,
    )


def in_order(lines: Sequence[Line]) -> tuple[Change, ...]:
    """The changes in the order of time; Pipedrive gives the newest first, which also orders those of one second."""
    listed = list(lines)
    if listed and at_of(listed[0]) >= at_of(listed[-1]):
        listed.reverse()
    return tuple(sorted((one for one in listed if isinstance(one, Change)), key=at_of))


def is_newest_first(lines: Sequence[Line]) -> bool:
    """Whether what was read so far goes back in time."""
    at = [at_of(one) for one in lines]
    return all(one >= other for one, other in itertools.pairwise(at))


def exact_entries(facts: RowFacts, log: Changelog, held: HeldByName, current_pipeline: str | None) -> tuple[Entry, ...]:
    """The entries that a changelog tells: all of them, or those not older than what is held."""
    entries: list[Entry] = []
    for name in sorted(facts.values):
        pipelines = log.changes if name == STAGE else None
        for moment in _one_after_another(_moments(name, facts, log, held.get(name)), None if log.is_whole else held.get(name)):
            pipeline = None if pipelines is None else _pipeline_at(pipelines, moment.at, current_pipeline)
            entries.append(_entry(name, moment, pipeline))
    return tuple(sorted(entries, key=lambda one: one.entered_at))


def cheap_entries(facts: RowFacts, held: HeldByName, current_pipeline: str | None) -> tuple[Entry, ...]:
    """What the row alone tells: the current values, stage, won and lost at their exact instants. Skipped stages stay unknown."""
    entries: list[Entry] = []
    for name, value in sorted(facts.values.items()):
        known = held.get(name)
        if known is None and not value:
            continue
        if known is not None and not is_news(name, facts, known):
            continue
        told = _one_after_another(_told(name, facts, known), known)
        entries += [_entry(name, one, current_pipeline if name == STAGE else None) for one in told]
    return tuple(sorted(entries, key=lambda one: one.entered_at))


def untouched_entries(facts: RowFacts, current_pipeline: str | None) -> tuple[Entry, ...]:
    """A record that never changed holds its values since it was created."""
    moments = ((name, _Moment(value, facts.created_at)) for name, value in sorted(facts.values.items()) if value)
    return tuple(_entry(name, one, current_pipeline if name == STAGE else None) for name, one in moments)


def observed_entries(facts: RowFacts, held: HeldByName) -> tuple[Entry, ...]:
    """For kinds without a changelog: each value that differs from the stored one, at the row's modification."""
    moments = (
        (name, _Moment(value, facts.modified_at, is_observed=True))
        for name, value in sorted(facts.values.items())
        if (bool(value) if (known := held.get(name)) is None else not _is_same(known.value, value))
    )
    return tuple(_entry(name, one, None) for name, one in moments)


@dataclass(frozen=True, slots=True)
class _Moment:
    value: str
    at: datetime
    source: str | None = None
    is_observed: bool = False


def _moments(name: str, facts: RowFacts, log: Changelog, held: Held | None) -> list[_Moment]:
    """The values that a property took, repetitions left out, ending with what the row shows."""
    cut = None if log.is_whole or held is None else held.at
    changes = [one for one in log.changes if one.name == name and (cut is None or one.at >= cut)]
    created_with = [] if cut is not None else _first(name, facts, changes)
    last = held.value if cut is not None and held is not None else created_with[-1].value if created_with else ""
    changed: list[_Moment] = []
    for one in changes:
        is_deletion = name == STATUS and one.new == DELETED  # the record's state, not a status that it entered
        if one.new != last and not is_deletion:
            changed.append(_Moment(one.new, one.at, one.source))
            last = one.new
    read_at = max((one.at for one in log.changes), default=None)
    if _is_same(last, facts.values[name]):
        return created_with + _at_the_rows_instant(name, facts, changed)
    return created_with + changed + _told_by_the_row(name, facts, created_with + changed, read_at)


def _one_after_another(moments: Sequence[_Moment], held: Held | None) -> Iterator[_Moment]:
    """The same values, those of one second in their order: each follows the one before, the first one what is held."""
    before = held
    for one in moments:
        is_another = before is not None and not _is_same(before.value, one.value)
        at = before.at + NEXT if is_another and before is not None and _second(before.at) == _second(one.at) else one.at
        before = Held(one.value, at)
        yield replace(one, at=at)


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _first(name: str, facts: RowFacts, changes: Sequence[Change]) -> list[_Moment]:
    """What the record was created with: no line of the changelog tells of it."""
    if changes:
        value = changes[0].old
        return [_Moment(value, facts.created_at)] if value and value != DELETED else []
    value = facts.values[name]
    since = facts.since.get(name, facts.created_at)
    if name == STATUS and value != OPEN and since > facts.created_at:
        return [_Moment(OPEN, facts.created_at)]
    if name == STAGE and since - facts.created_at > SAME_CHANGE:
        return []  # it moved, though no line says from where
    at = since if name == STAGE else min(since, facts.created_at)
    return [_Moment(value, at)] if value else []


def _at_the_rows_instant(name: str, facts: RowFacts, changed: list[_Moment]) -> list[_Moment]:
    """The row and the changelog may write one change a second apart: the row's instant is the one that later rows show.

    A time of winning that was set to a later one by hand is noted beside it; the same value again is no entry of its own.
    """
    since = facts.since.get(name)
    if since is None or not changed:
        return changed
    last = changed[-1]
    if abs(last.at - since) <= SAME_CHANGE:
        return [*changed[:-1], _Moment(last.value, since, last.source)]
    return [*changed, _Moment(last.value, since)] if name == STATUS and since > last.at else changed


def _told_by_the_row(name: str, facts: RowFacts, before: Sequence[_Moment], read_at: datetime | None) -> list[_Moment]:
    """The row's own value, where the changelog does not lead to it; nothing where the changelog is newer than the row."""
    if read_at is not None and read_at > facts.modified_at:
        return []
    value, since = facts.values[name], facts.since.get(name)
    if since is not None and since >= (before[-1].at if before else facts.created_at):
        return [_Moment(value, since)]
    return [_Moment(value, facts.modified_at, is_observed=True)]


def _told(name: str, facts: RowFacts, held: Held | None) -> list[_Moment]:
    """What the row alone tells. A time of winning may be set to any: one before what is held says nothing of when it was won."""
    value, since = facts.values[name], facts.since.get(name)
    if since is not None and (held is None or since >= _second(held.at)):
        return [_Moment(value, since)]
    if name == STATUS and value == OPEN and STATUS in facts.touched:
        return [_Moment(WON, facts.touched[STATUS]), _Moment(OPEN, facts.modified_at, is_observed=True)]
    if facts.is_untouched(name) and value:
        return [_Moment(value, facts.created_at)]
    return [_Moment(value, facts.modified_at, is_observed=True)]


def _pipeline_at(changes: Sequence[Change], at: datetime, current: str | None) -> str | None:
    """The pipeline that the deal was in; stage and pipeline change in the same second where a deal moves over."""
    moves = [one for one in changes if one.name == PIPELINE]
    before = [one.new for one in moves if one.at <= at]
    found = before[-1] if before else moves[0].old if moves else current
    return found or current


def _entry(name: str, moment: _Moment, pipeline: str | None) -> Entry:
    return Entry(
        property=name,
        value=moment.value,
        entered_at=moment.at,
        pipeline=pipeline,
        origin=EntryOrigin.OBSERVED if moment.is_observed else EntryOrigin.HISTORY,
        is_approximate=moment.is_observed,
        vendor_ref=moment.source,
    )


def _value(name: str, value: str | None) -> str:
    found = (value or "").strip()
    return "" if name == VALUE and is_zero(found) else found


def _is_same(one: str, other: str) -> bool:
    """Whether two writings are one value: `100` and `100.00`, `2,1` and `1,2`."""
    if one == other:
        return True
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return "," in one and sorted(one.split(",")) == sorted(other.split(","))


def at_of(one: Line) -> datetime:
    """When a line of a changelog happened."""
    return one.at if isinstance(one, Change) else one
