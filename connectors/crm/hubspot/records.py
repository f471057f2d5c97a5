"""HubSpot's JSON becomes records, entries and people (pure)."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.contract.records import Entry, ObjectKind, PersonLink, Record, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection
from connectors.crm.hubspot.objects import ASSOCIATED_CONTACTS, MERGED_IDS, OBJECTS
from connectors.crm.hubspot.replies import instant, is_record_id, json_object, json_objects, record_id, text
from connectors.http.strict_json import Json

HUBSPOT_DEFINED = "HUBSPOT_DEFINED"
_PRIMARY = re.compile(r"\bprimary\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Association:
    """One record that another one is associated with, with the labels of all their associations.

    `is_primary`: HubSpot itself calls it so; a label of the customer's own must be the bare word.
    """

    id: str
    labels: tuple[str, ...] = ()
    type_ids: frozenset[int] = frozenset()
    is_primary: bool = False


@dataclass(frozen=True, slots=True)
class _Moment:
    value: str
    at: datetime
    source_type: str | None


def properties_to_read(kind: ObjectKind, chosen: ObjectSelection) -> frozenset[str]:
    """The properties to ask for: the selected ones and those that every record needs."""
    return chosen.fields | chosen.history_properties | OBJECTS[kind].base_properties


def histories_to_read(kind: ObjectKind, chosen: ObjectSelection) -> frozenset[str]:
    """The properties to ask with history; with a stage comes its pipeline, as stage ids are unique only within one."""
    pipeline = OBJECTS[kind].pipeline
    if pipeline is not None and OBJECTS[kind].stage in chosen.history_properties:
        return chosen.history_properties | {pipeline}
    return chosen.history_properties


def record_of(
    kind: ObjectKind,
    row: Json,
    chosen: ObjectSelection,
    people: tuple[PersonLink, ...] | None = None,
    company: RecordRef | None = None,
) -> Record:
    """One row of a batch read."""
    facts = OBJECTS[kind]
    own_id = row_id(row)
    values = _values(row)
    created = values.get(facts.created) or row.get("createdAt")
    return Record(
        ref=RecordRef(kind, own_id),
        modified_at=instant(values.get(facts.modified) or row.get("updatedAt"), f"a {kind}'s `{facts.modified}`"),
        created_at=instant(created, f"a {kind}'s `{facts.created}`") if created else None,
        fields={name: values[name] for name in sorted(chosen.fields) if name in values},
        entries=_entries(kind, row, values, chosen.history_properties),
        people=people,
        company=company,
        pipeline=(values.get(facts.pipeline) or None) if facts.pipeline else None,
        stage=(values.get(facts.stage) or None) if facts.stage else None,
        merged_ids=_merged_ids(values.get(MERGED_IDS), own_id),
    )


def row_id(row: Json) -> str:
    """The id of a row."""
    return record_id(row.get("id"), "a row's `id`")


def deleted_record(ref: RecordRef, at: datetime) -> Record:
    """What stands for a record that HubSpot no longer shows."""
    return Record(ref, modified_at=at, state=RecordState.DELETED)


def swallowed_record(ref: RecordRef, winner: Record) -> Record:
    """What stands for a record that was merged into another one."""
    return Record(ref, modified_at=winner.modified_at, state=RecordState.MERGED, merged_into=winner.ref)


def archived_at(row: Json) -> datetime | None:
    """When an archived row was archived, where HubSpot says so."""
    found = row.get("archivedAt")
    return instant(found, "an archived row's `archivedAt`") if found else None


def has_no_contacts(row: Json) -> bool:
    """True where HubSpot counts no contact on the deal."""
    return (_values(row).get(ASSOCIATED_CONTACTS) or "").strip() == "0"


def association_of(target: Json) -> Association:
    """One end of an association read."""
    types = json_objects(target.get("associationTypes"), "`associationTypes`")
    labels = {str(one["label"]) for one in types if isinstance(one.get("label"), str) and one["label"]}
    of_hubspot = [one for one in types if one.get("category", HUBSPOT_DEFINED) == HUBSPOT_DEFINED]
    defined = [one.get("typeId") for one in of_hubspot]
    return Association(
        id=record_id(target.get("toObjectId"), "an association's `toObjectId`"),
        labels=tuple(sorted(labels)),
        type_ids=frozenset(one for one in defined if isinstance(one, int)),
        is_primary=any(map(_says_primary, labels)) or any(_PRIMARY.search(str(one.get("label"))) for one in of_hubspot),
    )


def people_of(associations: Iterable[Association]) -> tuple[PersonLink, ...]:
    """The contacts on a deal or lead, the primary one first; a deal has none, a lead's is labelled so (whatever its type id)."""
    return tuple(
        PersonLink(RecordRef(ObjectKind.CONTACT, one.id), one.labels, one.is_primary)
        for one in sorted(associations, key=lambda one: (not one.is_primary, int(one.id)))
    )


