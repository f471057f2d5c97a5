"""What the document says of a person: identity candidates, consent, attribution, dimensions (pure)."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from app.mapping.aggregate import KnownRecord, Person
from app.mapping.derived import DERIVED, PERSON
from app.mapping.document import IdentityRules, MappingDocument
from connectors.contract.conversions import Consent, ConsentState
from connectors.contract.records import ObjectKind

Lookup = Callable[[str, str], str | None]


_ALPHA_2 = re.compile("[A-Za-z]{2}")
# The European Economic Area as of 2026.
EEA = frozenset(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IS IE IT LV LI LT LU MT NL NO PL PT RO SK SI ES SE".split()  # noqa: SIM905 one line
)
_NO_IDENTIFIER = {"clicked_at", "default_country"}


@lru_cache(maxsize=4096)
def split_field(text: str) -> tuple[str, str]:
    """`contact.email` -> (contact, email); ValueError where the kind is none of the four.

    `person.email_domain` and its like are no fields of the CRM: they are read from the person's e-mail and phone.
    """
    kind, _, name = text.partition(".")
    return (PERSON, name) if is_derived(text) else (ObjectKind(kind), name)


def is_derived(text: str) -> bool:
    """True for `person.email_domain` and its like."""
    kind, _, name = text.partition(".")
    return kind == PERSON and name in DERIVED


def region_of(rules: IdentityRules, held: tuple[KnownRecord, ...]) -> str | None:
    """The country that reads national phone numbers: the person's own, where it is in two letters, else the default."""
    own = next((value.strip().upper() for value in values_of(rules.country, held) if _ALPHA_2.fullmatch(value.strip())), None)
    return own or rules.default_country


def identity_candidates(
    document: MappingDocument, held: tuple[KnownRecord, ...]
) -> tuple[dict[str, tuple[str, ...]], datetime | None]:
    """Candidates by identifier, fields in the mapping's order, survivors before merged records; and when the click was."""
    rules = document.identity
    candidates = {
        name: values_of(getattr(rules, name), held)
        for name in IdentityRules.model_fields
        if name not in _NO_IDENTIFIER and getattr(rules, name)
    }
    if rules.email:
        candidates["email"] = emails_of(rules.email, held)
    clicked = next((at for text in values_of(rules.clicked_at, held) if (at := parse_instant(text)) is not None), None)
    return candidates, clicked


def values_of(fields: tuple[str, ...], held: tuple[KnownRecord, ...]) -> tuple[str, ...]:
    """Every non-empty value of these fields, in the fields' order, of the records in theirs."""
    found: list[str] = []
    for text in fields:
        kind, name = split_field(text)
        found.extend(value for record in held if record.ref.kind is kind and (value := record.fields.get(name)))
    return tuple(found)


def emails_of(fields: tuple[str, ...], held: tuple[KnownRecord, ...]) -> tuple[str, ...]:
    """Every e-mail in these fields, in the same order; one text may hold several, as HubSpot's `hs_additional_emails`: `a;b`."""
    parts = (part.strip() for text in values_of(fields, held) for part in text.split(";"))
    return tuple(part for part in parts if part)


def parse_instant(text: str) -> datetime | None:
    """An ISO instant, a date (UTC midnight) or epoch milliseconds; None where it is none of them."""
    clean = text.strip()
    try:
        if clean.lstrip("-").isdigit():
            return datetime.fromtimestamp(int(clean) / 1000, UTC)
        parsed = datetime.fromisoformat(clean)
    except (ValueError, OverflowError, OSError):
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def judge_consent(document: MappingDocument, look: Lookup, country: str | None) -> tuple[Consent, str]:
    """Both signals with the reason in words: field and country, never the person's other data."""
    rules = document.consent
    not_required = ConsentState.NOT_REQUIRED
    if rules.not_required:
        return Consent(not_required, not_required), f"not required: {rules.because}"
    required = _required_in(rules.where_required)
    if required is not None and country is not None and country not in required:
        return Consent(not_required, not_required), f"not required in {country}"
    states, why = [], []
    for purpose, rule in (("ad_user_data", rules.ad_user_data), ("ad_personalization", rules.ad_personalization)):
        if rule is None:
            states.append(not_required)
            continue
        value = (look(*split_field(rule.field)) or "").strip().casefold()
        granted = {text.strip().casefold() for text in rule.granted}
        state = ConsentState.UNKNOWN if not value else ConsentState.GRANTED if value in granted else ConsentState.DENIED
        states.append(state)
        why.append(f"{purpose} is {state} by {rule.field}")
    return Consent(states[0], states[1]), "; ".join(why)


def _required_in(regions: tuple[str, ...] | None) -> frozenset[str] | None:
    if regions is None:
        return None
    return frozenset().union(*(EEA if region == "EEA" else {region} for region in regions))


def attribution_of(document: MappingDocument, look: Lookup) -> tuple[str | None, str | None, str | None]:
    """Platform, campaign id and utm campaign, None where the fields are empty."""
    rules = document.attribution
    platform = None
    if rules.platform is not None:
        platform = rules.platform.map.get(look(*split_field(rules.platform.field)) or "")
    campaign_id, utm_campaign = (
        next((value for text in fields if (value := look(*split_field(text)))), None)
        for fields in (rules.campaign_id, rules.utm_campaign)
    )
    return platform, campaign_id, utm_campaign


def segment_of(document: MappingDocument, look: Lookup, person: Person | None, by: Sequence[str]) -> tuple[str, ...]:
    """A lead's segment by declared dimensions and the attribution of its first touch, "" for what is not known of it."""
    touch = {"platform": person.platform, "campaign_id": person.campaign_id} if person is not None else {}
    return tuple(
        (look(*split_field(document.dimensions[name])) if name in document.dimensions else touch.get(name)) or "" for name in by
    )


def dimensions_of(document: MappingDocument, look: Lookup) -> Mapping[str, str]:
    """The dimensions that the mapping declares, where the person has them."""
    return {name: value for name, text in document.dimensions.items() if (value := look(*split_field(text)))}
