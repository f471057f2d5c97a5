"""First half of a recording: a page of records becomes rows of records, entries and deal people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row
from app.db.ids import take_ids
from app.db.instants import optional_ms, to_ms
from app.ingest import repository
from app.ingest.context import SourceContext, people_on_deals
from app.ingest.repository import RecordRow
from app.secrets import Keyring
from connectors.contract.records import ObjectKind, Record, RecordRef, RecordState

PERSON_KINDS = frozenset({ObjectKind.CONTACT, ObjectKind.LEAD})


@dataclass(slots=True)
class Touched:
    """What a page changed: record ids by role, and merges as old -> new ids."""

    deals: set[int] = field(default_factory=set)
    persons: set[int] = field(default_factory=set)
    merged_records: dict[int, int] = field(default_factory=dict)
    merged_leads: dict[int, int] = field(default_factory=dict)
    stored: int = 0
    new_entries: int = 0


@dataclass(slots=True)
class _Plan:
    records: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    links: list[Row] = field(default_factory=list)
    read_deals: set[int] = field(default_factory=set)


class RecordStore:
    """Writes records; the caller owns the transaction."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    async def store(self, connection: AsyncConnection, source: SourceContext, page: Sequence[Record], now: datetime) -> Touched:
        """Upsert what is newer, append unseen entries, make deal people equal what was read."""
        newest = _newest(page)
        known = await repository.records_by_refs(connection, source.id, _refs_in(newest))
        linked = people_on_deals(newest)
        kept = [record for record in newest if _is_wanted(record, source, known, linked)]
        fresh = [record.ref for record in kept if record.ref not in known]
        first_id = await take_ids(connection, 2 * len(fresh)) if fresh else 0
        ids = {ref: row.id for ref, row in known.items()} | {ref: first_id + 2 * place for place, ref in enumerate(fresh)}
        touched = Touched(stored=len(kept))
        plan = _Plan()
        for record in kept:
            self._plan_record(plan, touched, source, record, known, ids, now)
        await repository.upsert_records(connection, plan.records)
        touched.new_entries = await repository.append_entries(connection, plan.entries)
        await self._store_links(connection, plan, touched)
        return touched

    def _plan_record(
        self,
        plan: _Plan,
        touched: Touched,
        source: SourceContext,
        record: Record,
        known: dict[RecordRef, RecordRow],
        ids: dict[RecordRef, int],
        now: datetime,
    ) -> None:
        record_id = ids[record.ref]
        stored = known.get(record.ref)
        role = touched.deals if record.ref.kind is ObjectKind.DEAL else touched.persons
        if record.ref.kind is not ObjectKind.COMPANY:
            role.add(record_id)
        lead_id = None
        if record.ref.kind in PERSON_KINDS:
            lead_id = stored.lead_id if stored else record_id + 1
        plan.records.append(self._row(source, record, record_id, lead_id, stored))
        plan.entries.extend(_entry_rows(record_id, record))
        for old in _merged_away(record, known):
            touched.merged_records[old.id] = record_id
            if old.lead_id is not None and lead_id is not None and old.lead_id != lead_id:
                touched.merged_leads[old.lead_id] = lead_id
        if record.people is not None:
            plan.read_deals.add(record_id)
            plan.links.extend(_link_rows(record_id, record, ids, touched, to_ms(now)))

    def _row(self, source: SourceContext, record: Record, record_id: int, lead_id: int | None, stored: RecordRow | None) -> Row:
        fields: dict[str, str | None] = dict(record.fields)
        sealed = self._keyring.seal(orjson.dumps(fields))
        if record.state is RecordState.DELETED and stored is not None:
            sealed = stored.fields_sealed
        return {
            "id": record_id,
            "source_id": source.id,
            "object": record.ref.kind.value,
            "external_id": record.ref.external_id,
            "lead_id": lead_id,
            "merged_into": None,
            "state": record.state.value,
            "pipeline": record.pipeline if record.pipeline is not None or stored is None else stored.pipeline,
            "stage": record.stage if record.stage is not None or stored is None else stored.stage,
            "company_ref": record.company.external_id if record.company else stored.company_ref if stored else None,
            "created_at": optional_ms(record.created_at) if record.created_at or stored is None else stored.created_at,
            # A deletion keeps the CRM's last modification, so that a restored record is not older than its deletion.
            "modified_at": stored.modified_at if stored and record.state is not RecordState.LIVE else to_ms(record.modified_at),
            "fields_sealed": sealed,
        }

    async def _store_links(self, connection: AsyncConnection, plan: _Plan, touched: Touched) -> None:
        persons = list(touched.merged_records)
        known = await repository.people_of_deals_or_persons(connection, list(plan.read_deals), persons)
        if plan.read_deals:
            await repository.replace_deal_people(connection, plan.links, known, plan.read_deals)
        if touched.merged_records:
            moving = [link for link in known if link.deal_id not in plan.read_deals]
            await repository.move_links(connection, touched.merged_records, moving)
            await repository.mark_merged(connection, touched.merged_records)
            await repository.merge_leads(connection, touched.merged_leads)
            touched.deals.update(link.deal_id for link in moving if link.person_id in touched.merged_records)


