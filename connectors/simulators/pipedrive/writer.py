"""How rows look on the wire: API v2, the v1 shape of leads, and the bodies of webhooks."""

from collections.abc import Collection, Iterable, Mapping
from zoneinfo import ZoneInfo

from connectors.simulators.pipedrive.catalogue import Catalogue, Field
from connectors.simulators.pipedrive.errors import Json
from connectors.simulators.pipedrive.instants import iso_millis, local_date, rfc3339
from connectors.simulators.pipedrive.rows import Deal, Lead, Organization, Person, Row

_COUNTS = ("participants_count",)


class Writer:
    """Writes the rows of one company. With `marks_deleted` a deleted deal's status says so, else it keeps the last one."""

    def __init__(self, catalogue: Catalogue, zone: ZoneInfo, *, marks_deleted: bool) -> None:
        self._catalogue = catalogue
        self._zone = zone
        self._marks_deleted = marks_deleted

    def row(
        self, row: Row, include: Collection[str] = (), codes: Iterable[str] | None = None, *, has_labels: bool = False
    ) -> Json:
        """Any row but a lead in its v2 shape; `codes` limits the custom fields, `has_labels` names options."""
        match row:
            case Deal():
                written, kind = self._deal(row, include), "deal"
            case Person():
                written, kind = self._person(row, include), "person"
            case Organization():
                written, kind = self._organization(row), "organization"
            case _:
                raise ValueError(f"{type(row).__name__} has no v2 shape")
        fields = self._catalogue.custom(kind)
        shown = [one for code, one in fields.items() if codes is None or code in codes]
        write = _labelled if has_labels else _plain
        return {**written, "custom_fields": {one.code: write(one, row.custom.get(one.code)) for one in shown}}

    def lead(self, lead: Lead) -> Json:
        """A lead in its v1 shape: custom fields flat, those that are empty left out."""
        written = self._lead(lead)
        for code, one in self._catalogue.custom("lead").items():
            if code in lead.custom:
                written |= _flat(one, lead.custom[code])
        return written

    def webhook(self, row: Row) -> Json:
        """The `data` of a webhook: custom fields as objects that say their type, `visible_to` as text."""
        if isinstance(row, Lead):
            written, kind = self._lead(row), "lead"
        else:
            written = self.row(row)
            kind = {Deal: "deal", Person: "person", Organization: "organization"}[type(row)]
        fields = self._catalogue.custom(kind)
        custom: Json = {code: _typed(one, row.custom.get(code)) for code, one in fields.items()}
        return {**written, "visible_to": str(row.visible_to), "custom_fields": custom}

    def _deal(self, deal: Deal, include: Collection[str]) -> Json:
        written: Json = {
            "id": deal.id,
            "title": deal.title,
            "creator_user_id": deal.creator_user_id,
            "owner_id": deal.owner_id,
            "value": deal.value,
            "person_id": deal.person_id,
            "org_id": deal.org_id,
            "stage_id": deal.stage_id,
            "pipeline_id": deal.pipeline_id,
            "currency": deal.currency,
            "archive_time": _time(deal.archive_time),
            "add_time": rfc3339(deal.add_time),
            "update_time": rfc3339(deal.update_time),
            "stage_change_time": _time(deal.stage_change_time),
            "status": "deleted" if deal.deleted_ms is not None and self._marks_deleted else deal.status,
            "is_archived": deal.is_archived,
            "is_deleted": deal.deleted_ms is not None,
            "probability": deal.probability,
            "lost_reason": deal.lost_reason,
            "visible_to": deal.visible_to,
            "close_time": _time(deal.close_time),
            "won_time": _time(deal.won_time),
            "lost_time": _time(deal.lost_time),
            "local_won_date": self._date(deal.won_time),
            "local_lost_date": self._date(deal.lost_time),
            "local_close_date": self._date(deal.close_time),
            "expected_close_date": deal.expected_close_date,
            "label_ids": list(deal.label_ids),
            "origin": deal.origin,
            "origin_id": deal.origin_id,
            "channel": deal.channel,
            "channel_id": deal.channel_id,
            "acv": None,
            "arr": None,
            "mrr": None,
        }
        if "source_lead_id" in include:
            written["source_lead_id"] = deal.source_lead_id
        if "first_won_time" in include:
            written["first_won_time"] = _time(deal.first_won_time)
        for name in _COUNTS:
            if name in include:
                written[name] = len(deal.participants) + (deal.person_id is not None)
        return written

    def _person(self, person: Person, include: Collection[str]) -> Json:
        written: Json = {
            "id": person.id,
            "name": person.name,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "owner_id": person.owner_id,
            "org_id": person.org_id,
            "add_time": rfc3339(person.add_time),
            "update_time": rfc3339(person.update_time),
            "emails": list(person.emails),
            "phones": list(person.phones),
            "is_deleted": person.deleted_ms is not None,
            "visible_to": person.visible_to,
            "label_ids": list(person.label_ids),
            "picture_id": None,
            "postal_address": person.postal_address,
            "notes": person.notes,
            "im": [],
            "birthday": person.birthday,
            "job_title": person.job_title,
        }
        if "marketing_status" in include:
            written["marketing_status"] = person.marketing_status
        return written

    def _organization(self, organization: Organization) -> Json:
        return {
            "id": organization.id,
            "name": organization.name,
            "owner_id": organization.owner_id,
            "add_time": rfc3339(organization.add_time),
            "update_time": rfc3339(organization.update_time),
            "address": organization.address,
            "is_deleted": organization.deleted_ms is not None,
            "visible_to": organization.visible_to,
            "label_ids": list(organization.label_ids),
            "website": organization.website,
            "linkedin": None,
            "industry": None,
            "annual_revenue": None,
            "employee_count": None,
        }

    def _lead(self, lead: Lead) -> Json:
        return {
            "id": lead.uuid,
            "title": lead.title,
            "owner_id": lead.owner_id,
            "creator_id": lead.creator_id,
            "label_ids": list(lead.label_ids),
            "person_id": lead.person_id,
            "organization_id": lead.organization_id,
            "source_name": lead.source_name,
            "origin": lead.origin,
            "origin_id": lead.origin_id,
            "channel": lead.channel,
            "channel_id": lead.channel_id,
            "source_deal_id": lead.source_deal_id,
            "is_archived": lead.is_archived,
            "was_seen": lead.was_seen,
            "value": lead.value,
            "expected_close_date": lead.expected_close_date,
            "next_activity_id": None,
            "add_time": iso_millis(lead.add_time),
            "update_time": iso_millis(lead.update_time),
            "visible_to": str(lead.visible_to),
            "cc_email": f"company+lead{lead.id}@pipedrivemail.com",
        }

    def _date(self, at_ms: int | None) -> str | None:
        return None if at_ms is None else local_date(at_ms, self._zone)


