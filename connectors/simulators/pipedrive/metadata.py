"""What a company is set up with, as its API tells: pipelines, stages, fields, currencies, users."""

from collections.abc import Callable, Sequence
from itertools import islice

from connectors.simulators.pipedrive.calls import Answer, Call, item, listing
from connectors.simulators.pipedrive.catalogue import FIELD_TYPES, Field, Option, Stage, User
from connectors.simulators.pipedrive.errors import Json, bad_request
from connectors.simulators.pipedrive.pages import seal, unseal

_AT = "2024-01-01T00:00:00Z"
_SUBFIELDS = {"monetary": (("value", "Amount", "double"), ("currency", "Currency", "varchar"))}
_EXTRAS = frozenset({"ui_visibility", "important_fields", "required_fields"})


def pipelines(call: Call) -> Answer:
    """`GET /api/v2/pipelines`."""
    rows: list[Json] = [
        {
            "id": one.id,
            "name": one.name,
            "order_nr": one.order_nr,
            "is_deleted": one.is_deleted,
            "is_deal_probability_enabled": one.is_deal_probability_enabled,
            "add_time": _AT,
            "update_time": _AT,
        }
        for one in call.company.catalogue.pipelines.values()
    ]
    return _paged(call, _in_order(call, rows))


def stages(call: Call) -> Answer:
    """`GET /api/v2/stages`, of one pipeline or of all."""
    of = call.number("pipeline_id")
    rows = [_stage(one) for one in call.company.catalogue.stages.values() if of in (None, one.pipeline_id)]
    return _paged(call, _in_order(call, rows))


def deal_fields(call: Call) -> Answer:
    """`GET /api/v2/dealFields`."""
    return _fields(call, "deal")


def person_fields(call: Call) -> Answer:
    """`GET /api/v2/personFields`."""
    return _fields(call, "person")


def organization_fields(call: Call) -> Answer:
    """`GET /api/v2/organizationFields`."""
    return _fields(call, "organization")


def create_deal_field(call: Call) -> Answer:
    """`POST /api/v2/dealFields`."""
    return _create(call, "deal")


def create_person_field(call: Call) -> Answer:
    """`POST /api/v2/personFields`."""
    return _create(call, "person")


def currencies(call: Call) -> Answer:
    """`GET /v1/currencies`, custom ones too."""
    term = (call.first("term") or "").lower()
    rows = [
        {
            "id": one.id,
            "code": one.code,
            "name": one.name,
            "decimal_points": one.decimal_points,
            "symbol": one.symbol,
            "active_flag": True,
            "is_custom_flag": one.is_custom,
        }
        for one in call.company.catalogue.currencies.values()
        if term in one.code.lower() or term in one.name.lower()
    ]
    return item(rows)


def users(call: Call) -> Answer:
    """`GET /v1/users`."""
    return item([user_row(call, one) for one in call.company.catalogue.users.values()])


def me(call: Call) -> Answer:
    """`GET /v1/users/me`: who the token is, and the company."""
    company = call.company
    return item(
        {
            **user_row(call, company.catalogue.users[call.caller.user_id]),
            "company_id": company.company_id,
            "company_name": company.name,
            "company_domain": company.domain,
            "company_country": "DE",
            "company_industry": "IT Services",
            "language": {"language_code": "en", "country_code": "US"},
        }
    )


def user_row(call: Call, user: User) -> Json:
    """A user as v1 writes him; times are text without zone."""
    access = [
        {"app": app, "admin": user.is_admin, "permission_set_id": f"62cc4d7f-4038-4352-abf3-{number:012d}"}
        for number, app in enumerate(("sales", "global", "account_settings"), start=user.id * 10)
    ]
    return {
        "id": user.id,
        "name": user.name,
        "default_currency": call.company.currency,
        "locale": "en_US",
        "lang": 1,
        "email": user.email,
        "phone": None,
        "activated": True,
        "last_login": "2024-01-01 08:45:56",
        "created": "2024-01-01 00:00:00",
        "modified": "2024-01-01 08:45:56",
        "has_created_company": user.id == call.company.admin,
        "access": access,
        "active_flag": True,
        "timezone_name": call.company.time_zone,
        "timezone_offset": call.now.astimezone(call.company.zone).strftime("%z")[:3] + ":00",
        "role_id": 1,
        "icon_url": None,
        "is_you": user.id == call.caller.user_id,
        "is_deleted": False,
    }


