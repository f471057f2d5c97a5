"""One person: candidates by field in, identifiers and reasons out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors.contract.conversions import Identifier
from connectors.identity import clicks
from connectors.identity.contacts import google_email, microsoft_email, normalise_email, normalise_phone, phone_digits
from connectors.identity.countries import country_code
from connectors.identity.places import meta_postal_code, normalise_city, normalise_postal_code, normalise_state
from connectors.identity.texts import IdentifierProblem, clean, lower, sha256, without_marks

LONGEST_NAME = 200
LONGEST_EXTERNAL_ID = 512

Candidates = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawIdentity:
    """What a CRM says of one person, in clear: never stored, never logged. Of each field the first valid candidate wins.

    `clicked_at` (aware) is when the click id was first seen. `default_country` (ISO alpha-2) only reads national phone
    numbers, postal codes and states where the person has no country; it is never sent as the person's own.
    """

    email: Candidates = field(default=(), repr=False)
    phone: Candidates = field(default=(), repr=False)
    first_name: Candidates = field(default=(), repr=False)
    last_name: Candidates = field(default=(), repr=False)
    postal_code: Candidates = field(default=(), repr=False)
    country: Candidates = field(default=(), repr=False)
    city: Candidates = field(default=(), repr=False)
    state: Candidates = field(default=(), repr=False)
    external_id: Candidates = field(default=(), repr=False)
    gclid: Candidates = field(default=(), repr=False)
    gbraid: Candidates = field(default=(), repr=False)
    wbraid: Candidates = field(default=(), repr=False)
    fbclid: Candidates = field(default=(), repr=False)
    fbc: Candidates = field(default=(), repr=False)
    fbp: Candidates = field(default=(), repr=False)
    meta_lead_id: Candidates = field(default=(), repr=False)
    msclkid: Candidates = field(default=(), repr=False)
    li_fat_id: Candidates = field(default=(), repr=False)
    linkedin_lead_id: Candidates = field(default=(), repr=False)
    ttclid: Candidates = field(default=(), repr=False)
    tiktok_lead_id: Candidates = field(default=(), repr=False)
    clicked_at: datetime | None = field(default=None, repr=False)
    default_country: str | None = None


@dataclass(frozen=True, slots=True)
class HashedIdentity:
    """What platforms may be told, and for each raw field that had candidates but gave nothing, why."""

    identifiers: Mapping[Identifier, str] = field(repr=False)
    reasons: Mapping[str, IdentifierProblem]


_Read = Callable[[str], str | IdentifierProblem]

_PLAIN: tuple[tuple[str, Identifier, _Read], ...] = (
    ("gclid", Identifier.GCLID, clicks.valid_click_id),
    ("gbraid", Identifier.GBRAID, clicks.valid_click_id),
    ("wbraid", Identifier.WBRAID, clicks.valid_click_id),
    ("fbp", Identifier.FBP, clicks.valid_fbp),
    ("meta_lead_id", Identifier.META_LEAD_ID, clicks.valid_meta_lead_id),
    ("msclkid", Identifier.MSCLKID, clicks.valid_msclkid),
    ("li_fat_id", Identifier.LI_FAT_ID, clicks.valid_li_fat_id),
    ("linkedin_lead_id", Identifier.LINKEDIN_LEAD_ID, clicks.valid_linkedin_lead_id),
    ("ttclid", Identifier.TTCLID, clicks.valid_click_id),
    ("tiktok_lead_id", Identifier.TIKTOK_LEAD_ID, clicks.valid_tiktok_lead_id),
)


def identify(raw: RawIdentity) -> HashedIdentity:
    """Normalise and hash all that is valid; never raises for a value, however odd."""
    found = _Found(raw)
    country = found.first("country", _read_country)
    home = country or (country_code(raw.default_country) if raw.default_country else None)
    _add_contacts(found, home)
    _add_names(found)
    _add_places(found, country, home)
    external_id = found.first("external_id", _read_external_id)
    if external_id is not None:
        found.identifiers[Identifier.EXTERNAL_ID_SHA256] = sha256(external_id)
    for name, identifier, read in _PLAIN:
        value = found.first(name, read)
        if value is not None:
            found.identifiers[identifier] = value
    _add_fbc(found, raw.clicked_at)
    return HashedIdentity(found.identifiers, found.reasons)


class _Found:
    """Collects identifiers and reasons of one person."""

    def __init__(self, raw: RawIdentity) -> None:
        self._raw = raw
        self.identifiers: dict[Identifier, str] = {}
        self.reasons: dict[str, IdentifierProblem] = {}

    def first(self, name: str, read: _Read) -> str | None:
        """The first valid candidate; else the first problem other than emptiness is the reason."""
        candidates: Candidates = getattr(self._raw, name)
        problem: IdentifierProblem | None = None
        for candidate in candidates:
            value = read(candidate)
            if not isinstance(value, IdentifierProblem):
                return value
            if problem is None or problem is IdentifierProblem.EMPTY:
                problem = value
        if problem is not None:
            self.reasons[name] = problem
        return None


def _add_contacts(found: _Found, home: str | None) -> None:
    email = found.first("email", normalise_email)
    if email is not None:
        found.identifiers[Identifier.EMAIL_SHA256] = sha256(email)
        found.identifiers[Identifier.EMAIL_GOOGLE_SHA256] = sha256(google_email(email))
        found.identifiers[Identifier.EMAIL_MICROSOFT_SHA256] = sha256(microsoft_email(email))
    phone = found.first("phone", lambda text: normalise_phone(text, home))
    if phone is not None:
        found.identifiers[Identifier.PHONE_SHA256] = sha256(phone)
        found.identifiers[Identifier.PHONE_DIGITS_SHA256] = sha256(phone_digits(phone))


def _add_names(found: _Found) -> None:
    for name, google, meta in (
        ("first_name", Identifier.FIRST_NAME_GOOGLE_SHA256, Identifier.FIRST_NAME_META_SHA256),
        ("last_name", Identifier.LAST_NAME_GOOGLE_SHA256, Identifier.LAST_NAME_META_SHA256),
    ):
        value = found.first(name, _read_name)
        if value is not None:
            found.identifiers[google] = sha256(value)
            found.identifiers[meta] = sha256(" ".join(without_marks(value).split()))


def _add_places(found: _Found, country: str | None, home: str | None) -> None:
    if country is not None:
        found.identifiers[Identifier.COUNTRY] = country
        found.identifiers[Identifier.COUNTRY_META_SHA256] = sha256(country.lower())
    postal_code = found.first("postal_code", normalise_postal_code)
    if postal_code is not None:
        found.identifiers[Identifier.POSTAL_CODE] = postal_code
        for_meta = meta_postal_code(postal_code, home)
        if not isinstance(for_meta, IdentifierProblem):
            found.identifiers[Identifier.POSTAL_CODE_META_SHA256] = sha256(for_meta)
    state = found.first("state", lambda text: normalise_state(text, home))
    if state is not None:
        found.identifiers[Identifier.STATE_META_SHA256] = sha256(state)
    city = found.first("city", normalise_city)
    if city is not None:
        found.identifiers[Identifier.CITY_META_SHA256] = sha256(city)


def _add_fbc(found: _Found, clicked_at: datetime | None) -> None:
    """A stored fbc is Meta's own and wins over one that is made from the bare fbclid."""
    stored = found.first("fbc", clicks.valid_fbc)
    made = None
    fbclid = found.first("fbclid", clicks.valid_fbclid)
    if stored is None and fbclid is not None:
        made = clicks.fbc_of(fbclid, clicked_at)
        if isinstance(made, IdentifierProblem):
            found.reasons["fbclid"] = made
            return
    fbc = stored or made
    if fbc is not None:
        found.identifiers[Identifier.FBC] = fbc


def _read_country(text: str) -> str | IdentifierProblem:
    cleaned = clean(text, LONGEST_NAME)
    if isinstance(cleaned, IdentifierProblem):
        return cleaned
    return country_code(cleaned) or IdentifierProblem.INVALID


def _read_name(text: str) -> str | IdentifierProblem:
    """Google's variant: lower case, punctuation kept; a name has at least one letter."""
    cleaned = clean(text, LONGEST_NAME)
    if isinstance(cleaned, IdentifierProblem):
        return cleaned
    return lower(cleaned) if any(letter.isalpha() for letter in cleaned) else IdentifierProblem.INVALID


def _read_external_id(text: str) -> str | IdentifierProblem:
    return clean(text, LONGEST_EXTERNAL_ID)
