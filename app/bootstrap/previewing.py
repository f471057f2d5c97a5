"""Previews: the recorder itself, with a version that is not active, on real records, in a transaction that is undone."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from app.bootstrap.contexts import Contexts, terms_in
from app.bootstrap.foreseeing import Foreseen, foresee
from app.bootstrap.mapping_versions import Document, MappingVersions
from app.bootstrap.openers import Openers
from app.bootstrap.preview_model import DestinationPreview, Fate, MilestonePreview, Origin, Preview, Sample
from app.connections.repository import SourceRow
from app.db.session import Database
from app.dispatch.model import OpenDestination
from app.ingest import preview_queries as queries
from app.ingest import reapply_repository as repository
from app.ingest.context import SourceContext
from app.ingest.lookups import stored_of
from app.ingest.poller import people_first
from app.ingest.pull_lease import waited_lease
from app.ingest.reapply_repository import StoredBatch
from app.ingest.recorder import Recorder, Written
from app.mapping.aggregate import ConversionState
from app.mapping.repository import StoredVersion
from app.outbox.policy import Send, Stop, Wait
from connectors.contract.conversions import IDENTIFIER_BITS, DeliveryKind
from connectors.contract.records import Record
from connectors.contract.source import Window

MOST_RECORDS = 5_000
MOST_DAYS = 90
MOST_SAMPLES = 5
LONGEST_WAIT = timedelta(seconds=30)


class PreviewRefused(Exception):
    """There is nothing to look at; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PreviewOrder:
    """What to look at: at most so many records, stored ones (None: where there are any) or the CRM's of the last days."""

    records: int = 2_000
    origin: Origin | None = None
    days: int = 14
    restates: bool = False


@dataclass(frozen=True, slots=True)
class Previews:
    """Previews versions of a source's mapping. Nothing is stored, sent or owed by any of it."""

    database: Database
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts
    versions: MappingVersions
    recorder: Recorder
    holder: str
    sleep: Callable[[float], Awaitable[None]]

    async def preview(self, source: str, version: int, order: PreviewOrder) -> Preview:
        """What this version would do, activated now and reapplied. Raises VersionUnknown, PreviewRefused, SourceBusy."""
        return await self._preview(*await self.versions.stored(source, version), order)

    async def preview_document(self, source: str, document: Document, order: PreviewOrder) -> Preview:
        """As `preview`, of a document that is stored nowhere: its version is 0. Raises VersionRefused too."""
        return await self._preview(*await self.versions.unstored(source, document), order)

    async def _preview(self, row: SourceRow, wanted: StoredVersion, active: int | None, order: PreviewOrder) -> Preview:
        source = row.name
        context = await self.contexts.of_version(row, wanted)
        if context is None:
            raise PreviewRefused(f"the CRM of {source} was never described; run `leadloop check` first")
        context = replace(context, renews_values=order.restates)
        page, batch = await self._records(row, context, order)
        if page and active is None and context.document.start is None:
            # A first mapping has nothing that it would send of the past; it is shown as if it had been active all the while.
            context = replace(context, start=self.clock() - timedelta(days=order.days))
        destinations = {one.id: await self.openers.open_destination(one.id) for one in context.destinations}
        reads_more = await self.versions.reads_more(row, wanted)
        # A holder of its own: the polls of this very process must be kept out too, and not be let go of.
        holder = f"{self.holder}:{uuid.uuid4().hex[:8]}"
        lease = waited_lease(self.database, row.id, holder, self.clock, self.sleep, LONGEST_WAIT)
        async with lease as held, self.recorder.rehearse(context, page, batch, self.clock(), held) as (connection, written):
            looked = _Look(context, written, destinations, self.clock())
            await looked.at(connection)
        return Preview(
            version=wanted.version,
            against=active,
            origin=Origin.CRM if page else Origin.STORED,
            records=len(page) or len(batch),
            is_whole=not page and batch.last is None,
            active_since=context.start,
            restates=order.restates,
            reads_more=() if page else tuple(reads_more),
            milestones=looked.milestones,
            destinations=looked.destinations,
            samples=looked.samples,
        )

    async def _records(self, row: SourceRow, context: SourceContext, order: PreviewOrder) -> tuple[list[Record], StoredBatch]:
        batch = StoredBatch()
        if order.origin is not Origin.CRM:
            async with self.database.read() as connection:
                batch = await repository.newest_stored(connection, row.id, order.records)
        if len(batch):
            return [], batch
        if order.origin is Origin.STORED:
            raise PreviewRefused(f"nothing is stored of {row.name} yet; look at the CRM's own records (`origin`: `crm`)")
        page = [record async for record in self._read(row, context, order)]
        if not page:
            said = f"nothing that this version maps was modified in {row.name} in the last {order.days} days; look at more days"
            raise PreviewRefused(said)
        return page, batch

    async def _read(self, row: SourceRow, context: SourceContext, order: PreviewOrder) -> AsyncIterator[Record]:
        """Records of the CRM modified in the last days, people before deals, a like share of each kind; none is kept."""
        crm, stored = self.openers.stored_source(row), stored_of(self.database, row.id, refetches=True)
        kinds = sorted(context.selection.objects, key=people_first)
        left = order.records
        for place, kind in enumerate(kinds):
            share = left // (len(kinds) - place)
            window = Window(kind, self.clock() - timedelta(days=order.days))
            async for page in crm.changes(window, context.selection, stored):
                for record in page.records[:share]:
                    yield record
                taken = min(share, len(page.records))
                share, left = share - taken, left - taken
                if share <= 0:
                    break


