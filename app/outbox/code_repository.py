"""SQL of codes that no connector's table knows: counted by destination, so that a person is told. Never commits."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, insert_rows
from app.db.tables import unknown_codes as table


@dataclass(frozen=True, slots=True)
class UnknownCode:
    """A code that nobody knows what to do about; rows that got it are tried again. Instants are epoch milliseconds."""

    code: str
    times: int
    first_at: int
    last_at: int


async def count_unknown(connection: AsyncConnection, destination_id: int, codes: Iterable[str], now_ms: int) -> None:
    """Count codes of one upload."""
    counted = Counter(codes)
    if not counted:
        return
    known = {
        row.code: row
        for row in await connection.execute(
            select(table).where(table.c.destination_id == destination_id, among(connection, table.c.code, sorted(counted)))
        )
    }
    rows = [
        {
            "destination_id": destination_id,
            "code": code,
            "times": times + (known[code].times if code in known else 0),
            "first_at": known[code].first_at if code in known else now_ms,
            "last_at": now_ms,
        }
        for code, times in counted.items()
    ]
    await insert_rows(connection, table, rows, conflict=("destination_id", "code"), update=("times", "last_at"))


async def unknown_codes(connection: AsyncConnection) -> dict[int, list[UnknownCode]]:
    """By destination, what was seen most lately first."""
    found: dict[int, list[UnknownCode]] = defaultdict(list)
    for row in await connection.execute(select(table).order_by(table.c.last_at.desc(), table.c.code)):
        found[row.destination_id].append(UnknownCode(row.code, row.times, row.first_at, row.last_at))
    return dict(found)