def company_of(kind: ObjectKind, associations: Sequence[Association]) -> RecordRef | None:
    """The primary company; where none is marked, the only one."""
    primary = [one for one in associations if OBJECTS[kind].primary_company in one.type_ids or one.is_primary]
    found = primary[:1] or (list(associations) if len(associations) == 1 else [])
    return RecordRef(ObjectKind.COMPANY, found[0].id) if found else None


def _says_primary(label: str) -> bool:
    return label.strip().lower() == "primary"


def _values(row: Json) -> Mapping[str, str | None]:
    properties = json_object(row.get("properties") or {}, "a row's `properties`")
    return {name: text(value, f"property `{name}`") for name, value in properties.items()}


def _merged_ids(listed: str | None, own_id: str) -> tuple[str, ...]:
    ids = dict.fromkeys(part.strip() for part in (listed or "").split(";"))
    return tuple(one for one in ids if is_record_id(one) and one != own_id)


def _entries(kind: ObjectKind, row: Json, values: Mapping[str, str | None], asked: frozenset[str]) -> tuple[Entry, ...]:
    facts = OBJECTS[kind]
    histories = json_object(row.get("propertiesWithHistory") or {}, "a row's `propertiesWithHistory`")
    entries: list[Entry] = []
    for name in sorted(asked):
        pipelines: Sequence[_Moment] | None = None
        if facts.pipeline is not None and name == facts.stage:
            pipelines = _history(histories, facts.pipeline)
        current = values.get(facts.pipeline) if facts.pipeline else None
        entries += _entries_of(name, _history(histories, name), pipelines, current)
    return tuple(sorted(entries, key=lambda entry: entry.entered_at))


def _entries_of(
    name: str, history: Sequence[_Moment], pipelines: Sequence[_Moment] | None, current_pipeline: str | None
) -> list[Entry]:
    """The changes among the moments: a moment that repeats the value held (merges and imports write such) is none."""
    entries: list[Entry] = []
    for moment in history:
        pipeline = None if pipelines is None else _value_at(pipelines, moment.at) or current_pipeline or None
        last = entries[-1] if entries else None
        if last is None or (last.value, last.pipeline) != (moment.value, pipeline):
            entries.append(Entry(name, moment.value, moment.at, pipeline, vendor_ref=moment.source_type))
    return entries


def _value_at(history: Sequence[_Moment], at: datetime) -> str | None:
    """What the property held at the instant; before its first entry, what it was first given."""
    place = bisect_right(history, at, key=lambda moment: moment.at)
    return history[max(place - 1, 0)].value if history else None


def _history(histories: Json, name: str) -> list[_Moment]:
    """A property's moments in the order of time. Those of one instant keep the order in which they came about."""
    listed = [_moment(one, name) for one in json_objects(histories.get(name), f"the history of `{name}`")]
    if listed and listed[0].at >= listed[-1].at:
        listed.reverse()  # HubSpot gives the newest first
    return sorted(listed, key=lambda moment: moment.at)


def _moment(raw: Json, name: str) -> _Moment:
    source_type = raw.get("sourceType")
    return _Moment(
        value=text(raw.get("value"), f"the history of `{name}`") or "",
        at=instant(raw.get("timestamp"), f"a timestamp in the history of `{name}`"),
        source_type=source_type if isinstance(source_type, str) and source_type else None,
    )
