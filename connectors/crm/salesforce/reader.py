"""Reads all that belongs to rows: history, contact roles, converted leads, unknown people. Which rows is its caller's matter."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.source import KnownLookup
from connectors.crm.salesforce.api import QUERIES_A_COMPOSITE, SalesforceApi
from connectors.crm.salesforce.catalogue import Plans
from connectors.crm.salesforce.deletions import deleted_among
from connectors.crm.salesforce.objects import (
    CONVERTED_CONTACT,
    CONVERTED_DEAL,
    CREATED,
    ROLE,
    STAGE_HISTORY,
    STAGE_HISTORY_FIELDS,
    STATUS,
    Plan,
)
from connectors.crm.salesforce.records import (
    Belongings,
    converted_contact,
    gone_record,
    is_deleted,
    people_of_deal,
    record_of,
    row_id,
)
from connectors.crm.salesforce.replies import is_record_id, long_id, optional_id, record_id
from connectors.crm.salesforce.soql import Query, one_of, split
from connectors.http.strict_json import Json

# Rows of LeadHistory that are no change of a field; the second name is not documented.
LEAD_EVENTS = ("created", "leadConverted")
ROLE_FIELDS = ("Id", "OpportunityId", "ContactId", "Role", "IsPrimary", "IsDeleted", CREATED)
# A chain of merges is followed so far.
MERGES_DEEP = 5
# A deal has a handful of history rows: the history of more deals than this is asked in several queries of one request.
DEALS_A_HISTORY = 300

Rows = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads records of one org for one selection. `listed`: the ids that Salesforce has just listed as deleted."""

    api: SalesforceApi
    plans: Plans
    known: KnownLookup
    now: Callable[[], datetime]
    listed: Collection[str] = ()

    async def complete(self, kind: ObjectKind, rows: Sequence[Json], beside: Collection[str] = ()) -> tuple[Record, ...]:
        """The records of these rows; before them come the people on them that are not known. `beside`: contacts read already."""
        live = {row_id(row): row for row in rows if not is_deleted(row)}
        match kind:
            case ObjectKind.DEAL:
                return await self._deals(list(live), rows, beside)
            case ObjectKind.LEAD:
                return await self._leads(rows, beside)
            case _:
                return await self._plain(kind, rows)

    async def by_ids(self, kind: ObjectKind, ids: Sequence[str], beside: Collection[str] = ()) -> tuple[Record, ...]:
        """The records of these ids, people first; survivors of merges come along.

        What Salesforce does not show is deleted, save for a stored record that it does not list as deleted: our user may see it
        no more, and a conversion is taken back only for what is known.
        """
        asked = {one: long_id(one) for one in dict.fromkeys(ids)}
        wanted = [one for one in dict.fromkeys(asked.values()) if is_record_id(one)]
        if kind is ObjectKind.DEAL:
            found = await self._deals(wanted, None, beside)
        else:
            rows = await self._rows_with_survivors(kind, wanted)
            found = await self.complete(kind, rows, beside)
        shown = {record.ref.external_id for record in found if record.ref.kind is kind}
        hidden = await self._hidden(kind, [one for one in wanted if one not in shown])
        now = self.now()
        gone = [gone_record(RecordRef(kind, given), now) for given, one in asked.items() if one not in shown | hidden]
        return (*found, *gone)

    async def _hidden(self, kind: ObjectKind, missing: Sequence[str]) -> frozenset[str]:
        """Stored records that are not shown, and not deleted as far as Salesforce tells."""
        unlisted = [one for one in missing if one not in self.listed]
        held = await self.known(kind, unlisted) if unlisted else frozenset()
        return held - await deleted_among(self.api, kind, held, self.now()) if held else held

    async def _rows_with_survivors(self, kind: ObjectKind, ids: Sequence[str]) -> list[Json]:
        plan = self.plans.of(kind)
        rows: dict[str, Json] = {}
        wanted = list(ids)
        for _ in range(MERGES_DEEP):
            if not wanted:
                break
            (found,) = await self.api.all_rows(list(split(_by_id(plan, wanted))))
            rows.update((row_id(row), row) for row in found)
            survivors = [optional_id(row.get("MasterRecordId"), "a row's `MasterRecordId`") for row in found if is_deleted(row)]
            wanted = [one for one in dict.fromkeys(survivors) if one is not None and one not in rows]
        return list(rows.values())

    async def _deals(self, ids: Sequence[str], rows: Sequence[Json] | None, beside: Collection[str]) -> tuple[Record, ...]:
        """Deals by id in one request with their rows, where those are not known, and all that belongs to them."""
        plan = self.plans.of(ObjectKind.DEAL)
        with_people = plan.chosen.with_people
        row_queries = [] if rows is not None else list(split(_by_id(plan, ids)))
        roles = self._roles(ids) if with_people else []
        leads = self._leads_by(CONVERTED_DEAL, ids) if with_people else []
        changes = list(_history(plan, ids))
        spare = QUERIES_A_COMPOSITE - sum(map(bool, (row_queries, roles, leads, changes)))
        stages = list(_stages(plan, ids, max(min(spare, -(-len(ids) // DEALS_A_HISTORY)), 1)))
        found_rows, found_roles, found_leads, found_changes, found_stages = await self.api.all_rows(
            row_queries, roles, leads, changes, stages
        )
        shown = list(rows) if rows is not None else found_rows
        roles_of = _grouped(found_roles, "OpportunityId")
        leads_of = _grouped(found_leads, CONVERTED_DEAL)
        changes_of = _grouped(found_changes, plan.facts.history_key)
        stages_of = _grouped(found_stages, "OpportunityId")
        records = []
        for row in shown:
            own = row_id(row)
            people = people_of_deal(row, roles_of.get(own, ()), leads_of.get(own, ())) if with_people else None
            records.append(record_of(plan, row, Belongings(stages_of.get(own, ()), changes_of.get(own, ()), people)))
        linked = [link.ref for record in records for link in record.people or ()]
        strangers = await self._strangers(linked, found_leads, beside)
        return (*strangers, *records)

    async def _strangers(
        self, linked: Iterable[RecordRef], lead_rows: Sequence[Json], beside: Collection[str]
    ) -> tuple[Record, ...]:
        """The people on deals that are not known, with the leads that they were: the click id often stands only there."""
        contacts = [ref.external_id for ref in linked if ref.kind is ObjectKind.CONTACT]
        contacts += [one for row in lead_rows if (one := converted_contact(row)) is not None]
        unknown = await self._unknown(ObjectKind.CONTACT, contacts, beside)
        found_leads = {row_id(row): row for row in lead_rows}
        rows: Sequence[Json] = ()
        if unknown:
            contact_rows, more_leads = await self.api.all_rows(
                list(split(_by_id(self.plans.of(ObjectKind.CONTACT), unknown))), self._leads_by(CONVERTED_CONTACT, unknown)
            )
            rows = contact_rows
            found_leads.update((row_id(row), row) for row in more_leads)
        new_leads = await self._unknown(ObjectKind.LEAD, list(found_leads)) if self.plans.reads_leads else []
        return (
            *await self._plain(ObjectKind.CONTACT, rows),
            *await self._leads([found_leads[one] for one in new_leads], with_contacts=False),
        )

    async def _leads(
        self, rows: Sequence[Json], beside: Collection[str] = (), *, with_contacts: bool = True
    ) -> tuple[Record, ...]:
        """Leads with their history; the contact that one became comes along where it is not known."""
        plan = self.plans.of(ObjectKind.LEAD) if rows else None
        if plan is None:
            return ()
        live = [row for row in rows if not is_deleted(row)]
        became = [one for row in live if (one := converted_contact(row)) is not None] if with_contacts else []
        unknown = await self._unknown(ObjectKind.CONTACT, became, beside) if became else []
        contacts = self.plans.of(ObjectKind.CONTACT) if unknown else None
        contact_queries = [] if contacts is None else list(split(_by_id(contacts, unknown)))
        changes, contact_rows = await self.api.all_rows(list(_history(plan, list(map(row_id, live)))), contact_queries)
        changes_of = _grouped(changes, plan.facts.history_key)
        records = [record_of(plan, row, Belongings(changes=changes_of.get(row_id(row), ()))) for row in rows]
        return (*await self._plain(ObjectKind.CONTACT, contact_rows), *records)

    async def _plain(self, kind: ObjectKind, rows: Sequence[Json]) -> tuple[Record, ...]:
        """Contacts and accounts, with their history where it is mapped."""
        if not rows:
            return ()
        plan = self.plans.of(kind)
        (changes,) = await self.api.all_rows(list(_history(plan, [row_id(row) for row in rows if not is_deleted(row)])))
        changes_of = _grouped(changes, plan.facts.history_key)
        return tuple(record_of(plan, row, Belongings(changes=changes_of.get(row_id(row), ()))) for row in rows)

    async def _unknown(self, kind: ObjectKind, ids: Iterable[str], beside: Collection[str] = ()) -> list[str]:
        wanted = [one for one in dict.fromkeys(ids) if one not in beside]
        held = await self.known(kind, wanted) if wanted else frozenset()
        return [one for one in wanted if one not in held]

    def _roles(self, ids: Sequence[str]) -> list[Query]:
        if self.plans.roles is None:
            return []
        fields = tuple(one for one in ROLE_FIELDS if one in self.plans.roles.fields)
        return list(split(Query(ROLE, fields, among="OpportunityId", ids=tuple(ids))))

    def _leads_by(self, reference: str, ids: Sequence[str]) -> list[Query]:
        """The leads converted into these; a converted lead is hidden on Salesforce's pages, not from queries."""
        if not self.plans.has_leads:
            return []
        plan = self.plans.of(ObjectKind.LEAD)
        return list(split(Query(plan.facts.name, plan.fields, where=("IsConverted = true",), among=reference, ids=tuple(ids))))


def _by_id(plan: Plan, ids: Sequence[str]) -> Query:
    return Query(plan.facts.name, plan.fields, among="Id", ids=tuple(ids), with_deleted=True)


def _history(plan: Plan, ids: Sequence[str]) -> Iterable[Query]:
    """The mapped properties' rows of the field history."""
    if not plan.from_history:
        return ()
    key = plan.facts.history_key
    events = LEAD_EVENTS if plan.kind is ObjectKind.LEAD and STATUS in plan.from_history else ()
    fields = ("Id", key, "Field", "OldValue", "NewValue", "DataType", CREATED)
    where = (one_of("Field", [*sorted(plan.from_history), *events]),)
    return split(Query(plan.facts.history, fields, where=where, among=key, ids=tuple(ids)))


def _stages(plan: Plan, ids: Sequence[str], pieces: int) -> Iterable[Query]:
    """The rows of OpportunityHistory, which Salesforce always writes."""
    asked = plan.chosen.history_properties & STAGE_HISTORY_FIELDS
    if not asked:
        return ()
    fields = ("Id", "OpportunityId", *sorted(asked), CREATED)
    return split(Query(STAGE_HISTORY, fields, among="OpportunityId", ids=tuple(ids)), pieces)


def _grouped(rows: Iterable[Json], key: str) -> Mapping[str, list[Json]]:
    found: dict[str, list[Json]] = defaultdict(list)
    for row in rows:
        found[record_id(row.get(key), f"a row's `{key}`")].append(row)
    return found
