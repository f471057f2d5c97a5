"""Why an aggregate has no conversion of a milestone, or has one that is excluded: the engine's own steps, told apart (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.mapping.aggregate import AccountFacts, Aggregate, ConversionState, EndReason, KnownRecord
from app.mapping.condition_model import Condition
from app.mapping.conditions import Check, checks_of, holds
from app.mapping.document import MappingDocument, Milestone
from app.mapping.moments import SHOWN, Moments, moment_at
from app.mapping.scopes import Scope, Scopes
from app.mapping.stays import DISQUALIFIED, Stay, Stays
from connectors.contract.records import ObjectKind, RecordRef


class Unreached(StrEnum):
    """Why there is no conversion of a milestone."""

    NO_RECORD = "no_record"
    NOT_ENTERED = "not_entered"
    NOT_IMPLIED = "not_implied"
    CONDITION = "condition"
    LEFT_TOO_EARLY = "left_too_early"
    OTHER_PERSON = "other_person"
    COLLEAGUE = "colleague"
    NOT_APPLIED = "not_applied"
    FIELDS_GONE = "fields_gone"
    UNREADABLE = "unreadable"


UNREACHED_SENTENCES: Mapping[Unreached, str] = {
    Unreached.NO_RECORD: "No record of the kind that makes it is known of this lead. It comes with such a record; where the CRM"
    " has one, see whether it is associated with this person.",
    Unreached.NOT_ENTERED: "No record entered what makes it. It comes with the first entry; where the CRM shows one, compare"
    " property, pipeline and values with the mapping.",
    Unreached.NOT_IMPLIED: "A higher milestone was reached without it, and the mapping says `implied: ignore`. Say `report` or"
    " `send` if it should follow.",
    Unreached.CONDITION: "Its condition does not hold, see which comparison fails. It is judged again when a record of this lead"
    " changes.",
    Unreached.LEFT_TOO_EARLY: "Its condition holds only since the stage was left. Nothing is to do; another entry makes it.",
    Unreached.OTHER_PERSON: "The deal counts for another person on it. Nothing is to do, or say in `person.prefer` who counts.",
    Unreached.COLLEAGUE: "It counts once a company, and another record of the same company made it. Nothing is to do, or say"
    " `once_per: person`.",
    Unreached.NOT_APPLIED: "The active mapping makes it, but was not applied to this lead yet. Run `leadloop reapply`, or wait"
    " for the next change in the CRM.",
    Unreached.FIELDS_GONE: "The fields of this lead went by retention or with a request to be forgotten, so that nothing can be"
    " judged. A change in the CRM brings back what retention took.",
    Unreached.UNREADABLE: "The fields of this lead are sealed under a key that is not at hand. Give the old key to"
    " LEADLOOP_SECRET_KEY as well.",
}


END_SENTENCES: Mapping[EndReason, str] = {
    EndReason.LEFT: "The record left the stage. Nothing is to do: what was sent is taken back where the platform can.",
    EndReason.LOST: "The CRM calls it lost. Nothing is to do: what was sent is taken back where the platform can.",
    EndReason.DELETED: "The record was deleted in the CRM. Nothing is to do: restored there, it counts again.",
    EndReason.DUPLICATE_AFTER_MERGE: "Two records became one, and the earlier conversion counts. Nothing is to do.",
}


@dataclass(frozen=True, slots=True)
class Missing:
    """A milestone without a conversion. `ref`, `entered_at`: the entry that came nearest; `detail`: what was looked for."""

    milestone: str
    why: Unreached
    ref: RecordRef | None = None
    entered_at: datetime | None = None
    detail: str = ""
    checks: tuple[Check, ...] = ()


class Explainer:
    """Explains one aggregate, with the conversions that are stored of it, by one document.

    `of_others`: deals that the person is on and that count for somebody else, who is told by a ref.
    """

    def __init__(
        self,
        aggregate: Aggregate,
        document: MappingDocument,
        facts: AccountFacts,
        of_others: Sequence[tuple[RecordRef, str]] = (),
    ) -> None:
        self._of_others = of_others
        self._stored = aggregate.conversions
        self._document = document
        self._scopes = Scopes(aggregate, document)
        self._stays = Stays(document, facts, Moments(document, aggregate.conversions, self._scopes.look_at))

    def missing(self) -> Iterator[Missing]:
        """One for each milestone and scope that has no conversion, in the order of the mapping."""
        for milestone in self._document.milestones:
            scopes = self._scopes.of(milestone)
            for scope in scopes:
                mine = [one for one in self._stored if _is_of(milestone, scope, one)]
                if not mine:
                    yield self._in_scope(milestone, scope)
                elif all(one.lead_id != scope.lead_id and not scope.reads(one.record_id) for one in mine):
                    yield Missing(milestone.name, Unreached.COLLEAGUE, detail=f"see {mine[0].uid}")
            if not scopes:
                yield self._without_record(milestone)

    def exclusions(self, state: ConversionState) -> Mapping[str, tuple[Check, ...]]:
        """Why a conversion is not for a destination: its condition there, or (under "") what excludes it everywhere."""
        milestone = self._document.named(state.milestone)
        scopes = () if milestone is None else self._scopes.of(milestone)
        scope = next((one for one in scopes if one.owns(state) or one.reads(state.record_id)), None)
        record = None if scope is None else next((one for one in scope.records if one.id == state.record_id), None)
        if scope is None or record is None:
            return {}
        look = scope.look_at(record)
        found = {
            name: tuple(checks_of(where, look, state.occurred_at))
            for name, where in self._document.destination_conditions.items()
            if not holds(where, look, state.occurred_at)[0]
        }
        for condition in self._document.exclude:
            if holds(condition, look, state.occurred_at)[0]:
                return found | {"": tuple(checks_of(condition, look, state.occurred_at))}
        return found

    def _in_scope(self, milestone: Milestone, scope: Scope) -> Missing:
        stays = self._stays.real(scope.records, milestone)
        if not scope.stands_in and milestone.repeat == "first_only":
            stays = [*stays, *self._stays.implied(scope.records, milestone)]
        if stays:
            return self._of_stays(milestone, scope, stays)
        return self._not_entered(milestone, scope)

    def _of_stays(self, milestone: Milestone, scope: Scope, stays: Sequence[Stay]) -> Missing:
        """It was entered: its condition failed, or held too late, or was not judged by this document."""
        where, newest = milestone.where, max(stays, key=lambda one: (not one.is_implied, one.is_held, one.entered_at))
        if where is None:
            return _missing(milestone, Unreached.NOT_APPLIED, newest)
        judged = [(stay, holds(where, scope.look_at(stay.record), stay.entered_at)) for stay in stays]
        fires = next((stay for stay, (is_met, _) in judged if is_met and (stay.is_held or stay.is_fresh)), None)
        if fires is not None:
            return _missing(milestone, Unreached.NOT_APPLIED, fires)
        is_met, text = next(answer for stay, answer in judged if stay is newest)
        why = Unreached.LEFT_TOO_EARLY if is_met else Unreached.CONDITION
        checks = tuple(checks_of(where, scope.look_at(newest.record), newest.entered_at))
        return _missing(milestone, why, newest, "" if is_met else text, checks)

    def _not_entered(self, milestone: Milestone, scope: Scope) -> Missing:
        for trigger in milestone.when:
            record = next((one for one in scope.records if one.ref.kind is trigger.object and one.state in SHOWN), None)
            if trigger.where is not None and record is not None:
                return self._by_condition_alone(milestone, trigger.where, record)
        higher = self._higher(milestone, scope)
        if higher is not None and milestone.implied == "ignore":
            return _missing(milestone, Unreached.NOT_IMPLIED, higher)
        kinds = {trigger.object for trigger in milestone.when}
        nearest = next((one for one in scope.records if one.ref.kind in kinds), None)
        if nearest is None:
            return self._without_record(milestone)
        return Missing(milestone.name, Unreached.NOT_ENTERED, nearest.ref, detail=_wanted(milestone))

    def _by_condition_alone(self, milestone: Milestone, where: Condition, record: KnownRecord) -> Missing:
        if not record.fields:
            return Missing(milestone.name, Unreached.FIELDS_GONE, record.ref)
        look, (at, _) = self._scopes.look_at(record), moment_at(record, where)
        checks = tuple(checks_of(where, look, at))
        return Missing(milestone.name, Unreached.CONDITION, record.ref, None, holds(where, look, at)[1], checks)

    def _without_record(self, milestone: Milestone) -> Missing:
        if self._of_others and any(trigger.object is ObjectKind.DEAL for trigger in milestone.when):
            ref, other = self._of_others[0]
            return Missing(milestone.name, Unreached.OTHER_PERSON, ref, detail=f"it counts for {other}")
        return Missing(milestone.name, Unreached.NO_RECORD, detail=_kinds(milestone))

    def _higher(self, milestone: Milestone, scope: Scope) -> Stay | None:
        """A stay in a milestone of higher rank, None where there is none."""
        rank = self._document.rank(milestone.name)
        others = [one for one in self._document.milestones[rank + 1 :] if one.name != DISQUALIFIED]
        return next((stay for other in others for stay in self._stays.real(scope.records, other)), None)


def _is_of(milestone: Milestone, scope: Scope, stored: ConversionState) -> bool:
    return stored.milestone in milestone.names and (scope.owns(stored) or scope.reads(stored.record_id))


def _missing(milestone: Milestone, why: Unreached, stay: Stay, detail: str = "", checks: tuple[Check, ...] = ()) -> Missing:
    told = f"{stay.explain}; {detail}" if detail else stay.explain
    return Missing(milestone.name, why, stay.record.ref, stay.entered_at, told, checks)


def _kinds(milestone: Milestone) -> str:
    return f"it is made by a {' or a '.join(sorted({trigger.object.value for trigger in milestone.when}))}"


def _wanted(milestone: Milestone) -> str:
    """What would make it, in the mapping's words."""
    parts = []
    for trigger in milestone.when:
        if trigger.created:
            parts.append(f"{trigger.object} created")
        elif trigger.enters:
            where = f" in {trigger.pipeline}" if trigger.pipeline else ""
            parts.append(f"{trigger.object}.{trigger.property} enters {', '.join(trigger.enters)}{where}")
    return "waited for: " + " or ".join(parts)
