"""`/sobjects`: descriptions, single records, and the lists of what was changed and what was deleted."""

from collections.abc import Sequence
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime

from connectors.simulators.salesforce.calls import Answer, Call
from connectors.simulators.salesforce.catalogue import OBJECTS, Field, ObjectType
from connectors.simulators.salesforce.errors import Json, not_found, refusal
from connectors.simulators.salesforce.evaluation import Evaluator
from connectors.simulators.salesforce.ids import long_id, make_id
from connectors.simulators.salesforce.instants import moment, rest_text
from connectors.simulators.salesforce.queries import told_row
from connectors.simulators.salesforce.table import Row, value_at

_DAY_MS = 24 * 3600 * 1000
_MINUTE_MS = 60 * 1000
KEPT_DAYS = 30
MASTER_RECORD_TYPE = make_id("012", 0)


def list_objects(call: Call) -> Answer:
    """`GET /sobjects`: the objects that the user can see."""
    seen = [one for one in OBJECTS.values() if call.org.schema.is_visible(one)]
    return Answer({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [_about(call, one) for one in seen]})


def describe(call: Call) -> Answer:
    """`GET /sobjects/X/describe`; 304 where nothing changed since If-Modified-Since."""
    kind = call.kind(call.path[1])
    changed_at = moment(call.org.schema.changed_ms[kind.name] // 1000 * 1000)
    headers = {"Last-Modified": format_datetime(changed_at, usegmt=True)}
    since = call.headers.get("if-modified-since")
    if since is not None and changed_at <= parsedate_to_datetime(since):
        return Answer(None, 304, headers)
    fields = [_told_field(one) for one in call.org.schema.seen(kind.name)]
    types = [{"recordTypeId": MASTER_RECORD_TYPE, "name": "Master", "master": True, "available": True, "active": True}]
    return Answer({**_about(call, kind), "fields": fields, "recordTypeInfos": types}, headers=headers)


def read_record(call: Call) -> Answer:
    """`GET /sobjects/X/{id}`, with `fields` to choose some."""
    kind = call.kind(call.path[1])
    row = found_row(call, kind, call.path[2])
    names = [one for one in call.query.get("fields", "").split(",") if one] or [
        one.name for one in call.org.schema.seen(kind.name)
    ]
    evaluator = Evaluator(call.org.schema, with_deleted=False)
    return Answer(told_row(call, kind, [evaluator.path(kind, one) for one in names], row))


def updated(call: Call) -> Answer:
    """`GET /sobjects/X/updated?start=&end=`: ids of what changed and is still there."""
    kind, (start, end) = call.kind(call.path[1]), _range(call)
    table = call.org.schema.tables[kind.name]
    is_shown = Evaluator(call.org.schema, with_deleted=False).shown(kind)
    name = "SystemModstamp" if "SystemModstamp" in table.columns else "CreatedDate"
    ids = [row.id for row in table.ordered(name).between(start, end - 1) if is_shown(row)]
    _check_count(call, ids)
    covered = min(end, call.now_ms, *([since] if (since := table.open_since()) is not None else []))
    return Answer({"ids": ids, "latestDateCovered": rest_text(covered // _MINUTE_MS * _MINUTE_MS)})


def deleted(call: Call) -> Answer:
    """`GET /sobjects/X/deleted?start=&end=`: ids of what was deleted, from the recycle bin too."""
    kind, (start, end) = call.kind(call.path[1]), _range(call)
    deletions = call.org.schema.tables[kind.name].deletions
    found = [(at_ms, one) for one, at_ms in deletions.items() if start <= at_ms < end]
    _check_count(call, found)
    return Answer(
        {
            "deletedRecords": [{"id": one, "deletedDate": rest_text(at_ms)} for at_ms, one in sorted(found)],
            "earliestDateAvailable": rest_text(call.now_ms - KEPT_DAYS * _DAY_MS),
            "latestDateCovered": rest_text(min(end, call.now_ms) // _MINUTE_MS * _MINUTE_MS),
        }
    )


def picklist_values(call: Call) -> Answer:
    """`GET /ui-api/object-info/X/picklist-values/{recordTypeId}/{field}`."""
    kind = call.kind(call.path[2])
    field = call.org.schema.field(kind.name, call.path[5])
    if field is None or not field.choices:
        raise not_found()
    values: list[Json] = [
        {"attributes": None, "label": one.label or one.value, "validFor": [], "value": one.value}
        for one in field.choices
        if one.is_active
    ]
    return Answer({"controllerValues": {}, "defaultValue": None, "url": "/".join((call.root, *call.path)), "values": values})


def limits(call: Call) -> Answer:
    """`GET /limits`; the call itself counts."""
    daily = call.org.limits.daily
    left = max(daily - call.org.limits.used(call.now), 0)
    return Answer(
        {
            "DailyApiRequests": {"Max": daily, "Remaining": left},
            "DailyBulkV2QueryFileStorageMB": {"Max": 976_562, "Remaining": 976_562},
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": 10_000},
            "DailyDeliveredPlatformEvents": {"Max": 25_000, "Remaining": 25_000},
        }
    )


def found_row(call: Call, kind: ObjectType, text: str) -> Row:
    """The record of an id that the API shows; 404 for one that is not there, or in the recycle bin."""
    try:
        row = call.org.schema.tables[kind.name].rows.get(long_id(text))
    except ValueError as error:
        raise not_found(f"Provided external ID field does not exist or is not accessible: {text[:18]}") from error
    if row is None or row.shown is None:
        raise not_found()
    if kind.has_bin and value_at(row.shown, call.org.schema.tables[kind.name].columns["IsDeleted"]):
        raise refusal(404, "ENTITY_IS_DELETED", "entity is deleted")
    return row


def _range(call: Call) -> tuple[int, int]:
    """Start and end with their seconds cut off, no further back than 30 days."""
    start, end = (call.instant(name) // _MINUTE_MS * _MINUTE_MS for name in ("start", "end"))
    if start >= end:
        raise refusal(400, "INVALID_REPLICATION_DATE", "startDate should be less than endDate")
    if start < call.now_ms - timedelta(days=KEPT_DAYS) // timedelta(milliseconds=1):
        raise refusal(400, "INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days ago")
    return start, end


def _check_count(call: Call, found: Sequence[object]) -> None:
    if len(found) > call.org.most_ids:
        raise refusal(400, "EXCEEDED_ID_LIMIT", f"exceeded maximum number of ids: {call.org.most_ids}")


def _about(call: Call, kind: ObjectType) -> Json:
    return {
        "name": kind.name,
        "label": kind.name,
        "keyPrefix": None if kind.history_of else kind.prefix,
        "custom": False,
        "queryable": True,
        "retrieveable": True,
        "createable": not kind.history_of,
        "updateable": not kind.history_of,
        "deletable": not kind.history_of,
        "replicateable": True,
        "urls": {
            "sobject": f"{call.root}/sobjects/{kind.name}",
            "describe": f"{call.root}/sobjects/{kind.name}/describe",
            "rowTemplate": f"{call.root}/sobjects/{kind.name}/{{ID}}",
        },
    }


def _told_field(field: Field) -> Json:
    choices = [
        {"active": one.is_active, "defaultValue": False, "label": one.label or one.value, "validFor": None, "value": one.value}
        for one in field.choices
    ]
    is_text = field.type in ("string", "email", "phone", "picklist", "url", "textarea", "multipicklist")
    return {
        "name": field.name,
        "label": field.label,
        "type": field.type,
        "custom": field.is_custom,
        "length": 18 if field.type in ("id", "reference") else field.length if is_text else 0,
        "picklistValues": choices,
        "calculated": field.is_calculated,
        "filterable": field.is_filterable,
        "sortable": field.is_sortable,
        "groupable": field.is_filterable,
        "nillable": field.is_nillable,
        "createable": field.is_updateable,
        "updateable": field.is_updateable and not field.is_calculated,
        "externalId": False,
        "unique": field.type == "id",
        "idLookup": field.type in ("id", "email"),
        "referenceTo": [field.refers_to] if field.refers_to else [],
        "relationshipName": field.relationship or None,
    }
