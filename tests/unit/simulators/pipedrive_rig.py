"""A simulated Pipedrive company with a client and a clock to move, for the simulator's own tests."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.simulators.pipedrive import Company, create_pipedrive

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEALS = "/api/v2/deals"


@dataclass
class Rig:
    company: Company
    now: datetime = START + timedelta(days=1)
    token: str | None = None
    bearer: str | None = None
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        app = create_pipedrive(self.company, lambda: self.now)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"https://{self.company.host}")
        self.token = self.token or self.company.tokens[0]

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.bearer}"} if self.bearer else {"x-api-token": self.token or ""}
        return await self.client.request(method, path, headers=headers, **more)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.call("GET", path, params=params)

    async def patch(self, path: str, **body: Any) -> httpx.Response:
        return await self.call("PATCH", path, json=body)

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.call("POST", path, json=body)

    async def data(self, path: str, **params: Any) -> Any:
        answer = await self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def ids(self, path: str, **params: Any) -> list[Any]:
        return [one["id"] for one in await self.data(path, **params)]

    async def pages(self, path: str, **params: Any) -> list[list[Any]]:
        pages, cursor = [], None
        while True:
            answer = (await self.get(path, **params, **({"cursor": cursor} if cursor else {}))).json()
            pages.append([one["id"] for one in answer["data"]])
            cursor = answer["additional_data"]["next_cursor"]
            if cursor is None:
                return pages


def at(hours: float, *, seconds: int = 0) -> datetime:
    return START + timedelta(hours=hours, seconds=seconds)
