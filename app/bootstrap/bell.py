"""The bell of a process: whoever has made work rings it, and the serving loop need not wait for its next turn."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

GATHER = timedelta(milliseconds=100)


class Bell:
    """Rung any number of times, heard once. Harmless where nobody listens: due times in the database rule."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There is work."""
        self._rung.set()

    async def heard(self) -> None:
        """Wait until it rings, and a moment longer, so that a burst is heard as one."""
        await self._rung.wait()
        await asyncio.sleep(GATHER.total_seconds())
        self._rung.clear()


class Turns:
    """One turn of the work at a time in this process: leases keep processes apart, not tasks of one process."""

    def __init__(self, work: Callable[[], Awaitable[object]]) -> None:
        self._work = work
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Take a turn, after the one that is running."""
        async with self._lock:
            await self._work()

    async def follow(self, bell: Bell, failed: Callable[[Exception], None]) -> None:
        """Take a turn whenever the bell rings, for ever; a turn that fails is told and ends nothing."""
        while True:
            await bell.heard()
            try:
                await self.take()
            except Exception as error:  # noqa: BLE001 the next ring must be heard; `failed` tells of it
                failed(error)
