"""SQL of forgetting: who else is the same person, and what of them lies beside their records. Never commits."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among
from app.db.tables import conversions, deal_people, deliveries, destinations, identities, leads, records, sources, tries
from app.outbox.states import DeliveryState
from connectors.contract.records import ObjectKind, RecordRef

PAGE = 1000
# The platform has it, or may.
_SENT = (
    DeliveryState.SENDING,
    DeliveryState.ACCEPTED,
    DeliveryState.CONFIRMED,
    DeliveryState.UNMATCHED,
    DeliveryState.REJECTED,
    DeliveryState.UNCERTAIN,
)


@dataclass(frozen=True, slots=True)
class LeadKeys:
    """A lead with the fingerprints by which it is the same person as another."""

    id: int
    source_id: int
    email_hmac: bytes | None
    phone_hmac: bytes | None


@dataclass(frozen=True, slots=True)
class SentRow:
    """What one platform was told of a person: how many times of one milestone, first and last (epoch ms)."""

    destination: str
    platform: str
    milestone: str
    state: str
    count: int
    first_at: int | None
    last_at: int | None


async def keys_of_leads(connection: AsyncConnection, lead_ids: Sequence[int]) -> list[LeadKeys]:
    """Fingerprints of these leads."""
    return await _keys(connection, _KEYS.where(among(connection, leads.c.id, lead_ids)))


async def leads_of_emails(connection: AsyncConnection, email_keys: Sequence[bytes]) -> list[LeadKeys]:
    """The leads of all sources that have one of these e-mails."""
    if not email_keys:
        return []
    same = and_(leads.c.source_id.in_(select(sources.c.id)), among(connection, leads.c.email_hmac, email_keys))
    return await _keys(connection, _KEYS.where(same))


_KEYS = select(leads.c.id, leads.c.source_id, leads.c.email_hmac, leads.c.phone_hmac).order_by(leads.c.id)


async def _keys(connection: AsyncConnection, query: Select[tuple[int, int, bytes, bytes]]) -> list[LeadKeys]:
    rows = await connection.execute(query)
    return [LeadKeys(row.id, row.source_id, _bytes(row.email_hmac), _bytes(row.phone_hmac)) for row in rows]


def _bytes(value: bytes | None) -> bytes | None:
    return None if value is None else bytes(value)


async def page_of_leads(connection: AsyncConnection, after: int, limit: int) -> list[LeadKeys]:
    """The next leads, without those that were forgotten already."""
    return await _keys(connection, _KEYS.where(leads.c.id > after, leads.c.raw_hmac.is_not(None)).limit(limit))


async def records_of_leads(connection: AsyncConnection, lead_ids: Sequence[int]) -> list[tuple[int, int, RecordRef]]:
    """Every record of these leads, merged ones too: lead, source, ref."""
    query = select(records.c.lead_id, records.c.source_id, records.c.object, records.c.external_id).order_by(records.c.id)
    rows = await connection.execute(query.where(among(connection, records.c.lead_id, lead_ids)))
    return [(row.lead_id, row.source_id, RecordRef(ObjectKind(row.object), row.external_id)) for row in rows]


async def refs_of_leads(connection: AsyncConnection, lead_ids: Sequence[int]) -> dict[int, list[RecordRef]]:
    """Every record of these leads, by source."""
    found: dict[int, list[RecordRef]] = defaultdict(list)
    for _, source_id, ref in await records_of_leads(connection, lead_ids):
        found[source_id].append(ref)
    return found


async def sealed_of_leads(connection: AsyncConnection, lead_ids: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """Every identity that these leads ever had: lead, identity, sealed identifiers."""
    query = select(identities.c.lead_id, identities.c.id, identities.c.sealed).order_by(identities.c.id)
    rows = await connection.execute(query.where(among(connection, identities.c.lead_id, lead_ids)))
    return [(row.lead_id, row.id, bytes(row.sealed)) for row in rows]


async def sent_of(connection: AsyncConnection, lead_ids: Sequence[int]) -> list[SentRow]:
    """What platforms were told of these people, or may have been, by destination, milestone and state."""
    at = func.coalesce(deliveries.c.settled_at, deliveries.c.created_at)
    query = (
        select(
            destinations.c.name,
            destinations.c.kind,
            conversions.c.milestone,
            deliveries.c.state,
            func.count().label("many"),
            func.min(at).label("first_at"),
            func.max(at).label("last_at"),
        )
        .join(conversions, conversions.c.id == deliveries.c.conversion_id)
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .where(_theirs(connection, lead_ids), deliveries.c.state.in_([state.value for state in _SENT]))
        .group_by(destinations.c.name, destinations.c.kind, conversions.c.milestone, deliveries.c.state)
        .order_by(destinations.c.name, conversions.c.milestone, deliveries.c.state)
    )
    rows = await connection.execute(query)
    return [SentRow(row.name, row.kind, row.milestone, row.state, row.many, row.first_at, row.last_at) for row in rows]


async def strip_deliveries(connection: AsyncConnection, lead_ids: Sequence[int]) -> None:
    """What platforms answered of these people, and the keys made of their clicks, go; states, codes and counts stay."""
    mine = select(deliveries.c.id).join(conversions, conversions.c.id == deliveries.c.conversion_id)
    theirs = mine.where(_theirs(connection, lead_ids))
    await connection.execute(
        update(tries).where(tries.c.delivery_id.in_(theirs), tries.c.message.is_not(None)).values(message=None)
    )
    await connection.execute(
        update(deliveries).where(deliveries.c.id.in_(theirs), deliveries.c.vendor_key.is_not(None)).values(vendor_key=None)
    )


def _theirs(connection: AsyncConnection, lead_ids: Sequence[int]) -> ColumnElement[bool]:
    """Deliveries of whoever they were sent for; of what was sent for nobody yet, those of their own conversions."""
    on_deals = (
        select(deal_people.c.deal_id)
        .join(records, records.c.id == deal_people.c.person_id)
        .where(among(connection, records.c.lead_id, lead_ids))
    )
    near = or_(among(connection, conversions.c.lead_id, lead_ids), conversions.c.record_id.in_(on_deals))
    return and_(near, among(connection, func.coalesce(deliveries.c.person_id, conversions.c.lead_id), lead_ids))


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A record of a person, or a deal that they are on, with its sealed fields."""

    ref: str
    state: str
    sealed: bytes


async def sealed_records_of(connection: AsyncConnection, lead_id: int) -> list[SealedRecord]:
    """The records of a lead and its deals."""
    own = records.alias("own")
    on_deals = select(deal_people.c.deal_id).join(own, own.c.id == deal_people.c.person_id).where(own.c.lead_id == lead_id)
    query = (
        select(records.c.object, records.c.external_id, records.c.state, records.c.fields_sealed)
        .where(or_(records.c.lead_id == lead_id, records.c.id.in_(on_deals)))
        .order_by(records.c.id)
    )
    rows = await connection.execute(query)
    return [SealedRecord(f"{row.object}:{row.external_id}", row.state, bytes(row.fields_sealed)) for row in rows]


async def page_of_identities(connection: AsyncConnection, after: int, bits: int) -> list[tuple[int, int, bytes]]:
    """The next identities that hold one of these identifiers: lead, identity, sealed."""
    query = (
        select(identities.c.lead_id, identities.c.id, identities.c.sealed)
        .where(identities.c.id > after, identities.c.has.op("&")(bits) != 0)
        .order_by(identities.c.id)
        .limit(PAGE)
    )
    return [(row.lead_id, row.id, bytes(row.sealed)) for row in await connection.execute(query)]
