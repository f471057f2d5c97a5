"""The lease under which all that a source tells is written: one process reads a source at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.instants import to_ms
from app.db.session import Database
from app.leases.repository import acquire, release, renew

PULL_LEASE_MS = 5 * 60 * 1000
LONGEST_WAIT = timedelta(minutes=6)  # a dead holder's lease runs out by then
BUSY_WAIT = timedelta(milliseconds=250)


class LeaseLost(Exception):
    """Another process reads this source now; nothing of this page was written."""


@dataclass(frozen=True, slots=True)
class PullLease:
    """The lease under which a source is read."""

    name: str
    holder: str
    fence: int


class SourceBusy(Exception):
    """Another process reads the source all the time; nothing was done."""


def lease_name(source_id: int) -> str:
    """What the lease of a source is called: by it, too, others wait for the page that is being written."""
    return f"pull:{source_id}"


@asynccontextmanager
async def pull_lease(database: Database, source_id: int, holder: str, now: datetime) -> AsyncIterator[PullLease | None]:
    """Hold it inside the block, in which each recorded page renews it; None where another has it."""
    name = lease_name(source_id)
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


async def renew_lease(connection: AsyncConnection, lease: PullLease, now: datetime) -> None:
    """Renew it; its row is locked to the commit: one writer a source. Raises LeaseLost where another has it."""
    if not await renew(connection, lease.name, lease.holder, lease.fence, to_ms(now), PULL_LEASE_MS):
        raise LeaseLost(lease.name)
