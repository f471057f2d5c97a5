"""Recording: one transaction turns a page of records into facts, conversions and deliveries owed. All doors come through here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.ids import take_ids
from app.db.instants import to_ms
from app.db.session import Database
from app.ingest import conversion_repository as conversions
from app.ingest import repository
from app.ingest.aggregates import Neighbourhood, load_neighbourhood
from app.ingest.context import SourceContext
from app.ingest.conversion_repository import StoredConversion
from app.ingest.cursors import CursorMove, hold_cursor, move_cursor
from app.ingest.difference import Difference, difference
from app.ingest.identities import LeadWriter, PeopleWritten
from app.ingest.inbox import WaitingHint, done_with
from app.ingest.owing import owe
from app.ingest.people import People
from app.ingest.storing import RecordStore, Touched
from app.leases.repository import renew
from app.mapping.aggregate import Aggregate, ConversionState
from app.mapping.engine import derive
from app.mapping.rates import Rates
from app.secrets import Keyring
from connectors.contract.records import Record

PULL_LEASE_MS = 5 * 60 * 1000

Bell = Callable[[Iterable[int]], None]


class LeaseLost(Exception):
    """Another process reads this source now; nothing of this page was written."""


@dataclass(frozen=True, slots=True)
class PullLease:
    """The lease under which a source is read."""

    name: str
    holder: str
    fence: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a page changed."""

    records: int = 0
    entries: int = 0
    new_conversions: int = 0
    revalued: int = 0
    ended: int = 0
    deliveries: int = 0

    def __add__(self, other: "Recorded") -> "Recorded":
        """Add up pages."""
        return Recorded(*(getattr(self, name) + getattr(other, name) for name in Recorded.__slots__))


class Recorder:
    """THE transaction. `ring` is called after the commit with the destinations that are owed something."""

    def __init__(self, database: Database, keyring: Keyring, people: People, ring: Bell) -> None:
        self._database = database
        self._keyring = keyring
        self._store = RecordStore(keyring)
        self._leads = LeadWriter(people)
        self._ring = ring

    async def record(
        self,
        source: SourceContext,
        page: Sequence[Record],
        now: datetime,
        lease: PullLease,
        *,
        move: CursorMove | None = None,
        hints: Sequence[WaitingHint] = (),
        rates: Rates | None = None,
    ) -> Recorded:
        """Record a page, move the cursor and drop the hints with it: all or nothing.

        The lease is renewed with each page. Raises LeaseLost where another reader took over.
        """
        async with self._database.write() as connection:
            if move is not None:
                await hold_cursor(connection, source.id, move.kind)
            if not await renew(connection, lease.name, lease.holder, lease.fence, to_ms(now), PULL_LEASE_MS):
                raise LeaseLost(lease.name)
            recorded, destinations = Recorded(), set[int]()
            if page:
                recorded, destinations = await self._record(connection, source, page, now, rates or Rates())
            if move is not None and not await move_cursor(connection, source.id, lease.fence, move):
                raise LeaseLost(lease.name)
            await done_with(connection, source.id, hints)
        self._ring(destinations)
        return recorded

    async def _record(
        self, connection: AsyncConnection, source: SourceContext, page: Sequence[Record], now: datetime, rates: Rates
    ) -> tuple[Recorded, set[int]]:
        touched = await self._store.store(connection, source, page, now)
        near = await load_neighbourhood(connection, self._keyring, touched, source.prefer)
        people = await self._leads.write(connection, source, near, now)
        stored, siblings = await self._stored(connection, source, near, touched, people)
        states = _derive_all(source, near, people, stored, siblings, rates)
        found = difference(stored, states)
        ids = await self._write(connection, source, found, now)
        owed = await owe(connection, source, found, ids, now, woken_leads=people.changed, woken_records=touched.deals)
        recorded = Recorded(
            records=touched.stored,
            entries=touched.new_entries,
            new_conversions=len(found.new),
            revalued=len(found.revalued),
            ended=len(found.ended),
            deliveries=owed.deliveries,
        )
        return recorded, owed.destinations

    async def _stored(
        self,
        connection: AsyncConnection,
        source: SourceContext,
        near: Neighbourhood,
        touched: Touched,
        people: PeopleWritten,
    ) -> tuple[dict[str, StoredConversion], dict[int, list[ConversionState]]]:
        keys = {key for lead_id in near.work_leads if (key := people.email_keys.get(lead_id)) is not None}
        by_key = await repository.leads_by_email(connection, source.id, sorted(keys))
        shared = {lead_id: key for key, leads in by_key.items() for lead_id in leads}
        companies = {row.company_ref for row in near.records.values() if row.company_ref is not None}
        stored = await conversions.conversions_by(
            connection,
            source.id,
            lead_ids=near.work_leads | set(shared) | set(touched.merged_leads),
            record_ids=set(near.links),
            companies=companies if source.counts_companies else (),
        )
        siblings: dict[int, list[ConversionState]] = {}
        for lead_id in near.work_leads:
            key = people.email_keys.get(lead_id)
            others = set(by_key.get(key, ())) - {lead_id} if key is not None else set()
            siblings[lead_id] = [held.state for held in stored.values() if held.state.lead_id in others and held.state.is_live]
        return stored, siblings

    async def _write(
        self, connection: AsyncConnection, source: SourceContext, found: Difference, now: datetime
    ) -> dict[str, int]:
        first = await take_ids(connection, len(found.new)) if found.new else 0
        ids = {state.uid: first + place for place, state in enumerate(found.new)}
        await conversions.insert_conversions(
            connection, [conversions.row_of(ids[state.uid], source.id, state, 0) for state in found.new]
        )
        revalued = {before.id for before, _ in found.revalued}
        rows, valuations = [], []
        for before, state in found.changed:
            ids[state.uid] = before.id
            value_seq = before.value_seq + (before.id in revalued)
            rows.append(conversions.row_of(before.id, source.id, state, value_seq))
            if before.id in revalued:
                valuations.append(
                    {
                        "conversion_id": before.id,
                        "seq": value_seq,
                        "amount_micros": state.money.amount_micros if state.money else None,
                        "currency": state.money.currency if state.money else None,
                        "why": state.value_why,
                        "rates_version": state.rates_version,
                        "at": to_ms(now),
                    }
                )
        await conversions.update_conversions(connection, rows)
        await conversions.insert_valuations(connection, valuations)
        return ids


def _derive_all(
    source: SourceContext,
    near: Neighbourhood,
    people: PeopleWritten,
    stored: dict[str, StoredConversion],
    siblings: dict[int, list[ConversionState]],
    rates: Rates,
) -> list[ConversionState]:
    by_lead = near.deals_by_lead()
    states: list[ConversionState] = []
    for lead_id in sorted(near.work_leads):
        deals = tuple(near.deal(deal_id) for deal_id in sorted(by_lead.get(lead_id, ())))
        records = {record.id for record in near.person_records(lead_id)} | {deal.record.id for deal in deals}
        held = tuple(one.state for one in stored.values() if one.state.record_id in records or one.state.lead_id == lead_id)
        aggregate = Aggregate(
            person=near.person(lead_id, people.email_keys.get(lead_id)),
            deals=deals,
            conversions=held,
            siblings=tuple(siblings.get(lead_id, ())),
        )
        states.extend(derive(aggregate, source.document, source.facts, rates))
    for deal_id in sorted(near.orphan_deals):
        held = tuple(one.state for one in stored.values() if one.state.record_id == deal_id)
        aggregate = Aggregate(person=None, deals=(near.deal(deal_id),), conversions=held)
        states.extend(derive(aggregate, source.document, source.facts, rates))
    return states
