"""All records of one object, as they are and as the API shows them, with indexes that are built when first needed."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import cast

Value = str | float | bool | None  # instants are whole milliseconds, dates ISO text
Values = tuple[Value, ...]


class Row:
    """One record. `values` is the truth and `shown` what the API shows of it: None while it shows nothing."""

    __slots__ = ("id", "number", "shown", "shown_number", "values")

    def __init__(self, record_id: str, values: Values) -> None:
        self.id = record_id
        self.values = values
        self.number = 1
        self.shown: Values | None = None
        self.shown_number = 0


def value_at(values: Values, column: int) -> Value:
    """A column's value; None where the record is older than the column."""
    return values[column] if column < len(values) else None


class Ordered:
    """Shown rows ordered by (a column's instant, id), in chunks."""

    _MOST = 2000

    def __init__(self, column: int, rows: list[Row]) -> None:
        self.column = column
        held = sorted((row for row in rows if self._instant(row) is not None), key=self._key)
        self._chunks = [held[start : start + 1000] for start in range(0, len(held), 1000)]

    def add(self, row: Row) -> None:
        """Put a row in its place; rows without the instant are left out."""
        if self._instant(row) is None:
            return
        key = self._key(row)
        if not self._chunks or (key > self._key(self._chunks[-1][-1]) and len(self._chunks[-1]) >= self._MOST):
            self._chunks.append([row])
            return
        at = min(self._chunk_of(key), len(self._chunks) - 1)
        chunk = self._chunks[at]
        chunk.insert(bisect_left(chunk, key, key=self._key), row)
        if len(chunk) > self._MOST:
            self._chunks[at : at + 1] = [chunk[: self._MOST // 2], chunk[self._MOST // 2 :]]

    def remove(self, row: Row) -> None:
        """Take a row out, before what it shows is changed."""
        if self._instant(row) is None:
            return
        at = self._chunk_of(self._key(row))
        del self._chunks[at][bisect_left(self._chunks[at], self._key(row), key=self._key)]
        if not self._chunks[at]:
            del self._chunks[at]

    def between(self, low: float, high: float) -> Iterator[Row]:
        """The rows whose instant is from low to high, both included, in order."""
        for at in range(self._chunk_of((low, "")), len(self._chunks)):
            chunk = self._chunks[at]
            start = bisect_left(chunk, (low, ""), key=self._key)
            stop = bisect_right(chunk, (high, "~"), key=self._key)
            yield from chunk[start:stop]
            if stop < len(chunk):
                return

    def _chunk_of(self, key: tuple[float, str]) -> int:
        return bisect_left(self._chunks, key, key=lambda chunk: self._key(chunk[-1]))

    def _key(self, row: Row) -> tuple[float, str]:
        return cast("float", self._instant(row)), row.id

    def _instant(self, row: Row) -> Value:
        return None if row.shown is None else value_at(row.shown, self.column)


class Table:
    """Rows by id, the columns of their values, and what waits to be shown."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[str, Row] = {}
        self.columns: dict[str, int] = {}
        self.width = 0
        self.deletions: dict[str, int] = {}  # id -> when, as long as getDeleted tells of it
        self._late: list[tuple[int, int, int, int, Row, Values]] = []
        self._locked: dict[str, int] = {}  # id -> when the transaction that holds the row is committed
        self._count = 0
        self._ordered: dict[int, Ordered] = {}
        self._by_value: dict[int, dict[Value, tuple[Row, ...]]] = {}

    def add_column(self, name: str) -> int:
        """A column for a field, new also where a removed field had the same name."""
        self.columns[name] = self.width
        self.width += 1
        return self.width - 1

    def get(self, row: Row, name: str) -> Value:
        """What a field truly holds."""
        return value_at(row.values, self.columns[name])

    def put(self, row: Row, at_ms: int, visible_ms: int | None) -> None:
        """Take in a new record."""
        self.rows[row.id] = row
        self._show(row, at_ms, visible_ms)

    def write(self, row: Row, values: Values, at_ms: int, visible_ms: int | None) -> None:
        """Give a record other values."""
        row.values = values
        row.number += 1
        self._show(row, at_ms, visible_ms)

    def drop(self, row: Row) -> None:
        """Forget a record for good."""
        self._unindex(row)
        row.shown = None
        del self.rows[row.id]

    def catch_up(self, now_ms: int) -> None:
        """Show what was committed late, once its time has come."""
        while self._late and self._late[0][0] <= now_ms:
            visible_ms, _, number, _, row, values = heapq.heappop(self._late)
            if self._locked.get(row.id) == visible_ms:
                del self._locked[row.id]
            if self.rows.get(row.id) is row:
                self._publish(row, values, number)

    def open_since(self) -> int | None:
        """The start of the oldest transaction that is not committed yet."""
        return min((start for _, _, _, start, _, _ in self._late), default=None)

    def visible(self, record_id: str, visible_ms: int | None) -> int | None:
        """When a change can be seen at the earliest: not before an open transaction that holds the row is committed."""
        held = self._locked.get(record_id)
        return visible_ms if held is None else max(held, visible_ms or 0)

    def held_back(self) -> list[Row]:
        """The records of which something is not shown yet."""
        return [self.rows[one] for one in self._locked if one in self.rows]

    def ordered(self, name: str) -> Ordered:
        """The shown rows by a field that holds instants."""
        column = self.columns[name]
        if column not in self._ordered:
            self._ordered[column] = Ordered(column, list(self.rows.values()))
        return self._ordered[column]

    def by_value(self, name: str) -> dict[Value, tuple[Row, ...]]:
        """The shown rows by the value of a field; rows without one are left out."""
        column = self.columns[name]
        if column not in self._by_value:
            index: dict[Value, tuple[Row, ...]] = {}
            for row in self.rows.values():
                if row.shown is not None:
                    _put(index, value_at(row.shown, column), row)
            self._by_value[column] = index
        return self._by_value[column]

    def _show(self, row: Row, at_ms: int, visible_ms: int | None) -> None:
        visible_ms = self.visible(row.id, visible_ms)
        if visible_ms is None:
            self._publish(row, row.values, row.number)
            return
        self._count += 1
        self._locked[row.id] = visible_ms
        heapq.heappush(self._late, (visible_ms, self._count, row.number, at_ms, row, row.values))

    def _publish(self, row: Row, values: Values, number: int) -> None:
        if row.shown_number >= number:
            return
        self._unindex(row)
        row.shown = values
        row.shown_number = number
        for one in self._ordered.values():
            one.add(row)
        for column, index in self._by_value.items():
            _put(index, value_at(values, column), row)

    def _unindex(self, row: Row) -> None:
        if row.shown is None:
            return
        for one in self._ordered.values():
            one.remove(row)
        for column, index in self._by_value.items():
            value = value_at(row.shown, column)
            others = tuple(one for one in index.pop(value, ()) if one is not row)
            if others:
                index[value] = others


def _put(index: dict[Value, tuple[Row, ...]], value: Value, row: Row) -> None:
    if value is not None:
        index[value] = (*index.get(value, ()), row)
