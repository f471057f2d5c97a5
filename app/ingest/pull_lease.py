"""The lease under which all that a source tells is written: one process reads a source at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from app.db.instants import to_ms
from app.db.session import Database
from app.ingest.recorder import PULL_LEASE_MS, PullLease
from app.leases.repository import acquire, release

LONGEST_WAIT = timedelta(minutes=6)  # a dead holder's lease runs out by then
BUSY_WAIT = timedelta(milliseconds=250)


class SourceBusy(Exception):
    """Another process reads the source all the time; nothing was done."""


@asynccontextmanager
async def pull_lease(database: Database, source_id: int, holder: str, now: datetime) -> AsyncIterator[PullLease | None]:
    """Hold it inside the block, in which each recorded page renews it; None where another has it."""
    name = f"pull:{source_id}"
    async with database.write() as connection:
        fence = await acquire(connection, name, holder, to_ms(now), PULL_LEASE_MS)
    if fence is None:
        yield None
        return
    try:
        yield PullLease(name, holder, fence)
    finally:
        async with database.write() as connection:
            await release(connection, name, holder)


@asynccontextmanager
async def waited_lease(
    database: Database,
    source_id: int,
    holder: str,
    clock: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]],
    longest: timedelta = LONGEST_WAIT,
) -> AsyncIterator[PullLease]:
    """As `pull_lease`, waited for: whoever reads the source now lets go after its turn. Raises SourceBusy after `longest`."""
    waited = timedelta(0)
    while True:
        async with pull_lease(database, source_id, holder, clock()) as lease:
            if lease is not None:
                yield lease
                return
        if waited >= longest:
            raise SourceBusy
        waited += BUSY_WAIT
        await sleep(BUSY_WAIT.total_seconds())
