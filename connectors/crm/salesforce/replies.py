"""Reading Salesforce's JSON strictly: what is not as documented becomes an UnexpectedReply that names the place (pure)."""

import re
from decimal import Decimal

from connectors.http.strict_json import StrictJson

SHORT_ID = 15
LONG_ID = 18

_READ = StrictJson("Salesforce")
unexpected = _READ.unexpected
json_object = _READ.json_object
json_objects = _READ.json_objects
instant = _READ.instant

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_SUFFIXES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def text(value: object, what: str) -> str | None:
    """A field's value as text; numbers in plain decimals, whole ones without a fraction (REST gives 50.0 for 50)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        plain = format(Decimal(repr(value)), "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return _READ.text(value, what)


def record_id(value: object, what: str) -> str:
    """A record's id with its 18 characters, which compare without regard to case."""
    if not isinstance(value, str) or not is_record_id(value):
        raise unexpected(f"{what} is no id")
    return long_id(value)


def optional_id(value: object, what: str) -> str | None:
    """An id, None where the field is empty."""
    return record_id(value, what) if value else None


def is_record_id(value: str) -> bool:
    """True for what can be an id at Salesforce, of 15 or 18 characters."""
    return _ID.fullmatch(value) is not None


def long_id(value: str) -> str:
    """The 18 characters of an id: three more say which of the 15 are capitals."""
    if len(value) != SHORT_ID:
        return value
    parts = (value[start : start + 5] for start in range(0, SHORT_ID, 5))
    return value + "".join(_SUFFIXES[sum(1 << place for place, one in enumerate(part) if "A" <= one <= "Z")] for part in parts)
