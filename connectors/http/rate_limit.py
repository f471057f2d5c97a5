"""Token buckets: how fast a vendor may be asked, by budget. The vendor's own 429 is read in client.py."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.http.retry import Clock, Sleep


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so much time; as many may go at once after a pause."""

    requests: int
    per: timedelta

    def __post_init__(self) -> None:
        if self.requests < 1 or self.per <= timedelta(0):
            raise ValueError("a rate needs at least one request in a time above zero")


class RateLimits:
    """One bucket for each budget's name; a budget without a rate is not limited. Waiters go in the order they came."""

    def __init__(self, rates: Mapping[str, Rate], clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        now = clock()
        self._buckets = {budget: _Bucket(rate, now) for budget, rate in rates.items()}
        self._clock = clock
        self._sleep = sleep

    async def acquire(self, budget: str) -> None:
        """Wait until one more request fits the budget."""
        bucket = self._buckets.get(budget)
        if bucket is None:
            return
        wait = bucket.take(self._clock())
        if wait <= 0:
            return
        try:
            await self._sleep(wait)
        except asyncio.CancelledError:
            bucket.give_back()
            raise


class _Bucket:
    """Tokens may fall below zero: that is the queue of those who already wait."""

    def __init__(self, rate: Rate, now: datetime) -> None:
        self._capacity = float(rate.requests)
        self._seconds_each = rate.per.total_seconds() / rate.requests
        self._tokens = self._capacity
        self._at = now

    def take(self, now: datetime) -> float:
        """Take one token; returns the seconds until it is there. A clock that steps back refills nothing."""
        elapsed = max((now - self._at).total_seconds(), 0.0)
        self._at = now
        self._tokens = min(self._capacity, self._tokens + elapsed / self._seconds_each) - 1
        return max(-self._tokens * self._seconds_each, 0.0)

    def give_back(self) -> None:
        self._tokens = min(self._capacity, self._tokens + 1)
