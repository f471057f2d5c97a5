"""What the simulated LinkedIn counts: each event taken, by rule and event id, with what it was matched by."""

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Taken:
    """One event that was answered with 201. `matched_by` are the identifiers that belong to a member."""

    rule: str
    event_id: str
    happened_at_ms: int
    amount: Decimal | None
    currency: str | None
    matched_by: tuple[str, ...]


@dataclass(slots=True)
class Ledger:
    """Every event taken, in order. Whether a second copy of an id from this API counts is not documented: `dedups` decides."""

    dedups: bool = False
    events: list[Taken] = field(default_factory=list)

    def take(self, event: Taken) -> None:
        """Write an event down."""
        if not (self.dedups and self.copies(event.rule, event.event_id)):
            self.events.append(event)

    def copies(self, rule: str, event_id: str) -> list[Taken]:
        """What is counted under one id of one rule."""
        return [one for one in self.events if (one.rule, one.event_id) == (rule, event_id)]
