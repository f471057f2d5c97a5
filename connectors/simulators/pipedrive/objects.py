"""API v2 of deals, persons and organizations: lists, one by id, and writes."""

from collections.abc import Callable

from connectors.simulators.pipedrive.bodies import checked_fields
from connectors.simulators.pipedrive.calls import Answer, Call, item, listing
from connectors.simulators.pipedrive.errors import Json, bad_request, not_found, refusal
from connectors.simulators.pipedrive.instants import instant, parse_rfc3339
from connectors.simulators.pipedrive.pages import keyset
from connectors.simulators.pipedrive.rows import TIMES, Deal, Kind, Row

MOST_IDS = 100
MOST_CUSTOM = 15
STATUSES = frozenset({"open", "won", "lost", "deleted"})
_ANY_EXTRAS = frozenset(
    [
        "next_activity_id",
        "last_activity_id",
        "files_count",
        "notes_count",
        "followers_count",
        "email_messages_count",
        "activities_count",
        "done_activities_count",
        "undone_activities_count",
        "smart_bcc_email",
    ]
)
_CONTACT_EXTRAS = _ANY_EXTRAS | {
    f"{related}{status}_deals_count" for related in ("", "related_") for status in ("open", "closed", "won", "lost")
}
_MAIL_TIMES = frozenset({"last_incoming_mail_time", "last_outgoing_mail_time"})
_MARKETING = frozenset({"marketing_status", "doi_status"})
EXTRAS = {
    Kind.DEAL: _ANY_EXTRAS | _MAIL_TIMES | {"first_won_time", "products_count", "participants_count", "source_lead_id"},
    Kind.PERSON: _CONTACT_EXTRAS | _MAIL_TIMES | {f"participant_{one}_deals_count" for one in ("open", "closed")},
    Kind.ORGANIZATION: _CONTACT_EXTRAS | {"people_count"},
}


def deals(call: Call) -> Answer:
    """`GET /api/v2/deals`: all that are not archived."""
    return _listed(call, Kind.DEAL, _deal_filter(call, is_archived=False))


def archived_deals(call: Call) -> Answer:
    """`GET /api/v2/deals/archived`."""
    return _listed(call, Kind.DEAL, _deal_filter(call, is_archived=True))


def persons(call: Call) -> Answer:
    """`GET /api/v2/persons`; deleted ones are left out."""
    return _listed(call, Kind.PERSON, lambda row: row.deleted_ms is None)


def organizations(call: Call) -> Answer:
    """`GET /api/v2/organizations`; deleted ones are left out."""
    return _listed(call, Kind.ORGANIZATION, lambda row: row.deleted_ms is None)


def deal(call: Call) -> Answer:
    """`GET /api/v2/deals/{id}`, archived and softly deleted ones too."""
    return _one(call, Kind.DEAL)


def person(call: Call) -> Answer:
    """`GET /api/v2/persons/{id}`."""
    return _one(call, Kind.PERSON)


def organization(call: Call) -> Answer:
    """`GET /api/v2/organizations/{id}`."""
    return _one(call, Kind.ORGANIZATION)


def patch_deal(call: Call) -> Answer:
    """`PATCH /api/v2/deals/{id}`; an archived deal takes nothing but its way out of the archive."""
    row = seen_row(call, Kind.DEAL)
    fields = checked_fields(call.company, Kind.DEAL, call.json_object())
    if isinstance(row, Deal) and row.is_archived and fields.get("is_archived") is not False:
        raise refusal(400, "Archived deals cannot be edited", code="ERR_DEAL_ARCHIVED")
    return _patched(call, Kind.DEAL, row, fields)


def patch_person(call: Call) -> Answer:
    """`PATCH /api/v2/persons/{id}`."""
    return _patched(call, Kind.PERSON, seen_row(call, Kind.PERSON), checked_fields(call.company, Kind.PERSON, call.json_object()))


def seen_row(call: Call, kind: Kind) -> Row:
    """The row of the path's id as the caller sees it; 404, or what this company says of one deleted long ago."""
    text = call.path["id"]
    if not text.isdigit():
        raise bad_request("Parameter id must be an integer")
    row = call.store.shelf(kind).seen(int(text))
    if row is not None and call.store.is_gone(row, call.now_ms):
        raise refusal(call.company.gone_status, f"{kind.capitalize()} not found", "Object was deleted.")
    if row is None or not call.is_seen(row):
        raise not_found(f"{kind.capitalize()} not found")
    return row


def _listed(call: Call, kind: Kind, is_wanted: Callable[[Row], bool]) -> Answer:
    write, matches, ids = _writer(call, kind), _matcher(call), _ids(call)
    shelf = call.store.shelf(kind)

    def is_in(row: Row) -> bool:
        return is_wanted(row) and matches(row) and (ids is None or row.id in ids) and call.is_seen(row)

    rows, cursor = keyset(call, shelf, is_in)
    return listing([write(row) for row in rows], cursor)


def _one(call: Call, kind: Kind) -> Answer:
    return item(_writer(call, kind)(seen_row(call, kind)))


def _patched(call: Call, kind: Kind, row: Row, fields: Json) -> Answer:
    if row.deleted_ms is not None and fields.get("is_deleted") is not False:
        raise not_found(f"{kind.capitalize()} not found")
    if fields.pop("is_deleted", None) is False and row.deleted_ms is not None:
        call.company.restore(kind, row.id, call.now)
    call.company.update(kind, row.id, {name: _moment(name, value) for name, value in fields.items()}, call.now, source="api")
    return _one(call, kind)


def _moment(name: str, value: object) -> object:
    if name not in TIMES or not isinstance(value, str):
        return value
    try:
        return instant(parse_rfc3339(value))
    except ValueError as error:
        raise bad_request(f"{name} must be in RFC3339 format") from error


def _writer(call: Call, kind: Kind) -> Callable[[Row], Json]:
    include = frozenset(call.names("include_fields"))
    unknown = include - EXTRAS[kind] - (_MARKETING if kind is Kind.PERSON and call.company.has_marketing else frozenset())
    if unknown:
        raise bad_request(f"Parameter include_fields does not know: {', '.join(sorted(unknown))}")
    asked = call.names("custom_fields", MOST_CUSTOM)
    codes = frozenset(asked) if asked else None
    has_labels = call.is_set("include_option_labels")
    return lambda row: call.company.writer.row(row, include, codes, has_labels=has_labels)


def _deal_filter(call: Call, *, is_archived: bool) -> Callable[[Row], bool]:
    statuses = frozenset(call.names("status"))
    if statuses - STATUSES:
        raise bad_request("Parameter status must be one of: open, won, lost, deleted")

    def is_wanted(row: Row) -> bool:
        if not isinstance(row, Deal) or row.is_archived is not is_archived:
            return False
        if row.deleted_ms is not None:
            return "deleted" in statuses
        return not statuses or row.status in statuses

    return is_wanted


def _matcher(call: Call) -> Callable[[Row], bool]:
    asked = [(name, call.number(name)) for name in ("owner_id", "person_id", "org_id", "pipeline_id", "stage_id")]
    wanted = [(name, value) for name, value in asked if value is not None]
    return lambda row: all(getattr(row, name, None) == value for name, value in wanted)


def _ids(call: Call) -> frozenset[int] | None:
    texts = call.names("ids", MOST_IDS)
    if not texts:
        return None
    if not all(text.isdigit() for text in texts):
        raise bad_request("Parameter ids must be a comma separated list of integers")
    return frozenset(map(int, texts))
