"""What a Pipedrive company has: fields, pipelines, stages, currencies and zone."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from connectors.contract.currencies import CURRENCIES
from connectors.contract.errors import AuthenticationFailed, RequestRefused
from connectors.contract.records import ObjectKind
from connectors.contract.source import Option, PipelineSchema, PropertySchema, PropertyType, SourceSchema, StageSchema
from connectors.crm.pipedrive.api import PipedriveApi
from connectors.crm.pipedrive.budget import Call
from connectors.crm.pipedrive.objects import (
    ADDRESS,
    ADDRESS_PARTS,
    CURRENCY,
    CUSTOM_KEY,
    LABELS,
    LOST,
    OBJECTS,
    OPEN,
    PIPELINE,
    SOURCE_LEAD,
    STAGE,
    STATUS,
    VALUE,
    WON,
)
from connectors.crm.pipedrive.replies import json_objects, text, unexpected
from connectors.crm.pipedrive.settings import HistoryMode
from connectors.http.strict_json import Json, is_true

NOT_OFFERED = frozenset({402, 403, 404, 410})
SHORT_TEXT = 255
LONG_TEXT = 65_000

_TYPES: Mapping[str, PropertyType] = {
    "boolean": PropertyType.BOOLEAN,
    "date": PropertyType.DATE,
    "double": PropertyType.NUMBER,
    "enum": PropertyType.ENUM,
    "int": PropertyType.NUMBER,
    "monetary": PropertyType.MONEY,
    "phone": PropertyType.PHONE,
    "set": PropertyType.ENUM,
    "stage": PropertyType.ENUM,
    "status": PropertyType.ENUM,
    "visible_to": PropertyType.ENUM,
}
_LENGTHS: Mapping[str, int] = {"varchar": SHORT_TEXT, "varchar_auto": SHORT_TEXT, "phone": SHORT_TEXT, "text": LONG_TEXT}

# Fields that rows have, whether or not the catalogue lists them under this name.
_DEAL_FIELDS: Mapping[str, tuple[str, PropertyType]] = {
    "title": ("Title", PropertyType.TEXT),
    VALUE: ("Value", PropertyType.MONEY),
    CURRENCY: ("Currency", PropertyType.TEXT),
    STAGE: ("Stage", PropertyType.ENUM),
    STATUS: ("Status", PropertyType.ENUM),
    PIPELINE: ("Pipeline", PropertyType.ENUM),
    LABELS: ("Labels", PropertyType.ENUM),
    "origin": ("Source origin", PropertyType.TEXT),
    "channel": ("Source channel", PropertyType.TEXT),
    "channel_id": ("Source channel ID", PropertyType.TEXT),
    SOURCE_LEAD: ("Source lead", PropertyType.TEXT),
    "is_archived": ("Archived", PropertyType.BOOLEAN),
    "add_time": ("Created", PropertyType.DATETIME),
    "won_time": ("Won time", PropertyType.DATETIME),
    "lost_time": ("Lost time", PropertyType.DATETIME),
    "lost_reason": ("Lost reason", PropertyType.TEXT),
}
_PERSON_FIELDS: Mapping[str, tuple[str, PropertyType]] = {
    "name": ("Name", PropertyType.TEXT),
    "first_name": ("First name", PropertyType.TEXT),
    "last_name": ("Last name", PropertyType.TEXT),
    "email": ("Email (the primary one)", PropertyType.TEXT),
    "phone": ("Phone (the primary one)", PropertyType.PHONE),
    LABELS: ("Labels", PropertyType.ENUM),
    "marketing_status": ("Marketing status", PropertyType.TEXT),
    "add_time": ("Created", PropertyType.DATETIME),
}
_LEAD_FIELDS: Mapping[str, tuple[str, PropertyType]] = {
    "title": ("Title", PropertyType.TEXT),
    VALUE: ("Value", PropertyType.MONEY),
    CURRENCY: ("Currency", PropertyType.TEXT),
    LABELS: ("Labels", PropertyType.ENUM),
    "source_name": ("Source", PropertyType.TEXT),
    "origin": ("Source origin", PropertyType.TEXT),
    "channel": ("Source channel", PropertyType.TEXT),
    "channel_id": ("Source channel ID", PropertyType.TEXT),
    "is_archived": ("Archived", PropertyType.BOOLEAN),
    "add_time": ("Created", PropertyType.DATETIME),
}
_FIELDS = {ObjectKind.DEAL: _DEAL_FIELDS, ObjectKind.CONTACT: _PERSON_FIELDS, ObjectKind.LEAD: _LEAD_FIELDS}
# The catalogue's names of the fields that rows call otherwise.
_ROW_NAMES: Mapping[str, str] = {"emails": "email", "phones": "phone", "label": LABELS, "labels": LABELS}


@dataclass(frozen=True, slots=True)
class Account:
    """What Pipedrive says of the company and of the user whose token it is. `is_admin`: in every app that it names."""

    company_id: str
    domain: str
    currency: str
    time_zone: str
    is_admin: bool


async def read_account(api: PipedriveApi) -> Account:
    """Read the token's user and the company."""
    found = await api.me()
    company_id, currency = (
        text(found.get("company_id"), "`company_id`"),
        text(found.get("default_currency"), "`default_currency`"),
    )
    if not company_id or not currency:
        raise unexpected("users/me names no `company_id` or no `default_currency`")
    access = json_objects(found.get("access"), "`access`")
    return Account(
        company_id=company_id,
        domain=text(found.get("company_domain"), "`company_domain`") or "app",
        currency=currency.upper(),
        time_zone=_known_zone(text(found.get("timezone_name"), "`timezone_name`")),
        is_admin=bool(access) and all(is_true(one.get("admin")) for one in access),
    )


