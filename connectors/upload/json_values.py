"""Reading parsed JSON of any shape without trust: what is not of the wanted type is empty (pure)."""

import json
from collections.abc import Mapping, Sequence

LONGEST_NUMBER = 18


def as_object(value: object) -> Mapping[str, object]:
    """A JSON object, empty where it is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[object]:
    """A JSON array, empty where it is none."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """A JSON string, "" where it is none."""
    return value if isinstance(value, str) else ""


def as_whole(value: object) -> int | None:
    """A whole number, also where a vendor writes it as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER else None


def parsed(text: str) -> object:
    """JSON that comes as text (headers, nested fields); None where it is none."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found
