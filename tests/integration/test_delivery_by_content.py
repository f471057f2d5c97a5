"""Microsoft has no field for an id: equal conversions apart in time, and every repeat and correction as its upload went."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.db.session import Database
from connectors.simulators.faults import timeout
from tests.integration.ad_rig import DAY, HOUR, NOW, AdWorld, ad_world
from tests.integration.changes_rig import change, die_after_sending, drain_as_mapped, events, stored_seconds

SECOND = timedelta(seconds=1)
WON_AT = NOW - DAY
SENT, CORRECTED = "OfflineConversions", "OfflineConversionAdjustments"


def seconds_after(rows: list[Any], start: datetime = WON_AT) -> list[float]:
    """How long after `start` each row says that it happened, sorted."""
    return sorted((datetime.fromisoformat(row["ConversionTime"]) - start).total_seconds() for row in rows)


def ledger(world: AdWorld) -> Any:
    """Microsoft's own."""
    return world.stage.platform.ledger  # type: ignore[attr-defined]  # this stage's own


async def test_two_deals_of_one_click_in_one_second_go_in_one_request(database: Database) -> None:
    """Both are moved apart before anything is sent: the second would be dropped without a word."""
    async with ad_world(database, "microsoft") as world:
        click = world.stage.person(1)
        await world.owe(1, WON_AT, click, euros=10)
        await world.owe(2, WON_AT + timedelta(milliseconds=400), click, euros=20)

        await world.drain()

        (sent,) = events(world, SENT)
        assert seconds_after(sent) == [0, 1]
        assert (ledger(world).total, ledger(world).alerts) == (2, [])
        assert sorted(one.value for one in ledger(world).conversions.values()) == [10, 20]


async def test_a_crowd_in_one_second_finds_a_second_for_each(database: Database) -> None:
    """An import closes forty deals of one buyer at once; so many places are not looked for at a time."""
    async with ad_world(database, "microsoft") as world:
        click = world.stage.person(1)
        for number in range(1, 41):
            await world.owe(number, WON_AT, click)

        await world.drain()

        (sent,) = events(world, SENT)
        assert seconds_after(sent) == list(range(40))
        assert (ledger(world).total, ledger(world).alerts) == (40, [])


async def test_a_second_that_was_given_away_is_taken_for_a_later_drain_too(database: Database) -> None:
    """A deal that was truly won in the second into which an earlier one was moved is moved on itself."""
    async with ad_world(database, "microsoft") as world:
        click = world.stage.person(1)
        for number in (1, 2):
            await world.owe(number, WON_AT, click)
        await world.drain()
        await world.owe(3, WON_AT, click)
        await world.owe(4, WON_AT + SECOND, click)

        await world.drain()

        sent = [row for request in events(world, SENT) for row in request]
        assert seconds_after(sent) == [0, 1, 2, 3]
        assert (ledger(world).total, ledger(world).alerts) == (4, [])


async def test_what_microsoft_tells_apart_by_itself_keeps_its_second(database: Database) -> None:
    """Another click or another goal is another conversion there: moving it would only falsify its time."""
    async with ad_world(database, "microsoft") as world:
        await world.owe(1, WON_AT, world.stage.person(1))
        await world.owe(2, WON_AT, world.stage.person(2))
        await world.drain()
        await world.owe(3, WON_AT, world.stage.person(1))

        await drain_as_mapped(world, world.stage.target("opportunity"))

        sent = [row for request in events(world, SENT) for row in request]
        assert seconds_after(sent) == [0, 0, 0]
        assert ledger(world).total == 3


@pytest.mark.parametrize("ending", ["lost answer", "dead worker"])
async def test_a_repeat_is_the_first_try_again_whatever_changed_since(database: Database, ending: str) -> None:
    """Under another click, goal or second Microsoft would count the same deal once more."""
    async with ad_world(database, "microsoft") as world:
        click = world.stage.person(1)
        for number in (1, 2):
            await world.owe(number, WON_AT, click, euros=10 * number)
        await world.owe(9, WON_AT - 2 * DAY, euros=None)
        await world.drain()
        for number in (3, 4):
            await world.owe(number, WON_AT, click, euros=10 * number)
        if ending == "dead worker":
            await die_after_sending(world)
        else:
            world.stage.plan.script(timeout(has_effect=True))
            await world.drain()
            world.stage.clock.go_on(HOUR)
        kept = await stored_seconds(world)
        await change(world, 4, person=9, occurred_at=WON_AT + HOUR, euros=77)

        await drain_as_mapped(world, world.stage.target("opportunity"))

        *_, first, again = events(world, SENT)
        assert len(first) == 2
        assert first == again
        assert await stored_seconds(world) == kept
        assert ledger(world).total == 5
        assert {one.state for one in (await world.found()).values()} == {"accepted"}


@pytest.mark.parametrize("correction", ["restate", "retract"])
@pytest.mark.parametrize("kind", ["google", "microsoft"])
async def test_a_correction_names_its_upload_as_it_went(database: Database, kind: str, correction: str) -> None:
    """Person, instant and mapping have changed since; the platform finds a conversion only under what it was told."""
    async with ad_world(database, kind) as world:
        for number in (1, 2):
            await world.owe(number, WON_AT, world.stage.person(1) if kind == "microsoft" else None)
        await world.owe(9, WON_AT - 2 * DAY, euros=None)
        await world.drain_over(2 * DAY)
        kept = await stored_seconds(world)
        await change(world, 2, person=9, occurred_at=WON_AT + 2 * HOUR, euros=70)
        await world.correct(2, correction, euros=70 if correction == "restate" else None)

        await drain_as_mapped(world, world.stage.target("opportunity"))
        await world.drain_over(DAY)

        assert (await world.found(seq=1))[2].state in ("accepted", "confirmed")
        assert world.stage.total_counted() == (3 if correction == "restate" else 2)
        assert (await stored_seconds(world))[1002] == kept[2]
        if kind == "microsoft":
            ((corrected,),) = events(world, CORRECTED)
            assert seconds_after([corrected]) == [1]
            assert ledger(world).alerts == []
        elif correction == "restate":
            assert world.stage.value_of(world.rows[2]) == Decimal(70)
        else:
            assert (world.stage.counted(world.rows[1]), world.stage.counted(world.rows[2])) == (1, 0)
