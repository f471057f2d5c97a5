"""What the simulated TikTok counts: by event source id, event and event id; copies within 48 hours are dropped."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

DEDUP = timedelta(hours=48)

Key = tuple[str, str, str]


@dataclass(slots=True)
class Counted:
    """One event that counts."""

    received_at: datetime
    value: Decimal | None
    currency: str | None
    matched_by: tuple[str, ...]


@dataclass(slots=True)
class Ledger:
    """Events that count, and test events, which do not."""

    counted: dict[Key, list[Counted]] = field(default_factory=dict)
    test_events: list[tuple[str, str]] = field(default_factory=list)

    def take(self, key: Key, event: Counted) -> None:
        """Count it, unless a copy came in the last 48 hours; without an id nothing is a copy."""
        copies = self.counted.setdefault(key, [])
        if key[2] and any(event.received_at - one.received_at < DEDUP for one in copies):
            return
        copies.append(event)

    @property
    def total(self) -> int:
        """All events that count."""
        return sum(map(len, self.counted.values()))
