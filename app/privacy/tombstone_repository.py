"""SQL of tombstones. Takes the caller's connection; never commits."""

from collections.abc import Iterable, Sequence

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, insert_rows
from app.db.tables import tombstones
from app.privacy.marks import Mark, MarkKind

# SQLite takes 32,766 bound values in a statement.
MOST_A_QUERY = 20_000


async def forgotten_among(connection: AsyncConnection, marks: Iterable[Mark]) -> frozenset[Mark]:
    """Which of these marks have a tombstone; one statement for all that a page tells."""
    asked = sorted(set(marks))
    found: set[Mark] = set()
    for start in range(0, len(asked), MOST_A_QUERY):
        part = asked[start : start + MOST_A_QUERY]
        kinds = sorted({one.kind for one in part})
        same = (
            and_(
                tombstones.c.kind == kind.value,
                among(connection, tombstones.c.hmac, [one.hmac for one in part if one.kind is kind]),
            )
            for kind in kinds
        )
        rows = await connection.execute(select(tombstones.c.kind, tombstones.c.hmac).where(or_(*same)))
        found.update(Mark(MarkKind(row.kind), bytes(row.hmac)) for row in rows)
    return frozenset(found)


async def bar(connection: AsyncConnection, marks: Iterable[Mark], now_ms: int) -> int:
    """Set tombstones; those that stand keep their day. How many are new."""
    rows = [{"kind": one.kind.value, "hmac": one.hmac, "forgotten_at": now_ms} for one in sorted(set(marks))]
    return await insert_rows(connection, tombstones, rows, conflict=("kind", "hmac"))


async def put_back(connection: AsyncConnection, stones: Sequence[tuple[Mark, int]]) -> int:
    """Set tombstones of an export, each with its own day. How many were not there."""
    rows = [{"kind": mark.kind.value, "hmac": mark.hmac, "forgotten_at": at} for mark, at in stones]
    return await insert_rows(connection, tombstones, rows, conflict=("kind", "hmac"))


async def page_of_tombstones(connection: AsyncConnection, after: Mark | None, limit: int) -> list[tuple[Mark, int]]:
    """The next tombstones in the order of their keys, with the instant of forgetting."""
    query = select(tombstones).order_by(tombstones.c.kind, tombstones.c.hmac).limit(limit)
    if after is not None:
        later = and_(tombstones.c.kind == after.kind.value, tombstones.c.hmac > after.hmac)
        query = query.where(or_(tombstones.c.kind > after.kind.value, later))
    return [(Mark(MarkKind(row.kind), bytes(row.hmac)), row.forgotten_at) for row in await connection.execute(query)]


async def has_tombstones(connection: AsyncConnection) -> bool:
    """Whether anybody was ever forgotten."""
    return await connection.scalar(select(func.count()).select_from(select(tombstones.c.kind).limit(1).subquery())) == 1
