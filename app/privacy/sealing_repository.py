"""SQL of re-sealing: what is not sealed under the newest key, in the order of its keys. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import update_rows
from app.db.tables import destinations, identities, records, sources, tokens
from app.secrets import KEY_ID_BYTES


@dataclass(frozen=True, slots=True)
class Place:
    """A column that holds sealed bytes, and the key by which its rows are gone through."""

    table: Table
    key: str
    column: str

    @property
    def name(self) -> str:
        """The table's name."""
        return str(self.table.name)


PLACES = (
    Place(sources, "id", "settings_sealed"),
    Place(destinations, "id", "settings_sealed"),
    Place(tokens, "connection", "sealed"),
    Place(identities, "id", "sealed"),
    Place(records, "id", "fields_sealed"),
)


async def old_ones(
    connection: AsyncConnection, place: Place, newest: bytes, after: object | None, limit: int
) -> list[tuple[object, bytes]]:
    """The next rows that are sealed under another key: key and bytes. What was dropped (empty) is nothing."""
    key, sealed = place.table.c[place.key], place.table.c[place.column]
    others = (func.length(sealed) > 0, func.substr(sealed, 1, KEY_ID_BYTES) != newest)
    query = select(key.label("key"), sealed.label("sealed")).where(*others).order_by(key).limit(limit)
    rows = await connection.execute(query if after is None else query.where(key > after))
    return [(row.key, bytes(row.sealed)) for row in rows]


async def count_old(connection: AsyncConnection, place: Place, newest: bytes) -> int:
    """How many rows are sealed under another key."""
    sealed = place.table.c[place.column]
    others = (func.length(sealed) > 0, func.substr(sealed, 1, KEY_ID_BYTES) != newest)
    return await connection.scalar(select(func.count()).select_from(place.table).where(*others)) or 0


async def reseal(connection: AsyncConnection, place: Place, rows: Sequence[tuple[object, bytes, bytes]]) -> int:
    """Replace key, old and new bytes; a row that was written meanwhile keeps what it has."""
    given = [{place.key: key, place.column: new, f"_{place.column}": old} for key, old, new in rows]
    unchanged = f't."{place.column}" = x."_{place.column}"'
    return await update_rows(connection, place.table, given, key=(place.key,), where=unchanged)
