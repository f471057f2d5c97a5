"""What a CRM knows, vendor-neutral: records, their entries and the people on them. No personal data is hashed here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ObjectKind(StrEnum):
    """The kind of a record, the same four words for every CRM."""

    CONTACT = "contact"
    LEAD = "lead"
    DEAL = "deal"
    COMPANY = "company"


class RecordState(StrEnum):
    """Whether the CRM still shows the record. CONVERTED: it went on as a record of another kind, so it is not deleted."""

    LIVE = "live"
    DELETED = "deleted"
    MERGED = "merged"
    CONVERTED = "converted"


class EntryOrigin(StrEnum):
    """Who told us of an entry: the CRM's own history, a webhook, or a difference that a poll observed."""

    HISTORY = "history"
    WEBHOOK = "webhook"
    OBSERVED = "observed"


@dataclass(frozen=True, slots=True, order=True)
class RecordRef:
    """One record of one source. `external_id` is the CRM's own id as text."""

    kind: ObjectKind
    external_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A property took a value at an instant, as the CRM tells it.

    `value` is "" where the property was emptied. `entered_at` is aware UTC, cut to milliseconds.
    `pipeline` is set where stage ids are unique only within one.
    """

    property: str
    value: str
    entered_at: datetime
    pipeline: str | None = None
    origin: EntryOrigin = EntryOrigin.HISTORY
    is_approximate: bool = False
    vendor_ref: str | None = None


@dataclass(frozen=True, slots=True)
class PersonLink:
    """A person on a record, with the labels that the CRM's association carries.

    On a deal: who is on it, contacts or CRM leads. On a CRM lead record: the contact that it is, or became; both are one lead.
    """

    ref: RecordRef
    labels: tuple[str, ...] = ()
    is_primary: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One CRM object as the CRM gave it.

    `fields` holds the selected properties only, each as the CRM's text; None and "" both mean empty.
    `fields` may hold personal data, so it stays out of the repr. `people` is None where it was not read
    (known people stay), a tuple (possibly empty) where it was.
    `modified_at` is the CRM's own last modification and decides which of two readings is newer.
    `merged_ids` are ids that were merged into this record; `merged_into` is set where `state` is MERGED.
    `converted_from` are records of another kind that became this one (a Pipedrive lead that became a deal): the CRM shows
    them no longer, and that is no deletion.
    """

    ref: RecordRef
    modified_at: datetime
    created_at: datetime | None = None
    fields: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    entries: tuple[Entry, ...] = ()
    people: tuple[PersonLink, ...] | None = None
    company: RecordRef | None = None
    pipeline: str | None = None
    stage: str | None = None
    state: RecordState = RecordState.LIVE
    merged_into: RecordRef | None = None
    merged_ids: tuple[str, ...] = ()
    converted_from: tuple[RecordRef, ...] = ()
