"""What changes between two tries of a conversion: its person, its instant, its amount, the mapping, the worker."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MethodType
from typing import Any

import orjson
from sqlalchemy import select, update

from app.db.instants import to_ms
from app.db.tables import conversions, deliveries, leads
from app.dispatch.dispatcher import LEASE, Dispatcher
from app.dispatch.model import DrainSummary, MilestoneTerms, SourceTerms
from connectors.contract.conversions import Target, UploadRow
from connectors.contract.results import UploadResult
from tests.contract.ad_reading import MILESTONE
from tests.fingerprints import told
from tests.integration.ad_rig import MICROS, AdWorld


class WorkerDied(BaseException):
    """The process ends."""


class MappedTo:
    """A mapping that names this target now."""

    def __init__(self, target: Target) -> None:
        self._text = orjson.dumps(dict(target.settings)).decode()

    async def terms_of(self, source_id: int) -> SourceTerms:
        """The only milestone."""
        return SourceTerms("hubspot", {("ads", MILESTONE): MilestoneTerms(target=self._text)})


async def drain_as_mapped(world: AdWorld, target: Target) -> DrainSummary:
    """A drain under a mapping that names this target."""
    terms = MappedTo(target)
    return await Dispatcher(world.database, world, world, world.stage.clock, "one", terms, fingerprint=told).drain(1)


async def change(world: AdWorld, number: int, *, person: int, occurred_at: datetime, euros: int) -> None:
    """Conversion and person as the CRM has them now: the identifiers of another person of the stage, another instant, amount."""
    async with world.database.write() as connection:
        await connection.execute(update(leads).where(leads.c.id == number).values(identity_id=person))
        values = {"occurred_at": to_ms(occurred_at), "amount_micros": euros * MICROS}
        await connection.execute(update(conversions).where(conversions.c.id == number).values(**values))


async def die_after_sending(world: AdWorld) -> None:
    """A worker that ends when the platform has the rows and nothing is written yet; its lease runs out."""
    connector: Any = world.connector
    original = connector.upload

    async def upload(_: object, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        await original(rows, now)
        raise WorkerDied

    connector.upload = MethodType(upload, connector)
    try:
        await world.drain()
    except WorkerDied:
        world.stage.clock.go_on(LEASE * 2)
    finally:
        del connector.upload


def events(world: AdWorld, name: str) -> list[list[Mapping[str, Any]]]:
    """The rows of each request that came so far, by the name under which the platform takes them."""
    return [list(body[name]) for _, body in world.stage.bodies() if name in body]  # type: ignore[call-overload]  # JSON


async def stored_seconds(world: AdWorld) -> dict[int, int | None]:
    """By delivery, the instant that is sent."""
    async with world.database.read() as connection:
        rows = await connection.execute(select(deliveries.c.id, deliveries.c.sent_at))
        return {row.id: row.sent_at for row in rows}
