"""SQL of ingest: records, entries, deal people, leads, identities. Bulk statements only; never commits."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row, delete_rows, insert_rows, is_sqlite, listed, lists, update_rows
from app.db.tables import deal_people, entries, identities, leads, records
from app.mapping.opening import RecordRow
from connectors.contract.records import ObjectKind, RecordRef

# The modification of a record that is only known by its name: any reading of it is newer.
NEVER_READ = 0
# The raw fingerprint of a lead whose fields went with time: another than that of any reading, and not that of a forgotten one.
PURGED = b""


def is_unread(row: RecordRow) -> bool:
    """True where nothing but the record's name is known, and the CRM may show it."""
    return row.modified_at == NEVER_READ and row.state == "live"


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


_LEAD_COLUMNS = {name: leads.c[name] for name in LeadRow.__slots__}
_OWN = records.alias("own")


async def records_by_refs(connection: AsyncConnection, source_id: int, refs: Iterable[RecordRef]) -> dict[RecordRef, RecordRow]:
    """The stored records among these refs, in one statement."""
    by_kind: dict[ObjectKind, list[str]] = defaultdict(list)
    for ref in refs:
        by_kind[ref.kind].append(ref.external_id)
    if not by_kind:
        return {}
    query = _by_refs(tuple(sorted(by_kind)), for_sqlite=is_sqlite(connection))
    ids = lists(connection, **{f"{kind}_ids": ids for kind, ids in by_kind.items()})
    result = await connection.execute(query, {"source_id": source_id, **ids})
    return {row.ref: row for row in map(_record_row, result)}


# Statements are built once: building one costs more than running it.
@lru_cache(maxsize=32)
def _by_refs(kinds: tuple[ObjectKind, ...], *, for_sqlite: bool) -> Select[Any]:
    wanted = (
        and_(records.c.object == kind.value, listed(records.c.external_id, f"{kind}_ids", for_sqlite=for_sqlite))
        for kind in kinds
    )
    return select(*_RECORD_COLUMNS).where(records.c.source_id == bindparam("source_id"), or_(*wanted))


async def versions(connection: AsyncConnection, source_id: int, kind: ObjectKind, ids: Sequence[str]) -> dict[str, int]:
    """External id -> modified_at (ms) of the stored records among these that the CRM shows and that were read."""
    given = {"source_id": source_id, "kind": kind.value, **lists(connection, ids=ids)}
    result = await connection.execute(_versions(for_sqlite=is_sqlite(connection)), given)
    return {row.external_id: row.modified_at for row in result}


@lru_cache
def _versions(*, for_sqlite: bool) -> Select[Any]:
    return select(records.c.external_id, records.c.modified_at).where(
        records.c.source_id == bindparam("source_id"),
        records.c.object == bindparam("kind"),
        records.c.state.in_(("live", "converted")),
        records.c.modified_at != NEVER_READ,
        listed(records.c.external_id, "ids", for_sqlite=for_sqlite),
    )


