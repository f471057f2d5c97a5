"""First half of a recording: a page, and what is stored of it, become a plan of rows, entries, links and merges (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from app.db.instants import optional_ms, to_ms
from app.ingest.context import SourceContext
from app.ingest.repository import NEVER_READ, DealPersonRow, is_unread
from app.ingest.watch import HEADSTART
from app.mapping.opening import RecordRow
from app.secrets import Keyring
from connectors.contract.records import Entry, ObjectKind, PersonLink, Record, RecordRef, RecordState

PERSON_KINDS = frozenset({ObjectKind.CONTACT, ObjectKind.LEAD})
SHOWN = frozenset({RecordState.LIVE, RecordState.CONVERTED})
HEADSTART_MS = int(HEADSTART.total_seconds() * 1000)
# The label of a link that no reading of the deal's people tells: the CRM lead that became the deal.
BECAME = "converted from"

Fields = Mapping[str, str | None]


@dataclass(slots=True)
class PagePlan:
    """What a page does, before its neighbourhood is read. Keys are row ids.

    `rows` are new or newer readings, `fields` their open fields. `moves`: merged record -> survivor. `links`: the people of the
    deals that were read with theirs. `entries` are all that the page tells, stored or not. `joins`: CRM lead -> the contact
    that it is. `converted`: the CRM leads that became a deal, as its people where it has none. `asked`: contacts known only
    by their names, to be fetched. `new` rows were not stored before; `late` ones changed so long ago that a webhook
    could have told of it.
    """

    rows: dict[int, RecordRow] = field(default_factory=dict)
    fields: dict[int, Fields] = field(default_factory=dict)
    entries: dict[int, tuple[Entry, ...]] = field(default_factory=dict)
    links: dict[int, list[DealPersonRow]] = field(default_factory=dict)
    moves: dict[int, int] = field(default_factory=dict)
    joins: dict[int, int] = field(default_factory=dict)
    converted: dict[int, list[DealPersonRow]] = field(default_factory=dict)
    asked: list[RecordRef] = field(default_factory=list)
    deals: set[int] = field(default_factory=set)
    persons: set[int] = field(default_factory=set)
    new: set[int] = field(default_factory=set)
    late: set[int] = field(default_factory=set)
    stored: int = 0


def refs_in(page: Sequence[Record]) -> set[RecordRef]:
    """Every record that a page names."""
    refs = {record.ref for record in page}
    for record in page:
        refs.update(link.ref for link in record.people or ())
        refs.update(RecordRef(record.ref.kind, old) for old in record.merged_ids)
        refs.update(record.converted_from)
        if record.merged_into is not None:
            refs.add(record.merged_into)
    return refs


class PagePlanner:
    """Plans one page. `known` are the stored records that it names, `ids` makes the ids of new ones (record, then lead)."""

    def __init__(
        self,
        source: SourceContext,
        keyring: Keyring,
        known: Mapping[RecordRef, RecordRow],
        now_ms: int,
    ) -> None:
        self._source = source
        self._keyring = keyring
        self._known = dict(known)
        self._now_ms = now_ms
        self._plan = PagePlan()

    def wanted(self, page: Sequence[Record]) -> list[Record]:
        """The records of the page that are stored, or are worth it."""
        linked = people_named(page)
        return [record for record in page if self._is_wanted(record, linked)]

    def new_refs(self, kept: Sequence[Record]) -> list[RecordRef]:
        """The records that get a row: those not stored yet, and those known only by their names.

        Such are merged away, a survivor, the contact of a CRM lead, or a CRM lead that became a deal.
        """
        refs = [record.ref for record in kept]
        for record in kept:
            refs.extend(_merged_refs(record))
            refs.extend(ref for ref in record.converted_from if ref.kind in PERSON_KINDS)
            contact = contact_of(record)
            if contact is not None:
                refs.append(contact)
            if record.merged_into is not None:
                refs.append(record.merged_into)
        return [ref for ref in dict.fromkeys(refs) if ref not in self._known]

    def plan(self, kept: Sequence[Record], new: Sequence[RecordRef], first_id: int) -> PagePlan:
        """Plan these records; `new` get ids from `first_id` on, two each."""
        in_page = {record.ref for record in kept}
        for place, ref in enumerate(new):
            row = _blank(ref, first_id + 2 * place)
            self._plan.new.add(row.id)
            self._known[ref] = row
            if ref not in in_page:
                self._put(row, {})
        for record in kept:
            self._add(record)
        for record in kept:
            self._merge(record)
        self._plan.moves = {old: _end(new, self._plan.moves) for old, new in self._plan.moves.items()}
        for record in kept:
            self._join(record)
        for record in kept:
            self._link(record)
        for record in kept:
            self._convert(record)
        return self._plan

    def _is_wanted(self, record: Record, linked: frozenset[RecordRef]) -> bool:
        """A person is stored only with a mapped entry, a creation after `start`, or a deal; a deleted stranger never.

        A CRM lead that names a contact is stored too, and that contact with it: whichever is read first, nothing of it is lost.
        """
        stored = self._known.get(record.ref)
        if stored is not None:
            return stored.state != RecordState.MERGED.value
        if record.state is RecordState.MERGED and record.merged_into is not None:
            return record.merged_into in self._known
        if record.state not in SHOWN:
            return False
        if record.ref.kind not in PERSON_KINDS or self._source.makes_a_milestone(record):
            return True
        if contact_of(record) is not None:
            return True
        return record.ref in linked or any(ref in self._known for ref in _merged_refs(record))

    def _add(self, record: Record) -> None:
        before = self._known[record.ref]
        plan = self._plan
        plan.stored += 1
        if to_ms(record.modified_at) < self._now_ms - HEADSTART_MS:
            plan.late.add(before.id)
        if record.ref.kind is ObjectKind.DEAL:
            plan.deals.add(before.id)
        elif record.ref.kind in PERSON_KINDS:
            plan.persons.add(before.id)
        if record.entries:
            plan.entries[before.id] = record.entries
        if record.state is RecordState.CONVERTED and before.state != RecordState.CONVERTED.value:
            before = replace(before, state=RecordState.CONVERTED.value)
            self._put(before, None)
        if record.state in SHOWN and (to_ms(record.modified_at) < before.modified_at or _is_notice(record)):
            return  # an older reading: only its entries tell something
        if record.state in SHOWN:
            is_converted = before.state == RecordState.CONVERTED.value
            sealed = self._keyring.seal(orjson.dumps(dict(record.fields)))
            row = replace(
                before,
                state=(RecordState.CONVERTED if is_converted else RecordState.LIVE).value,
                pipeline=record.pipeline if record.pipeline is not None else before.pipeline,
                stage=record.stage if record.stage is not None else before.stage,
                company_ref=record.company.external_id if record.company else before.company_ref,
                created_at=optional_ms(record.created_at) if record.created_at else before.created_at,
                modified_at=to_ms(record.modified_at),
                fields_sealed=sealed,
            )
            self._put(row, record.fields)
        elif record.state is RecordState.DELETED and before.state != RecordState.CONVERTED.value:
            # A deletion keeps fields and modification, so that a restored record is not older than its own deletion.
            self._put(replace(before, state=record.state.value), None)

    def _put(self, row: RecordRow, fields: Fields | None) -> None:
        if not row.fields_sealed:
            row = replace(row, fields_sealed=self._keyring.seal(orjson.dumps({})))
        self._known[row.ref] = row
        self._plan.rows[row.id] = row
        if fields is not None:
            self._plan.fields[row.id] = fields

    def _merge(self, record: Record) -> None:
        survivor = self._known[record.ref] if record.merged_into is None else self._known.get(record.merged_into)
        if survivor is None:
            return
        olds = [self._known[ref] for ref in _merged_refs(record) if ref in self._known]
        if record.state is RecordState.MERGED and record.merged_into is not None:
            olds.append(self._known[record.ref])
        for old in olds:
            if old.id != survivor.id and old.merged_into is None:
                self._plan.moves[old.id] = target = survivor.merged_into or survivor.id
                role = self._plan.deals if old.ref.kind is ObjectKind.DEAL else self._plan.persons
                role.update((old.id, target))
                self._put(old, None)

    def _join(self, record: Record) -> None:
        """A CRM lead and its contact are one person: a fact that no later reading takes back."""
        named = contact_of(record)
        contact = None if named is None else self._known.get(named)
        if contact is None:
            return
        row = self._known[record.ref]
        contact_id = self._survivor(contact)
        self._plan.joins[row.id] = contact_id
        self._plan.persons.add(contact_id)
        if self._source.makes_a_milestone(record):
            self._ask(contact)

    def _ask(self, row: RecordRow) -> None:
        """Have a record fetched of which nothing but the name is known."""
        if is_unread(row):
            self._plan.asked.append(row.ref)

    def _convert(self, record: Record) -> None:
        """What became a deal is no deletion, and the same person: the deal's contact, else its only person."""
        if record.ref.kind is not ObjectKind.DEAL or record.state is RecordState.MERGED:
            return
        deal = self._known[record.ref]
        contacts = [link.ref for link in _primary_first(record.people or ()) if link.ref.kind is ObjectKind.CONTACT]
        contact = next((self._known[ref] for ref in contacts if ref in self._known), None)
        for ref in record.converted_from:
            row = self._known.get(ref) if ref.kind in PERSON_KINDS else None
            if row is None:
                continue
            if row.id in self._plan.rows:
                self._ask(row)  # once: a CRM may show no more what it converted
            if row.state != RecordState.MERGED.value and row.id not in self._plan.moves:
                self._put(replace(row, state=RecordState.CONVERTED.value), None)
            person_id = self._survivor(row)
            self._plan.persons.add(person_id)
            self._plan.converted.setdefault(deal.id, []).append(
                DealPersonRow(deal.id, person_id, BECAME, is_primary=False, since=self._now_ms)
            )
            if contact is not None and ref.kind is ObjectKind.LEAD:
                self._plan.joins.setdefault(person_id, self._survivor(contact))

    def _survivor(self, row: RecordRow) -> int:
        return self._plan.moves.get(row.id, row.merged_into or row.id)

    def _link(self, record: Record) -> None:
        if record.ref.kind is not ObjectKind.DEAL:
            return
        row = self._known[record.ref]
        if record.people is None or record.state is not RecordState.LIVE or to_ms(record.modified_at) < row.modified_at:
            return
        rows: dict[int, DealPersonRow] = {}
        for link in record.people:
            person = self._known.get(link.ref)
            if person is None:
                continue
            person_id = self._survivor(person)
            self._plan.persons.add(person_id)
            rows[person_id] = DealPersonRow(row.id, person_id, "\n".join(link.labels), link.is_primary, self._now_ms)
        self._plan.links[row.id] = list(rows.values())


