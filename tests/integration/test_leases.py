"""Leases: one holder at a time, told from its predecessors by the fence."""

import asyncio

import pytest

from app.db.session import Database
from app.leases.repository import acquire, release, renew

NAME = "poll:1"


async def test_a_fence_rises_with_every_change_of_holder(database: Database) -> None:
    """Writes carry the fence: an old holder that wakes up must be told from the new one."""
    async with database.write() as connection:
        assert await acquire(connection, NAME, "one", 0, 100) == 1
        assert await acquire(connection, NAME, "one", 50, 100) == 1, "renewed"
        assert await acquire(connection, NAME, "two", 149, 100) is None
        assert await acquire(connection, NAME, "two", 150, 100) == 2, "expired, so taken over"
        assert await acquire(connection, NAME, "one", 151, 100) is None
        await release(connection, NAME, "one")
        assert await acquire(connection, NAME, "one", 152, 100) is None, "nobody lets go of another's lease"
        await release(connection, NAME, "two")
        assert await acquire(connection, NAME, "one", 153, 100) == 3


async def test_only_the_very_lease_is_renewed(database: Database) -> None:
    """A page that was read under a lost lease must not be committed."""
    async with database.write() as connection:
        assert not await renew(connection, NAME, "one", 1, 0, 100)
        await acquire(connection, NAME, "one", 0, 100)
        assert not await renew(connection, NAME, "two", 1, 50, 100)
        assert not await renew(connection, NAME, "one", 2, 50, 100)
        assert await renew(connection, NAME, "one", 1, 99, 100)
        assert await acquire(connection, NAME, "two", 198, 100) is None, "renewed to 199"


async def test_a_lease_that_ran_out_is_renewed_while_nobody_took_it(database: Database) -> None:
    """A page that takes longer than the lease could otherwise never be recorded, however often it is read."""
    async with database.write() as connection:
        await acquire(connection, NAME, "one", 0, 100)
        assert await renew(connection, NAME, "one", 1, 5000, 100)
        assert await acquire(connection, NAME, "two", 5099, 100) is None, "it runs again"


async def test_a_lease_that_another_took_or_that_was_let_go_is_not_renewed(database: Database) -> None:
    """Holder and fence together prove that nobody else was in between, even where the same holder is back."""
    async with database.write() as connection:
        await acquire(connection, NAME, "one", 0, 100)
        await acquire(connection, NAME, "two", 100, 100)
        assert not await renew(connection, NAME, "one", 1, 101, 100), "another reads"
        await release(connection, NAME, "two")
        assert not await renew(connection, NAME, "one", 1, 102, 100), "another has read"
        assert not await renew(connection, NAME, "two", 2, 102, 100), "let go"
        assert await acquire(connection, NAME, "one", 103, 100) == 3
        assert not await renew(connection, NAME, "one", 1, 104, 100), "the same holder, another time"


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_of_a_late_renewal_and_a_take_over_only_one_holds(database: Database) -> None:
    """Whoever locks the row first wins: the other waits for the commit and sees it."""
    async with database.write() as connection:
        await acquire(connection, NAME, "one", 0, 100)

    async with database.write() as first:
        assert await renew(first, NAME, "one", 1, 500, 100)
        taking = asyncio.create_task(_acquire(database, "two", 501))
        await asyncio.sleep(0.2)
        assert not taking.done()
    assert await taking is None

    async with database.write() as first:
        assert await acquire(first, NAME, "two", 700, 100) == 2
        renewing = asyncio.create_task(_renew(database, "one", 701))
        await asyncio.sleep(0.2)
        assert not renewing.done()
    assert not await renewing


async def _acquire(database: Database, holder: str, now_ms: int) -> int | None:
    async with database.write() as connection:
        return await acquire(connection, NAME, holder, now_ms, 100)


async def _renew(database: Database, holder: str, now_ms: int) -> bool:
    async with database.write() as connection:
        return await renew(connection, NAME, holder, 1, now_ms, 100)


async def test_names_do_not_share_leases(database: Database) -> None:
    """One source's poll must not stop another's."""
    async with database.write() as connection:
        assert await acquire(connection, NAME, "one", 0, 100) == 1
        assert await acquire(connection, "poll:2", "two", 0, 100) == 1
