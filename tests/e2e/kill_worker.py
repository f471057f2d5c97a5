"""What a forked worker of the kill test does: Leadloop's own ticks, and a SIGKILL at the step that it was told."""

import os
import random
import re
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import structlog
from pydantic import SecretStr
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.db.session import Database
from app.db.tables import deliveries, uploads
from app.ingest.pull_lease import LeaseLost
from connectors import registry
from connectors.contract.errors import ConnectorError
from tests.e2e.kill_stage import ACCOUNT, CRM_TOKEN, DATASET, GRANT, META_TOKEN, SharedClock
from tests.e2e.kill_world import ACTIONS, ENDS_AT, START

SECRET = "a long enough secret for the kill test, kept for all its workers"
_WRITES = re.compile(r"^\s*(INSERT INTO|UPDATE)\b")
READ_TIMEOUT_SECONDS = 0.4
MOST_ROUNDS = 120
TLS = ssl.create_default_context()  # costly to make, so made once by the parent

CONFIG = """
sources:
  hubspot: {{kind: hubspot, access_token: {crm_token}, base_url: "{base}/hubspot"}}
destinations:
  google:
    kind: google
    account_id: "{account}"
    client_id: {grant.client_id}
    client_secret: {grant.client_secret}
    refresh_token: {grant.refresh_token}
    base_url: "{base}/google"
    token_url: "{base}/google/token"
{meta}
mappings:
  hubspot:
    start: "{start}"
    history: 30d
    identity:
      email: [contact.email]
      phone: [contact.phone]
      last_name: [contact.lastname]
      gclid: [contact.hs_google_click_id]
      default_country: US
    consent:
      ad_user_data: {{field: contact.ads_consent, granted: ["yes"]}}
      ad_personalization: {{field: contact.ads_consent, granted: ["yes"]}}
    milestones:
      - name: lead
        when: [{{object: contact, created: true}}]
      - name: qualified_lead
        when: [{{object: contact, property: lifecyclestage, enters: [salesqualifiedlead]}}]
        value: {{model: fixed, amount: 50, currency: USD}}
      - name: opportunity
        when: [{{object: deal, property: dealstage, pipeline: default, enters: [qualifiedtobuy, presentationscheduled]}}]
      - name: closed_revenue
        when: [{{object: deal, property: dealstage, pipeline: default, enters: [closedwon]}}]
        value: {{model: field, field: deal.amount}}
    destinations:
      google:
        lead: null
        qualified_lead: {{conversion_action: "{qualified_lead}"}}
        opportunity: {{conversion_action: "{opportunity}"}}
        closed_revenue: {{conversion_action: "{closed_revenue}"}}
{meta_targets}
"""
META = '  meta: {{kind: meta, dataset_id: "{dataset}", access_token: {token}, base_url: "{base}/meta"}}'
META_TARGETS = """      meta:
        lead: null
        qualified_lead: {event_name: Qualified}
        opportunity: {event_name: Opportunity}
        closed_revenue: {event_name: Purchase}"""


class Point(StrEnum):
    """Where a process may die. RECORDED and CLAIMED: just after a commit that wrote conversions, or deliveries alone."""

    ANY = "any"
    RECORDED = "recorded"
    CLAIMED = "claimed"
    SENDING = "sending"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker does: so many ticks, and its end at the nth time that it comes by a point (None: by others)."""

    seed: int
    ticks: int
    kill_at: int | None = None
    point: Point = Point.ANY


@dataclass(slots=True)
class Steps:
    """Counts the points that the process comes by, from when it is ready."""

    kill_at: int | None = None
    point: Point = Point.ANY
    count: int = 0
    written: set[str] = field(default_factory=set)

    def take(self, point: Point = Point.ANY) -> None:
        """One step further, or the end."""
        if self.point not in (Point.ANY, point):
            return
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, sql: str) -> None:
        """Before a statement."""
        self.written |= {table for table in ("conversions", "deliveries") if _WRITES.search(sql) and f" {table} " in sql}
        self.take()

    def committed(self) -> None:
        """After a commit."""
        point = Point.RECORDED if "conversions" in self.written else Point.CLAIMED if self.written else Point.ANY
        self.written.clear()
        self.take(point)


class Stepping(httpx.AsyncBaseTransport):
    """A transport that may die before a request and after its answer, and that waits for no answer for long."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._inner = httpx.AsyncHTTPTransport(verify=TLS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        request.extensions = {**request.extensions, "timeout": {**request.extensions["timeout"], "read": READ_TIMEOUT_SECONDS}}
        is_upload = request.url.path.endswith(("events:ingest", "/events"))
        self._steps.take(Point.SENDING if is_upload else Point.ANY)
        response = await self._inner.handle_async_request(request)
        await response.aread()
        self._steps.take(Point.SENT if is_upload else Point.ANY)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def config_text(base: str) -> str:
    """The config file of a stage that is served at `base`."""
    has_meta = "meta" in registry.DESTINATIONS
    return CONFIG.format(
        crm_token=CRM_TOKEN,
        account=ACCOUNT,
        grant=GRANT,
        base=base,
        start=START.isoformat(),
        meta=META.format(dataset=DATASET, token=META_TOKEN, base=base) if has_meta else "",
        meta_targets=META_TARGETS if has_meta else "",
        **ACTIONS,
    )


