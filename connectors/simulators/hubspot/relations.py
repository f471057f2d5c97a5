"""Endpoints that read associations: in a batch, of one record, and the labels that they may carry."""

from connectors.simulators.hubspot.calls import Answer, Call, batch, json_list, json_object, record_number
from connectors.simulators.hubspot.catalogue import AssociationType, ObjectType
from connectors.simulators.hubspot.errors import Json, invalid, not_found

MOST_INPUTS = 1000
ROWS = 500


def batch_read(call: Call) -> Answer:
    """`POST .../associations/.../{from}/{to}/batch/read`."""
    one, other = call.kind("from_type"), call.kind("to_type")
    inputs = [json_object(each, "inputs") for each in json_list(json_object(call.body), "inputs", is_required=True)]
    if len(inputs) > MOST_INPUTS:
        raise invalid(f"The maximum number of inputs in a batch request is {MOST_INPUTS}", "BATCH_TOO_LARGE")
    results: list[Json] = []
    errors: list[Json] = []
    for each in inputs:
        from_id = str(each.get("id", ""))
        page = _page(call, (one, other), from_id, each.get("after"), call.portal.association_page)
        if page is None:
            errors.append(_none_found(one, other, from_id))
        else:
            results.append({"from": {"id": from_id}, "to": page[0], **page[1]})
    return batch(call, results, errors)


def read_one(call: Call) -> Answer:
    """`GET .../{type}/{id}/associations/{to}`."""
    pair = call.kind(), call.kind("to_type")
    if record_number(call.path["record_id"]) not in call.portal.shelves[pair[0].name].records:
        raise not_found()
    limit = call.number("limit", ROWS, ROWS)
    page = _page(call, pair, call.path["record_id"], call.first("after"), min(limit, call.portal.association_page))
    return Answer({"results": page[0], **page[1]} if page else {"results": []})


def labels(call: Call) -> Answer:
    """`GET .../{from}/{to}/labels`."""
    pair = call.kind("from_type").name, call.kind("to_type").name
    return Answer({"results": [_told_type(one) for one in call.portal.associations.types.get(pair, [])]})


def _page(
    call: Call, pair: tuple[ObjectType, ObjectType], from_id: str, after: object, size: int
) -> tuple[list[Json], dict[str, Json]] | None:
    """One page of a record's links with the paging to go on, or None where it has none."""
    one, other = pair
    if after is not None and not str(after).isdigit():
        raise invalid("after is no cursor of these associations", "INVALID_CURSOR")
    is_there = from_id.isdigit() and int(from_id) in call.portal.shelves[one.name].records
    links = call.portal.associated(one.name, int(from_id), other.name) if is_there else []
    if after is not None:
        links = [link for link in links if link[0] > int(str(after))]
    if not links:
        return None
    page: list[Json] = [
        {
            "toObjectId": str(to_id),
            "associationTypes": [
                _told_type(each) for each in call.portal.associations.spoken_types(one.name, other.name, carried)
            ],
        }
        for to_id, carried in links[:size]
    ]
    return page, {"paging": {"next": {"after": str(links[size - 1][0])}}} if len(links) > size else {}


def _told_type(one: AssociationType) -> Json:
    return {"category": one.category, "typeId": one.type_id, "label": one.label}


def _none_found(one: ObjectType, other: ObjectType, from_id: str) -> Json:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {other.singular} is associated with {one.singular} {from_id}.",
        "context": {"fromObjectId": [from_id], "fromObjectType": [one.singular], "toObjectType": [other.singular]},
    }
