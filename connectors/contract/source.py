"""The contract with a CRM: check, describe, read what changed, read by ref, parse a webhook."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Protocol, runtime_checkable

from connectors.contract.findings import Finding
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection


class PropertyType(StrEnum):
    """What a property holds, for operators and forms."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    ENUM = "enum"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of an enumerated property."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class PropertySchema:
    """A property as the CRM describes it. `currency_property` names the sibling that holds a money field's currency.

    `has_history`: the CRM tells when it took which value; without it an entry's instant is the modification that a poll saw.
    `max_length`: in characters, None where the CRM names none. `is_writable`: the API may write it.
    """

    name: str
    label: str
    type: PropertyType
    options: tuple[Option, ...] = ()
    currency_property: str | None = None
    has_history: bool = True
    is_custom: bool = False
    is_writable: bool = False
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class StageSchema:
    """A stage of a pipeline, in display order. `probability` is 0.0 to 1.0 where the CRM has one."""

    id: str
    label: str
    probability: float | None = None
    is_won: bool = False
    is_lost: bool = False
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class PipelineSchema:
    """A pipeline; `stage_property` is the property (HubSpot: `dealstage`) whose values are its stage ids."""

    id: str
    label: str
    kind: ObjectKind
    stage_property: str
    stages: tuple[StageSchema, ...]
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class SourceSchema:
    """All that a mapping form needs, and all that the engine needs to know of the account.

    `account_ref` is the vendor's own id of the account (HubSpot: portalId) and part of every conversion's id.
    `currency` is the account's ISO code, `time_zone` an IANA name. `stage_properties` says, by kind, which
    property holds the stage. `person_labels` are association labels that the account offers.
    `record_urls` are the CRM's own pages of a record: keys are kinds, values hold `{id}`.
    `currencies` are the account's ISO codes, its own first. `notices` are sentences on what the account lacks and how to get
    it (a history that is not tracked). `names_by_label`: a mapping may name properties and options by their labels.
    """

    account_ref: str
    currency: str
    time_zone: str
    properties: Mapping[ObjectKind, Mapping[str, PropertySchema]]
    pipelines: tuple[PipelineSchema, ...] = ()
    person_labels: tuple[str, ...] = ()
    record_urls: Mapping[ObjectKind, str] = field(default_factory=dict)
    currencies: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    names_by_label: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of modification time of one kind to read.

    `since` inclusive. `until` inclusive, None where the window was not opened yet: the source then takes the server's
    own clock (the Date header of its first answer) and says so in every page. `resume` is the source's own keyset
    (JSON-able text) from the last page that was committed, None at the start.
    """

    kind: ObjectKind
    since: datetime
    until: datetime | None = None
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a window, to be committed whole. After a committed page, `Window(kind, since, until, resume)` goes on.

    `records` may hold other kinds than the window's (the contacts of a deal). `seen` counts the rows that the search
    gave, unchanged ones included. `resume` is None on the last page (`is_last`).
    """

    records: tuple[Record, ...]
    until: datetime
    resume: str | None
    is_last: bool
    seen: int = 0


# Of these rows (external id -> modified_at), which are stored in exactly that version? They cost no further read.
UnchangedLookup = Callable[[ObjectKind, Mapping[str, datetime]], Awaitable[frozenset[str]]]

