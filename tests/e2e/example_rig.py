"""A mapping of `config/examples`, applied as it is committed, between a simulated CRM and simulated platforms on one clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from pydantic import SecretStr
from sqlalchemy import select

from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.db.tables import conversions, deliveries, destinations, records
from tests.contract.ad_stage import AdStage
from tests.contract.crm_stage import Clock

EXAMPLES = Path(__file__).resolve().parents[2] / "config" / "examples"
BEGINS_AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOSTS = {
    "google": ("*.googleapis.com",),
    "linkedin": ("*.linkedin.com",),
    "meta": ("*.facebook.com",),
    "microsoft": ("*.microsoft.com", "*.microsoftonline.com"),
}
# What the examples read from the environment for each platform, as the platforms' stages expect it.
SECRETS = {
    "google": {"GOOGLE_CLIENT_ID": "client", "GOOGLE_CLIENT_SECRET": "secret", "GOOGLE_REFRESH_TOKEN": "refresh"},
    "linkedin": {"LINKEDIN_CLIENT_ID": "app", "LINKEDIN_CLIENT_SECRET": "app-secret", "LINKEDIN_REFRESH_TOKEN": "refresh-1"},
    "meta": {"META_ACCESS_TOKEN": "token-of-tests-20261126"},
    "microsoft": {
        "MICROSOFT_DEVELOPER_TOKEN": "BBD37VB98X20261126",
        "MICROSOFT_CLIENT_ID": "app",
        "MICROSOFT_REFRESH_TOKEN": "refresh-0",
    },
}
MICROS = 1_000_000


@dataclass
class ExampleRig:
    """The example's file, the CRM behind `hosts`, and the platforms by the destination's name.

    `names` are the tests' names of records, by their refs: `deal:9`.
    """

    example: str
    url: str
    folder: Path
    clock: Clock
    crm: httpx.AsyncBaseTransport
    hosts: tuple[str, ...]
    platforms: Mapping[str, AdStage]
    crm_secrets: Mapping[str, str]
    names: dict[str, str] = field(default_factory=dict)

    async def open(self) -> Services:
        """Leadloop with the example applied: word for word, but that it sends."""
        environ = dict(self.crm_secrets)
        mounts = {f"all://{host}": self.crm for host in self.hosts}
        for name, stage in self.platforms.items():
            mounts |= {f"all://{host}": stage.transport() for host in HOSTS[name]}
            environ |= SECRETS[name]
        self.services = await open_services(
            Settings(database_url=self.url, secret_key=SecretStr("a secret key for tests")),
            clock=self.clock,
            environ=environ,
            http=httpx.AsyncClient(mounts=mounts),
            sleep=self._sleep,
        )
        file = self.folder / "leadloop.yaml"
        text = (EXAMPLES / self.example).read_text(encoding="utf-8")
        file.write_text(text.replace("mode: shadow", "mode: live"), encoding="utf-8")
        await self.services.apply_file(file, actor="test")
        return self.services

    async def live(self, span: timedelta, step: timedelta = 3 * HOUR) -> None:
        """Time goes on, with a turn at each step."""
        end = self.clock() + span
        while self.clock() < end:
            self.clock.go_on(step)
            await self.services.tick()

    async def found(self) -> dict[str, str]:
        """`name milestone` -> its value, and whether it is implied or was taken back."""
        query = select(conversions, records.c.object, records.c.external_id).join(
            records, records.c.id == conversions.c.record_id
        )
        async with self.services.database.read() as connection:
            rows = list((await connection.execute(query)).mappings())
        told: dict[str, str] = {}
        for row in rows:
            worth = "-" if row["amount_micros"] is None else f"{row['amount_micros'] / MICROS:g} {row['currency']}"
            marks = [word for word, is_so in (("implied", row["implied"]), ("ended", not row["live"])) if is_so]
            key = self._key(row["object"], row["external_id"], row["milestone"])
            entry = " ".join([worth, *marks])
            told[key] = f"{told[key]}; {entry}" if key in told else entry
        return told

    async def delivered(self, destination: str) -> dict[str, str]:
        """`name milestone` -> what became of its upload and its corrections there."""
        query = (
            select(records.c.object, records.c.external_id, conversions.c.milestone)
            .add_columns(deliveries.c.kind, deliveries.c.state, deliveries.c.reason)
            .join(conversions, conversions.c.record_id == records.c.id)
            .join(deliveries, deliveries.c.conversion_id == conversions.c.id)
            .join(destinations, destinations.c.id == deliveries.c.destination_id)
            .where(destinations.c.name == destination)
            .order_by(deliveries.c.id)
        )
        async with self.services.database.read() as connection:
            rows = list(await connection.execute(query))
        told: dict[str, str] = {}
        for row in rows:
            key = self._key(row.object, row.external_id, row.milestone)
            said = row.state if row.state in ("accepted", "confirmed") else f"{row.state}: {row.reason}"
            entry = said if row.kind == "upload" else f"{row.kind} {said}"
            told[key] = f"{told[key]}; {entry}" if key in told else entry
        return told

    async def story(self) -> str:
        """A line for each conversion by name: who and what, its value, and what became of it at each platform."""
        told = [await self.found(), *[await self.delivered(name) for name in self.platforms]]
        return "\n".join(" | ".join([key, *(one.get(key, "") for one in told)]).rstrip(" |") for key in sorted(told[0]))

    def _key(self, kind: str, external_id: str, milestone: str) -> str:
        return f"{self.names[f'{kind}:{external_id}']} {milestone}"

    async def _sleep(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)
