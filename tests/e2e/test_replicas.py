"""Must be true: two replicas on one PostgreSQL share the work and lose or double nothing; a clock that is off takes no lease."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.db.tables import leases
from app.leases.clock import MOST_CLOCK_SKEW_MS
from app.scheduler import Job, JobTable
from tests.e2e.kill_worker import SECRET
from tests.e2e.kill_world import BEGINS_AT, ENDS_AT, build_company, expected_of
from tests.e2e.stage_rig import Rig
from tests.e2e.stored import check_deliveries, check_facts, check_google, check_meta, read_database

HOUR = timedelta(hours=1)
ON_POSTGRESQL = pytest.mark.parametrize("database_kind", ["postgresql"])


@ON_POSTGRESQL
async def test_two_replicas_share_the_work_and_count_nothing_twice(database_url: str, tmp_path: Path) -> None:
    """Each change of each deal is everybody's to do: exactly one replica may do it, and each does some of it."""
    company = build_company(8, deals=18)
    rig = Rig(database_url, tmp_path, company)
    rig.clock.set(BEGINS_AT)
    one, two = await rig.open(), await rig.open(applies=False)
    asked = {id(services): _counting(services) for services in (one, two)}

    rounds = 0
    while rig.clock() < ENDS_AT + 60 * HOUR:
        rig.stage.pass_time(rig.clock() + (6 if rig.clock() < ENDS_AT else 20) * HOUR)
        first, second = (one, two) if rounds % 2 else (two, one)
        await asyncio.gather(first.tick(), second.tick())
        rounds += 1

    result = rig.stage.result()
    await rig.close()
    facts, sent = await read_database(database_url)
    expected = expected_of(company, rig.stage.ids)
    check_facts(facts, expected)
    check_deliveries(sent, expected, company)
    check_google(result["google"], sent, expected)
    check_meta(result["meta"], sent)
    assert min(len(each) for each in asked.values()) > rounds / 2, "each replica did a good part"


def _counting(services: Services) -> list[str]:
    """The paths that a replica asks for, from now on."""
    paths: list[str] = []

    async def note(request: httpx.Request) -> None:
        paths.append(request.url.path)

    services.http.event_hooks = {"request": [note], "response": []}
    return paths


@ON_POSTGRESQL
@pytest.mark.parametrize(("seconds", "is_trusted"), [(0, True), (5, False), (-5, False)])
async def test_a_replica_whose_clock_is_off_takes_no_lease(database_url: str, seconds: int, *, is_trusted: bool) -> None:
    """Leases are compared by time: a clock ahead would take what another still holds."""
    settings = Settings(database_url=database_url, secret_key=SecretStr(SECRET))
    services = await open_services(
        settings, clock=lambda: datetime.now(UTC) + timedelta(seconds=seconds), environ={}, guards_clock=True
    )
    ran: list[datetime] = []

    async def work(now: datetime) -> None:
        ran.append(now)

    jobs = [Job("tick", timedelta(seconds=10), work)]
    table = JobTable(services.database, jobs, services.holder, services.clock, services.guard)
    count = await table.run_due(services.clock())
    summary = await services.tick()
    async with services.database.read() as connection:
        taken = list(await connection.scalars(select(leases.c.name)))
    await services.close()

    assert (count, bool(ran), bool(taken), not summary.is_stuck) == (int(is_trusted), is_trusted, is_trusted, is_trusted)
    assert MOST_CLOCK_SKEW_MS == 2000


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_a_file_on_this_machine_has_this_machines_clock(database_url: str) -> None:
    """There is no second clock that could differ."""
    settings = Settings(database_url=database_url, secret_key=SecretStr(SECRET))
    services = await open_services(settings, clock=lambda: datetime(2020, 1, 1, tzinfo=UTC), environ={}, guards_clock=True)

    summary = await services.tick()
    await services.close()

    assert not summary.is_stuck
