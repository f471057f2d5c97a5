from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

import pytest
from sqlalchemy import update

from app.db.session import Database
from app.db.tables import deliveries
from app.dispatch.dispatcher import LEASE
from app.dispatch.model import DrainSummary
from connectors.contract.conversions import UploadRow
from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.errors import Effect, Unavailable
from connectors.contract.results import NotProcessed, UploadResult
from tests.integration.test_dispatch import Answer, Fake, World, accept, world_of


class Stalls(Fake):
    """A platform at whose first request the drainer freezes, while `meanwhile` happens; then it gets `answer`."""

    limits: ClassVar[DestinationLimits] = DestinationLimits(
        **{name: getattr(Fake.limits, name) for name in Fake.limits.__slots__ if name != "dedup_window"}, dedup_window=FOREVER
    )

    def __init__(self, answer: Answer, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(answer)
        self.meanwhile = meanwhile

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        self.sent.append([row.conversion_id for row in rows])
        if len(self.sent) > 1:
            return accept(rows)
        await self.meanwhile()
        return self.answer(rows)


def refuse(_: Sequence[UploadRow]) -> Sequence[UploadResult]:
    raise Unavailable("no route", effect=Effect.NONE)


def pass_over(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
    return [NotProcessed("garbage")] * len(rows)


async def taken_over(database: Database, answer: Answer) -> tuple[World, DrainSummary]:
    """Drainer one claims four rows in requests of two and freezes in the first; two takes over and lets go."""
    world = await world_of(database, accept, 4)
    world.batch_rows = 2

    async def other() -> None:
        world.clock.now += LEASE + timedelta(minutes=1)
        assert (await world.drain("two")).accepted == 4

    world.fake = Stalls(answer, other)
    return world, await world.drain("one")


@pytest.mark.parametrize("answer", [accept, refuse, pass_over])
async def test_what_another_drainer_sent_meanwhile_is_not_sent_again(database: Database, answer: Answer) -> None:
    """A drainer that wakes up late knows rows that were accepted long ago; however its own request ended, they are done."""
    world, summary = await taken_over(database, answer)

    assert summary.is_busy
    assert {row[:2] for row in (await world.rows()).values()} == {("accepted", "delivered")}
    world.clock.now += timedelta(days=1)
    assert (await world.drain("three")).requests == 0
    assert world.fake.sent == [["ll1", "ll2"], ["ll1", "ll2"], ["ll3", "ll4"]]


async def test_a_row_that_is_no_longer_ours_is_left_out_of_the_next_request(database: Database) -> None:
    """The lease alone is not the fence: whoever took a row, or settled it, must not find it overwritten and sent."""
    world = await world_of(database, accept, 4)
    world.batch_rows = 2

    async def other() -> None:
        async with database.write() as connection:
            await connection.execute(update(deliveries).where(deliveries.c.id == 3).values(upload_id=999))

    world.fake = Stalls(accept, other)
    await world.drain()

    assert world.fake.sent == [["ll1", "ll2"], ["ll4"]]
    assert (await world.rows())["ll3"][0] == "sending"
