"""A file of currency rates, one a day and pair: what each cell may hold, and how a line becomes a rate. No database here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from app.mapping.rates import MILLIONTHS, DatedRate
from app.reports.csv_table import (
    MOST_SHOWN,
    CellWrong,
    Columns,
    FileInvalid,
    FileMistake,
    Line,
    currency_of,
    day_of,
    read_lines,
    shown,
)

REQUIRED = ("day", "base", "quote", "rate")
MOST_ROWS = 100_000
# A rate is kept in millionths: below this it has less than four digits, and the other way round it has enough.
LEAST_MICROS = 1_000
MOST_MICROS = 10**15

_RATE = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RatesImported:
    """What was imported. `changed`: rates that are new or other than before."""

    rows: int
    changed: int
    first_day: date
    last_day: date
    pairs: tuple[str, ...]

    def __str__(self) -> str:
        """One line for people."""
        rows = f"{self.rows:,} rate{'s' if self.rows != 1 else ''}"
        return f"{rows}, {self.first_day} to {self.last_day} ({', '.join(self.pairs)}): {self.changed:,} new or changed"


def read_rates(path: Path) -> list[DatedRate]:
    """All rates of a file; FileInvalid lists what is wrong with it, OSError where it cannot be read."""
    rates: dict[tuple[str, str, str], DatedRate] = {}
    mistakes: list[FileMistake] = []
    for one in read_lines(path, COLUMNS):
        if isinstance(one, FileMistake):
            mistakes.append(one)
        elif len(rates) >= MOST_ROWS:
            mistakes.append(FileMistake(one.number, "", f"the file has more than {MOST_ROWS:,} rates; import it in parts"))
            break
        else:
            mistakes += _take(one, rates)
    if not rates and not mistakes:
        mistakes.append(FileMistake(2, "", "there is no row below the header; add a rate for each day and pair"))
    if mistakes:
        raise FileInvalid(mistakes[:MOST_SHOWN], len(mistakes))
    return list(rates.values())


def imported_of(rates: list[DatedRate], changed: int) -> RatesImported:
    """What an import of these came to."""
    days = [one.day for one in rates]
    pairs = tuple(sorted({f"{one.base}/{one.quote}" for one in rates}))
    return RatesImported(len(rates), changed, min(days), max(days), pairs)


def rate_of(text: str) -> int:
    """Millionths of `quote` for one `base`; CellWrong with the mend."""
    if not _RATE.fullmatch(text):
        raise CellWrong(f"`{shown(text)}` is no rate; write what one of `base` costs in `quote`, like 1.0845")
    micros = int((Decimal(text) * MILLIONTHS).to_integral_value())
    if micros < LEAST_MICROS:
        raise CellWrong(f"`{shown(text)}` has too few digits in millionths; give the rate the other way round")
    if micros > MOST_MICROS:
        raise CellWrong(f"`{shown(text)}` is no rate between two currencies; look at the decimal point")
    return micros


def _take(line: Line, rates: dict[tuple[str, str, str], DatedRate]) -> Iterator[FileMistake]:
    rate = DatedRate(**line.cells)  # type: ignore[arg-type]  # each cell's reader gives its type
    known = rates.setdefault(rate.key, rate)
    if rate.base == rate.quote:
        yield FileMistake(line.number, "quote", "is the same currency as `base`; take the line out")
    elif known != rate:
        said = f"{rate.base}/{rate.quote} on {rate.day} stands above with another rate; keep one of them"
        yield FileMistake(line.number, "rate", said)


COLUMNS = Columns(REQUIRED, (), {"day": day_of, "base": currency_of, "quote": currency_of, "rate": rate_of})
