"""What a HubSpot account has: properties, pipelines, association labels, currency and zone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from connectors.contract.errors import AuthenticationFailed, RequestRefused
from connectors.contract.records import ObjectKind
from connectors.contract.source import (
    Option,
    PipelineSchema,
    PropertySchema,
    PropertyType,
    SourceSchema,
    StageSchema,
)
from connectors.crm.hubspot.api import HubSpotApi
from connectors.crm.hubspot.objects import OBJECTS
from connectors.crm.hubspot.replies import json_object, json_objects, text, unexpected
from connectors.http.strict_json import Json, is_true

NOT_OFFERED = frozenset({403, 404})
DEAL_CURRENCY = "deal_currency_code"
NO_SENSITIVE_DATA = {"archived": "false", "dataSensitivity": "non_sensitive"}

# Kinds that not every account or token has; what is refused of them is left out of the schema.
OPTIONAL_KINDS = frozenset({ObjectKind.LEAD, ObjectKind.COMPANY})

_TYPES: Mapping[str, PropertyType] = {
    "bool": PropertyType.BOOLEAN,
    "date": PropertyType.DATE,
    "datetime": PropertyType.DATETIME,
    "enumeration": PropertyType.ENUM,
    "number": PropertyType.NUMBER,
    "phone_number": PropertyType.PHONE,
}
_NOTICES: Mapping[ObjectKind, str] = {
    ObjectKind.LEAD: (
        "CRM leads cannot be read: they need Sales Hub Professional or Enterprise and the scope crm.objects.leads.read"
    ),
    ObjectKind.COMPANY: "Companies cannot be read: add the scopes crm.objects.companies.read and crm.schemas.companies.read",
}
_AMOUNT = re.compile(r"(^|_)amount($|_)")


@dataclass(frozen=True, slots=True)
class Account:
    """What HubSpot says of the account itself."""

    portal_id: str
    currency: str
    time_zone: str
    ui_domain: str
    currencies: tuple[str, ...] = ()


async def read_account(api: HubSpotApi) -> Account:
    """Read the account's details."""
    found = await api.get("account-info", "details")
    portal_id = text(found.get("portalId"), "`portalId`")
    currency = text(found.get("companyCurrency"), "`companyCurrency`")
    if not portal_id or not currency:
        raise unexpected("the account's details name no `portalId` or no `companyCurrency`")
    return Account(
        portal_id=portal_id,
        currency=currency,
        time_zone=_known_zone(text(found.get("timeZone"), "`timeZone`")),
        ui_domain=text(found.get("uiDomain"), "`uiDomain`") or "app.hubspot.com",
        currencies=_currencies(currency, found.get("additionalCurrencies")),
    )


async def read_schema(api: HubSpotApi, account: Account) -> SourceSchema:
    """Read all that a mapping form needs."""
    properties = {kind: await _properties(api, kind) for kind in OBJECTS}
    pipelines = (*await _pipelines(api, ObjectKind.DEAL), *await _pipelines(api, ObjectKind.LEAD))
    return SourceSchema(
        account_ref=account.portal_id,
        currency=account.currency,
        time_zone=account.time_zone,
        properties={kind: found for kind, found in properties.items() if found is not None},
        pipelines=pipelines,
        person_labels=await _person_labels(api),
        record_urls={
            kind: f"https://{account.ui_domain}/contacts/{account.portal_id}/record/{facts.type_id}/{{id}}"
            for kind, facts in OBJECTS.items()
        },
        currencies=account.currencies,
        notices=tuple(_NOTICES[kind] for kind, found in properties.items() if found is None),
    )


def property_of(kind: ObjectKind, raw: Json) -> PropertySchema:
    """One property of HubSpot's catalogue."""
    name = text(raw.get("name"), "a property's `name`") or ""
    is_money = is_true(raw.get("showCurrencySymbol")) or _AMOUNT.search(name) is not None
    found = _TYPES.get(str(raw.get("type")), PropertyType.TEXT)
    if str(raw.get("fieldType")) == "phonenumber":
        found = PropertyType.PHONE
    if found is PropertyType.NUMBER and is_money:
        found = PropertyType.MONEY
    is_in_deal_currency = kind is ObjectKind.DEAL and not name.endswith("_in_home_currency")
    return PropertySchema(
        name=name,
        label=text(raw.get("label"), f"the label of `{name}`") or name,
        type=found,
        options=tuple(_option(one) for one in _in_display_order(raw.get("options"), f"the options of `{name}`")),
        currency_property=DEAL_CURRENCY if found is PropertyType.MONEY and is_in_deal_currency else None,
        has_history=not is_true(raw.get("calculated")),  # its history says when HubSpot calculated, not when it happened
        is_custom=_is_custom(raw),
        is_writable=not is_true(raw.get("calculated")) and not is_true(_modification(raw).get("readOnlyValue")),
    )


