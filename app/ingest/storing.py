"""First half of a recording: a page, and what is stored of it, become a plan of rows, entries, links and merges (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from app.db.instants import optional_ms, to_ms
from app.ingest.context import SourceContext, people_on_deals
from app.ingest.repository import DealPersonRow, RecordRow
from app.secrets import Keyring
from connectors.contract.records import Entry, ObjectKind, Record, RecordRef, RecordState

PERSON_KINDS = frozenset({ObjectKind.CONTACT, ObjectKind.LEAD})
NEVER_READ = 0  # the modification of a survivor that is only known by its name: any reading of it is newer

Fields = Mapping[str, str | None]


@dataclass(slots=True)
class PagePlan:
    """What a page does, before its neighbourhood is read. Keys are row ids.

    `rows` are new or newer readings, `fields` their open fields. `moves`: merged record -> survivor. `links`: the people of the
    deals that were read with theirs. `entries` are all that the page tells, stored or not.
    """

    rows: dict[int, RecordRow] = field(default_factory=dict)
    fields: dict[int, Fields] = field(default_factory=dict)
    entries: dict[int, tuple[Entry, ...]] = field(default_factory=dict)
    links: dict[int, list[DealPersonRow]] = field(default_factory=dict)
    moves: dict[int, int] = field(default_factory=dict)
    deals: set[int] = field(default_factory=set)
    persons: set[int] = field(default_factory=set)
    stored: int = 0


def refs_in(page: Sequence[Record]) -> set[RecordRef]:
    """Every record that a page names."""
    refs = {record.ref for record in page}
    for record in page:
        refs.update(link.ref for link in record.people or ())
        refs.update(RecordRef(record.ref.kind, old) for old in record.merged_ids)
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
        linked = people_on_deals(page)
        return [record for record in page if self._is_wanted(record, linked)]

    def new_refs(self, kept: Sequence[Record]) -> list[RecordRef]:
        """The records that get a row: those not stored yet, and those known only as merged away or as a survivor."""
        refs = [record.ref for record in kept]
        for record in kept:
            refs.extend(_merged_refs(record))
            if record.merged_into is not None:
                refs.append(record.merged_into)
        return [ref for ref in dict.fromkeys(refs) if ref not in self._known]

    def plan(self, kept: Sequence[Record], new: Sequence[RecordRef], first_id: int) -> PagePlan:
        """Plan these records; `new` get ids from `first_id` on, two each."""
        in_page = {record.ref for record in kept}
        for place, ref in enumerate(new):
            row = _blank(ref, first_id + 2 * place)
            self._known[ref] = row
            if ref not in in_page:
                self._put(row, {})
        for record in kept:
            self._add(record)
        for record in kept:
            self._merge(record)
        self._plan.moves = {old: _end(new, self._plan.moves) for old, new in self._plan.moves.items()}
        for record in kept:
            self._link(record)
        return self._plan

    def _is_wanted(self, record: Record, linked: frozenset[object]) -> bool:
        """A person is stored only with a mapped entry, a creation after `start`, or a deal; a deleted stranger never."""
        stored = self._known.get(record.ref)
        if stored is not None:
            return stored.state != RecordState.MERGED.value
        if record.state is RecordState.MERGED and record.merged_into is not None:
            return record.merged_into in self._known
        if record.state is not RecordState.LIVE:
            return False
        if record.ref.kind not in PERSON_KINDS or self._source.makes_a_milestone(record):
            return True
        return record.ref in linked or any(ref in self._known for ref in _merged_refs(record))

    def _add(self, record: Record) -> None:
        before = self._known[record.ref]
        plan = self._plan
        plan.stored += 1
        if record.ref.kind is ObjectKind.DEAL:
            plan.deals.add(before.id)
        elif record.ref.kind in PERSON_KINDS:
            plan.persons.add(before.id)
        if record.entries:
            plan.entries[before.id] = record.entries
        if record.state is RecordState.LIVE and to_ms(record.modified_at) < before.modified_at:
            return  # an older reading: only its entries tell something
        if record.state is RecordState.LIVE:
            sealed = self._keyring.seal(orjson.dumps(dict(record.fields)))
            row = replace(
                before,
                state=record.state.value,
                pipeline=record.pipeline if record.pipeline is not None else before.pipeline,
                stage=record.stage if record.stage is not None else before.stage,
                company_ref=record.company.external_id if record.company else before.company_ref,
                created_at=optional_ms(record.created_at) if record.created_at else before.created_at,
                modified_at=to_ms(record.modified_at),
                fields_sealed=sealed,
            )
            self._put(row, record.fields)
        elif record.state is RecordState.DELETED:
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

    def _link(self, record: Record) -> None:
        row = self._known[record.ref]
        if record.people is None or record.state is not RecordState.LIVE or to_ms(record.modified_at) < row.modified_at:
            return
        rows: dict[int, DealPersonRow] = {}
        for link in record.people:
            person = self._known.get(link.ref)
            if person is None:
                continue
            person_id = self._plan.moves.get(person.id, person.merged_into or person.id)
            self._plan.persons.add(person_id)
            rows[person_id] = DealPersonRow(row.id, person_id, "\n".join(link.labels), link.is_primary, self._now_ms)
        self._plan.links[row.id] = list(rows.values())


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
