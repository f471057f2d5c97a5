"""CSV files with columns: each cell checked, each mistake with its line, its column and the mend. No database here."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path

from app.reports.currencies import CURRENCIES

MOST_LINE_BYTES = 65_536
MOST_SHOWN = 20

_DAY = re.compile(r"20\d\d-\d\d-\d\d", re.ASCII)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class FileMistake:
    """What is wrong in the file, where, and the mend. `column` is empty where it is about the whole line."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        """One line for people."""
        place = f"line {self.line}, column {self.column}" if self.column else f"line {self.line}"
        return f"{place}: {self.message}"


class FileInvalid(Exception):
    """A file cannot be used: the first mistakes, and how many there are. Nothing was imported."""

    def __init__(self, mistakes: Sequence[FileMistake], count: int) -> None:
        more = [f"and {count - len(mistakes):,} more"] if count > len(mistakes) else []
        super().__init__("\n".join(["nothing was imported:", *(f"  {one}" for one in mistakes), *(f"  {one}" for one in more)]))
        self.mistakes = tuple(mistakes)
        self.count = count


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a kind of file, and how a cell of each is read: CellWrong where it cannot be used."""

    required: Sequence[str]
    optional: Sequence[str]
    cells: Mapping[str, Callable[[str], object]]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a file: its cells by column."""

    number: int
    cells: Mapping[str, object]


class CellWrong(Exception):
    """A cell that cannot be used, with the mend."""


class _LineWrong(Exception):
    """A line that cannot be read at all; nothing after it can be trusted."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.mistake = FileMistake(line, "", message)


def read_lines(path: Path, columns: Columns) -> Iterator[Line | FileMistake]:
    """The rows of a CSV file, each as a line or as one mistake for each wrong cell; a header names the columns in any order."""
    try:
        lines = _lines(path)
        skipped, first = next(((number, line) for number, line in enumerate(lines) if line.strip()), (0, ""))
        if not first:
            yield FileMistake(1, "", f"the file is empty; its first line must name the columns {','.join(columns.required)}")
            return
        delimiter = ";" if first.count(";") > first.count(",") else ","
        header = [name.strip().lower() for name in _cells(first, skipped + 1, delimiter)]
        mistakes = _header_mistakes(header, columns)
        yield from mistakes
        if not mistakes:
            yield from _rows(csv.reader(lines, delimiter=delimiter, strict=True), header, skipped + 1, columns)
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


def _header_mistakes(header: Sequence[str], columns: Columns) -> list[FileMistake]:
    known = (*columns.required, *columns.optional)
    found = [FileMistake(1, name, "the column is missing; add it") for name in columns.required if name not in header]
    for place, name in enumerate(header):
        if name not in known:
            near = get_close_matches(name, known, 1)
            mend = f"did you mean `{near[0]}`?" if near else f"take it out; known are {', '.join(known)}"
            found.append(FileMistake(1, shown(name) or str(place + 1), f"there is no such column; {mend}"))
        elif name in header[:place]:
            found.append(FileMistake(1, name, "the column is there twice; take one out"))
    return found


def _cells(text: str, line: int, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise _LineWrong(line, f"no CSV ({error}); save the file as CSV with Windows or Unix line ends") from None


def _rows(reader: Iterator[list[str]], header: Sequence[str], header_line: int, columns: Columns) -> Iterator[Line | FileMistake]:
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
            yield FileMistake(
                line, "", f"has {len(cells)} cells, the header names {len(header)}; quote a cell that holds a comma"
            )
            continue
        yield from _row(line, dict(zip(header, (cell.strip() for cell in cells), strict=True)), columns)


def _row(line: int, cells: Mapping[str, str], columns: Columns) -> Iterator[Line | FileMistake]:
    values: dict[str, object] = {}
    mistakes = []
    for name, cell in cells.items():
        try:
            values[name] = columns.cells[name](cell)
        except CellWrong as wrong:
            mistakes.append(FileMistake(line, name, str(wrong)))
    if mistakes:
        yield from mistakes
        return
    yield Line(line, values)


def day_of(cell: str) -> date:
    """A day like 2026-11-22."""
    if _DAY.fullmatch(cell):
        try:
            return date.fromisoformat(cell)
        except ValueError:
            raise CellWrong(f"`{cell}` is no day of the calendar") from None
    raise CellWrong(f"`{shown(cell)}` is no day; write it like 2026-11-22")


def currency_of(cell: str) -> str:
    """A currency of ISO 4217."""
    if cell in CURRENCIES:
        return cell
    upper = cell.upper()
    near = [upper] if upper in CURRENCIES else [one for one in sorted(CURRENCIES) if sorted(one) == sorted(upper)]
    near = near or get_close_matches(upper, sorted(CURRENCIES), 1)
    mend = f"did you mean {near[0]}?" if near else "write its three capital letters, like USD"
    raise CellWrong(f"`{shown(cell)}` is no ISO 4217 currency; {mend}")


def shown(cell: str) -> str:
    """A cell as a message may hold it."""
    return "".join(character if character.isprintable() else "?" for character in cell[:40])
