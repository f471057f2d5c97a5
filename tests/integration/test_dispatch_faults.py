from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.db.session import Database
from app.db.tables import destinations, identities
from connectors.contract.conversions import UploadRow
from connectors.contract.results import UploadResult
from tests.integration.test_dispatch import Late, accept, world_of


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
