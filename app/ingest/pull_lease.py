"""The lease under which all that a source tells is written: one process reads a source at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from app.db.instants import to_ms
from app.db.session import Database
from app.ingest.recorder import PULL_LEASE_MS, PullLease
from app.leases.repository import acquire, release


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