def people_named(page: Sequence[Record]) -> frozenset[RecordRef]:
    """The people of the deals in a page, and the contacts of its CRM leads."""
    deals = [record for record in page if record.ref.kind is ObjectKind.DEAL]
    named = {link.ref for record in deals for link in record.people or ()}
    named.update(ref for record in deals for ref in record.converted_from)
    return frozenset(named.union(ref for record in page if (ref := contact_of(record)) is not None))


def contact_of(record: Record) -> RecordRef | None:
    """The contact that a CRM lead is, or became: the primary one, else the first."""
    if record.ref.kind is not ObjectKind.LEAD or record.state is RecordState.MERGED:
        return None
    named = (link.ref for link in _primary_first(record.people or ()) if link.ref.kind is ObjectKind.CONTACT)
    return next(named, None)


def _primary_first(people: Sequence[PersonLink]) -> list[PersonLink]:
    return sorted(people, key=lambda link: not link.is_primary)


def _is_notice(record: Record) -> bool:
    """A reading that says only that the record was converted."""
    return record.state is RecordState.CONVERTED and not record.fields


def _merged_refs(record: Record) -> Iterator[RecordRef]:
    return (RecordRef(record.ref.kind, old) for old in record.merged_ids if old != record.ref.external_id)


def _end(new: int, moves: Mapping[int, int]) -> int:
    """The last survivor of a chain of merges."""
    seen: set[int] = set()
    while new in moves and new not in seen:
        seen.add(new)
        new = moves[new]
    return new


def _blank(ref: RecordRef, record_id: int) -> RecordRow:
    return RecordRow(
        id=record_id,
        ref=ref,
        lead_id=record_id + 1 if ref.kind in PERSON_KINDS else None,
        merged_into=None,
        state=RecordState.LIVE.value,
        pipeline=None,
        stage=None,
        company_ref=None,
        created_at=None,
        modified_at=NEVER_READ,
        fields_sealed=b"",
    )
