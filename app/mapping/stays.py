"""When a record was inside a milestone: from the CRM's entries to stays, each entered and perhaps left (pure)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from app.mapping.aggregate import AccountFacts, EndReason, KnownRecord
from app.mapping.document import MappingDocument, Milestone, Trigger
from app.mapping.moments import Moments
from connectors.contract.records import Entry, EntryOrigin, ObjectKind, RecordState

DISQUALIFIED = "disqualified"
ABOUT = " (seen by a poll: the instant is approximate)"

Leave = tuple[datetime, EndReason]


@dataclass(frozen=True, slots=True)
class Stay:
    """A record entered a milestone at an instant; `ended_at` where the mapping takes back what left, was lost or deleted.

    `observed_at`: when a poll saw this entry, where it was counted by that until the CRM's history told of it.
    `is_held`: the record is inside still, whatever the mapping does about leaving. `is_fresh`: recorded now for the first time.
    """

    record: KnownRecord
    entered_at: datetime
    explain: str
    pipeline: str | None = None
    stage: str | None = None
    is_implied: bool = False
    is_held: bool = True
    is_fresh: bool = True
    ended_at: datetime | None = None
    ended_why: EndReason | None = None
    observed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Entrance:
    """An entry from outside into a milestone: the trigger, and its place in the property's history (-1: none).

    `explain`: which condition was met, where the trigger is one.
    """

    trigger: Trigger
    place: int
    at: datetime
    entry: Entry | None = None
    explain: str | None = None


class Stays:
    """The stays of all records of one aggregate, each worked out once."""

    def __init__(self, document: MappingDocument, facts: AccountFacts, moments: Moments) -> None:
        self._moments = moments
        self._document = document
        self._facts = facts
        self._triggers = document.triggers
        self._disqualified = document.rank(DISQUALIFIED)
        self._histories: dict[int, dict[str, list[Entry]]] = {}
        self._observed: dict[tuple[int, str, datetime], datetime] = {}
        self._lost: dict[int, list[Entry]] = {}
        self._entrances: dict[tuple[int, int], list[_Entrance]] = {}
        self._known: dict[tuple[int, str, bool], list[Stay]] = {}

    def real(self, records: Sequence[KnownRecord], milestone: Milestone) -> list[Stay]:
        """Stays that a trigger of the milestone itself made."""
        return self._of_all(records, milestone, implied=False)

    def implied(self, records: Sequence[KnownRecord], milestone: Milestone) -> list[Stay]:
        """Stays that follow from an entry into a milestone of higher rank."""
        if milestone.implied == "ignore" or milestone.name == DISQUALIFIED:
            return []
        return self._of_all(records, milestone, implied=True)

    def _of_all(self, records: Sequence[KnownRecord], milestone: Milestone, *, implied: bool) -> list[Stay]:
        found: list[Stay] = []
        for record in records:
            own = self._of(record, milestone, implied=implied)
            survivor = None if record.merged_into is None or not own else _survivor(record, records)
            if survivor is not None:
                own = [self._carried_on(stay, survivor, milestone) for stay in own]
            found += own
        return found

    def _of(self, record: KnownRecord, milestone: Milestone, *, implied: bool) -> list[Stay]:
        key = (record.id, milestone.name, implied)
        found = self._known.get(key)
        if found is None:
            rank = self._document.rank(milestone.name)
            causes = range(rank + 1, len(self._document.milestones)) if implied else (rank,)
            found = self._known[key] = [
                self._stay(record, entrance, milestone, implied=implied)
                for cause in causes
                if not implied or cause != self._disqualified
                for entrance in self._enter(record, cause)
            ]
        return found

    def _enter(self, record: KnownRecord, rank: int) -> list[_Entrance]:
        triggers = self._triggers.of(rank, record.ref.kind)
        if not triggers:
            return []
        key = (record.id, rank)
        found = self._entrances.get(key)
        if found is None:
            found = self._entrances[key] = []
            for trigger in triggers:
                if trigger.created and record.created_at is not None:
                    found.append(_Entrance(trigger, -1, record.created_at))
                if trigger.property is None:
                    continue
                was_inside = False
                for place, entry in enumerate(self._history(record).get(trigger.property, ())):
                    is_inside = _is_inside(entry, trigger)
                    if is_inside and not was_inside:
                        found.append(_Entrance(trigger, place, entry.entered_at, entry))
                    was_inside = is_inside
            if not found:  # what entered by an entry has fired
                moments = self._moments.of(record, rank, triggers)
                found += [_Entrance(one.trigger, -1, one.at, explain=one.explain) for one in moments]
        return found

    def _stay(self, record: KnownRecord, entrance: _Entrance, milestone: Milestone, *, implied: bool) -> Stay:
        left = self._leave(record, entrance, milestone)
        is_deleted = record.state is RecordState.DELETED
        ended = left if milestone.on_leave == "retract" else None
        if ended is None and is_deleted and milestone.on_delete == "retract":
            ended = max(record.modified_at, entrance.at), EndReason.DELETED
        entry, name = entrance.entry, entrance.trigger.object
        explain = f"{name} created" if entry is None else f"{name}.{entry.property} entered {entry.value}"
        explain = entrance.explain or explain
        if entry is not None and entry.is_approximate:
            explain += ABOUT
        stage, pipeline = (entry.value, entry.pipeline) if entry is not None else (None, record.pipeline)
        if entrance.trigger.where is not None:
            stage = record.stage
        if implied:
            explain = f"implied: {explain}"
            stage, pipeline = self._lowest(milestone, pipeline)
        return Stay(
            record=record,
            entered_at=entrance.at,
            explain=explain,
            pipeline=pipeline,
            stage=stage,
            is_implied=implied,
            is_held=left is None and not is_deleted,
            observed_at=None if entry is None else self._observed.get((record.id, entry.property, entry.entered_at)),
            is_fresh=record.fresh is None or entry is None or (entry.property, entry.entered_at, entry.value) in record.fresh,
            ended_at=None if ended is None else ended[0],
            ended_why=None if ended is None else ended[1],
        )

    def _leave(self, record: KnownRecord, entrance: _Entrance, milestone: Milestone) -> Leave | None:
        """The first later entry that leaves: lost, or neither held nor forward. Emptied is left."""
        kind, stages = record.ref.kind, self._facts.stages
        rank, name = self._document.rank(milestone.name), entrance.trigger.property
        found: Leave | None = None
        before = entrance.entry
        for entry in self._history(record).get(name, [])[entrance.place + 1 :] if name is not None else ():
            inside = self._ranks(entry, kind)
            if rank not in inside:
                if stages.is_lost(kind, entry):
                    found = entry.entered_at, EndReason.LOST
                    break
                if not self._goes_on(before, entry, rank, inside, kind):
                    found = entry.entered_at, EndReason.LEFT
                    break
            before = entry
        for entry in self._lost_entries(record):
            if entry.property != name and entry.entered_at > entrance.at and rank not in self._ranks(entry, kind):
                lost = entry.entered_at, EndReason.LOST
                return lost if found is None else min(found, lost)
        return found

    def _ranks(self, entry: Entry, kind: ObjectKind) -> list[int]:
        return self._triggers.ranks(kind, entry.property, entry.value, entry.pipeline)

    def _goes_on(self, before: Entry | None, entry: Entry, rank: int, inside: Sequence[int], kind: ObjectKind) -> bool:
        """Into a milestone of equal or higher rank, or forward. `disqualified` has no rank, and into it is never forward."""
        if rank == self._disqualified:
            return False
        if any(other >= rank and other != self._disqualified for other in inside):
            return True
        if self._disqualified in inside:
            return False
        return before is not None and self._facts.stages.is_forward(kind, before, entry)

    def _carried_on(self, stay: Stay, survivor: KnownRecord, milestone: Milestone) -> Stay:
        """What a merged record held its survivor holds: it ends where the survivor's own stay ends, or with its loss."""
        if stay.ended_at is not None:
            return stay
        own = max(self._of(survivor, milestone, implied=stay.is_implied), key=lambda one: one.entered_at, default=None)
        is_held = own.is_held if own is not None else survivor.state is not RecordState.DELETED
        ended: Leave | None = None
        if own is not None and own.ended_at is not None and own.ended_why is not None:
            ended = own.ended_at, own.ended_why
        if own is None and milestone.on_leave == "retract":
            later = [entry.entered_at for entry in self._lost_entries(survivor) if entry.entered_at > stay.entered_at]
            ended = (min(later), EndReason.LOST) if later else None
        if ended is None and own is None and survivor.state is RecordState.DELETED and milestone.on_delete == "retract":
            ended = max(survivor.modified_at, stay.entered_at), EndReason.DELETED
        if ended is None or ended[0] <= stay.entered_at:
            return replace(stay, is_held=is_held)
        return replace(stay, is_held=False, ended_at=ended[0], ended_why=ended[1])

    def _history(self, record: KnownRecord) -> dict[str, list[Entry]]:
        found = self._histories.get(record.id)
        if found is None:
            found = defaultdict(list)
            for entry in record.entries:
                found[entry.property].append(entry)
            for entries in found.values():
                if any(one.entered_at >= other.entered_at for one, other in pairwise(entries)):
                    entries.sort(key=lambda entry: self._order(record, entry))
                if any(entry.origin is EntryOrigin.OBSERVED for entry in entries):
                    entries[:] = self._told(record, entries)
            self._histories[record.id] = found
        return found

    def _told(self, record: KnownRecord, entries: Sequence[Entry]) -> list[Entry]:
        """Without what a poll observed of an entry that the CRM's history tells: that one is exact, and counts alone."""
        kept: list[Entry] = []
        for entry in entries:
            last = kept[-1] if kept else None
            if last is not None and entry.origin is EntryOrigin.OBSERVED and last.value == entry.value:
                self._observed.setdefault((record.id, entry.property, last.entered_at), entry.entered_at)
            else:
                kept.append(entry)
        return kept

    def _order(self, record: KnownRecord, entry: Entry) -> tuple[datetime, int, str, str]:
        """By time; within one instant in the pipeline's order, whatever order they were read in."""
        place = self._facts.stages.place(record.ref.kind, entry)
        return entry.entered_at, -1 if place is None else place, entry.value, entry.pipeline or ""

    def _lost_entries(self, record: KnownRecord) -> list[Entry]:
        found = self._lost.get(record.id)
        if found is None:
            stages = self._facts.stages
            found = [entry for entry in record.entries if stages.is_lost(record.ref.kind, entry)]
            found.sort(key=lambda entry: (entry.entered_at, entry.property))
            self._lost[record.id] = found
        return found

    def _lowest(self, milestone: Milestone, pipeline: str | None) -> tuple[str | None, str | None]:
        """The lowest stage of a milestone's own `enters`, in the record's pipeline where it has one there."""
        placed = [
            found
            for trigger in milestone.when
            for value in trigger.enters or ()
            if (found := self._facts.stages.find(trigger.object, trigger.property or "", value, trigger.pipeline)) is not None
        ]
        own = [one for one in placed if one.pipeline == pipeline] or placed
        lowest = min(own, key=lambda one: (one.place, one.stage.id), default=None)
        return (lowest.stage.id, lowest.pipeline) if lowest is not None else (None, pipeline)


