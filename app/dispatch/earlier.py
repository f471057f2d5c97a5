"""SQL of repeats: what became of an earlier time of the same conversion that the CRM took back."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import is_sqlite, listed, lists
from app.db.tables import conversions, deliveries
from app.outbox.policy import Earlier
from app.outbox.repository import ClaimedRow
from app.outbox.states import DeliveryState
from connectors.contract.conversions import DeliveryKind

_UPLOAD, _RETRACT = DeliveryKind.UPLOAD.value, DeliveryKind.RETRACT.value
_OPEN = (DeliveryState.PENDING.value, DeliveryState.SENDING.value)
_DELIVERED = (DeliveryState.ACCEPTED.value, DeliveryState.CONFIRMED.value)


async def earlier_of(connection: AsyncConnection, rows: Sequence[ClaimedRow]) -> dict[int, Earlier]:
    """By upload that is owed anew: whether the platform still counts an earlier occurrence that ended in the CRM.

    Sent beside it the conversion would count twice there.
    """
    repeats = sorted(row.id for row in rows if row.occurrence > 0 and row.kind == _UPLOAD and not row.is_frozen)
    if not repeats:
        return {}
    found = await connection.execute(_still_there(for_sqlite=is_sqlite(connection)), lists(connection, ids=repeats))
    return {row.id: Earlier.LEAVING if row.leaving else Earlier.STAYS for row in found}


@lru_cache
def _still_there(*, for_sqlite: bool) -> Select[Any]:
    """Built once: building it costs more than running it."""
    before, sent, back, other = conversions.alias(), deliveries.alias(), deliveries.alias(), deliveries.alias()
    newest = (
        select(func.max(other.c.seq))
        .where(other.c.conversion_id == back.c.conversion_id, other.c.destination_id == back.c.destination_id)
        .where(other.c.kind == _RETRACT)
        .scalar_subquery()
    )
    same = [
        getattr(before.c, name) == getattr(conversions.c, name) for name in ("source_id", "milestone", "scope_kind", "scope_key")
    ]
    return (
        select(deliveries.c.id, func.max(case((back.c.state.in_(_OPEN), 1), else_=0)).label("leaving"))
        .join(conversions, conversions.c.id == deliveries.c.conversion_id)
        .join(before, and_(*same, before.c.occurrence < conversions.c.occurrence, ~before.c.live))
        .join(sent, and_(sent.c.conversion_id == before.c.id, sent.c.destination_id == deliveries.c.destination_id))
        .join(back, and_(back.c.conversion_id == before.c.id, back.c.destination_id == deliveries.c.destination_id))
        .where(listed(deliveries.c.id, "ids", for_sqlite=for_sqlite))
        .where(sent.c.kind == _UPLOAD, sent.c.state.in_((*_DELIVERED, DeliveryState.UNCERTAIN.value)))
        .where(back.c.kind == _RETRACT, back.c.seq == newest, back.c.state.not_in(_DELIVERED))
        .group_by(deliveries.c.id)
    )
