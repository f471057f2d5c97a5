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
    """A property as the CRM describes it. `currency_property` names the sibling that holds a money field's currency."""

    name: str
    label: str
    type: PropertyType
    options: tuple[Option, ...] = ()
    currency_property: str | None = None
    has_history: bool = True


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
    `record_url` is the CRM page of a record: a format string with `{kind_path}` left out by vendors that need none;
    keys are kinds, values hold `{id}`.
    """

    account_ref: str
    currency: str
    time_zone: str
    properties: Mapping[ObjectKind, Mapping[str, PropertySchema]]
    pipelines: tuple[PipelineSchema, ...] = ()
    person_labels: tuple[str, ...] = ()
    record_urls: Mapping[ObjectKind, str] = field(default_factory=dict)


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
class Stored:
    """What the service tells a source about its own store, so that it reads no row twice."""

    unchanged: UnchangedLookup
    known: KnownLookup


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """A CRM's limits, as data. `fast_overlap` is re-read by every poll, the others by sweeps.

    A sweep finds what its index shows late by up to its overlap less its interval, as the row may appear just after a sweep:
    half an hour for the wide one, two days for the deep one. Deleted records are listed every `deletions_every`, where the
    source can.
    """

    page_rows: int
    poll_every: timedelta
    fast_overlap: timedelta = timedelta(minutes=5)
    sweep_overlap: timedelta = timedelta(minutes=60)
    sweep_every: timedelta = timedelta(minutes=30)
    deep_overlap: timedelta = timedelta(hours=72)
    deep_every: timedelta = timedelta(hours=24)
    deletions_every: timedelta = timedelta(hours=24)


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

        The people on them that are not known come with them, before them.
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


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook as it arrived. `url` is the public one, as the vendor called it. Header names are lower case."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hint:
    """A record that may have changed; its values are never taken from the webhook. `account_ref` routes it."""

    ref: RecordRef
    account_ref: str
    occurred_at: datetime | None = None
    is_privacy_deletion: bool = False


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