def _is_inside(entry: Entry, trigger: Trigger) -> bool:
    return entry.value in (trigger.enters or ()) and (trigger.pipeline is None or entry.pipeline in (None, trigger.pipeline))


def _survivor(record: KnownRecord, records: Sequence[KnownRecord]) -> KnownRecord | None:
    """The record that a merged one goes on as, None where it is not among these."""
    by_id = {one.id: one for one in records}
    seen: set[int] = set()
    found: KnownRecord | None = record
    while found is not None and found.merged_into is not None and found.id not in seen:
        seen.add(found.id)
        found = by_id.get(found.merged_into)
    return None if found is record else found


@dataclass(slots=True)
class Run:
    """Overlapping stays of one scope: one occurrence of its milestone. `first` names it; `since` is its earliest instant."""

    first: Stay
    since: datetime
    stays: list[Stay]
    ended_at: datetime | None
    ended_why: EndReason | None

    @classmethod
    def of(cls, stay: Stay) -> "Run":
        """A run of one stay."""
        return cls(stay, stay.entered_at, [stay], stay.ended_at, stay.ended_why)

    @property
    def is_implied(self) -> bool:
        """True where nothing but higher milestones says so."""
        return self.first.is_implied

    @property
    def is_held(self) -> bool:
        """True while a stage of it was not left."""
        return any(stay.is_held for stay in self.stays)

    def covers(self, at: datetime) -> bool:
        """True where the instant lies inside."""
        return self.since <= at and (self.ended_at is None or at <= self.ended_at)

    def stay_of(self, record_id: int) -> Stay:
        """The stay of this record, else the one that names the run."""
        return next((stay for stay in self.stays if stay.record.id == record_id), self.first)


