"""SQL of traces: a constant number of statements whatever the size of a lead; reads no sealed value."""

from collections.abc import Sequence

from sqlalchemy import RowMapping, Select, and_, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among
from app.db.tables import (
    accounts,
    conversions,
    deal_people,
    deliveries,
    destinations,
    entries,
    identities,
    leads,
    records,
    sources,
    target_pauses,
    tries,
    uploads,
    valuations,
)

Rows = Sequence[RowMapping]

_RECORD = (
    records.c.id,
    records.c.object,
    records.c.external_id,
    records.c.lead_id,
    records.c.merged_into,
    records.c.state,
    records.c.pipeline,
    records.c.stage,
    records.c.company_ref,
    records.c.created_at,
    records.c.modified_at,
)


async def source_named(connection: AsyncConnection, name: str) -> RowMapping | None:
    """The source, with its schema."""
    statement = select(sources.c.id, sources.c.name, sources.c.kind, sources.c.schema_json).where(sources.c.name == name)
    return await _one(connection, statement)


async def surviving_record(connection: AsyncConnection, source_id: int, kind: str, external_id: str) -> RowMapping | None:
    """The record of a ref or, where it was merged away, the one it lives on in."""
    chain = (
        select(records.c.id, records.c.merged_into)
        .where(records.c.source_id == source_id, records.c.object == kind, records.c.external_id == external_id)
        .cte("chain", recursive=True)
    )
    chain = chain.union(select(records.c.id, records.c.merged_into).where(records.c.id == chain.c.merged_into))
    last = select(chain.c.id).where(chain.c.merged_into.is_(None)).limit(1).scalar_subquery()
    return await _one(connection, select(*_RECORD).where(records.c.id == last))


async def conversion_with_uid(connection: AsyncConnection, source_id: int, uid: str) -> RowMapping | None:
    """The lead and record of a conversion."""
    statement = select(conversions.c.lead_id, conversions.c.record_id).where(
        conversions.c.source_id == source_id, conversions.c.uid == uid
    )
    return await _one(connection, statement)


