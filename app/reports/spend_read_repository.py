"""SQL of spend that accounts report: gathered page by page on disk, then put in place of the days that were read."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.tables import destinations, spend
from app.reports.spend_file import CHUNK, LONGEST_TEXT
from app.reports.spend_repository import SPEND_CONTENT, SPEND_KEY
from connectors.contract.conversions import Money
from connectors.contract.spend import CampaignSpend


@dataclass(frozen=True, slots=True)
class SpendOrigin:
    """Whose spend it is, and when it was read (epoch milliseconds)."""

    destination_id: int
    platform: str
    read_at: int


class GatheredSpend:
    """The rows of some days in a temporary file: memory does not grow with the account, and no transaction waits for it."""

    def __init__(self) -> None:
        self._scratch = sqlite3.connect("", isolation_level=None)
        self._scratch.execute(
            "CREATE TABLE gathered (campaign_id TEXT, day TEXT, name TEXT, micros INTEGER, currency TEXT, clicks INTEGER, "
            "impressions INTEGER, PRIMARY KEY (campaign_id, day)) WITHOUT ROWID"
        )
        self._scratch.execute("BEGIN")

    def add(self, rows: Sequence[CampaignSpend]) -> None:
        """Keep the rows of a page; a campaign's day that comes again, as a report moves on while it is read, counts once."""
        self._scratch.executemany(
            "INSERT OR REPLACE INTO gathered VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    row.campaign_id,
                    row.day.isoformat(),
                    _name(row.campaign_name),
                    row.cost.amount_micros,
                    row.cost.currency,
                    row.clicks,
                    row.impressions,
                )
                for row in rows
            ],
        )

    def rows(self, origin: SpendOrigin, time_zone: str | None) -> Iterator[list[dict[str, object]]]:
        """As they are stored, at most 1,000 at a time."""
        names = ("campaign_id", "day", "campaign_name", "cost_micros", "currency", "clicks", "impressions")
        whose = {"platform": origin.platform, "destination_id": origin.destination_id, "read_at": origin.read_at}
        found = self._scratch.execute("SELECT * FROM gathered ORDER BY campaign_id, day")
        while chunk := found.fetchmany(CHUNK):
            yield [dict(zip(names, row, strict=True)) | whose | {"time_zone": time_zone} for row in chunk]

    def count(self) -> int:
        """How many there are."""
        return int(self._scratch.execute("SELECT count(*) FROM gathered").fetchone()[0])

    def totals(self) -> Sequence[Money]:
        """What they cost, by currency."""
        summed = self._scratch.execute("SELECT currency, sum(micros) FROM gathered GROUP BY currency ORDER BY currency")
        return [Money(micros, currency) for currency, micros in summed]

    def close(self) -> None:
        """Remove the temporary file."""
        self._scratch.close()


async def replace_days(
    connection: AsyncConnection, origin: SpendOrigin, first: date, last: date, gathered: GatheredSpend, time_zone: str | None
) -> None:
    """Put what the account reports for these days in place of what it reported before, and of a file's rows of the same key."""
    await connection.execute(
        delete(spend).where(
            spend.c.destination_id == origin.destination_id, spend.c.day.between(first.isoformat(), last.isoformat())
        )
    )
    for rows in gathered.rows(origin, time_zone):
        await insert_rows(connection, spend, rows, conflict=SPEND_KEY, update=SPEND_CONTENT)


async def rename_campaigns(connection: AsyncConnection, origin: SpendOrigin, since: date) -> int:
    """Give every day of a campaign the name of its newest one since this day; how many days got another name."""
    numbered = (
        select(
            spend.c.campaign_id,
            spend.c.campaign_name,
            func.row_number().over(partition_by=spend.c.campaign_id, order_by=spend.c.day.desc()).label("place"),
        )
        .where(
            spend.c.destination_id == origin.destination_id, spend.c.day >= since.isoformat(), spend.c.campaign_name.is_not(None)
        )
        .subquery("numbered")
    )
    newest = select(numbered).where(numbered.c.place == 1).subquery("newest")
    result = await connection.execute(
        update(spend)
        .where(
            spend.c.platform == origin.platform,
            spend.c.campaign_id == newest.c.campaign_id,
            spend.c.destination_id == origin.destination_id,
            spend.c.campaign_name.is_distinct_from(newest.c.campaign_name),
        )
        .values(campaign_name=newest.c.campaign_name)
    )
    return result.rowcount


async def known_time_zone(connection: AsyncConnection, destination_id: int) -> str | None:
    """The zone of an account's days as its newest row has it, None where none is known."""
    return await connection.scalar(
        select(spend.c.time_zone)
        .where(spend.c.destination_id == destination_id, spend.c.time_zone.is_not(None))
        .order_by(spend.c.day.desc())
        .limit(1)
    )


async def note_spend_read(connection: AsyncConnection, destination_id: int, now_ms: int) -> None:
    """All days up to now were read."""
    statement = update(destinations).where(destinations.c.id == destination_id)
    await connection.execute(statement.values(spend_read_at=now_ms, spend_error=None))


async def note_spend_error(connection: AsyncConnection, destination_id: int, message: str) -> None:
    """Reading ended before its end: why. Nothing else of the destination is touched, uploads go on."""
    await connection.execute(update(destinations).where(destinations.c.id == destination_id).values(spend_error=message))


def _name(text: str | None) -> str | None:
    """A campaign's name as a report can show it; whoever made the campaign typed it."""
    if text is None:
        return None
    return "".join(one if one.isprintable() else " " for one in text).strip()[:LONGEST_TEXT] or None
