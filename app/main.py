"""The web application: its doors, and the jobs of a serving process."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version

import structlog
from fastapi import FastAPI
from starlette.types import Lifespan

from app.api.assembly import assemble
from app.api.house import House
from app.bootstrap.bell import Turns
from app.bootstrap.services import Services, open_services
from app.config import LogFormat, ProcessRole, Settings, load_settings
from app.db.lock import sqlite_lock
from app.leases.clock import ClockGuard
from app.scheduler import Job, JobTable, Ringing, free_jobs_of_others
from app.telemetry.logs import configure_logs

log = structlog.get_logger()

WORKING = frozenset({ProcessRole.SCHEDULER, ProcessRole.WORKER})
TICK = timedelta(seconds=10)
RINGS, RINGS_RARELY = timedelta(seconds=1), timedelta(seconds=20)
# How long a turn may go on after SIGTERM; it ends by itself after the page or the batch that is under way.
# Together less than the half minute after which a container is killed.
GRACE = timedelta(seconds=25)
JOB_GRACE = timedelta(seconds=3)
APPLY_AGAIN = timedelta(minutes=1)
CHECK_PAUSED = timedelta(minutes=15)
WRITE_BACK = timedelta(minutes=5)
DESCRIBE = timedelta(days=1)
KEEP_WEBHOOKS = timedelta(hours=1)
READ_SPEND = timedelta(hours=6)
PURGE = timedelta(days=1)
# It looks whether one is due: nightly, and where a mapping was activated that has none.
FIT_VALUES = timedelta(minutes=1)
DESCRIPTION = (
    "Tells ad platforms what became of their leads. Errors are `application/problem+json` with a stable `type`, the place of "
    "each mistake and a request id. Every `/v1` door needs the key as `Authorization: Bearer ...`."
)


def _now() -> datetime:
    return datetime.now(UTC)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; nothing is opened before it starts. Without settings it has every door."""
    house = House()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        chosen = settings or load_settings()
        configure_logs(as_json=chosen.log_format is LogFormat.JSON, level=chosen.log_level)
        async with AsyncExitStack() as stack:
            if chosen.roles & WORKING:
                stack.enter_context(sqlite_lock(chosen.database_url))
            services = await open_services(chosen, clock=_now, environ=os.environ, guards_clock=True)
            stack.push_async_callback(services.close)
            if chosen.config is not None:
                await services.apply_file(chosen.config, actor="config file", waits=True)
            await services.warn_of_versions()
            # Before anything is sent: a restored backup may owe conversions of people who were forgotten since.
            await services.sweeping().run()
            if chosen.roles & WORKING:
                if services.database.is_sqlite:
                    await free_jobs_of_others(services.database, services.holder)
                await stack.enter_async_context(_working(services, chosen.roles & WORKING))
            house.services = services
            yield
            house.services = None

    return _app(house, lifespan, settings.roles if settings else frozenset(ProcessRole))


def app_of(services: Services) -> FastAPI:
    """The doors on services that are open already; whoever opened them closes them, and runs their jobs."""
    return _app(House(services))


def _app(
    house: House, lifespan: Lifespan[FastAPI] | None = None, roles: frozenset[ProcessRole] = frozenset(ProcessRole)
) -> FastAPI:
    # No pages that load scripts from elsewhere: /openapi.json is the contract.
    app = FastAPI(
        title="Leadloop",
        version=version("leadloop"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    assemble(app, house, lambda: _is_ready(house), is_served=ProcessRole.API in roles)
    return app


async def _is_ready(house: House) -> bool:
    if house.services is None:
        return False
    try:
        return await ClockGuard(house.services.database, _now).is_in_time()
    except Exception:  # noqa: BLE001 whatever keeps the database away, we are not ready
        return False


@asynccontextmanager
async def _working(services: Services, roles: frozenset[ProcessRole]) -> AsyncIterator[None]:
    """Take a turn when the job table says so, and at once when the bell rings; never two at a time in one process."""
    turns = Turns(partial(services.tick, roles=roles))
    # Processes that do different work must not take each other's turns.
    name = "tick" if roles == WORKING else f"tick.{'+'.join(sorted(roles))}"

    async def tick(_now: datetime) -> None:
        await turns.take(services.bell)

    jobs = [Job(name, TICK, tick)]
    if ProcessRole.SCHEDULER in roles:
        jobs += [
            Job("apply", APPLY_AGAIN, services.go_on_applying),
            Job("check", CHECK_PAUSED, services.check_paused),
            Job("write_back", WRITE_BACK, services.write_backs().run),
            Job("describe", DESCRIBE, services.describe_sources),
            Job("webhooks", KEEP_WEBHOOKS, services.keep_webhooks),
            Job("spend", READ_SPEND, services.spend_reading().run),
            Job("values", FIT_VALUES, services.value_fits().run),
            Job("retention", PURGE, services.retention().run),
        ]
    # Each is rung apart: a CRM that is slow in one must hold up neither a delivery nor the check that ends a pause.
    ringings = [
        Ringing(
            JobTable(services.database, [job], services.holder, _now, services.guard, on_job=services.metrics.on_job),
            _now,
            RINGS if job.every <= TICK else RINGS_RARELY,
        )
        for job in jobs
    ]
    listening = asyncio.create_task(
        turns.follow(services.bell, lambda error: log.error("turn.failed", error=type(error).__name__, exc_info=error))
    )
    try:
        yield
    finally:
        # What is being sent is heard out: an upload that is cut off is a try of unknown effect.
        services.stopping.set()
        for ringing in ringings:
            ringing.pause()
        await turns.end(GRACE)
        await asyncio.gather(*(ringing.end(JOB_GRACE) for ringing in ringings))
        listening.cancel()
        await asyncio.wait({listening})
