"""Leadloop behind its doors, with simulated HubSpot and Google and a clock of the test's own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.demo.stage import Stage
from app.main import create_app
from connectors.simulators.hubspot.webhooks import SignedRequest, signed_request
from tests.stages import stage_of

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
KEY = "the admin key of a test"
SECRET = "the-client-secret-of-an-app"
PUBLIC = "https://leads.example.com"


@dataclass(slots=True)
class Rig:
    """A stage, the services on it, and a client of the doors that has the key."""

    stage: Stage
    services: Services
    app: FastAPI
    client: httpx.AsyncClient
    hook_path: str = ""

    @property
    def portal_id(self) -> int:
        return self.stage.portal.portal_id

    def person(self, **properties: str) -> str:
        """A new contact in the CRM, one minute ago, who is a lead by the mapping."""
        chosen = {"email": "jane@example.com", "lifecyclestage": "lead", "ads_consent": "yes", "country": "US", **properties}
        return self.stage.portal.create("contacts", chosen, self.stage.clock.now - timedelta(minutes=1))

    def change(self, object_id: str | int, **more: object) -> dict[str, object]:
        """An event of a contact as HubSpot tells it."""
        event: dict[str, object] = {"portalId": self.portal_id, "objectTypeId": "0-1", "objectId": int(object_id)}
        return {**event, "subscriptionType": "object.propertyChange", "propertyName": "lifecyclestage", **more}

    def signed(self, events: list[dict[str, object]], *, secret: str = SECRET, at: datetime | None = None) -> SignedRequest:
        return signed_request(secret, f"{PUBLIC}{self.hook_path}", events, at or self.stage.clock.now)

    async def deliver(self, request: SignedRequest, path: str | None = None) -> httpx.Response:
        """Post a webhook, without the key."""
        headers = dict(request.headers)
        return await self.client.post(path or self.hook_path, content=request.body, headers=headers | {"Authorization": ""})


@asynccontextmanager
async def rig_on(
    tmp_path: Path,
    database_url: str,
    *,
    secrets: str = SECRET,
    key: str | None = KEY,
    start: datetime = NOW - timedelta(days=30),
    destinations: Sequence[str] = ("google",),
) -> AsyncIterator[Rig]:
    """An open house: config applied, nothing pulled yet."""
    stage = stage_of(days=1, most_deals=0, ends_at=NOW)
    stage.clock.now = NOW
    settings = Settings(
        database_url=database_url,
        secret_key=SecretStr("a long enough secret text"),
        api_key=None if key is None else SecretStr(key),
        public_url=PUBLIC,
        allow_custom_base_urls=True,
    )
    services = await open_services(settings, clock=stage.clock, environ={}, http=stage.http, sleep=stage.clock.sleep)
    file = tmp_path / "leadloop.yaml"
    file.write_text(stage.config(destinations, start, webhook=secrets), encoding="utf-8")
    await services.apply_file(file, actor="test")
    app = create_app()
    app.state.house.services = services
    headers = {"Authorization": f"Bearer {KEY}"}
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC, headers=headers)
    rig = Rig(stage, services, app, client)
    token = (await services.sources())[0].webhook_token
    rig.hook_path = f"/webhooks/hubspot/{token}"
    try:
        yield rig
    finally:
        await client.aclose()
        await services.close()