def _is_custom(raw: Json) -> bool:
    """HubSpot says whether it defined the property; where it does not, a definition that may be changed is the customer's."""
    if "hubspotDefined" in raw:
        return not is_true(raw["hubspotDefined"])
    return _modification(raw).get("readOnlyDefinition") is False


def _modification(raw: Json) -> Json:
    return json_object(raw.get("modificationMetadata") or {}, "a property's `modificationMetadata`")


def pipeline_of(kind: ObjectKind, raw: Json) -> PipelineSchema:
    """One pipeline with its stages in display order."""
    found = text(raw.get("id"), "a pipeline's `id`") or ""
    return PipelineSchema(
        id=found,
        label=text(raw.get("label"), "a pipeline's `label`") or found,
        kind=kind,
        stage_property=OBJECTS[kind].stage or "",
        stages=tuple(_stage(one) for one in _in_display_order(raw.get("stages"), "a pipeline's `stages`")),
        is_archived=is_true(raw.get("archived")),
    )


def _stage(raw: Json) -> StageSchema:
    found = text(raw.get("id"), "a stage's `id`") or ""
    metadata = json_object(raw.get("metadata") or {}, "a stage's `metadata`")
    probability = _probability(metadata.get("probability"))
    is_closed = "isClosed" not in metadata or is_true(metadata["isClosed"])
    return StageSchema(
        id=found,
        label=text(raw.get("label"), "a stage's `label`") or found,
        probability=probability,
        is_won=is_closed and probability == 1,
        is_lost=is_closed and probability == 0,
        is_archived=is_true(raw.get("archived")),
    )


def _probability(value: object) -> float | None:
    try:
        found = float(text(value, "a stage's `probability`") or "nan")
    except ValueError:
        return None
    return found if 0 <= found <= 1 else None


def _option(raw: Json) -> Option:
    value = text(raw.get("value"), "an option's `value`") or ""
    return Option(value, text(raw.get("label"), "an option's `label`") or value)


def _in_display_order(value: object, what: str) -> Sequence[Json]:
    """HubSpot orders by `displayOrder`, in which -1 stands last; a tie keeps the order given."""

    def place(raw: Json) -> float:
        order = raw.get("displayOrder")
        return order if isinstance(order, int) and order >= 0 else float("inf")

    return sorted(json_objects(value, what), key=place)


async def _properties(api: HubSpotApi, kind: ObjectKind) -> Mapping[str, PropertySchema] | None:
    is_optional = kind in OPTIONAL_KINDS
    rows = await _results(api, "properties", OBJECTS[kind].path, NO_SENSITIVE_DATA, is_optional=is_optional)
    if rows is None:
        return None
    found = [property_of(kind, row) for row in rows]
    return {one.name: one for one in found}


async def _pipelines(api: HubSpotApi, kind: ObjectKind) -> tuple[PipelineSchema, ...]:
    rows = await _results(api, "pipelines", OBJECTS[kind].path, is_optional=kind in OPTIONAL_KINDS)
    return tuple(pipeline_of(kind, row) for row in _in_display_order(list(rows or ()), "the pipelines"))


async def _person_labels(api: HubSpotApi) -> tuple[str, ...]:
    rows = await _results(api, "associations", "deals/contacts/labels", is_optional=True) or ()
    labels = (text(row.get("label"), "an association's `label`") for row in rows)
    return tuple(sorted({label for label in labels if label}))


async def _results(
    api: HubSpotApi, room: str, path: str, params: Mapping[str, str] | None = None, *, is_optional: bool
) -> Sequence[Json] | None:
    """The `results` of a metadata list; None where it is optional and this account does not offer it."""
    try:
        found = await api.get(f"crm/{room}", path, params)
    except (AuthenticationFailed, RequestRefused) as error:
        if is_optional and error.status in NOT_OFFERED:
            return None
        raise
    return json_objects(found.get("results"), f"the results of {path}")


def _currencies(own: str, additional: object) -> tuple[str, ...]:
    """The account's own currency first, then those that it has activated beside it."""
    listed = additional if isinstance(additional, list) else []
    return tuple(dict.fromkeys([own, *(one for one in listed if isinstance(one, str) and one)]))


def _known_zone(name: str | None) -> str:
    """HubSpot's zone where Python knows it, else UTC."""
    try:
        return ZoneInfo(name or "UTC").key
    except (KeyError, ValueError, OSError):
        return "UTC"
