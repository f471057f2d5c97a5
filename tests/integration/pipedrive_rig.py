"""Leadloop's services on a simulated Pipedrive company, with a public address at which its webhooks arrive."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from pydantic import SecretStr
from sqlalchemy import select

from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.db.tables import conversions, records
from app.main import create_app
from connectors.simulators.pipedrive import WebhookRequest
from tests.contract.crm_stage import Clock
from tests.contract.pipedrive_stage import PipedriveStage

BEGINS_AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
PUBLIC = "https://leadloop.example"
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass
class Rig:
    """A company that nobody has subscribed to, and a house that knows its own address."""

    stage: PipedriveStage
    services: Services
    door: httpx.AsyncClient
    folder: Path
    settings: dict[str, str]

    async def apply(self, document: Mapping[str, Any]) -> None:
        """Apply a mapping that starts now."""
        file = self.folder / "leadloop.yaml"
        section = {"kind": "pipedrive", **self.settings}
        file.write_text(yaml.safe_dump({"sources": {"crm": section}, "mappings": {"crm": dict(document)}}), encoding="utf-8")
        await self.services.apply_file(file, actor="test")

    async def tick(self, after: timedelta = MINUTE) -> None:
        """A turn, so much later."""
        self.stage.clock.go_on(after)
        await self.services.tick()

    async def keep_webhooks(self) -> None:
        """The hourly job."""
        await self.services.keep_webhooks(self.stage.clock())

    def sent(self) -> list[WebhookRequest]:
        """What the company sends by now, to whatever address."""
        return list(self.stage.company.drain_webhooks(self.stage.clock()))

    async def knock(self, requests: Sequence[WebhookRequest]) -> list[int]:
        """Let these arrive; the answers' statuses."""
        answers = [await self.door.post(one.url, content=one.body, headers=dict(one.headers)) for one in requests]
        return [one.status_code for one in answers]

    async def found(self) -> list[tuple[str, str, bool]]:
        """Milestone, record and whether it lives, of every conversion."""
        async with self.services.database.read() as connection:
            rows = await connection.execute(
                select(conversions.c.milestone, records.c.external_id, conversions.c.live)
                .join(records, records.c.id == conversions.c.record_id)
                .order_by(conversions.c.milestone, records.c.external_id, conversions.c.live)
            )
            return [(row.milestone, row.external_id, bool(row.live)) for row in rows]


@asynccontextmanager
async def rig_on(tmp_path: Path, database_url: str, **more: str) -> AsyncIterator[Rig]:
    """An open house with nothing applied; `more` are settings of the source."""
    stage = PipedriveStage(Clock(BEGINS_AT))
    stage.company.webhooks.all.clear()
    settings = Settings(
        database_url=database_url,
        secret_key=SecretStr("a long enough secret text"),
        public_url=PUBLIC,
        allow_custom_base_urls=True,
    )
    client = httpx.AsyncClient(transport=stage.transport())

    async def sleep(seconds: float) -> None:
        stage.clock.at += timedelta(seconds=seconds)

    services = await open_services(settings, clock=stage.clock, environ={}, http=client, sleep=sleep)
    app = create_app()
    app.state.house.services = services
    door = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC)
    try:
        yield Rig(stage, services, door, tmp_path, {**stage.settings(), **more})
    finally:
        await door.aclose()
        await services.close()
