"""Salesforce's rows become records, entries and people (pure)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connectors.contract.records import Entry, EntryOrigin, ObjectKind, PersonLink, Record, RecordRef, RecordState
from connectors.crm.salesforce.objects import (
    CONVERTED_CONTACT,
    CREATED,
    DEAL_CONTACT,
    IS_EARLY,
    MASTER,
    PERSON_ACCOUNT,
    STAGE_HISTORY_FIELDS,
    Plan,
)
from connectors.crm.salesforce.replies import instant, json_object, optional_id, record_id, text, unexpected
from connectors.http.strict_json import Json, is_true

IDS_ONLY = "EntityId"
# Salesforce's instants are whole seconds.
WITHIN_ITS_SECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Belongings:
    """What was read beside a row. `stages` are its rows of OpportunityHistory, `changes` those of its field history."""

    stages: Sequence[Json] = ()
    changes: Sequence[Json] = ()
    people: tuple[PersonLink, ...] | None = None


def row_id(row: Json) -> str:
    """The id of a row."""
    return record_id(row.get("Id"), "a row's `Id`")


def modified_at(row: Json, stamp: str) -> datetime:
    """When a row was last modified, as its windows go by."""
    return instant(row.get(stamp), f"a row's `{stamp}`")


def is_deleted(row: Json) -> bool:
    """True for a row in the recycle bin, or one that was merged away."""
    return is_true(row.get("IsDeleted"))


def record_of(plan: Plan, row: Json, beside: Belongings = Belongings()) -> Record:
    """One row with what belongs to it; of a deleted one only what became of it, and that a lead is its contact."""
    ref = RecordRef(plan.kind, row_id(row))
    at = modified_at(row, plan.stamp)
    if is_deleted(row):
        gone = gone_record(ref, at, optional_id(row.get(MASTER), f"a row's `{MASTER}`"))
        return replace(gone, people=_people(plan, row, Belongings())) if converted_contact(row) else gone
    created = row.get(CREATED)
    created_at = instant(created, f"a row's `{CREATED}`") if created else None
    stage, company = plan.facts.stage, plan.facts.company
    company_id = optional_id(row.get(company), f"a row's `{company}`") if company and plan.chosen.with_company else None
    return Record(
        ref=ref,
        # What was read too early is stored as a little older than it is, so that the next poll reads it again.
        modified_at=at - WITHIN_ITS_SECOND if row.get(IS_EARLY) else at,
        created_at=created_at,
        fields={name: _value(row, name) for name in sorted(plan.chosen.fields)},
        entries=_entries(plan, row, beside, created_at, at),
        people=_people(plan, row, beside),
        company=None if company_id is None else RecordRef(ObjectKind.COMPANY, company_id),
        stage=(text(row.get(stage), f"field `{stage}`") or None) if stage else None,
    )


def gone_record(ref: RecordRef, at: datetime, survivor: str | None = None) -> Record:
    """What stands for a record that was deleted, or merged into another one."""
    if survivor is None or survivor == ref.external_id:
        return Record(ref, modified_at=at, state=RecordState.DELETED)
    return Record(ref, modified_at=at, state=RecordState.MERGED, merged_into=RecordRef(ref.kind, survivor))


def people_of_deal(row: Json, roles: Iterable[Json], leads: Iterable[Json]) -> tuple[PersonLink, ...]:
    """The contacts with a role; where there are none, whom the deal's converted lead, its contact or its person account names.

    `leads` are those converted into the deal.
    """
    found: dict[str, PersonLink] = {}
    for role in sorted(roles, key=lambda one: (not is_true(one.get("IsPrimary")), str(one.get(CREATED)))):
        contact = optional_id(role.get("ContactId"), "a role's `ContactId`")
        if contact is None:
            continue
        before = found.get(contact)
        label = text(role.get("Role"), "a role's `Role`")
        labels = dict.fromkeys([*(before.labels if before else ()), *([label] if label else [])])
        is_primary = is_true(role.get("IsPrimary")) or (before is not None and before.is_primary)
        found[contact] = PersonLink(RecordRef(ObjectKind.CONTACT, contact), tuple(labels), is_primary)
    return tuple(found.values()) or _without_roles(row, list(leads))


def role_deals(roles: Iterable[Json]) -> list[str]:
    """The deals that these roles are on."""
    return list(dict.fromkeys(record_id(role.get("OpportunityId"), "a role's `OpportunityId`") for role in roles))


def converted_contact(row: Json) -> str | None:
    """The contact that a lead became."""
    return optional_id(row.get(CONVERTED_CONTACT), f"a lead's `{CONVERTED_CONTACT}`")


def _value(row: Json, name: str) -> str | None:
    """A field that was asked for: Salesforce gives an empty one as null, so a missing one is garbage."""
    if name not in row:
        raise unexpected(f"a row has no field `{name}`")
    return text(row[name], f"field `{name}`")


def _without_roles(row: Json, leads: Sequence[Json]) -> tuple[PersonLink, ...]:
    account = json_object(row.get("Account") or {}, "a deal's `Account`")
    flag, person = PERSON_ACCOUNT
    candidates = [
        *(converted_contact(lead) for lead in leads),
        optional_id(row.get(DEAL_CONTACT), f"a deal's `{DEAL_CONTACT}`"),
        optional_id(account.get(person), f"an account's `{person}`") if is_true(account.get(flag)) else None,
    ]
    for contact in candidates:
        if contact is not None:
            return (PersonLink(RecordRef(ObjectKind.CONTACT, contact)),)
    return tuple(PersonLink(RecordRef(ObjectKind.LEAD, row_id(lead))) for lead in leads[:1])


def _people(plan: Plan, row: Json, beside: Belongings) -> tuple[PersonLink, ...] | None:
    """A converted lead is its contact, whatever the selection asks: both are one lead."""
    if plan.kind is not ObjectKind.LEAD:
        return beside.people
    contact = converted_contact(row)
    if contact is not None:
        return (PersonLink(RecordRef(ObjectKind.CONTACT, contact)),)
    return () if plan.chosen.with_people else None


def _entries(plan: Plan, row: Json, beside: Belongings, created_at: datetime | None, at: datetime) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    for name in sorted(plan.chosen.history_properties):
        held = _value(row, name) or ""
        if plan.kind is ObjectKind.DEAL and name in STAGE_HISTORY_FIELDS:
            told = _staged(name, beside.stages)
        else:
            came_with_conversion = plan.kind is ObjectKind.LEAD and name == plan.facts.stage and is_true(row.get("IsConverted"))
            since = None if came_with_conversion else held
            told = _tracked(plan, name, beside.changes, since, created_at)
            told += _conversion(name, beside.changes, held, told) if came_with_conversion else []
        if not told or (told[-1].value != held and told[-1].entered_at < at and _may_be_untold(plan, name, row)):
            told += _observed(plan, name, held, at)
        entries += told
    return tuple(sorted(entries, key=lambda entry: entry.entered_at))


def _may_be_untold(plan: Plan, name: str, row: Json) -> bool:
    """A tracked history is right against the row (a renamed choice moves rows only), save for the status of a conversion."""
    if plan.kind is ObjectKind.DEAL and name in STAGE_HISTORY_FIELDS:
        return False
    return name not in plan.tracked or is_true(row.get("IsConverted"))


def _observed(plan: Plan, name: str, held: str, at: datetime) -> list[Entry]:
    """What no history tells, as it was seen at the row's modification. That a tracked property was never set is known."""
    is_known = not held and name in plan.tracked
    return [] if is_known else [Entry(name, held, at, origin=EntryOrigin.OBSERVED, is_approximate=True)]


