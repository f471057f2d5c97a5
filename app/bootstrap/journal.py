"""The journal: what a pull, drain or apply did, and each failure, leaves one row, kept for thirty days."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta

from app.bootstrap.failures import told
from app.connections import run_repository as runs
from app.db.instants import to_ms
from app.db.session import Database
from app.dispatch.model import DrainSummary
from app.ingest.poller import Pulled
from app.telemetry.scrub import scrub

KEPT = timedelta(days=30)
LONGEST_ERROR = 500
DROPS_EVERY = 100
PULL, BACKFILL, REAPPLY = "pull", "backfill", "reapply"


class Journal:
    """Writes runs. What it is given to await is answered as it came; a failure is noted and raised on."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._written = 0

    async def of_pull(self, source_id: int, work: Awaitable[Pulled], *, kind: str = PULL) -> Pulled:
        """Await a pull, or a turn of a backfill or reapply, and note it."""
        started = self._clock()
        try:
            pulled = await work
        except Exception as error:
            await self._write(kind, started, source_id=source_id, error=told(error))
            raise
        counts = {one.name: int(getattr(pulled.recorded, one.name)) for one in fields(pulled.recorded)}
        if any(counts.values()) or (kind != PULL and pulled.pages):
            await self._write(kind, started, source_id=source_id, counts={**counts, "pages": pulled.pages, "seen": pulled.seen})
        return pulled

    async def of_drain(self, destination_id: int, work: Awaitable[DrainSummary]) -> DrainSummary:
        """Await a drain and note it."""
        started = self._clock()
        try:
            drained = await work
        except Exception as error:
            await self._write("drain", started, destination_id=destination_id, error=told(error))
            raise
        names = ("sent", "accepted", "rejected", "stopped", "requests")
        counts = {name: int(getattr(drained, name)) for name in names}
        if any(counts.values()) or drained.failure:
            await self._write("drain", started, destination_id=destination_id, counts=counts, error=drained.failure or None)
        return drained

    async def of_verdicts(self, destination_id: int, work: Awaitable[int]) -> int:
        """Await the late verdicts of a destination; only a failure is noted, what they say stands with their deliveries."""
        started = self._clock()
        try:
            return await work
        except Exception as error:
            await self._write("verdicts", started, destination_id=destination_id, error=told(error))
            raise

    async def applied(self, started: datetime, counts: Mapping[str, int], error: str | None = None) -> None:
        """Note that a config file was applied, and what of it waits."""
        if any(counts.values()) or error:
            await self._write("apply", started, counts=counts, error=error)

    async def _write(
        self,
        kind: str,
        started: datetime,
        *,
        source_id: int | None = None,
        destination_id: int | None = None,
        counts: Mapping[str, int] | None = None,
        error: str | None = None,
    ) -> None:
        now = self._clock()
        async with self._database.write() as connection:
            await runs.add_run(
                connection,
                kind=kind,
                source_id=source_id,
                destination_id=destination_id,
                started_ms=to_ms(started),
                ended_ms=to_ms(now),
                counts=counts or {},
                error=None if error is None else scrub(error)[:LONGEST_ERROR],
            )
            if self._written % DROPS_EVERY == 0:
                await runs.drop_runs(connection, to_ms(now - KEPT))
        self._written += 1
