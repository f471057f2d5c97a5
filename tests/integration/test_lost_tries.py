from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.db.session import Database
from app.db.tables import conversions, deliveries
from app.dispatch.dispatcher import LEASE
from app.outbox import repository as outbox
from connectors.contract.conversions import UploadRow
from connectors.contract.errors import Effect, Unavailable
from connectors.contract.results import NotProcessed, UploadResult
from tests.integration.test_dispatch import Died, Fake, World, accept, world_of

WINDOW = timedelta(hours=48)


def die(_: Sequence[UploadRow]) -> Sequence[UploadResult]:
    """The process ends after the platform took the rows and before anything was settled."""
    raise Died


async def short_memory(database: Database, window: timedelta | None = WINDOW) -> World:
    world = await world_of(database, die, 3)
    world.fake.limits = replace(Fake.limits, dedup_window=window)  # type: ignore[misc]  # this fake's own
    return world


async def test_the_dedup_window_counts_from_the_try_and_not_from_its_discovery(database: Database) -> None:
    """After two days without a worker the platform has forgotten the id: sending again would count twice."""
    world = await short_memory(database)
    with pytest.raises(Died):
        await world.drain()
    world.fake.answer = accept

    world.clock.now += timedelta(hours=50)
    await world.drain("two")

    assert {row[:2] for row in (await world.rows()).values()} == {("uncertain", "unknown_effect")}
    assert len(world.fake.sent) == 1


async def test_nothing_is_repeated_in_the_last_minutes_of_the_dedup_window(database: Database) -> None:
    """Deciding is not sending: a repeat that leaves in time may arrive too late."""
    world = await short_memory(database)
    with pytest.raises(Died):
        await world.drain()
    world.fake.answer = accept

    world.clock.now += WINDOW - timedelta(minutes=5)
    await world.drain("two")

    assert {row[0] for row in (await world.rows()).values()} == {"uncertain"}


async def test_a_slow_lost_answer_counts_from_when_it_was_sent(database: Database) -> None:
    """The platform's window began when it received the rows, minutes before we gave up waiting."""
    world = await short_memory(database)
    began = world.clock.now

    def late(_: Sequence[UploadRow]) -> Sequence[UploadResult]:
        world.clock.now += timedelta(minutes=3)
        raise Unavailable("no answer", effect=Effect.UNKNOWN)

    world.fake.answer = late
    await world.drain()

    async with database.read() as connection:
        since = set(await connection.scalars(select(deliveries.c.first_unknown_at)))
    assert since == {int(began.timestamp() * 1000)}


async def test_rows_of_a_refused_request_are_no_try_when_the_process_dies_before_the_next(database: Database) -> None:
    """The platform said that it processed none of them; dying afterwards does not make that unknown."""
    world = await short_memory(database, window=None)

    def refuse_then_die(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        world.fake.answer = accept
        return [NotProcessed("garbage")] * len(rows)

    world.fake.answer = refuse_then_die
    original = outbox.open_upload

    async def second_time(*given: object) -> None:
        if world.fake.sent:
            raise Died
        await original(*given)  # type: ignore[arg-type]  # as it was called

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "open_upload", second_time)
        with pytest.raises(Died):
            await world.drain()

    world.clock.now += LEASE + timedelta(seconds=1)
    await world.drain("two")

    assert {row[:2] for row in (await world.rows()).values()} == {("accepted", "delivered")}


async def test_what_may_have_been_counted_is_not_called_withdrawn(database: Database) -> None:
    """A deal that leaves after a lost answer may be counted at the platform: a person must hear of it."""
    world = await short_memory(database, window=timedelta(days=7))
    with pytest.raises(Died):
        await world.drain()
    world.fake.answer = accept
    async with database.write() as connection:
        await connection.execute(update(conversions).values(live=False))

    world.clock.now += LEASE + timedelta(seconds=1)
    await world.drain("two")

    assert {row[:2] for row in (await world.rows()).values()} == {("uncertain", "unknown_effect")}
    assert len(world.fake.sent) == 1
