"""The engine: what the CRM knows and the mapping, in; the conversions that should be, out. Pure; reads no clock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.mapping.aggregate import (
    AccountFacts,
    Aggregate,
    ConversionState,
    EndReason,
    ValueState,
)
from app.mapping.conditions import holds
from app.mapping.document import Condition, MappingDocument, Milestone
from app.mapping.ids import conversion_uid
from app.mapping.people import Lookup
from app.mapping.rates import Rates
from app.mapping.scopes import Scope, principal, scopes_of
from app.mapping.stays import DISQUALIFIED, Stay, joined, stays_of
from app.mapping.values import Setting, Valuation, first_valuation, value_by
from connectors.contract.records import ObjectKind

__all__ = ["derive", "principal"]


@dataclass(frozen=True, slots=True)
class _Work:
    aggregate: Aggregate
    document: MappingDocument
    facts: AccountFacts
    rates: Rates


def derive(aggregate: Aggregate, document: MappingDocument, facts: AccountFacts, rates: Rates) -> tuple[ConversionState, ...]:
    """The full list of conversions of an aggregate: the stored ones as they should be now, and the new ones."""
    work = _Work(aggregate, document, facts, rates)
    found: dict[str, ConversionState] = {}
    for milestone in document.milestones:
        for scope in scopes_of(aggregate, milestone):
            for state in _in_scope(work, milestone, scope):
                found.setdefault(state.uid, state)
    for stored in aggregate.conversions:
        found.setdefault(stored.uid, stored)
    return tuple(found.values())


def _in_scope(work: _Work, milestone: Milestone, scope: Scope) -> list[ConversionState]:
    stored = sorted(
        (one for one in work.aggregate.conversions if one.milestone == milestone.name and scope.owns(one)),
        key=lambda one: (one.occurred_at, one.uid),
    )
    if milestone.repeat == "first_only":
        stored = _after_merge(stored)
    real = [
        stay
        for record in scope.records
        for stay in stays_of(record, milestone, work.document, work.facts.schema)
        if _may_fire(milestone, scope, stay, stored)
    ]
    if milestone.repeat == "every_entry":
        return _every_entry(work, milestone, scope, real, stored)
    states = _occurrences(work, milestone, scope, joined(real), stored)
    implied = None if real else _implying(work, milestone, scope)
    if implied is not None and not stored:
        states.append(_new(work, milestone, scope, implied, 0, is_implied=True))
    elif implied is not None:
        states = [_revalued(work, scope, one, implied) if one.is_live and one.is_implied else one for one in states]
    return states


def _revalued(work: _Work, scope: Scope, stored: ConversionState, stay: Stay) -> ConversionState:
    """A conversion that lives on, at its present value; a value that was known does not vanish."""
    valued = value_by(stored.value_basis, _setting(work, scope, stay))
    if stored.value_state is ValueState.READY and valued.money is None:
        return stored
    return _valued(stored, valued)


def _may_fire(milestone: Milestone, scope: Scope, stay: Stay, stored: Sequence[ConversionState]) -> bool:
    """A conversion that was made stays made; a new one needs its condition now, while the stage is held."""
    if milestone.where is None or any(one.occurred_at == stay.entered_at for one in stored):
        return True
    return stay.ended_at is None and holds(milestone.where, _look_of(scope, stay), stay.entered_at)[0]


def _after_merge(stored: list[ConversionState]) -> list[ConversionState]:
    """Two live ones in one scope: two scopes were merged. The earlier lives, the later is a duplicate."""
    live = [one for one in stored if one.is_live]
    if len(live) < 2 or len({one.scope_key for one in live}) < 2:  # noqa: PLR2004 a pair
        return stored
    keeper = live[0]
    return [
        replace(one, is_live=False, ended_at=one.occurred_at, ended_why=EndReason.DUPLICATE_AFTER_MERGE)
        if one.is_live and one.scope_key != keeper.scope_key
        else one
        for one in stored
    ]


def _every_entry(
    work: _Work, milestone: Milestone, scope: Scope, real: Sequence[Stay], stored: Sequence[ConversionState]
) -> list[ConversionState]:
    known = {one.occurrence: one for one in stored}
    states = []
    for stay in real:
        occurrence = int(stay.entered_at.timestamp() * 1000)
        before = known.get(occurrence)
        states.append(
            _new(work, milestone, scope, stay, occurrence, is_implied=False)
            if before is None
            else _current(work, scope, before, stay)
        )
    return states


def _occurrences(
    work: _Work, milestone: Milestone, scope: Scope, runs: Sequence[Stay], stored: Sequence[ConversionState]
) -> list[ConversionState]:
    """Match the runs of time with the stored occurrences; what is later than the last end is a new one."""
    states: dict[str, ConversionState] = {one.uid: one for one in stored}
    for run in runs:
        match = next((one for one in states.values() if one.occurred_at == run.entered_at), None)
        if match is None:
            match = next((one for one in states.values() if one.is_live), None)
        if match is not None:
            if match.ended_why is not EndReason.DUPLICATE_AFTER_MERGE:
                states[match.uid] = _current(work, scope, match, run)
            continue
        ends = [one.ended_at for one in states.values() if one.ended_at is not None]
        if ends and run.entered_at <= max(ends):
            continue
        occurrence = max((one.occurrence for one in states.values()), default=-1) + 1
        made = _new(work, milestone, scope, run, occurrence, is_implied=False)
        states[made.uid] = made
    return list(states.values())


def _current(work: _Work, scope: Scope, stored: ConversionState, run: Stay) -> ConversionState:
    """A stored conversion as it should be now: real where it was implied, ended where it ended, at its present value."""
    state = replace(stored, lead_id=scope.lead_id if scope.lead_id is not None else stored.lead_id)
    if stored.is_implied:
        state = replace(state, is_implied=False, occurred_at=run.entered_at, record_id=run.record.id, explain=run.explain)
    if run.ended_at is not None and run.entered_at <= state.occurred_at <= run.ended_at:
        return replace(state, is_live=False, ended_at=run.ended_at, ended_why=run.ended_why)
    if stored.ended_why is EndReason.DELETED and run.ended_at is None:
        state = replace(state, is_live=True, ended_at=None, ended_why=None)
    return _revalued(work, scope, state, run) if state.is_live else state


def _implying(work: _Work, milestone: Milestone, scope: Scope) -> Stay | None:
    """The earliest real stay in a higher milestone of the same scope."""
    if milestone.implied == "ignore" or milestone.name == DISQUALIFIED:
        return None
    rank = work.document.rank(milestone.name)
    stays = [
        stay
        for higher in work.document.milestones[rank + 1 :]
        if higher.name != DISQUALIFIED
        for record in scope.records
        for stay in stays_of(record, higher, work.document, work.facts.schema)
    ]
    earliest = min(stays, key=lambda stay: stay.entered_at, default=None)
    if earliest is None or (milestone.where is not None and not holds(milestone.where, scope.look, earliest.entered_at)[0]):
        return None
    stages = [value for trigger in milestone.when for value in trigger.enters or ()]
    return replace(
        earliest,
        stage=_lowest(work, stages) if stages else None,
        explain=f"implied: {earliest.explain}",
        ended_at=None,
        ended_why=None,
    )


def _lowest(work: _Work, stages: Sequence[str]) -> str:
    order = [stage.id for pipeline in work.facts.schema.pipelines for stage in pipeline.stages]
    return min(stages, key=lambda stage: order.index(stage) if stage in order else len(order))


def _new(work: _Work, milestone: Milestone, scope: Scope, stay: Stay, occurrence: int, *, is_implied: bool) -> ConversionState:
    stored = (one for one in work.aggregate.conversions if one.milestone == milestone.name and scope.owns(one))
    first = min(stored, key=lambda one: (one.occurred_at, one.uid), default=None)
    key = scope.new_key if first is None else first.scope_key
    state = ConversionState(
        uid=conversion_uid(work.facts.schema.account_ref, scope.kind, key, milestone.name, occurrence),
        milestone=milestone.name,
        scope_kind=scope.kind,
        scope_key=key,
        occurrence=occurrence,
        record_id=stay.record.id,
        lead_id=scope.lead_id,
        occurred_at=stay.entered_at,
        is_implied=is_implied,
        is_live=stay.ended_at is None,
        mapping_version=work.facts.mapping_version,
        value_state=ValueState.NONE,
        explain=stay.explain,
        duplicate_of=_sibling(work, milestone, scope),
        ended_at=stay.ended_at,
        ended_why=stay.ended_why,
    )
    excluded, excluded_for = _exclusions(work, milestone, _look_of(scope, stay), stay)
    state = replace(state, excluded=excluded, excluded_for=excluded_for)
    return _valued(state, first_valuation(milestone, _setting(work, scope, stay)))


def _sibling(work: _Work, milestone: Milestone, scope: Scope) -> str | None:
    """The conversion of another record of the same e-mail that counts instead."""
    if scope.kind != "person":
        return None
    others = [one for one in work.aggregate.siblings if one.milestone == milestone.name and one.duplicate_of is None]
    earliest = min(others, key=lambda one: (one.occurred_at, one.uid), default=None)
    return None if earliest is None else earliest.uid


def _exclusions(work: _Work, milestone: Milestone, look: Lookup, stay: Stay) -> tuple[str, frozenset[str]]:
    for condition in work.document.exclude:
        is_true, text = holds(condition, look, stay.entered_at)
        if is_true:
            return text, frozenset()
    closed = set()
    for name, targets in work.document.destinations.items():
        where = targets.get("where")
        if where is None or milestone.name not in targets:
            continue
        if not holds(Condition.model_validate(where), look, stay.entered_at)[0]:
            closed.add(name)
    return "", frozenset(closed)


def _look_of(scope: Scope, stay: Stay) -> Lookup:
    """The scope's fields; of several deals of a person, the one that the stay is about."""
    look = scope.look
    if scope.kind == "person" and stay.record.ref.kind is ObjectKind.DEAL:
        fields = stay.record.fields

        def of_this_deal(kind: ObjectKind, name: str) -> str | None:
            return fields.get(name) if kind is ObjectKind.DEAL else scope.look(kind, name)

        look = of_this_deal
    return look


def _setting(work: _Work, scope: Scope, stay: Stay) -> Setting:
    return Setting(_look_of(scope, stay), work.facts.schema, stay.pipeline, stay.stage, stay.entered_at, work.rates)


def _valued(state: ConversionState, valued: Valuation) -> ConversionState:
    return replace(state, value_state=valued.state, money=valued.money, value_basis=valued.basis, value_why=valued.why)
