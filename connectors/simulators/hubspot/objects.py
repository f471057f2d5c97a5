"""Endpoints that read records: batch read, list and single read, with history and associations where asked for."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import islice

from connectors.simulators.hubspot.calls import Answer, Call, batch, json_list, json_names, json_object, record_number
from connectors.simulators.hubspot.catalogue import ObjectType, object_type_of
from connectors.simulators.hubspot.errors import Json, invalid, missing_scopes, not_found
from connectors.simulators.hubspot.instants import iso
from connectors.simulators.hubspot.portal import Portal
from connectors.simulators.hubspot.records import HistoryEntry, StoredRecord, Version

ROWS = 100
ROWS_WITH_HISTORY = 50
BIN_MS = 90 * 24 * 3600 * 1000


def told(portal: Portal, kind: ObjectType, record: StoredRecord, version: Version, names: Sequence[str]) -> Json:
    """A record as HubSpot tells it. Properties not asked for are absent, unknown names too; without names the default ones."""
    asked = names or (*kind.defaults, kind.cursor, "hs_object_id")
    known = portal.properties[kind.name]
    body: Json = {
        "id": str(record.id),
        "properties": {name: portal.values.of(record, version, name) for name in asked if name in known},
        "createdAt": iso(record.created_ms),
        "updatedAt": iso(version.modified_ms),
        "archived": record.archived_ms is not None,
    }
    if record.archived_ms is not None:
        body["archivedAt"] = iso(record.archived_ms)
    return body


def batch_read(call: Call) -> Answer:
    """`POST .../{type}/batch/read`."""
    body, kind = json_object(call.body), call.kind()
    names = json_names(body, "properties", is_required=True)
    with_history = json_names(body, "propertiesWithHistory", is_required=True)
    most = ROWS_WITH_HISTORY if with_history else ROWS
    inputs = [str(json_object(one, "inputs").get("id", "")) for one in json_list(body, "inputs", is_required=True)]
    if len(inputs) > most:
        raise invalid(
            f"The maximum number of inputs supported in a batch request for property reads is {most}", "BATCH_TOO_LARGE"
        )
    found, missing = _found(call, kind, list(dict.fromkeys(inputs)), _id_property(kind, body))
    results = [_with_history(call, kind, record, names, with_history) for record in found]
    return batch(call, results, [_missing(kind, missing)] if missing else [])


def list_records(call: Call) -> Answer:
    """`GET .../{type}`: all records, live or archived, by pages with an opaque cursor."""
    kind = call.kind()
    with_history = call.names("propertiesWithHistory")
    limit = call.number("limit", 10, ROWS_WITH_HISTORY if with_history else ROWS)
    shelf = call.portal.shelves[kind.name]
    ids = shelf.archived_ids if call.is_set("archived") else shelf.live_ids
    start = bisect_right(ids, _cursor_id(call.first("after")))
    there = (ids[place] for place in range(start, len(ids)) if not _has_left_the_bin(call, shelf.records[ids[place]]))
    page = list(islice(there, limit + 1))
    results = [_told_in_full(call, kind, shelf.records[one], with_history) for one in page[:limit]]
    body: Json = {"results": results}
    if len(page) > limit:
        body["paging"] = {"next": {"after": _cursor(page[limit - 1])}}
    return Answer(body)


def read_record(call: Call) -> Answer:
    """`GET .../{type}/{id}`."""
    kind = call.kind()
    found, _ = _found(call, kind, [call.path["record_id"]], _id_property(kind, {"idProperty": call.first("idProperty")}))
    if not found:
        raise not_found()
    return Answer(_told_in_full(call, kind, found[0], call.names("propertiesWithHistory")))


def _id_property(kind: ObjectType, body: Mapping[str, object]) -> str | None:
    name = body.get("idProperty")
    if name is None or name == "hs_object_id":
        return None
    if name not in {"contacts": ("email",), "companies": ("domain",)}.get(kind.name, ()):
        raise invalid(f"{name} is no unique identifier property", "INVALID_ID_PROPERTY")
    return str(name)


def _found(call: Call, kind: ObjectType, inputs: list[str], id_property: str | None) -> tuple[list[StoredRecord], list[str]]:
    """The records of these ids in order of id (HubSpot keeps no order of inputs), and the ids that gave none."""
    shelf, is_archived = call.portal.shelves[kind.name], call.is_set("archived")
    if id_property is None:
        numbers = {text: int(text) for text in inputs if text.isdigit()}
    else:
        held = {(record.version.values.get(id_property) or "").lower(): one for one, record in shelf.records.items()}
        numbers = {text: held[text.lower()] for text in inputs if text.lower() in held}
    records = {text: shelf.records[one] for text, one in numbers.items() if one in shelf.records}
    records = {text: one for text, one in records.items() if not _has_left_the_bin(call, one)}
    there = {text: one for text, one in records.items() if (one.archived_ms is not None) is is_archived}
    return sorted(there.values(), key=lambda one: one.id), [text for text in inputs if text not in there]


def _has_left_the_bin(call: Call, record: StoredRecord) -> bool:
    """True where a record was archived so long ago that nobody can restore it: it is shown no more."""
    return record.archived_ms is not None and record.archived_ms <= call.now_ms - BIN_MS


def _missing(kind: ObjectType, ids: list[str]) -> Json:
    message = f"Could not get some {kind.singular.upper()} objects, they may be deleted or not exist. Check that ids are valid."
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": message,
        "context": {"ids": ids},
    }


def _with_history(call: Call, kind: ObjectType, record: StoredRecord, names: Sequence[str], with_history: Sequence[str]) -> Json:
    body = told(call.portal, kind, record, record.version, names or with_history)
    if with_history:
        known = call.portal.properties[kind.name]
        histories = {name: call.portal.values.history(record, name) for name in with_history if name in known}
        body["propertiesWithHistory"] = {name: [_entry(one) for one in entries] for name, entries in histories.items()}
    return body


def _entry(entry: HistoryEntry) -> Json:
    body: Json = {"value": entry.value or "", "timestamp": iso(entry.at_ms), "sourceType": entry.source_type}
    return {**body, "sourceId": entry.source_id} if entry.source_id else body


def _told_in_full(call: Call, kind: ObjectType, record: StoredRecord, with_history: list[str]) -> Json:
    body = _with_history(call, kind, record, call.names("properties"), with_history)
    linked = {name: found for name in call.names("associations") if (found := _linked(call, kind, record, name))}
    return {**body, "associations": linked} if linked else body


def _linked(call: Call, kind: ObjectType, record: StoredRecord, name: str) -> Json | None:
    other = object_type_of(name)
    if other is None:
        raise invalid(f"Unable to infer object type from: {name}")
    if (scope := f"crm.objects.{other.name}.read") not in call.portal.granted:
        raise missing_scopes([scope])
    links = call.portal.associated(kind.name, record.id, other.name)
    if not links:
        return None
    page = links[: call.portal.association_page]
    body: Json = {"results": [{"id": str(one), "type": f"{kind.singular}_to_{other.singular}"} for one, _ in page]}
    if len(links) > len(page):
        body["paging"] = {"next": {"after": str(page[-1][0])}}
    return body


def _cursor(record_id: int) -> str:
    return base64.urlsafe_b64encode(str(record_id).encode()).decode()


def _cursor_id(after: str | None) -> int:
    if after is None:
        return -1
    try:
        return record_number(base64.urlsafe_b64decode(after).decode())
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid("after is no cursor of this list", "INVALID_CURSOR") from error
