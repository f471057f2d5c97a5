"""A first mapping, drafted from what the CRM says of itself; nothing is invented, each line knows why it is there (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.mapping.suggest_milestones import PIPEDRIVE, SALESFORCE, Step, steps_of
from app.mapping.suggest_places import country_of
from app.mapping.suggest_words import (
    CAMPAIGN_ID,
    CLICKED_AT,
    CLICKS,
    CONTACT,
    DEAL,
    LEAD,
    PERSONAL,
    TEXTS,
    UTM_CAMPAIGN,
    Named,
    clicks_of,
    consent_fields,
    exactly,
    granted_values,
    named,
    words,
)
from connectors.contract.records import ObjectKind
from connectors.contract.source import PropertyType, SourceSchema

# Where identity is looked for first: Salesforce copies custom fields of a Lead only where its admin mapped them, so the Lead
# knows best; in Pipedrive forms write to the lead or the deal.
_KINDS: Mapping[str, tuple[ObjectKind, ...]] = {SALESFORCE: (LEAD, CONTACT, DEAL), PIPEDRIVE: (DEAL, LEAD, CONTACT)}
_USUAL_KINDS = (CONTACT, LEAD, DEAL)
# HubSpot's own property of the first visit; elsewhere a click's time is the operator's own field.
_FIRST_VISIT = ("hs_analytics_first_timestamp", "createdate")

# What can be told to a platform without an id of its own. Google's conversion actions are the operator's: null until then.
_TARGETS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "meta": {
        "lead": {"event_name": "Lead"},
        "qualified_lead": {"event_name": "Qualified"},
        "opportunity": {"event_name": "Opportunity"},
        "closed_revenue": {"event_name": "Purchase"},
    },
    "tiktok": {
        "lead": {"event_name": "Lead"},
        "qualified_lead": {"event_name": "QualifiedLead"},
        "opportunity": {"event_name": "SubmitApplication"},
        "closed_revenue": {"event_name": "Purchase"},
    },
}
# Where Leadloop can make what the milestones need; it offers that for a destination which the mapping does not name.
_MADE = frozenset({"google", "linkedin", "microsoft"})
_OWED = ("lead", "qualified_lead", "opportunity", "closed_revenue")

_SOURCES = ("analytics source", "original source", "lead source", "leadsource", "source channel")
_PAID = {"PAID_SEARCH": "google", "PAID_SOCIAL": "meta"}
_PLATFORMS = {
    "google": "google",
    "adwords": "google",
    "facebook": "meta",
    "instagram": "meta",
    "meta": "meta",
    "linkedin": "linkedin",
    "bing": "microsoft",
    "microsoft": "microsoft",
    "tiktok": "tiktok",
}
_FREE = frozenset({"organic", "referral", "referrals", "email", "seo"})

NO_CONSENT = "MUST BE EDITED: no field of this CRM says consent to advertising, and nothing is sent without"
CHECK_CONSENT = "CHECK: found by its name; does it allow handing people to ad platforms? Which values grant it?"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A mapping document, why each of its lines is there (by path, as mistakes are named), and what the account lacks.

    Without a consent field `document["consent"]` is empty, and the document is refused until an operator says what holds.
    """

    document: Mapping[str, object]
    reasons: Mapping[str, str]
    notices: tuple[str, ...] = ()

    @property
    def needs_consent(self) -> bool:
        """Whether it cannot be activated before its consent section is written."""
        return not self.document["consent"]


@dataclass(slots=True)
class _Draft:
    document: dict[str, object] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def suggest(kind: str, schema: SourceSchema, destinations: Mapping[str, str]) -> Suggestion:
    """Draft a mapping for a source of this kind; `destinations` are the kinds of the destinations by name."""
    draft, steps = _Draft(), steps_of(kind, schema)
    draft.document["history"] = "90d"
    draft.reasons["history"] = "how far back the first pull reads"
    _identity(draft, kind, schema)
    _attribution(draft, schema)
    _consent(draft, kind, schema)
    _milestones(draft, steps)
    _destinations(draft, [step.name for step in steps], destinations)
    return Suggestion(draft.document, draft.reasons, schema.notices)


def _kinds(kind: str) -> Sequence[ObjectKind]:
    return _KINDS.get(kind, _USUAL_KINDS)


def _identity(draft: _Draft, kind: str, schema: SourceSchema) -> None:
    anywhere = tuple(named(schema, _kinds(kind)))
    people = [one for one in anywhere if one.kind is not DEAL and one.described.type in TEXTS]
    rules: dict[str, object] = {}
    found = {name: exactly(people, phrases) for name, phrases in PERSONAL.items()}
    found |= {name: clicks_of(anywhere, phrases) for name, phrases in CLICKS.items()}
    for name, fields in found.items():
        if fields:
            rules[name] = [one.field for one in fields]
            draft.reasons[f"identity.{name}"] = _labels(fields)
    clicked = _clicked_at(anywhere, schema)
    if clicked:
        rules["clicked_at"] = [one.field for one in clicked]
        draft.reasons["identity.clicked_at"] = f"{_labels(clicked)}; else when the person came to the CRM"
    country, why = country_of(schema.time_zone, schema.currency)
    if country is not None:
        rules["default_country"] = country
        draft.reasons["identity.default_country"] = f"{why}; for phones of people without a country"
    draft.document["identity"] = rules


