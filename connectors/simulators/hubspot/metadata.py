"""Endpoints that describe an account: pipelines, properties, owners, account details and API usage."""

from bisect import bisect_right

from connectors.simulators.hubspot.calls import Answer, Call
from connectors.simulators.hubspot.catalogue import ObjectType, Option, Pipeline, Property, Stage
from connectors.simulators.hubspot.errors import Json, not_found
from connectors.simulators.hubspot.instants import EPOCH, iso, millis
from connectors.simulators.hubspot.portal import Owner, Portal

_CREATED = iso(millis(EPOCH.replace(year=2020)))
_FIELD_TYPES = {
    "bool": "booleancheckbox",
    "date": "date",
    "datetime": "date",
    "enumeration": "select",
    "number": "number",
    "phone_number": "phonenumber",
    "string": "text",
}


def pipelines(call: Call) -> Answer:
    """`GET /crm/pipelines/.../{type}`."""
    found = call.portal.pipelines.get(call.kind().name, {})
    return Answer({"results": [_told_pipeline(one, order) for order, one in enumerate(found.values())]})


def pipeline(call: Call) -> Answer:
    """`GET /crm/pipelines/.../{type}/{pipeline}`."""
    return Answer(_told_pipeline(*_pipeline(call)))


def stages(call: Call) -> Answer:
    """`GET /crm/pipelines/.../{type}/{pipeline}/stages`."""
    found, _ = _pipeline(call)
    return Answer({"results": [_told_stage(one, order) for order, one in enumerate(found.stages)]})


def properties(call: Call) -> Answer:
    """`GET /crm/properties/.../{type}`: all of them, not by pages."""
    kind = call.kind()
    if call.is_set("archived"):
        return Answer({"results": []})
    return Answer({"results": [told_property(call.portal, kind, one) for one in call.portal.properties[kind.name].values()]})


def property_(call: Call) -> Answer:
    """`GET /crm/properties/.../{type}/{name}`."""
    kind = call.kind()
    found = call.portal.properties[kind.name].get(call.path["name"])
    if found is None:
        raise not_found("Property does not exist")
    return Answer(told_property(call.portal, kind, found))


def owners(call: Call) -> Answer:
    """`GET /crm/owners/...`, by pages."""
    is_archived, email = call.is_set("archived"), call.first("email")
    listed = [one for one in call.portal.owners if one.is_archived is is_archived and (email is None or one.email == email)]
    after = call.first("after") or ""
    start = bisect_right([int(one.id) for one in listed], int(after)) if after.isdigit() else 0
    limit = call.number("limit", 100, 500)
    page = listed[start : start + limit]
    body: Json = {"results": [_told_owner(one) for one in page]}
    if start + limit < len(listed):
        body["paging"] = {"next": {"after": page[-1].id}}
    return Answer(body)


def account_details(call: Call) -> Answer:
    """`GET /account-info/.../details`."""
    offset = call.now.astimezone(call.portal.limits.resets_at(call.now).tzinfo).utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset else 0
    sign = "-" if minutes < 0 else "+"
    return Answer(
        {
            "portalId": call.portal.portal_id,
            "accountType": "STANDARD",
            "timeZone": call.portal.time_zone,
            "companyCurrency": call.portal.currency,
            "additionalCurrencies": list(call.portal.additional_currencies),
            "utcOffset": f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}",
            "utcOffsetMilliseconds": minutes * 60_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
    )


def api_usage(call: Call) -> Answer:
    """`GET /account-info/.../api-usage/daily/private-apps`."""
    limits = call.portal.limits
    usage: Json = {
        "name": "private-apps-api-calls-daily",
        "usageLimit": limits.daily,
        "currentUsage": limits.used_today(call.now),
        "collectedAt": iso(call.now_ms),
        "fetchStatus": "SUCCESS",
        "resetsAt": iso(millis(limits.resets_at(call.now))),
    }
    return Answer({"results": [usage]})


def _pipeline(call: Call) -> tuple[Pipeline, int]:
    listed = list(call.portal.pipelines.get(call.kind().name, {}).values())
    for order, one in enumerate(listed):
        if one.id == call.path["pipeline_id"]:
            return one, order
    raise not_found()


def _told_pipeline(one: Pipeline, order: int) -> Json:
    return {
        "id": one.id,
        "label": one.label,
        "displayOrder": order,
        "archived": one.is_archived,
        "stages": [_told_stage(stage, place) for place, stage in enumerate(one.stages)],
        "createdAt": _CREATED,
        "updatedAt": _CREATED,
    }


def _told_stage(one: Stage, order: int) -> Json:
    is_closed = "true" if one.probability in (0.0, 1.0) else "false"
    return {
        "id": one.id,
        "label": one.label,
        "displayOrder": order,
        "archived": one.is_archived,
        "metadata": {"probability": str(one.probability), "isClosed": is_closed},
        "createdAt": _CREATED,
        "updatedAt": _CREATED,
    }


def told_property(portal: Portal, kind: ObjectType, one: Property) -> Json:
    """A property as HubSpot describes it."""
    options = [
        {"label": each.label, "value": each.value, "displayOrder": order, "hidden": each.is_hidden}
        for order, each in enumerate(_options(portal, kind, one))
    ]
    return {
        "name": one.name,
        "label": one.label,
        "description": "",
        "type": one.type,
        "fieldType": "calculation_equation" if one.is_calculated else _FIELD_TYPES[one.type],
        "groupName": one.group,
        "options": options,
        "displayOrder": -1,
        "calculated": one.is_calculated,
        "hidden": False,
        "formField": False,
        "hasUniqueValue": one.is_unique,
        "archived": False,
        "hubspotDefined": not one.is_custom,
        "modificationMetadata": {
            "archivable": one.is_custom,
            "readOnlyDefinition": not one.is_custom,
            "readOnlyValue": one.is_read_only,
        },
        "createdAt": _CREATED,
        "updatedAt": _CREATED,
    }


def _options(portal: Portal, kind: ObjectType, one: Property) -> tuple[Option, ...]:
    known = portal.pipelines.get(kind.name, {}).values()
    if one.name == kind.pipeline:
        return tuple(Option(each.id, each.label) for each in known)
    if one.name == kind.stage:
        return tuple(Option(stage.id, stage.label) for each in known for stage in each.stages)
    if one.name == "hubspot_owner_id":
        return tuple(Option(owner.id, owner.email) for owner in portal.owners)
    return one.options


def _told_owner(one: Owner) -> Json:
    return {
        "id": one.id,
        "email": one.email,
        "type": "PERSON",
        "firstName": one.first_name,
        "lastName": one.last_name,
        "userId": int(one.id) % 100_000_000,
        "createdAt": _CREATED,
        "updatedAt": _CREATED,
        "archived": one.is_archived,
    }
