"""HubSpot's metadata as the schema of the contract, pure."""

from collections.abc import Mapping, Sequence

from connectors.contract.records import ObjectKind
from connectors.contract.source import Option, PipelineSchema, PropertySchema, PropertyType, SourceSchema, StageSchema

CURRENCY_PROPERTY = "deal_currency_code"

_TYPES = {
    "bool": PropertyType.BOOLEAN,
    "date": PropertyType.DATE,
    "datetime": PropertyType.DATETIME,
    "enumeration": PropertyType.ENUM,
    "number": PropertyType.NUMBER,
    "phone_number": PropertyType.PHONE,
}
_TYPE_IDS = {ObjectKind.CONTACT: "0-1", ObjectKind.DEAL: "0-3"}

Json = Mapping[str, object]


def to_schema(
    account: Json,
    properties: Mapping[ObjectKind, Sequence[Json]],
    pipelines: Sequence[Json],
    labels: Sequence[Json],
) -> SourceSchema:
    """The schema of an account from its details, property catalogues, deal pipelines and association labels."""
    portal = str(account.get("portalId") or "")
    domain = str(account.get("uiDomain") or "app.hubspot.com")
    return SourceSchema(
        account_ref=portal,
        currency=str(account.get("companyCurrency") or ""),
        time_zone=str(account.get("timeZone") or "UTC"),
        properties={kind: _catalogue(kind, listed) for kind, listed in properties.items()},
        pipelines=tuple(_pipeline(one) for one in _in_order(pipelines)),
        person_labels=tuple(dict.fromkeys(str(one["label"]) for one in labels if one.get("label"))),
        record_urls={kind: f"https://{domain}/contacts/{portal}/record/{type_id}/{{id}}" for kind, type_id in _TYPE_IDS.items()},
    )


def objects(told: object) -> list[Json]:
    """The JSON objects of a list; nothing where it is none."""
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def _catalogue(kind: ObjectKind, listed: Sequence[Json]) -> Mapping[str, PropertySchema]:
    names = {str(one.get("name")) for one in listed}
    currency = CURRENCY_PROPERTY if kind is ObjectKind.DEAL and CURRENCY_PROPERTY in names else None
    found = [_property(one, currency) for one in listed if one.get("name")]
    return {one.name: one for one in found}


def _property(told: Json, currency: str | None) -> PropertySchema:
    name = str(told["name"])
    kind = _TYPES.get(str(told.get("type")), PropertyType.TEXT)
    is_money = kind is PropertyType.NUMBER and "amount" in name
    # Amounts in the home currency are the account's, whatever the deal's own currency is.
    is_in_deal_currency = is_money and "home_currency" not in name
    return PropertySchema(
        name=name,
        label=str(told.get("label") or name),
        type=PropertyType.MONEY if is_money else kind,
        options=tuple(
            Option(str(one.get("value")), str(one.get("label") or one.get("value")))
            for one in _in_order(objects(told.get("options")))
        ),
        currency_property=currency if is_in_deal_currency else None,
        # A calculated property's history says when HubSpot recalculated, not when something happened.
        has_history=told.get("calculated") is not True,
    )


def _pipeline(told: Json) -> PipelineSchema:
    return PipelineSchema(
        id=str(told.get("id")),
        label=str(told.get("label") or told.get("id")),
        kind=ObjectKind.DEAL,
        stage_property="dealstage",
        stages=tuple(_stage(one) for one in _in_order(objects(told.get("stages")))),
        is_archived=told.get("archived") is True,
    )


def _stage(told: Json) -> StageSchema:
    metadata = told.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    probability = _probability(metadata.get("probability"))
    is_closed = str(metadata.get("isClosed", "true")).lower() == "true"
    return StageSchema(
        id=str(told.get("id")),
        label=str(told.get("label") or told.get("id")),
        probability=probability,
        is_won=probability == 1.0 and is_closed,
        is_lost=probability == 0.0 and is_closed,
        is_archived=told.get("archived") is True,
    )


def _probability(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def _in_order(listed: Sequence[Json]) -> list[Json]:
    def place(one: Json) -> int:
        order = one.get("displayOrder")
        return order if isinstance(order, int) else 0

    return sorted(listed, key=place)
