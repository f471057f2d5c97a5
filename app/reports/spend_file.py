"""A file of ad spend, read in chunks: each row checked, each mistake with its line, its column and the mend. No database here."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path

from app.reports.currencies import CURRENCIES
from connectors.contract.conversions import MICROS

REQUIRED = ("platform", "campaign_id", "day", "cost", "currency")
OPTIONAL = ("campaign_name", "clicks", "impressions")
CHUNK = 1000
MOST_LINE_BYTES = 65_536
LONGEST_TEXT = 300

_PLATFORM = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DAY = re.compile(r"20\d\d-\d\d-\d\d", re.ASCII)
_COST = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_COUNT = re.compile(r"\d{1,15}", re.ASCII)
_SHORTENED = re.compile(r"\d+([.,]\d+)?[eE]\+?\d+", re.ASCII)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class SpendMistake:
    """What is wrong in the file, where, and the mend. `column` is empty where it is about the whole line."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        """One line for people."""
        place = f"line {self.line}, column {self.column}" if self.column else f"line {self.line}"
        return f"{place}: {self.message}"


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


Chunk = Sequence[SpendRow | SpendMistake]


class _CellWrong(Exception):
    """A cell that cannot be used, with the mend."""


class _LineWrong(Exception):
    """A line that cannot be read at all; nothing after it can be trusted."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.mistake = SpendMistake(line, "", message)


def read_chunks(path: Path) -> Iterator[Chunk]:
    """The rows of a file, at most 1,000 at a time, each as a row or as one mistake for each wrong cell."""
    chunk: list[SpendRow | SpendMistake] = []
    for one in _read(path):
        chunk.append(one)
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _read(path: Path) -> Iterator[SpendRow | SpendMistake]:
    try:
        lines = _lines(path)
        skipped, first = next(((number, line) for number, line in enumerate(lines) if line.strip()), (0, ""))
        if not first:
            yield SpendMistake(1, "", f"the file is empty; its first line must name the columns {','.join(REQUIRED)}")
            return
        delimiter = ";" if first.count(";") > first.count(",") else ","
        header = [name.strip().lower() for name in _cells(first, skipped + 1, delimiter)]
        mistakes = _header_mistakes(header)
        yield from mistakes
        if not mistakes:
            yield from _rows(csv.reader(lines, delimiter=delimiter, strict=True), header, skipped + 1)
    except _LineWrong as wrong:
        yield wrong.mistake


def _lines(path: Path) -> Iterator[str]:
    """Lines as text; at most 64 kB of the file are held at a time."""
    number = 0
    with path.open("rb") as file:
        while raw := file.readline(MOST_LINE_BYTES):
            number += 1
            if number == 1 and raw.startswith(_UTF16):
                raise _LineWrong(1, "the file is UTF-16; save it as `CSV UTF-8`")
            if len(raw) == MOST_LINE_BYTES:
                raise _LineWrong(number, "the line is longer than 64 kB; save the file as CSV, one row a line")
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise _LineWrong(number, f"byte {error.start + 1} is no UTF-8; save the file as `CSV UTF-8`") from None
            if "\0" in text:
                raise _LineWrong(number, "the line holds a zero byte; this is no CSV file")
            yield text


def _header_mistakes(header: Sequence[str]) -> list[SpendMistake]:
    known = (*REQUIRED, *OPTIONAL)
    found = [SpendMistake(1, name, "the column is missing; add it") for name in REQUIRED if name not in header]
    for place, name in enumerate(header):
        if name not in known:
            near = get_close_matches(name, known, 1)
            mend = f"did you mean `{near[0]}`?" if near else f"take it out; known are {', '.join(known)}"
            found.append(SpendMistake(1, _shown(name) or str(place + 1), f"there is no such column; {mend}"))
        elif name in header[:place]:
            found.append(SpendMistake(1, name, "the column is there twice; take one out"))
    return found


