"""LinkedIn documents no window in which a copy is dropped: one repeat of the same, then a person decides, on both databases."""

from datetime import timedelta

import pytest

from app.db.session import Database
from connectors.simulators.faults import Fault, garbage, reset, server_error, timeout
from tests.integration.ad_rig import DAY, HOUR, NOW, AdWorld, ad_world
from tests.integration.changes_rig import change, die_after_sending

LOST = {
    "timeout": timeout(has_effect=True),
    "reset": reset(has_effect=True),
    "gateway": server_error(502, has_effect=True),
    "garbage": garbage(),
}


def eventful(world: AdWorld) -> list[object]:
    """The bodies that arrived."""
    return [body for _, body in world.stage.bodies()]


@pytest.mark.parametrize("second", sorted(LOST))
async def test_a_third_try_never_goes_however_the_answers_were_lost(database: Database, second: str) -> None:
    """Each copy may be one conversion more there; weeks of drains later nothing has gone again."""
    async with ad_world(database, "linkedin") as world:
        await world.owe(1, NOW - DAY)
        world.stage.plan.script(timeout(has_effect=True), LOST[second])

        await world.drain_over(14 * DAY, step=12 * HOUR)

        assert world.stage.requests() == 2
        assert [(one.state, one.reason) for one in (await world.found()).values()] == [("uncertain", "unknown_effect")]


async def test_the_one_repeat_is_the_same_to_the_byte(database: Database) -> None:
    """Should LinkedIn know the id after all, it must find nothing new under it."""
    async with ad_world(database, "linkedin") as world:
        await world.owe(1, NOW - DAY, euros=50)
        await world.owe(9, NOW - DAY, euros=None)
        await world.drain()
        await world.owe(2, NOW - DAY, euros=50)
        world.stage.plan.script(timeout())
        await world.drain()
        await change(world, 2, person=9, occurred_at=NOW - 2 * DAY, euros=70)
        world.stage.plan.script(timeout(has_effect=True))
        world.stage.clock.go_on(HOUR)
        await world.drain()

        _, again = eventful(world)

        (event,) = again["elements"]  # type: ignore[index]  # JSON
        assert event["eventId"] == world.rows[2].conversion_id
        assert event["conversionValue"]["amount"] == "50.00"
        assert event["conversionHappenedAt"] == int((NOW - DAY).timestamp() * 1000)
        assert world.stage.person(2).items() >= {("email_sha256", event["user"]["userIds"][0]["idValue"])}


@pytest.mark.parametrize("fault", ["throttled", "throttled_with_wait"])
async def test_a_refusal_without_effect_does_not_use_up_the_repeat(database: Database, fault: str) -> None:
    """Between the lost answer and its repeat LinkedIn throttles for hours: it surely did nothing then."""
    async with ad_world(database, "linkedin") as world:
        await world.owe(1, NOW - DAY)
        refused: Fault = getattr(world.stage.faults, fault)
        world.stage.plan.script(timeout(), refused, refused, refused)

        await world.drain_over(2 * DAY, step=3 * HOUR)

        assert world.stage.counted(world.rows[1]) == 1
        assert (await world.found())[1].state == "accepted"


async def test_a_worker_that_dies_while_sending_is_a_lost_answer(database: Database) -> None:
    """Twice dead is twice lost: a crash loop must not send a conversion each time it starts."""
    async with ad_world(database, "linkedin") as world:
        await world.owe(1, NOW - DAY)
        for _ in range(5):
            await die_after_sending(world)
            world.stage.clock.go_on(timedelta(minutes=30))

        await world.drain_over(DAY)

        assert world.stage.requests() == 2
        assert [(one.state, one.reason) for one in (await world.found()).values()] == [("uncertain", "unknown_effect")]


async def test_neighbours_of_what_was_lost_twice_go_on(database: Database) -> None:
    """What waits for a person holds up nobody."""
    async with ad_world(database, "linkedin") as world:
        await world.owe(1, NOW - DAY)
        world.stage.plan.script(timeout(has_effect=True), timeout(has_effect=True))
        await world.drain()
        world.stage.clock.go_on(HOUR)
        await world.drain()
        world.stage.clock.go_on(HOUR)
        await world.owe(2, NOW - DAY)

        await world.drain()

        assert {number: one.state for number, one in (await world.found()).items()} == {1: "uncertain", 2: "accepted"}
