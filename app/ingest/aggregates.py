"""Every person and deal whose conversions a page may change: read in three statements, then brought up to date in memory."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row
from app.db.instants import from_ms, to_ms
from app.ingest import repository
from app.ingest.entries import entry_row, unseen
from app.ingest.repository import NEVER_READ, PURGED, DealPersonRow, LeadRow, is_unread
from app.ingest.storing import BECAME, PERSON_KINDS, PagePlan
from app.mapping.aggregate import Deal, DealPerson, EntryKey, KnownRecord, Person, by_survival
from app.mapping.document import MappingDocument
from app.mapping.engine import principal
from app.mapping.opening import RecordRow, known_record, labels_in
from app.mapping.selection import asks_deals_of_people, identity_on_deals
from app.secrets import Keyring
from connectors.contract.records import ObjectKind, RecordRef, RecordState

FirstTouch = tuple[str | None, str | None, str | None]  # platform, campaign, utm campaign


@dataclass(slots=True)
class Neighbourhood:
    """The touched persons and deals with all that bears on them, as they are after the page. Keys are row ids.

    `before`: the records as they were stored.
    What is to be written: `changed` records, `new_entries`, links `gone` and `fresh`, `merged_leads` (old -> survivor;
    `absorbed` is the other way round). `touched`: the first touch of leads, as it was written just now.
    """

    records: dict[int, RecordRow]
    leads: dict[int, LeadRow]
    opened: dict[int, KnownRecord] = field(default_factory=dict)
    links: dict[int, list[DealPersonRow]] = field(default_factory=dict)
    touched_leads: set[int] = field(default_factory=set)
    work_leads: set[int] = field(default_factory=set)
    orphan_deals: set[int] = field(default_factory=set)
    prefer: Sequence[str] = ()
    before: Mapping[int, RecordRow] = field(default_factory=dict)
    changed: list[RecordRow] = field(default_factory=list)
    new_entries: list[Row] = field(default_factory=list)
    gone: list[tuple[int, int]] = field(default_factory=list)
    fresh: list[DealPersonRow] = field(default_factory=list)
    merged_leads: dict[int, int] = field(default_factory=dict)
    absorbed: dict[int, list[int]] = field(default_factory=dict)
    held_by: dict[int, list[KnownRecord]] = field(default_factory=dict)
    swallowed: dict[int, list[KnownRecord]] = field(default_factory=dict)
    touched: dict[int, FirstTouch] = field(default_factory=dict)

    def person_records(self, lead_id: int) -> tuple[KnownRecord, ...]:
        """The records of a lead: survivors first, newest modification first within each."""
        return tuple(sorted(self.held_by.get(lead_id, ()), key=by_survival))

    def live_deals(self, deal_ids: Iterable[int]) -> tuple[KnownRecord, ...]:
        """Those of these deals that the CRM shows, newest modification first."""
        shown = (self.opened[one] for one in deal_ids if self.opened[one].state is RecordState.LIVE)
        return tuple(sorted(shown, key=lambda one: (-one.modified_at.timestamp(), one.ref.external_id)))

    def as_before(self, told: Iterable[KnownRecord], keyring: Keyring) -> tuple[KnownRecord, ...]:
        """Records with the fields that were stored of them until now; without those that are new."""
        stored = ((one, self.before[one.id]) for one in told if one.id in self.before)
        return tuple(replace(one, fields=orjson.loads(keyring.open(row.fields_sealed))) for one, row in stored)

    def is_read(self, lead_id: int) -> bool:
        """True where more is known of a lead than the name of its record."""
        return any(map(_is_read, self.held_by.get(lead_id, ())))

    def is_erased(self, lead_id: int) -> bool:
        """True where the person was forgotten: every lead that was read has a fingerprint of what was read."""
        return lead_id in self.leads and self.leads[lead_id].raw_hmac is None

    def leave_purged(self, fields: Collection[int]) -> list[RecordRef]:
        """Leave alone whose fields went with time, unless the page tells all of their records: what to fetch of them first.

        With emptied fields every condition and value would be judged wrong. `fields`: the records that the page tells.
        """
        asked: list[RecordRef] = []
        for lead_id in sorted(self.touched_leads | self.work_leads):
            if lead_id not in self.leads or self.leads[lead_id].raw_hmac != PURGED:
                continue
            mine = [row for row in self.records.values() if row.lead_id == lead_id and row.state == RecordState.LIVE.value]
            missing = [row.ref for row in mine if row.id not in fields]
            if missing:
                self.touched_leads.discard(lead_id)
                self.work_leads.discard(lead_id)
                asked += missing
        return asked

    @property
    def joined_to_erased(self) -> set[int]:
        """Leads that by the CRM's word are one with a forgotten person: what one of them brought is the other's."""
        return {new for old, new in self.merged_leads.items() if self.is_erased(old) != self.is_erased(new)}

    def unread_on_deals(self) -> list[RecordRef]:
        """Records of the people of touched deals of which only the name is known: they are worth a fetch."""
        on_deals = {self.principal_of(deal_id) for deal_id in self.links} & self.work_leads
        return [row.ref for row in self.records.values() if row.lead_id in on_deals and is_unread(row)]

    def first_touch(self, lead_id: int) -> FirstTouch:
        """Platform, campaign and utm campaign as they were frozen: of the leads that are one now, the earliest that has each."""
        ids = (lead_id, *self.absorbed.get(lead_id, ()))
        mine = [self.leads[one] for one in ids if one in self.leads and self.merged_leads.get(one, one) == lead_id]
        mine.sort(key=lambda row: (row.created_at, row.id))
        return (
            next((row.platform for row in mine if row.platform), None),
            next((row.campaign_id for row in mine if row.campaign_id), None),
            next((row.utm_campaign for row in mine if row.utm_campaign), None),
        )

    def person(self, lead_id: int, email_key: bytes | None) -> Person:
        """The engine's view of a lead."""
        held = self.person_records(lead_id)
        platform, campaign_id, _ = self.touched.get(lead_id) or self.first_touch(lead_id)
        return Person(
            lead_id=lead_id,
            created_at=created_of(held) or from_ms(0),
            records=held,
            email_key=email_key,
            platform=platform,
            campaign_id=campaign_id,
        )

    def deal(self, deal_id: int) -> Deal:
        """The engine's view of a deal with its people and the deals that it swallowed."""
        merged = tuple(sorted(self.swallowed.get(deal_id, ()), key=lambda one: one.ref.external_id))
        return Deal(self.opened[deal_id], tuple(self._deal_people(deal_id)), merged)

    def principal_of(self, deal_id: int) -> int | None:
        """The lead whose aggregate the deal belongs to."""
        chosen = principal(self._deal_people(deal_id), self.prefer)
        return None if chosen is None else chosen.lead_id

    def _deal_people(self, deal_id: int) -> list[DealPerson]:
        people = []
        for link in self.links.get(deal_id, ()):
            row = self.records.get(link.person_id)
            if row is None or row.lead_id is None or not self.is_read(row.lead_id):
                continue
            people.append(
                DealPerson(
                    lead_id=row.lead_id,
                    created_at=from_ms(row.created_at if row.created_at is not None else row.modified_at),
                    ref=row.ref,
                    labels=labels_in(link.label),
                    is_primary=link.is_primary,
                )
            )
        return people

    def deals_by_lead(self, leads: AbstractSet[int]) -> dict[int, list[int]]:
        """Deals by principal, for these leads."""
        found: dict[int, list[int]] = defaultdict(list)
        for deal_id in self.links:
            lead_id = self.principal_of(deal_id)
            if lead_id in leads and lead_id is not None:
                found[lead_id].append(deal_id)
        return found


