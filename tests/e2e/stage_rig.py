"""The kill test's stage in process: Leadloop's services and the vendors on one simulated clock, without sockets."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from pydantic import SecretStr

from app.bootstrap.rounds import SyncSummary
from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.db.instants import to_ms
from app.ingest.inbox import put_hints
from connectors.contract.records import ObjectKind, RecordRef
from connectors.http.client import Hooks
from connectors.simulators.faults import FaultPlan, FaultyTransport
from tests.e2e.kill_stage import SharedClock, Stage
from tests.e2e.kill_worker import SECRET, config_text
from tests.e2e.kill_world import START, Company

BASE = "http://vendors.test"


@dataclass
class Rig:
    """One stage, a fault plan before it, and any number of services on one database."""

    url: str
    folder: Path
    company: Company = field(default_factory=Company)
    hooks: Hooks = field(default_factory=Hooks)

    def __post_init__(self) -> None:
        self.clock = SharedClock(START)
        self.stage = Stage(self.company, self.clock, 1, 0.0)
        self.portal = self.stage.portal
        self.portal.index_lag = None
        self.faults = FaultPlan(1)
        self.app = self.stage.app()
        self.opened: list[Services] = []

    async def open(self, *, applies: bool = True) -> Services:
        """A replica; the first one applies the config file."""
        settings = Settings(database_url=self.url, secret_key=SecretStr(SECRET), allow_custom_base_urls=True)
        http = httpx.AsyncClient(transport=FaultyTransport(httpx.ASGITransport(self.app), self.faults), follow_redirects=False)

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(0)
            self.clock.set(self.clock() + timedelta(seconds=seconds))

        services = await open_services(settings, clock=self.clock, environ={}, http=http, hooks=self.hooks, sleep=sleep)
        self.opened.append(services)
        if applies:
            file = self.folder / "leadloop.yaml"
            file.write_text(config_text(BASE), encoding="utf-8")
            await services.apply_file(file, actor="test")
        return services

    async def close(self) -> None:
        """Give everything back."""
        for services in self.opened:
            await services.close()

    def create(self, kind: str, at: datetime, properties: Mapping[str, str]) -> str:
        """A record in the CRM."""
        defaults = {"lifecyclestage": "lead", "ads_consent": "yes"} if kind == "contacts" else {"pipeline": "default"}
        return self.portal.create(kind, {**defaults, **properties}, at)

    async def hint(self, services: Services, kind: ObjectKind, *ids: str) -> None:
        """What a webhook leaves behind."""
        (row,) = await services.sources()
        async with services.database.write() as connection:
            await put_hints(connection, row.id, [RecordRef(kind, one) for one in ids], to_ms(self.clock()))

    async def tick_for(self, services: Services, *, hours: float, every: timedelta) -> SyncSummary:
        """Let time pass, with a tick at each step; the last one's summary."""
        until = self.clock() + timedelta(hours=hours)
        summary = SyncSummary()
        while self.clock() < until:
            self.stage.pass_time(min(self.clock() + every, until))
            summary = await services.tick()
        return summary
