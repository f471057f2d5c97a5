"""The engine: what the CRM knows and the mapping, in; the conversions that should be, out. Pure; reads no clock."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from app.mapping.aggregate import AccountFacts, Aggregate, ConversionState, EndReason, ValueState
from app.mapping.conditions import holds
from app.mapping.document import MappingDocument, Milestone
from app.mapping.fits import Fit
from app.mapping.ids import conversion_uid
from app.mapping.moments import Moments
from app.mapping.occurrences import Matched, after_merge, in_order, match_every, match_first
from app.mapping.people import segment_of
from app.mapping.rates import Rates
from app.mapping.scopes import Scope, Scopes, principal
from app.mapping.stays import Run, Stay, Stays, runs_of
from app.mapping.values import Learnt, Setting, Valuation, first_valuation, value_by

__all__ = ["derive", "principal"]


def derive(
    aggregate: Aggregate,
    document: MappingDocument,
    facts: AccountFacts,
    rates: Rates,
    *,
    fit: Fit | None = None,
    renews_values: bool = False,
) -> tuple[ConversionState, ...]:
    """The full list of conversions of an aggregate: the stored ones as they should be now, and the new ones.

    `fit`: what our own history teaches of the source. `renews_values`: stored ones are valued by the document, and not by the
    model that was frozen with them.
    """
    scopes = Scopes(aggregate, document)
    moments = Moments(document, aggregate.conversions, scopes.look_at)
    work = _Work(aggregate, document, facts, Learnt(rates, fit), moments, renews_values=renews_values)
    found: dict[str, ConversionState] = {}
    for milestone in document.milestones:
        for scope in scopes.of(milestone):
            for state in work.in_scope(milestone, scope):
                found.setdefault(state.uid, state)
    for stored in aggregate.conversions:
        found.setdefault(stored.uid, stored)
    return tuple(found.values())


class _Work:
    """One call of `derive`."""

    def __init__(
        self,
        aggregate: Aggregate,
        document: MappingDocument,
        facts: AccountFacts,
        learnt: Learnt,
        moments: Moments,
        *,
        renews_values: bool,
    ) -> None:
        self._renews_values = renews_values
        self._stored = aggregate.conversions
        self._document = document
        self._facts = facts
        self._learnt = learnt
        self._person = aggregate.person
        self._stays = Stays(document, facts, moments)

    def in_scope(self, milestone: Milestone, scope: Scope) -> list[ConversionState]:
        """The conversions of one milestone in one scope."""
        mine = [one for one in self._stored if one.milestone in milestone.names]
        if not mine:
            return self._first_seen(milestone, scope)
        strange = [one for one in mine if not scope.owns(one) and scope.reads(one.record_id)]
        owned, strange = _joined(scope, in_order([one for one in mine if scope.owns(one)]), strange)
        of_others = [one for one in strange if one.scope_kind == scope.kind]
        of_other_kind = [one for one in strange if one.scope_kind != scope.kind]
        counted = {(one.record_id, one.occurred_at) for one in of_others if not one.is_implied}
        real = self._firing(milestone, scope, self._stays.real(scope.records, milestone), [*owned, *of_other_kind])
        real = [stay for stay in real if (stay.record.id, stay.entered_at) not in counted]
        if milestone.repeat == "every_entry":
            runs = [Run.of(stay) for stay in _distinct(real)]
            return self._settled(milestone, scope, match_every(runs, [*owned, *of_other_kind]))
        implied: list[Stay] = []
        is_settled = real and _is_for_good(milestone) and all(one.is_live and not one.is_implied for one in mine)
        if not is_settled:  # else nothing that is implied bears on the answer
            implied = self._firing(milestone, scope, self._implied(milestone, scope), owned)
        cuts = [one.ended_at for one in owned if one.is_withdrawn and one.ended_at is not None]
        matched = match_first(runs_of([*real, *implied], cuts), [*owned, *of_other_kind])
        return [self._by_its_record(milestone, scope, one, of_other_kind) for one in self._settled(milestone, scope, matched)]

    def _first_seen(self, milestone: Milestone, scope: Scope) -> list[ConversionState]:
        """Where nothing is stored: each run is a new occurrence."""
        real = self._firing(milestone, scope, self._stays.real(scope.records, milestone), ())
        if milestone.repeat == "every_entry":
            return self._settled(milestone, scope, match_every([Run.of(stay) for stay in _distinct(real)], ()))
        if not (real and _is_for_good(milestone)):  # else nothing that is implied bears on the answer
            real = [*real, *self._firing(milestone, scope, self._implied(milestone, scope), ())]
        return [self._new(milestone, scope, run, occurrence) for occurrence, run in enumerate(runs_of(real))]

    def _implied(self, milestone: Milestone, scope: Scope) -> list[Stay]:
        """A deal without people implies nothing of a person: who comes brings their own milestones."""
        return [] if scope.stands_in else self._stays.implied(scope.records, milestone)

    def _firing(self, milestone: Milestone, scope: Scope, stays: Sequence[Stay], stored: Sequence[ConversionState]) -> list[Stay]:
        """A conversion that was made stays made; a new one needs its condition when its entry is recorded, or while it holds."""
        where = milestone.where
        if where is None:
            return list(stays)
        made = {(one.occurred_at, one.is_implied) for one in stored}
        return [
            stay
            for stay in stays
            if (stay.entered_at, False) in made
            or (stay.is_implied and (stay.entered_at, True) in made)
            or ((stay.is_held or stay.is_fresh) and holds(where, scope.look_at(stay.record), stay.entered_at)[0])
        ]

    def _settled(self, milestone: Milestone, scope: Scope, matched: Matched) -> list[ConversionState]:
        states = list(matched.untouched)
        for run, stored, occurrence in matched.pairs:
            if stored is None:
                states.append(self._new(milestone, scope, run, occurrence))
            else:
                states.append(self._followed(milestone, scope, stored, run, renames=True))
        states.extend(self._followed(milestone, scope, one, run, renames=False) for run, one in matched.beside)
        return states

    def _by_its_record(
        self, milestone: Milestone, scope: Scope, state: ConversionState, of_other_kind: Sequence[ConversionState]
    ) -> ConversionState:
        """A conversion from when the mapping counted otherwise follows the record that made it, and no other."""
        before = next((one for one in of_other_kind if one.uid == state.uid), None)
        if before is None or state.ended_why is EndReason.DUPLICATE_AFTER_MERGE:
            return state
        records = [record for record in scope.records if record.id == before.record_id]
        runs = runs_of(self._firing(milestone, scope, self._stays.real(records, milestone), [before]))
        run = next((one for one in runs if one.covers(before.occurred_at)), None)
        return before if run is None else self._followed(milestone, scope, before, run, renames=False)

    def _followed(
        self, milestone: Milestone, scope: Scope, stored: ConversionState, run: Run, *, renames: bool
    ) -> ConversionState:
        """A stored conversion as it should be now: real where it was implied, ended where it ended, at its present value."""
        if stored.scope_kind == "company" and not scope.reads(stored.record_id):
            return stored  # a colleague's: the record that made it is frozen
        state = self._belonging(scope, stored)
        if stored.is_withdrawn and not stored.is_live:
            return state
        if renames and run.is_implied <= stored.is_implied:
            state = _renamed(state, run)
        state = replace(state, is_held=run.is_held)
        if run.ended_at is not None:
            if stored.is_live or stored.ended_why is not None:
                state = replace(state, is_live=False, ended_at=run.ended_at, ended_why=run.ended_why)
        elif not stored.is_live and (stored.ended_why is EndReason.DELETED or milestone.on_leave == "retract"):
            state = replace(state, is_live=True, ended_at=None, ended_why=None)
        if not state.is_live:
            return state
        stay = run.stay_of(state.record_id)
        return self._revalued(milestone, scope, self._excluding(milestone, scope, state, stay), stay)

    def _belonging(self, scope: Scope, stored: ConversionState) -> ConversionState:
        is_followed = stored.scope_kind == "deal" or scope.owns(stored)
        if scope.lead_id is None or stored.lead_id == scope.lead_id or stored.scope_kind == "company" or not is_followed:
            return stored
        return replace(stored, lead_id=scope.lead_id)

    def _revalued(self, milestone: Milestone, scope: Scope, stored: ConversionState, stay: Stay) -> ConversionState:
        """At its present value; a value that was known does not vanish."""
        setting = self._setting(scope, stay, stored.occurred_at)
        valued = first_valuation(milestone, setting) if self._renews_values else value_by(stored.value_basis, setting)
        if stored.value_state is ValueState.READY and (valued.money is None or valued.is_default):
            return stored
        return _valued(stored, valued, shares=self._shares(stored))

    def _shares(self, stored: ConversionState) -> bool:
        """Whether its value is a share of its lead's account: as it was first made, unless values are renewed."""
        if self._renews_values or stored.money is None:
            return self._document.is_incremental
        return stored.nominal is not None

    def _new(self, milestone: Milestone, scope: Scope, run: Run, occurrence: int) -> ConversionState:
        earlier = in_order([one for one in self._stored if one.milestone in milestone.names and scope.owns(one)])
        key = earlier[0].scope_key if earlier else scope.new_key
        stay = run.first
        valued = first_valuation(milestone, self._setting(scope, stay, stay.entered_at))
        state = ConversionState(
            uid=conversion_uid(self._facts.schema.account_ref, scope.kind, key, milestone.name, occurrence),
            milestone=milestone.name,
            scope_kind=scope.kind,
            scope_key=key,
            occurrence=occurrence,
            record_id=stay.record.id,
            lead_id=scope.lead_id,
            occurred_at=stay.entered_at,
            is_implied=stay.is_implied,
            is_live=run.ended_at is None,
            mapping_version=self._facts.mapping_version,
            value_state=valued.state,
            money=None if self._document.is_incremental else valued.money,
            value_basis=valued.basis,
            value_why=valued.why,
            rates_version=valued.rates_version,
            explain=stay.explain,
            ended_at=run.ended_at,
            ended_why=run.ended_why,
            nominal=valued.money if self._document.is_incremental else None,
            is_held=run.is_held,
        )
        return self._excluding(milestone, scope, state, stay)

    def _excluding(self, milestone: Milestone, scope: Scope, state: ConversionState, stay: Stay) -> ConversionState:
        """With what the mapping excludes: everywhere, or at destinations whose own condition is false."""
        conditions = self._document.destination_conditions
        if not self._document.exclude and not conditions:
            return state
        look = scope.look_at(stay.record)
        for condition in self._document.exclude:
            is_true, text = holds(condition, look, state.occurred_at)
            if is_true:
                return replace(state, excluded=text)
        closed = frozenset(
            name
            for name, where in conditions.items()
            if milestone.name in self._document.destinations[name] and not holds(where, look, state.occurred_at)[0]
        )
        return replace(state, excluded_for=closed) if closed else state

    def _setting(self, scope: Scope, stay: Stay, at: datetime) -> Setting:
        look = scope.look_at(stay.record)
        segment_by = partial(segment_of, self._document, look, self._person)
        return Setting(look, self._facts, stay.pipeline, stay.stage, at, self._learnt, segment_by)


