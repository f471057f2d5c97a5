"""A recorder on a real database, with a small CRM account: pages in, conversions and deliveries out."""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event, select, update

from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries, leads, leases, records
from app.ingest.context import DestinationTerms, SourceContext
from app.ingest.people import People
from app.ingest.pull_lease import PullLease
from app.ingest.recorder import Recorded, Recorder
from app.mapping.rates import Rates
from app.mapping.selection import selection_of
from app.secrets import Fingerprints, Keyring
from connectors.contract.conversions import Identifier
from connectors.contract.destination import DestinationLimits
from connectors.contract.records import Entry, ObjectKind, PersonLink, Record, RecordRef, RecordState
from tests.unit.mapping.mapping_rig import FACTS, SCHEMA, document

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEASE = PullLease("pull:1", "me", 1)
LIMITS = DestinationLimits(
    rows=1000,
    age_with_click=timedelta(days=90),
    age_without_click=timedelta(days=90),
    identifiers=frozenset({Identifier.EMAIL_SHA256}),
    click_identifiers=frozenset(),
    sufficient=(frozenset({Identifier.EMAIL_SHA256}),),
    restates=True,
    retracts=True,
    correction_after=timedelta(days=1),
    correction_within=timedelta(days=55),
)
TARGETS = dict.fromkeys(("lead", "qualified_lead", "opportunity", "closed_revenue", "sale"), '{"event_name":"X"}')


def day(number: float) -> datetime:
    """An instant."""
    return START + timedelta(days=number)


def contact(
    ref: str,
    *steps: tuple[float, str],
    modified: float = 30,
    created: float | None = 0,
    merged: tuple[str, ...] = (),
    into: str | None = None,
    state: RecordState = RecordState.LIVE,
    company: str | None = None,
    **fields: str,
) -> Record:
    """A contact as the CRM gives it."""
    return Record(
        ref=RecordRef(ObjectKind.CONTACT, ref),
        modified_at=day(modified),
        created_at=None if created is None else day(created),
        fields=fields,
        entries=tuple(Entry("lifecyclestage", value, day(at)) for at, value in steps),
        merged_ids=merged,
        merged_into=None if into is None else RecordRef(ObjectKind.CONTACT, into),
        state=state,
        company=None if company is None else RecordRef(ObjectKind.COMPANY, company),
    )


def deal(
    ref: str,
    *steps: tuple[float, str],
    people: Sequence[str] | None = ("101",),
    modified: float = 30,
    merged: tuple[str, ...] = (),
    state: RecordState = RecordState.LIVE,
    company: str | None = None,
    **fields: str,
) -> Record:
    """A deal as the CRM gives it."""
    return Record(
        ref=RecordRef(ObjectKind.DEAL, ref),
        modified_at=day(modified),
        created_at=day(0),
        fields=fields,
        entries=tuple(Entry("dealstage", value, day(at), "default") for at, value in steps),
        people=None if people is None else tuple(PersonLink(RecordRef(ObjectKind.CONTACT, one)) for one in people),
        pipeline="default",
        merged_ids=merged,
        state=state,
        company=None if company is None else RecordRef(ObjectKind.COMPANY, company),
    )


@dataclass(slots=True)
class World:
    """A source `1` with one destination `1`, recorded under a lease."""

    database: Database
    recorder: Recorder
    source: SourceContext
    now: datetime = field(default_factory=lambda: day(40))

    async def record(self, *page: Record, rates: Rates | None = None) -> Recorded:
        """Record a page."""
        await self.hold()
        return await self.recorder.record(self.source, page, self.now, LEASE, rates=rates)

    async def hold(self) -> None:
        """Hold the lease, however far the clock was put forward."""
        async with self.database.write() as connection:
            await connection.execute(update(leases).values(until=to_ms(day(4000))))

    async def conversions(self, milestone: str) -> list[Mapping[str, Any]]:
        """Conversions of a milestone by scope key and occurrence."""
        query = select(conversions).where(conversions.c.milestone == milestone)
        async with self.database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return sorted(map(dict, rows), key=lambda row: (len(row["scope_key"]), row["scope_key"], row["occurrence"]))

    async def facts(self, milestone: str) -> list[tuple[str, bool, str | None]]:
        """Scope key, whether it lives, why it ended."""
        return [(row["scope_key"], row["live"], row["ended_why"]) for row in await self.conversions(milestone)]

    async def owed(self, milestone: str, key: str | None = None) -> list[tuple[str, str, str]]:
        """Kind, state and reason of the deliveries of a milestone (of one scope), in their order."""
        query = (
            select(deliveries.c.kind, deliveries.c.state, deliveries.c.reason, conversions.c.scope_key)
            .join(conversions, conversions.c.id == deliveries.c.conversion_id)
            .where(conversions.c.milestone == milestone)
            .order_by(deliveries.c.id)
        )
        async with self.database.read() as connection:
            rows = list(await connection.execute(query))
        return [(row.kind, row.state, row.reason) for row in rows if key in (None, row.scope_key)]

    async def settle(self, kind: str = "upload", state: str = "accepted", milestone: str = "closed_revenue") -> None:
        """What the dispatcher does: freeze the value as it is, send, write the state."""
        mine = select(conversions.c.id).where(conversions.c.milestone == milestone)
        async with self.database.write() as connection:
            for row in list((await connection.execute(select(conversions).where(conversions.c.id.in_(mine)))).mappings()):
                await connection.execute(
                    update(deliveries)
                    .where(deliveries.c.conversion_id == row["id"], deliveries.c.kind == kind, deliveries.c.state == "pending")
                    .values(
                        state=state,
                        reason="delivered",
                        frozen=True,
                        tries=1,
                        due_at=None,
                        settled_at=to_ms(self.now),
                        sent_amount_micros=row["amount_micros"],
                        sent_currency=row["currency"],
                    )
                )

    async def count(self) -> tuple[int, int]:
        """How many leads and records."""
        async with self.database.read() as connection:
            return (
                len(list(await connection.execute(select(leads.c.id)))),
                len(list(await connection.execute(select(records.c.id)))),
            )

    @contextmanager
    def counting(self) -> Any:
        """Collect every statement that is sent to the database inside the block."""
        told: list[str] = []
        engine = self.database._writer.sync_engine

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            told.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        try:
            yield told
        finally:
            event.remove(engine, "before_cursor_execute", note)


def source_of(milestones: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any) -> SourceContext:
    """The source with a mapping."""
    by = document(milestones, **changes)
    return SourceContext(
        id=1,
        name="crm",
        kind="hubspot",
        document=by,
        facts=FACTS,
        selection=selection_of(by, SCHEMA),
        start=day(-60),
        destinations=(DestinationTerms(1, "meta", LIMITS, targets=TARGETS),),
    )


async def world_of(database: Database, milestones: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any) -> World:
    """A fresh world."""
    keyring = Keyring([b"k" * 32])
    recorder = Recorder(database, keyring, People(keyring, Fingerprints(b"f" * 32)), lambda _ids: None)
    row = {"name": LEASE.name, "holder": LEASE.holder, "fence": LEASE.fence, "until": to_ms(day(4000))}
    async with database.write() as connection:
        await insert_rows(connection, leases, [row])
    return World(database, recorder, source_of(milestones, **changes))
