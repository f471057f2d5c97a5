"""A call as endpoints see it, what they answer with, and how they read queries and bodies they do not trust."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from connectors.simulators.pipedrive.company import Company
from connectors.simulators.pipedrive.errors import Json, bad_request
from connectors.simulators.pipedrive.instants import millis, parse_rfc3339
from connectors.simulators.pipedrive.rows import Row
from connectors.simulators.pipedrive.store import Store
from connectors.simulators.pipedrive.tokens import Caller


@dataclass(frozen=True, slots=True)
class Call:
    """One request, past authentication and limits. `now` is the injected clock's."""

    company: Company
    caller: Caller
    now: datetime
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    body: object = None

    @property
    def store(self) -> Store:
        """The company's rows."""
        return self.company.store

    @property
    def now_ms(self) -> int:
        """The instant of the call in epoch milliseconds."""
        return millis(self.now)

    def is_seen(self, row: Row) -> bool:
        """Whether the caller may see a row that is not long deleted."""
        return not self.store.is_gone(row, self.now_ms) and self.store.sees(self.caller.user_id, row)

    def first(self, name: str) -> str | None:
        """The value of a query parameter; an empty one is none."""
        values = self.query.get(name)
        return values[0] if values and values[0] else None

    def names(self, name: str, most: int | None = None) -> list[str]:
        """A comma list out of the query; 400 where it is longer than `most`."""
        names = [one.strip() for one in (self.first(name) or "").split(",") if one.strip()]
        if most is not None and len(names) > most:
            raise bad_request(f"Parameter {name} takes at most {most} values")
        return names

    def is_set(self, name: str) -> bool:
        """Whether a query parameter says true."""
        return (self.first(name) or "").lower() in ("true", "1")

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of these, by default the first, or 400."""
        value = self.first(name) or choices[0]
        if value not in choices:
            raise bad_request(f"Parameter {name} must be one of: {', '.join(choices)}")
        return value

    def number(self, name: str) -> int | None:
        """A whole number out of the query, or 400."""
        text = self.first(name)
        if text is None:
            return None
        if not text.isdigit():
            raise bad_request(f"Parameter {name} must be an integer")
        return int(text)

    def limit(self, most: int = 500, default: int = 100) -> int:
        """How many rows a page may have."""
        limit = self.number("limit")
        if limit is None:
            return default
        if not 1 <= limit <= most:
            raise bad_request(f"Parameter limit must be between 1 and {most}")
        return limit

    def instant(self, name: str) -> int | None:
        """RFC 3339 text out of the query as epoch milliseconds, or 400."""
        text = self.first(name)
        if text is None:
            return None
        try:
            return parse_rfc3339(text)
        except ValueError as error:
            raise bad_request(f"Parameter {name} must be in RFC3339 format, e.g. 2025-01-01T10:20:00Z") from error

    def json_object(self) -> Mapping[str, object]:
        """The body as a JSON object, or 400."""
        if not isinstance(self.body, dict):
            raise bad_request("The request body must be a JSON object")
        return self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with a JSON body."""

    body: Json
    status: int = 200


class Endpoint(Protocol):
    """What answers one kind of call."""

    def __call__(self, call: Call, /) -> Answer:
        """Answer, or raise a Refusal."""
        ...


def item(data: object, **more: object) -> Answer:
    """A single object, or a list without pages."""
    return Answer({"success": True, "data": data, **more})


def listing(data: Sequence[object], next_cursor: str | None) -> Answer:
    """A page of API v2 (and of changelogs)."""
    return Answer({"success": True, "data": list(data), "additional_data": {"next_cursor": next_cursor}})
