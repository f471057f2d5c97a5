"""Bodies of writes, judged as strictly as API v2 does: no type is coerced, null clears, an empty set is refused."""

from collections.abc import Callable, Mapping
from datetime import date

from connectors.simulators.pipedrive.catalogue import Field
from connectors.simulators.pipedrive.company import Company
from connectors.simulators.pipedrive.errors import Json, bad_request
from connectors.simulators.pipedrive.rows import Kind

LONGEST_VARCHAR = 255
Check = Callable[[object], bool]


def is_whole(value: object) -> bool:
    """A JSON integer, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """A JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: object) -> bool:
    """A JSON string."""
    return isinstance(value, str)


def is_flag(value: object) -> bool:
    """A JSON boolean."""
    return isinstance(value, bool)


def is_date(value: object) -> bool:
    """`YYYY-MM-DD`."""
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def is_whole_list(value: object) -> bool:
    """A list of integers."""
    return isinstance(value, list) and all(map(is_whole, value))


def is_contacts(value: object) -> bool:
    """A list of `{value, primary, label}`."""
    return isinstance(value, list) and all(isinstance(one, dict) and is_text(one.get("value")) for one in value)


_DEAL: Mapping[str, Check] = {
    **dict.fromkeys(("owner_id", "person_id", "org_id", "pipeline_id", "stage_id", "visible_to", "channel"), is_whole),
    **dict.fromkeys(("value", "probability"), is_number),
    **dict.fromkeys(("title", "currency", "status", "lost_reason", "channel_id"), is_text),
    **dict.fromkeys(("archive_time", "close_time", "won_time", "lost_time"), is_text),
    **dict.fromkeys(("is_deleted", "is_archived"), is_flag),
    "expected_close_date": is_date,
    "label_ids": is_whole_list,
}
_PERSON: Mapping[str, Check] = {
    **dict.fromkeys(("owner_id", "org_id", "visible_to"), is_whole),
    **dict.fromkeys(("name", "notes", "birthday", "job_title", "marketing_status"), is_text),
    **dict.fromkeys(("emails", "phones", "im"), is_contacts),
    "label_ids": is_whole_list,
    "postal_address": lambda value: isinstance(value, dict),
}
_LEAD: Mapping[str, Check] = {
    **dict.fromkeys(("owner_id", "person_id", "organization_id", "channel"), is_whole),
    **dict.fromkeys(("title", "channel_id", "visible_to"), is_text),
    **dict.fromkeys(("is_archived", "was_seen"), is_flag),
    "label_ids": lambda value: isinstance(value, list) and all(map(is_text, value)),
    "value": lambda value: isinstance(value, dict) and is_number(value.get("amount")) and is_text(value.get("currency")),
    "expected_close_date": is_date,
}
_KNOWN = {Kind.DEAL: _DEAL, Kind.PERSON: _PERSON, Kind.LEAD: _LEAD}
_CUSTOM: Mapping[str, Check] = {
    **dict.fromkeys(("varchar", "varchar_auto", "text", "phone", "time"), is_text),
    **dict.fromkeys(("double",), is_number),
    **dict.fromkeys(("enum", "org", "people", "user"), is_whole),
    **dict.fromkeys(("address", "daterange", "timerange"), lambda value: isinstance(value, dict)),
    "date": is_date,
    "set": lambda value: is_whole_list(value) and value != [],
    "monetary": lambda value: isinstance(value, dict) and is_number(value.get("value")) and is_text(value.get("currency")),
}


def checked_fields(company: Company, kind: Kind, body: Mapping[str, object]) -> Json:
    """The fields of a v2 PATCH, custom ones nested; 400 for an unknown name or a wrong type."""
    fields = {name: value for name, value in body.items() if name != "custom_fields"}
    _check(company, kind, fields)
    custom = body.get("custom_fields", {})
    if not isinstance(custom, dict):
        raise bad_request("custom_fields must be an object")
    _check_custom(company, kind, custom)
    return {**fields, "custom_fields": custom} if custom else dict(fields)


def checked_lead(company: Company, body: Mapping[str, object]) -> Json:
    """The fields of a v1 PATCH of a lead, custom ones flat."""
    known = company.catalogue.custom(Kind.LEAD)
    custom = {code: value for code, value in body.items() if code in known}
    fields = {name: value for name, value in body.items() if name not in known}
    _check(company, Kind.LEAD, fields)
    _check_custom(company, Kind.LEAD, custom)
    return {**fields, "custom_fields": custom} if custom else dict(fields)


def _check(company: Company, kind: Kind, fields: Mapping[str, object]) -> None:
    known = _KNOWN[kind]
    for name, value in fields.items():
        if name not in known:
            raise bad_request(f"Validation failed: {name}: unrecognized key")
        if value is not None and not known[name](value):
            raise bad_request(f"Validation failed: {name}: wrong type")
    if fields.get("stage_id") is not None and fields["stage_id"] not in company.catalogue.stages:
        raise bad_request("Validation failed: stage_id: unknown stage")
    if fields.get("pipeline_id") is not None and fields["pipeline_id"] not in company.catalogue.pipelines:
        raise bad_request("Validation failed: pipeline_id: unknown pipeline")
    if fields.get("status") not in (None, "open", "won", "lost"):
        raise bad_request("Validation failed: status: must be open, won or lost")


def _check_custom(company: Company, kind: Kind, custom: Mapping[str, object]) -> None:
    fields = company.catalogue.custom(kind)
    for code, value in custom.items():
        if code not in fields:
            raise bad_request(f"Validation failed: custom_fields.{code}: unrecognized key")
        if value is not None:
            _check_value(fields[code], value)


def _check_value(field: Field, value: object) -> None:
    if not _CUSTOM[field.type](value):
        raise bad_request(f"Validation failed: custom_fields.{field.code}: wrong type for {field.type}")
    if field.type == "varchar" and len(str(value)) > LONGEST_VARCHAR:
        raise bad_request(f"Validation failed: custom_fields.{field.code}: longer than {LONGEST_VARCHAR} characters")
    chosen = value if isinstance(value, list) else [value]
    if field.type in ("enum", "set") and not set(chosen) <= {option.id for option in field.options}:
        raise bad_request(f"Validation failed: custom_fields.{field.code}: unknown option")
