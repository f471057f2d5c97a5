"""A simulated HubSpot account with a client and a clock to move, for the simulator's own tests."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.simulators.hubspot import Portal, create_hubspot

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
DEALS = "/crm/objects/2026-09/deals"


@dataclass
class Rig:
    portal: Portal
    now: datetime = START + timedelta(days=1)
    token: str | None = None
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        app = create_hubspot(self.portal, lambda: self.now)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://api.hubapi.com")
        self.token = self.token or self.portal.tokens[0]

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.client.request(method, path, headers={"Authorization": f"Bearer {self.token}"}, **more)

    async def get(self, path: str, **params: str) -> httpx.Response:
        return await self.call("GET", path, params=params)

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.call("POST", path, json=body)

    async def search(self, *filters: dict[str, Any], **more: Any) -> httpx.Response:
        return await self.post(f"{DEALS}/search", filterGroups=[{"filters": list(filters)}], **{"limit": 200, **more})

    async def found(self, *filters: dict[str, Any], **more: Any) -> list[str]:
        return [one["id"] for one in (await self.search(*filters, **more)).json()["results"]]


def deal(portal: Portal, at: datetime = START, **properties: str) -> str:
    return portal.create("deals", {"dealstage": "qualifiedtobuy", **properties}, at)
