"""What the platform would count: each conversion by action and transaction id, its matching, re-sends and restatements."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from connectors.simulators.google.request import ClickKind


class Key(NamedTuple):
    """How Google tells conversions apart: for ever."""

    action: str
    transaction_id: str


class Outcome(StrEnum):
    """What became of one received event."""

    RECORDED = "recorded"
    RESTATED = "restated"
    DUPLICATE = "duplicate"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Reception:
    """One time that an event for a key arrived."""

    request_id: str
    index: int
    received_at: datetime
    outcome: Outcome
    reason: str | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """An event on its way into the ledger: what it claims, and what it matched or why it failed."""

    key: Key
    request_id: str
    index: int
    received_at: datetime
    event_at: datetime
    value: float
    currency: str
    identifiers: frozenset[str]
    match: str | None
    match_kind: ClickKind | None
    is_one_per_click: bool
    has_id: bool
    failure: str | None


@dataclass(slots=True)
class LedgerEntry:
    """One conversion: `times_counted` is 1 once it is recorded (0 where an earlier one took its click)."""

    key: Key
    value: float
    currency: str
    event_at: datetime
    is_matched: bool = False
    times_counted: int = 0
    match_kind: ClickKind | None = None
    identifiers: frozenset[str] = frozenset()
    history: list[Reception] = field(default_factory=list)
    is_retracted: bool = False


@dataclass(slots=True)
class Ledger:
    """All conversions ever received, recorded or not."""

    entries: dict[Key, LedgerEntry] = field(default_factory=dict)
    duplicates: Counter[Key] = field(default_factory=Counter)
    _converted_clicks: dict[tuple[str, str], Key] = field(default_factory=dict)

    def recorded(self, key: Key) -> LedgerEntry | None:
        """The conversion that counts under a key, if one does."""
        entry = self.entries.get(key)
        return entry if entry is not None and entry.is_matched else None

    def total(self, action: str) -> float:
        """The conversion value that an action reports."""
        return sum(entry.value * entry.times_counted for key, entry in self.entries.items() if key.action == action)

    def take(self, sighting: Sighting) -> str | None:
        """Enter one event; the answer is its processing error, if any."""
        entry = self.entries.get(sighting.key)
        if entry is None:
            entry = LedgerEntry(sighting.key, sighting.value, sighting.currency, sighting.event_at)
            self.entries[sighting.key] = entry
        if sighting.failure is not None:
            outcome, reason = Outcome.FAILED, sighting.failure
        elif not entry.is_matched:
            outcome, reason = self._record(entry, sighting), None
        else:
            outcome, reason = self._again(entry, sighting)
        entry.history.append(Reception(sighting.request_id, sighting.index, sighting.received_at, outcome, reason))
        return reason

    def retract(self, key: Key) -> bool:
        """Take a recorded conversion back, count and value; False where it was taken back before."""
        entry = self.entries[key]
        if entry.is_retracted:
            return False
        entry.is_retracted, entry.times_counted, entry.value = True, 0, 0.0
        return True

    def _record(self, entry: LedgerEntry, sighting: Sighting) -> Outcome:
        entry.value, entry.currency, entry.event_at = sighting.value, sighting.currency, sighting.event_at
        entry.identifiers, entry.match_kind, entry.is_matched = sighting.identifiers, sighting.match_kind, True
        click = (sighting.key.action, sighting.match or "")
        is_first = self._converted_clicks.setdefault(click, sighting.key) == sighting.key
        entry.times_counted = 1 if is_first or not sighting.is_one_per_click else 0
        return Outcome.RECORDED

    def _again(self, entry: LedgerEntry, sighting: Sighting) -> tuple[Outcome, str | None]:
        """The same id again: other money or more identifiers adjust it (never one found by wbraid); else it is a duplicate."""
        if entry.is_retracted:
            self.duplicates[sighting.key] += 1
            return Outcome.DUPLICATE, "PROCESSING_ERROR_REASON_DUPLICATE_TRANSACTION_ID"
        is_news = (entry.value, entry.currency) != (sighting.value, sighting.currency) or bool(
            sighting.identifiers - entry.identifiers
        )
        if is_news and sighting.has_id and entry.match_kind is not ClickKind.WBRAID:
            entry.value, entry.currency = sighting.value, sighting.currency
            entry.identifiers |= sighting.identifiers
            return Outcome.RESTATED, None
        self.duplicates[sighting.key] += 1
        return Outcome.DUPLICATE, f"PROCESSING_ERROR_REASON_DUPLICATE_{'TRANSACTION_ID' if sighting.has_id else 'GCLID'}"
