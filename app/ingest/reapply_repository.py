"""SQL of reapplies: the stored records of a source in batches, and how far a reapply has come. Never commits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.ids import take_ids
from app.db.instants import from_ms, optional_from_ms, to_ms
from app.db.tables import reapplies, records
from connectors.contract.records import ObjectKind, RecordState

KINDS = (ObjectKind.CONTACT.value, ObjectKind.LEAD.value, ObjectKind.DEAL.value)


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """Stored records by row id. `last` is the greatest id among them, None where there is nothing after them."""

    deals: frozenset[int] = frozenset()
    persons: frozenset[int] = frozenset()
    last: int | None = None

    def __len__(self) -> int:
        """How many records."""
        return len(self.deals) + len(self.persons)


@dataclass(frozen=True, slots=True)
class ReapplyRow:
    """A source's reapply: of which version, whether it restates, up to which record it came, and what it did."""

    source_id: int
    run_id: int
    version: int
    restates: bool
    after: int
    until: int
    seen: int
    conversions: int
    revalued: int
    ended: int
    deliveries: int
    requested_by: str
    requested_at: datetime
    done_at: datetime | None
    given_up: str | None

    @property
    def is_open(self) -> bool:
        """True while it goes on."""
        return self.done_at is None


@dataclass(frozen=True, slots=True)
class ReapplyMove:
    """What a committed batch does to a reapply: `last` is the last record's id, `is_last` ends it."""

    run_id: int
    last: int
    seen: int
    is_last: bool


class Made(Protocol):
    """What a batch changed."""

    @property
    def new_conversions(self) -> int:
        """Conversions that were not there before."""
        ...

    @property
    def revalued(self) -> int:
        """Conversions with another value."""
        ...

    @property
    def ended(self) -> int:
        """Conversions that ended."""
        ...

    @property
    def deliveries(self) -> int:
        """Deliveries that were added."""
        ...


async def stored_after(connection: AsyncConnection, source_id: int, after: int, until: int, limit: int) -> StoredBatch:
    """The next records by row id, `until` the last."""
    query = _RECORDS.where(records.c.source_id == source_id, records.c.id > after, records.c.id <= until)
    rows = list(await connection.execute(query.order_by(records.c.id).limit(limit)))
    return _batch(rows, rows[-1].id if len(rows) == limit else None)


async def newest_stored(connection: AsyncConnection, source_id: int, limit: int) -> StoredBatch:
    """The records that were stored last; `last` is set where there are more."""
    query = _RECORDS.where(records.c.source_id == source_id).order_by(records.c.id.desc()).limit(limit + 1)
    rows = list(await connection.execute(query))
    return _batch(rows[:limit], rows[0].id if len(rows) > limit else None)


async def stored_counts(connection: AsyncConnection, source_id: int, kinds: Iterable[str]) -> dict[str, int]:
    """How many records of these kinds are stored."""
    wanted = sorted(kinds)
    query = (
        select(records.c.object, func.count())
        .where(records.c.source_id == source_id, records.c.object.in_(wanted))
        .group_by(records.c.object)
    )
    found = {row[0]: int(row[1]) for row in await connection.execute(query)}
    return {kind: found.get(kind, 0) for kind in wanted}


async def begin_reapply(
    connection: AsyncConnection, source_id: int, version: int, *, restates: bool, requested_by: str, now: datetime
) -> ReapplyRow:
    """Ask for a reapply of all that is stored now; an earlier one of this source is forgotten with its progress."""
    newest = await connection.scalar(select(func.max(records.c.id)).where(records.c.source_id == source_id))
    values = {
        "source_id": source_id,
        "run_id": await take_ids(connection, 1),
        "version": version,
        "restates": restates,
        "after": 0,
        "until": int(newest or 0),
        **dict.fromkeys(("seen", "conversions", "revalued", "ended", "deliveries", "fence"), 0),
        "requested_by": requested_by,
        "requested_at": to_ms(now),
        "done_at": None,
        "given_up": None,
    }
    columns = [name for name in values if name != "source_id"]
    await insert_rows(connection, reapplies, [values], conflict=("source_id",), update=columns)
    return _row(values)


async def reapply_of(connection: AsyncConnection, source_id: int) -> ReapplyRow | None:
    """The newest reapply of a source, None where there never was one."""
    row = (await connection.execute(select(reapplies).where(reapplies.c.source_id == source_id))).mappings().one_or_none()
    return None if row is None else _row(row)


async def open_reapplies(connection: AsyncConnection) -> list[ReapplyRow]:
    """Those that go on, the one that was asked for first first."""
    query = select(reapplies).where(reapplies.c.done_at.is_(None)).order_by(reapplies.c.requested_at, reapplies.c.source_id)
    return [_row(row) for row in (await connection.execute(query)).mappings()]


async def move_reapply(
    connection: AsyncConnection, source_id: int, fence: int, move: ReapplyMove, now: datetime, made: Made
) -> bool:
    """Write a batch's place under the lease's fence; False where a newer holder, or another reapply, took its place."""
    result = await connection.execute(
        update(reapplies)
        .where(
            reapplies.c.source_id == source_id,
            reapplies.c.run_id == move.run_id,
            reapplies.c.done_at.is_(None),
            reapplies.c.fence <= fence,
        )
        .values(
            after=move.last,
            seen=reapplies.c.seen + move.seen,
            conversions=reapplies.c.conversions + made.new_conversions,
            revalued=reapplies.c.revalued + made.revalued,
            ended=reapplies.c.ended + made.ended,
            deliveries=reapplies.c.deliveries + made.deliveries,
            done_at=to_ms(now) if move.is_last else None,
            fence=fence,
        )
    )
    return result.rowcount == 1


async def give_up_reapply(connection: AsyncConnection, source_id: int, run_id: int, why: str, now: datetime) -> None:
    """End it before its end, and say why."""
    mine = (reapplies.c.source_id == source_id, reapplies.c.run_id == run_id, reapplies.c.done_at.is_(None))
    await connection.execute(update(reapplies).where(*mine).values(done_at=to_ms(now), given_up=why))


_RECORDS = select(records.c.id, records.c.object).where(records.c.object.in_(KINDS), records.c.state != RecordState.MERGED.value)


def _batch(rows: Sequence[Any], last: int | None) -> StoredBatch:
    deals = frozenset(row.id for row in rows if row.object == ObjectKind.DEAL.value)
    return StoredBatch(deals, frozenset(row.id for row in rows) - deals, last)


def _row(row: RowMapping | Mapping[str, object]) -> ReapplyRow:
    values = {name: row[name] for name in ReapplyRow.__slots__ if name not in ("requested_at", "done_at")}
    at, done = row["requested_at"], row["done_at"]
    return ReapplyRow(
        **values,  # type: ignore[arg-type]  # the columns' types are these
        requested_at=from_ms(int(str(at))),
        done_at=optional_from_ms(None if done is None else int(str(done))),
    )
