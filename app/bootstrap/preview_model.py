"""What a preview tells: which conversions a version would make or change, what would go where and why not, with examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from connectors.contract.conversions import Money
from connectors.contract.records import RecordRef


class Origin(StrEnum):
    """Where a preview's records come from: what is stored, or a stretch of the CRM read for it and not kept."""

    STORED = "stored"
    CRM = "crm"


class Fate(StrEnum):
    """What a version does to a conversion."""

    NEW = "new"
    REVALUED = "revalued"
    ENDED = "ended"
    CHANGED = "changed"


@dataclass(slots=True)
class MilestonePreview:
    """One milestone: how many of its conversions live before and after, what changes, and what they are worth by currency.

    `is_mapped` False: the version does not name it; what is there stays there, and waits nowhere any more.
    """

    is_mapped: bool
    before: int = 0
    after: int = 0
    new: int = 0
    revalued: int = 0
    ended: int = 0
    worth_before: Counter[str] = field(default_factory=Counter)
    worth_after: Counter[str] = field(default_factory=Counter)

    def worth(self) -> tuple[Sequence[Money], Sequence[Money]]:
        """What they are worth, before and after."""
        return _money(self.worth_before), _money(self.worth_after)


@dataclass(slots=True)
class DestinationPreview:
    """One destination: uploads that would go now, wait (by reason) or stop (by reason), and corrections.

    `people`: whose conversions were looked at; `identifiers`: of those that it takes, how many of these people have each.
    """

    sendable: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    restates: int = 0
    retracts: int = 0
    people: int = 0
    identifiers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversion as an example: which rule made it, what it is worth and why, and what becomes of it where."""

    ref: RecordRef
    milestone: str
    occurred_at: datetime
    fate: Fate
    is_implied: bool
    why: str
    value: Money | None
    value_why: str
    excluded: str
    destinations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a version would do to the records that were looked at.

    `against`: the version that is active; `is_whole`: there are no other records. `active_since`: what is older is not sent.
    `reads_more`: kinds of which the version reads what is not stored: there a preview of what is stored tells too little.
    """

    version: int
    against: int | None
    origin: Origin
    records: int
    is_whole: bool
    active_since: datetime
    restates: bool
    reads_more: tuple[str, ...] = ()
    milestones: Mapping[str, MilestonePreview] = field(default_factory=dict)
    destinations: Mapping[str, DestinationPreview] = field(default_factory=dict)
    samples: Sequence[Sample] = ()


def _money(worth: Mapping[str, int]) -> Sequence[Money]:
    return [Money(micros, currency) for currency, micros in sorted(worth.items()) if micros]
