"""Changelogs of deals and persons, and the people of a deal, all v1."""

from connectors.simulators.pipedrive.calls import Answer, Call, listing
from connectors.simulators.pipedrive.errors import Json, bad_request
from connectors.simulators.pipedrive.instants import text_time
from connectors.simulators.pipedrive.metadata import user_row
from connectors.simulators.pipedrive.objects import seen_row
from connectors.simulators.pipedrive.pages import offset_answer, seal, unseal
from connectors.simulators.pipedrive.rows import Change, Deal, Kind, Person

_AGENT = "Mozilla/5.0 (X11; Linux x86_64)"


def deal_changelog(call: Call) -> Answer:
    """`GET /v1/deals/{id}/changelog`."""
    return _changelog(call, Kind.DEAL)


def person_changelog(call: Call) -> Answer:
    """`GET /v1/persons/{id}/changelog`."""
    return _changelog(call, Kind.PERSON)


def participants(call: Call) -> Answer:
    """`GET /v1/deals/{id}/participants`: the deal's person and those added, by offset."""
    deal = seen_row(call, Kind.DEAL)
    if not isinstance(deal, Deal):
        raise TypeError(deal)
    ids = list(dict.fromkeys([*([deal.person_id] if deal.person_id else []), *deal.participants]))
    people = [row for row in (call.store.shelf(Kind.PERSON).seen(one) for one in ids) if isinstance(row, Person)]
    start, limit = call.number("start") or 0, call.limit()
    page = [_participant(call, deal, one) for one in people[start : start + limit] if call.is_seen(one)]
    return offset_answer(call, page, start, limit, has_more=start + limit < len(people))


def _changelog(call: Call, kind: Kind) -> Answer:
    """Newest first; the cursor names the last line that was given, so new lines move nothing."""
    lines = list(enumerate(seen_row(call, kind).changes))
    cursor = call.query.get("cursor")
    if cursor is not None:
        text = unseal(cursor[0])
        if not text.startswith("id:") or not text[3:].isdigit():
            raise bad_request("Invalid cursor")
        lines = lines[: int(text[3:])]
    limit = call.limit()
    newest = lines[::-1][:limit]
    has_more = len(lines) > limit
    return listing([_line(change) for _, change in newest], seal(f"id:{newest[-1][0]}") if has_more else None)


def _line(change: Change) -> Json:
    return {
        "field_key": change.field_key,
        "old_value": change.old_value,
        "new_value": change.new_value,
        "actor_user_id": change.actor_user_id,
        "time": text_time(change.at_ms),
        "change_source": change.source,
        "change_source_user_agent": _AGENT if change.source == "app" else None,
        "is_bulk_update_flag": change.is_bulk,
    }


def _participant(call: Call, deal: Deal, person: Person) -> Json:
    company, at = call.company, text_time(deal.add_time)
    contact: Json = {
        "active_flag": person.deleted_ms is None,
        "name": person.name,
        "email": list(person.emails),
        "phone": list(person.phones),
        "owner_id": person.owner_id,
        "company_id": company.company_id,
    }
    return {
        "id": deal.id * 1000 + person.id,
        "person_id": {**contact, "value": person.id},
        "add_time": at,
        "active_flag": True,
        "related_item_data": {"deal_id": deal.id, "title": deal.title},
        "person": {
            "id": person.id,
            "company_id": company.company_id,
            "active_flag": person.deleted_ms is None,
            "name": person.name,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "email": list(person.emails),
            "phone": list(person.phones),
            "add_time": text_time(person.add_time),
            "update_time": text_time(person.update_time),
            "visible_to": str(person.visible_to),
            "label_ids": list(person.label_ids),
        },
        "added_by_user_id": user_row(call, company.catalogue.users[deal.owner_id]),
        "related_item_type": "deal",
        "related_item_id": deal.id,
    }
