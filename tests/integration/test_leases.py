from app.db.ids import take_ids
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


async def test_only_the_very_lease_that_still_runs_is_renewed(database: Database) -> None:
    """A page that was read under a lost lease must not be committed."""
    async with database.write() as connection:
        assert not await renew(connection, NAME, "one", 1, 0, 100)
        await acquire(connection, NAME, "one", 0, 100)
        assert not await renew(connection, NAME, "two", 1, 50, 100)
        assert not await renew(connection, NAME, "one", 2, 50, 100)
        assert await renew(connection, NAME, "one", 1, 99, 100)
        assert await renew(connection, NAME, "one", 1, 198, 100), "renewed to 199"
        assert not await renew(connection, NAME, "one", 1, 298, 100)


async def test_names_do_not_share_leases(database: Database) -> None:
    """One source's poll must not stop another's."""
    async with database.write() as connection:
        assert await acquire(connection, NAME, "one", 0, 100) == 1
        assert await acquire(connection, "poll:2", "two", 0, 100) == 1


async def test_blocks_of_ids_do_not_overlap(database: Database) -> None:
    """Ids are taken in blocks by many processes."""
    async with database.write() as connection:
        assert [await take_ids(connection, count) for count in (1, 5, 2, 1)] == [1, 2, 7, 9]
