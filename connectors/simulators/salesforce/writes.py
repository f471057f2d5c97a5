"""Writing over the API: one record, or up to 200 of them, each with its own errors."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from connectors.simulators.salesforce.calls import Answer, Call, json_list
from connectors.simulators.salesforce.catalogue import ObjectType
from connectors.simulators.salesforce.errors import Json, Refusal, refusal
from connectors.simulators.salesforce.objects import found_row
from connectors.simulators.salesforce.records import Transaction
from connectors.simulators.salesforce.table import Row
from connectors.simulators.salesforce.values import TEXTS, taken_in

if TYPE_CHECKING:
    from connectors.simulators.salesforce.org import Org

MOST_RECORDS = 200
_REQUIRED = {"Lead": ("LastName", "Company"), "Contact": ("LastName",), "Opportunity": ("Name", "StageName", "CloseDate")}


def update(call: Call) -> Answer:
    """`PATCH /sobjects/X/{id}`: 204."""
    kind = call.kind(call.path[1])
    row = found_row(call, kind, call.path[2])
    fields = dict(call.json_object())
    check(call.org, kind, row, fields)
    _write(call, kind, row, fields)
    return Answer(None, 204)


def create(call: Call) -> Answer:
    """`POST /sobjects/X`: 201 with the id."""
    kind, fields = call.kind(call.path[1]), dict(call.json_object())
    missing = [one for one in _REQUIRED.get(kind.name, ()) if not fields.get(one)]
    if missing:
        raise refusal(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
    _check_fields(call.org, kind, fields)
    record_id = "" if call.is_trial else call.org.create(kind.name, fields, call.now)
    return Answer({"id": record_id, "success": True, "errors": []}, 201)


def update_many(call: Call) -> Answer:
    """`PATCH /composite/sobjects`: 200 with a result a record; with allOrNone nothing is written where one fails."""
    body = call.json_object()
    records = json_list(body, "records")
    if len(records) > MOST_RECORDS:
        raise refusal(400, "LIMIT_EXCEEDED", f"record limit reached. cannot submit more than {MOST_RECORDS} records in this call")
    outcomes = [_checked(call, one) for one in records]
    if body.get("allOrNone") and any(isinstance(one, Refusal) for one in outcomes):
        rolled_back = refusal(400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back because not all records were valid")
        outcomes = [one if isinstance(one, Refusal) else rolled_back for one in outcomes]
    results: list[Json] = []
    for record, outcome in zip(records, outcomes, strict=True):
        if isinstance(outcome, Refusal):
            results.append(_failure(record, outcome))
        else:
            kind, row, fields = outcome
            _write(call, kind, row, fields)
            results.append({"id": row.id, "success": True, "errors": []})
    return Answer(results)


def check(org: "Org", kind: ObjectType, row: Row, fields: Mapping[str, object]) -> None:
    """Refuse what the org would refuse: fields, converted leads, locks, validation rules; nothing is written."""
    values = _check_fields(org, kind, fields)
    held = org.records.unpacked(kind.name, row)
    if kind.name == "Lead" and held.get("IsConverted") and not org.can_edit_converted:
        raise refusal(400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", [])
    if row.id in org.locked_ids:
        raise refusal(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", [])
    for name, is_broken, message in org.rules:
        if name == kind.name and is_broken({**held, **values}):
            raise refusal(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", message, [])


def _check_fields(org: "Org", kind: ObjectType, fields: Mapping[str, object]) -> dict[str, str | float | bool | None]:
    values: dict[str, str | float | bool | None] = {}
    for name, value in fields.items():
        field = org.schema.field(kind.name, name)
        if field is None:
            raise refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}")
        if not field.is_updateable or field.is_calculated:
            message = f"Unable to create/update fields: {name}. Please check the security settings of this field."
            raise refusal(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, [name])
        if field.type in TEXTS and isinstance(value, str) and len(value) > field.length:
            raise refusal(400, "STRING_TOO_LONG", f"{field.label}: data value too large (max length={field.length})", [name])
        if not field.is_nillable and value in (None, "") and field.type != "boolean":
            raise refusal(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{name}]", [name])
        try:
            values[field.name] = taken_in(field, value)
        except ValueError as error:
            raise refusal(400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of {field.type} for {name}") from error
    return values


def _checked(call: Call, record: Mapping[str, object]) -> tuple[ObjectType, Row, dict[str, object]] | Refusal:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    fields = {one: value for one, value in record.items() if one not in ("attributes", "id", "Id")}
    try:
        kind = call.org.schema.kind(str(name))
        if kind is None:
            raise refusal(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.", [])
        row = found_row(call, kind, str(record.get("id") or record.get("Id")))
        check(call.org, kind, row, fields)
    except Refusal as refused:
        return refused
    return kind, row, fields


def _failure(record: Mapping[str, object], refused: Refusal) -> Json:
    told = refused.body[0] if isinstance(refused.body, list) else {}
    code = "INVALID_CROSS_REFERENCE_KEY" if told.get("errorCode") == "NOT_FOUND" else told.get("errorCode")
    error = {"statusCode": code, "message": told.get("message"), "fields": told.get("fields", [])}
    return {"id": record.get("id") or record.get("Id"), "success": False, "errors": [error]}


def _write(call: Call, kind: ObjectType, row: Row, fields: Mapping[str, object]) -> None:
    if call.is_trial:
        return
    client = call.headers.get("sforce-call-options", "").partition("client=")[2].partition(",")[0].strip()
    call.org.note_write(kind.name, row.id, fields, client)
    canonical = {one.name: fields[name] for name in fields if (one := call.org.schema.field(kind.name, name)) is not None}
    call.org.records.change(kind.name, row, canonical, transaction(call.now))


def transaction(now: datetime) -> Transaction:
    """A change over the API, at this instant."""
    return Transaction(int(now.timestamp()) * 1000)
