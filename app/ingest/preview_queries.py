"""SQL of previews: deliveries, identifiers and names of a few records, as a rehearsed recording left them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among
from app.db.tables import deliveries, identities, leads, records
from connectors.contract.records import ObjectKind, RecordRef


@dataclass(frozen=True, slots=True)
class OwedRow:
    """A delivery in brief; `due_at` None: it waits for nothing."""

    id: int
    conversion_id: int
    destination_id: int
    kind: str
    reason: str
    due_at: int | None


async def deliveries_of(connection: AsyncConnection, conversion_ids: Sequence[int]) -> list[OwedRow]:
    """All deliveries of these conversions."""
    columns = [deliveries.c[name] for name in OwedRow.__slots__]
    rows = await connection.execute(select(*columns).where(among(connection, deliveries.c.conversion_id, conversion_ids)))
    return [OwedRow(**row) for row in rows.mappings()]


async def identifier_masks(connection: AsyncConnection, lead_ids: Sequence[int]) -> list[int]:
    """Which identifiers each of these people has now, as a bit mask."""
    query = select(identities.c.has).select_from(leads.outerjoin(identities, identities.c.id == leads.c.identity_id))
    rows = await connection.scalars(query.where(among(connection, leads.c.id, lead_ids)))
    return [mask or 0 for mask in rows]


async def refs_of(connection: AsyncConnection, record_ids: Sequence[int]) -> dict[int, RecordRef]:
    """By row id, what the CRM calls these records."""
    query = select(records.c.id, records.c.object, records.c.external_id).where(among(connection, records.c.id, record_ids))
    return {row.id: RecordRef(ObjectKind(row.object), row.external_id) for row in await connection.execute(query)}
