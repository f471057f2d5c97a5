"""A simulated Salesforce org with a client, a session and a clock to move, for the simulator's own tests."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.simulators.salesforce import Org, create_salesforce

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
ROOT = "/services/data/v67.0"
HOST = "https://acme.my.salesforce.com"
TOKEN_PATH = "/services/oauth2/token"


@dataclass
class Rig:
    org: Org = field(default_factory=Org)
    now: datetime = START + timedelta(days=1)
    session: str = ""
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        app = create_salesforce(self.org, lambda: self.now)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST)
        self.session = self.org.sessions.issue(self.now)

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.session}", **more.pop("headers", {})}
        whole = path if path.startswith("/services") else f"{ROOT}{path}"
        return await self.client.request(method, whole, headers=headers, **more)

    async def get(self, path: str, **params: str) -> httpx.Response:
        return await self.call("GET", path, params=params)

    async def query(self, text: str, path: str = "/query", **headers: str) -> httpx.Response:
        return await self.call("GET", path, params={"q": text}, headers=headers)

    async def rows(self, text: str, path: str = "/query") -> list[dict[str, Any]]:
        reply = await self.query(text, path)
        assert reply.status_code == 200, reply.text
        rows: list[dict[str, Any]] = list(reply.json()["records"])
        while not reply.json()["done"]:
            reply = await self.get(reply.json()["nextRecordsUrl"])
            assert reply.status_code == 200, reply.text
            rows += reply.json()["records"]
        return rows

    async def column(self, name: str, text: str, path: str = "/query") -> list[Any]:
        return [one[name] for one in await self.rows(f"SELECT {name} FROM {text}", path)]


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()[0]["errorCode"]


def at(minutes: float = 0) -> datetime:
    return START + timedelta(minutes=minutes)
