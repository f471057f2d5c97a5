"""What a Salesforce org has: fields, stages, roles, currencies and zone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from connectors.contract.errors import AuthenticationFailed, ConnectorError, RequestRefused
from connectors.contract.records import ObjectKind
from connectors.contract.source import (
    Option,
    PipelineSchema,
    PropertySchema,
    PropertyType,
    SourceSchema,
    StageSchema,
)
from connectors.crm.salesforce.api import SalesforceApi, query_path, rows_of
from connectors.crm.salesforce.catalogue import NAMES, WHERE_FIELDS_ARE, describe_path, described_of, read_tracked, shown_of
from connectors.crm.salesforce.objects import CURRENCY, OBJECTS, ROLE, STAGE_HISTORY_FIELDS, STAGE_NAME, STATUS
from connectors.crm.salesforce.replies import json_object, json_objects, record_id, text, unexpected
from connectors.crm.salesforce.soql import Query
from connectors.http.strict_json import Json, is_true

_TYPES: Mapping[str, PropertyType] = {
    "boolean": PropertyType.BOOLEAN,
    "currency": PropertyType.MONEY,
    "date": PropertyType.DATE,
    "datetime": PropertyType.DATETIME,
    "double": PropertyType.NUMBER,
    "int": PropertyType.NUMBER,
    "long": PropertyType.NUMBER,
    "multipicklist": PropertyType.ENUM,
    "percent": PropertyType.NUMBER,
    "phone": PropertyType.PHONE,
    "picklist": PropertyType.ENUM,
}
# Compound values: their parts are fields of their own.
_NO_PROPERTIES = frozenset({"address", "location", "base64", "complexvalue", "anyType"})

_STAGES = Query(
    "OpportunityStage",
    ("ApiName", "MasterLabel", "SortOrder", "IsActive", "IsClosed", "IsWon", "DefaultProbability"),
    order_by=("SortOrder",),
    limit=None,
)
_STATUSES = Query(
    "LeadStatus", ("ApiName", "MasterLabel", "SortOrder", "IsConverted", "IsDefault"), order_by=("SortOrder",), limit=None
)
_ORGANIZATION = Query("Organization", ("Id", "TimeZoneSidKey", "IsSandbox", "OrganizationType"), order_by=(), limit=None)
_CURRENCIES = Query("CurrencyType", ("IsoCode", "IsCorporate"), order_by=(), limit=None)
# Not documented everywhere: an org that does not know it leaves the currency to the setting.
_DEFAULT_CURRENCY = Query("Organization", ("DefaultCurrencyIsoCode",), order_by=(), limit=None)
QUERIES = (_ORGANIZATION, _STAGES, _STATUSES, _CURRENCIES, _DEFAULT_CURRENCY)

_TRACK = "Setup > Object Manager > Lead > Fields & Relationships > Set History Tracking: tick Lead Status"
HOW_TO_TRACK = f"{_TRACK}; to read that it is on, the integration user needs `View Setup and Configuration`"


@dataclass(frozen=True, slots=True)
class OrgReading:
    """All that one composite tells of an org. Objects that it hides are missing."""

    account_ref: str
    time_zone: str
    is_sandbox: bool
    objects: Mapping[str, Json]
    stages: Sequence[Json]
    statuses: Sequence[Json]
    currencies: tuple[str, ...]


async def read_org(api: SalesforceApi) -> OrgReading:
    """Describe the objects and read the org itself, in one request."""
    paths = [*map(describe_path, NAMES), *map(query_path, QUERIES)]
    found, _ = await api.parts(paths)
    objects = {name: shown_of(one, name) for name, one in zip(NAMES, found, strict=False)}
    organization, stages, statuses, currencies, default = found[len(NAMES) :]
    org = _rows(organization, is_optional=False)
    if len(org) != 1:
        raise unexpected("there is not one Organization")
    return OrgReading(
        account_ref=record_id(org[0].get("Id"), "the Organization's `Id`"),
        time_zone=_known_zone(text(org[0].get("TimeZoneSidKey"), "the Organization's `TimeZoneSidKey`")),
        is_sandbox=is_true(org[0].get("IsSandbox")),
        objects={name: raw for name, raw in objects.items() if raw is not None},
        stages=_rows(stages),
        statuses=_rows(statuses),
        currencies=_currencies(_rows(currencies), _rows(default)),
    )


async def read_schema(api: SalesforceApi, currency: str, pages_url: Callable[[], str]) -> SourceSchema:
    """Read all that a mapping form needs. `currency`: the setting, for an org with one currency that does not tell it.

    `pages_url` is asked after a token was gained: it tells the org's own host.
    """
    org = await read_org(api)
    described = {name: described_of(raw) for name, raw in org.objects.items()}
    tracked = await read_tracked(api, described)
    codes = (currency,) if currency and len(org.currencies) < 2 else org.currencies  # noqa: PLR2004 one is no choice
    if not codes:
        message = "Salesforce does not tell the currency of this org: set `currency` (Setup > Company Information)"
        raise RequestRefused(message, code="no_currency")
    properties = {
        kind: {one.name: one for one in _properties(kind, org.objects[facts.name], tracked.get(kind, frozenset()))}
        for kind, facts in OBJECTS.items()
        if facts.name in org.objects
    }
    return SourceSchema(
        account_ref=org.account_ref,
        currency=codes[0],
        time_zone=org.time_zone,
        properties=properties,
        pipelines=_pipelines(org),
        person_labels=_role_labels(org.objects.get(ROLE)),
        record_urls={kind: f"{pages_url()}/lightning/r/{facts.name}/{{id}}/view" for kind, facts in OBJECTS.items()},
        currencies=codes,
        notices=tuple(notices(org, tracked)),
    )


def notices(org: OrgReading, tracked: Mapping[ObjectKind, frozenset[str]]) -> Iterable[str]:
    """What the org lacks, and how to get it."""
    for facts in OBJECTS.values():
        if facts.name not in org.objects:
            yield f"{facts.name} records cannot be read; give read access under {WHERE_FIELDS_ARE}"
    if OBJECTS[ObjectKind.LEAD].name in org.objects and STATUS not in tracked.get(ObjectKind.LEAD, ()):
        yield (
            "Salesforce shows no history of a lead's Status, so its changes are dated by the poll that sees them; "
            f"switch it on under {HOW_TO_TRACK}"
        )
    if ROLE not in org.objects:
        yield f"{ROLE} cannot be read, so deals know fewer people; give read access to Opportunities and Contacts"


def property_of(kind: ObjectKind, raw: Json, tracked: frozenset[str], *, has_currency: bool) -> PropertySchema:
    """One field of a description."""
    name = text(raw.get("name"), "a field's `name`") or ""
    found = _TYPES.get(str(raw.get("type")), PropertyType.TEXT)
    length = raw.get("length")
    return PropertySchema(
        name=name,
        label=text(raw.get("label"), f"the label of `{name}`") or name,
        type=found,
        options=tuple(map(_option, json_objects(raw.get("picklistValues"), f"the values of `{name}`"))),
        currency_property=CURRENCY if found is PropertyType.MONEY and has_currency else None,
        has_history=name in tracked or (kind is ObjectKind.DEAL and name in STAGE_HISTORY_FIELDS),
        is_custom=is_true(raw.get("custom")),
        is_writable=is_true(raw.get("updateable")),
        max_length=length if isinstance(length, int) and not isinstance(length, bool) and length > 0 else None,
    )


def _properties(kind: ObjectKind, described: Json, tracked: frozenset[str]) -> list[PropertySchema]:
    fields = json_objects(described.get("fields"), "the fields")
    has_currency = any(one.get("name") == CURRENCY for one in fields)
    return [property_of(kind, one, tracked, has_currency=has_currency) for one in fields if one.get("type") not in _NO_PROPERTIES]


def _pipelines(org: OrgReading) -> tuple[PipelineSchema, ...]:
    """Stages are the org's, not a process's: one pipeline each; histories name no pipeline."""
    deal, lead = OBJECTS[ObjectKind.DEAL].name, OBJECTS[ObjectKind.LEAD].name
    found = []
    if deal in org.objects:
        stages = tuple(map(_stage, org.stages))
        found.append(PipelineSchema(deal, "Opportunity stages", ObjectKind.DEAL, STAGE_NAME, stages))
    if lead in org.objects:
        statuses = tuple(map(_status, org.statuses))
        found.append(PipelineSchema(lead, "Lead status", ObjectKind.LEAD, STATUS, statuses))
    return tuple(found)


def _stage(raw: Json) -> StageSchema:
    name = text(raw.get("ApiName"), "a stage's `ApiName`") or ""
    percent = raw.get("DefaultProbability")
    is_number = isinstance(percent, int | float) and not isinstance(percent, bool)
    is_won = is_true(raw.get("IsWon"))
    return StageSchema(
        id=name,
        label=text(raw.get("MasterLabel"), "a stage's `MasterLabel`") or name,
        probability=min(max(float(percent) / 100, 0.0), 1.0) if is_number and isinstance(percent, int | float) else None,
        is_won=is_won,
        is_lost=is_true(raw.get("IsClosed")) and not is_won,
        is_archived=raw.get("IsActive") is False,
    )


def _status(raw: Json) -> StageSchema:
    """A lead is won when it is converted; which statuses mean that it is lost Salesforce does not say."""
    name = text(raw.get("ApiName"), "a lead status's `ApiName`") or ""
    label = text(raw.get("MasterLabel"), "a lead status's `MasterLabel`") or name
    return StageSchema(name, label, is_won=is_true(raw.get("IsConverted")))


def _role_labels(role: Json | None) -> tuple[str, ...]:
    fields = json_objects(role.get("fields"), "the fields of a role") if role else ()
    values = [
        one for field in fields if field.get("name") == "Role" for one in json_objects(field.get("picklistValues"), "the roles")
    ]
    return tuple(sorted({value for one in values if (value := text(one.get("value"), "a role's `value`"))}))


def _option(raw: Json) -> Option:
    value = text(raw.get("value"), "an option's `value`") or ""
    return Option(value, text(raw.get("label"), "an option's `label`") or value)


def _rows(answer: object | ConnectorError, *, is_optional: bool = True) -> Sequence[Json]:
    """A query's rows; where it is optional, what the org refuses is empty."""
    if isinstance(answer, ConnectorError):
        if is_optional and isinstance(answer, AuthenticationFailed | RequestRefused):
            return ()
        raise answer
    return rows_of(json_object(answer, "a query's answer")).rows


def _currencies(listed: Sequence[Json], default: Sequence[Json]) -> tuple[str, ...]:
    """The org's own first; an org with a single currency lists none."""
    ranked = sorted(listed, key=lambda one: not is_true(one.get("IsCorporate")))
    codes = [text(one.get("IsoCode"), "a currency's `IsoCode`") for one in ranked]
    codes = codes or [text(one.get("DefaultCurrencyIsoCode"), "the org's currency") for one in default]
    return tuple(dict.fromkeys(code for code in codes if code))


def _known_zone(name: str | None) -> str:
    """Salesforce's zone where Python knows it, else UTC."""
    try:
        return ZoneInfo(name or "UTC").key
    except (KeyError, ValueError, OSError):
        return "UTC"
