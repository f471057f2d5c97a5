import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from connectors.http.rate_limit import Rate, RateLimits


class FakeTime:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, tzinfo=UTC)
        self.slept: list[float] = []

    def clock(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))


def limits(time: FakeTime) -> RateLimits:
    return RateLimits({"general": Rate(2, timedelta(seconds=1))}, time.clock, time.sleep)


async def test_waiters_are_spread_over_time_in_the_order_they_came() -> None:
    """Ten callers that all sleep the same time would burst together."""
    time = FakeTime()
    budget = limits(time)

    await asyncio.gather(*(budget.acquire("general") for _ in range(5)))

    assert time.slept == [0.5, 1.0, 1.5]


async def test_a_pause_refills_no_more_than_the_burst() -> None:
    """An idle night must not allow a burst of thousands."""
    time = FakeTime()
    budget = limits(time)
    await budget.acquire("general")
    time.now += timedelta(hours=8)

    for _ in range(3):
        await budget.acquire("general")

    assert time.slept == [0.5]


async def test_a_clock_that_steps_back_makes_nobody_wait_for_it() -> None:
    """An NTP correction must not stall a connection for its length."""
    time = FakeTime()
    budget = limits(time)
    time.now -= timedelta(hours=1)

    for _ in range(3):
        await budget.acquire("general")

    assert time.slept == [0.5]


async def test_a_budget_without_a_rate_is_not_limited() -> None:
    """A vendor names only the budgets that it has."""
    time = FakeTime()

    for _ in range(100):
        await limits(time).acquire("search")

    assert time.slept == []


async def test_a_cancelled_waiter_gives_its_place_back() -> None:
    """A shut-down poll must not slow the next one."""
    time = FakeTime()

    async def never(_: float) -> None:
        await asyncio.Event().wait()

    budget = RateLimits({"general": Rate(1, timedelta(seconds=1))}, time.clock, never)
    await budget.acquire("general")
    waiter = asyncio.create_task(budget.acquire("general"))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    time.now += timedelta(seconds=1)

    await asyncio.wait_for(budget.acquire("general"), 1)


def test_a_rate_of_nothing_is_refused() -> None:
    """It would divide by zero at the first request."""
    with pytest.raises(ValueError, match="at least one"):
        Rate(0, timedelta(seconds=1))
