"""The job table and its clock: jobs are data with due times in the database; APScheduler only rings."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import select

from app.db.bulk import Row, insert_rows
from app.db.instants import from_ms, to_ms
from app.db.session import Database
from app.db.tables import jobs as job_rows
from app.leases.clock import ClockGuard
from app.leases.repository import acquire, release, release_others, renew

log = structlog.get_logger()

JOB_LEASES = "job:"
LEASE_MS = 60 * 1000
RENEWS_EVERY = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is due every so often. `run` gets the instant it is run at."""

    name: str
    every: timedelta
    run: Callable[[datetime], Awaitable[object]]


class JobTable:
    """Runs what is due, each job under its lease, so that replicas share the work; none where the clock is off."""

    def __init__(
        self,
        database: Database,
        jobs: Sequence[Job],
        holder: str,
        clock: Callable[[], datetime],
        guard: ClockGuard | None = None,
        *,
        renews_every: timedelta = RENEWS_EVERY,
        on_job: Callable[[str, bool], None] = lambda _name, _failed: None,
    ) -> None:
        self._on_job = on_job
        self._database = database
        self._jobs = jobs
        self._holder = holder
        self._clock = clock
        self._guard = guard
        self._renews_every = renews_every

    async def run_due(self, now: datetime) -> int:
        """Run every job whose time has come; a job that fails is logged and due again after its interval."""
        if self._guard is not None and not await self._guard.is_in_time():
            return 0
        async with self._database.read() as connection:
            result = await connection.execute(select(job_rows.c.name, job_rows.c.due_at))
            due = {row.name: from_ms(row.due_at) for row in result}
        ran = 0
        for job in self._jobs:
            if due.get(job.name, now) <= now and await self._run(job, now):
                ran += 1
        return ran

    async def _run(self, job: Job, now: datetime) -> bool:
        lease = f"{JOB_LEASES}{job.name}"
        async with self._database.write() as connection:
            fence = await acquire(connection, lease, self._holder, to_ms(now), LEASE_MS)
        if fence is None:
            return False
        renewing = asyncio.create_task(self._go_on_holding(lease, fence))
        failed, is_cut_off = None, True
        try:
            await job.run(now)
            is_cut_off = False
        except Exception as error:  # a failing job must not stop its neighbours
            failed, is_cut_off = type(error).__name__, False
            log.exception("job.failed", job=job.name)
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
            self._on_job(job.name, failed is not None)
            row = {"name": job.name, "due_at": to_ms(now + job.every), "ran_at": to_ms(now), "failed": failed}
            await self._let_go(lease, fence, None if is_cut_off else row)
        return True

    async def _let_go(self, lease: str, fence: int, row: Row | None) -> None:
        """Note the run and free the lease; nothing where another holds it by now. A run that was cut off stays due."""
        async with self._database.write() as connection:
            if not await renew(connection, lease, self._holder, fence, to_ms(self._clock()), LEASE_MS):
                log.warning("lease.lost", lease=lease)
                return
            if row is not None:
                await insert_rows(connection, job_rows, [row], conflict=("name",), update=("due_at", "ran_at", "failed"))
            await release(connection, lease, self._holder)

    async def _go_on_holding(self, lease: str, fence: int) -> None:
        """Renew the lease while the job runs; ended by its end, or where another took over."""
        is_held = True
        while is_held:
            await asyncio.sleep(self._renews_every.total_seconds())
            try:
                async with self._database.write() as connection:
                    is_held = await renew(connection, lease, self._holder, fence, to_ms(self._clock()), LEASE_MS)
            except Exception as error:  # noqa: BLE001 the database may be back before the lease runs out
                log.warning("lease.not_renewed", lease=lease, error=type(error).__name__)


async def free_jobs_of_others(database: Database, holder: str) -> None:
    """Free what dead processes hold. Only where this is the one serving process: under the lock of a SQLite file."""
    async with database.write() as connection:
        await release_others(connection, JOB_LEASES, holder)


class Ringing:
    """APScheduler calls `run_due` (UTC, coalesced, never twice at once) until it is told to stop."""

    def __init__(self, table: JobTable, clock: Callable[[], datetime], every: timedelta = timedelta(seconds=1)) -> None:
        self._table = table
        self._clock = clock
        self._call: asyncio.Task[object] | None = None
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        # Two, of which the second does nothing: with one APScheduler warns at every ring during a long call.
        self._scheduler.add_job(self._ring, "interval", seconds=every.total_seconds(), coalesce=True, max_instances=2)
        self._scheduler.start()

    def pause(self) -> None:
        """Call no more; the call that is running goes on."""
        self._scheduler.pause()

    async def end(self, grace: timedelta) -> None:
        """Call no more; wait for the call that is running, and cut it off where it takes longer than the grace."""
        self.pause()
        if self._call is not None:
            _, late = await asyncio.wait({self._call}, timeout=grace.total_seconds())
            for call in late:
                call.cancel()
                await asyncio.wait({call})
        self._scheduler.shutdown(wait=False)

    async def _ring(self) -> None:
        if self._call is not None and not self._call.done():
            return
        self._call = asyncio.current_task()
        with suppress(asyncio.CancelledError):  # a job that was cut off is told by whoever did it
            await self._table.run_due(self._clock())
