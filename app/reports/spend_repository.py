"""SQL of spend from files: rows replaced by (platform, campaign, day); and a scratch table that finds a key given twice."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import RowMapping, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.tables import destinations, spend
from app.reports.spend_file import SpendRow

SPEND_KEY = ("platform", "campaign_id", "day")
SPEND_CONTENT = (
    "campaign_name",
    "cost_micros",
    "currency",
    "clicks",
    "impressions",
    "destination_id",
    "time_zone",
    "read_at",
)


async def replace_spend(connection: AsyncConnection, rows: Sequence[SpendRow]) -> None:
    """Write spend of a file; what stood under the same platform, campaign and day gives way (until the account reports it)."""
    unique = {
        row.key: {
            "platform": row.platform,
            "campaign_id": row.campaign_id,
            "day": row.day.isoformat(),
            "campaign_name": row.campaign_name,
            "cost_micros": row.cost_micros,
            "currency": row.currency,
            "clicks": row.clicks,
            "impressions": row.impressions,
            "destination_id": None,
            "time_zone": None,
            "read_at": None,
        }
        for row in rows
    }
    await insert_rows(connection, spend, list(unique.values()), conflict=SPEND_KEY, update=SPEND_CONTENT)


@dataclass(frozen=True, slots=True)
class SpendFilter:
    """Which spend to list; None: all."""

    platform: str | None = None
    campaign_id: str | None = None
    since: date | None = None
    until: date | None = None


async def list_spend(
    connection: AsyncConnection, wanted: SpendFilter, after: tuple[str, str, str] | None, limit: int
) -> Sequence[RowMapping]:
    """By platform, campaign and day; `after` is the last key of the page before. `destination`: whose account told it."""
    platform, campaign_id, day = spend.c.platform, spend.c.campaign_id, spend.c.day
    query = (
        select(spend, destinations.c.name.label("destination"))
        .outerjoin(destinations, destinations.c.id == spend.c.destination_id)
        .order_by(platform, campaign_id, day)
        .limit(limit)
    )
    query = query if wanted.platform is None else query.where(platform == wanted.platform)
    query = query if wanted.campaign_id is None else query.where(campaign_id == wanted.campaign_id)
    query = query if wanted.since is None else query.where(day >= wanted.since.isoformat())
    query = query if wanted.until is None else query.where(day <= wanted.until.isoformat())
    if after is not None:
        query = query.where(tuple_(platform, campaign_id, day) > tuple_(*(literal(part) for part in after)))
    return (await connection.execute(query)).mappings().all()


class SeenKeys:
    """The keys of one file, in a temporary file of its own: memory does not grow with the rows."""

    def __init__(self) -> None:
        self._scratch = sqlite3.connect("", isolation_level=None)
        self._scratch.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, content TEXT, line INTEGER) WITHOUT ROWID")
        self._scratch.execute("BEGIN")

    def earlier(self, row: SpendRow) -> tuple[int, bool] | None:
        """The earlier line with this row's key, and whether it says the same; None where the key is new."""
        key = "\x1f".join(row.key)
        content = f"{row.cost_micros} {row.currency} {row.clicks} {row.impressions} {row.campaign_name}"
        added = self._scratch.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (key, content, row.line))
        if added.rowcount:
            return None
        line, said = self._scratch.execute("SELECT line, content FROM seen WHERE key = ?", (key,)).fetchone()
        return int(line), said == content

    def close(self) -> None:
        """Remove the temporary file."""
        self._scratch.close()
