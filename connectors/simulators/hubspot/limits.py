"""How much a portal lets through: searches a second, calls in ten seconds, calls a day of the account's own zone."""

from collections import deque
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from connectors.simulators.hubspot.errors import rate_limited
from connectors.simulators.hubspot.instants import millis
from connectors.simulators.hubspot.tokens import Caller

SEARCHES_A_SECOND = 5
OAUTH_BURST = 110
_SECOND_MS = 1_000
_BURST_MS = 10_000


class Tier(StrEnum):
    """What the customer pays for."""

    FREE = "free"
    STARTER = "starter"
    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"


BURST = {Tier.FREE: 100, Tier.STARTER: 100, Tier.PROFESSIONAL: 190, Tier.ENTERPRISE: 190}
DAILY = {Tier.FREE: 250_000, Tier.STARTER: 250_000, Tier.PROFESSIONAL: 625_000, Tier.ENTERPRISE: 1_000_000}


class Limits:
    """Counts the calls of one portal. `daily` may be set low by a test; OAuth apps have no daily quota."""

    def __init__(self, tier: Tier, time_zone: str) -> None:
        self.burst = BURST[tier]
        self.daily = DAILY[tier]
        self._zone = ZoneInfo(time_zone)
        self._searches: deque[int] = deque()
        self._calls: dict[str, deque[int]] = {}
        self._day: tuple[str, int] = ("", 0)

    def admit(self, caller: Caller, now: datetime, *, is_search: bool) -> None:
        """Count a call, or refuse it with 429; a refused call counts nowhere."""
        now_ms = millis(now)
        calls = self._calls.setdefault(caller.app, deque())
        _forget(calls, now_ms - _BURST_MS)
        _forget(self._searches, now_ms - _SECOND_MS)
        if not caller.is_oauth and self.used_today(now) >= self.daily:
            raise rate_limited("DAILY")
        if is_search and len(self._searches) >= SEARCHES_A_SECOND:
            raise rate_limited("SECONDLY")
        if len(calls) >= self._burst(caller):
            raise rate_limited("TEN_SECONDLY_ROLLING")
        calls.append(now_ms)
        if is_search:
            self._searches.append(now_ms)
        if not caller.is_oauth:
            self._day = (self._today(now), self.used_today(now) + 1)

    def headers(self, caller: Caller, now: datetime) -> dict[str, str]:
        """The headers that HubSpot sends on every answer but a search's."""
        used = len(self._calls.get(caller.app, ()))
        headers = {
            "X-HubSpot-RateLimit-Max": str(self._burst(caller)),
            "X-HubSpot-RateLimit-Remaining": str(max(self._burst(caller) - used, 0)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(_BURST_MS),
        }
        if not caller.is_oauth:
            headers["X-HubSpot-RateLimit-Daily"] = str(self.daily)
            headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(self.daily - self.used_today(now), 0))
        return headers

    def used_today(self, now: datetime) -> int:
        """Calls counted since midnight in the account's zone."""
        day, used = self._day
        return used if day == self._today(now) else 0

    def resets_at(self, now: datetime) -> datetime:
        """The next midnight in the account's zone."""
        tomorrow = now.astimezone(self._zone).date() + timedelta(days=1)
        return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=self._zone)

    def _burst(self, caller: Caller) -> int:
        return OAUTH_BURST if caller.is_oauth else self.burst

    def _today(self, now: datetime) -> str:
        return now.astimezone(self._zone).date().isoformat()


def _forget(instants: deque[int], until_ms: int) -> None:
    while instants and instants[0] <= until_ms:
        instants.popleft()
