"""Reads the lists of what changed, from any position on: lists with cursors oldest first, lists with offsets either way.

A position names the last row by its time, never by a vendor's cursor, so it outlives the process. Meaning is records.py's.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import orjson

from connectors.contract.records import ObjectKind
from connectors.crm.pipedrive.api import PAGE_ROWS, ListPage, PipedriveApi, Query
from connectors.crm.pipedrive.records import modified_at, row_id
from connectors.crm.pipedrive.replies import unexpected
from connectors.http.strict_json import Json, from_ms, to_ms

# Where more rows than this share an instant, a process that begins anew hands them on once more.
MOST_SEEN = 10_000
SECOND = timedelta(seconds=1)
LAST_MS = 999  # of the window's last second, which belongs to it


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row of a list."""

    id: str
    modified_at: datetime
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Position:
    """Behind which row a list goes on: the last one's instant `at_ms`, and the ids `seen` there.

    `archive_from_ms`: from where the archive is to be read in this window, None where it is not. `is_archive`: this is in it.
    `is_newest_first`: the list goes back in time, and `start` is the offset from which its next page is asked.
    """

    at_ms: int
    seen: tuple[str, ...] = ()
    archive_from_ms: int | None = None
    is_archive: bool = False
    is_newest_first: bool = False
    start: int = 0

    def to_text(self) -> str:
        """JSON text, to be stored with the page."""
        return orjson.dumps({name: getattr(self, name) for name in self.__slots__}).decode()

    @classmethod
    def from_text(cls, text: str) -> "Position | None":
        """Read what `to_text` wrote; None where it is unreadable (the window then starts over, which loses nothing)."""
        try:
            raw = orjson.loads(text)
            archive_from = raw["archive_from_ms"]
            return cls(
                at_ms=int(raw["at_ms"]),
                seen=tuple(map(str, raw["seen"])),
                archive_from_ms=None if archive_from is None else int(archive_from),
                is_archive=raw["is_archive"] is True,
                is_newest_first=raw["is_newest_first"] is True,
                start=int(raw["start"]),
            )
        except (ValueError, KeyError, TypeError):
            return None

    def at_page(self, found: "Found") -> "Position":
        """The position with the place from which this page was asked."""
        return replace(self, start=found.start, is_newest_first=found.is_newest_first)

    def behind(self, rows: Sequence[FoundRow]) -> "Position":
        """The position after these rows."""
        if not rows:
            return self
        at_ms = to_ms(rows[-1].modified_at)
        before = self.seen if at_ms == self.at_ms else ()
        seen = tuple(dict.fromkeys((*before, *(row.id for row in rows if to_ms(row.modified_at) == at_ms))))
        return replace(self, at_ms=at_ms, seen=seen if len(seen) <= MOST_SEEN else ())

    def has_read(self, row: FoundRow) -> bool:
        """Whether a row stands before this position."""
        at_ms = to_ms(row.modified_at)
        passed = at_ms > self.at_ms if self.is_newest_first else at_ms < self.at_ms
        return passed or (at_ms == self.at_ms and row.id in self.seen)


@dataclass(frozen=True, slots=True)
class Found:
    """A page's new rows, and from where it was asked. `is_end`: the list has no more for this window."""

    rows: list[FoundRow]
    is_end: bool
    start: int = 0
    is_newest_first: bool = False


