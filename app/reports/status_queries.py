"""SQL of the status: every statement reads a cold table, or a bounded stretch of a partial index."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, RowMapping, Select, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import cursors, deliveries, inbox, jobs

MOST_COUNTED = 100_000
# Written out, so that both databases see that the partial index serves.
_HAS_FAILED: ColumnElement[bool] = literal_column("deliveries.state IN ('rejected', 'expired', 'uncertain')")

Rows = Sequence[RowMapping]


async def all_cursors(connection: AsyncConnection) -> Rows:
    """Where each object's polling stands."""
    statement = select(cursors).order_by(cursors.c.source_id, cursors.c.object)
    return (await connection.execute(statement)).mappings().all()


async def all_jobs(connection: AsyncConnection) -> Rows:
    """The job table."""
    return (await connection.execute(select(jobs).order_by(jobs.c.name))).mappings().all()


async def waiting_hints(connection: AsyncConnection, source_id: int) -> int:
    """Hints that wait, counted up to MOST_COUNTED."""
    return await _count(connection, select(inbox.c.seq).where(inbox.c.source_id == source_id))


async def owed(connection: AsyncConnection, destination_id: int, now_ms: int) -> tuple[int, int, int | None]:
    """Deliveries that are due, that wait for a later instant (each counted up to MOST_COUNTED), and the oldest due instant."""
    mine = (deliveries.c.destination_id == destination_id, deliveries.c.due_at.is_not(None))
    due = await _count(connection, select(deliveries.c.due_at).where(*mine, deliveries.c.due_at <= now_ms))
    later = await _count(connection, select(deliveries.c.due_at).where(*mine, deliveries.c.due_at > now_ms))
    oldest = await connection.scalar(
        select(deliveries.c.due_at).where(*mine, deliveries.c.due_at <= now_ms).order_by(deliveries.c.due_at).limit(1)
    )
    return due, later, oldest


async def failed_since(connection: AsyncConnection, destination_id: int, since_ms: int) -> dict[str, int]:
    """Deliveries that failed since an instant, by state, among the first MOST_COUNTED."""
    some = (
        select(deliveries.c.state)
        .where(_HAS_FAILED, deliveries.c.destination_id == destination_id, deliveries.c.settled_at >= since_ms)
        .limit(MOST_COUNTED)
        .subquery()
    )
    result = await connection.execute(select(some.c.state, func.count().label("many")).group_by(some.c.state))
    return {row.state: row.many for row in result}


async def _count(connection: AsyncConnection, rows: Select[tuple[int]]) -> int:
    return int(await connection.scalar(select(func.count()).select_from(rows.limit(MOST_COUNTED).subquery())) or 0)
