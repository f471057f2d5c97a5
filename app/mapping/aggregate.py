"""What the engine reads and what it answers: one person (or a deal without people) with all that is stored of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.mapping.stages import StageBook
from connectors.contract.conversions import Money
from connectors.contract.records import Entry, RecordRef, RecordState
from connectors.contract.source import SourceSchema

EntryKey = tuple[str, datetime, str]


@dataclass(frozen=True, slots=True)
class KnownRecord:
    """A stored record with its opened fields and all its entries. `aliases`: ids merged into it.

    `merged_into` is the row id of the record that swallowed it. `fresh` names the entries (property, instant, value) that are
    recorded for the first time now, None where all are: a condition is judged for them even if the stage was left since.
    """

    id: int
    ref: RecordRef
    state: RecordState
    modified_at: datetime
    created_at: datetime | None
    fields: Mapping[str, str | None] = field(repr=False)
    entries: tuple[Entry, ...] = ()
    pipeline: str | None = None
    stage: str | None = None
    company_ref: str | None = None
    aliases: tuple[str, ...] = ()
    merged_into: int | None = None
    fresh: frozenset[EntryKey] | None = None


def by_survival(record: KnownRecord) -> tuple[bool, float, str]:
    """Whose fields are asked before whose: survivors first, newest modification first within each."""
    return record.state is RecordState.MERGED, -record.modified_at.timestamp(), record.ref.external_id


@dataclass(frozen=True, slots=True)
class Person:
    """A lead with its records: the surviving one first, then merged keys and CRM lead records, newest modification first.

    `email_key` is the HMAC of the e-mail (compared only), None where there is no valid e-mail. `platform` and `campaign_id`
    are the attribution as it was frozen at first touch.
    """

    lead_id: int
    created_at: datetime
    records: tuple[KnownRecord, ...]
    email_key: bytes | None = field(default=None, repr=False)
    platform: str | None = None
    campaign_id: str | None = None


@dataclass(frozen=True, slots=True)
class DealPerson:
    """A person on a deal, in brief, enough to order them."""

    lead_id: int
    created_at: datetime
    ref: RecordRef
    labels: tuple[str, ...] = ()
    is_primary: bool = False


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal with the people on it, and the deals that were merged into it."""

    record: KnownRecord
    people: tuple[DealPerson, ...] = ()
    merged: tuple[KnownRecord, ...] = ()


class ValueState(StrEnum):
    """`ready`: amount set. `wait`: missing, may come. `rate`: no currency rate yet. `skip` and `without`: as the mapping says."""

    READY = "ready"
    WAIT = "wait"
    RATE = "rate"
    SKIP = "skip"
    WITHOUT = "without"
    NONE = "none"  # the milestone has no value model


class EndReason(StrEnum):
    """Why a conversion no longer lives: always a positive fact of the CRM."""

    LEFT = "left"
    LOST = "lost"
    DELETED = "deleted"
    DUPLICATE_AFTER_MERGE = "duplicate_after_merge"


@dataclass(frozen=True, slots=True)
class ConversionState:
    """A conversion as it should be now. `uid`, scope, milestone and occurrence never change once stored.

    `scope_key` is the frozen scope ref. `record_id` is the record whose entry made it. `value_basis` is the frozen value
    model (JSON text) that later revaluations use; `value_why` a sentence for the trace. `explain` says which trigger fired.
    `duplicate_of` is the uid that counts instead (another record of the same e-mail). `excluded` names why nothing is sent
    anywhere ("" where not); `excluded_for` names destinations whose own `where` is false. `is_tried`: an upload of it was
    tried, so its instant is frozen; `is_withdrawn`: a platform was told to take it back, so it never lives again.
    `money` is what is sent. Where it is a share of its lead's account (`accounts.py`), `nominal` is its own value, else None;
    `is_held`: its stage was not left since, as far as the records at hand say (not stored).
    """

    uid: str
    milestone: str
    scope_kind: str
    scope_key: str
    occurrence: int
    record_id: int
    lead_id: int | None
    occurred_at: datetime
    is_implied: bool
    is_live: bool
    mapping_version: int
    value_state: ValueState
    money: Money | None = None
    value_basis: str = ""
    value_why: str = ""
    explain: str = ""
    rates_version: int | None = None
    duplicate_of: str | None = None
    ended_at: datetime | None = None
    ended_why: EndReason | None = None
    excluded: str = ""
    excluded_for: frozenset[str] = frozenset()
    is_tried: bool = False
    is_withdrawn: bool = False
    nominal: Money | None = None
    is_held: bool = True


@dataclass(frozen=True, slots=True)
class Aggregate:
    """All that bears on one person's conversions.

    `deals` are those of which this person is the principal (see `engine.principal`); with `person` None there is exactly
    one deal, which has no people. `conversions`: those already stored for the person, the deals and their companies.
    Other people of the same e-mail are not in here: see `duplicates.py`.
    """

    person: Person | None
    deals: tuple[Deal, ...] = ()
    conversions: tuple[ConversionState, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What the engine must know of the source besides records: its kind, the schema and the active mapping version."""

    source_kind: str
    schema: SourceSchema
    mapping_version: int
    stages: StageBook = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the schema once for all aggregates."""
        object.__setattr__(self, "stages", StageBook.of(self.schema))
