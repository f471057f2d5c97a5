"""SQL of finding: leads by fingerprint, by record and by conversion. Reads no sealed value."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among
from app.db.tables import conversions, leads, records
from app.reports.queries import survivor_of

Connection = AsyncConnection
MOST_REFS = 200


async def leads_by_key(
    connection: AsyncConnection, source_id: int, *, email_key: bytes | None, phone_key: bytes | None, limit: int
) -> list[int]:
    """Leads of a source whose fingerprint this is, oldest first."""
    same = [
        column == key for column, key in ((leads.c.email_hmac, email_key), (leads.c.phone_hmac, phone_key)) if key is not None
    ]
    statement = select(leads.c.id).where(leads.c.source_id == source_id, or_(*same)).order_by(leads.c.id).limit(limit)
    return list((await connection.execute(statement)).scalars())


async def refs_of_leads(connection: AsyncConnection, lead_ids: Sequence[int]) -> dict[int, list[str]]:
    """The refs of the leads' own records, merged ones left out."""
    found: dict[int, list[str]] = defaultdict(list)
    statement = (
        select(records.c.lead_id, records.c.object, records.c.external_id)
        .where(among(connection, records.c.lead_id, lead_ids), records.c.merged_into.is_(None))
        .order_by(records.c.id)
        .limit(MOST_REFS)
    )
    for row in await connection.execute(statement):
        found[row.lead_id].append(f"{row.object}:{row.external_id}")
    return found


async def lead_of_record(
    connection: AsyncConnection, source_id: int, kind: str, external_id: str
) -> tuple[int | None, str] | None:
    """The lead of a record (of a deal: whom it is told with) and the surviving record's ref."""
    own = (records.c.source_id == source_id, records.c.object == kind, records.c.external_id == external_id)
    record_id = await connection.scalar(select(records.c.id).where(*own))
    record = None if record_id is None else await survivor_of(connection, record_id)
    return None if record is None else (record["lead_id"], f"{record['object']}:{record['external_id']}")


async def lead_by_id(connection: AsyncConnection, source_id: int, lead_id: int) -> tuple[int | None, str] | None:
    """A lead by our own id."""
    statement = select(leads.c.id).where(leads.c.id == lead_id, leads.c.source_id == source_id)
    return None if await connection.scalar(statement) is None else (lead_id, str(lead_id))


async def lead_of_conversion(connection: AsyncConnection, source_id: int, uid: str) -> tuple[int | None, str] | None:
    """The lead of a conversion and the ref of the record that made it."""
    statement = (
        select(conversions.c.lead_id, records.c.object, records.c.external_id)
        .join(records, records.c.id == conversions.c.record_id)
        .where(conversions.c.uid == uid, conversions.c.source_id == source_id)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else (row.lead_id, f"{row.object}:{row.external_id}")
