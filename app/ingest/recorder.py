"""Recording: one transaction turns a page of records into facts, conversions and deliveries owed. All doors come through here."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import is_sqlite
from app.db.ids import IdBlock
from app.db.instants import to_ms
from app.db.session import Database
from app.ingest import conversion_repository as conversions
from app.ingest import repository
from app.ingest.account_repository import write_worths
from app.ingest.aggregates import Neighbourhood, load_neighbourhood
from app.ingest.backfill_repository import BackfillMove, move_backfill
from app.ingest.context import SourceContext
from app.ingest.conversion_repository import StoredConversion
from app.ingest.cursors import CursorMove, move_cursor
from app.ingest.deriving import derive_all
from app.ingest.difference import Difference, difference, turned_by
from app.ingest.erasing import Erased, erase_people, keep_forgotten, note_forgotten
from app.ingest.identities import LeadWriter, PeopleWritten, ReadLead
from app.ingest.inbox import WaitingHint, done_with, put_hints
from app.ingest.owing import Owed, owe, owe_past
from app.ingest.pages import readings_of
from app.ingest.people import People
from app.ingest.pull_lease import LeaseLost, PullLease, renew_lease
from app.ingest.reapply_repository import ReapplyMove, StoredBatch, move_reapply
from app.ingest.storing import PERSON_KINDS, PagePlan, PagePlanner, refs_in
from app.ingest.watch import SILENCE_IN_WORDS, SILENCE_MEND, count_untold
from app.ingest.writing import refreshed, turned_by_consent, woken_by, write_conversions, write_owed
from app.mapping.rates import Rates
from app.privacy.barring import barred_in, page_without
from app.secrets import Keyring
from connectors.contract.records import Record

log = structlog.get_logger()

Bell = Callable[[Iterable[int]], None]
Tell = Callable[[str, "Recorded"], None]
MOST_REVALUED = 1000


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a page changed. `untold`: records that changed long enough ago for a webhook to have told of it."""

    records: int = 0
    entries: int = 0
    new_conversions: int = 0
    revalued: int = 0
    ended: int = 0
    deliveries: int = 0
    untold: int = 0

    def __add__(self, other: "Recorded") -> "Recorded":
        """Add up pages."""
        return Recorded(*(getattr(self, name) + getattr(other, name) for name in Recorded.__slots__))


@dataclass(frozen=True, slots=True)
class Written:
    """All that one transaction wrote. `stored` are the conversions of its people and deals before it, by uid.

    `conversion_ids` are the new ones', `leads` the people whose conversions were looked at.
    """

    recorded: Recorded = Recorded()
    found: Difference = field(default_factory=Difference)
    owed: Owed = field(default_factory=Owed)
    stored: Mapping[str, StoredConversion] = field(default_factory=dict)
    conversion_ids: Mapping[str, int] = field(default_factory=dict)
    leads: frozenset[int] = frozenset()


