"""A stored record: its values now, every change that led there, and the version that the search index shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Values = Mapping[str, str | None]


class Change(NamedTuple):
    """Values written together. Never altered, so a first change and a version may share their mapping."""

    at_ms: int
    source_type: str
    source_id: str
    values: Values


class Version(NamedTuple):
    """A record as it stood after its nth change; `modified_ms` is its cursor property."""

    number: int
    modified_ms: int
    values: Values


class HistoryEntry(NamedTuple):
    """One value of one property, with when and by whom."""

    value: str | None
    at_ms: int
    source_type: str
    source_id: str


@dataclass(slots=True, eq=False)
class StoredRecord:
    """One CRM object. `indexed` is what search shows of it: None while it shows nothing."""

    object_type: str
    id: int
    created_ms: int
    version: Version
    changes: list[Change] = field(default_factory=list)
    archived_ms: int | None = None
    indexed: Version | None = None

    def apply(self, change: Change, modified_ms: int) -> dict[str, str | None]:
        """Append a change and give the values that really became different.

        A change older than the newest entry of a property only adds history: the newest entry is the value now.
        """
        newest = {name: self._newest(name) for name in change.values}
        values = dict(self.version.values)
        different: dict[str, str | None] = {}
        for name, value in change.values.items():
            if change.at_ms < newest[name]:
                continue
            if (values.get(name) or None) != (value or None):
                different[name] = value
            values[name] = value
        self.changes.append(change)
        self.version = Version(self.version.number + 1, max(modified_ms, self.version.modified_ms), values)
        return different

    def history(self, name: str) -> list[HistoryEntry]:
        """Every value that a property held, newest first."""
        entries = [HistoryEntry(c.values[name], c.at_ms, c.source_type, c.source_id) for c in self.changes if name in c.values]
        entries.reverse()
        entries.sort(key=lambda entry: entry.at_ms, reverse=True)
        return entries

    def _newest(self, name: str) -> int:
        return max((change.at_ms for change in self.changes if name in change.values), default=0)
