"""Ids are taken as one block for many rows, in one statement."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_TAKE = text(
    "INSERT INTO id_blocks (name, next_id) VALUES ('all', :count + 1) "
    "ON CONFLICT (name) DO UPDATE SET next_id = id_blocks.next_id + :count RETURNING next_id"
)


async def take_ids(connection: AsyncConnection, count: int) -> int:
    """Reserve `count` ids and return the first of them."""
    following = await connection.scalar(_TAKE, {"count": count})
    return int(following or 0) - count


class IdBlock:
    """Ids for one transaction, reserved as one block; a further block only where it was too small."""

    def __init__(self, connection: AsyncConnection, size: int) -> None:
        self._connection = connection
        self._size = size
        self._next = self._end = 0

    async def take(self, count: int) -> int:
        """The first of `count` ids in a row."""
        if self._next + count > self._end:
            size = max(count, self._size)
            self._next = await take_ids(self._connection, size)
            self._end = self._next + size
        first = self._next
        self._next += count
        return first
