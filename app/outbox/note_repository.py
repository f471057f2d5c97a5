"""SQL of write-back: which conversions to look at, what became of them, and what was written. Never commits.

It reads a stretch of conversions by (source, instant), not deliveries by the time of their settling: that would take an index
that every delivery pays for, whether anybody writes back or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, or_, select, tuple_, union
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, insert_rows
from app.db.instants import from_ms
from app.db.tables import conversions, deliveries, destinations, records, uploads, write_backs
from app.db.tables import settings as settings_table
from app.outbox.notes import Outcome
from app.outbox.states import DeliveryState
from connectors.contract.conversions import DeliveryKind
from connectors.contract.records import ObjectKind, RecordRef

_UNDER_WAY = (DeliveryState.PENDING.value, DeliveryState.SENDING.value)
_PEOPLE = (ObjectKind.CONTACT.value, ObjectKind.LEAD.value)


@dataclass(frozen=True, slots=True)
class Touched:
    """A conversion of a stretch: whose it is, and where in the stretch it stands."""

    id: int
    occurred_at: int
    record_id: int
    lead_id: int | None


@dataclass(frozen=True, slots=True)
class NotedRecord:
    """A live record that a note may be written to."""

    id: int
    ref: RecordRef
    lead_id: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A final outcome with the record and the lead of its conversion."""

    record_id: int
    lead_id: int | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Written:
    """What was last written, or tried, into a property of a record."""

    text_hash: str
    is_gone: bool


async def stretch(
    connection: AsyncConnection, source_id: int, since_ms: int, after: tuple[int, int] | None, limit: int
) -> list[Touched]:
    """The next conversions of a source from an instant on, by their own instant, after the one that was seen last."""
    # The first bound is what the index is entered by; SQLite uses it, not the comparison of pairs.
    since_ms = since_ms if after is None else max(since_ms, after[0])
    statement = (
        select(conversions.c.id, conversions.c.occurred_at, conversions.c.record_id, conversions.c.lead_id)
        .where(conversions.c.source_id == source_id, conversions.c.occurred_at >= since_ms)
        .order_by(conversions.c.occurred_at, conversions.c.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(conversions.c.occurred_at, conversions.c.id) > tuple_(*after))
    return [Touched(*row) for row in await connection.execute(statement)]


async def records_of(connection: AsyncConnection, lead_ids: Sequence[int], record_ids: Sequence[int]) -> list[NotedRecord]:
    """The live records of these leads, and these records where they are live."""
    columns = (records.c.id, records.c.object, records.c.external_id, records.c.lead_id)
    live = and_(records.c.state == "live", records.c.merged_into.is_(None))
    people = select(*columns).where(live, among(connection, records.c.lead_id, lead_ids), records.c.object.in_(_PEOPLE))
    others = select(*columns).where(live, among(connection, records.c.id, record_ids))
    result = await connection.execute(union(people, others))
    return [NotedRecord(row.id, RecordRef(ObjectKind(row.object), row.external_id), row.lead_id) for row in result]


async def outcomes_of(connection: AsyncConnection, lead_ids: Sequence[int], record_ids: Sequence[int]) -> list[Ended]:
    """What is final of the deliveries of these leads and records; an acceptance is where no verdict is to come."""
    result = await connection.execute(
        union(
            _ended(among(connection, conversions.c.lead_id, lead_ids)),
            _ended(among(connection, conversions.c.record_id, record_ids)),
        )
    )
    return [
        Ended(
            row.record_id,
            row.lead_id,
            Outcome(
                destination=row.name,
                conversion_id=row.conversion_id,
                milestone=row.milestone,
                kind=DeliveryKind(row.kind),
                state=DeliveryState(row.state),
                reason=row.reason,
                code=row.code,
                settled_at=from_ms(row.settled_at),
            ),
        )
        for row in result
    ]


def _ended(whose: ColumnElement[bool]) -> Select[tuple[int, int | None, str, int, int, str, str, str, str, str | None, int]]:
    waits_for_verdict = and_(deliveries.c.state == DeliveryState.ACCEPTED.value, uploads.c.verdict_due_at.is_not(None))
    return (
        select(
            conversions.c.record_id,
            conversions.c.lead_id,
            conversions.c.milestone,
            deliveries.c.id.label("delivery_id"),
            deliveries.c.conversion_id,
            destinations.c.name,
            deliveries.c.kind,
            deliveries.c.state,
            deliveries.c.reason,
            deliveries.c.code,
            deliveries.c.settled_at,
        )
        .join(deliveries, deliveries.c.conversion_id == conversions.c.id)
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .outerjoin(uploads, uploads.c.id == deliveries.c.upload_id)
        .where(
            whose,
            deliveries.c.state.not_in(_UNDER_WAY),
            deliveries.c.settled_at.is_not(None),
            or_(uploads.c.id.is_(None), ~waits_for_verdict),
        )
    )


async def written_of(connection: AsyncConnection, record_ids: Sequence[int]) -> Mapping[tuple[int, str], Written]:
    """What was last written, by record and property."""
    result = await connection.execute(
        select(write_backs.c.record_id, write_backs.c.property, write_backs.c.text_hash, write_backs.c.outcome).where(
            among(connection, write_backs.c.record_id, record_ids)
        )
    )
    return {(row.record_id, row.property): Written(row.text_hash, row.outcome == "gone") for row in result}


async def save_written(connection: AsyncConnection, rows: Sequence[Mapping[str, object]]) -> None:
    """Note what was written, refused or gone."""
    names = ("text_hash", "written_at", "outcome", "refused_code")
    await insert_rows(connection, write_backs, rows, conflict=("record_id", "property"), update=names)


# How far a source's write-back has come, as JSON text --------------------------------------------------------------------


async def load_progress(connection: AsyncConnection, source_id: int) -> str | None:
    """What `save_progress` wrote."""
    name = _progress(source_id)
    return await connection.scalar(select(settings_table.c.value).where(settings_table.c.name == name))


async def save_progress(connection: AsyncConnection, source_id: int, text: str) -> None:
    """Keep it."""
    row = {"name": _progress(source_id), "value": text}
    await insert_rows(connection, settings_table, [row], conflict=("name",), update=("value",))


def _progress(source_id: int) -> str:
    return f"write_back:{source_id}"
