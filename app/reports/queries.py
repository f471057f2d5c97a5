"""SQL of traces: a constant number of statements whatever the size of a lead. Sealed fields are read to judge by, not to show."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, RowMapping, Select, Table, and_, case, func, null, select, union
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
    mapping_versions,
    records,
    sources,
    target_pauses,
    tries,
    uploads,
    valuations,
)
from connectors.contract.records import ObjectKind, RecordRef

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
    records.c.fields_sealed,
)


async def located(connection: AsyncConnection, wanted: RecordRef | int | str, source: str | None) -> Rows:
    """The sources that know a record's ref, a lead's id or a conversion's uid, each with its active mapping."""
    table, where = _place_of(wanted)
    lead_id = leads.c.id if table is leads else conversions.c.lead_id if table is conversions else null()
    record_id = records.c.id if table is records else conversions.c.record_id if table is conversions else null()
    statement = (
        select(
            sources.c.id,
            sources.c.name,
            sources.c.kind,
            sources.c.schema_json,
            mapping_versions.c.version,
            mapping_versions.c.document_json,
            lead_id.label("lead_id"),
            record_id.label("record_id"),
        )
        .join(table, table.c.source_id == sources.c.id)
        .join(mapping_versions, and_(mapping_versions.c.source_id == sources.c.id, mapping_versions.c.is_active), isouter=True)
        .where(where)
        .order_by(sources.c.name)
    )
    return await _all(connection, statement if source is None else statement.where(sources.c.name == source))


def _place_of(wanted: RecordRef | int | str) -> tuple[Table, ColumnElement[bool]]:
    match wanted:
        case RecordRef():
            return records, and_(records.c.object == wanted.kind.value, records.c.external_id == wanted.external_id)
        case int():
            return leads, leads.c.id == wanted
        case str():
            return conversions, conversions.c.uid == wanted


async def survivor_of(connection: AsyncConnection, record_id: int) -> RowMapping | None:
    """The record or, where it was merged away, the one it lives on in; `lead_id`: the lead that it is told with.

    A deal is told with the lead of its newest conversion, else its primary, else its earliest person.
    """
    chain = select(records.c.id, records.c.merged_into).where(records.c.id == record_id).cte("chain", recursive=True)
    chain = chain.union(select(records.c.id, records.c.merged_into).where(records.c.id == chain.c.merged_into))
    last = select(chain.c.id).where(chain.c.merged_into.is_(None)).limit(1).scalar_subquery()
    people = records.alias("people")
    converted = (
        select(conversions.c.lead_id)
        .where(conversions.c.record_id == records.c.id, conversions.c.lead_id.is_not(None))
        .order_by(conversions.c.occurred_at.desc(), conversions.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    person = (
        select(people.c.lead_id)
        .join(deal_people, deal_people.c.person_id == people.c.id)
        .where(deal_people.c.deal_id == records.c.id, people.c.lead_id.is_not(None))
        .order_by(deal_people.c.primary.desc(), people.c.created_at, people.c.id)
        .limit(1)
        .scalar_subquery()
    )
    told = case((records.c.object == ObjectKind.DEAL.value, func.coalesce(converted, person)), else_=records.c.lead_id)
    return await _one(
        connection,
        select(records.c.id, records.c.object, records.c.external_id, told.label("lead_id")).where(records.c.id == last),
    )


async def lead(connection: AsyncConnection, source_id: int, lead_id: int) -> RowMapping | None:
    """The lead with the bit mask of its newest identity and what it is worth; no fingerprint is read.

    `is_erased`, `is_purged`: its fields went with a request to be forgotten, or by retention.
    """
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
            leads.c.raw_hmac.is_(None).label("is_erased"),
            (func.length(leads.c.raw_hmac) == 0).label("is_purged"),
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
    parts = [] if lead_id is None else [mine, deals]
    if record_id is not None:  # a comparison with nothing would look at the whole table
        parts.append(select(records.c.id).where(records.c.id == record_id))
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
            records.c.created_at,
            records.c.modified_at,
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


async def conversions_of(
    connection: AsyncConnection,
    source_id: int,
    lead_id: int | None,
    record_ids: Sequence[int],
    by_company: tuple[Sequence[str], Sequence[str]],
) -> Rows:
    """The conversions of a lead, of these records, and of milestones that companies count for, by instant.

    `by_company`: the names of the milestones that count once a company, and the companies.
    """
    parts = [select(conversions.c.id).where(among(connection, conversions.c.record_id, record_ids))]
    if lead_id is not None:
        parts.append(select(conversions.c.id).where(conversions.c.lead_id == lead_id))
    milestones, companies = by_company
    if milestones and companies:
        is_of_company = and_(
            conversions.c.source_id == source_id,
            conversions.c.milestone.in_(milestones),
            conversions.c.scope_kind == "company",
            among(connection, conversions.c.scope_key, companies),
        )
        parts.append(select(conversions.c.id).where(is_of_company))
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
