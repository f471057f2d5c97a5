"""Play the world: its days pass, Leadloop works between the simulators, and what came of it is shown and served."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from pydantic import SecretStr

from app.bootstrap.rounds import SyncSummary
from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.demo.config import SOURCE
from app.demo.happenings import Happening
from app.demo.stage import Stage
from app.main import app_of
from connectors.simulators.hubspot import signed_request

TICKS_A_DAY = 4
TICK = timedelta(days=1) / TICKS_A_DAY
DAYS_OF_VERDICTS = 2
DESTINATIONS = ("google", "meta")
PUBLIC_URL = "http://leadloop.demo"


@dataclass(slots=True)
class Tally:
    """What has happened so far."""

    now: datetime
    ticks: int = 0
    happenings: int = 0
    webhooks: int = 0
    records: int = 0
    conversions: int = 0
    sent: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, done: SyncSummary) -> None:
        """Count a tick."""
        self.ticks += 1
        self.records += done.records
        self.conversions += done.conversions
        self.sent += done.sent
        self.problems += done.problems


@dataclass(slots=True)
class Play:
    """Leadloop on a stage."""

    stage: Stage
    services: Services
    doors: httpx.AsyncClient = field(repr=False)
    webhook_path: str = field(repr=False)
    tally: Tally

    async def run(self, ends_at: datetime, on_tick: Callable[[Tally], None] = lambda _: None) -> Tally:
        """Let the days pass: what happens in the CRM, its webhooks, a tick of Leadloop; two more days for late verdicts."""
        waiting = list(reversed(self.stage.world.happenings))
        while self.tally.now < ends_at + timedelta(days=DAYS_OF_VERDICTS):
            now = self.tally.now = self.tally.now + TICK
            while waiting and waiting[-1].at <= now:
                self._happen(waiting.pop())
            self.stage.clock.now = now
            await self._knock(now)
            self.tally.add(await self.services.tick())
            on_tick(self.tally)
        return self.tally

    def _happen(self, one: Happening) -> None:
        self.tally.happenings += 1
        self.stage.happen(one)

    async def _knock(self, now: datetime) -> None:
        """Deliver HubSpot's webhooks through Leadloop's own door, signed as HubSpot signs."""
        url = f"{PUBLIC_URL}{self.webhook_path}"
        for events in self.stage.post.collect(now):
            request = signed_request(self.stage.secrets["webhook"], url, [dict(event) for event in events], now)
            answer = await self.doors.post(self.webhook_path, content=request.body, headers=dict(request.headers))
            answer.raise_for_status()
            self.tally.webhooks += len(events)


async def open_play(
    stage: Stage,
    database_url: str,
    folder: Path,
    stack: AsyncExitStack,
    *,
    destinations: Sequence[str] = DESTINATIONS,
    api_key: str | None = None,
) -> Play:
    """Leadloop on this stage with the demo's mapping applied; the stack closes it."""
    settings = Settings(
        database_url=database_url,
        secret_key=SecretStr(secrets.token_urlsafe(32)),
        api_key=None if api_key is None else SecretStr(api_key),
        public_url=PUBLIC_URL,
        allow_custom_base_urls=True,
    )
    services = await open_services(settings, clock=stage.clock, environ={}, http=stage.http, sleep=stage.clock.sleep)
    stack.push_async_callback(services.close)
    file = folder / "leadloop.yaml"
    file.write_text(stage.config(destinations, stage.clock.now), encoding="utf-8")
    await services.apply_file(file, actor="demo")
    doors = httpx.AsyncClient(transport=httpx.ASGITransport(app_of(services)), base_url=PUBLIC_URL)
    await stack.enter_async_context(doors)
    (source,) = await services.sources()
    return Play(stage, services, doors, f"/webhooks/{SOURCE}/{source.webhook_token}", Tally(stage.clock.now))


def today() -> datetime:
    """The last UTC midnight: where the demo's world ends."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
