"""SQL of retention: what is old enough to go, in batches bounded by keys. Takes the caller's connection; never commits."""

from collections.abc import Sequence

from sqlalchemy import LargeBinary, and_, bindparam, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, delete_rows
from app.db.tables import audit, conversions, deal_people, deliveries, identities, leads, records, tries
from app.ingest.repository import PURGED
from app.outbox.states import DeliveryState
from app.privacy.repository import LeadKeys, page_of_leads

# What a person may still have to decide about keeps what the platform said.
_OPEN = tuple(state.value for state in (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNCERTAIN))


async def purge_audit(connection: AsyncConnection, before_ms: int, limit: int) -> int:
    """Delete the oldest lines from before this instant; how many. Ids rise with time."""
    ids = list(await connection.scalars(select(audit.c.id).where(audit.c.at < before_ms).order_by(audit.c.id).limit(limit)))
    if ids:
        await connection.execute(delete(audit).where(among(connection, audit.c.id, ids)))
    return len(ids)


async def purge_tries(
    connection: AsyncConnection, before_ms: int, after: tuple[int, int], limit: int
) -> tuple[int, tuple[int, int] | None]:
    """Delete the next tries from before this instant, of deliveries that are settled; how many, and where to go on."""
    later = or_(tries.c.delivery_id > after[0], and_(tries.c.delivery_id == after[0], tries.c.n > after[1]))
    query = (
        select(tries.c.delivery_id, tries.c.n)
        .join(deliveries, deliveries.c.id == tries.c.delivery_id)
        .where(later, tries.c.at < before_ms, deliveries.c.state.not_in(_OPEN))
        .order_by(tries.c.delivery_id, tries.c.n)
        .limit(limit)
    )
    rows = [(row.delivery_id, row.n) for row in await connection.execute(query)]
    await delete_rows(connection, tries, [{"delivery_id": delivery_id, "n": n} for delivery_id, n in rows])
    return len(rows), rows[-1] if len(rows) == limit else None


async def next_leads(connection: AsyncConnection, after: int, limit: int) -> list[LeadKeys]:
    """The next leads, purged or not, without those that were forgotten."""
    return await page_of_leads(connection, after, limit)


async def stale_among(connection: AsyncConnection, lead_ids: Sequence[int], before_ms: int) -> list[int]:
    """Those of these leads that last changed before this instant, they and their deals, and of whom nothing waits to go."""
    own, on_deal = records.alias("own"), deal_people.c.person_id
    changed = select(records.c.id).where(records.c.lead_id == leads.c.id, records.c.modified_at >= before_ms)
    moved = (
        select(records.c.id)
        .join(deal_people, deal_people.c.deal_id == records.c.id)
        .join(own, own.c.id == on_deal)
        .where(own.c.lead_id == leads.c.id, records.c.modified_at >= before_ms)
    )
    owed = select(deliveries.c.id).join(conversions, conversions.c.id == deliveries.c.conversion_id)
    waiting = owed.where(conversions.c.lead_id == leads.c.id, deliveries.c.due_at.is_not(None))
    waiting_on_deals = (
        owed.join(deal_people, deal_people.c.deal_id == conversions.c.record_id)
        .join(own, own.c.id == on_deal)
        .where(own.c.lead_id == leads.c.id, deliveries.c.due_at.is_not(None))
    )
    query = select(leads.c.id).where(
        among(connection, leads.c.id, lead_ids),
        leads.c.created_at < before_ms,
        leads.c.raw_hmac.is_not(None),
        leads.c.raw_hmac != PURGED,
        *(~one.correlate(leads).exists() for one in (changed, moved, waiting, waiting_on_deals)),
    )
    return list(await connection.scalars(query.order_by(leads.c.id)))


async def purge_leads(connection: AsyncConnection, lead_ids: Sequence[int], empty: bytes) -> None:
    """Take their identities and the fields of their records; `empty` is a sealed nothing.

    The fingerprints stay: by them the same e-mail is known to have been counted, and whoever asks to be forgotten is found.
    """
    await connection.execute(delete(identities).where(among(connection, identities.c.lead_id, lead_ids)))
    nothing = bindparam("empty", empty, type_=LargeBinary)
    await connection.execute(update(records).where(among(connection, records.c.lead_id, lead_ids)).values(fields_sealed=nothing))
    purged = bindparam("purged", PURGED, type_=LargeBinary)
    await connection.execute(
        update(leads).where(among(connection, leads.c.id, lead_ids)).values(identity_id=None, raw_hmac=purged)
    )
