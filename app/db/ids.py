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
