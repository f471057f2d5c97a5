"""Ids are taken as one block for many rows, in one statement. They rise with time, roughly; only their difference counts."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import is_sqlite
from app.db.tables import ID_BLOCK, ID_STARTS

_TAKE = text(
    "INSERT INTO id_blocks (name, next_id) VALUES ('all', :count + 1) "
    "ON CONFLICT (name) DO UPDATE SET next_id = id_blocks.next_id + :count RETURNING next_id"
)
# A sequence is not held to the commit: writers that take ids do not wait for each other.
_TAKE_BLOCKS = text(
    f"SELECT min(start) AS first, max(start) AS last FROM "  # noqa: S608 a name of ours
    f"(SELECT nextval('{ID_STARTS.name}') AS start FROM generate_series(1, :blocks)) AS taken"
)


async def take_ids(connection: AsyncConnection, count: int) -> int:
    """Reserve `count` ids in a row and return the first of them."""
    first, _ = await _take(connection, count)
    return first


class IdBlock:
    """Ids for one transaction, reserved as one block; a further block only where it was too small."""

    def __init__(self, connection: AsyncConnection, size: int) -> None:
        self._connection = connection
        self._size = size
        self._next = self._end = 0

    async def take(self, count: int) -> int:
        """The first of `count` ids in a row."""
        if self._next + count > self._end:
            self._next, self._end = await _take(self._connection, max(count, self._size))
        first = self._next
        self._next += count
        return first


async def _take(connection: AsyncConnection, count: int) -> tuple[int, int]:
    """The first id, and the one after the last: on SQLite just as many as asked for, on PostgreSQL whole blocks."""
    if is_sqlite(connection):
        end = int(await connection.scalar(_TAKE, {"count": count}) or 0)
        return end - count, end
    blocks = max(1, -(-count // ID_BLOCK))
    while True:
        taken = (await connection.execute(_TAKE_BLOCKS, {"blocks": blocks})).one()
        # Where another took one in between, they do not adjoin; what is left out is never missed.
        if taken.last - taken.first == (blocks - 1) * ID_BLOCK:
            return int(taken.first), int(taken.last) + ID_BLOCK