async def converted_among(connection: AsyncConnection, source_id: int, kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
    """Which of these records went on as records of another kind."""
    given = {"source_id": source_id, "kind": kind.value, **lists(connection, ids=ids)}
    return frozenset(await connection.scalars(_converted(for_sqlite=is_sqlite(connection)), given))


@lru_cache
def _converted(*, for_sqlite: bool) -> Select[Any]:
    return select(records.c.external_id).where(
        records.c.source_id == bindparam("source_id"),
        records.c.object == bindparam("kind"),
        records.c.state == "converted",
        listed(records.c.external_id, "ids", for_sqlite=for_sqlite),
    )


async def records_around(connection: AsyncConnection, ids: Sequence[int]) -> tuple[dict[int, RecordRow], dict[int, LeadRow]]:
    """The records with these ids, all records of their leads, and all that were merged into them; with their leads."""
    if not ids:
        return {}, {}
    found: dict[int, RecordRow] = {}
    known: dict[int, LeadRow] = {}
    for row in await connection.execute(_around(for_sqlite=is_sqlite(connection)), lists(connection, ids=ids)):
        record = _record_row(row)
        found[record.id] = record
        values = row._mapping  # noqa: SLF001 SQLAlchemy's documented accessor
        if values["lead_id"] is not None and values["id_of_lead"] is not None and values["lead_id"] not in known:
            known[values["lead_id"]] = _lead_row({name: values[f"{name}_of_lead"] for name in _LEAD_COLUMNS})
    return found, known


@lru_cache
def _around(*, for_sqlite: bool) -> Select[Any]:
    def among_ids(column: ColumnElement[int]) -> ColumnElement[bool]:
        return listed(column, "ids", for_sqlite=for_sqlite)

    mate = records.alias("mate")
    wanted = union(
        select(records.c.id).where(among_ids(records.c.id)),
        select(mate.c.id).select_from(_OWN.join(mate, mate.c.lead_id == _OWN.c.lead_id)).where(among_ids(_OWN.c.id)),
        select(records.c.id).where(records.c.merged_into.is_not(None), among_ids(records.c.merged_into)),
    ).cte("wanted")
    return (
        select(*_RECORD_COLUMNS, *(column.label(f"{name}_of_lead") for name, column in _LEAD_COLUMNS.items()))
        .select_from(wanted.join(records, records.c.id == wanted.c.id).outerjoin(leads, leads.c.id == records.c.lead_id))
        .order_by(records.c.id)
    )


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


async def upsert_records(connection: AsyncConnection, source_id: int, rows: Sequence[RecordRow]) -> int:
    """Insert or replace records; an older reading never replaces a newer one."""
    return await insert_rows(
        connection,
        records,
        [
            {
                "id": row.id,
                "source_id": source_id,
                "object": row.ref.kind.value,
                "external_id": row.ref.external_id,
                "lead_id": row.lead_id,
                "merged_into": row.merged_into,
                "state": row.state,
                "pipeline": row.pipeline,
                "stage": row.stage,
                "company_ref": row.company_ref,
                "created_at": row.created_at,
                "modified_at": row.modified_at,
                "fields_sealed": row.fields_sealed,
            }
            for row in rows
        ],
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
        query = _entries(for_sqlite=is_sqlite(connection))
        for row in (await connection.execute(query, lists(connection, ids=record_ids))).mappings():
            found[row["record_id"]].append(dict(row))
    return found


@lru_cache
def _entries(*, for_sqlite: bool) -> Select[Any]:
    query = select(entries).where(listed(entries.c.record_id, "ids", for_sqlite=for_sqlite))
    return query.order_by(entries.c.record_id, entries.c.entered_at, entries.c.property, entries.c.value)


@dataclass(frozen=True, slots=True)
class NewestEntry:
    """The newest stored entry of a property of a record."""

    external_id: str
    property: str
    value: str
    entered_at: int


async def newest_entries(connection: AsyncConnection, source_id: int, kind: ObjectKind, ids: Sequence[str]) -> list[NewestEntry]:
    """The newest entry of each property of these records, in one statement."""
    given = {"source_id": source_id, "kind": kind.value, **lists(connection, ids=ids)}
    result = await connection.execute(_newest(for_sqlite=is_sqlite(connection)), given)
    return [NewestEntry(row.external_id, row.property, row.value, row.entered_at) for row in result]


@lru_cache
def _newest(*, for_sqlite: bool) -> Select[Any]:
    later = func.row_number().over(
        partition_by=(entries.c.record_id, entries.c.property), order_by=(entries.c.entered_at.desc(), entries.c.value.desc())
    )
    ranked = (
        select(records.c.external_id, entries.c.property, entries.c.value, entries.c.entered_at, later.label("place"))
        .join(entries, entries.c.record_id == records.c.id)
        .where(
            records.c.source_id == bindparam("source_id"),
            records.c.object == bindparam("kind"),
            listed(records.c.external_id, "ids", for_sqlite=for_sqlite),
        )
        .subquery()
    )
    columns = (ranked.c.external_id, ranked.c.property, ranked.c.value, ranked.c.entered_at)
    return select(*columns).where(ranked.c.place == 1)


async def links_around(connection: AsyncConnection, deal_ids: Sequence[int], person_ids: Sequence[int]) -> list[DealPersonRow]:
    """Links of these deals and of the deals of these people, and of all deals of the people on any of them."""
    if not deal_ids and not person_ids:
        return []
    given = lists(connection, deal_ids=deal_ids, person_ids=person_ids)
    result = await connection.execute(_links(for_sqlite=is_sqlite(connection)), given)
    return [
        DealPersonRow(row["deal_id"], row["person_id"], row["label"], bool(row["primary"]), row["since"])
        for row in result.mappings()
    ]


@lru_cache
def _links(*, for_sqlite: bool) -> Select[Any]:
    link = deal_people
    mine = union(
        select(link.c.deal_id).where(listed(link.c.deal_id, "deal_ids", for_sqlite=for_sqlite)),
        select(link.c.deal_id).where(link.c.person_id.in_(_mates(listed(_OWN.c.id, "person_ids", for_sqlite=for_sqlite)))),
    ).cte("mine")
    people = select(link.c.person_id).where(link.c.deal_id.in_(select(mine.c.deal_id))).cte("people")
    theirs = select(link.c.deal_id).where(link.c.person_id.in_(_mates(_OWN.c.id.in_(select(people.c.person_id)))))
    query = select(link).where(or_(link.c.deal_id.in_(select(mine.c.deal_id)), link.c.deal_id.in_(theirs)))
    return query.order_by(link.c.deal_id, link.c.person_id)


def _mates(of: ColumnElement[bool]) -> Select[tuple[int]]:
    """All records of the leads of these records."""
    mate = records.alias()
    return select(mate.c.id).select_from(_OWN.join(mate, mate.c.lead_id == _OWN.c.lead_id)).where(of)


async def write_links(connection: AsyncConnection, gone: Sequence[tuple[int, int]], fresh: Sequence[DealPersonRow]) -> None:
    """Remove the links (deal, person) that are gone, add or change the fresh ones."""
    await delete_rows(connection, deal_people, [{"deal_id": deal, "person_id": person} for deal, person in gone])
    rows = [
        {"deal_id": one.deal_id, "person_id": one.person_id, "label": one.label, "primary": one.is_primary, "since": one.since}
        for one in fresh
    ]
    await insert_rows(connection, deal_people, rows, conflict=("deal_id", "person_id"), update=("label", "primary"))


def _lead_row(row: Mapping[str, object]) -> LeadRow:
    values = dict(row)
    for name in ("raw_hmac", "email_hmac", "phone_hmac"):
        value = values[name]
        values[name] = bytes(value) if isinstance(value, bytes | memoryview) else None
    return LeadRow(**values)  # type: ignore[arg-type]  # the table's column types are these


async def upsert_leads(connection: AsyncConnection, rows: Sequence[Row]) -> None:
    """Insert or replace leads; attribution columns are decided by the caller (frozen at first touch)."""
    changed = tuple(name for name in (rows[0] if rows else {}) if name not in ("id", "source_id"))
    await insert_rows(connection, leads, rows, conflict=("id",), update=changed)


async def insert_identities(connection: AsyncConnection, rows: Sequence[Row]) -> None:
    """Add identities; they are never updated."""
    await insert_rows(connection, identities, rows)


async def merge_leads(connection: AsyncConnection, moves: Mapping[int, int]) -> None:
    """The identities of merged leads become the survivor's, so that they can be forgotten with it; the old leads go."""
    rows = [{"_lead_id": old, "lead_id": new} for old, new in moves.items()]
    await update_rows(connection, identities, rows, key=(), where='t.lead_id = x."_lead_id"')
    await delete_rows(connection, leads, [{"id": old} for old in moves])
