"""The quota of a cloud project: calls in any minute and on any UTC day."""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from connectors.simulators.google.refusals import exhausted

_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Quota:
    """Counts calls and refuses those over the limits; what is refused does not count."""

    per_minute: int = 300
    per_day: int = 100_000
    tells_retry_after: bool = False
    _recent: deque[datetime] = field(default_factory=deque)
    _days: Counter[date] = field(default_factory=Counter)

    def spend(self, now: datetime) -> None:
        """Count one call, or raise 429."""
        while self._recent and self._recent[0] <= now - _MINUTE:
            self._recent.popleft()
        if self._days[now.date()] >= self.per_day:
            raise exhausted("RequestsPerDay", 3600 if self.tells_retry_after else None)
        if len(self._recent) >= self.per_minute:
            raise exhausted("RequestsPerMinute", 60 if self.tells_retry_after else None)
        self._recent.append(now)
        self._days[now.date()] += 1
