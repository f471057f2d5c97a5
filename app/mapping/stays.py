"""When a record was inside a milestone: from the CRM's entries to stays, each entered and perhaps left (pure)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.mapping.aggregate import EndReason, KnownRecord
from app.mapping.document import MappingDocument, Milestone, Trigger
from connectors.contract.records import Entry, RecordState
from connectors.contract.source import SourceSchema, StageSchema

DISQUALIFIED = "disqualified"


@dataclass(frozen=True, slots=True)
class Stay:
    """A record entered a milestone at an instant; `ended_at` where it left, was lost or was deleted."""

    record: KnownRecord
    entered_at: datetime
    explain: str
    pipeline: str | None = None
    stage: str | None = None
    ended_at: datetime | None = None
    ended_why: EndReason | None = None


def stays_of(record: KnownRecord, milestone: Milestone, document: MappingDocument, schema: SourceSchema) -> Iterator[Stay]:
    """All stays of one record in one milestone, in the order of time within each trigger."""
    for trigger in milestone.when:
        if trigger.object != record.ref.kind:
            continue
        if trigger.created:
            if record.created_at is not None:
                yield _with_deletion(Stay(record, record.created_at, f"{trigger.object} created"), milestone)
            continue
        yield from _entered(record, trigger, milestone, document, schema)


def _entered(
    record: KnownRecord, trigger: Trigger, milestone: Milestone, document: MappingDocument, schema: SourceSchema
) -> Iterator[Stay]:
    history = [entry for entry in record.entries if entry.property == trigger.property]
    was_inside = False
    for place, entry in enumerate(history):
        is_inside = _is_inside(entry, trigger)
        if is_inside and not was_inside:
            stay = Stay(
                record=record,
                entered_at=entry.entered_at,
                explain=f"{trigger.object}.{trigger.property} entered {entry.value}",
                pipeline=entry.pipeline,
                stage=entry.value,
            )
            left = _leaves(history[place + 1 :], entry, trigger, milestone, document, schema)
            if left is not None and milestone.on_leave == "retract":
                stay = _ended(stay, left[0], left[1])
            yield _with_deletion(stay, milestone)
        was_inside = is_inside


def _is_inside(entry: Entry, trigger: Trigger) -> bool:
    return entry.value in (trigger.enters or ()) and (trigger.pipeline is None or entry.pipeline in (None, trigger.pipeline))


def _leaves(
    later: Sequence[Entry],
    since: Entry,
    trigger: Trigger,
    milestone: Milestone,
    document: MappingDocument,
    schema: SourceSchema,
) -> tuple[datetime, EndReason] | None:
    """The first later entry that leaves: not forward, not into a milestone of equal or higher rank; or lost."""
    before = since
    rank = document.rank(milestone.name)
    for entry in later:
        stage = _stage(entry, schema, trigger)
        if stage is not None and stage.is_lost:
            return entry.entered_at, EndReason.LOST
        held = any(
            _is_inside(entry, other)
            for place, higher in enumerate(document.milestones)
            if place >= rank and higher.name != DISQUALIFIED
            for other in higher.when
            if (other.object, other.property) == (trigger.object, trigger.property)
        )
        if not held and not _is_forward(before, entry, schema, trigger):
            return entry.entered_at, EndReason.LEFT
        before = entry
    return None


def _stage(entry: Entry, schema: SourceSchema, trigger: Trigger) -> StageSchema | None:
    for pipeline in schema.pipelines:
        if pipeline.stage_property == trigger.property and entry.pipeline in (None, pipeline.id):
            for stage in pipeline.stages:
                if stage.id == entry.value:
                    return stage
    return None


def _is_forward(before: Entry, after: Entry, schema: SourceSchema, trigger: Trigger) -> bool:
    """Later in the display order of the same pipeline (or of the property's options)."""
    if not after.value or before.pipeline != after.pipeline:
        return False
    for pipeline in schema.pipelines:
        if pipeline.stage_property == trigger.property and after.pipeline in (None, pipeline.id):
            order = [stage.id for stage in pipeline.stages]
            if before.value in order and after.value in order:
                return order.index(after.value) > order.index(before.value)
    described = schema.properties.get(trigger.object, {}).get(trigger.property or "")
    order = [option.value for option in described.options] if described else []
    return before.value in order and after.value in order and order.index(after.value) > order.index(before.value)


def _with_deletion(stay: Stay, milestone: Milestone) -> Stay:
    if stay.record.state is RecordState.DELETED and milestone.on_delete == "retract" and stay.ended_at is None:
        return _ended(stay, max(stay.record.modified_at, stay.entered_at), EndReason.DELETED)
    return stay


def _ended(stay: Stay, at: datetime, why: EndReason) -> Stay:
    return Stay(stay.record, stay.entered_at, stay.explain, stay.pipeline, stay.stage, at, why)


def joined(stays: Sequence[Stay]) -> list[Stay]:
    """Overlapping stays of one scope become one; what is left are its occurrences in the order of time."""
    runs: list[Stay] = []
    for stay in sorted(stays, key=lambda one: (one.entered_at, one.record.id)):
        last = runs[-1] if runs else None
        if last is None or (last.ended_at is not None and stay.entered_at > last.ended_at):
            runs.append(stay)
        elif last.ended_at is not None and (stay.ended_at is None or stay.ended_at > last.ended_at):
            runs[-1] = Stay(last.record, last.entered_at, last.explain, last.pipeline, last.stage, stay.ended_at, stay.ended_why)
    return runs