def difference(before: Json, after: Json) -> Json:
    """The `previous` of a change: only what differs, with its old value; custom fields likewise."""
    old = {name: value for name, value in before.items() if name not in ("update_time", "custom_fields") and value != after[name]}
    was, now = before["custom_fields"], after["custom_fields"]
    if isinstance(was, dict) and isinstance(now, dict):
        custom = {code: was.get(code) for code, value in now.items() if was.get(code) != value}
        if custom:
            old["custom_fields"] = custom
    return old


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)


def _plain(_: Field, value: object) -> object:
    return value


def _labelled(field: Field, value: object) -> object:
    labels = {option.id: option.label for option in field.options}
    if field.type == "enum" and isinstance(value, int):
        return {"id": value, "label": labels.get(value)}
    if field.type == "set" and isinstance(value, list | tuple):
        return [{"id": one, "label": labels.get(one)} for one in value]
    return value


def _flat(field: Field, value: object) -> Json:
    if field.type == "set" and isinstance(value, list | tuple):
        return {field.code: ",".join(map(str, value))}
    if field.type == "monetary" and isinstance(value, Mapping):
        return {field.code: value.get("value"), f"{field.code}_currency": value.get("currency")}
    if field.type == "enum":
        return {field.code: str(value)}
    return {field.code: value}


def _typed(field: Field, value: object) -> object:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {"type": field.type, **value}
    match field.type:
        case "enum" | "user" | "org" | "people":
            return {"type": field.type, "id": value}
        case "set" if isinstance(value, list | tuple):
            return {"type": "set", "values": [{"id": one} for one in value]}
    return {"type": field.type, "value": value}
