"""The org's daily requests, shared with every other integration: what is used of them decides how often we may ask."""

import re
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from connectors.http.client import Clock

LIMIT_INFO = "sforce-limit-info"
DAY = timedelta(hours=24)
STEP = timedelta(minutes=15)

# From this share of the day's requests on, a poll comes so many times later (five minutes become an hour).
_STRETCHES = ((0.95, 12), (0.9, 6), (0.8, 3))
_USAGE = re.compile(r"(?<![\w-])api-usage=(\d{1,12})/(\d{1,12})")
_OF_THIS_APP = re.compile(r"per-app-api-usage=(\d{1,12})/(\d{1,12})")


class DailyBudget:
    """What one org's answers say of its day. Our own requests are counted here where Salesforce does not tell them."""

    def __init__(self, share_percent: int, clock: Clock) -> None:
        self._share = share_percent / 100
        self._clock = clock
        self._used: tuple[int, int] | None = None
        self._of_this_app: int | None = None
        self._seen_at: datetime | None = None
        self._steps: deque[tuple[datetime, int]] = deque()

    def seen(self, headers: Mapping[str, str]) -> None:
        """An answer came: count it, and read what it says of the day."""
        now = self._clock()
        if self._steps and now - self._steps[-1][0] < STEP:
            at, count = self._steps.pop()
            self._steps.append((at, count + 1))
        else:
            self._steps.append((now, 1))
            self._forget_old(now)
        told = headers.get(LIMIT_INFO, "")
        usage, own = _USAGE.search(told), _OF_THIS_APP.search(told)
        if usage is not None and int(usage.group(2)) > 0:
            self._used = (int(usage.group(1)), int(usage.group(2)))
            self._seen_at = now
            self._of_this_app = None if own is None else int(own.group(1))

    @property
    def usage(self) -> tuple[int, int] | None:
        """Used and allowed requests of the org's rolling day; None where no answer of the last day told."""
        is_recent = self._seen_at is not None and self._clock() - self._seen_at < DAY
        return self._used if is_recent else None

    @property
    def pressure(self) -> float:
        """The larger of the org's used share of its day and ours of what we may use; 1.0 is all."""
        if self.usage is None:
            return 0.0
        used, allowed = self.usage
        own = self._of_this_app if self._of_this_app is not None else self._counted()
        return max(used / allowed, own / (allowed * self._share))

    def stretched(self, interval: timedelta) -> timedelta:
        """The interval between polls, longer where the day's requests run low; it goes back when usage falls."""
        return interval * next((times for share, times in _STRETCHES if self.pressure >= share), 1)

    def _counted(self) -> int:
        self._forget_old(self._clock())
        return sum(count for _, count in self._steps)

    def _forget_old(self, now: datetime) -> None:
        while self._steps and self._steps[0][0] < now - DAY:
            self._steps.popleft()