# Of these external ids, which are stored at all? (People of a deal that are known are kept fresh by their own poll.)
KnownLookup = Callable[[ObjectKind, Sequence[str]], Awaitable[frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Held:
    """The newest entry that is stored of a property: the value, and since when."""

    value: str
    at: datetime


# Of these external ids: the newest stored entry of each property that has one. Ids without entries are left out.
NewestLookup = Callable[[ObjectKind, Sequence[str]], Awaitable[Mapping[str, Mapping[str, Held]]]]


async def nothing_held(kind: ObjectKind, ids: Sequence[str]) -> Mapping[str, Mapping[str, Held]]:  # noqa: ARG001 the lookup's signature
    """No entry is stored: every history is read."""
    return {}


# Of these external ids: which are known to have gone on as records of another kind?
ConvertedLookup = Callable[[ObjectKind, Sequence[str]], Awaitable[frozenset[str]]]


async def none_converted(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:  # noqa: ARG001 the lookup's signature
    """Nothing is known to have gone on."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Stored:
    """What the service tells a source about its own store, so that it reads no row twice.

    `newest` is for vendors whose history costs a request a record: it is read only where the record's stage differs from it.
    `converted` is for vendors that show no more what was converted: it need not be asked for.
    """

    unchanged: UnchangedLookup
    known: KnownLookup
    newest: NewestLookup = nothing_held
    converted: ConvertedLookup = none_converted


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """A CRM's limits, as data. `fast_overlap` is re-read by every poll, the others by sweeps.

    A sweep finds what its index shows late by up to its overlap less its interval, as the row may appear just after a sweep:
    half an hour for the wide one, two days for the deep one. Deleted records are listed every `deletions_every`, where the
    source can. `smallest_daily_budget` is what the vendor's smallest account may spend a day, in its own unit (requests, or
    Pipedrive's tokens): a day of idle polling stays under a quarter of it. `notes_a_day`: how many notes may be written back a
    day, where each costs a request of its own; None: no bound.
    """

    page_rows: int
    poll_every: timedelta
    fast_overlap: timedelta = timedelta(minutes=5)
    sweep_overlap: timedelta = timedelta(minutes=60)
    sweep_every: timedelta = timedelta(minutes=30)
    deep_overlap: timedelta = timedelta(hours=72)
    deep_every: timedelta = timedelta(hours=24)
    deletions_every: timedelta = timedelta(hours=24)
    smallest_daily_budget: int | None = None
    notes_a_day: int | None = None


class CrmSource(Protocol):
    """One CRM account. Every method raises a ConnectorError where the call failed; none of them touches state."""

    kind: ClassVar[str]
    limits: ClassVar[SourceLimits]

    async def check(self, kinds: frozenset[ObjectKind] = frozenset()) -> Sequence[Finding]:
        """Prove token, scopes and account; one finding each, failed ones with their mend. Raises nothing for a refusal.

        `kinds` are what the active mapping reads: where one of them is refused, that is a failure.
        """
        ...

    async def describe(self) -> SourceSchema:
        """Read properties, pipelines, currency and zone of the account."""
        ...

    def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
        """Yield the records modified in the window, in pages, oldest modification first."""
        ...

    async def fetch(self, refs: Sequence[RecordRef], selection: Selection, stored: Stored) -> Sequence[Record]:
        """Read these records (with history and people). A ref that the CRM no longer shows comes back as DELETED.

        Where a source can tell that it is only hidden from our user, it does not come back at all. The people on them that are
        not known come with them, before them.
        """
        ...


@runtime_checkable
class ListsDeleted(Protocol):
    """Lists what was deleted, where `changes` does not tell of it: a deletion whose webhook was lost is found by this."""

    def deleted(self, kind: ObjectKind, since: datetime | None) -> AsyncIterator[Sequence[RecordRef]]:
        """Yield the refs that the CRM lists as deleted, in pages of any order, at least all deleted since the instant.

        A ref is a hint: it may be restored or merged meanwhile, and `fetch` says what became of it. None: all that is listed.
        """
        ...


@runtime_checkable
class ReadsAhead(Protocol):
    """Reads the first pages of several windows in one request, where the vendor counts that as one."""

    async def read_ahead(self, windows: Sequence[Window], selection: Selection) -> None:
        """Keep the first page of each window for the `changes` of that window that follows; called with two or more.

        What is kept is used once, and only for an equal window and selection.
        """
        ...


@runtime_checkable
class Paces(Protocol):
    """Knows its budget only at run time, so that how often it may be polled is no constant."""

    def poll_every(self, kind: ObjectKind) -> timedelta:
        """How long after a poll of this kind the next one comes."""
        ...


@dataclass(frozen=True, slots=True)
class SubscriptionsKept:
    """The vendor's webhook subscriptions to our address, each as the vendor words it: those found, those made now."""

    present: tuple[str, ...] = ()
    made: tuple[str, ...] = ()


@runtime_checkable
class KeepsWebhooks(Protocol):
    """Webhooks are subscribed to by API and may be taken away by the vendor: looked at every hour."""

    async def keep_webhooks(self, address: str, kinds: frozenset[ObjectKind]) -> SubscriptionsKept:
        """See that every subscription that these kinds need leads to the address; make those that are gone or dead.

        Never touches subscriptions to other addresses. Raises ConnectorError where the vendor refuses.
        """
        ...


@dataclass(frozen=True, slots=True)
class StatusNote:
    """What became of a record's conversions, to be written into one of its properties; at most 255 characters."""

    ref: RecordRef
    property: str
    text: str


class NoteOutcome(StrEnum):
    """REFUSED is final for this text (a validation rule, a locked record); GONE: the CRM shows no such record."""

    WRITTEN = "written"
    REFUSED = "refused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class NoteResult:
    """What became of one note; `code` and `message` are the vendor's, scrubbed."""

    outcome: NoteOutcome
    code: str = ""
    message: str = ""


@runtime_checkable
class WritesBack(Protocol):
    """Writes the sync status into the CRM. `most_notes` is the most in one call."""

    most_notes: ClassVar[int]

    async def write_back(self, notes: Sequence[StatusNote]) -> Sequence[NoteResult]:
        """Write nothing but these properties; exactly one result for each note, in order.

        Writing the same note twice is harmless. Raises ConnectorError where the call failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook as it arrived. `url` is the public one, as the vendor called it. Header names are lower case."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hint:
    """A record that may have changed; its values are never taken from the webhook. `account_ref` routes it.

    `merged_into`: what swallowed the record, where the webhook alone tells it (Pipedrive shows a merged record as a deleted
    one): it is recorded as merged, not fetched. `is_privacy_deletion`: the person asked to be forgotten.
    """

    ref: RecordRef
    account_ref: str
    occurred_at: datetime | None = None
    is_privacy_deletion: bool = False
    merged_into: RecordRef | None = None


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """What a vendor must read in answer to a webhook that was taken; others get 204 without a body."""

    status: int
    body: bytes = b""
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class WebhookRefused:
    """The request is not the vendor's, or stale, or unreadable; `reason` is safe to log."""

    status: int
    reason: str


class WebhookParser(Protocol):
    """Verify and parse, pure. `secrets`: any of them may have signed (rotation)."""

    def __call__(self, request: WebhookRequest, secrets: Sequence[str], now: datetime) -> tuple[Hint, ...] | WebhookRefused:
        """The records that may have changed, or why the request is refused."""
        ...