async def lead_of_deal(connection: AsyncConnection, deal_id: int) -> int | None:
    """The lead that a deal is told with: of its newest conversion, else its primary, else its earliest person."""
    converted = (
        select(conversions.c.lead_id)
        .where(conversions.c.record_id == deal_id, conversions.c.lead_id.is_not(None))
        .order_by(conversions.c.occurred_at.desc(), conversions.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    person = (
        select(records.c.lead_id)
        .join(deal_people, deal_people.c.person_id == records.c.id)
        .where(deal_people.c.deal_id == deal_id, records.c.lead_id.is_not(None))
        .order_by(deal_people.c.primary.desc(), records.c.created_at, records.c.id)
        .limit(1)
        .scalar_subquery()
    )
    found: int | None = await connection.scalar(select(func.coalesce(converted, person)))
    return found


async def lead(connection: AsyncConnection, source_id: int, lead_id: int) -> RowMapping | None:
    """The lead with the bit mask of its newest identity and what it is worth; no fingerprint is read."""
    statement = (
        select(
            leads.c.id,
            leads.c.consent,
            leads.c.consent_why,
            leads.c.country,
            leads.c.clicked_at,
            leads.c.platform,
            leads.c.campaign_id,
            leads.c.utm_campaign,
            leads.c.dimensions_json,
            leads.c.created_at,
            identities.c.has,
            accounts.c.worth_micros,
            accounts.c.currency,
        )
        .join(identities, identities.c.id == leads.c.identity_id, isouter=True)
        .join(accounts, accounts.c.id == leads.c.id, isouter=True)
        .where(leads.c.id == lead_id, leads.c.source_id == source_id)
    )
    return await _one(connection, statement)


async def account_of_deal(connection: AsyncConnection, record_id: int) -> RowMapping | None:
    """What a deal without people is worth, None where it has no account."""
    statement = select(accounts.c.worth_micros, accounts.c.currency).where(accounts.c.id == record_id)
    return await _one(connection, statement)


async def records_around(connection: AsyncConnection, lead_id: int | None, record_id: int | None) -> Rows:
    """The records of a lead, the deals they are on, and one record more."""
    mine = select(records.c.id).where(records.c.lead_id == lead_id)
    deals = select(deal_people.c.deal_id).where(deal_people.c.person_id.in_(mine))
    parts = [select(records.c.id).where(records.c.id == record_id)]
    if lead_id is not None:
        parts += [mine, deals]
    wanted = union(*parts).subquery()
    statement = (
        select(*_RECORD).join(wanted, wanted.c.id == records.c.id).order_by(records.c.object, records.c.created_at, records.c.id)
    )
    return await _all(connection, statement)


async def links_of(connection: AsyncConnection, deal_ids: Sequence[int]) -> Rows:
    """The people on these deals, with the refs of their records."""
    statement = (
        select(
            deal_people.c.deal_id,
            deal_people.c.label,
            deal_people.c.primary,
            records.c.object,
            records.c.external_id,
            records.c.lead_id,
        )
        .join(records, records.c.id == deal_people.c.person_id)
        .where(among(connection, deal_people.c.deal_id, deal_ids))
        .order_by(deal_people.c.deal_id, deal_people.c.primary.desc(), records.c.created_at, records.c.id)
    )
    return await _all(connection, statement)


async def entries_of(connection: AsyncConnection, record_ids: Sequence[int]) -> Rows:
    """All entries of these records, oldest first."""
    statement = (
        select(entries)
        .where(among(connection, entries.c.record_id, record_ids))
        .order_by(entries.c.entered_at, entries.c.record_id, entries.c.property, entries.c.value)
    )
    return await _all(connection, statement)


async def conversions_of(connection: AsyncConnection, lead_id: int | None, record_ids: Sequence[int]) -> Rows:
    """The conversions of a lead and of these records, in the order of their instants."""
    parts = [select(conversions.c.id).where(among(connection, conversions.c.record_id, record_ids))]
    if lead_id is not None:
        parts.append(select(conversions.c.id).where(conversions.c.lead_id == lead_id))
    wanted = union(*parts).subquery()
    statement = (
        select(conversions).join(wanted, wanted.c.id == conversions.c.id).order_by(conversions.c.occurred_at, conversions.c.id)
    )
    return await _all(connection, statement)


async def valuations_of(connection: AsyncConnection, conversion_ids: Sequence[int]) -> Rows:
    """All valuations of these conversions, oldest first."""
    statement = (
        select(valuations)
        .where(among(connection, valuations.c.conversion_id, conversion_ids))
        .order_by(valuations.c.conversion_id, valuations.c.seq)
    )
    return await _all(connection, statement)


async def deliveries_of(connection: AsyncConnection, conversion_ids: Sequence[int]) -> Rows:
    """All deliveries of these conversions with what stops their destination or target, and when a verdict is asked for."""
    statement = (
        select(
            deliveries,
            destinations.c.name.label("destination"),
            destinations.c.mode.label("destination_mode"),
            destinations.c.pause_reason,
            destinations.c.paused_until,
            target_pauses.c.code.label("target_pause_code"),
            uploads.c.verdict_due_at,
        )
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .join(uploads, uploads.c.id == deliveries.c.upload_id, isouter=True)
        .join(
            target_pauses,
            and_(target_pauses.c.destination_id == deliveries.c.destination_id, target_pauses.c.target == deliveries.c.target),
            isouter=True,
        )
        .where(among(connection, deliveries.c.conversion_id, conversion_ids))
        .order_by(deliveries.c.conversion_id, destinations.c.name, deliveries.c.seq, deliveries.c.kind, deliveries.c.id)
    )
    return await _all(connection, statement)


async def tries_of(connection: AsyncConnection, delivery_ids: Sequence[int]) -> Rows:
    """All stored tries of these deliveries, oldest first."""
    statement = select(tries).where(among(connection, tries.c.delivery_id, delivery_ids)).order_by(tries.c.delivery_id, tries.c.n)
    return await _all(connection, statement)


async def _one(connection: AsyncConnection, statement: Select[*tuple[object, ...]]) -> RowMapping | None:
    return (await connection.execute(statement)).mappings().one_or_none()


async def _all(connection: AsyncConnection, statement: Select[*tuple[object, ...]]) -> Rows:
    return (await connection.execute(statement)).mappings().all()
