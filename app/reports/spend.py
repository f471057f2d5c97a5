"""Import of ad spend: a file or some rows are checked whole, then written in one transaction, all or nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.repository import add_audit
from app.db.instants import to_ms
from app.db.session import Database
from app.reports.csv_table import MOST_SHOWN, FileInvalid, FileMistake
from app.reports.spend_file import SpendRow, read_chunks
from app.reports.spend_repository import SeenKeys, replace_spend
from connectors.contract.conversions import Money


@dataclass(frozen=True, slots=True)
class SpendImported:
    """What was imported: rows by key, the days they cover, and the total of each currency."""

    rows: int
    days: int
    first_day: date
    last_day: date
    totals: tuple[Money, ...]

    def __str__(self) -> str:
        """One line for people."""
        totals = ", ".join(f"{money.quantised():,} {money.currency}" for money in self.totals)
        rows = f"{self.rows:,} row{'s' if self.rows != 1 else ''}"
        days = f"{self.days:,} day{'s' if self.days != 1 else ''}"
        return f"{rows} of spend for {days}, {self.first_day} to {self.last_day}: {totals}"


async def import_spend(database: Database, path: Path, *, actor: str, now: datetime) -> SpendImported:
    """Import a CSV file of spend; FileInvalid lists what is wrong with it, OSError where it cannot be read.

    The same (platform, campaign, day) is replaced, so a file may be imported again. Memory does not grow with the file.
    """
    imported = check_spend(path)
    async with database.write() as connection:
        for chunk in read_chunks(path):
            rows = [one for one in chunk if isinstance(one, SpendRow)]
            if len(rows) < len(chunk):
                raise FileInvalid([FileMistake(1, "", "the file changed while it was read; import it again")], 1)
            await replace_spend(connection, rows)
        await _note(connection, imported, actor, now)
    return imported


async def save_spend(database: Database, rows: Sequence[SpendRow], *, actor: str, now: datetime) -> SpendImported:
    """Store some rows of spend, all or none; each key stands there once."""
    tally = _Tally()
    for row in rows:
        tally.add(row)
    async with database.write() as connection:
        await replace_spend(connection, rows)
        await _note(connection, tally.imported(), actor, now)
    return tally.imported()


async def _note(connection: AsyncConnection, imported: SpendImported, actor: str, now: datetime) -> None:
    detail = {"rows": imported.rows, "first_day": imported.first_day.isoformat(), "last_day": imported.last_day.isoformat()}
    await add_audit(connection, actor=actor, action="spend.save", subject="spend", detail=detail, now_ms=to_ms(now))


@dataclass(slots=True)
class _Tally:
    """Adds up rows one by one."""

    rows: int = 0
    days: set[date] = field(default_factory=set)
    totals: Counter[str] = field(default_factory=Counter)

    def add(self, row: SpendRow) -> None:
        """One row more."""
        self.rows += 1
        self.days.add(row.day)
        self.totals[row.currency] += row.cost_micros

    def imported(self) -> SpendImported:
        """All together."""
        amounts = tuple(Money(micros, currency) for currency, micros in sorted(self.totals.items()))
        return SpendImported(self.rows, len(self.days), min(self.days), max(self.days), amounts)


def check_spend(path: Path) -> SpendImported:
    """Read a whole file and say what it holds; FileInvalid where anything in it is wrong."""
    shown: list[FileMistake] = []
    count, tally = 0, _Tally()
    with closing(SeenKeys()) as seen:
        for one in _checked(path, seen):
            if isinstance(one, FileMistake):
                count += 1
                shown += [one] if len(shown) < MOST_SHOWN else []
                continue
            tally.add(one)
    if not tally.rows and not count:
        shown, count = [FileMistake(2, "", "there is no row below the header; add what each campaign cost each day")], 1
    if count:
        raise FileInvalid(shown, count)
    return tally.imported()


def _checked(path: Path, seen: SeenKeys) -> Iterator[SpendRow | FileMistake]:
    """Every mistake, and each key once."""
    for chunk in read_chunks(path):
        for one in chunk:
            if isinstance(one, FileMistake):
                yield one
                continue
            earlier = seen.earlier(one)
            if earlier is None:
                yield one
            elif not earlier[1]:
                what = f"{one.platform} {one.campaign_id} on {one.day} stands in line {earlier[0]} with other numbers"
                yield FileMistake(one.line, "", f"{what}; keep one of them")