async def read_schema(api: PipedriveApi, account: Account, history: HistoryMode) -> SourceSchema:
    """Read all that a mapping form needs."""
    stages, pipelines = await api.all_of(Call.STAGES, "stages"), await api.all_of(Call.PIPELINES, "pipelines")
    deals = _catalogue(ObjectKind.DEAL, await _fields(api, "dealFields"))
    people = _catalogue(ObjectKind.CONTACT, await _fields(api, "personFields"))
    properties = {ObjectKind.DEAL: _with_deal_options(deals, stages, pipelines), ObjectKind.CONTACT: people}
    leads = await _leads(api)
    if leads is not None:
        properties[ObjectKind.LEAD] = leads
    listed = await _optional(api, Call.CURRENCIES, "currencies") or ()
    own = sorted({code for one in listed if is_true(one.get("is_custom_flag")) and (code := _code(one))})
    usable = {code for one in listed if not is_true(one.get("is_custom_flag")) and (code := _code(one)) in CURRENCIES}
    return SourceSchema(
        account_ref=account.company_id,
        currency=account.currency,
        time_zone=account.time_zone,
        properties=properties,
        pipelines=pipelines_of(pipelines, stages),
        record_urls={kind: f"https://{account.domain}.pipedrive.com/{facts.url}" for kind, facts in OBJECTS.items()},
        currencies=(account.currency, *sorted(usable - {account.currency})),
        notices=_notices(own, history, has_leads=leads is not None),
        names_by_label=True,
    )


def property_of(kind: ObjectKind, raw: Json) -> list[PropertySchema]:
    """One field of the catalogue of v2 or v1, and those of its parts that a mapping may name."""
    listed = text(raw.get("field_code") or raw.get("key"), "a field's code") or ""
    name = _ROW_NAMES.get(listed, listed)
    label = text(raw.get("field_name") or raw.get("name"), f"the name of `{name}`") or name
    word = str(raw.get("field_type"))
    is_custom = is_true(raw.get("is_custom_field")) or CUSTOM_KEY.fullmatch(name) is not None
    found = PropertyType.DATETIME if name.endswith("_time") else _TYPES.get(word, PropertyType.TEXT)
    money_of = f"{name}.{CURRENCY}" if is_custom else CURRENCY
    whole = PropertySchema(
        name=name,
        label=label,
        type=found,
        options=tuple(map(_option, json_objects(raw.get("options"), f"the options of `{name}`"))),
        currency_property=money_of if found is PropertyType.MONEY else None,
        has_history=OBJECTS[kind].has_changelog,
        is_custom=is_custom,
        is_writable=is_custom,
        max_length=_LENGTHS.get(word),
    )
    if name == ADDRESS or (word == "address" and is_custom):
        return [whole, *(_part(whole, part, f"{label}: {what}") for part, what in ADDRESS_PARTS.items() if part != "value")]
    return [whole, _part(whole, CURRENCY, f"{label}: currency")] if found is PropertyType.MONEY and is_custom else [whole]


def pipelines_of(pipelines: Sequence[Json], stages: Sequence[Json]) -> tuple[PipelineSchema, ...]:
    """The pipelines with their stages, in display order. Won and lost are no stages but values of `status`."""
    by_pipeline: dict[str | None, list[Json]] = defaultdict(list)
    for raw in _in_order(stages):
        by_pipeline[text(raw.get("pipeline_id"), "a stage's `pipeline_id`")].append(raw)
    found = []
    for raw in _in_order(pipelines):
        own_id = text(raw.get("id"), "a pipeline's `id`") or ""
        # Where a pipeline uses no probabilities, its stages say 100 all the same.
        has_probability = is_true(raw.get("is_deal_probability_enabled"))
        found.append(
            PipelineSchema(
                id=own_id,
                label=text(raw.get("name"), "a pipeline's `name`") or own_id,
                kind=ObjectKind.DEAL,
                stage_property=STAGE,
                stages=tuple(_stage(one, has_probability=has_probability) for one in by_pipeline[own_id]),
                is_archived=is_true(raw.get("is_deleted")),
            )
        )
    return tuple(found)


