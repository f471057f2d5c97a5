"""Values by the type of their field: how they are taken in, and how REST writes them."""

import sys
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal

from connectors.simulators.salesforce.catalogue import Field
from connectors.simulators.salesforce.ids import long_id
from connectors.simulators.salesforce.instants import millis, parse_instant, rest_text
from connectors.simulators.salesforce.table import Value

NUMBERS = frozenset({"currency", "double", "int", "percent"})
TEXTS = frozenset(
    {"string", "email", "phone", "picklist", "url", "textarea", "multipicklist", "combobox", "anyType", "encryptedstring"}
)
Writer = Callable[[Value], object]
IDS = frozenset({"id", "reference"})


def taken_in(field: Field, value: object) -> Value:
    """A value as it is stored: empty text is null; ValueError where it does not fit the field."""
    if value is None or value == "":
        return False if field.type == "boolean" else None
    if field.type == "boolean":
        if isinstance(value, bool):
            return value
    elif field.type in NUMBERS:
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return float(value)
    elif field.type == "datetime":
        return _instant(value)
    elif field.type == "date":
        return sys.intern(_day(value))
    elif isinstance(value, str):
        if field.type in IDS:
            return long_id(value)
        return sys.intern(value) if field.type == "picklist" else value
    raise ValueError(f"{field.name} takes a {field.type}")


def writer(field: Field) -> Writer | None:
    """How REST writes a field's values; None where they are written as they are."""
    match field.type:
        case "datetime":
            return _told_instant
        case "boolean":
            return bool
        case "int":
            return _told_whole
        case _:
            return None


def _told_instant(value: Value) -> object:
    return None if value is None else rest_text(int(value))


def _told_whole(value: Value) -> object:
    return None if value is None else int(value)


def _instant(value: object) -> int:
    if isinstance(value, datetime):
        return millis(value)
    if isinstance(value, str):
        return parse_instant(value)
    raise ValueError("no dateTime")


def _day(value: object) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return date.fromisoformat(value).isoformat()
    raise ValueError("no date")