def created_of(held: Iterable[KnownRecord]) -> datetime | None:
    """When the CRM first had this person; a record known only by its name says nothing."""
    return min((record.created_at or record.modified_at for record in held if _is_read(record)), default=None)


def _is_read(record: KnownRecord) -> bool:
    return record.created_at is not None or to_ms(record.modified_at) != NEVER_READ


async def load_neighbourhood(
    connection: AsyncConnection, keyring: Keyring, plan: PagePlan, document: MappingDocument
) -> Neighbourhood:
    """Touched people and deals, the principals of those deals, and all deals of these people, with the page applied.

    Where deals tell of people, or each lead has an account, whoever is (or was until now) on a touched deal or on one of a
    touched person is touched too.
    """
    asks_deals, has_accounts = asks_deals_of_people(document), document.is_incremental
    stored_links = await repository.links_around(connection, list(plan.deals), list(plan.persons))
    links = _links_after(stored_links, plan)
    ids = plan.deals | plan.persons | {link.deal_id for link in links} | {link.person_id for link in links}
    if asks_deals or has_accounts:
        ids |= {link.person_id for link in stored_links}
    rows, leads = await repository.records_around(connection, sorted(ids))
    history = await repository.entries_of(connection, sorted(rows))
    near = Neighbourhood(rows, leads, prefer=document.person.prefer, before=dict(rows))
    _apply_rows(near, plan)
    _forget(near, plan, keyring)
    fresh = _apply_entries(near, plan, history)
    near.opened = {
        row.id: known_record(keyring, row, plan.fields.get(row.id), history.get(row.id, ()), fresh)
        for row in near.records.values()
    }
    for known in near.opened.values():
        lead_id = near.records[known.id].lead_id
        if lead_id is not None and known.ref.kind in PERSON_KINDS:
            near.held_by.setdefault(lead_id, []).append(known)
        if known.merged_into is not None:
            near.swallowed.setdefault(known.merged_into, []).append(known)
    _apply_links(near, plan, stored_links, links)
    _choose_work(near, plan)
    by_deals = _by_deals(near, plan, stored_links) if asks_deals or has_accounts else set()
    if has_accounts:  # a deal that comes or goes changes what its people are worth
        near.work_leads |= {lead_id for lead_id in by_deals if near.is_read(lead_id)}
    if asks_deals:
        near.touched_leads |= by_deals
        _forget_on_deals(near, keyring, identity_on_deals(document))
    return near


