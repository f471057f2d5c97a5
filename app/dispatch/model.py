"""What dispatching passes around: an open destination, the terms of a milestone, a row that goes, a summary."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.outbox.policy import Candidate
from app.outbox.repository import ClaimedRow
from connectors.contract.conversions import Identifier, Money
from connectors.contract.destination import AdDestination


@dataclass(frozen=True, slots=True)
class MilestoneTerms:
    """What the active mapping says of a milestone at a destination. `target` as deliveries store it; empty: as enqueued.

    `is_shadow`, `is_paused`: an operator lets it only be shown there, or stand still. `recalls`: who withdraws consent has taken
    back what was sent of them.
    """

    target: str = ""
    send_when: str = "any"
    minimum_micros: int = 0
    prefer: tuple[str, ...] = ()
    is_shadow: bool = False
    is_paused: bool = False
    recalls: bool = False


@dataclass(frozen=True, slots=True)
class OpenDestination:
    """A destination with its connector, ready to send."""

    id: int
    name: str
    connector: AdDestination
    is_shadow: bool = False
    batch_rows: int | None = None
    adaptive_rows: int | None = None
    clean_requests: int = 0
    paused_targets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SourceTerms:
    """A source's kind and, by (destination name, milestone), its terms; an absent key is not mapped any more."""

    kind: str
    milestones: Mapping[tuple[str, str], MilestoneTerms]


class Destinations(Protocol):
    """Opens destinations."""

    async def open_destination(self, destination_id: int) -> OpenDestination:
        """The destination with its connector."""
        ...


class Terms(Protocol):
    """Knows the active mappings."""

    async def terms_of(self, source_id: int) -> SourceTerms:
        """What the source's active mapping says."""
        ...


@dataclass(frozen=True, slots=True)
class Ready:
    """A row that goes, with its frozen content. `upload_id`: the claim or upload under which it stands, its fence.

    `form`: rows of different forms never share a request (conversions and corrections; what the platform wants apart).
    """

    row: ClaimedRow
    target: str
    person: Candidate
    why: str
    money: Money | None
    identifiers: Mapping[Identifier, str] = field(repr=False)
    sent_at: datetime
    source_kind: str = ""
    upload_id: int = 0
    vendor_key: str | None = None
    form: str = ""

    @property
    def key(self) -> str:
        """Its conversion's id."""
        return self.row.conversion_uid

    @property
    def most_together(self) -> int | None:
        """With how many rows it may go."""
        return self.row.most_together


@dataclass(slots=True)
class DrainSummary:
    """What a drain did. `paused_until` is set where the connection was paused by a failure."""

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    waiting: int = 0
    stopped: int = 0
    requests: int = 0
    is_busy: bool = False
    failure: str = ""
    paused_until: datetime | None = None
