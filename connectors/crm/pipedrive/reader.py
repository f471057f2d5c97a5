"""Makes records of rows: with the history that they need, and the people on them. Which rows is its caller's matter."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from connectors.contract.errors import AuthenticationFailed, ConnectorError
from connectors.contract.records import Entry, ObjectKind, Record, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Held, Stored
from connectors.crm.pipedrive.api import IDS_A_READ, PipedriveApi
from connectors.crm.pipedrive.budget import TokenBudget
from connectors.crm.pipedrive.history import (
    NEXT,
    Changelog,
    Line,
    RowFacts,
    at_of,
    change_of,
    cheap_entries,
    exact_entries,
    facts_of,
    in_order,
    is_newest_first,
    needs_changelog,
    observed_entries,
    read_back_to,
    untouched_entries,
)
from connectors.crm.pipedrive.listing import FoundRow
from connectors.crm.pipedrive.objects import OBJECTS, PIPELINE, SOURCE_LEAD, STAGE, query_of
from connectors.crm.pipedrive.records import deleted_record, is_deleted, person_id_of, record_of, row_id, source_lead_of
from connectors.crm.pipedrive.refusals import is_of_one_record
from connectors.crm.pipedrive.replies import is_record_id, text
from connectors.crm.pipedrive.settings import HistoryMode
from connectors.http.client import Clock
from connectors.http.strict_json import Json

# A page is committed whole: so many changelogs may go before the next commit.
MOST_HISTORIES = 100
# How many of those that were read cheaply are looked up at the end of a window, and how many are remembered.
MOST_CAUGHT_UP = 50
MOST_OWED = 20_000
# So long a second may still be running at Pipedrive, whose clock is not ours.
RUNNING = timedelta(seconds=3)
# A list of ids costs as much as ten single reads.
BATCH_FROM = 10


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a list, and the records that they and the unknown people on them became. Unchanged rows became none."""

    rows: Sequence[FoundRow]
    records: tuple[Record, ...]
    is_end: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done for a row's history."""

    facts: RowFacts
    held: Mapping[str, Held]
    needs_changelog: bool


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads records of one company. `owed`: those whose changelog was not read for want of tokens."""

    api: PipedriveApi
    selection: Selection
    clock: Clock
    budget: TokenBudget
    mode: HistoryMode
    owed: dict[RecordRef, None]

    async def batches(self, kind: ObjectKind, rows: Sequence[FoundRow], stored: Stored) -> AsyncIterator[Batch]:
        """The rows of a page in parts that may each be committed, those that are stored in exactly this version left out."""
        if not rows:
            return
        unchanged = await stored.unchanged(kind, {row.id: row.modified_at for row in rows})
        changed = [row.raw for row in rows if row.id not in unchanged]
        plans = await self._plans(kind, changed, stored)
        parts = list(_parts(rows, plans))
        for number, part in enumerate(parts, 1):
            raws = [row.raw for row in part if row.id not in unchanged]
            records = await self._records(kind, raws, plans, stored)
            yield Batch(part, records, is_end=number == len(parts))

    async def fetched(
        self, kind: ObjectKind, ids: Sequence[str], stored: Stored, beside: Collection[str] = ()
    ) -> tuple[Record, ...]:
        """The unknown people on these records, then the records; what Pipedrive does not show is deleted.

        `beside`: persons that the caller has read already. A record that this user may not see is left out: that it is gone
        is not said. So are leads that are known to have become deals: nothing shows them.
        """
        unique = list(dict.fromkeys(ids))
        if kind is ObjectKind.LEAD:
            went_on = await stored.converted(kind, unique)
            unique = [one for one in unique if one not in went_on]
        shown, gone = await self._shown(kind, unique)
        raws = list(shown.values())
        records = await self._records(kind, raws, await self._plans(kind, raws, stored), stored, beside)
        now = self.clock()
        read = (_still_open(record, now) for record in records)
        return (*read, *(deleted_record(RecordRef(kind, one), now) for one in gone))

    async def deleted_or_converted(self, records: Sequence[Record]) -> Sequence[Record]:
        """These records, with the leads that became deals told as converted: Pipedrive shows neither those nor deleted ones.

        The deal names its lead, and is there before the lead is gone: where none of these does, the newest deals are looked at.
        """
        gone = {record.ref for record in records if record.ref.kind is ObjectKind.LEAD and record.state is RecordState.DELETED}
        became = {ref for record in records for ref in record.converted_from}
        if gone - became:
            newest = {"sort_by": "add_time", "sort_direction": "desc", "include_fields": SOURCE_LEAD}
            rows = (await self.api.page(ObjectKind.DEAL, newest)).rows
            became |= {lead for raw in rows if (lead := source_lead_of(ObjectKind.DEAL, raw)) is not None}
        went_on = gone & became
        return [replace(record, state=RecordState.CONVERTED) if record.ref in went_on else record for record in records]

    def owes(self, kind: ObjectKind) -> list[RecordRef]:
        """Records whose changelog can be made good now."""
        most = min(self.budget.histories_left(), MOST_CAUGHT_UP) if self.mode is HistoryMode.AUTO else 0
        return list(islice((ref for ref in self.owed if ref.kind is kind), most))

    async def caught_up(self, kind: ObjectKind, refs: Sequence[RecordRef], stored: Stored) -> tuple[Record, ...]:
        """These records with their whole changelog, whatever is held of them; those read cheaply again are owed on."""
        for ref in refs:
            self.owed.pop(ref, None)
        try:
            return await self._whole(kind, refs, stored)
        except ConnectorError:
            self.owed.update(dict.fromkeys(refs))
            raise

    async def _whole(self, kind: ObjectKind, refs: Sequence[RecordRef], stored: Stored) -> tuple[Record, ...]:
        shown, _gone = await self._shown(kind, [ref.external_id for ref in refs])
        raws = [raw for raw in shown.values() if not is_deleted(raw)]
        names = self._chosen(kind).history_properties
        plans = {one: _Plan(facts_of(kind, raw, names), {}, needs_changelog=True) for one, raw in shown.items()}
        return await self._records(kind, raws, plans, stored)

    async def _records(
        self,
        kind: ObjectKind,
        raws: Sequence[Json],
        plans: Mapping[str, _Plan],
        stored: Stored,
        beside: Collection[str] = (),
    ) -> tuple[Record, ...]:
        strangers = await self._strangers(kind, raws, stored, beside)
        chosen = self._chosen(kind)
        records = []
        for raw in raws:
            plan = plans.get(row_id(kind, raw))
            records.append(record_of(kind, raw, chosen, () if plan is None else await self._entries(kind, raw, plan)))
        return (*strangers, *records)

    async def _strangers(
        self, kind: ObjectKind, raws: Sequence[Json], stored: Stored, beside: Collection[str]
    ) -> Sequence[Record]:
        """The persons that the service does not hold: without them a deal would have nobody to be sent for."""
        if kind not in (ObjectKind.DEAL, ObjectKind.LEAD):
            return ()
        linked = dict.fromkeys(one for raw in raws if not is_deleted(raw) and (one := person_id_of(kind, raw)))
        wanted = [one for one in linked if one not in beside]
        if not wanted:
            return ()
        held = await stored.known(ObjectKind.CONTACT, wanted)
        shown, _gone = await self._shown(ObjectKind.CONTACT, [one for one in wanted if one not in held])
        people = [raw for raw in shown.values() if not is_deleted(raw)]
        plans = await self._plans(ObjectKind.CONTACT, people, stored)
        return await self._records(ObjectKind.CONTACT, people, plans, stored)

    async def _plans(self, kind: ObjectKind, raws: Sequence[Json], stored: Stored) -> Mapping[str, _Plan]:
        names = self._chosen(kind).history_properties
        rows = {row_id(kind, raw): raw for raw in raws if not is_deleted(raw)}
        if not names or not rows:
            return {}
        newest = await stored.newest(kind, list(rows))
        plans = {}
        for one, raw in rows.items():
            facts, held = facts_of(kind, raw, names), newest.get(one, {})
            # A value that came and went between two readings leaves no trace on the row.
            is_asked = needs_changelog(facts, held) or (self.mode is HistoryMode.EXACT and facts.is_modified)
            plans[one] = _Plan(facts, held, OBJECTS[kind].has_changelog and is_asked)
        return plans

    async def _entries(self, kind: ObjectKind, raw: Json, plan: _Plan) -> tuple[Entry, ...]:
        pipeline = text(raw.get(PIPELINE), f"a {kind}'s `{PIPELINE}`") if kind is ObjectKind.DEAL else None
        if not OBJECTS[kind].has_changelog:
            return observed_entries(plan.facts, plan.held)
        if not plan.needs_changelog:
            return () if plan.held else untouched_entries(plan.facts, pipeline)
        if not self._is_exact():
            self.budget.note_cheap_read()
            if len(self.owed) < MOST_OWED:
                self.owed[RecordRef(kind, row_id(kind, raw))] = None
            return cheap_entries(plan.facts, plan.held, pipeline)
        log = await self._changelog(kind, row_id(kind, raw), plan)
        if log is None:
            return cheap_entries(plan.facts, plan.held, pipeline)
        if log.is_whole:
            self.owed.pop(RecordRef(kind, row_id(kind, raw)), None)
        return exact_entries(plan.facts, log, plan.held, pipeline)

    def _is_exact(self) -> bool:
        return self.mode is HistoryMode.EXACT or (self.mode is HistoryMode.AUTO and self.budget.allows_history())

    async def _changelog(self, kind: ObjectKind, one: str, plan: _Plan) -> Changelog | None:
        """Read back until what is held; None where the record has gone meanwhile."""
        names = frozenset(plan.facts.values) | ({PIPELINE} if STAGE in plan.facts.values else frozenset())
        back_to = read_back_to(plan.facts, plan.held)
        cursor: str | None = None
        read: list[Line] = []
        while True:
            page = await self.api.changelog(kind, one, cursor)
            if page is None:
                return None
            read += [change_of(raw, names) for raw in page.rows]
            if page.cursor is None:
                return Changelog(in_order(read))
            if back_to is not None and read and is_newest_first(read) and at_of(read[-1]) < back_to:
                return Changelog(in_order(read), is_whole=False)
            cursor = page.cursor

    async def _shown(self, kind: ObjectKind, ids: Sequence[str]) -> tuple[dict[str, Json], list[str]]:
        """What Pipedrive shows of these ids, and which of them it shows not."""
        query = query_of(kind, self._asked(kind))
        possible = [one for one in ids if is_record_id(kind, one)]
        shown: dict[str, Json] = {}
        if kind is not ObjectKind.LEAD and len(possible) >= BATCH_FROM:
            for start in range(0, len(possible), IDS_A_READ):
                rows = await self.api.by_ids(kind, possible[start : start + IDS_A_READ], query)
                shown |= {row_id(kind, raw): raw for raw in rows}
        gone = [one for one in ids if one not in set(possible)]
        for one in possible:
            if one in shown:
                continue
            try:
                # Archived deals are in no list of ids; a merged or deleted record answers 404.
                raw = await self.api.one(kind, one, query)
            except AuthenticationFailed as error:
                if not is_of_one_record(error):
                    raise
                continue
            if raw is None:
                gone.append(one)
            else:
                shown[one] = raw
        return {one: shown[one] for one in possible if one in shown}, gone

    def _chosen(self, kind: ObjectKind) -> ObjectSelection:
        return self.selection.objects.get(kind, ObjectSelection())

    def _asked(self, kind: ObjectKind) -> frozenset[str]:
        chosen = self._chosen(kind)
        return chosen.fields | chosen.history_properties

    def query(self, kind: ObjectKind) -> Mapping[str, str]:
        """The parameters that name what a row of a list shall hold."""
        return query_of(kind, self._asked(kind))


def _still_open(record: Record, now: datetime) -> Record:
    """A record modified in the running second may be so once more, unseen: it is no version that a poll may take for read."""
    if record.ref.kind is ObjectKind.LEAD or now - record.modified_at > RUNNING:
        return record
    return replace(record, modified_at=record.modified_at - NEXT)


def _parts(rows: Sequence[FoundRow], plans: Mapping[str, _Plan]) -> Iterator[Sequence[FoundRow]]:
    """The rows in parts, none of which asks for more changelogs than one page may."""
    part: list[FoundRow] = []
    histories = 0
    for row in rows:
        plan = plans.get(row.id)
        histories += plan is not None and plan.needs_changelog
        if histories > MOST_HISTORIES:
            yield part
            part, histories = [], 1
        part.append(row)
    yield part