def _links_after(stored: Sequence[DealPersonRow], plan: PagePlan) -> list[DealPersonRow]:
    """Links as they should be: as read, and those of merged contacts and deals the survivor's."""
    found = {(link.deal_id, link.person_id): link for link in stored if not plan.links.get(link.deal_id) and _stays(link, plan)}
    for link in (link for links in plan.links.values() for link in links):
        found[link.deal_id, link.person_id] = link
    after: dict[tuple[int, int], DealPersonRow] = {}
    for link in sorted(found.values(), key=lambda one: (one.deal_id in plan.moves, one.person_id in plan.moves)):
        deal_id = plan.moves.get(link.deal_id, link.deal_id)
        if deal_id != link.deal_id and deal_id in plan.links:
            continue  # the survivor's people were read
        person_id = plan.moves.get(link.person_id, link.person_id)
        after.setdefault((deal_id, person_id), replace(link, deal_id=deal_id, person_id=person_id))
    peopled = {deal_id for deal_id, _ in after}
    for link in (link for links in plan.converted.values() for link in links):
        deal_id = plan.moves.get(link.deal_id, link.deal_id)
        if deal_id not in peopled:
            after[deal_id, link.person_id] = replace(link, deal_id=deal_id)
    return list(after.values())


def _stays(link: DealPersonRow, plan: PagePlan) -> bool:
    """A deal's people that were not read now, or the CRM lead that it was where it is read without any."""
    return link.deal_id not in plan.links or link.label == BECAME


def _apply_rows(near: Neighbourhood, plan: PagePlan) -> None:
    """The page's readings over the stored rows, then its merges and what is joined."""
    rows = near.records
    changed = dict(plan.rows)
    rows.update(changed)
    near.merged_leads = _merged_leads(rows, plan)
    for old, new in near.merged_leads.items():
        near.absorbed.setdefault(new, []).append(old)
    for row in list(rows.values()):
        target = plan.moves.get(row.id, row.merged_into)
        target = plan.moves.get(target, target) if target is not None else None
        lead_id = near.merged_leads.get(row.lead_id, row.lead_id) if row.lead_id is not None else None
        state = RecordState.MERGED.value if target is not None else row.state
        moved = replace(row, merged_into=target, lead_id=lead_id, state=state)
        if moved != row:
            rows[row.id] = changed[row.id] = moved
    near.changed = list(changed.values())


def _forget(near: Neighbourhood, plan: PagePlan, keyring: Keyring) -> None:
    """What is read of a forgotten person is not kept, whichever record tells it."""
    for place, row in enumerate(near.changed):
        if row.lead_id is not None and near.is_erased(row.lead_id):
            plan.fields[row.id] = {}
            near.records[row.id] = near.changed[place] = replace(row, fields_sealed=keyring.seal(orjson.dumps({})))


def _forget_on_deals(near: Neighbourhood, keyring: Keyring, names: frozenset[str]) -> None:
    """Nor is it kept of their deals what identifies them."""
    for place, row in enumerate(near.changed):
        lead_id = near.principal_of(row.id)
        if lead_id is not None and near.is_erased(lead_id):
            near.opened[row.id] = without(near.opened[row.id], names)
            sealed = keyring.seal(orjson.dumps(dict(near.opened[row.id].fields)))
            near.records[row.id] = near.changed[place] = replace(row, fields_sealed=sealed)


def without(record: KnownRecord, names: frozenset[str]) -> KnownRecord:
    """The same record, with these fields not told."""
    return replace(record, fields={name: value for name, value in record.fields.items() if name not in names})


