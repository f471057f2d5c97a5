"""The org's calls of any 24 hours, shared with every other integration of the customer."""

from collections import deque
from datetime import datetime

from connectors.simulators.salesforce.errors import too_many_calls
from connectors.simulators.salesforce.instants import millis

_DAY_MS = 24 * 3600 * 1000


class Limits:
    """A rolling count. `used_elsewhere` are calls of others; `tolerance` how far above `daily` calls still pass.

    With an `app` the header tells that app's share too. `admitted` are all calls that ever were charged.
    """

    def __init__(self, daily: int) -> None:
        self.daily = daily
        self.used_elsewhere = 0
        self.tolerance = 0
        self.app = ""
        self.admitted = 0
        self._calls: deque[int] = deque()

    def admit(self, now: datetime) -> None:
        """Count a call, or refuse it."""
        if self.used(now) >= self.daily + self.tolerance:
            raise too_many_calls()
        self._calls.append(millis(now))
        self.admitted += 1

    def used(self, now: datetime) -> int:
        """Calls of the last 24 hours."""
        until = millis(now) - _DAY_MS
        while self._calls and self._calls[0] <= until:
            self._calls.popleft()
        return self.used_elsewhere + len(self._calls)

    def header(self, now: datetime) -> str:
        """What Sforce-Limit-Info says."""
        usage = f"api-usage={self.used(now)}/{self.daily}"
        return f"{usage}; per-app-api-usage={len(self._calls)}/{self.daily}(appName={self.app})" if self.app else usage