def _staged(name: str, rows: Sequence[Json]) -> list[Entry]:
    """The changes of one property among the rows of OpportunityHistory, each of which holds all values after a change."""
    entries: list[Entry] = []
    for row in _in_time(rows):
        value = text(row.get(name), f"`{name}` in a deal's history") or ""
        if not entries or entries[-1].value != value:
            entries.append(Entry(name, value, _behind(entries, _at(row)), vendor_ref=row_id(row)))
    return entries


def _tracked(plan: Plan, name: str, rows: Sequence[Json], held: str | None, created_at: datetime | None) -> list[Entry]:
    """The value since creation, then each change. A history that was switched on late begins with what was held before it.

    `held`: the value where it may be that of the creation, None where it came later.
    """
    own = _of_field(name, rows)
    entries: list[Entry] = []
    if created_at is not None and (own or name in plan.tracked):
        first = text(own[0].get("OldValue"), f"an old value of `{name}`") if own else held
        if first:
            entries.append(Entry(name, first, created_at))
    for row in own:
        value = text(row.get("NewValue"), f"a new value of `{name}`") or ""
        if not entries or entries[-1].value != value:
            at = _behind(entries, max(_at(row), created_at or _at(row)))
            entries.append(Entry(name, value, at, vendor_ref=row_id(row)))
    return entries


def _conversion(name: str, rows: Sequence[Json], held: str, told: Sequence[Entry]) -> list[Entry]:
    """A lead's status may change with its conversion without a row of its own: the row of the conversion then has the instant.

    Its name is read leniently (`leadConverted`). ConvertedDate is a date without a time and never an entry's instant.
    """
    if told and told[-1].value == held:
        return []
    converted = [row for row in _in_time(rows) if "convert" in str(row.get("Field")).lower()]
    late = [row for row in converted if not told or _at(row) >= told[-1].entered_at.replace(microsecond=0)]
    return [Entry(name, held, _behind(told, _at(late[-1])), vendor_ref=row_id(late[-1]))] if late else []


def _behind(told: Sequence[Entry], at: datetime) -> datetime:
    """The instant of the next change. Of several in one second the order counts: a deal that was won and lost in it is lost."""
    return max(at, told[-1].entered_at + WITHIN_ITS_SECOND) if told else at


def _of_field(name: str, rows: Sequence[Json]) -> list[Json]:
    """The changes of a field in the order of time. A lookup's change has two rows, ids and names: the ids are the field's values.

    Rows of long texts hold no values, so they tell nothing.
    """
    own = [
        row for row in rows if row.get("Field") == name and (row.get("OldValue") is not None or row.get("NewValue") is not None)
    ]
    ids = [row for row in own if row.get("DataType") == IDS_ONLY]
    return _in_time(ids or own)


def _in_time(rows: Iterable[Json]) -> list[Json]:
    """By instant; those of one instant stay as Salesforce ordered them, by id."""
    return sorted((row for row in rows if not is_deleted(row)), key=_at)


def _at(row: Json) -> datetime:
    return instant(row.get(CREATED), f"a history's `{CREATED}`")
