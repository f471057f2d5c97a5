"""Where the reading of a window stands: a keyset on (modification, id), never an offset or a locator that dies (pure)."""

from dataclasses import dataclass
from enum import StrEnum

import orjson

from connectors.crm.salesforce.replies import is_record_id
from connectors.crm.salesforce.soql import instant, literal


class Phase(StrEnum):
    """A deal's window has two: the rows themselves, then the contact roles that changed without their deal."""

    ROWS = "rows"
    ROLES = "roles"


@dataclass(frozen=True, slots=True)
class Place:
    """All rows before `at_ms`, and those of `at_ms` up to the id, are read. An empty id: none of `at_ms` are."""

    phase: Phase
    at_ms: int
    id: str = ""

    def conditions(self, stamp: str, end_ms: int | None) -> tuple[str, ...]:
        """What is still to be read, up to `end_ms` exclusive. The plain bound beside the keyset keeps the index in use."""
        at = instant(self.at_ms)
        keyset = (f"({stamp} > {at} OR Id > {literal(self.id)})",) if self.id else ()
        end = () if end_ms is None else (f"{stamp} < {instant(end_ms)}",)
        return (f"{stamp} >= {at}", *keyset, *end)

    def to_text(self) -> str:
        """For the cursor's row."""
        return orjson.dumps({"phase": self.phase.value, "at": self.at_ms, "id": self.id}).decode()

    @classmethod
    def from_text(cls, words: str) -> "Place | None":
        """None where another version wrote it: the window then starts over."""
        try:
            raw = orjson.loads(words)
            phase, at_ms, own_id = Phase(raw["phase"]), raw["at"], raw["id"]
        except (ValueError, KeyError, TypeError):
            return None
        if isinstance(at_ms, bool) or not isinstance(at_ms, int) or not isinstance(own_id, str):
            return None
        if own_id and not is_record_id(own_id):
            return None
        try:
            instant(at_ms)
        except (OverflowError, ValueError):
            return None
        return cls(phase, at_ms, own_id)
