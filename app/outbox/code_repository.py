"""SQL of the codes that no connector's table knows: what each destination sent. Takes the caller's connection."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.instants import from_ms
from app.db.tables import unknown_codes as codes


@dataclass(frozen=True, slots=True)
class UnknownCode:
    """A platform's code that is in no table: how often it came, first and last."""

    code: str
    times: int
    first_at: datetime
    last_at: datetime


async def unknown_codes(connection: AsyncConnection) -> dict[int, list[UnknownCode]]:
    """By destination, the most frequent first."""
    found: dict[int, list[UnknownCode]] = defaultdict(list)
    for row in await connection.execute(select(codes).order_by(codes.c.times.desc(), codes.c.code)):
        found[row.destination_id].append(UnknownCode(row.code, row.times, from_ms(row.first_at), from_ms(row.last_at)))
    return dict(found)