def _joined(
    scope: Scope, owned: list[ConversionState], strange: list[ConversionState]
) -> tuple[list[ConversionState], list[ConversionState]]:
    """After merges, and with what a deal of this person had counted while it had nobody: one of them lives."""
    adopted = frozenset(one.uid for one in strange if scope.adopts(one))
    taken = [replace(one, lead_id=scope.lead_id) for one in strange if one.uid in adopted]
    states = after_merge(in_order([*owned, *taken]), scope.kind, adopted)
    rest = [one for one in strange if one.uid not in adopted]
    return [one for one in states if one.uid not in adopted], rest + [one for one in states if one.uid in adopted]


def _is_for_good(milestone: Milestone) -> bool:
    return milestone.on_leave == "keep" and milestone.on_delete == "keep"


def _distinct(stays: Sequence[Stay]) -> list[Stay]:
    """One stay for each instant of a scope; one that lives before one that ended."""
    best: dict[datetime, Stay] = {}
    for stay in sorted(stays, key=lambda one: (one.entered_at, one.ended_at is not None, one.record.ref)):
        best.setdefault(stay.entered_at, stay)
    return list(best.values())


def _renamed(state: ConversionState, run: Run) -> ConversionState:
    """A real entry takes an implied one's place; an earlier entry that is found late moves an instant never tried."""
    stay = run.first
    becomes_real = state.is_implied and not run.is_implied
    if becomes_real:
        state = replace(state, is_implied=False)
    moves = becomes_real or stay.entered_at < state.occurred_at
    if state.is_tried or not moves:
        return state
    return replace(state, occurred_at=stay.entered_at, record_id=stay.record.id, explain=stay.explain)


def _valued(state: ConversionState, valued: Valuation, *, shares: bool) -> ConversionState:
    """With another value. What it carries of its lead's account is settled with the account."""
    money, nominal = (state.money, valued.money) if shares else (valued.money, None)
    is_same = (state.value_state, state.money, state.nominal, state.value_basis) == (valued.state, money, nominal, valued.basis)
    if is_same:
        return state
    return replace(
        state,
        value_state=valued.state,
        money=money,
        nominal=nominal,
        value_basis=valued.basis,
        value_why=valued.why,
        rates_version=valued.rates_version,
    )
