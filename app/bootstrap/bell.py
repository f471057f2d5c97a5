"""The bell of a process: whoever has made work rings it, and the serving loop need not wait for its next turn."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta

GATHER = timedelta(milliseconds=100)


class Bell:
    """Rung any number of times, heard once. Harmless where nobody listens: due times in the database rule."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There is work."""
        self._rung.set()

    @property
    def is_rung(self) -> bool:
        """There is work that nobody has begun."""
        return self._rung.is_set()

    async def heard(self) -> None:
        """Wait until it rings, and a moment longer, so that a burst is heard as one."""
        await self._rung.wait()
        await asyncio.sleep(GATHER.total_seconds())

    def answer(self) -> None:
        """What it was rung for begins now."""
        self._rung.clear()


class Turns:
    """One turn of the work at a time in this process: leases keep processes apart, not tasks of one process."""

    def __init__(self, work: Callable[[], Coroutine[object, object, object]]) -> None:
        self._work = work
        self._lock = asyncio.Lock()
        self._running: asyncio.Task[object] | None = None
        self._is_over = False

    async def take(self, bell: Bell | None = None) -> None:
        """Take a turn, after the one that is running, in answer to a bell; none any more after `end`."""
        async with self._lock:
            if self._is_over:
                return
            if bell is not None:
                bell.answer()
            self._running = asyncio.create_task(self._work())
            await self._running

    async def end(self, grace: timedelta) -> None:
        """Start no further turn; wait for the running one, and cut it off where it takes longer than the grace."""
        self._is_over = True
        if self._running is None or self._running.done():
            return
        _, late = await asyncio.wait({self._running}, timeout=grace.total_seconds())
        for turn in late:
            turn.cancel()
            await asyncio.wait({turn})

    async def follow(self, bell: Bell, failed: Callable[[Exception], None]) -> None:
        """Take a turn whenever the bell rings, for ever; a turn that fails is told and ends nothing."""
        while True:
            await bell.heard()
            try:
                await self.take(bell)
            except Exception as error:  # noqa: BLE001 the next ring must be heard; `failed` tells of it
                failed(error)
