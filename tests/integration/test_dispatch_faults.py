from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.session import Database
from app.db.tables import destinations, identities
from app.dispatch.dispatcher import LEASE
from connectors.contract.conversions import UploadRow
from connectors.contract.results import UploadResult
from tests.integration.test_dispatch import Late, World, accept, world_of


async def test_a_row_over_which_the_connector_stumbles_is_cornered(database: Database) -> None:
    """A fault of ours in one payload must not stop a destination until a new version is installed."""

    def answer(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        if any(row.conversion_id == "ll7" for row in rows):
            raise KeyError("ann@x.example")
        return accept(rows)

    world = await world_of(database, accept, 20)
    world.fake = Late(answer)
    failures = set()
    for _ in range(10):
        failures.add((await world.drain()).failure)
        world.clock.now += timedelta(hours=3)

    found = await world.rows()
    assert found.pop("ll7")[0] == "pending"
    assert {row[0] for row in found.values()} == {"accepted"}
    assert failures == {"", "the connector failed with KeyError"}
    async with database.read() as connection:
        assert await connection.scalar(select(destinations.c.pause_reason)) == "KeyError"


@pytest.mark.parametrize("sealed", [b"", b"\xff", b'{"of_a_later_version":"x"}'])
async def test_an_identity_that_cannot_be_opened_holds_up_its_own_row_only(database: Database, sealed: bytes) -> None:
    """A key that was dropped too early makes some people unreadable; it is put back, and they go."""
    world = await world_of(database, accept, 3)
    async with database.write() as connection:
        kept = await connection.scalar(select(identities.c.sealed).where(identities.c.id == 2))
        await connection.execute(update(identities).where(identities.c.id == 2).values(sealed=sealed))

    await world.drain()
    found = await world.rows()
    async with database.write() as connection:
        await connection.execute(update(identities).where(identities.c.id == 2).values(sealed=kept))
    world.clock.now += timedelta(hours=1)
    await world.drain()

    assert found.pop("ll2") == ("pending", "retry", 0, 0)
    assert {row[0] for row in found.values()} == {"accepted"}
    assert (await world.rows())["ll2"][0] == "accepted"


class Stumbling(Database):
    """A database whose next `failures` writing transactions fail: at the end, or (`is_committed`) after the commit."""

    failures, is_committed = 0, False

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with super().write() as connection:
            yield connection
            if self.failures and not self.is_committed:
                self._fail()
        if self.failures:
            self._fail()

    def _fail(self) -> None:
        self.failures -= 1
        raise OperationalError("COMMIT", {}, OSError("database is locked"))


async def stumbling(url: str, failures: int, *, is_committed: bool = False) -> tuple[World, Stumbling, list[float]]:
    """Three rows that are accepted; then so many transactions fail. The waits between them are written down."""
    database = Stumbling(url)

    def answer(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        database.failures, database.is_committed = failures, is_committed
        return accept(rows)

    world = await world_of(database, answer, 3)
    return world, database, world.waits


@pytest.mark.parametrize("is_committed", [False, True])
async def test_results_outlive_a_database_that_is_away_for_a_moment(database_url: str, *, is_committed: bool) -> None:
    """The platform took the rows and says so once: without its answer they would be uncertain, or sent twice."""
    world, database, waits = await stumbling(database_url, 5, is_committed=is_committed)

    await world.drain()

    assert set((await world.rows()).values()) == {("accepted", "delivered", 1, 1)}
    assert waits == sorted(set(waits))
    assert len(waits) == 5
    await database.close()


async def test_a_database_that_stays_away_leaves_a_try_of_unknown_effect(database_url: str) -> None:
    """Waiting for ever would hold the lease; the rows come due again with it."""
    world, database, _ = await stumbling(database_url, 6)

    with pytest.raises(OperationalError):
        await world.drain()
    world.clock.now += LEASE + timedelta(seconds=1)
    world.fake.answer = accept
    await world.drain("two")

    assert {row[:2] for row in (await world.rows()).values()} == {("uncertain", "unknown_effect")}
    await database.close()