def _stage(stage: Stage) -> Json:
    return {
        "id": stage.id,
        "order_nr": stage.order_nr,
        "name": stage.name,
        "is_deleted": stage.is_deleted,
        "deal_probability": stage.deal_probability,
        "pipeline_id": stage.pipeline_id,
        "is_deal_rot_enabled": False,
        "days_to_rotten": None,
        "add_time": _AT,
        "update_time": _AT,
    }


def _fields(call: Call, kind: str) -> Answer:
    extras = frozenset(call.names("include_fields"))
    if extras - _EXTRAS:
        raise bad_request("Parameter include_fields takes ui_visibility, important_fields and required_fields")
    return _paged(call, [_field(one, kind, extras) for one in call.company.catalogue.of(kind).values()])


def _field(field: Field, kind: str, extras: frozenset[str]) -> Json:
    told: Json = {
        "field_name": field.name,
        "field_code": field.code,
        "description": "",
        "field_type": field.type,
        "options": [_option(one) for one in field.options] or None,
        "subfields": [
            {"field_code": code, "field_name": name, "field_type": one} for code, name, one in _SUBFIELDS.get(field.type, ())
        ]
        or None,
        "is_custom_field": field.is_custom,
        "is_optional_response_field": field.is_optional,
    }
    if "ui_visibility" in extras:
        told["ui_visibility"] = {"add_visible_flag": True, "details_visible_flag": True}
    if "important_fields" in extras:
        told["important_fields"] = {"enabled": False, "stage_ids": []}
    if "required_fields" in extras:
        told["required_fields"] = {"enabled": False, **({"stage_ids": [], "statuses": {}} if kind == "deal" else {})}
    return told


def _option(option: Option) -> Json:
    return {"id": option.id, "label": option.label, **({"color": option.color} if option.color else {})}


def _create(call: Call, kind: str) -> Answer:
    body = call.json_object()
    name, field_type, options = body.get("field_name"), body.get("field_type"), body.get("options")
    if not isinstance(name, str) or not name or field_type not in FIELD_TYPES:
        raise bad_request("Validation failed: field_name and field_type are required")
    if (field_type in ("enum", "set")) is not bool(options):
        raise bad_request("Validation failed: options are for enum and set, which need them")
    code = call.company.define_field(kind, name, str(field_type), _labels(options or []))
    return item(_field(call.company.catalogue.of(kind)[code], kind, _EXTRAS))


def _labels(options: object) -> list[str]:
    if not isinstance(options, list) or not all(isinstance(one, dict) and isinstance(one.get("label"), str) for one in options):
        raise bad_request("Validation failed: options is a list of objects with a label")
    return [str(one["label"]) for one in options]


def _in_order(call: Call, rows: list[Json]) -> list[Json]:
    sort, is_down = call.choice("sort_by", ("id", "update_time", "add_time", "order_nr")), call.first("sort_direction") == "desc"
    key: Callable[[Json], tuple[str, int]] = lambda row: (str(row[sort]).rjust(12, "0"), int(str(row["id"])))  # noqa: E731 a key
    return sorted(rows, key=key, reverse=is_down)


def _paged(call: Call, rows: Sequence[Json]) -> Answer:
    cursor, limit = call.first("cursor"), call.limit()
    text = unseal(cursor).removeprefix("at:") if cursor else "0"
    if not text.isdigit():
        raise bad_request("Invalid cursor")
    start = int(text)
    page = list(islice(rows, start, start + limit))
    return listing(page, seal(f"at:{start + limit}") if start + limit < len(rows) else None)
