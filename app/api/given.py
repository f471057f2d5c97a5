"""The types of what a client sends: strict, with unknown names refused, and told to the contract as they are judged."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr
from pydantic.config import JsonDict, JsonValue

from app.reports.cursors import LONGEST_CURSOR

MOST_ROWS = 200
LONGEST_WORD = 200

_WHOLE_DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _text_only(value: object) -> object:
    """Pydantic would take a number, or digits, for epoch seconds."""
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError("Input should be a text in ISO 8601 with its zone, for example 2026-11-24T10:00:00Z")
    return value


def _storable(value: str) -> str:
    """No database and no hash takes these."""
    if any(one == "\0" or "\ud800" <= one <= "\udfff" for one in value):
        raise ValueError("Input should be text without NUL and without half characters")
    return value


def _bare(value: object) -> object:
    """A number in a query is a text of digits; `+5`, `5.0` and blanks are mistakes."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("Input should be a whole number")
    return value


def whole(value: object) -> object:
    """For bodies: JSON knows one kind of number, in which 10.0 is a whole one; a text or true is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("Input should be a whole number")  # noqa: TRY004 only this becomes a mistake
    return value


def _day(value: object) -> object:
    """A day is written in full; pydantic would take a number of seconds for one too."""
    if not isinstance(value, str) or not _WHOLE_DAY.fullmatch(value):
        raise ValueError("Input should be a day like 2026-11-24")
    return value


Day = Annotated[date, BeforeValidator(_day), Field(json_schema_extra={"pattern": f"^{_WHOLE_DAY.pattern}$"})]
Instant = Annotated[AwareDatetime, BeforeValidator(_text_only)]
Plain = Annotated[StrictStr, AfterValidator(_storable), Field(json_schema_extra={"pattern": "^[^\\x00]*$"})]
Cursor = Annotated[Plain, Field(min_length=1, max_length=LONGEST_CURSOR)]
Word = Annotated[Plain, Field(min_length=1, max_length=LONGEST_WORD)]
# Constraints stand before validators: only so they reach the contract.
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS), BeforeValidator(_bare)]
Number = Annotated[int, Field(ge=1, lt=2**31), BeforeValidator(_bare)]
Currency = Annotated[StrictStr, Field(pattern="^[A-Z]{3}$")]


class Given(BaseModel):
    """What a client sends: a name that is not known is a mistake, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def exactly_one(names: Sequence[str], beside: Mapping[str, str] | None = None) -> JsonDict:
    """For the contract: one of these names is given, and `beside` (name -> with which) only together with it."""
    branches: list[JsonValue] = []
    for name in names:
        absent = [*(other for other in names if other != name), *(other for other, of in (beside or {}).items() if of != name)]
        properties: JsonDict = {other: {"type": "null"} for other in absent}
        branches.append({"required": [name], "properties": {**properties, name: {"not": {"type": "null"}}}})
    return {"oneOf": branches}
