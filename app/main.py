"""The web application: health doors, and the jobs of a serving process."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog
from fastapi import FastAPI

from app.api.health import health_doors
from app.bootstrap.services import Services, open_services
from app.config import LogFormat, ProcessRole, Settings, load_settings
from app.db.lock import sqlite_lock
from app.leases.clock import ClockGuard
from app.scheduler import Job, JobTable, start_ringing
from app.telemetry.logs import configure_logs

log = structlog.get_logger()

TICK = timedelta(seconds=10)


def _now() -> datetime:
    return datetime.now(UTC)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; nothing is opened before it starts."""
    holder: dict[str, Services] = {}

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        chosen = settings or load_settings()
        configure_logs(as_json=chosen.log_format is LogFormat.JSON, level=chosen.log_level)
        async with AsyncExitStack() as stack:
            if chosen.roles & {ProcessRole.SCHEDULER, ProcessRole.WORKER}:
                stack.enter_context(sqlite_lock(chosen.database_url))
            services = await open_services(chosen, clock=_now, environ=os.environ, guards_clock=True)
            stack.push_async_callback(services.close)
            holder["services"] = services
            if chosen.config is not None:
                await services.apply_file(chosen.config, actor="config file")
            if chosen.roles & {ProcessRole.SCHEDULER, ProcessRole.WORKER}:
                table = JobTable(
                    services.database, [Job("tick", TICK, lambda _now: services.tick())], services.holder, services.guard
                )
                ringing = start_ringing(table, _now)
                stack.callback(ringing.shutdown, wait=False)
            yield

    async def is_ready() -> bool:
        services = holder.get("services")
        if services is None:
            return False
        try:
            return await ClockGuard(services.database, _now).is_in_time()
        except Exception:  # noqa: BLE001 whatever keeps the database away, we are not ready
            return False

    app = FastAPI(title="Leadloop", version="0.1.0", lifespan=lifespan)
    app.include_router(health_doors(is_ready))
    return app