def _stage(raw: Json, *, has_probability: bool) -> StageSchema:
    own_id = text(raw.get("id"), "a stage's `id`") or ""
    percent = raw.get("deal_probability")
    is_percent = isinstance(percent, int | float) and not isinstance(percent, bool)
    return StageSchema(
        id=own_id,
        label=text(raw.get("name"), "a stage's `name`") or own_id,
        probability=min(max(float(percent) / 100, 0.0), 1.0) if has_probability and is_percent else None,  # type: ignore[arg-type]  # is_percent
        is_archived=is_true(raw.get("is_deleted")),
    )


def _catalogue(kind: ObjectKind, rows: Iterable[Json]) -> dict[str, PropertySchema]:
    """The fields by name; those that rows have and the catalogue does not list are added."""
    found = {one.name: one for raw in rows for one in property_of(kind, raw) if one.name}
    for name, (label, word) in _FIELDS[kind].items():
        known = found.get(name)
        currency = CURRENCY if word is PropertyType.MONEY else None
        plain = PropertySchema(name, label, word, currency_property=currency, has_history=OBJECTS[kind].has_changelog)
        found[name] = plain if known is None else replace(known, type=word, currency_property=currency)
    return found


def _with_deal_options(
    deals: dict[str, PropertySchema], stages: Sequence[Json], pipelines: Sequence[Json]
) -> dict[str, PropertySchema]:
    """Stages and pipelines from their own lists, which know the deleted ones too."""
    options = {
        STAGE: tuple(map(_named, _in_order(stages))),
        PIPELINE: tuple(map(_named, _in_order(pipelines))),
        STATUS: (Option(OPEN, "Open"), Option(WON, "Won"), Option(LOST, "Lost")),
    }
    return deals | {name: replace(deals[name], options=found) for name, found in options.items()}


async def _leads(api: PipedriveApi) -> dict[str, PropertySchema] | None:
    """Leads may be switched off, or their scope not be given."""
    rows = await _optional(api, Call.LEAD_FIELDS, "leadFields")
    if rows is None:
        return None
    labels = await _optional(api, Call.LEAD_LABELS, "leadLabels") or ()
    found = _catalogue(ObjectKind.LEAD, rows)
    found[LABELS] = replace(found[LABELS], options=tuple(map(_named, labels)))
    return found


async def _fields(api: PipedriveApi, path: str) -> Sequence[Json]:
    """A catalogue is never empty: an empty one would make every mapping wrong (airbyte 55741)."""
    rows = await api.all_of(Call.FIELDS, path)
    if not rows:
        raise unexpected(f"{path} lists no field")
    return rows


async def _optional(api: PipedriveApi, call: Call, path: str) -> Sequence[Json] | None:
    try:
        return await api.all_of_v1(call, path)
    except (AuthenticationFailed, RequestRefused) as error:
        if error.status in NOT_OFFERED:
            return None
        raise


def _notices(own_currencies: Sequence[str], history: HistoryMode, *, has_leads: bool) -> tuple[str, ...]:
    found = []
    if has_leads:
        found.append(
            "Pipedrive keeps no history of leads: what a lead's property took is noticed when the lead is read, at the lead's "
            "modification; use deals where instants matter"
        )
    if own_currencies:
        named = ", ".join(own_currencies)
        found.append(f"the company's own currencies ({named}) are no money to an ad platform: amounts in them are not read")
    if history is HistoryMode.CHEAP:
        found.append("`history` is cheap: stages that a deal passed between two readings stay unknown; set it to auto or exact")
    return tuple(found)


def _part(whole: PropertySchema, part: str, label: str) -> PropertySchema:
    return PropertySchema(f"{whole.name}.{part}", label, PropertyType.TEXT, has_history=False, is_custom=whole.is_custom)


def _option(raw: Json) -> Option:
    value = text(raw.get("id"), "an option's `id`") or ""
    return Option(value, text(raw.get("label"), "an option's `label`") or value)


def _named(raw: Json) -> Option:
    value = text(raw.get("id"), "an `id`") or ""
    return Option(value, text(raw.get("name"), "a `name`") or value)


def _code(raw: Json) -> str:
    return (text(raw.get("code"), "a currency's `code`") or "").upper()


def _in_order(rows: Sequence[Json]) -> Sequence[Json]:
    """By `order_nr`; a tie keeps the order given."""

    def place(raw: Json) -> float:
        order = raw.get("order_nr")
        return order if isinstance(order, int) else float("inf")

    return sorted(rows, key=place)


def _known_zone(name: str | None) -> str:
    """Pipedrive's zone where Python knows it, else UTC."""
    try:
        return ZoneInfo(name or "UTC").key
    except (KeyError, ValueError, OSError):
        return "UTC"