def runs_of(stays: Sequence[Stay], cuts: Sequence[datetime] = ()) -> list[Run]:
    """Stays become runs in the order of time. A real stay takes over an implied one; an implied one adds nothing to a real.

    `cuts`: where a platform was told of a withdrawal, what is entered later is another occurrence.
    """
    runs: list[Run] = []
    for stay in sorted(stays, key=_place_of) if len(stays) > 1 else stays:
        last = runs[-1] if runs else None
        if last is None or _is_after(last, stay, cuts):
            runs.append(Run.of(stay))
        elif last.is_implied and not stay.is_implied:
            runs[-1] = Run(stay, last.since, [stay], stay.ended_at, stay.ended_why)
        elif last.is_implied == stay.is_implied:
            last.stays.append(stay)
            if last.ended_at is not None and (stay.ended_at is None or stay.ended_at > last.ended_at):
                last.ended_at, last.ended_why = stay.ended_at, stay.ended_why
    return runs


def _is_after(last: Run, stay: Stay, cuts: Sequence[datetime]) -> bool:
    if last.ended_at is not None and stay.entered_at > last.ended_at:
        return True
    return any(last.since <= cut < stay.entered_at for cut in cuts)


def _place_of(stay: Stay) -> tuple[object, ...]:
    ref = stay.record.ref
    return stay.entered_at, stay.is_implied, ref.kind, len(ref.external_id), ref.external_id
