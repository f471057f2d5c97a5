"""Leads: v1 lists with offset paging, one by id, writes, and the conversion job of API v2."""

from collections.abc import Callable, Iterable

from connectors.simulators.pipedrive.bodies import checked_lead, is_whole
from connectors.simulators.pipedrive.calls import Answer, Call, item
from connectors.simulators.pipedrive.catalogue import LEAD_SOURCES, Field
from connectors.simulators.pipedrive.errors import Json, bad_request, not_found
from connectors.simulators.pipedrive.instants import text_time
from connectors.simulators.pipedrive.pages import offset, offset_answer
from connectors.simulators.pipedrive.rows import Kind, Lead, Row

SORTS = frozenset(
    ["id", "title", "owner_id", "creator_id", "was_seen", "expected_close_date", "next_activity_id", "add_time", "update_time"]
)


def leads(call: Call) -> Answer:
    """`GET /v1/leads`: those not archived; `updated_since` filters only where this company has it."""
    since = call.instant("updated_since") if call.company.has_leads_updated_since else None
    return _listed(call, lambda lead: not lead.is_archived and (since is None or lead.update_time >= since))


def archived_leads(call: Call) -> Answer:
    """`GET /v1/leads/archived`, which knows no `updated_since`."""
    return _listed(call, lambda lead: lead.is_archived)


def lead(call: Call) -> Answer:
    """`GET /v1/leads/{id}`, archived ones too."""
    return item(call.company.writer.lead(_seen(call)))


def patch_lead(call: Call) -> Answer:
    """`PATCH /v1/leads/{id}`, custom fields flat."""
    fields = checked_lead(call.company, call.json_object())
    if isinstance(fields.get("visible_to"), str):
        fields["visible_to"] = int(str(fields["visible_to"]))
    call.company.update(Kind.LEAD, _seen(call).uuid, fields, call.now, source="api")
    return lead(call)


def lead_fields(call: Call) -> Answer:
    """`GET /v1/leadFields`: the leads' own fields and the deals' custom ones, which leads share."""
    own = [Field(code, code.replace("_", " ").capitalize(), kind) for code, kind in _OWN_FIELDS]
    shared = call.company.catalogue.custom(Kind.LEAD).values()
    rows = [_field(number, one) for number, one in enumerate([*own, *shared], start=1)]
    start, limit = call.number("start") or 0, call.limit()
    return offset_answer(call, rows[start : start + limit], start, limit, has_more=start + limit < len(rows))


def lead_labels(call: Call) -> Answer:
    """`GET /v1/leadLabels`: all, without pages."""
    at = "2020-02-13T15:31:44.000Z"
    labels = call.company.catalogue.labels.values()
    return item([{"id": one.id, "name": one.name, "color": one.color, "add_time": at, "update_time": at} for one in labels])


def lead_sources(_: Call) -> Answer:
    """`GET /v1/leadSources`: a fixed list."""
    return item([{"name": name} for name in LEAD_SOURCES])


def convert(call: Call) -> Answer:
    """`POST /api/v2/leads/{id}/convert/deal`: starts the job, which this company does at once."""
    row, body = _seen(call), call.json_object() if call.body is not None else {}
    pipeline, stage = body.get("pipeline_id"), body.get("stage_id")
    if body.keys() - {"pipeline_id", "stage_id"} or not all(one is None or is_whole(one) for one in (pipeline, stage)):
        raise bad_request("Validation failed: takes pipeline_id and stage_id")
    if stage is not None and stage not in call.company.catalogue.stages:
        raise bad_request("Validation failed: stage_id: unknown stage")
    asked = [int(str(one)) if one is not None else None for one in (pipeline, stage)]
    return item({"conversion_id": call.company.start_conversion(row.uuid, call.now, *asked)}, additional_data=None)


def conversion(call: Call) -> Answer:
    """`GET /api/v2/leads/{id}/convert/status/{conversion_id}`."""
    lead_id, deal_id = call.company.conversions.get(call.path["conversion_id"], ("", 0))
    if lead_id != call.path["id"]:
        raise not_found()
    told = {"lead_id": lead_id, "deal_id": deal_id, "conversion_id": call.path["conversion_id"], "status": "completed"}
    return item(told, additional_data=None)


def _listed(call: Call, is_wanted: Callable[[Lead], bool]) -> Answer:
    names = ("owner_id", "person_id", "organization_id")
    asked = [(name, value) for name in names if (value := call.number(name)) is not None]
    shelf = call.store.shelf(Kind.LEAD)
    rows: list[Row] = [
        row
        for row in shelf.up(shelf.ids, 0)
        if isinstance(row, Lead)
        and row.deleted_ms is None
        and is_wanted(row)
        and all(getattr(row, name) == value for name, value in asked)
        and call.is_seen(row)
    ]
    return offset(call, _sorted(call, rows), _writer(call))


def _writer(call: Call) -> Callable[[Row], Json]:
    def write(row: Row) -> Json:
        if not isinstance(row, Lead):
            raise TypeError(row)
        return call.company.writer.lead(row)

    return write


def _sorted(call: Call, rows: Iterable[Row]) -> list[Row]:
    """By `sort` ("update_time ASC, id DESC"), by default from the oldest to the newest."""
    made = sorted(rows, key=lambda row: (row.add_time, row.id))
    for one in reversed(call.names("sort")):
        name, _, direction = one.partition(" ")
        if name not in SORTS or direction.strip().upper() not in ("", "ASC", "DESC"):
            raise bad_request(f"Parameter sort does not know: {one}")
        attribute = {"id": "uuid"}.get(name, name)
        made.sort(key=lambda row, of=attribute: _rank(getattr(row, of, None)), reverse=direction.strip().upper() == "DESC")  # type: ignore[misc]  # bound per round
    return made


def _rank(value: object) -> tuple[bool, int, str]:
    return (value is not None, value if isinstance(value, int) else 0, value if isinstance(value, str) else "")


def _seen(call: Call) -> Lead:
    row = call.store.find(Kind.LEAD, call.path["id"])
    shown = None if row is None else call.store.shelf(Kind.LEAD).seen(row.id)
    if not isinstance(shown, Lead) or shown.deleted_ms is not None or not call.is_seen(shown):
        raise not_found("requested lead not found")
    return shown


_OWN_FIELDS = (
    ("title", "varchar"),
    ("owner_id", "user"),
    ("creator_id", "user"),
    ("person_id", "people"),
    ("organization_id", "org"),
    ("label_ids", "set"),
    ("value", "monetary"),
    ("source_name", "varchar"),
    ("channel_id", "varchar"),
    ("expected_close_date", "date"),
    ("add_time", "date"),
    ("update_time", "date"),
)


def _field(number: int, field: Field) -> Json:
    flags = [
        "index_visible_flag",
        "details_visible_flag",
        "add_visible_flag",
        "bulk_edit_allowed",
        "filtering_allowed",
        "sortable_flag",
    ]
    return {
        "id": number,
        "key": field.code,
        "name": field.name,
        "order_nr": number,
        "field_type": field.type,
        "add_time": text_time(0),
        "update_time": text_time(0),
        "active_flag": True,
        "edit_flag": field.is_custom,
        **dict.fromkeys(flags, True),
        "important_flag": False,
        "searchable_flag": False,
        "mandatory_flag": field.code == "title",
        "options": [{"id": option.id, "label": option.label} for option in field.options] or None,
    }
