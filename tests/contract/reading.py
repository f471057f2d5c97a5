"""Reads a CRM source as the service does: windows, a store that knows what it has, tokens that are saved before their use."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from app.mapping.document import parse_document
from app.mapping.selection import selection_of
from connectors import registry
from connectors.contract.records import Entry, ObjectKind, Record, RecordRef, RecordState
from connectors.contract.selection import Selection
from connectors.contract.source import CrmSource, Held, Hint, Page, Stored, WebhookRefused, WebhookRequest, Window
from connectors.http.client import Hooks
from tests.contract.crm_stage import CrmStage
from tests.memory_tokens import MemoryTokens

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DEAL, CONTACT, LEAD = ObjectKind.DEAL, ObjectKind.CONTACT, ObjectKind.LEAD


@dataclass
class Store:
    """What was read so far, as the service keeps it: the newest reading of each record, all its entries."""

    records: dict[RecordRef, Record] = field(default_factory=dict)
    entries: dict[RecordRef, dict[tuple[str, datetime, str], Entry]] = field(default_factory=dict)

    def take(self, records: Sequence[Record]) -> None:
        """Keep a page."""
        for record in records:
            held = self.records.get(record.ref)
            is_older = record.state is RecordState.LIVE and held is not None and record.modified_at < held.modified_at
            if not is_older:
                self.records[record.ref] = record
            kept = self.entries.setdefault(record.ref, {})
            kept.update({(one.property, one.entered_at, one.value): one for one in record.entries})

    def stored(self) -> Stored:
        """The lookups that a source is given."""

        async def unchanged(kind: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
            held = {one: self.records.get(RecordRef(kind, one)) for one in rows}
            return frozenset(one for one, record in held.items() if record is not None and record.modified_at == rows[one])

        async def known(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
            return frozenset(one for one in ids if RecordRef(kind, one) in self.records)

        async def newest(kind: ObjectKind, ids: Sequence[str]) -> Mapping[str, Mapping[str, Held]]:
            found: dict[str, dict[str, Held]] = {}
            for one in ids:
                for (name, at, value), _ in sorted(self.entries.get(RecordRef(kind, one), {}).items(), key=_by_instant):
                    found.setdefault(one, {})[name] = Held(value, at)
            return found

        return Stored(unchanged, known, newest)


def _by_instant(one: tuple[tuple[str, datetime, str], Entry]) -> datetime:
    return one[0][1]


@dataclass
class Reading:
    """One source, opened through the registry, with its store."""

    stage: CrmStage
    oauth: bool = False
    store: Store = field(default_factory=Store)
    tokens: MemoryTokens = field(default_factory=MemoryTokens)
    slept: list[float] = field(default_factory=list)
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        self.client = httpx.AsyncClient(transport=self.stage.transport())
        self.crm = self.open()

    def open(self) -> CrmSource:
        """A connector without memory, as after a restart."""
        settings = self.stage.settings(oauth=self.oauth)
        registry.check_settings(self.stage.kind, settings)
        return registry.open_source(
            self.stage.kind, settings, self.client, self.tokens, self.tokens.lock, self.stage.clock, Hooks(), self._sleep
        )

    async def select(self) -> Selection:
        """Describe the account; what its mapping needs is read from then on."""
        self.selection = selection_of(parse_document(self.stage.mapping()), await self.crm.describe())
        return self.selection

    async def window(self, kind: ObjectKind, since: datetime, until: datetime | None = None) -> list[Page]:
        """Read one window to its end; each page is kept before the next is asked for."""
        pages = []
        async for page in self.crm.changes(Window(kind, since, until), self.selection, self.store.stored()):
            self.store.take(page.records)
            pages.append(page)
        return pages

    async def poll(self, since: datetime, *, overlap: timedelta | None = None) -> list[Page]:
        """A window of every kind, people before deals, with the overlap of a usual poll."""
        back = self.crm.limits.fast_overlap if overlap is None else overlap
        order = (ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL)
        return [page for kind in order if kind in self.selection.objects for page in await self.window(kind, since - back)]

    async def fetch(self, *refs: RecordRef) -> Sequence[Record]:
        """Read records by ref, as hints are."""
        found = await self.crm.fetch(refs, self.selection, self.store.stored())
        self.store.take(found)
        return found

    def answer(self, request: WebhookRequest, secrets: Sequence[str] | None = None) -> tuple[Hint, ...] | WebhookRefused:
        """What the vendor's parser says of a webhook now."""
        parse = registry.WEBHOOKS[self.stage.kind].parse
        return parse(request, self.stage.secrets if secrets is None else secrets, self.stage.clock())

    def parsed(self, request: WebhookRequest) -> tuple[Hint, ...]:
        """The hints of a webhook that must be believed."""
        hints = self.answer(request)
        assert not isinstance(hints, WebhookRefused), hints
        return hints

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.stage.clock.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


def refs_of(pages: Sequence[Page], kind: ObjectKind) -> list[str]:
    """The ids of one kind, in the order read."""
    return [record.ref.external_id for page in pages for record in page.records if record.ref.kind is kind]


def entered(store: Store, ref: RecordRef, name: str) -> list[tuple[datetime, str]]:
    """The entries of a property in the order of time."""
    return sorted((at, value) for (one, at, value) in store.entries.get(ref, {}) if one == name)


def crowd(stage: CrmStage, count: int, *, every: timedelta = SECOND) -> list[str]:
    """So many deals, one after the other; the clock goes on with them."""
    return [stage.add_deal(stage.clock.go_on(every)) for _ in range(count)]


def later(stage: CrmStage, by: timedelta = MINUTE) -> datetime:
    """The instant to which the clock has gone on."""
    return stage.clock.go_on(by)
