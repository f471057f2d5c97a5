"""How many rows go together: learnt from refusals and clean requests, kept in the database, on both databases."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import update

from app.connections import repository as connections
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import deliveries
from app.dispatch.model import OpenDestination
from connectors.contract.conversions import UploadRow
from connectors.contract.results import NotProcessed, UploadResult
from connectors.simulators.faults import answer
from tests.contract.ad_reading import without
from tests.contract.ad_stages import AD_STAGES
from tests.integration.ad_rig import DAY, NOW, ad_world
from tests.integration.test_dispatch import Fake, World, accept, world_of

Judge = Callable[[Sequence[UploadRow]], bool]


class Learning(World):
    """The destination as it is stored now, so that each drain is a new process that knows only what was kept."""

    async def open_destination(self, destination_id: int) -> OpenDestination:
        async with self.database.read() as connection:
            stored = await connections.destination_by_id(connection, destination_id)
        assert stored is not None
        return OpenDestination(
            destination_id,
            "fake",
            self.fake,
            batch_rows=stored.batch_rows,
            adaptive_rows=stored.adaptive_rows,
            clean_requests=stored.clean_requests,
        )

    async def drain_sizes(self) -> list[int]:
        """How many rows each request of a drain carried."""
        before = len(self.fake.sent)
        await self.drain()
        return [len(ids) for ids in self.fake.sent[before:]]

    async def kept(self) -> tuple[int | None, int]:
        """The size and the clean requests that the next process begins with."""
        opened = await self.open_destination(1)
        return opened.adaptive_rows, opened.clean_requests


async def learning(database: Database, count: int, refuses: Judge, *, most: int, **kept: int) -> Learning:
    """So many rows at a platform that takes `most` together and refuses, naming nobody, what `refuses` says."""

    def judged(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        return [NotProcessed("refused")] * len(rows) if refuses(rows) else accept(rows)

    world = Learning(database, (await world_of(database, accept, count)).fake)
    world.fake = Fake(judged)
    world.fake.limits = replace(Fake.limits, rows=most)  # type: ignore[misc]  # this fake's own
    async with database.write() as connection:
        if kept:
            await connections.set_adaptive_rows(connection, 1, kept["rows"], kept["clean"])
    return world


def nothing(_: Sequence[UploadRow]) -> bool:
    """A platform that refuses nothing."""
    return False


async def owe_again(world: Learning, count: int) -> None:
    """The same conversions are owed once more, untried."""
    async with world.database.write() as connection:
        fresh = {"state": "pending", "reason": "new", "due_at": to_ms(NOW), "frozen": False, "upload_id": None}
        await connection.execute(update(deliveries).where(deliveries.c.id <= count).values(**fresh))


@pytest.mark.parametrize("kind", sorted(AD_STAGES))
async def test_a_body_that_is_too_large_halves_requests_on_every_platform(database: Database, kind: str) -> None:
    """Limits in bytes are published nowhere: a proxy's 413 must cost two requests, and no row."""
    async with ad_world(database, kind) as world:
        for number in range(1, 9):
            await world.owe(number, NOW - DAY, without(world.stage.person(number), world.connector.limits.apart))
        world.stage.plan.script(answer(413, {}))

        summary = await world.drain()

        assert summary.requests == 3
        assert [world.stage.counted(row) for row in world.rows.values()] == [1] * 8
        assert (await world.open_destination(1)).adaptive_rows == 4


async def test_parts_of_a_refused_request_teach_nothing(database: Database) -> None:
    """One bad row in sixteen is searched in four halvings; the platform took sixteen together yesterday and will tomorrow."""
    world = await learning(database, 16, lambda rows: any(row.conversion_id == "ll16" for row in rows), most=16)

    sizes = await world.drain_sizes()

    assert sizes == [16, 8, 8, 4, 4, 2, 2, 1, 1]
    assert await world.kept() == (8, 0)


async def test_five_clean_requests_double_it_over_a_restart(database: Database) -> None:
    """Each drain is a new process here: what was counted before goes on, up to the platform's most and no further."""
    world = await learning(database, 8, nothing, most=8, rows=2, clean=0)

    sizes = []
    for _ in range(4):
        sizes.append(await world.drain_sizes())
        await owe_again(world, 8)

    assert sizes == [[2, 2, 2, 2], [2, 2, 2, 2], [4, 4], [8]]
    assert await world.kept() == (None, 0)


async def test_a_refusal_begins_the_count_anew(database: Database) -> None:
    """Four clean requests and a refusal are no sign that more would go."""
    world = await learning(database, 4, lambda rows: len(rows) > 2, most=8, rows=4, clean=4)

    assert await world.drain_sizes() == [4, 2, 2]

    assert await world.kept() == (2, 0)


async def test_requests_that_were_cut_before_a_refusal_do_not_halve_again(database: Database) -> None:
    """Three requests of eight were ready when the first was refused: the others say the same of eight, nothing of four."""
    world = await learning(database, 24, lambda rows: len(rows) > 4, most=32, rows=8, clean=0)

    sizes = await world.drain_sizes()

    assert sizes == [8, 4, 4] * 3
    assert await world.kept() == (4, 0)


async def test_the_operators_bound_is_never_passed(database: Database) -> None:
    """Whoever set fewer rows had a reason that no clean request knows."""
    world = await learning(database, 8, nothing, most=8, rows=1, clean=4)
    async with database.write() as connection:
        await connections.set_batch_rows(connection, 1, 2)

    first = await world.drain_sizes()
    await owe_again(world, 8)

    assert (first, await world.drain_sizes()) == ([1] * 8, [2] * 4)
