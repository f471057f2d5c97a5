"""A simulated portal, a source that reads it, and a store that behaves as the service's does."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from connectors.contract.records import Entry, ObjectKind, Record, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Page, Stored, Window
from connectors.crm.hubspot.settings import HubSpotSettings
from connectors.crm.hubspot.source import HubSpotSource
from connectors.simulators.hubspot import Portal, create_hubspot

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
SELECTION = Selection(
    {
        ObjectKind.DEAL: ObjectSelection(frozenset({"amount"}), frozenset({"dealstage"}), with_people=True),
        ObjectKind.LEAD: ObjectSelection(frozenset({"hs_lead_name"}), frozenset({"hs_pipeline_stage"}), with_people=True),
        ObjectKind.CONTACT: ObjectSelection(frozenset({"email"}), frozenset({"lifecyclestage"})),
    }
)


@dataclass
class Memory:
    """What a service keeps: the newest reading of each record, and every entry once."""

    records: dict[RecordRef, Record] = field(default_factory=dict)
    entries: set[tuple[RecordRef, Entry]] = field(default_factory=set)

    def take(self, records: Sequence[Record]) -> int:
        """Keep a page; returns how many entries are new."""
        before = len(self.entries)
        for record in records:
            held = self.records.get(record.ref)
            if held is None or record.modified_at >= held.modified_at or record.state is not RecordState.LIVE:
                self.records[record.ref] = record
            self.entries |= {(record.ref, entry) for entry in record.entries}
        return len(self.entries) - before

    def stored(self) -> Stored:
        async def unchanged(kind: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
            held = {one: self.records.get(RecordRef(kind, one)) for one in rows}
            return frozenset(one for one, record in held.items() if record is not None and record.modified_at == rows[one])

        async def known(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
            return frozenset(one for one in ids if RecordRef(kind, one) in self.records)

        return Stored(unchanged, known)


class PortalWorld:
    """One account. `calls` counts requests by method and path; `sleep` moves the clock of both sides."""

    def __init__(self, portal: Portal | None = None, **settings: str) -> None:
        self.now = START + timedelta(days=1)
        self.portal = portal or Portal(has_limits=False, has_leads=True)
        self.memory = Memory()
        self.calls: Counter[str] = Counter()
        self.settled: dict[ObjectKind, datetime] = {}
        transport = httpx.ASGITransport(app=create_hubspot(self.portal, lambda: self.now))
        self.client = httpx.AsyncClient(transport=transport, event_hooks={"request": [self._note]})
        self.source = HubSpotSource(
            self.client,
            HubSpotSettings.from_mapping({"access_token": self.portal.tokens[0], **settings}),
            lambda: self.now,
            sleep=self.sleep,
        )

    async def _note(self, request: httpx.Request) -> None:
        self.calls[f"{request.method} {request.url.path}"] += 1

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def pages(self, kind: ObjectKind, since: datetime = START, selection: Selection = SELECTION) -> list[Page]:
        """Read a window without remembering it."""
        window = Window(kind, since)
        return [page async for page in self.source.changes(window, selection, self.memory.stored())]

    async def poll(self, kind: ObjectKind, overlap: timedelta = timedelta(minutes=5)) -> int:
        """Read what changed since the last poll as the service does; returns how many entries were new."""
        since = self.settled.get(kind, START + overlap) - overlap
        new = 0
        async for page in self.source.changes(Window(kind, since), SELECTION, self.memory.stored()):
            new += self.memory.take(page.records)
            if page.is_last:
                self.settled[kind] = page.until
        return new