@dataclass(slots=True)
class Lister:
    """Reads the lists of one window. `until` is set by the first answer where the window was not opened yet."""

    api: PipedriveApi
    kind: ObjectKind
    query: Query
    since: datetime
    until: datetime | None
    clock_date: datetime

    @property
    def end(self) -> datetime:
        """The window's end."""
        return self.until or self.clock_date

    async def pages(self, position: Position) -> AsyncIterator[Found]:
        """Pages of rows behind the position, of the live list or the archive."""
        if self.kind is not ObjectKind.LEAD:
            async for page in self._by_cursor(position):
                yield page
            return
        going_back = position.is_newest_first or position.is_archive
        pages = self._newest_first(position) if going_back else self._oldest_first(position)
        async for page in pages:
            yield page

    async def _by_cursor(self, position: Position) -> AsyncIterator[Found]:
        """Cursors hold while nobody changes the other parameters; a new run begins at the position's second."""
        query = {**self.query, "updated_since": _iso(from_ms(position.at_ms)), "sort_by": "update_time", "sort_direction": "asc"}
        if self.until is not None:
            query["updated_until"] = _iso(self.until + SECOND)
        cursor: dict[str, str] = {}
        while True:
            page = await self.api.page(self.kind, {**query, **cursor}, is_archive=position.is_archive)
            rows, until = self._found(page)
            # The position's own second is read from its start. What is past the window's end belongs to the next one.
            new = [row for row in rows if row.modified_at <= until and not position.has_read(row)]
            is_end = page.cursor is None or bool(rows and rows[-1].modified_at > until)
            yield Found(new, is_end)
            if is_end:
                return
            cursor = {"cursor": str(page.cursor)}

    async def _oldest_first(self, position: Position) -> AsyncIterator[Found]:
        """Leads by `updated_since`, which moves with the rows, so that no offset is needed but within one second."""
        since, start = _floor(from_ms(position.at_ms)), 0
        while True:
            query = {"updated_since": _iso(since), "sort": "update_time ASC", "start": str(start)}
            page = await self.api.leads(query, is_archive=False)
            rows, until = self._found(page)
            if any(row.modified_at < since for row in rows):
                # The server knows no `updated_since`: backwards it takes no more pages than there are changes.
                newest = replace(position, at_ms=to_ms(until) + LAST_MS, seen=(), is_newest_first=True)
                async for older in self._newest_first(newest):
                    yield older
                return
            new = [row for row in rows if not position.has_read(row)]
            position = position.behind(new)
            is_end = not page.has_more or not rows or rows[-1].modified_at > until
            yield Found(new, is_end)
            if is_end:
                return
            last = _floor(rows[-1].modified_at)
            since, start = (last, 0) if last > since else (since, start + len(rows))

    async def _newest_first(self, position: Position) -> AsyncIterator[Found]:
        """Back in time to the window's start. A row that changes moves to the front, so offsets repeat rows and skip none.

        One that leaves the list lets those behind it move up: a page that begins behind the last row is asked again earlier.
        """
        oldest = from_ms(position.archive_from_ms) if position.is_archive and position.archive_from_ms else self.since
        start = position.start
        while True:
            page = await self.api.leads({"sort": "update_time DESC", "start": str(start)}, is_archive=position.is_archive)
            rows, _until = self._found(page)
            if start > 0 and (not rows or to_ms(rows[0].modified_at) < position.at_ms):
                start = max(0, start - PAGE_ROWS)
                continue
            new = [row for row in rows if row.modified_at >= oldest and not position.has_read(row)]
            position = replace(position.behind(new), is_newest_first=True)
            is_end = not page.has_more or not rows or rows[-1].modified_at < oldest
            yield Found(new, is_end, start, is_newest_first=True)
            if is_end:
                return
            start += max(len(rows) - 1, 1)

    def archive_of(self, position: Position) -> Position | None:
        """Where the archive begins, once the live list is read; None where it is not to be read in this window."""
        if position.is_archive or position.archive_from_ms is None:
            return None
        until_ms = to_ms(self.end) + LAST_MS
        if self.kind is ObjectKind.LEAD:
            return replace(position, at_ms=until_ms, seen=(), is_archive=True, is_newest_first=True, start=0)
        return replace(position, at_ms=position.archive_from_ms, seen=(), is_archive=True, is_newest_first=False, start=0)

    def _found(self, page: ListPage) -> tuple[list[FoundRow], datetime]:
        """The page's rows, and the window's end: the last second that is over.

        A row that changes twice in one second shows the same modification twice: the second change would never be read.
        """
        if self.until is None:
            self.until = max(_floor(page.date or self.clock_date) - SECOND, self.since)
        if len(page.rows) > PAGE_ROWS:
            raise unexpected("a list gives more rows than were asked for")
        return [FoundRow(row_id(self.kind, raw), modified_at(self.kind, raw), raw) for raw in page.rows], self.until


def _floor(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _iso(at: datetime) -> str:
    """RFC 3339 in whole seconds, as Pipedrive writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
