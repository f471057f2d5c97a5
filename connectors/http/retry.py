"""When a read is tried again: up to four tries within sixty seconds, with jitter, Retry-After honoured where it fits."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from connectors.contract.errors import RateLimited, Unavailable

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[None]]
Result = TypeVar("Result")

TRIES = 4
BUDGET = timedelta(seconds=60)


async def retry_read(attempt: Callable[[], Awaitable[Result]], *, clock: Clock, sleep: Sleep) -> Result:
    """Repeat `attempt` while it raises Unavailable or RateLimited; the last error comes out as it is."""
    started = clock()

    async def one_try() -> Result:
        return await attempt()

    def is_over(state: RetryCallState) -> bool:
        return clock() - started + timedelta(seconds=state.upcoming_sleep) > BUDGET

    retrying = AsyncRetrying(
        sleep=sleep,
        retry=retry_if_exception_type((Unavailable, RateLimited)),
        wait=_pause,
        stop=lambda state: stop_after_attempt(TRIES)(state) or is_over(state),
        reraise=True,
    )
    return await retrying(one_try)


def _pause(state: RetryCallState) -> float:
    """Growing with jitter, and at least what the vendor asks for."""
    growing = wait_exponential_jitter(multiplier=0.5, max=15, jitter=0.5)(state)
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, RateLimited | Unavailable) else None
    return growing if asked is None else asked.total_seconds() + growing
