"""Codes that no table knows, at once and late, on both databases: the row waits longer each time, and a person hears of it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from app.db.bulk import insert_rows
from app.db.instants import from_ms, to_ms
from app.db.session import Database
from app.db.tables import deliveries, destinations
from app.dispatch.verdicts import VerdictCollector
from app.outbox.code_repository import UnknownCode, count_unknown, unknown_codes
from connectors.contract.conversions import UploadRow
from connectors.contract.results import Accepted, Confirmed, Rejected, Retry, UploadResult, VerdictReply, Verdicts
from tests.contract.ad_stages import AD_STAGES
from tests.integration.ad_rig import DAY, HOUR, NOW, ad_world
from tests.integration.test_dispatch import Late, World, accept, world_of

NEW_CODE = Retry("FLUX_MISSING", "never seen before", is_known=False)
# By platform: a code of one row that its table does not hold, and how it is stored.
NEW_CODES = {
    "google": ("NEW_REASON_1", "NEW_REASON_1"),
    "linkedin": ("FLUX_CAPACITOR_MISSING", "FLUX_CAPACITOR_MISSING"),
    "meta": ("424242", "424242"),
    "microsoft": ("99999", "99999"),
    "tiktok": ("49999", "49999"),
}


async def due_at(database: Database) -> list[int]:
    async with database.read() as connection:
        return list(await connection.scalars(select(deliveries.c.due_at).order_by(deliveries.c.id)))


async def counted(database: Database) -> dict[int, list[UnknownCode]]:
    async with database.read() as connection:
        return await unknown_codes(connection)


async def test_each_pause_is_twice_the_last_up_to_a_day(database: Database) -> None:
    """A platform that is broken for a week is asked a few times a day, not each minute, and nothing is given up."""
    world = await world_of(database, lambda rows: [NEW_CODE] * len(rows), 1)
    pauses = []
    for _ in range(13):
        await world.drain()
        (due,) = await due_at(database)
        pauses.append(from_ms(due) - world.clock.now)
        world.clock.now = from_ms(due)

    assert pauses == [timedelta(minutes=1 << step) for step in range(11)] + [DAY, DAY]
    assert (await world.rows())["ll1"] == ("pending", "retry", 13, 13)
    world.fake.answer = accept
    await world.drain()
    assert (await world.rows())["ll1"][0] == "accepted"


@pytest.mark.parametrize("kind", sorted(AD_STAGES))
async def test_a_new_code_of_one_row_keeps_that_row_and_no_neighbour(database: Database, kind: str) -> None:
    """It is counted once for each try under its destination and code, and logged with nothing of the person."""
    code, stored = NEW_CODES[kind]
    async with ad_world(database, kind) as world:
        for number in range(1, 7):
            await world.owe(number, NOW - DAY)
        world.stage.refuse(world.rows[3], code)
        with capture_logs() as logs:
            await world.drain()
            world.stage.clock.go_on(HOUR)
            await world.drain()

        found = await world.found()
        assert found[3].state == "pending"
        assert {one.state for number, one in found.items() if number != 3} == {"accepted"}
        ((destination_id, (told,)),) = (await counted(database)).items()
        assert (destination_id, told.code.split()[0], told.times) == (1, stored, 2)
        assert (told.first_at, told.last_at) == (to_ms(NOW), to_ms(NOW + HOUR))
        said = [one for one in logs if one["event"] == "code.unknown"]
        assert [(one["destination"], one["codes"], one["rows"]) for one in said] == [("ads", [told.code], 1)] * 2
        assert not any(value in str(logs) for value in world.stage.person(3).values() if len(value) > 4)

        world.stage.relent()
        world.stage.clock.go_on(HOUR)
        await world.drain()
        assert world.stage.counted(world.rows[3]) == 1


async def test_codes_are_counted_by_destination(database: Database) -> None:
    """Two accounts of one platform may be told different things; first and last time say whether it is over."""
    await world_of(database, accept, 1)
    async with database.write() as connection:
        two = {"id": 2, "name": "two", "kind": "fake", "settings_sealed": b"", "created_at": 0}
        await insert_rows(connection, destinations, [two])
        await count_unknown(connection, 1, ["A", "A", "B"], 10)
        await count_unknown(connection, 2, ["A"], 20)
        await count_unknown(connection, 1, ["A"], 30)

    assert await counted(database) == {
        1: [UnknownCode("A", 3, 10, 30), UnknownCode("B", 1, 10, 10)],
        2: [UnknownCode("A", 1, 20, 20)],
    }


class SaysLate(Late):
    """Takes everything under a receipt for each request; says later what the test wants of each place."""

    def __init__(self, verdicts: Verdicts) -> None:
        super().__init__(self.take)
        self.verdicts = verdicts

    def take(self, rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        return [Accepted(str(len(self.sent) - 1), place) for place, _ in enumerate(rows)]

    async def verdict(self, receipt: str, sent: int, now: object) -> VerdictReply:
        return self.verdicts


async def late_world(database: Database, verdicts: Verdicts) -> tuple[World, VerdictCollector]:
    world = await world_of(database, accept, 3)
    world.fake = SaysLate(verdicts)
    return world, VerdictCollector(database, world, world.clock)


async def test_a_new_code_of_a_late_verdict_is_told_like_any_other(database: Database) -> None:
    """Google names most of its reasons a day later: a new one must not hide behind retries until the window closes."""
    world, collector = await late_world(database, Verdicts({0: NEW_CODE, 1: NEW_CODE, 2: Rejected("OLD_CODE")}))
    await world.drain()
    world.clock.now += HOUR

    with capture_logs() as logs:
        await collector.collect(1)

    assert [row[:2] for row in (await world.rows()).values()] == [("pending", "retry")] * 2 + [("rejected", "refused")]
    at = to_ms(world.clock.now)
    assert await counted(database) == {1: [UnknownCode("FLUX_MISSING", 2, at, at)]}
    said = [one for one in logs if one["event"] == "code.unknown"]
    assert [(one["destination"], one["codes"], one["rows"]) for one in said] == [("fake", ["FLUX_MISSING"], 2)]


async def test_late_codes_grow_the_pauses_too_and_end_in_a_verdict(database: Database) -> None:
    """Sent again each minute only to be told the same a day later, a row would cost a thousand requests."""
    world, collector = await late_world(database, Verdicts(dict.fromkeys(range(3), NEW_CODE)))
    pauses = []
    for _ in range(4):
        await world.drain()
        world.clock.now += HOUR
        await collector.collect(1)
        (due, *_) = await due_at(database)
        pauses.append(from_ms(due) - world.clock.now)
        world.clock.now = from_ms(due)

    assert pauses == sorted(set(pauses))
    ((_, (told,)),) = (await counted(database)).items()
    assert told.times == 12
    world.fake = SaysLate(Verdicts({0: Confirmed()}))
    await world.drain()
    world.clock.now += HOUR
    await collector.collect(1)
    assert {row[0] for row in (await world.rows()).values()} == {"confirmed"}
