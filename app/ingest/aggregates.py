"""Load, in a constant number of statements, every person and deal whose conversions a page may change."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.instants import from_ms, optional_from_ms
from app.ingest import repository
from app.ingest.repository import DealPersonRow, LeadRow, RecordRow
from app.ingest.storing import PERSON_KINDS, Touched
from app.mapping.aggregate import Deal, DealPerson, KnownRecord, Person
from app.mapping.engine import principal
from app.secrets import Keyring
from connectors.contract.records import Entry, EntryOrigin, RecordState


@dataclass(slots=True)
class Neighbourhood:
    """The touched persons and deals with all that bears on them. Keys are row ids."""

    records: dict[int, RecordRow]
    opened: dict[int, KnownRecord]
    leads: dict[int, LeadRow]
    links: dict[int, list[DealPersonRow]] = field(default_factory=dict)
    touched_leads: set[int] = field(default_factory=set)
    work_leads: set[int] = field(default_factory=set)
    orphan_deals: set[int] = field(default_factory=set)
    prefer: Sequence[str] = ()

    def person_records(self, lead_id: int) -> tuple[KnownRecord, ...]:
        """The records of a lead: survivors first, newest modification first within each."""
        mine = [self.opened[row.id] for row in self.records.values() if row.lead_id == lead_id and row.ref.kind in PERSON_KINDS]
        return tuple(sorted(mine, key=lambda known: (known.state is RecordState.MERGED, -known.modified_at.timestamp())))

    def person(self, lead_id: int, email_key: bytes | None) -> Person:
        """The engine's view of a lead."""
        held = self.person_records(lead_id)
        created = min((record.created_at or record.modified_at for record in held), default=from_ms(0))
        return Person(lead_id=lead_id, created_at=created, records=held, email_key=email_key)

    def deal(self, deal_id: int) -> Deal:
        """The engine's view of a deal with its people."""
        return Deal(record=self.opened[deal_id], people=tuple(self._deal_people(deal_id)))

    def principal_of(self, deal_id: int) -> int | None:
        """The lead whose aggregate the deal belongs to."""
        chosen = principal(self._deal_people(deal_id), self.prefer)
        return None if chosen is None else chosen.lead_id

    def _deal_people(self, deal_id: int) -> list[DealPerson]:
        people = []
        for link in self.links.get(deal_id, ()):
            row = self.records.get(link.person_id)
            if row is None or row.lead_id is None:
                continue
            people.append(
                DealPerson(
                    lead_id=row.lead_id,
                    created_at=from_ms(row.created_at if row.created_at is not None else row.modified_at),
                    ref=row.ref,
                    labels=tuple(label for label in link.label.split("\n") if label),
                    is_primary=link.is_primary,
                )
            )
        return people

    def deals_by_lead(self) -> dict[int, list[int]]:
        """Deals by principal, for the leads that are worked on."""
        found: dict[int, list[int]] = defaultdict(list)
        for deal_id in self.links:
            lead_id = self.principal_of(deal_id)
            if lead_id in self.work_leads and lead_id is not None:
                found[lead_id].append(deal_id)
        return found


async def load_neighbourhood(
    connection: AsyncConnection, keyring: Keyring, touched: Touched, prefer: Sequence[str]
) -> Neighbourhood:
    """Touched people and deals, the principals of those deals, and all deals of these people."""
    links = await repository.people_of_deals_or_persons(connection, list(touched.deals), list(touched.persons))
    first_deals = touched.deals | {link.deal_id for link in links}
    others = {link.person_id for link in links} - touched.persons
    missing_deals = first_deals - touched.deals
    if others or missing_deals:
        links = _joined(links, await repository.people_of_deals_or_persons(connection, list(missing_deals), list(others)))
        further = {link.deal_id for link in links} - first_deals
        if further:
            links = _joined(links, await repository.people_of_deals_or_persons(connection, list(further), ()))
    deal_ids = first_deals | {link.deal_id for link in links}
    person_ids = touched.persons | {link.person_id for link in links}
    rows = await repository.records_by_ids_or_leads(connection, list(deal_ids | person_ids), ())
    lead_ids = {row.lead_id for row in rows.values() if row.lead_id is not None}
    rows |= await repository.records_by_ids_or_leads(connection, (), list(lead_ids))
    history = await repository.entries_of(connection, list(rows))
    near = Neighbourhood(
        records=rows,
        opened=_open_all(keyring, rows, history),
        leads=await repository.leads_by_ids(connection, list(lead_ids)),
        prefer=prefer,
    )
    near.links = {deal_id: [] for deal_id in deal_ids if deal_id in rows}
    for link in links:
        if link.deal_id in near.links:
            near.links[link.deal_id].append(link)
    _choose_work(near, touched, first_deals)
    return near


def _choose_work(near: Neighbourhood, touched: Touched, first_deals: Iterable[int]) -> None:
    near.touched_leads = {
        row.lead_id for person in touched.persons if (row := near.records.get(person)) is not None and row.lead_id is not None
    }
    near.work_leads = set(near.touched_leads)
    for deal_id in first_deals:
        if deal_id not in near.links:
            continue
        lead_id = near.principal_of(deal_id)
        if lead_id is None:
            near.orphan_deals.add(deal_id)
        else:
            near.work_leads.add(lead_id)


def _joined(links: Iterable[DealPersonRow], more: Iterable[DealPersonRow]) -> list[DealPersonRow]:
    return list({(link.deal_id, link.person_id): link for link in (*links, *more)}.values())


def _open_all(
    keyring: Keyring, rows: Mapping[int, RecordRow], history: Mapping[int, list[Mapping[str, object]]]
) -> dict[int, KnownRecord]:
    swallowed: dict[int, list[str]] = defaultdict(list)
    for row in rows.values():
        if row.merged_into is not None:
            swallowed[row.merged_into].append(row.ref.external_id)
    return {
        row.id: KnownRecord(
            id=row.id,
            ref=row.ref,
            state=RecordState(row.state),
            modified_at=from_ms(row.modified_at),
            created_at=optional_from_ms(row.created_at),
            fields=orjson.loads(keyring.open(row.fields_sealed)),
            entries=tuple(_entry(entry) for entry in history.get(row.id, ())),
            pipeline=row.pipeline,
            stage=row.stage,
            company_ref=row.company_ref,
            aliases=tuple(sorted(swallowed.get(row.id, ()))),
        )
        for row in rows.values()
    }


def _entry(row: Mapping[str, object]) -> Entry:
    return Entry(
        property=str(row["property"]),
        value=str(row["value"]),
        entered_at=from_ms(int(str(row["entered_at"]))),
        pipeline=None if row["pipeline"] is None else str(row["pipeline"]),
        origin=EntryOrigin(str(row["origin"])),
        is_approximate=bool(row["approximate"]),
        vendor_ref=None if row["vendor_ref"] is None else str(row["vendor_ref"]),
    )
