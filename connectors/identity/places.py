"""Postal code, state and city as Meta compares them."""

import re
import unicodedata

from connectors.identity.countries import name_key
from connectors.identity.texts import IdentifierProblem, clean, lower

LONGEST_POSTAL_CODE = 20
LONGEST_PLACE = 100

_ZIP = re.compile(r"(\d{5})(?:-?\d{4})?", re.ASCII)
_ZIP_PLUS_FOUR = re.compile(r"(\d{5})-\d{4}", re.ASCII)
_POSTAL_CODE = re.compile(r"[^\W_]+(?:[ -]+[^\W_]+)*")
_ISO_PREFIX = re.compile(r"^(?:us|ca)-", re.IGNORECASE)

_US_STATES = """
al alabama; ak alaska; az arizona; ar arkansas; ca california; co colorado; ct connecticut; de delaware;
dc district of columbia; dc washington dc; fl florida; ga georgia; hi hawaii; id idaho; il illinois; in indiana;
ia iowa; ks kansas; ky kentucky; la louisiana; me maine; md maryland; ma massachusetts; mi michigan; mn minnesota;
ms mississippi; mo missouri; mt montana; ne nebraska; nv nevada; nh new hampshire; nj new jersey; nm new mexico;
ny new york; nc north carolina; nd north dakota; oh ohio; ok oklahoma; or oregon; pa pennsylvania; ri rhode island;
sc south carolina; sd south dakota; tn tennessee; tx texas; ut utah; vt vermont; va virginia; wa washington;
wv west virginia; wi wisconsin; wy wyoming; as american samoa; gu guam; mp northern mariana islands; pr puerto rico;
vi virgin islands; vi us virgin islands; aa armed forces americas; ae armed forces europe; ap armed forces pacific
"""
_CA_PROVINCES = """
ab alberta; bc british columbia; mb manitoba; nb new brunswick; nl newfoundland and labrador; nl newfoundland;
ns nova scotia; nt northwest territories; nu nunavut; on ontario; pe prince edward island; qc quebec;
sk saskatchewan; yt yukon; yt yukon territory
"""


def _codes(table: str) -> dict[str, str]:
    codes: dict[str, str] = {}
    for row in table.replace("\n", " ").split(";"):
        code, _, name = row.strip().partition(" ")
        codes[code] = codes[name_key(name)] = code
    return codes


_STATES = {"US": _codes(_US_STATES), "CA": _codes(_CA_PROVINCES)}
_EITHER = {**_STATES["CA"], **_STATES["US"]}


def normalise_postal_code(text: str) -> str | IdentifierProblem:
    """Trimmed, upper and lower case kept: Google takes it plain."""
    cleaned = clean(text, LONGEST_POSTAL_CODE)
    if isinstance(cleaned, IdentifierProblem):
        return cleaned
    has_digits = any(letter.isdecimal() for letter in cleaned)
    return cleaned if has_digits and _POSTAL_CODE.fullmatch(cleaned) else IdentifierProblem.INVALID


def meta_postal_code(postal_code: str, country: str | None) -> str | IdentifierProblem:
    """Meta's variant of a normalised postal code: lower case, no blanks, no dashes; of a US one the first five digits."""
    if country == "US":
        digits = _ZIP.fullmatch(postal_code.replace(" ", ""))
        return digits[1] if digits else IdentifierProblem.INVALID
    plus_four = _ZIP_PLUS_FOUR.fullmatch(postal_code) if country is None else None
    return plus_four[1] if plus_four else "".join(letter for letter in lower(postal_code) if letter.isalnum())


def normalise_state(text: str, country: str | None) -> str | IdentifierProblem:
    """Two letters for the US and Canada (names are looked up), else lower case without punctuation and blanks."""
    cleaned = clean(text, LONGEST_PLACE)
    if isinstance(cleaned, IdentifierProblem):
        return cleaned
    codes = _EITHER if country is None else _STATES.get(country)
    if codes is None:
        return _letters_and_digits(cleaned)
    key = name_key(_ISO_PREFIX.sub("", cleaned, count=1))
    known = codes.get(key)
    if known is not None:
        return known
    return _letters_and_digits(cleaned) if country is None else IdentifierProblem.INVALID


def normalise_city(text: str) -> str | IdentifierProblem:
    """Lower case, letters only; accents stay."""
    cleaned = clean(text, LONGEST_PLACE)
    if isinstance(cleaned, IdentifierProblem):
        return cleaned
    letters = "".join(letter for letter in lower(cleaned) if unicodedata.category(letter)[0] in "LM")
    return letters if any(letter.isalpha() for letter in letters) else IdentifierProblem.INVALID


def _letters_and_digits(text: str) -> str | IdentifierProblem:
    kept = "".join(letter for letter in lower(text) if unicodedata.category(letter)[0] in "LMN")
    return kept or IdentifierProblem.INVALID
