"""What recording must know of a source: its active mapping, its account and where its milestones go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.mapping.aggregate import AccountFacts
from app.mapping.document import MappingDocument
from app.mapping.fits import Fit
from app.mapping.rates import Rates
from connectors.contract.destination import DestinationLimits
from connectors.contract.records import Record
from connectors.contract.selection import Selection


@dataclass(frozen=True, slots=True)
class DestinationTerms:
    """A destination that the mapping names: its limits as data, and the target of each milestone.

    `shadowed`, `paused`: the milestones that an operator lets only be shown there, or stand still.
    """

    id: int
    name: str
    limits: DestinationLimits
    shadowed: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    targets: Mapping[str, str] = field(default_factory=dict)
    owed_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class SourceContext:
    """A source with a mapping, ready for recording.

    `fit` is the newest one, where the mapping values by our own history. `renews_values`: what is stored is valued by the mapping
    too, as a person asked.
    """

    id: int
    name: str
    kind: str
    document: MappingDocument
    facts: AccountFacts
    selection: Selection
    start: datetime
    destinations: tuple[DestinationTerms, ...] = ()
    rates: Rates = field(default_factory=Rates, repr=False)
    fit: Fit | None = field(default=None, repr=False)
    renews_values: bool = False

    @property
    def lacks_fit(self) -> bool:
        """True where the mapping learns a value that the fit was not made for."""
        home = self.facts.schema.currency
        return bool(self.document.learns) and (self.fit is None or bool(self.fit.lacks(self.document, home)))

    @property
    def counts_companies(self) -> bool:
        """True where a milestone is counted once a company."""
        return any(milestone.once_per == "company" for milestone in self.document.milestones)

    def makes_a_milestone(self, record: Record) -> bool:
        """True where an entry of this person (or its creation after `start`) meets a trigger of the mapping."""
        for milestone in self.document.milestones:
            for trigger in milestone.when:
                if trigger.object != record.ref.kind:
                    continue
                if trigger.created:
                    if record.created_at is None or record.created_at >= self.start:
                        return True
                elif trigger.property is None or any(
                    entry.property == trigger.property and entry.value in (trigger.enters or ()) for entry in record.entries
                ):
                    return True
        return False
