"""How the words of a document become values: durations, instants, amounts; nothing unknown is let through."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_DURATION = re.compile(r"(\d{1,4})([dhm])")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
AMOUNT = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)


def _duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, timedelta):
        return value
    if match is None:
        raise ValueError("a duration reads like 90d, 12h or 30m")
    return int(match.group(1)) * _UNITS[match.group(2)]


def _instant(value: object) -> datetime | None:
    if value is None or (isinstance(value, datetime) and value.tzinfo is not None):
        return value
    if isinstance(value, date):
        value = value.isoformat()
    if not isinstance(value, str):
        raise ValueError("a date reads like 2026-11-22")  # noqa: TRY004 pydantic collects ValueError
    parsed = datetime.fromisoformat(value) if "T" in value else datetime.combine(date.fromisoformat(value), time(), UTC)
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else value


def read_amount(value: object) -> str:
    """An amount as text; ValueError where it is none."""
    if isinstance(value, bool) or not AMOUNT.fullmatch(str(value)):
        raise ValueError(f"`{value}` is no amount; it reads like 50 or 49.90")
    return str(value)


Amount = Annotated[str, BeforeValidator(read_amount)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Instant = Annotated[datetime | None, BeforeValidator(_instant)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class Part(BaseModel):
    """A part of the document: nothing unknown, nothing coerced but what YAML cannot say."""

    model_config = ConfigDict(extra="forbid", frozen=True)
