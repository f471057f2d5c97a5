"""SQL of backfills: what of the past is to be read, and how far it was. Never commits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.ids import take_ids
from app.db.instants import optional_from_ms, optional_ms, to_ms
from app.db.tables import backfills, conversions, records
from connectors.contract.records import ObjectKind
from connectors.contract.source import Window


@dataclass(frozen=True, slots=True)
class BackfillRow:
    """One kind of a source's backfill. `position`: up to which modification it was read; `error`: why it stands still."""

    source_id: int
    kind: ObjectKind
    run_id: int
    since: datetime
    until: datetime | None
    resume: str | None
    position: datetime | None
    reach: str
    pages: int
    seen: int
    records: int
    conversions: int
    is_done: bool
    error: str | None
    requested_at: datetime
    moved_at: datetime | None
    done_at: datetime | None

    @property
    def window(self) -> Window:
        """What is to be read of it; an open one goes on after its last committed page."""
        return Window(self.kind, self.since, self.until, self.resume)

    def share(self, now: datetime) -> float:
        """How much of its time was read, 0 to 1."""
        if self.is_done:
            return 1.0
        whole = (self.until or now) - self.since
        if self.position is None or not whole:
            return 0.0
        return min(max((self.position - self.since) / whole, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class BackfillMove:
    """What a committed page does to a backfill."""

    run_id: int
    kind: ObjectKind
    until: datetime
    resume: str | None
    is_last: bool
    seen: int
    position: datetime | None


async def backfills_of(connection: AsyncConnection, source_id: int | None = None) -> list[BackfillRow]:
    """The rows of a source's backfill (of all sources), in no order."""
    query = select(backfills)
    if source_id is not None:
        query = query.where(backfills.c.source_id == source_id)
    return [_row(row) for row in (await connection.execute(query)).mappings()]


def _row(row: RowMapping) -> BackfillRow:
    values = {name: row[name] for name in BackfillRow.__slots__ if name not in _READ}
    instants = {name: optional_from_ms(row[name]) for name in _READ if name != "kind"}
    return BackfillRow(kind=ObjectKind(row["object"]), **values, **instants)  # type: ignore[arg-type]  # the columns' types are these


_READ = ("kind", "since", "until", "position", "requested_at", "moved_at", "done_at")


_OPEN = (
    select(backfills.c.source_id)
    .where(~backfills.c.is_done)
    .group_by(backfills.c.source_id)
    .order_by(func.max(func.coalesce(backfills.c.moved_at, 0)), backfills.c.source_id)
)


async def sources_with_open_backfills(connection: AsyncConnection) -> list[int]:
    """The ids of the sources of which something is to be read yet, the one first whose last page is longest ago."""
    return list(await connection.scalars(_OPEN))


async def begin_backfill(
    connection: AsyncConnection, source_id: int, reaches: Mapping[ObjectKind, str], since: datetime, now: datetime
) -> None:
    """Ask for a new backfill of these kinds; an earlier one of this source is forgotten with its progress."""
    await connection.execute(delete(backfills).where(backfills.c.source_id == source_id))
    run_id = await take_ids(connection, 1)
    await add_kinds(connection, source_id, run_id, reaches, since, now)


async def add_kinds(
    connection: AsyncConnection,
    source_id: int,
    run_id: int,
    reaches: Mapping[ObjectKind, str],
    since: datetime,
    now: datetime,
) -> None:
    """Let a backfill read these kinds too."""
    rows = [
        {
            "source_id": source_id,
            "object": kind.value,
            "run_id": run_id,
            "since": to_ms(since),
            "reach": reach,
            "is_done": False,
            "requested_at": to_ms(now),
        }
        for kind, reach in reaches.items()
    ]
    await insert_rows(connection, backfills, rows, conflict=("source_id", "object"))


async def start_over(connection: AsyncConnection, row: BackfillRow, reach: str) -> None:
    """Read a kind from its beginning: the mapping asks for more than what was read."""
    await connection.execute(
        update(backfills)
        .where(*_same(row.source_id, row.run_id, row.kind))
        .values(reach=reach, until=None, resume=None, position=None, is_done=False, done_at=None, error=None)
    )


async def drop_kinds(connection: AsyncConnection, source_id: int, run_id: int, kinds: Iterable[ObjectKind]) -> None:
    """Kinds that the mapping does not read any more are not read."""
    gone = [kind.value for kind in kinds]
    mine = (backfills.c.source_id == source_id, backfills.c.run_id == run_id, backfills.c.object.in_(gone))
    await connection.execute(delete(backfills).where(*mine))


async def move_backfill(
    connection: AsyncConnection, source_id: int, fence: int, move: BackfillMove, now: datetime, made: tuple[int, int]
) -> bool:
    """Write a page's position under the lease's fence; False where a newer holder, or another backfill, took its place.

    `made`: how many records were stored and conversions found in it.
    """
    stored, found = made
    position = optional_ms(move.position)
    result = await connection.execute(
        update(backfills)
        .where(*_same(source_id, move.run_id, move.kind), ~backfills.c.is_done, backfills.c.fence <= fence)
        .values(
            until=to_ms(move.until),
            resume=move.resume,
            position=backfills.c.position if position is None else position,
            pages=backfills.c.pages + 1,
            seen=backfills.c.seen + move.seen,
            records=backfills.c.records + stored,
            conversions=backfills.c.conversions + found,
            is_done=move.is_last,
            done_at=to_ms(now) if move.is_last else None,
            moved_at=to_ms(now),
            error=None,
            fence=fence,
        )
    )
    return result.rowcount == 1


async def note_failure(connection: AsyncConnection, source_id: int, run_id: int, kind: ObjectKind, error: str) -> None:
    """Say why a kind stands still; the next page of it takes that back."""
    await connection.execute(update(backfills).where(*_same(source_id, run_id, kind)).values(error=error))


def _same(source_id: int, run_id: int, kind: ObjectKind) -> tuple[ColumnElement[bool], ...]:
    return (backfills.c.source_id == source_id, backfills.c.run_id == run_id, backfills.c.object == kind.value)


@dataclass(frozen=True, slots=True)
class Past:
    """A stretch of a source's conversions: those of deals, the records of the others, and the key to go on after."""

    deals: set[int]
    others: set[int]
    ids: Sequence[int]
    next: tuple[int, int] | None


async def past_conversions(
    connection: AsyncConnection, source_id: int, since: datetime, after: tuple[int, int] | None, limit: int
) -> Past:
    """The next conversions at or after `since` that live, in the order of their instants."""
    at, last = after or (to_ms(since), 0)
    later = (conversions.c.occurred_at > at) | ((conversions.c.occurred_at == at) & (conversions.c.id > last))
    query = (
        select(conversions.c.id, conversions.c.occurred_at, conversions.c.record_id, records.c.object)
        .join(records, records.c.id == conversions.c.record_id)
        .where(conversions.c.source_id == source_id, conversions.c.occurred_at >= at, later, conversions.c.live)
        .order_by(conversions.c.occurred_at, conversions.c.id)
        .limit(limit)
    )
    rows = list(await connection.execute(query))
    deals = {row.record_id for row in rows if row.object == ObjectKind.DEAL.value}
    others = {row.record_id for row in rows} - deals
    key = (rows[-1].occurred_at, rows[-1].id) if len(rows) == limit else None
    return Past(deals, others, [row.id for row in rows], key)
