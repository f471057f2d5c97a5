"""SQL of replays: read what is to be judged (locked), reopen, count as sent. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, update_rows
from app.db.instants import from_ms, to_ms
from app.db.tables import conversions, deliveries
from app.outbox.replay import REPLAYED_BY_FILTER, Reopen, Stopped
from app.outbox.states import DeliveryState, Reason
from connectors.contract.conversions import DeliveryKind


@dataclass(frozen=True, slots=True)
class StoppedRow:
    """A delivery with what a replay must know of its conversion."""

    id: int
    source_id: int
    destination_id: int
    milestone: str
    kind: str
    state: str
    reason: str
    occurred_at: datetime
    deadline_at: datetime
    is_live: bool
    is_duplicate: bool
    is_frozen: bool
    is_outdated: bool
    has_unknown_try: bool
    target: str

    def as_stopped(self, *, mapped_target: str | None, latest_deadline: datetime, is_shadow: bool) -> Stopped:
        """What is judged, with what the mapping and the destination say now."""
        return Stopped(
            state=DeliveryState(self.state),
            reason=self.reason,
            kind=DeliveryKind(self.kind),
            is_live=self.is_live,
            is_duplicate=self.is_duplicate,
            is_frozen=self.is_frozen,
            is_outdated=self.is_outdated,
            has_unknown_try=self.has_unknown_try,
            target=self.target,
            mapped_target=mapped_target,
            latest_deadline=latest_deadline,
            is_shadow=is_shadow,
        )


async def stopped_rows(connection: AsyncConnection, ids: Sequence[int], *, lock: bool) -> list[StoppedRow]:
    """These deliveries in the order of their ids; `lock` keeps everybody else off them until the commit."""
    newer = deliveries.alias("newer")
    outdated = exists().where(
        newer.c.conversion_id == deliveries.c.conversion_id,
        newer.c.destination_id == deliveries.c.destination_id,
        newer.c.seq > deliveries.c.seq,
    )
    statement = (
        select(
            deliveries.c.id,
            deliveries.c.source_id,
            deliveries.c.destination_id,
            conversions.c.milestone,
            deliveries.c.kind,
            deliveries.c.state,
            deliveries.c.reason,
            conversions.c.occurred_at,
            deliveries.c.deadline_at,
            conversions.c.live,
            conversions.c.duplicate_of,
            deliveries.c.frozen,
            deliveries.c.first_unknown_at,
            deliveries.c.target,
            outdated.label("outdated"),
        )
        .join(conversions, conversions.c.id == deliveries.c.conversion_id)
        .where(among(connection, deliveries.c.id, ids))
        .order_by(deliveries.c.id)
    )
    if lock:
        statement = statement.with_for_update(of=deliveries)
    return [
        StoppedRow(
            id=row.id,
            source_id=row.source_id,
            destination_id=row.destination_id,
            milestone=row.milestone,
            kind=row.kind,
            state=row.state,
            reason=row.reason,
            occurred_at=from_ms(row.occurred_at),
            deadline_at=from_ms(row.deadline_at),
            is_live=bool(row.live),
            is_duplicate=row.duplicate_of is not None,
            is_frozen=bool(row.frozen),
            is_outdated=bool(row.outdated),
            has_unknown_try=row.first_unknown_at is not None,
            target=row.target,
        )
        for row in await connection.execute(statement)
    ]


async def past_uploads(
    connection: AsyncConnection, source_id: int, since_ms: int, until_ms: int, after: tuple[int, int] | None, look: int
) -> tuple[list[int], tuple[int, int] | None]:
    """Uploads skipped as before the start, of the next `look` conversions of a source in these instants; where to go on."""
    at, last = after or (since_ms, 0)
    later = or_(conversions.c.occurred_at > at, and_(conversions.c.occurred_at == at, conversions.c.id > last))
    mine = (conversions.c.source_id == source_id, conversions.c.occurred_at >= at, conversions.c.occurred_at <= until_ms)
    order = (conversions.c.occurred_at, conversions.c.id)
    keys = list(
        await connection.execute(
            select(conversions.c.id, conversions.c.occurred_at).where(*mine, later).order_by(*order).limit(look)
        )
    )
    found = await connection.scalars(
        select(deliveries.c.id)
        .where(among(connection, deliveries.c.conversion_id, [key.id for key in keys]))
        .where(deliveries.c.kind == DeliveryKind.UPLOAD.value, deliveries.c.state == DeliveryState.SKIPPED.value)
        .where(deliveries.c.reason == Reason.BEFORE_START.value)
        .order_by(deliveries.c.id)
    )
    return list(found), (keys[-1].occurred_at, keys[-1].id) if len(keys) == look else None


async def reopen(connection: AsyncConnection, opened: Sequence[tuple[StoppedRow, Reopen]], now_ms: int) -> int:
    """Owed again, due now; the number of tries stays, their pauses begin anew. The state must be what was judged."""
    rows = [
        {
            "id": row.id,
            "state": DeliveryState.PENDING.value,
            "reason": Reason.NEW.value,
            "due_at": now_ms,
            "deadline_at": to_ms(decision.deadline_at),
            "target": decision.target,
            "counted": 0,
            "first_unknown_at": None,
            "unknown_tries": 0,
            "upload_id": None,
            "position": None,
            "settled_at": None,
            "_state": row.state,
        }
        for row, decision in opened
    ]
    return await update_rows(connection, deliveries, rows, key=("id",), where='t.state = x."_state"')


async def count_as_sent(connection: AsyncConnection, ids: Sequence[int], now_ms: int) -> int:
    """A person says that the platform has them: what is uncertain, or stopped after a lost try. No verdict is asked for."""
    stopped = and_(
        deliveries.c.first_unknown_at.is_not(None), deliveries.c.state.in_([state.value for state in REPLAYED_BY_FILTER])
    )
    result = await connection.execute(
        deliveries.update()
        .where(among(connection, deliveries.c.id, ids), or_(deliveries.c.state == DeliveryState.UNCERTAIN.value, stopped))
        .values(
            state=DeliveryState.ACCEPTED.value,
            reason=Reason.COUNTED_AS_SENT.value,
            due_at=None,
            position=None,
            settled_at=now_ms,
        )
    )
    return result.rowcount
