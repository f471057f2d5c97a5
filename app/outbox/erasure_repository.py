"""SQL of what waits to be sent of people who asked to be forgotten. Takes the caller's connection; never commits."""

from collections.abc import Sequence

from sqlalchemy import and_, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among
from app.db.tables import conversions, deal_people, deliveries, records
from app.outbox.states import DeliveryState, Reason


async def erase_waiting(connection: AsyncConnection, lead_ids: Sequence[int], now_ms: int) -> int:
    """What waits to be sent of forgotten people alone goes no more; of a deal with another person on it, theirs goes on.

    What a platform may have after a lost answer is `uncertain`: that it may be counted must be heard, and it is not sent again.
    """
    others = (
        select(deal_people.c.deal_id)
        .join(records, records.c.id == deal_people.c.person_id)
        .where(records.c.lead_id.is_not(None), ~among(connection, records.c.lead_id, lead_ids))
        .where(deal_people.c.deal_id == conversions.c.record_id)
    )
    theirs = select(conversions.c.id).where(
        among(connection, conversions.c.lead_id, lead_ids), or_(conversions.c.scope_kind != "deal", ~exists(others))
    )
    bound = and_(deliveries.c.frozen, among(connection, deliveries.c.person_id, lead_ids))
    mine = (
        select(deal_people.c.deal_id)
        .join(records, records.c.id == deal_people.c.person_id)
        .where(among(connection, records.c.lead_id, lead_ids))
    )
    on_deals = select(conversions.c.id).where(conversions.c.record_id.in_(mine))
    near = select(conversions.c.id).where(among(connection, conversions.c.lead_id, lead_ids)).union(on_deals)
    waiting = (
        deliveries.c.state == DeliveryState.PENDING.value,
        deliveries.c.conversion_id.in_(near),
        or_(deliveries.c.conversion_id.in_(theirs), bound),
    )
    settled = {"due_at": None, "settled_at": now_ms, "identity_id": None}
    unknown = {"state": DeliveryState.UNCERTAIN.value, "reason": Reason.UNKNOWN_EFFECT.value, **settled}
    erased = {"state": DeliveryState.SKIPPED.value, "reason": Reason.ERASED.value, **settled}
    first = await connection.execute(
        update(deliveries).where(*waiting, deliveries.c.first_unknown_at.is_not(None)).values(unknown)
    )
    second = await connection.execute(update(deliveries).where(*waiting).values(erased))
    return first.rowcount + second.rowcount
