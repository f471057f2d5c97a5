"""Reading Pipedrive's JSON strictly: what is not as documented becomes an UnexpectedReply that names the place (pure)."""

import re
from datetime import datetime
from decimal import Decimal

from connectors.contract.records import ObjectKind
from connectors.http.strict_json import StrictJson

_READ = StrictJson("Pipedrive")
unexpected = _READ.unexpected
json_object = _READ.json_object
json_objects = _READ.json_objects
instant = _READ.instant

_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def text(value: object, what: str) -> str | None:
    """A value as text: booleans in lower case, numbers without exponent and without a fraction of zeros."""
    if isinstance(value, float):
        return f"{Decimal(str(value)):f}".removesuffix(".0")
    return _READ.text(value, what)


def second(value: object, what: str) -> datetime:
    """An instant, cut to whole seconds: Pipedrive's changelog knows no finer ones, its webhooks do."""
    return instant(value, what).replace(microsecond=0)


def optional_second(value: object, what: str) -> datetime | None:
    """An instant cut to whole seconds, None where Pipedrive gives none."""
    return None if value is None or value == "" else second(value, what)


def record_id(kind: ObjectKind, value: object, what: str) -> str:
    """A record's id as text: a number, of a lead a UUID."""
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(found, str) or not is_record_id(kind, found):
        raise unexpected(f"{what} is no id")
    return found


def optional_id(kind: ObjectKind, value: object, what: str) -> str | None:
    """The id of a linked record, None where there is none; some answers of v1 wrap it into an object."""
    if isinstance(value, dict):
        value = value.get("value", value.get("id"))
    return None if value in (None, "", 0) else record_id(kind, value, what)


def is_record_id(kind: ObjectKind, value: str) -> bool:
    """True for what can be an id of this kind at Pipedrive."""
    return (_UUID if kind is ObjectKind.LEAD else _NUMBER).fullmatch(value) is not None
