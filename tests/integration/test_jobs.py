"""The job table: a job belongs to one process at a time, and to another soon after that process ended."""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from app.db.session import Database
from app.db.tables import jobs as job_rows
from app.leases.repository import acquire
from app.scheduler import JOB_LEASES, Job, JobTable, Ringing, free_jobs_of_others
from tests.integration.recorder_rig import day

EVERY = timedelta(seconds=10)
NOW = day(1)


class Work:
    """A job that runs until it is let go; counts its runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, now: datetime) -> None:
        del now
        self.runs += 1
        self.began.set()
        await self.may_end.wait()


class Clock:
    """A clock that is set."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


def _table(database: Database, work: Work, holder: str, clock: Clock | None = None) -> JobTable:
    return JobTable(database, [Job("tick", EVERY, work)], holder, clock or Clock(), renews_every=timedelta(milliseconds=20))


async def _row(database: Database) -> tuple[int, str | None] | None:
    async with database.read() as connection:
        row = (await connection.execute(select(job_rows.c.due_at, job_rows.c.failed))).one_or_none()
    return None if row is None else (row.due_at, row.failed)


async def test_a_job_that_is_cut_off_is_free_at_once_and_still_due(database: Database) -> None:
    """A process that is stopped in the middle of a turn must not block the next one."""
    work = Work()
    running = asyncio.create_task(_table(database, work, "one").run_due(NOW))
    await work.began.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    work.may_end.set()

    ran = await _table(database, work, "two").run_due(NOW)

    assert (ran, work.runs) == (1, 2)


async def test_a_killed_process_blocks_a_job_for_a_minute_at_most(database: Database) -> None:
    """Nobody releases after a kill; the lease must run out soon."""
    work = Work()
    work.may_end.set()
    async with database.write() as connection:
        await acquire(connection, "job:tick", "killed", int(NOW.timestamp() * 1000), 60_000)

    soon = await _table(database, work, "two").run_due(NOW + timedelta(seconds=59))
    later = await _table(database, work, "two").run_due(NOW + timedelta(seconds=60))

    assert (soon, later) == (0, 1)


async def test_a_job_that_takes_longer_than_its_lease_is_nobody_elses(database: Database) -> None:
    """Two processes in one turn would read and send beside each other."""
    work, clock = Work(), Clock()
    running = asyncio.create_task(_table(database, work, "one", clock).run_due(NOW))
    await work.began.wait()
    for seconds in (40, 80, 120):
        clock.now = NOW + timedelta(seconds=seconds)
        await asyncio.sleep(0.2)

    other = await _table(database, work, "two").run_due(clock.now)
    work.may_end.set()
    await running

    assert (other, work.runs) == (0, 1)
    assert await _row(database) == (int((NOW + EVERY).timestamp() * 1000), None)


async def test_whoever_lost_the_job_writes_nothing_of_it(database: Database) -> None:
    """A process that slept through its lease must neither free nor date the job of its successor."""
    work = Work()
    table = JobTable(database, [Job("tick", EVERY, work)], "one", Clock(), renews_every=timedelta(hours=1))
    running = asyncio.create_task(table.run_due(NOW))
    await work.began.wait()
    async with database.write() as connection:
        taken = await acquire(connection, "job:tick", "two", int((NOW + timedelta(minutes=2)).timestamp() * 1000), 60_000)
    work.may_end.set()
    await running

    async with database.write() as connection:
        other = await acquire(connection, "job:tick", "three", int((NOW + timedelta(minutes=2)).timestamp() * 1000), 60_000)
    assert (taken, other, await _row(database)) == (2, None, None)


async def test_a_starting_process_frees_the_jobs_of_dead_ones_and_nothing_else(database: Database) -> None:
    """On one file there is one serving process; the command line may hold other leases beside it."""
    now_ms = int(NOW.timestamp() * 1000)
    async with database.write() as connection:
        for name, holder in (("job:tick", "dead"), ("job:mine", "me"), ("pull:1", "cli"), ("job_odd", "cli")):
            await acquire(connection, name, holder, now_ms, 60_000)

    await free_jobs_of_others(database, "me")

    async with database.write() as connection:
        names = ("job:tick", "job:mine", "pull:1", "job_odd")
        fences = [await acquire(connection, name, "new", now_ms + 1, 60_000) for name in names]
    assert fences == [2, None, None, None]
    assert JOB_LEASES == "job:"


async def test_a_long_call_is_no_warning_a_second(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """A backfill keeps turns long for hours: a warning at each ring would bury every other line of the log."""
    work = Work()
    ringing = Ringing(_table(database, work, "one"), lambda: NOW, timedelta(milliseconds=10))
    await work.began.wait()

    await asyncio.sleep(0.2)
    work.may_end.set()
    await ringing.end(timedelta(seconds=5))

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert work.runs == 1


async def test_a_call_that_outlasts_the_grace_is_cut_off_and_still_due(database: Database) -> None:
    """A CRM that does not answer must not keep a process from ending before it is killed, with its leases held."""
    work = Work()
    ringing = Ringing(_table(database, work, "one"), lambda: NOW, timedelta(milliseconds=10))
    await work.began.wait()

    await asyncio.wait_for(ringing.end(timedelta(milliseconds=50)), 5)

    async with database.write() as connection:
        assert await acquire(connection, "job:tick", "two", int(NOW.timestamp() * 1000), 60_000) is not None
    assert await _row(database) is None