def _cells(text: str, line: int, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise _LineWrong(line, f"no CSV ({error}); save the file as CSV with Windows or Unix line ends") from None


def _rows(reader: Iterator[list[str]], header: Sequence[str], header_line: int) -> Iterator[SpendRow | SpendMistake]:
    line = header_line
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _LineWrong(line + 1, f"no CSV from here on ({error}); look for a quote that is not closed") from None
        if cells is None:
            return
        line = reader.line_num + header_line  # type: ignore[attr-defined]  # csv's readers count the lines they took
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield SpendMistake(
                line, "", f"has {len(cells)} cells, the header names {len(header)}; quote a cell that holds a comma"
            )
            continue
        yield from _row(line, dict(zip(header, (cell.strip() for cell in cells), strict=True)))


def _row(line: int, cells: Mapping[str, str]) -> Iterator[SpendRow | SpendMistake]:
    values: dict[str, object] = {}
    mistakes = []
    for name, cell in cells.items():
        try:
            values[name] = _CELLS[name](cell)
        except _CellWrong as wrong:
            mistakes.append(SpendMistake(line, name, str(wrong)))
    if mistakes:
        yield from mistakes
        return
    values["cost_micros"] = values.pop("cost")
    yield SpendRow(line=line, **values)  # type: ignore[arg-type]  # each cell's reader gives its type


def _platform(cell: str) -> str:
    if _PLATFORM.fullmatch(cell):
        return cell
    lower = re.sub(r"[^a-z0-9]+", "_", cell.lower()).strip("_")
    mend = f"write `{lower}`" if _PLATFORM.fullmatch(lower) else "write one word in lower case, like google"
    raise _CellWrong(f"`{_shown(cell)}` is no platform; {mend}")


def _campaign_id(cell: str) -> str:
    if not cell:
        raise _CellWrong("is empty; write the campaign's id as the platform shows it")
    if _SHORTENED.fullmatch(cell):
        raise _CellWrong(f"`{_shown(cell)}` is a number that a spreadsheet shortened; format the column as text and export again")
    return _text(cell)


def _text(cell: str) -> str:
    if len(cell) > LONGEST_TEXT or not cell.isprintable():
        raise _CellWrong(f"`{_shown(cell)}` is longer than {LONGEST_TEXT} characters or holds control characters")
    return cell


def _day(cell: str) -> date:
    if _DAY.fullmatch(cell):
        try:
            return date.fromisoformat(cell)
        except ValueError:
            raise _CellWrong(f"`{cell}` is no day of the calendar") from None
    raise _CellWrong(f"`{_shown(cell)}` is no day; write it like 2026-11-22")


def _cost(cell: str) -> int:
    if _COST.fullmatch(cell):
        return int(Decimal(cell) * MICROS)
    if cell.startswith("-"):
        raise _CellWrong(f"`{_shown(cell)}` is negative; a cost is 0 or more")
    raise _CellWrong(f"`{_shown(cell)}` is no amount; write it like 1234.50, at most six digits after the point")


def _currency(cell: str) -> str:
    if cell in CURRENCIES:
        return cell
    upper = cell.upper()
    near = [upper] if upper in CURRENCIES else [one for one in sorted(CURRENCIES) if sorted(one) == sorted(upper)]
    near = near or get_close_matches(upper, sorted(CURRENCIES), 1)
    mend = f"did you mean {near[0]}?" if near else "write its three capital letters, like USD"
    raise _CellWrong(f"`{_shown(cell)}` is no ISO 4217 currency; {mend}")


def _count(cell: str) -> int | None:
    if not cell:
        return None
    if _COUNT.fullmatch(cell):
        return int(cell)
    raise _CellWrong(f"`{_shown(cell)}` is no count; write digits only, like 1250, or leave it empty")


def _shown(cell: str) -> str:
    """A cell as a message may hold it."""
    return "".join(character if character.isprintable() else "?" for character in cell[:40])


_CELLS = {
    "platform": _platform,
    "campaign_id": _campaign_id,
    "day": _day,
    "cost": _cost,
    "currency": _currency,
    "campaign_name": lambda cell: _text(cell) or None,
    "clicks": _count,
    "impressions": _count,
}