def _newest(page: Sequence[Record]) -> list[Record]:
    """One reading a record: the newest modification wins, entries of all readings are kept."""
    best: dict[RecordRef, Record] = {}
    for record in page:
        before = best.get(record.ref)
        if before is None or record.modified_at >= before.modified_at:
            best[record.ref] = record
    return list(best.values())


def _refs_in(page: Sequence[Record]) -> set[RecordRef]:
    refs = {record.ref for record in page}
    for record in page:
        refs.update(link.ref for link in record.people or ())
        refs.update(RecordRef(record.ref.kind, old) for old in record.merged_ids)
    return refs


def _is_wanted(record: Record, source: SourceContext, known: dict[RecordRef, RecordRow], linked: frozenset[object]) -> bool:
    """A person is stored only with a mapped entry, a creation after `start`, or a deal; a deleted stranger never."""
    stored = known.get(record.ref)
    if stored is not None:
        return stored.state != RecordState.MERGED.value
    if record.state is not RecordState.LIVE:
        return False
    if record.ref.kind not in PERSON_KINDS:
        return True
    if source.makes_a_milestone(record):
        return True
    if any(RecordRef(record.ref.kind, old) in known for old in record.merged_ids):
        return True
    return record.ref in linked


def _entry_rows(record_id: int, record: Record) -> list[Row]:
    unique = {(entry.property, to_ms(entry.entered_at), entry.value): entry for entry in record.entries}
    return [
        {
            "record_id": record_id,
            "property": name,
            "entered_at": at,
            "value": value,
            "pipeline": entry.pipeline,
            "origin": entry.origin.value,
            "approximate": entry.is_approximate,
            "vendor_ref": entry.vendor_ref,
        }
        for (name, at, value), entry in unique.items()
    ]


def _merged_away(record: Record, known: dict[RecordRef, RecordRow]) -> list[RecordRow]:
    """Stored records that this one swallowed and that do not yet say so."""
    candidates = (known.get(RecordRef(record.ref.kind, old)) for old in record.merged_ids if old != record.ref.external_id)
    return [row for row in candidates if row is not None and row.merged_into is None]


def _link_rows(record_id: int, record: Record, ids: dict[RecordRef, int], touched: Touched, now_ms: int) -> list[Row]:
    rows: dict[int, Row] = {}
    for link in record.people or ():
        person_id = ids.get(link.ref)
        if person_id is None:
            continue
        person_id = touched.merged_records.get(person_id, person_id)
        touched.persons.add(person_id)
        rows[person_id] = {
            "deal_id": record_id,
            "person_id": person_id,
            "label": "\n".join(link.labels),
            "primary": link.is_primary,
            "since": now_ms,
        }
    return list(rows.values())
