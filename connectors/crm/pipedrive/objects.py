"""What Pipedrive calls our four kinds: paths, fields that are given only on request, names in the changelog (data)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from connectors.contract.records import ObjectKind

V1 = "/api/v1"
V2 = "/api/v2"

STAGE = "stage_id"
STATUS = "status"
PIPELINE = "pipeline_id"
VALUE = "value"
CURRENCY = "currency"
LABELS = "label_ids"
SOURCE_LEAD = "source_lead_id"
FIRST_WON = "first_won_time"
OPEN, WON, LOST, DELETED = "open", "won", "lost", "deleted"

# Left out, deleted deals are not listed (developers.pipedrive.com, GET /api/v2/deals, November 2026).
EVERY_STATUS = f"{OPEN},{WON},{LOST},{DELETED}"
MOST_CUSTOM_FIELDS = 15

CUSTOM_KEY = re.compile(r"[0-9a-f]{40}")

_COUNTERS = frozenset(
    "next_activity_id last_activity_id files_count notes_count followers_count email_messages_count activities_count".split()  # noqa: SIM905 one line
)
_DONE = frozenset({"done_activities_count", "undone_activities_count", "smart_bcc_email"})
_MAILS = frozenset({"last_incoming_mail_time", "last_outgoing_mail_time"})
_OPEN_DEALS = frozenset(
    "open_deals_count related_open_deals_count closed_deals_count related_closed_deals_count".split()  # noqa: SIM905 one line
)
_CLOSED_DEALS = frozenset(
    "won_deals_count related_won_deals_count lost_deals_count related_lost_deals_count".split()  # noqa: SIM905 one line
)


@dataclass(frozen=True, slots=True)
class PipedriveObject:
    """One kind. `on_request`: fields that come only where `include_fields` names them; `always`: those that every record needs.

    `archive`: the list of its archived records. `has_changelog`: Pipedrive tells its history, a request a record.
    `company`: the field that holds its organization.
    """

    path: str
    url: str
    company: str | None
    on_request: frozenset[str] = frozenset()
    always: frozenset[str] = frozenset()
    archive: str | None = None
    has_changelog: bool = False


OBJECTS: Mapping[ObjectKind, PipedriveObject] = {
    ObjectKind.DEAL: PipedriveObject(
        path="deals",
        url="deal/{id}",
        company="org_id",
        on_request=_COUNTERS | _DONE | _MAILS | {FIRST_WON, "products_count", "participants_count", SOURCE_LEAD},
        always=frozenset({FIRST_WON, SOURCE_LEAD}),
        archive="deals/archived",
        has_changelog=True,
    ),
    ObjectKind.CONTACT: PipedriveObject(
        path="persons",
        url="person/{id}",
        company="org_id",
        on_request=_COUNTERS
        | _DONE
        | _MAILS
        | _OPEN_DEALS
        | _CLOSED_DEALS
        | {"participant_open_deals_count", "participant_closed_deals_count", "marketing_status", "doi_status"},
        has_changelog=True,
    ),
    ObjectKind.LEAD: PipedriveObject(path="leads", url="leads/inbox/{id}", company="organization_id", archive="leads/archived"),
    ObjectKind.COMPANY: PipedriveObject(
        path="organizations",
        url="organization/{id}",
        company=None,
        on_request=_COUNTERS | _DONE | _OPEN_DEALS | _CLOSED_DEALS | {"people_count"},
    ),
}

# The changelog's key names of standard fields are practice, not documentation: near ones are taken too.
CHANGELOG_NAMES: Mapping[str, str] = {
    "stage": STAGE,
    "pipeline": PIPELINE,
    "label": LABELS,
    "labels": LABELS,
    "emails": "email",
    "phones": "phone",
}

ADDRESS = "postal_address"
ADDRESS_PARTS: Mapping[str, str] = {
    "value": "full address",
    "street_number": "house number",
    "route": "street",
    "subpremise": "apartment",
    "sublocality": "district",
    "locality": "city",
    "admin_area_level_1": "state",
    "admin_area_level_2": "county",
    "country": "country",
    "postal_code": "postal code",
}


def custom_keys(names: Iterable[str]) -> list[str]:
    """The custom fields among these properties; a part of one (`<key>.currency`) asks for the whole."""
    keys = (name.partition(".")[0] for name in names)
    return sorted({key for key in keys if CUSTOM_KEY.fullmatch(key)})


def query_of(kind: ObjectKind, names: Iterable[str]) -> dict[str, str]:
    """The parameters that name what a row shall hold; more than fifteen custom fields cannot be named, so all come."""
    asked = list(names)
    facts = OBJECTS[kind]
    included = sorted(facts.always | (facts.on_request & set(asked)))
    keys = custom_keys(asked)
    query = {"include_fields": ",".join(included)} if included else {}
    if 0 < len(keys) <= MOST_CUSTOM_FIELDS:
        query["custom_fields"] = ",".join(keys)
    return query
