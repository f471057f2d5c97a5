"""Reading parsed JSON of any shape without trust: what is not of the wanted type is empty (pure)."""

from collections.abc import Mapping, Sequence


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
    """A whole number: Google writes int64 as text and int32 as a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None