async def work(url: str, port: int, clock: SharedClock, order: Order) -> None:
    """Ticks among kills; a paused connection is checked now and then, as a person would."""
    steps = Steps(order.kill_at, order.point)
    luck = random.Random(order.seed)
    services = await _open(url, clock, steps)
    async with httpx.AsyncClient() as control:
        for _ in range(order.ticks):
            if luck.random() < 0.15:
                await _check(services)
            await _tick(services)
            await _advance(control, port, luck.uniform(10, 4000))
    await services.close()


async def apply(url: str, port: int, clock: SharedClock, folder: Path) -> None:
    """Apply the config file once, whatever faults are met."""
    services = await _open(url, clock, Steps())
    file = folder / "leadloop.yaml"
    file.write_text(config_text(f"http://127.0.0.1:{port}"), encoding="utf-8")
    for attempt in range(20):
        try:
            await services.apply_file(file, actor="test")
        except ConnectorError:
            if attempt == 19:
                raise
            continue
        break
    await services.close()


async def finish(url: str, port: int, clock: SharedClock, folder: Path) -> None:
    """No kills, no faults: time goes on until the company is at its end and nothing is due."""
    services = await _open(url, clock, Steps())
    # The last contacts qualify up to two days after the end; search may show that thirty hours late, to the next nightly sweep.
    last_sweep = ENDS_AT + timedelta(hours=48 + 60)
    async with httpx.AsyncClient() as control:
        for round_number in range(MOST_ROUNDS):
            if round_number % 3 == 0:
                await _check(services)
            await _tick(services)
            if clock() > last_sweep and not await _is_owing(services.database):
                break
            await _advance(control, port, 11 * 3600)
    await services.close()


async def _is_owing(database: Database) -> bool:
    async with database.read() as connection:
        return bool(await _count(connection, deliveries.c.due_at) or await _count(connection, uploads.c.verdict_due_at))


async def _count(connection: AsyncConnection, column: Any) -> int:
    return int(await connection.scalar(select(func.count()).where(column.is_not(None))) or 0)


async def _open(url: str, clock: SharedClock, steps: Steps) -> Services:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # says nothing
    _die_after_commits(steps)
    settings = Settings(database_url=url, secret_key=SecretStr(SECRET), allow_custom_base_urls=True)

    async def at_once(_seconds: float) -> None:
        """Pauses cost no time here."""

    now: Any = clock
    client = httpx.AsyncClient(transport=Stepping(steps), follow_redirects=False)
    services = await open_services(settings, clock=now, environ={}, http=client, sleep=at_once)
    steps.count = 0
    steps.written.clear()
    for engine in {services.database._writer, services.database._reader}:

        @event.listens_for(engine.sync_engine, "before_cursor_execute")
        def _statement(_connection: object, _cursor: object, sql: str, *_: object) -> None:
            steps.statement(sql)

        @event.listens_for(engine.sync_engine, "commit")
        def _commit(_: object) -> None:
            steps.take()

    return services


def _die_after_commits(steps: Steps) -> None:
    """A step just after each commit; the patch dies with the forked process."""
    original = Database.write

    @asynccontextmanager
    async def write(database: Database) -> AsyncIterator[AsyncConnection]:
        async with original(database) as connection:
            yield connection
        steps.committed()

    setattr(Database, "write", write)  # noqa: B010 in this process only


async def _tick(services: Services) -> None:
    """One tick; a lease lost to another reader is what the scheduler logs and goes on from."""
    try:
        await services.tick()
    except LeaseLost:
        return


async def _check(services: Services) -> None:
    """What a person does about a paused connection."""
    try:
        await services.check_all()
    except ConnectorError:
        return


async def _advance(control: httpx.AsyncClient, port: int, seconds: float) -> None:
    await control.post(f"http://127.0.0.1:{port}/control/advance", params={"seconds": f"{seconds:.3f}"})
