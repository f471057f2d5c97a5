"""A platform says that it took some rows and not which: each is a lost answer, on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.db.session import Database
from connectors.simulators.faults import Fault, answer
from tests.integration.ad_rig import DAY, HOUR, NOW, ad_world

TIKTOK = answer(200, {"code": 20001, "message": "partial success", "request_id": "1", "data": {}})
MICROSOFT = answer(200, {"PartialErrors": [{"Code": 5612, "ErrorCode": "OfflineConversionsApplyFailed", "Message": "m"}]})
SAID = {"tiktok": replace(TIKTOK, has_effect=True), "microsoft": replace(MICROSOFT, has_effect=True)}


@pytest.mark.parametrize("kind", sorted(SAID))
async def test_rows_of_an_undecided_request_are_counted_once(database: Database, kind: str) -> None:
    """They go again the same as they went, fewer together each time, while copies are dropped."""
    fault: Fault = SAID[kind]
    async with ad_world(database, kind) as world:
        for number in (1, 2):
            await world.owe(number, NOW - DAY)
        world.stage.plan.script(fault)

        await world.drain_over(6 * HOUR, step=HOUR)

        assert [world.stage.counted(world.rows[number]) for number in (1, 2)] == [1, 1]
        assert {one.state for one in (await world.found()).values()} <= {"accepted", "confirmed"}


@pytest.mark.parametrize("count", [1, 2])
async def test_an_undecided_request_is_not_sent_past_the_window_of_copies(database: Database, count: int) -> None:
    """TikTok drops copies for 48 hours; after a longer outage another try could count once more, so a person decides."""
    async with ad_world(database, "tiktok") as world:
        for number in range(1, count + 1):
            await world.owe(number, NOW - DAY)
        world.stage.plan.script(SAID["tiktok"])
        await world.drain()
        world.stage.clock.go_on(timedelta(hours=50))

        await world.drain_over(2 * DAY)

        assert [world.stage.counted(world.rows[number]) for number in range(1, count + 1)] == [1] * count
        assert {(one.state, one.reason) for one in (await world.found()).values()} == {("uncertain", "unknown_effect")}
