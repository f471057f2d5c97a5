"""A call as endpoints see it, what they answer with, and how they read a body they do not trust."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from connectors.simulators.hubspot.catalogue import ObjectType, object_type_of
from connectors.simulators.hubspot.errors import Json, invalid, not_found
from connectors.simulators.hubspot.instants import iso, millis
from connectors.simulators.hubspot.portal import Portal


@dataclass(frozen=True, slots=True)
class Call:
    """One request, past authentication and limits. `now` is the injected clock's."""

    portal: Portal
    now: datetime
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    body: object = None
    url: str = ""

    @property
    def now_ms(self) -> int:
        """The instant of the call in epoch milliseconds."""
        return millis(self.now)

    def kind(self, name: str = "object_type") -> ObjectType:
        """The object type that a path segment names, or 400."""
        found = object_type_of(self.path[name])
        if found is None:
            raise invalid(f"Unable to infer object type from: {self.path[name]}")
        return found

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None

    def names(self, name: str) -> list[str]:
        """The names in a query parameter, given with commas or several times."""
        return [one for value in self.query.get(name, ()) for one in value.split(",") if one]

    def is_set(self, name: str) -> bool:
        """Whether a query parameter says true."""
        return (self.first(name) or "").lower() == "true"

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 to `most` out of the query, or 400."""
        text = self.first(name)
        if text is None:
            return default
        if not text.isdigit() or not 1 <= int(text) <= most:
            raise invalid(f"{name} must be between 1 and {most}", "INVALID_LIMIT")
        return int(text)


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


def json_object(body: object, what: str = "request body") -> Mapping[str, object]:
    """A JSON object, or 400."""
    if not isinstance(body, dict):
        raise invalid(f"Invalid input JSON: {what} must be an object")
    return body


def json_list(body: Mapping[str, object], name: str, *, is_required: bool = False) -> list[object]:
    """A list under a key; a missing key is an empty list, or 400 where it is required."""
    value = body.get(name)
    if value is None and not is_required:
        return []
    if not isinstance(value, list):
        raise invalid(f"Some required fields were not set: [{name}]", "REQUIRED_FIELD", properties=[name])
    return value


def json_names(body: Mapping[str, object], name: str, *, is_required: bool = False) -> list[str]:
    """A list of texts under a key."""
    values = json_list(body, name, is_required=is_required)
    if not all(isinstance(value, str) for value in values):
        raise invalid(f"{name} must be a list of strings")
    return [str(value) for value in values]


def batch(call: Call, results: list[Json], errors: list[Json]) -> Answer:
    """The reply of a batch endpoint: 207 where some inputs failed."""
    at = iso(call.now_ms)
    body: Json = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
    if not errors:
        return Answer(body)
    return Answer({**body, "numErrors": len(errors), "errors": errors}, 207)


def record_number(text: str) -> int:
    """A record's id as it is stored; 404 for text that can be none."""
    if not text.isdigit():
        raise not_found()
    return int(text)