def _clicked_at(anywhere: Sequence[Named], schema: SourceSchema) -> tuple[Named, ...]:
    dated = [one for one in anywhere if one.described.type in (PropertyType.DATETIME, PropertyType.DATE)]
    contact = schema.properties.get(CONTACT, {})
    first_visit = [Named(CONTACT, contact[name]) for name in _FIRST_VISIT if _FIRST_VISIT[0] in contact and name in contact]
    return (*exactly(dated, CLICKED_AT), *first_visit)


def _labels(fields: Sequence[Named]) -> str:
    """What the CRM calls them, where that says more than their names."""
    told = [one.described.label for one in fields if words(one.described.label) != words(one.described.name)]
    return ", ".join(told) if told else "by name"


def _attribution(draft: _Draft, schema: SourceSchema) -> None:
    people = [one for one in named(schema, (CONTACT, LEAD)) if one.described.type in TEXTS]
    rules: dict[str, object] = {}
    for source in exactly(people, _SOURCES):
        platforms = {one.value: to for one in source.described.options if (to := _platform(one.value, one.label)) is not None}
        if platforms:
            rules["platform"] = {"field": source.field, "map": platforms}
            draft.reasons["attribution.platform"] = f"{source.described.label}; else a click id names it"
            break
    for name, phrases in (("campaign_id", CAMPAIGN_ID), ("utm_campaign", UTM_CAMPAIGN)):
        fields = exactly(people, phrases)
        if fields:
            rules[name] = [one.field for one in fields]
            draft.reasons[f"attribution.{name}"] = _labels(fields)
    if rules:
        draft.document["attribution"] = rules


def _platform(value: str, label: str) -> str | None:
    if value in _PAID:
        return _PAID[value]
    parts = words(label).split()
    return None if _FREE & set(parts) else next((_PLATFORMS[part] for part in parts if part in _PLATFORMS), None)


def _consent(draft: _Draft, kind: str, schema: SourceSchema) -> None:
    usual, special = consent_fields([one for one in named(schema, _kinds(kind)) if one.kind is not DEAL])
    rules = [(one, granted_values(one.described)) for one in (*usual, *special)]
    usable = [(one, granted) for one, granted in rules if granted]
    draft.document["consent"] = {}
    if not usable:
        unclear = [one.field for one, granted in rules if not granted]
        more = f"; of {', '.join(unclear)} it is not clear which values grant it" if unclear else ""
        draft.reasons["consent"] = NO_CONSENT + more
        return
    data = usable[0]
    personal = next((pair for pair in usable if pair[0] in special), data)
    draft.document["consent"] = {
        purpose: {"field": one.field, "granted": list(granted)}
        for purpose, (one, granted) in (("ad_user_data", data), ("ad_personalization", personal))
    }
    draft.reasons["consent"] = CHECK_CONSENT
    draft.reasons["consent.ad_user_data"] = data[0].described.label
    draft.reasons["consent.ad_personalization"] = personal[0].described.label


def _milestones(draft: _Draft, steps: Sequence[Step]) -> None:
    told: list[object] = []
    for place, step in enumerate(steps):
        path = f"milestones[{place}]"
        value = {} if step.value is None else {"value": dict(step.value)}
        told.append({"name": step.name, "when": [one.document() for one in step.when], **value})
        draft.reasons[f"{path}.{'name' if step.value is None else 'value'}"] = step.value_why
        for number, trigger in enumerate(step.when):
            draft.reasons[f"{path}.when[{number}]"] = trigger.why
            for at, (own, label) in enumerate(trigger.values.items()):
                draft.reasons[f"{path}.when[{number}].enters[{at}]"] = label if label != own else ""
    draft.document["milestones"] = told


def _destinations(draft: _Draft, milestones: Sequence[str], destinations: Mapping[str, str]) -> None:
    told: dict[str, object] = {}
    for name, kind in destinations.items():
        targets = _TARGETS.get(kind)
        told[name] = {
            one: None if targets is None or one not in targets else dict(targets[one]) for one in milestones if one in _OWED
        }
        draft.reasons[f"destinations.{name}"] = _why_target(name, kind)
    draft.document["destinations"] = told


def _why_target(name: str, kind: str) -> str:
    if kind in _TARGETS:
        return "names of events are free"
    said = "null sends nothing: put the platform's own target in its place"
    return f"{said}, or cut this out and run `leadloop destinations provision {name}`" if kind in _MADE else said
