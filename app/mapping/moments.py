"""When a record met a condition that is a trigger of its own: at first by what the CRM tells of it, then for ever (pure)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from app.mapping.aggregate import ConversionState, KnownRecord
from app.mapping.condition_model import Condition
from app.mapping.conditions import holds
from app.mapping.document import MappingDocument, Trigger
from app.mapping.people import Lookup, split_field
from connectors.contract.records import RecordState

ABOUT = " (its last change in the CRM: the instant is approximate)"
SHOWN = frozenset({RecordState.LIVE, RecordState.CONVERTED})


@dataclass(frozen=True, slots=True)
class Moment:
    """A record met a trigger's condition at an instant; `explain` says which part of it."""

    trigger: Trigger
    at: datetime
    explain: str


class Moments:
    """The moments of one aggregate's records. `stored` are its conversions: what was counted once keeps its instant."""

    def __init__(
        self, document: MappingDocument, stored: Sequence[ConversionState], look_at: Callable[[KnownRecord], Lookup]
    ) -> None:
        self._document = document
        self._stored = stored
        self._look_at = look_at

    @cached_property
    def _made(self) -> Mapping[tuple[int, str | None], Sequence[ConversionState]]:
        """By record and milestone; only documents that have such triggers need it."""
        made: dict[tuple[int, str | None], list[ConversionState]] = {}
        for one in self._stored:
            if not one.is_implied:
                made.setdefault((one.record_id, one.milestone), []).append(one)
        return made

    def of(self, record: KnownRecord, rank: int, triggers: Sequence[Trigger]) -> list[Moment]:
        """Those of one record in the milestone of this rank. It fires once: that the condition is false later does nothing."""
        conditional = [(one, one.where) for one in triggers if one.where is not None]
        if not conditional:
            return []
        milestone = self._document.milestones[rank]
        made = [one for name in milestone.names for one in self._made.get((record.id, name), ())]
        if made:
            return [Moment(conditional[0][0], one.occurred_at, one.explain) for one in made]
        if record.state not in SHOWN or not record.fields:
            return []
        look = self._look_at(record)
        for trigger, condition in conditional:
            at, about = moment_at(record, condition)
            is_met, text = holds(condition, look, at)
            if is_met:
                return [Moment(trigger, at, f"{record.ref.kind} meets {text}{about}")]
        return []


def moment_at(record: KnownRecord, condition: Condition) -> tuple[datetime, str]:
    """By when a condition alone is judged, and what is to be said of it.

    The newest entry of the fields that it reads, where the CRM's history tells of all of them; else the last change.
    """
    named = [split_field(text) for text in condition.fields()]
    newest: dict[str, datetime] = {}
    for entry in record.entries:
        newest[entry.property] = max(entry.entered_at, newest.get(entry.property, entry.entered_at))
    if all(kind == record.ref.kind and name in newest for kind, name in named):
        return max(newest[name] for _, name in named), ""
    return record.modified_at, ABOUT