class _Look:
    """Counts what one rehearsed recording wrote."""

    def __init__(
        self, context: SourceContext, written: Written, destinations: Mapping[int, OpenDestination], now: datetime
    ) -> None:
        self._context = context
        self._written = written
        self._open = destinations
        self._now = now
        self.milestones = {one.name: MilestonePreview(is_mapped=True) for one in context.document.milestones}
        self.destinations = {one.name: DestinationPreview() for one in context.destinations}
        self.samples: Sequence[Sample] = ()

    async def at(self, connection: AsyncConnection) -> None:
        """Look at everything, while it is there."""
        found = self._written.found
        states = {uid: one.state for uid, one in self._written.stored.items()}
        for state in states.values():
            self._count(state, is_before=True)
        states |= {state.uid: state for _, state in found.changed}
        states |= {state.uid: state for state in found.new}
        for state in states.values():
            self._count(state, is_before=False)
        for state in found.new:
            self._of(state).new += 1
        for _, state in found.revalued:
            self._of(state).revalued += 1
        for _, state in found.ended:
            self._of(state).ended += 1
        foreseen = await self._foresee(connection)
        self._cover(await queries.identifier_masks(connection, sorted(self._written.leads)))
        self.samples = await self._examples(connection, foreseen)

    def _of(self, state: ConversionState) -> MilestonePreview:
        return self.milestones.setdefault(state.milestone, MilestonePreview(is_mapped=False))

    def _count(self, state: ConversionState, *, is_before: bool) -> None:
        if not state.is_live or state.duplicate_of is not None:
            return
        counts = self._of(state)
        worth = counts.worth_before if is_before else counts.worth_after
        if is_before:
            counts.before += 1
        else:
            counts.after += 1
        if state.money is not None:
            worth[state.money.currency] += state.money.amount_micros

    async def _foresee(self, connection: AsyncConnection) -> dict[int, dict[str, str]]:
        """By conversion and destination, what becomes of its upload; counted on the way."""
        changed = {before.id for before, _ in self._written.found.changed}
        touched = [*self._written.conversion_ids.values(), *changed]
        waiting = [one.id for one in self._written.stored.values() if any(row.due_at is not None for row in one.deliveries)]
        rows = await queries.deliveries_of(connection, sorted({*touched, *waiting}))
        before = {row.id for one in self._written.stored.values() for row in one.deliveries}
        told: dict[int, dict[str, str]] = {}
        owed: dict[int, int] = {}
        for row in rows:
            if row.destination_id not in self._open:
                continue
            preview = self.destinations[self._open[row.destination_id].name]
            if row.due_at is not None:
                owed[row.id] = row.destination_id
            elif row.id not in before and row.kind == DeliveryKind.UPLOAD:
                preview.stopped[row.reason] += 1
                told.setdefault(row.conversion_id, {})[self._open[row.destination_id].name] = row.reason
            if row.id not in before:
                preview.restates += row.kind == DeliveryKind.RESTATE
                preview.retracts += row.kind == DeliveryKind.RETRACT
        for one in await foresee(connection, owed, self._open, terms_in(self._context), self._now):
            if one.row.kind == DeliveryKind.UPLOAD:
                told.setdefault(one.row.conversion_id, {})[one.destination.name] = self._tell(one)
        return told

    def _tell(self, one: Foreseen) -> str:
        preview = self.destinations[one.destination.name]
        match one.decision:
            case Send():
                preview.sendable += 1
            case Wait(_, why):
                preview.waits[why.value] += 1
                return f"waits: {why.value}"
            case Stop(_, why):
                preview.stopped[why.value] += 1
        return one.outcome

    def _cover(self, masks: Sequence[int]) -> None:
        counts = Counter({name: sum(bool(mask & bit) for mask in masks) for name, bit in IDENTIFIER_BITS.items()})
        for terms in self._context.destinations:
            preview = self.destinations[terms.name]
            preview.people = len(masks)
            preview.identifiers = {name.value: counts[name] for name in IDENTIFIER_BITS if name in terms.limits.identifiers}

    async def _examples(self, connection: AsyncConnection, told: Mapping[int, Mapping[str, str]]) -> list[Sample]:
        """A few conversions, of each milestone and fate one before two of any."""
        found = self._written.found
        revalued, ended = ({id(state) for _, state in some} for some in (found.revalued, found.ended))
        chosen = [(Fate.NEW, self._written.conversion_ids[state.uid], state) for state in found.new]
        for before, state in found.changed:
            fate = Fate.ENDED if id(state) in ended else Fate.REVALUED if id(state) in revalued else Fate.CHANGED
            chosen.append((fate, before.id, state))
        seen = Counter[tuple[Fate, str]]()
        ranked: list[tuple[int, int, Fate, int, ConversionState]] = []
        for fate, conversion_id, state in sorted(chosen, key=lambda one: one[2].occurred_at, reverse=True):
            ranked.append((seen[fate, state.milestone], len(ranked), fate, conversion_id, state))
            seen[fate, state.milestone] += 1
        few = sorted(ranked, key=lambda one: one[:2])[:MOST_SAMPLES]
        refs = await queries.refs_of(connection, sorted({state.record_id for *_, state in few}))
        return [
            Sample(
                ref=refs[state.record_id],
                milestone=state.milestone,
                occurred_at=state.occurred_at,
                fate=fate,
                is_implied=state.is_implied,
                why=state.explain,
                value=state.money,
                value_why=state.value_why,
                excluded=state.excluded or "",
                destinations=told.get(conversion_id, {}),
            )
            for _, _, fate, conversion_id, state in few
        ]
