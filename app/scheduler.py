"""The job table and its clock: jobs are data with due times in the database; APScheduler only rings."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import select

from app.db.bulk import insert_rows
from app.db.instants import from_ms, to_ms
from app.db.session import Database
from app.db.tables import jobs as job_rows
from app.leases.clock import ClockGuard
from app.leases.repository import acquire, release

log = structlog.get_logger()

JOB_LEASE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is due every so often. `run` gets the instant it is run at."""

    name: str
    every: timedelta
    run: Callable[[datetime], Awaitable[object]]


class JobTable:
    """Runs what is due, each job under its lease, so that replicas share the work; none where the clock is off."""

    def __init__(self, database: Database, jobs: Sequence[Job], holder: str, guard: ClockGuard | None = None) -> None:
        self._database = database
        self._jobs = jobs
        self._holder = holder
        self._guard = guard

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
        lease = f"job:{job.name}"
        async with self._database.write() as connection:
            if await acquire(connection, lease, self._holder, to_ms(now), int(JOB_LEASE.total_seconds() * 1000)) is None:
                return False
        failed = None
        try:
            await job.run(now)
        except Exception as error:  # a failing job must not stop its neighbours
            failed = type(error).__name__
            log.exception("job.failed", job=job.name)
        row = {"name": job.name, "due_at": to_ms(now + job.every), "ran_at": to_ms(now), "failed": failed}
        async with self._database.write() as connection:
            await insert_rows(connection, job_rows, [row], conflict=("name",), update=("due_at", "ran_at", "failed"))
            await release(connection, lease, self._holder)
        return True


def start_ringing(table: JobTable, clock: Callable[[], datetime], every: timedelta = timedelta(seconds=1)) -> AsyncIOScheduler:
    """Let APScheduler call `run_due` (UTC, coalesced, never twice at once)."""
    scheduler = AsyncIOScheduler(timezone=UTC)

    async def ring() -> None:
        await table.run_due(clock())

    scheduler.add_job(ring, "interval", seconds=every.total_seconds(), coalesce=True, max_instances=1)
    scheduler.start()
    return scheduler
