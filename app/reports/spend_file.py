"""A file of ad spend, read in chunks: what each cell may hold, and how a line becomes a row. No database here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from app.reports.csv_table import CellWrong, Columns, FileMistake, currency_of, day_of, read_lines, shown
from connectors.contract.conversions import MICROS

REQUIRED = ("platform", "campaign_id", "day", "cost", "currency")
OPTIONAL = ("campaign_name", "clicks", "impressions")
CHUNK = 1000
LONGEST_TEXT = 300

_PLATFORM = re.compile(r"[a-z][a-z0-9_]{0,39}")
_COST = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_COUNT = re.compile(r"\d{1,15}", re.ASCII)
_SHORTENED = re.compile(r"\d+([.,]\d+)?[eE]\+?\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class SpendRow:
    """What one campaign cost on one day."""

    line: int
    platform: str
    campaign_id: str
    day: date
    cost_micros: int
    currency: str
    campaign_name: str | None = None
    clicks: int | None = None
    impressions: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it one row of spend."""
        return self.platform, self.campaign_id, self.day.isoformat()


Chunk = Sequence[SpendRow | FileMistake]


def read_chunks(path: Path) -> Iterator[Chunk]:
    """The rows of a file, at most 1,000 at a time, each as a row or as one mistake for each wrong cell."""
    chunk: list[SpendRow | FileMistake] = []
    for one in read_lines(path, COLUMNS):
        chunk.append(one if isinstance(one, FileMistake) else spend_row(one.number, one.cells))
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _platform(cell: str) -> str:
    if _PLATFORM.fullmatch(cell):
        return cell
    lower = re.sub(r"[^a-z0-9]+", "_", cell.lower()).strip("_")
    mend = f"write `{lower}`" if _PLATFORM.fullmatch(lower) else "write one word in lower case, like google"
    raise CellWrong(f"`{shown(cell)}` is no platform; {mend}")


def _campaign_id(cell: str) -> str:
    if not cell:
        raise CellWrong("is empty; write the campaign's id as the platform shows it")
    if _SHORTENED.fullmatch(cell):
        raise CellWrong(f"`{shown(cell)}` is a number that a spreadsheet shortened; format the column as text and export again")
    return _text(cell)


def _text(cell: str) -> str:
    if len(cell) > LONGEST_TEXT or not cell.isprintable():
        raise CellWrong(f"`{shown(cell)}` is longer than {LONGEST_TEXT} characters or holds control characters")
    return cell


def _cost(cell: str) -> int:
    if _COST.fullmatch(cell):
        return int(Decimal(cell) * MICROS)
    if cell.startswith("-"):
        raise CellWrong(f"`{shown(cell)}` is negative; a cost is 0 or more")
    raise CellWrong(f"`{shown(cell)}` is no amount; write it like 1234.50, at most six digits after the point")


def _count(cell: str) -> int | None:
    if not cell:
        return None
    if _COUNT.fullmatch(cell):
        return int(cell)
    raise CellWrong(f"`{shown(cell)}` is no count; write digits only, like 1250, or leave it empty")


_CELLS = {
    "platform": _platform,
    "campaign_id": _campaign_id,
    "day": day_of,
    "cost": _cost,
    "currency": currency_of,
    "campaign_name": lambda cell: _text(cell) or None,
    "clicks": _count,
    "impressions": _count,
}
COLUMNS = Columns(REQUIRED, OPTIONAL, _CELLS)


def spend_row(number: int, cells: Mapping[str, object]) -> SpendRow:
    """A row of cells that were read by `COLUMNS`; `number` is its place in what was given."""
    values = dict(cells)
    values["cost_micros"] = values.pop("cost")
    return SpendRow(line=number, **values)  # type: ignore[arg-type]  # each cell's reader gives its type
