"""A call as endpoints see it, and what they answer with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from connectors.simulators.salesforce.catalogue import ObjectType
from connectors.simulators.salesforce.errors import not_found, refusal
from connectors.simulators.salesforce.instants import millis, parse_instant

if TYPE_CHECKING:
    from connectors.simulators.salesforce.org import Org


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with a body; None where there is none."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One request past the gate, or a part of a composite one. `path` holds the segments after the version."""

    org: "Org"
    now: datetime
    method: str
    version: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: object = None
    is_trial: bool = False  # to be checked and answered, but nothing is to be written

    @property
    def now_ms(self) -> int:
        """The instant of the call in epoch milliseconds."""
        return millis(self.now)

    @property
    def root(self) -> str:
        """`/services/data/v67.0`, of the version that was called."""
        return f"/services/data/v{self.version}"

    def kind(self, name: str) -> ObjectType:
        """An object of the path that the user can see, or 404."""
        found = self.org.schema.kind(name)
        if found is None:
            raise not_found()
        return found

    def instant(self, name: str) -> int:
        """An instant of the query string, or 400."""
        try:
            return parse_instant(self.query.get(name, ""))
        except ValueError as error:
            raise refusal(400, "MALFORMED_ID" if name not in self.query else "INVALID_REPLICATION_DATE", f"bad {name}") from error

    def json_object(self) -> Mapping[str, object]:
        """The body where it is an object, or 400."""
        if not isinstance(self.body, dict):
            raise refusal(400, "JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body.")
        return self.body


def json_list(body: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    """A list of objects under a key of a body, or 400."""
    found = body.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise refusal(400, "JSON_PARSER_ERROR", f"{name} must be a list of objects")
    return found
