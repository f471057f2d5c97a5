"""Where a source was read to: the choice of the next window (pure) and the cursor rows."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.instants import from_ms, to_ms
from app.db.tables import cursors, webhook_watch
from connectors.contract.records import ObjectKind
from connectors.contract.source import SourceLimits, Window

# Stands before the reach of a cursor whose records are being read anew, stored versions included.
REFETCHING = "refetching|"


class Sweep(StrEnum):
    """How far back a window reaches: the usual overlap, an hour every half hour, three days every night."""

    FAST = "fast"
    WIDE = "wide"
    DEEP = "deep"


@dataclass(frozen=True, slots=True)
class CursorRow:
    """A row of `cursors`. An open window has `window_end`; `resume` is the source's keyset inside it.

    `deletions_listed_at` is the beginning of the last listing that was read to its end; before the first one it is the first
    poll, as nothing deleted earlier was ever stored. None in rows older than listings: these are due. `last_hint_at`: when a
    webhook of the source came last, of whatever kind.
    """

    kind: ObjectKind
    settled_to: int
    window_start: int | None
    window_end: int | None
    resume: str | None
    reach: str | None
    fence: int
    next_poll_at: int | None
    swept_at: int | None
    deep_swept_at: int | None
    deletions_listed_at: int | None
    last_hint_at: int | None = None

    def has_deletions_due(self, limits: SourceLimits, now: datetime) -> bool:
        """True where the deleted records of the kind were not listed for too long."""
        return self.deletions_listed_at is None or now - from_ms(self.deletions_listed_at) >= limits.deletions_every

    def is_due(self, now: datetime) -> bool:
        """True where a window is open, or the next poll has come."""
        return self.next_poll_at is None or from_ms(self.next_poll_at) <= now


@dataclass(frozen=True, slots=True)
class CursorMove:
    """What a committed page does to the cursor. `settled` closes the window.

    `counts_untold`: what the page brings should have been told by a webhook, and is counted where it was not.
    """

    kind: ObjectKind
    window_start: datetime
    window_end: datetime
    resume: str | None
    settled: bool
    sweep: Sweep
    reach: str
    next_poll_at: datetime | None = None
    counts_untold: bool = False


def next_window(
    row: CursorRow | None, kind: ObjectKind, limits: SourceLimits, history: timedelta, reach: str, now: datetime
) -> tuple[Window, Sweep]:
    """The window to read now: an open one goes on, else from `settled_to` back by the overlap that is due.

    A selection that asks for more than before (`reach` changed) starts over at the mapping's history; a start over that was
    cut off goes on where it was.
    """
    if row is None or row.reach not in (reach, REFETCHING + reach):
        return Window(kind, now - history), Sweep.DEEP
    if row.window_end is not None and row.window_start is not None:
        going_on = Window(kind, from_ms(row.window_start), from_ms(row.window_end), row.resume)
        return going_on, _sweep_of(row, going_on.since, limits)
    sweep = _due_sweep(row, limits, now)
    overlap = {Sweep.FAST: limits.fast_overlap, Sweep.WIDE: limits.sweep_overlap, Sweep.DEEP: limits.deep_overlap}[sweep]
    return Window(kind, from_ms(row.settled_to) - overlap), sweep


def _sweep_of(row: CursorRow, since: datetime, limits: SourceLimits) -> Sweep:
    """What an open window began as: `settled_to` stands still until it closes. The first window of all is a start over."""
    reaches_back = from_ms(row.settled_to) - since
    if row.settled_to == 0 or reaches_back >= limits.deep_overlap:
        return Sweep.DEEP
    return Sweep.WIDE if reaches_back >= limits.sweep_overlap else Sweep.FAST


def _due_sweep(row: CursorRow, limits: SourceLimits, now: datetime) -> Sweep:
    if row.deep_swept_at is None or now - from_ms(row.deep_swept_at) >= limits.deep_every:
        return Sweep.DEEP
    if row.swept_at is None or now - from_ms(row.swept_at) >= limits.sweep_every:
        return Sweep.WIDE
    return Sweep.FAST


_HINTED = select(webhook_watch.c.last_hint_at).where(webhook_watch.c.source_id == cursors.c.source_id).scalar_subquery()
_ALL = select(cursors, _HINTED.label("last_hint_at")).where(cursors.c.source_id == bindparam("source_id"))


async def cursors_of(connection: AsyncConnection, source_id: int) -> dict[ObjectKind, CursorRow]:
    """All cursors of a source."""
    result = await connection.execute(_ALL, {"source_id": source_id})
    return {
        ObjectKind(row["object"]): CursorRow(
            kind=ObjectKind(row["object"]),
            **{name: row[name] for name in CursorRow.__slots__ if name != "kind"},
        )
        for row in result.mappings()
    }


async def move_cursor(connection: AsyncConnection, source_id: int, fence: int, move: CursorMove) -> bool:
    """Write the page's position under the lease's fence; False where a newer holder has written since."""
    values: dict[str, object] = {
        "window_start": None if move.settled else to_ms(move.window_start),
        "window_end": None if move.settled else to_ms(move.window_end),
        "resume": None if move.settled else move.resume,
        "reach": move.reach,
        "fence": fence,
        "next_poll_at": None if move.next_poll_at is None else to_ms(move.next_poll_at),
    }
    if move.settled:
        values["settled_to"] = to_ms(move.window_end)
        if move.sweep is not Sweep.FAST:
            values["swept_at"] = to_ms(move.window_end)
        if move.sweep is Sweep.DEEP:
            values["deep_swept_at"] = to_ms(move.window_end)
    written = await insert_rows(
        connection,
        cursors,
        [
            {
                "source_id": source_id,
                "object": move.kind.value,
                "settled_to": 0,
                "deletions_listed_at": to_ms(move.window_end),
                **values,
            }
        ],
        conflict=("source_id", "object"),
        update=tuple(values),
        where="cursors.fence <= excluded.fence",
    )
    return written == 1


async def note_deletions_listed(
    connection: AsyncConnection, source_id: int, kind: ObjectKind, fence: int, began_at: datetime
) -> None:
    """Write when a listing began that was read to its end, under the lease's fence."""
    await connection.execute(
        update(cursors)
        .where(cursors.c.source_id == source_id, cursors.c.object == kind.value, cursors.c.fence <= fence)
        .values(deletions_listed_at=to_ms(began_at), fence=fence)
    )
