"""How names and labels of a CRM are read: as plain words, and what those words stand for (pure)."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from connectors.contract.records import ObjectKind
from connectors.contract.source import PropertySchema, PropertyType, SourceSchema

CONTACT, LEAD, DEAL = ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL
TEXTS = frozenset({PropertyType.TEXT, PropertyType.PHONE, PropertyType.ENUM})

# What a person is called by: first the names that are right in every CRM, then the less usual ones.
PERSONAL: Mapping[str, tuple[str, ...]] = {
    "email": ("email", "e mail", "email address"),
    "phone": ("mobile phone", "mobile", "mobile phone number", "phone", "phone number", "cell phone"),
    "first_name": ("first name", "given name", "vorname"),
    "last_name": ("last name", "surname", "family name", "nachname"),
    "postal_code": ("zip", "postal code", "zip code", "postcode", "mailing postal code", "postal address postal code", "plz"),
    "city": ("city", "mailing city", "postal address locality"),
    "state": ("state", "state code", "mailing state code", "mailing state", "postal address admin area level 1"),
    "country": ("country code", "mailing country code", "country", "mailing country", "postal address country"),
}
# Click ids and the lead ids of platforms: no CRM has a field for all of them, so these are mostly the operator's own.
CLICKS: Mapping[str, tuple[str, ...]] = {
    "gclid": ("gclid", "google click id", "google click identifier", "google ads click id"),
    "gbraid": ("gbraid",),
    "wbraid": ("wbraid",),
    "fbclid": ("fbclid", "facebook click id", "meta click id"),
    "fbc": ("fbc", "facebook click cookie", "meta click cookie"),
    "fbp": ("fbp", "facebook browser id", "meta browser id"),
    "meta_lead_id": ("leadgen id", "meta lead id", "facebook lead id", "fb lead id"),
    "msclkid": ("msclkid", "microsoft click id", "microsoft ads click id", "bing click id", "bing ads click id"),
    "li_fat_id": ("li fat id", "linkedin click id"),
    "linkedin_lead_id": ("linkedin lead id", "linkedin lead gen id"),
    "ttclid": ("ttclid", "tiktok click id"),
    "tiktok_lead_id": ("tiktok lead id",),
}
CLICKED_AT = ("clicked at", "click time", "click timestamp", "click date", "click date time", "gclid timestamp", "gclid date")
UTM_CAMPAIGN = ("utm campaign",)
CAMPAIGN_ID = ("utm id", "gad campaignid", "gad campaign id", "google campaign id", "ad campaign id", "hsa cam")
# Words that make of a click id something else: when it was stored, whether it was uploaded.
_NOT_AN_ID = frozenset({"date", "time", "timestamp", "at", "expiry", "expires", "source", "status", "uploaded", "consent"})

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER = re.compile(r"[^\w]+|_+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Named:
    """A property of a kind of record."""

    kind: ObjectKind
    described: PropertySchema

    @property
    def field(self) -> str:
        """`contact.email`, as the document says it."""
        return f"{self.kind}.{self.described.name}"


def words(text: str) -> str:
    """`GoogleClickId__c`, `hs_google_click_id` and `Google Click ID` are all `google click id`."""
    parts = _OTHER.sub(" ", _CAMEL.sub(" ", text.removesuffix("__c"))).casefold().split()
    return " ".join(parts[1:] if len(parts) > 1 and parts[0] == "hs" else parts)


def said(one: PropertySchema) -> tuple[str, str]:
    """The words of its name and of its label."""
    return words(one.name), words(one.label)


def named(schema: SourceSchema, kinds: Iterable[ObjectKind]) -> Iterator[Named]:
    """The properties of these kinds, kind by kind."""
    for kind in kinds:
        for one in schema.properties.get(kind, {}).values():
            yield Named(kind, one)


def exactly(among: Sequence[Named], phrases: Sequence[str]) -> tuple[Named, ...]:
    """The properties that are called so, by name before label, phrase by phrase, kinds in the order given."""
    found: dict[str, Named] = {}
    for by_label in (0, 1):
        for phrase in phrases:
            squashed = phrase.replace(" ", "")
            for one in among:
                if said(one.described)[by_label].replace(" ", "") == squashed:
                    found.setdefault(one.field, one)
    return tuple(found.values())


def clicks_of(among: Sequence[Named], phrases: Sequence[str]) -> tuple[Named, ...]:
    """The text properties that hold this click id: called so, or with more words around (`GCLID (first touch)`)."""
    texts = [one for one in among if one.described.type is PropertyType.TEXT]
    found = {one.field: one for one in exactly(texts, phrases)}
    for one in texts:
        for text in said(one.described):
            if _NOT_AN_ID.isdisjoint(text.split()) and any(f" {phrase} " in f" {text} " for phrase in phrases):
                found.setdefault(one.field, one)
    return tuple(found.values())


# Consent --------------------------------------------------------------------------------------------------------------

# A field is about consent to advertising where it speaks of both, and of nothing that makes it another consent: an e-mail
# opt-out, a permission to call, or when and where a consent was given.
_CONSENT = frozenset({"consent", "consents", "consented", "opt", "optin", "permission", "einwilligung", "gdpr"})
_ADVERTISING = frozenset({"ad", "ads", "advertising", "advertisement", "marketing", "remarketing", "werbung"})
_PERSONALIZATION = frozenset({"personalization", "personalisation", "personalized", "personalised", "remarketing"})
_OTHER_CONSENT = frozenset(
    (
        "email", "emails", "mail", "mails", "mailing", "e", "newsletter", "sms", "call", "calls", "calling", "phone",
        "whatsapp", "fax", "out", "optout", "unsubscribe", "unsubscribed", "unsubscribes", "not", "no", "date", "time",
        "timestamp", "at", "ip", "source", "text", "version", "url", "proof", "sales",
    )
)  # fmt: skip
_GRANTS = frozenset(
    ["yes", "true", "granted", "given", "optin", "consented", "consent", "agreed", "agree", "accepted", "allowed", "ja"]
)
_DENIES = frozenset(
    (
        "no", "not", "none", "denied", "out", "optout", "false", "unknown", "revoked", "withdrawn", "declined", "rejected",
        "never", "pending", "nein", "dont", "don",
    )
)  # fmt: skip
_HOLDS_CONSENT = frozenset({PropertyType.TEXT, PropertyType.BOOLEAN, PropertyType.ENUM})


def consent_fields(among: Sequence[Named]) -> tuple[tuple[Named, ...], tuple[Named, ...]]:
    """Fields that say consent to advertising, and those of them that speak of personalisation; the most outspoken first."""
    spoken = [one for one in among if not any(_OTHER_CONSENT & set(text.split()) for text in said(one.described))]
    rated = [(rating, one) for one in spoken if (rating := max(map(_about_ads, said(one.described)))) > 0]
    kept = [one for _, one in sorted(rated, key=lambda pair: -pair[0]) if one.described.type in _HOLDS_CONSENT]
    special = [one for one in kept if any(_PERSONALIZATION & set(text.split()) for text in said(one.described))]
    return tuple(one for one in kept if one not in special), tuple(special)


def _about_ads(text: str) -> int:
    """2 for advertising by name, 1 for marketing, 0 for anything else."""
    parts = set(text.split())
    if parts >= {"ad", "user", "data"} or parts >= {"ad", "personalization"}:
        return 2
    if not parts & _CONSENT or not parts & _ADVERTISING:
        return 0
    return 1 if parts & _ADVERTISING == {"marketing"} else 2


def granted_values(one: PropertySchema) -> tuple[str, ...]:
    """The values that grant it, () where its options do not say which."""
    if one.type is PropertyType.BOOLEAN:
        return ("true",)
    if not one.options:
        return ("yes", "true", "granted")
    return tuple(each.value for each in one.options if _grants(each.label) or (_grants(each.value) and not _denies(each.label)))


def _grants(text: str) -> bool:
    plain = words(text)
    return (bool(_GRANTS & set(plain.split())) or re.search(r"\bopt(ed)? in\b", plain) is not None) and not _denies(text)


def _denies(text: str) -> bool:
    return bool(_DENIES & set(words(text).split()))


# Stages and statuses --------------------------------------------------------------------------------------------------

_UNQUALIFIED = re.compile(
    r"\b(un|dis|non|not|nicht|never)\s?(qualified|qualifiziert|converted)(lead)?\b"
    r"|\b(junk|spam|bad fit|no fit|not a fit|rejected)\b"
)
_NOT_YET = re.compile(r"\b(pre|to be|being|needs?|for)\s?(qualified|qualification)\b")
_QUALIFIED = re.compile(r"\b(qualified|qualifiziert|converted|mql|sql|sal|pql|sales accepted|[a-z]+qualifiedlead)\b")
_OPPORTUNITY = re.compile(r"\b(opportunity|opp|proposal|offer|quote|quotation|negotiations?|contract|demo|angebot|vertrag)\b")


def is_disqualified(*texts: str) -> bool:
    """A value or label that says that nothing will come of this person."""
    return any(_UNQUALIFIED.search(words(text)) for text in texts)


def is_qualified(*texts: str) -> bool:
    """A value or label that says that this person is worth selling to."""
    plain = [words(text) for text in texts]
    return any(_QUALIFIED.search(one) and not _NOT_YET.search(one) for one in plain) and not is_disqualified(*texts)


def is_opportunity(*texts: str) -> bool:
    """A value or label that says that an offer is in sight."""
    return any(_OPPORTUNITY.search(words(text)) for text in texts)