class Recorder:
    """THE transaction. After the commit `ring` hears of the destinations that are owed something, `tell` of the source."""

    def __init__(
        self, database: Database, keyring: Keyring, people: People, ring: Bell, tell: Tell = lambda _source, _recorded: None
    ) -> None:
        self._tell = tell
        self._database = database
        self._keyring = keyring
        self._people = people
        self._leads = LeadWriter(people)
        self._ring = ring

    async def record(
        self,
        source: SourceContext,
        page: Sequence[Record],
        now: datetime,
        lease: PullLease,
        *,
        move: CursorMove | BackfillMove | None = None,
        hints: Sequence[WaitingHint] = (),
        rates: Rates | None = None,
    ) -> Recorded:
        """Record a page, move the cursor (or the backfill) and drop the hints with it: all or nothing.

        The lease is renewed with each page. Raises LeaseLost where another reader took over.
        """
        async with self._database.write() as connection:
            await renew_lease(connection, lease, now)  # the cursor moves last, under the same fence
            written = await self._record(connection, source, page, now, rates) if page else Written()
            recorded = written.recorded
            if move is not None and not await _move(connection, source.id, lease.fence, move, now, recorded):
                raise LeaseLost(lease.name)
            is_silent = False
            if isinstance(move, CursorMove) and move.counts_untold and recorded.untold:
                is_silent = await count_untold(connection, source.id, recorded.untold, to_ms(now))
            await done_with(connection, source.id, hints)
        if is_silent:
            log.warning("webhook.silent", source=source.name, message=SILENCE_IN_WORDS, mend=SILENCE_MEND)
        self._committed(source, written)
        return recorded

    async def reapply(
        self, source: SourceContext, batch: StoredBatch, now: datetime, lease: PullLease, move: ReapplyMove
    ) -> Recorded:
        """Run the engine again over stored records, and move the reapply with it: all or nothing.

        Raises LeaseLost like `record`, and where another reapply took this one's place.
        """
        async with self._database.write() as connection:
            await renew_lease(connection, lease, now)
            written = await self._rewrite(connection, source, batch.deals, batch.persons, now, source.rates)
            if not await move_reapply(connection, source.id, lease.fence, move, now, written.recorded):
                raise LeaseLost(lease.name)
        self._committed(source, written)
        return written.recorded

    def _committed(self, source: SourceContext, written: Written) -> None:
        self._ring(written.owed.destinations)
        self._tell(source.name, written.recorded)

    @asynccontextmanager
    async def rehearse(
        self, source: SourceContext, page: Sequence[Record], batch: StoredBatch, now: datetime, lease: PullLease
    ) -> AsyncIterator[tuple[AsyncConnection, Written]]:
        """What recording a page, or reapplying to a batch, would write: to be looked at inside the block, undone at its end."""
        async with self._database.rehearse() as connection:
            await renew_lease(connection, lease, now)
            if page:
                written = await self._record(connection, source, page, now, source.rates)
            else:
                written = await self._rewrite(connection, source, batch.deals, batch.persons, now, source.rates)
            yield connection, written

    async def erase(self, source_id: int, hints: Sequence[WaitingHint], now: datetime, lease: PullLease) -> Erased:
        """Forget the people behind these hints, and drop the hints with it. Raises LeaseLost like `record`."""
        async with self._database.write() as connection:
            await renew_lease(connection, lease, now)
            erased = await erase_people(connection, self._people, source_id, [hint.ref for hint in hints], to_ms(now))
            await note_forgotten(connection, actor="crm", way="webhook", erased=erased, now_ms=to_ms(now))
            await done_with(connection, source_id, hints)
        await self._database.wipe()
        return erased

    async def revalue(
        self, source: SourceContext, now: datetime, lease: PullLease, *, after: int = 0, rates: Rates | None = None
    ) -> tuple[Recorded, int | None]:
        """Value again a batch of what waits for a currency rate, when rates have come; where to go on, None at the end.

        Raises LeaseLost like `record`.
        """
        chosen = source.rates if rates is None else rates
        async with self._database.write() as connection:
            await renew_lease(connection, lease, now)
            batch = await conversions.waiting_for_rate(connection, source.id, after=after, limit=MOST_REVALUED)
            written = Written()
            if batch.deals or batch.others:
                written = await self._rewrite(connection, source, batch.deals, batch.others, now, chosen)
            if batch.last is None:
                await conversions.note_rates_valued_with(connection, source.id, chosen.version)
        self._committed(source, written)
        return written.recorded, batch.last

    async def owe_past(
        self,
        source: SourceContext,
        deals: set[int],
        others: set[int],
        conversion_ids: frozenset[int],
        now: datetime,
        lease: PullLease,
    ) -> int:
        """File an upload of these conversions (of these records) at each destination that never was owed one.

        None of them goes by that: they are before the start of their destination. What the mapping excludes meanwhile is filed
        as that. Raises LeaseLost like `record`. Returns how many deliveries were added.
        """
        async with self._database.write() as connection:
            await renew_lease(connection, lease, now)
            near = await load_neighbourhood(connection, self._keyring, PagePlan(deals=deals, persons=others), source.document)
            people = PeopleWritten({lead_id: row.email_hmac for lead_id, row in near.leads.items()})
            stored = await self._stored(connection, source, near, people)
            # As if nothing were stored: only of what is new the engine says whether the mapping excludes it.
            judged = {one.uid: one for one in derive_all(source, near, people.email_keys, {}, source.rates).states}
            owed = owe_past(source, [one for one in stored.values() if one.id in conversion_ids], judged, now)
            await write_owed(connection, source, owed, IdBlock(connection, max(1, len(owed.added))))
        return len(owed.added)

    async def _record(
        self, connection: AsyncConnection, source: SourceContext, page: Sequence[Record], now: datetime, rates: Rates | None
    ) -> Written:
        readings = readings_of(page)
        known = await repository.records_by_refs(connection, source.id, refs_in(readings))
        planner = PagePlanner(source, self._keyring, known, to_ms(now))
        kept = planner.wanted(readings)
        new = planner.new_refs(kept)
        ids = IdBlock(connection, _ids_for(source, len(kept), len(new)))
        plan = planner.plan(kept, new, await ids.take(2 * len(new)) if new else 0)
        near = await self._around(connection, source, plan)
        read = self._leads.read(source, near)
        strangers = [ref for ref in refs_in(kept) if ref not in known and ref.kind in PERSON_KINDS]
        barred = await barred_in(connection, self._people.marks, source.id, near, read, strangers)
        if barred is not None:
            await keep_forgotten(connection, self._people, source.id, barred, to_ms(now))
            log.info("person.barred", source=source.name, records=len(barred.refs), erased=len(barred.stored_leads))
            return await self._record(connection, source, page_without(kept, barred.refs, known), now, rates)
        chosen = source.rates if rates is None else rates
        return await self._write(connection, source, plan, near, ids, now, chosen, read)

    async def _around(self, connection: AsyncConnection, source: SourceContext, plan: PagePlan) -> Neighbourhood:
        near = await load_neighbourhood(connection, self._keyring, plan, source.document)
        plan.asked += near.leave_purged(plan.fields)
        return near

    async def _rewrite(
        self,
        connection: AsyncConnection,
        source: SourceContext,
        deals: AbstractSet[int],
        others: AbstractSet[int],
        now: datetime,
        rates: Rates,
    ) -> Written:
        """Judge again what is stored of these records, without a page."""
        plan = PagePlan(deals=set(deals), persons=set(others))
        near = await self._around(connection, source, plan)
        read = self._leads.read(source, near)
        return await self._write(connection, source, plan, near, IdBlock(connection, 1), now, rates, read)

    async def _write(
        self,
        connection: AsyncConnection,
        source: SourceContext,
        plan: PagePlan,
        near: Neighbourhood,
        ids: IdBlock,
        now: datetime,
        rates: Rates,
        read: Sequence[ReadLead],
    ) -> Written:
        asked = [ref for ref in (*plan.asked, *near.unread_on_deals()) if ref.kind in source.selection.objects]
        await put_hints(connection, source.id, asked, to_ms(now))
        await repository.upsert_records(connection, source.id, near.changed)
        await repository.append_entries(connection, near.new_entries)
        await repository.write_links(connection, near.gone, near.fresh)
        people = await self._leads.write(connection, source, near, read, ids, now)
        near.work_leads |= people.changed  # also whom a deal left: what waits of them is judged again
        await repository.merge_leads(connection, near.merged_leads)
        stored, found = await self._derived(connection, source, near, people, rates)
        conversion_ids = await write_conversions(connection, source, found, ids, now)
        await write_worths(connection, source.id, found.worths, to_ms(now))
        woken = woken_by(stored, near, plan, people)
        turned = await turned_by_consent(connection, stored, people)
        owed = owe(source, found, conversion_ids, woken, turned, now)
        if not await write_owed(connection, source, owed, ids):
            # A dispatcher claimed some of them since they were read: what it sends may need a correction.
            current = await self._stored(connection, source, near, people)
            turned = replace(turned, conversions=[current[one.state.uid] for one in turned.conversions])
            await write_owed(connection, source, owe(source, refreshed(found, current), conversion_ids, (), turned, now), ids)
        recorded = Recorded(
            records=plan.stored,
            entries=len(near.new_entries),
            new_conversions=len(found.new),
            revalued=len(found.revalued),
            ended=len(found.ended),
            deliveries=len(owed.added),
            untold=len(plan.late & (plan.new | {int(str(row["record_id"])) for row in near.new_entries})),
        )
        return Written(recorded, found, owed, stored, conversion_ids, frozenset(near.work_leads))

    async def _derived(
        self,
        connection: AsyncConnection,
        source: SourceContext,
        near: Neighbourhood,
        people: PeopleWritten,
        rates: Rates,
    ) -> tuple[dict[str, StoredConversion], Difference]:
        """What is stored, and what changes.

        Where of two records of one e-mail another comes to count, neither may be on its way meanwhile: what a dispatcher
        could claim is held first, and judged again as it stands then.
        """
        held = set[int]()
        while True:
            stored = await self._stored(connection, source, near, people)
            derived = derive_all(source, near, people.email_keys, stored, rates)
            found = difference(stored, derived.states)
            found.worths = derived.worths
            turned = turned_by(found, stored) - held
            if not turned or is_sqlite(connection):
                return stored, found
            await conversions.hold(connection, sorted(turned))
            held |= turned

    async def _stored(
        self, connection: AsyncConnection, source: SourceContext, near: Neighbourhood, people: PeopleWritten
    ) -> dict[str, StoredConversion]:
        companies = {row.company_ref for row in near.records.values() if row.company_ref is not None}
        keys = {key for lead_id in near.work_leads if (key := people.email_keys.get(lead_id)) is not None}
        swallowed = {known.id for deal_id in near.links for known in near.swallowed.get(deal_id, ())}
        return await conversions.conversions_by(
            connection,
            source.id,
            lead_ids=sorted(near.work_leads | set(near.merged_leads)),
            record_ids=sorted(set(near.links) | swallowed),
            companies=sorted(companies) if source.counts_companies else (),
            email_keys=sorted(keys),
        )


async def _move(
    connection: AsyncConnection, source_id: int, fence: int, move: CursorMove | BackfillMove, now: datetime, made: Recorded
) -> bool:
    match move:
        case CursorMove():
            return await move_cursor(connection, source_id, fence, move)
        case BackfillMove():
            return await move_backfill(connection, source_id, fence, move, now, (made.records, made.new_conversions))
        case _:
            assert_never(move)


def _ids_for(source: SourceContext, kept: int, new: int) -> int:
    """Enough for what a page usually makes: rows, identities, and of each milestone a conversion with its deliveries."""
    return max(1, 2 * new + kept * (1 + len(source.document.milestones) * (1 + len(source.destinations))))
