"""Endpoints that write: records by batch and one by one, properties and their groups."""

from collections.abc import Mapping

from connectors.simulators.hubspot.calls import Answer, Call, batch, json_list, json_object, record_number
from connectors.simulators.hubspot.catalogue import ObjectType, Option, Property, labelled
from connectors.simulators.hubspot.errors import Json, Refusal, invalid, not_found, refusal
from connectors.simulators.hubspot.metadata import told_property
from connectors.simulators.hubspot.objects import ROWS, told
from connectors.simulators.hubspot.portal import Portal
from connectors.simulators.hubspot.records import StoredRecord

SOURCE = "INTEGRATION"
LONGEST_TEXT = 65_536
TRACE = "objectWriteTraceId"
TYPES = frozenset({"bool", "date", "datetime", "enumeration", "number", "phone_number", "string"})
CREATED = 201


def batch_update(call: Call) -> Answer:
    """`POST .../{type}/batch/update`: each input by itself; its trace id comes back with its result or its error."""
    kind = call.kind()
    inputs = [json_object(one, "inputs") for one in json_list(json_object(call.body), "inputs", is_required=True)]
    if len(inputs) > ROWS:
        raise invalid(f"The maximum number of inputs supported in a batch request is {ROWS}", "BATCH_TOO_LARGE")
    results: list[Json] = []
    errors: list[Json] = []
    for one in inputs:
        trace = one.get(TRACE)
        traced: Json = {} if trace is None else {TRACE: str(trace)}
        try:
            results.append({**_written(call, kind, str(one.get("id", "")), one.get("properties")), **traced})
        except Refusal as refused:
            errors.append(_error(refused, str(one.get("id", "")), traced))
    results.sort(key=lambda result: int(str(result["id"])))
    return batch(call, results, errors)


def update_record(call: Call) -> Answer:
    """`PATCH .../{type}/{id}`."""
    return Answer(_written(call, call.kind(), call.path["record_id"], json_object(call.body).get("properties")))


def create_property(call: Call) -> Answer:
    """`POST /crm/properties/.../{type}`: 409 where it exists."""
    kind, body = call.kind(), json_object(call.body)
    name, group, kind_of_value = (_word(body, key) for key in ("name", "groupName", "type"))
    known = call.portal.properties[kind.name]
    if name in known:
        raise refusal(409, "OBJECT_ALREADY_EXISTS", f"A property named '{name}' already exists.")
    if group not in {one.group for one in known.values()} | {found for of, found in call.portal.groups if of == kind.name}:
        raise invalid(f"The property group {group} does not exist", "PROPERTY_GROUP_DOESNT_EXIST")
    if kind_of_value not in TYPES:
        raise invalid(f"{kind_of_value} is no type of a property", "INVALID_TYPE")
    chosen = [json_object(one, "options") for one in json_list(body, "options")]
    options = tuple(Option(_word(one, "value"), _word(one, "label")) for one in chosen)
    known[name] = labelled(Property(name, kind_of_value, str(body.get("label") or ""), options, is_custom=True, group=group))
    return Answer(told_property(call.portal, kind, known[name]), CREATED)


def create_group(call: Call) -> Answer:
    """`POST /crm/properties/.../{type}/groups`."""
    kind, body = call.kind(), json_object(call.body)
    name = _word(body, "name")
    if (kind.name, name) in call.portal.groups:
        raise refusal(409, "OBJECT_ALREADY_EXISTS", f"A property group named '{name}' already exists.")
    call.portal.groups.add((kind.name, name))
    return Answer({"name": name, "label": str(body.get("label") or name), "displayOrder": -1, "archived": False}, CREATED)


def _word(body: Mapping[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise invalid(f"Some required fields were not set: [{key}]", "REQUIRED_FIELD", properties=[key])
    return value


def _written(call: Call, kind: ObjectType, record_id: str, properties: object) -> Json:
    """Write one record, judged as HubSpot judges writes by API; "" empties a value."""
    record = call.portal.shelves[kind.name].records.get(record_number(record_id))
    if record is None or record.archived_ms is not None:
        raise not_found()
    values = {name: _text(name, value) for name, value in json_object(properties, "properties").items()}
    for name, value in values.items():
        _check_value(call.portal, kind, name, value)
    _check_rules(call.portal, kind, record, values)
    try:
        call.portal.update(kind.name, record_id, values, call.now, source_type=SOURCE)
    except ValueError as error:
        raise invalid(str(error), "INVALID_OPTION") from error
    return told(call.portal, kind, record, record.version, (*values, kind.cursor, "hs_object_id"))


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    raise invalid(f"{name} takes text", "INVALID_VALUE", propertyName=[name])


def _check_value(portal: Portal, kind: ObjectType, name: str, value: str | None) -> None:
    known = portal.properties[kind.name].get(name)
    if known is None:
        raise invalid(f'Property "{name}" does not exist', "PROPERTY_DOESNT_EXIST", propertyName=[name])
    if known.is_read_only:
        raise invalid(f'"{name}" is a read only property; its value cannot be set.', "READ_ONLY_VALUE", propertyName=[name])
    if value and len(value) > LONGEST_TEXT:
        raise invalid(f"{name} is longer than {LONGEST_TEXT} characters", "PROPERTY_VALUE_TOO_LONG", propertyName=[name])
    if value and known.options and value not in {option.value for option in known.options}:
        raise invalid(f"{name} has no such option", "INVALID_OPTION", propertyName=[name])


def _check_rules(portal: Portal, kind: ObjectType, record: StoredRecord, values: Mapping[str, str | None]) -> None:
    after = {**record.version.values, **values}
    for rule in portal.rules:
        if rule.object_type == kind.name and after.get(rule.when) == rule.value and not after.get(rule.needed):
            raise invalid(f"{rule.needed} is required", "REQUIRED_PROPERTY", propertyName=[rule.needed])


def _error(refused: Refusal, record_id: str, traced: Json) -> Json:
    """A single input's error of a batch."""
    body = refused.body if isinstance(refused.body, dict) else {"message": refused.body}
    context: Json = {"ids": [record_id], **{name: [value] for name, value in traced.items()}}
    return {**body, "status": "error", "context": context}
