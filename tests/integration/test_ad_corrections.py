"""Corrections to each simulated platform, on both databases: what its ledger counts in the end, and what cannot be told."""

from decimal import Decimal

import pytest
from sqlalchemy import update

from app.db.session import Database
from app.db.tables import leads
from app.reports.books import BooksQuery, books
from connectors.contract.conversions import Identifier
from connectors.simulators.faults import timeout
from tests.contract.ad_stage import AdAbility
from tests.contract.ad_stages import AD_STAGES
from tests.integration.ad_rig import DAY, HOUR, NOW, AdWorld, ad_world

PLATFORMS = sorted(AD_STAGES)


def able(*abilities: AdAbility) -> list[str]:
    return [name for name in PLATFORMS if set(abilities) <= AD_STAGES[name].abilities]


def unable(*abilities: AdAbility) -> list[str]:
    return [name for name in PLATFORMS if name not in able(*abilities)]


async def told(world: AdWorld) -> None:
    """A conversion of 50, uploaded and, where the platform says so, confirmed."""
    await world.owe(1, NOW - DAY)
    await world.drain_over(2 * DAY)


@pytest.mark.parametrize("kind", able(AdAbility.RESTATES))
async def test_an_edited_amount_ends_in_the_ledger(database: Database, kind: str) -> None:
    """Bidding goes by the last amount, and the deal counts once."""
    async with ad_world(database, kind) as world:
        await told(world)
        await world.correct(1, "restate", euros=70)

        await world.drain_over(3 * DAY)

        assert (world.stage.counted(world.rows[1]), world.stage.value_of(world.rows[1])) == (1, Decimal(70))
        assert (await world.found(seq=1))[1].state in ("accepted", "confirmed")


@pytest.mark.parametrize("kind", able(AdAbility.RETRACTS))
async def test_a_deal_that_was_lost_after_all_is_taken_back(database: Database, kind: str) -> None:
    """A conversion that stays would teach bidding to buy such clicks."""
    async with ad_world(database, kind) as world:
        await told(world)
        await world.correct(1, "retract")

        await world.drain_over(3 * DAY)

        assert world.stage.counted(world.rows[1]) == 0
        assert (await world.found(seq=1))[1].state in ("accepted", "confirmed")


@pytest.mark.parametrize("kind", unable(AdAbility.RESTATES))
@pytest.mark.parametrize("correction", ["restate", "retract"])
async def test_what_a_platform_cannot_correct_says_so(database: Database, kind: str, correction: str) -> None:
    """Nothing is sent; the delivery says why."""
    async with ad_world(database, kind) as world:
        await told(world)
        asked = world.stage.requests()
        await world.correct(1, correction, euros=70 if correction == "restate" else None)

        await world.drain_over(3 * DAY)

        standing = (await world.found(seq=1))[1]
        assert (standing.state, standing.reason, standing.counted) == ("skipped", "unsupported", 0)
        assert world.stage.requests() == asked
        assert (world.stage.counted(world.rows[1]), world.stage.value_of(world.rows[1])) == (1, Decimal(50))
        (difference,) = (await books(database, BooksQuery())).differences
        true = (1, 70_000_000) if correction == "restate" else (0, 0)
        assert (difference.told, difference.told_micros) == (1, 50_000_000)
        assert (difference.true, difference.true_micros) == true


@pytest.mark.parametrize("kind", able(AdAbility.RETRACTS))
async def test_a_correction_whose_answer_is_lost_corrects_once(database: Database, kind: str) -> None:
    """A restatement sets, a retraction removes: the repeat changes nothing."""
    async with ad_world(database, kind) as world:
        await told(world)
        await world.correct(1, "restate", euros=70)
        world.stage.plan.script(timeout(has_effect=True))

        await world.drain_over(4 * DAY)

        assert (world.stage.counted(world.rows[1]), world.stage.value_of(world.rows[1])) == (1, Decimal(70))


@pytest.mark.parametrize("kind", able(AdAbility.RETRACTS))
async def test_a_correction_goes_for_the_person_and_instant_of_its_upload(database: Database, kind: str) -> None:
    """The person has another click since: under that one the platform has nothing to correct."""
    async with ad_world(database, kind) as world:
        await told(world)
        other = world.stage.person(9)
        await world.owe(9, NOW - DAY, euros=None)
        async with database.write() as connection:
            await connection.execute(update(leads).where(leads.c.id == 1).values(identity_id=9))
        assert other[Identifier.MSCLKID if kind == "microsoft" else Identifier.GCLID]
        await world.correct(1, "retract")

        await world.drain_over(3 * DAY)

        assert world.stage.counted(world.rows[1]) == 0


async def test_two_deals_of_one_click_won_in_one_second_count_twice_at_microsoft(database: Database) -> None:
    """Click, goal and second are its key: the second deal would be dropped as a copy, and nothing would say so."""
    async with ad_world(database, "microsoft") as world:
        click = world.stage.person(1)
        for number in (1, 2, 3):
            await world.owe(number, NOW - DAY, click)
        await world.drain()
        await world.owe(4, NOW - DAY, click)

        await world.drain_over(DAY)

        assert world.stage.total_counted() == 4
        assert {one.state for one in (await world.found()).values()} == {"accepted"}


async def test_a_moved_second_is_kept_over_a_lost_answer_and_a_correction(database: Database) -> None:
    """Under another second the repeat would be a conversion more, and the correction would correct the neighbour."""
    async with ad_world(database, "microsoft") as world:
        click = world.stage.person(1)
        for number in (1, 2):
            await world.owe(number, NOW - DAY, click, euros=10 * number)
        world.stage.plan.script(timeout(has_effect=True))
        await world.drain()
        world.stage.clock.go_on(HOUR)
        await world.drain_over(DAY)
        assert world.stage.total_counted() == 2

        await world.correct(2, "retract")
        await world.drain_over(DAY)

        assert world.stage.total_counted() == 1
        assert world.stage.value_of(world.rows[1]) == Decimal(10)
