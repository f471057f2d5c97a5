"""Leadloop's services on a simulated CRM, in a process that may die at any step: statement by statement, request by request."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import yaml
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.bootstrap.hints import receive
from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.db.instants import from_ms
from app.db.session import Database
from app.db.tables import conversions, records
from connectors.contract.source import WebhookRefused, WebhookRequest
from tests.contract.crm_stage import CrmStage
from tests.e2e.history_world import Fact, World

SECRET = "a long enough secret for random histories"
A_LEASE_RUNS_OUT = timedelta(minutes=6)
# What came and went between two readings leaves no trace on Pipedrive's rows, only in its changelogs.
WITH_EVERYTHING = {"pipedrive": {"history": "exact"}}
# Nothing but Pipedrive's webhook tells of a merge: lost, it is as if there had been none.
MERGED = b"merged_to_id"


class Killed(BaseException):
    """The process is dead: nothing that it would still do has any effect."""


@dataclass
class Life:
    """Counts the steps of a process; at `dies_at` it is over, and stays so."""

    dies_at: int | None = None
    steps: int = 0

    def step(self) -> None:
        """One step further, or the end."""
        self.steps += 1
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise Killed


class Mortal(httpx.AsyncBaseTransport):
    """A transport that dies before a request or after its answer."""

    def __init__(self, inner: httpx.AsyncBaseTransport, life: Life) -> None:
        self._inner = inner
        self._life = life

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._life.step()
        response = await self._inner.handle_async_request(request)
        await response.aread()
        self._life.step()
        return response


class MortalDatabase(Database):
    """A database whose transactions end before their commit, or just after it."""

    life: Life

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        self.life.step()
        async with super().write() as connection:
            yield connection
            self.life.step()
        self.life.step()


@dataclass
class Rig:
    """One database, one CRM, one process after the other."""

    url: str
    folder: Path
    stage: CrmStage
    is_first: bool = True
    lives: int = 0
    delayed: list[WebhookRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(self.stage)

    async def open(self) -> None:
        """A new process; the first one applies the config file."""
        self.life = Life()
        self.lives += 1
        settings = Settings(database_url=self.url, secret_key=SecretStr(SECRET), allow_custom_base_urls=True)
        client = httpx.AsyncClient(transport=Mortal(self.stage.transport(), self.life))
        self.services: Services = await open_services(
            settings, clock=self.stage.clock, environ={}, http=client, sleep=self._sleep
        )
        self.services.database.__class__ = MortalDatabase
        self.services.database.life = self.life  # type: ignore[attr-defined]  # it is one now
        if self.is_first:
            more = WITH_EVERYTHING.get(self.stage.kind, {})
            # A refresh token that was exchanged in vain needs a person, who is not here: Pipedrive's are each good for once.
            is_oauth = self.stage.kind != "pipedrive"
            section = {"kind": self.stage.kind, **self.stage.settings(oauth=is_oauth), **more}
            document = {**self.stage.mapping(), "start": self.stage.clock().isoformat()}
            file = self.folder / "leadloop.yaml"
            file.write_text(yaml.safe_dump({"sources": {"crm": section}, "mappings": {"crm": document}}), encoding="utf-8")
            await self.services.apply_file(file, actor="test")
            self.is_first = False

    async def close(self) -> None:
        self.life.dies_at = None
        await self.services.close()

    async def tick(self, dies_in: int | None = None) -> None:
        """A turn; where it is told to die on the way, another process takes over, at once or when the lease has run out."""
        if dies_in is None:
            await self.services.tick()
            return
        self.life.dies_at = self.life.steps + dies_in
        try:
            await self.services.tick()
        except Killed:
            await self.close()
            await self.open()
        self.life.dies_at = None

    async def calm(self) -> None:
        """Everything that is visible by now is read."""
        self.stage.clock.go_on(A_LEASE_RUNS_OUT)
        await self._knock(list(self.stage.webhooks()))
        self.stage.clock.go_on(timedelta(hours=1))
        summary = await self.services.sync()
        assert summary.problems == []

    async def settle(self) -> None:
        """What was delayed arrives at last; days go by, so that the sweeps find what was shown late."""
        await self._knock(self.delayed)
        for hours in (1, 2, 26, 26, 26):
            self.stage.clock.go_on(timedelta(hours=hours))
            await self.services.tick()
        await self.calm()

    async def deliver(self, fates: Sequence[int]) -> None:
        """Webhooks arrive, or are lost, delayed, doubled and out of order."""
        waiting, self.delayed = [*self.delayed, *self.stage.webhooks()], []
        arriving: list[WebhookRequest] = []
        for place, request in enumerate(waiting):
            match fates[place % len(fates)] % 5:
                case 0 if MERGED not in request.body:
                    pass
                case 1:
                    self.delayed.append(request)
                case 2:
                    arriving += [self.stage.again(request), request]
                case 3:
                    arriving.insert(0, request)
                case _:
                    arriving.append(request)
        await self._knock(arriving)

    async def _knock(self, requests: Sequence[WebhookRequest]) -> None:
        (row,) = await self.services.sources()
        for request in requests:
            answer = await receive(self.services, row, request)
            # One that was held up for too long is refused, as the vendor's rules say.
            assert not isinstance(answer, WebhookRefused) or "timestamp" in answer.reason

    async def facts(self) -> Counter[Fact]:
        """What is stored: all that lives, and revenue that did."""
        async with self.services.database.read() as connection:
            made = await connection.execute(
                select(conversions, records.c.external_id).join(records, records.c.id == conversions.c.record_id)
            )
            rows = [dict(row) for row in made.mappings()]
            named = await connection.execute(
                select(records.c.lead_id, records.c.external_id).where(records.c.lead_id.is_not(None))
            )
            people = {row.lead_id: row.external_id for row in named}
        return Counter(
            (
                row["milestone"],
                # What a deal implies of its person is the person's.
                self.world.owner_of(people[row["lead_id"]]) if row["milestone"] == "qualified_lead" else row["external_id"],
                from_ms(row["occurred_at"]),
                bool(row["live"]),
                bool(row["implied"]),
                row["amount_micros"] if row["live"] else None,
            )
            for row in rows
            if row["live"] or row["milestone"] == "closed_revenue"
        )

    async def _sleep(self, seconds: float) -> None:
        self.stage.clock.at += timedelta(seconds=seconds)
