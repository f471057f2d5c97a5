"""What Meta would count: each event by name and id, with the windows in which a repetition is recognised."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from connectors.simulators.meta.event import Event

SAME_ID_WINDOW = timedelta(hours=48)
IN_STORE_WINDOW = timedelta(days=7)


class Key(NamedTuple):
    """An event as its sender names it."""

    dataset: str
    event_name: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Reception:
    """One time that an event arrived, and whether it was counted then."""

    received_at: datetime
    is_counted: bool
    event: Event


@dataclass(slots=True)
class LedgerEntry:
    """One event: `times_counted` above 1 is a conversion counted twice."""

    key: Key
    times_counted: int = 0
    worth: float = 0.0
    currency: str = ""
    is_in_crm_integration: bool = False
    history: list[Reception] = field(default_factory=list)


@dataclass(slots=True)
class Ledger:
    """All events ever taken, test events apart."""

    entries: dict[Key, LedgerEntry] = field(default_factory=dict)
    duplicates: int = 0
    _first_seen: dict[tuple[str, ...], datetime] = field(default_factory=dict)

    def times_counted(self, event_name: str, event_id: str) -> int:
        """How often an event counts, over all datasets."""
        return sum(entry.times_counted for key, entry in self.entries.items() if key[1:] == (event_name, event_id))

    def total(self, event_name: str) -> float:
        """The value that all events of a name report."""
        return sum(entry.worth for key, entry in self.entries.items() if key.event_name == event_name)

    def take(self, dataset: str, event: Event, now: datetime, *, is_crm_dataset: bool, is_dropped: bool) -> None:
        """Enter one event; a dropped one leaves only its trace."""
        key = Key(dataset, event.name, event.id)
        entry = self.entries.setdefault(key, LedgerEntry(key))
        is_counted = not is_dropped and not self._is_repetition(dataset, event, now)
        if is_counted:
            entry.times_counted += 1
            entry.worth += event.value
            entry.currency = event.currency
            entry.is_in_crm_integration = is_crm_dataset and event.has_crm_marks
        elif not is_dropped:
            self.duplicates += 1
        entry.history.append(Reception(now, is_counted, event))

    def _is_repetition(self, dataset: str, event: Event, now: datetime) -> bool:
        """Whether the same was seen inside the window of its first receipt; if not, a new window begins."""
        identity = _in_store_identity(event) if event.is_in_store else _identity(event)
        if identity is None:
            return False
        window = IN_STORE_WINDOW if event.is_in_store else SAME_ID_WINDOW
        first = self._first_seen.get((dataset, *identity))
        if first is not None and now - first <= window:
            return True
        self._first_seen[dataset, *identity] = now
        return False


def _identity(event: Event) -> tuple[str, ...] | None:
    """The id; without one, the browser or the external id; without these, nothing."""
    if event.id:
        return ("id", event.name, event.id)
    fallback = [json.dumps(event.keys[key]) for key in ("fbp", "external_id") if key in event.keys]
    return ("keys", event.name, *fallback) if fallback else None


def _in_store_identity(event: Event) -> tuple[str, ...]:
    """Store events go by time, item and order; the event id has no part in it."""
    order = event.custom.get("order_id") or json.dumps(event.keys, sort_keys=True)
    item = event.custom.get("item_number")
    return ("store", event.name, event.occurred_at.isoformat(), json.dumps(item), json.dumps(order))
