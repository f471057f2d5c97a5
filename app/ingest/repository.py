"""SQL of ingest: records, entries, deal people, leads, identities. Bulk statements only; never commits."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row, among, insert_rows, update_rows
from app.db.tables import deal_people, entries, identities, leads, records
from connectors.contract.records import ObjectKind, RecordRef


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A row of `records`; `fields_sealed` is opened by the caller."""

    id: int
    ref: RecordRef
    lead_id: int | None
    merged_into: int | None
    state: str
    pipeline: str | None
    stage: str | None
    company_ref: str | None
    created_at: int | None
    modified_at: int
    fields_sealed: bytes


@dataclass(frozen=True, slots=True)
class DealPersonRow:
    """A row of `deal_people`."""

    deal_id: int
    person_id: int
    label: str
    is_primary: bool
    since: int


@dataclass(frozen=True, slots=True)
class LeadRow:
    """A row of `leads` as far as recording reads it."""

    id: int
    identity_id: int | None
    raw_hmac: bytes | None
    email_hmac: bytes | None
    phone_hmac: bytes | None
    consent: str
    created_at: int
    clicked_at: int | None
    platform: str | None
    campaign_id: str | None
    utm_campaign: str | None


_RECORD_COLUMNS = (
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


async def records_by_refs(connection: AsyncConnection, source_id: int, refs: Iterable[RecordRef]) -> dict[RecordRef, RecordRow]:
    """The stored records among these refs, in one statement."""
    by_kind: dict[ObjectKind, list[str]] = defaultdict(list)
    for ref in refs:
        by_kind[ref.kind].append(ref.external_id)
    if not by_kind:
        return {}
    wanted = or_(
        *(
            and_(records.c.object == kind.value, among(connection, records.c.external_id, ids))
            for kind, ids in sorted(by_kind.items())
        )
    )
    result = await connection.execute(select(*_RECORD_COLUMNS).where(records.c.source_id == source_id, wanted))
    return {row.ref: row for row in map(_record_row, result)}


async def versions(connection: AsyncConnection, source_id: int, kind: ObjectKind, ids: Sequence[str]) -> dict[str, int]:
    """External id -> modified_at (ms) of the live stored records among these."""
    result = await connection.execute(
        select(records.c.external_id, records.c.modified_at).where(
            records.c.source_id == source_id,
            records.c.object == kind.value,
            records.c.state == "live",
            among(connection, records.c.external_id, ids),
        )
    )
    return {row.external_id: row.modified_at for row in result}


async def records_by_ids_or_leads(
    connection: AsyncConnection, ids: Sequence[int], lead_ids: Sequence[int]
) -> dict[int, RecordRow]:
    """The records with these ids, and all records of these leads."""
    if not ids and not lead_ids:
        return {}
    found: dict[int, RecordRow] = {}
    for column, values in ((records.c.id, ids), (records.c.lead_id, lead_ids)):
        if values:
            result = await connection.execute(select(*_RECORD_COLUMNS).where(among(connection, column, values)))
            found.update((row.id, row) for row in map(_record_row, result))
    return found


def _record_row(row: object) -> RecordRow:
    values = row._mapping  # type: ignore[attr-defined]  # noqa: SLF001 SQLAlchemy's documented accessor
    return RecordRow(
        id=values["id"],
        ref=RecordRef(ObjectKind(values["object"]), values["external_id"]),
        lead_id=values["lead_id"],
        merged_into=values["merged_into"],
        state=values["state"],
        pipeline=values["pipeline"],
        stage=values["stage"],
        company_ref=values["company_ref"],
        created_at=values["created_at"],
        modified_at=values["modified_at"],
        fields_sealed=bytes(values["fields_sealed"]),
    )


async def upsert_records(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    """Insert or replace records; an older reading never replaces a newer one."""
    return await insert_rows(
        connection,
        records,
        rows,
        conflict=("source_id", "object", "external_id"),
        update=(
            "state",
            "pipeline",
            "stage",
            "company_ref",
            "created_at",
            "modified_at",
            "fields_sealed",
            "lead_id",
            "merged_into",
        ),
        where="excluded.modified_at >= records.modified_at",
    )


async def append_entries(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    """Add unseen entries; seen ones stay as they are."""
    return await insert_rows(connection, entries, rows, conflict=("record_id", "property", "entered_at", "value"))


async def entries_of(connection: AsyncConnection, record_ids: Sequence[int]) -> dict[int, list[Mapping[str, object]]]:
    """All entries by record, oldest first."""
    found: dict[int, list[Mapping[str, object]]] = defaultdict(list)
    if record_ids:
        result = await connection.execute(
            select(entries)
            .where(among(connection, entries.c.record_id, record_ids))
            .order_by(entries.c.record_id, entries.c.entered_at, entries.c.property, entries.c.value)
        )
        for row in result.mappings():
            found[row["record_id"]].append(dict(row))
    return found


async def people_of_deals_or_persons(
    connection: AsyncConnection, deal_ids: Sequence[int], person_ids: Sequence[int]
) -> list[DealPersonRow]:
    """Links of these deals, and links of these people."""
    found: dict[tuple[int, int], DealPersonRow] = {}
    for column, values in ((deal_people.c.deal_id, deal_ids), (deal_people.c.person_id, person_ids)):
        if values:
            result = await connection.execute(select(deal_people).where(among(connection, column, values)))
            for row in result.mappings():
                link = DealPersonRow(row["deal_id"], row["person_id"], row["label"], bool(row["primary"]), row["since"])
                found[link.deal_id, link.person_id] = link
    return list(found.values())


async def replace_deal_people(
    connection: AsyncConnection, rows: Sequence[Row], known: Sequence[DealPersonRow], read_deals: Iterable[int]
) -> set[int]:
    """Make the links of the deals that were read equal `rows`; returns the deals whose links changed."""
    read = set(read_deals)
    wanted = {(row["deal_id"], row["person_id"]): row for row in rows}
    stored = {(link.deal_id, link.person_id): link for link in known if link.deal_id in read}
    gone: dict[int, list[int]] = defaultdict(list)
    for deal_id, person_id in stored.keys() - wanted.keys():
        gone[deal_id].append(person_id)
    if gone:
        await connection.execute(
            delete(deal_people).where(
                or_(*(and_(deal_people.c.deal_id == deal, deal_people.c.person_id.in_(people)) for deal, people in gone.items()))
            )
        )
    fresh = [
        row
        for key, row in wanted.items()
        if key not in stored or (stored[key].label, stored[key].is_primary) != (row["label"], row["primary"])
    ]
    await insert_rows(connection, deal_people, fresh, conflict=("deal_id", "person_id"), update=("label", "primary"))
    return set(gone) | {int(str(row["deal_id"])) for row in fresh}


async def leads_by_ids(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, LeadRow]:
    """The leads with these ids."""
    if not ids:
        return {}
    result = await connection.execute(select(leads).where(among(connection, leads.c.id, ids)))
    return {row["id"]: _lead_row(dict(row)) for row in result.mappings()}


async def leads_by_email(connection: AsyncConnection, source_id: int, keys: Sequence[bytes]) -> dict[bytes, list[int]]:
    """Ids of the leads that have these e-mails (as HMAC)."""
    found: dict[bytes, list[int]] = defaultdict(list)
    if keys:
        result = await connection.execute(
            select(leads.c.id, leads.c.email_hmac).where(
                leads.c.source_id == source_id, among(connection, leads.c.email_hmac, keys)
            )
        )
        for row in result:
            found[bytes(row.email_hmac)].append(row.id)
    return found


def _lead_row(row: Mapping[str, object]) -> LeadRow:
    values = {name: row[name] for name in LeadRow.__slots__}
    for name in ("raw_hmac", "email_hmac", "phone_hmac"):
        value = values[name]
        values[name] = bytes(value) if isinstance(value, bytes | memoryview) else None
    return LeadRow(**values)  # type: ignore[arg-type]  # the table's column types are these


async def upsert_leads(connection: AsyncConnection, rows: Sequence[Row]) -> None:
    """Insert or replace leads; attribution columns are decided by the caller (frozen at first touch)."""
    changed = tuple(name for name in (rows[0] if rows else {}) if name not in ("id", "source_id", "created_at"))
    await insert_rows(connection, leads, rows, conflict=("id",), update=changed)


async def insert_identities(connection: AsyncConnection, rows: Sequence[Row]) -> None:
    """Add identities; they are never updated."""
    await insert_rows(connection, identities, rows)


async def merge_leads(connection: AsyncConnection, moves: Mapping[int, int]) -> None:
    """The people of merged records become the survivor's: records, identities, deal links; the old leads go."""
    pairs = [{"lead_id": old, "into": new} for old, new in moves.items()]
    if not pairs:
        return
    for old, new in moves.items():
        for table in (records, identities):
            await connection.execute(update(table).where(table.c.lead_id == old).values(lead_id=new))
    await connection.execute(delete(leads).where(among(connection, leads.c.id, list(moves))))


async def move_links(connection: AsyncConnection, moves: Mapping[int, int], links: Sequence[DealPersonRow]) -> None:
    """Deal links of merged contacts become the survivor's (record ids old -> new)."""
    moved = [link for link in links if link.person_id in moves]
    if not moved:
        return
    rows = [
        {
            "deal_id": link.deal_id,
            "person_id": moves[link.person_id],
            "label": link.label,
            "primary": link.is_primary,
            "since": link.since,
        }
        for link in moved
    ]
    unique = {(row["deal_id"], row["person_id"]): row for row in rows}
    await insert_rows(connection, deal_people, list(unique.values()), conflict=("deal_id", "person_id"))
    await connection.execute(delete(deal_people).where(among(connection, deal_people.c.person_id, list(moves))))


async def mark_merged(connection: AsyncConnection, moves: Mapping[int, int]) -> None:
    """Records merged away point at the survivor (record ids old -> new)."""
    rows = [{"id": old, "merged_into": new, "state": "merged"} for old, new in moves.items()]
    await update_rows(connection, records, rows, key=("id",))