def _merged_leads(rows: Mapping[int, RecordRow], plan: PagePlan) -> dict[int, int]:
    """Which leads become which: those of merged records, and those of CRM leads the contact's.

    A lead that has a contact already goes to no other one but by a merge of contacts.
    """
    moves: dict[int, int] = {}

    def lead_of(record_id: int) -> int | None:
        lead_id = rows[record_id].lead_id if record_id in rows else None
        return None if lead_id is None else _last(lead_id, moves)

    def move(old: int | None, new: int | None) -> None:
        if old is not None and new is not None and old != new:
            moves[old] = new

    def is_contact(record_id: int) -> bool:
        return record_id in rows and rows[record_id].ref.kind is ObjectKind.CONTACT

    for old, new in plan.moves.items():
        if is_contact(old):
            move(lead_of(old), lead_of(new))
    with_contact = {lead_of(record_id) for record_id in rows if is_contact(record_id)}
    for one, other in (*((old, new) for old, new in plan.moves.items() if not is_contact(old)), *plan.joins.items()):
        lead, target = lead_of(one), lead_of(other)
        if lead not in with_contact:
            move(lead, target)
        elif target not in with_contact:
            move(target, lead)
    return {old: _last(old, moves) for old in moves}


def _last(lead_id: int, moves: Mapping[int, int]) -> int:
    seen: set[int] = set()
    while lead_id in moves and lead_id not in seen:
        seen.add(lead_id)
        lead_id = moves[lead_id]
    return lead_id


def _apply_entries(
    near: Neighbourhood, plan: PagePlan, history: dict[int, list[Mapping[str, object]]]
) -> dict[int, frozenset[EntryKey]]:
    """Entries that are not stored yet; what is new of each record."""
    fresh: dict[int, frozenset[EntryKey]] = {}
    for record_id, told in plan.entries.items():
        new = unseen(history.get(record_id, ()), told)
        rows = [entry_row(record_id, at, one) for (_, at, _), one in new.items()]
        near.new_entries.extend(rows)
        history.setdefault(record_id, []).extend(rows)
        fresh[record_id] = frozenset((name, from_ms(at), value) for name, at, value in new)
    return fresh


def _apply_links(near: Neighbourhood, plan: PagePlan, stored: Sequence[DealPersonRow], links: Sequence[DealPersonRow]) -> None:
    before = {(link.deal_id, link.person_id): link for link in stored}
    after = {(link.deal_id, link.person_id): link for link in links}
    near.gone = sorted(before.keys() - after.keys())
    near.fresh = [
        link
        for key, link in after.items()
        if key not in before or (before[key].label, before[key].is_primary) != (link.label, link.is_primary)
    ]
    survivors = {plan.moves.get(deal_id, deal_id) for deal_id in plan.deals}
    deals = survivors | {link.deal_id for link in links}
    near.links = {deal_id: [] for deal_id in sorted(deals) if deal_id in near.records}
    for link in links:
        if link.deal_id in near.links:
            near.links[link.deal_id].append(link)


def _choose_work(near: Neighbourhood, plan: PagePlan) -> None:
    persons = {plan.moves.get(one, one) for one in plan.persons}
    near.touched_leads = {
        row.lead_id for one in persons if (row := near.records.get(one)) is not None and row.lead_id is not None
    }
    near.work_leads = set(near.touched_leads)
    mine = {known.id for lead_id in near.touched_leads for known in near.held_by.get(lead_id, ())}
    touched = {plan.moves.get(one, one) for one in plan.deals}
    for deal_id, links in near.links.items():
        if deal_id not in touched and not any(link.person_id in mine for link in links):
            continue
        lead_id = near.principal_of(deal_id)
        if lead_id is None:
            near.orphan_deals.add(deal_id)
        else:
            near.work_leads.add(lead_id)


def _by_deals(near: Neighbourhood, plan: PagePlan, stored: Sequence[DealPersonRow]) -> set[int]:
    """The people of the deals that changed, or whose principal may have."""
    mine = {known.id for lead_id in near.touched_leads for known in near.held_by.get(lead_id, ())}
    touched = plan.deals | {plan.moves.get(one, one) for one in plan.deals}
    on_deals = {link.person_id for link in stored if link.deal_id in touched}
    for deal_id, links in near.links.items():
        if deal_id in touched or any(link.person_id in mine for link in links):
            on_deals.update(link.person_id for link in links)
    rows = (near.records[one] for one in on_deals if one in near.records)
    return {row.lead_id for row in rows if row.lead_id is not None}
