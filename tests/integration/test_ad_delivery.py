"""Deliveries to each simulated platform through dispatcher and connector, on both databases: nothing lost, nothing twice."""

import pytest

from app.db.session import Database
from app.outbox.code_repository import unknown_codes
from connectors.simulators.faults import timeout
from tests.contract.ad_reading import without
from tests.contract.ad_stage import AdAbility
from tests.contract.ad_stages import AD_STAGES
from tests.contract.crm_stage import Clock
from tests.integration.ad_rig import DAY, HOUR, NOW, ad_world

PLATFORMS = sorted(AD_STAGES)
REFUSING = [name for name in PLATFORMS if AD_STAGES[name](Clock(NOW)).passing_codes]


@pytest.mark.parametrize("kind", PLATFORMS)
async def test_passing_faults_of_ten_kinds_lose_nothing(database: Database, kind: str) -> None:
    """Whatever passes by itself: the conversion is there in the end, and once."""
    async with ad_world(database, kind) as world:
        stage = world.stage
        await world.owe(1, NOW - DAY)
        # Without a window for copies a second answer of unknown effect would end in a person's hands.
        may_repeat = AdAbility.DEDUPS in stage.abilities
        more = [fault for fault in stage.faults.more.values() if may_repeat or fault.status < 500]
        faults = [stage.faults.throttled, stage.faults.throttled_with_wait, *more]
        for fault in (faults * 10)[:10]:
            stage.plan.always(fault)
            await world.drain()
            stage.plan.clear()
            stage.clock.go_on(2 * HOUR)

        await world.drain_over(3 * DAY)

        assert stage.counted(world.rows[1]) == 1
        assert (await world.found())[1].state in ("accepted", "confirmed")


@pytest.mark.parametrize("kind", REFUSING)
async def test_ten_codes_that_pass_lose_no_row(database: Database, kind: str) -> None:
    """One code after another hits the same rows; once the platform relents each is counted once."""
    async with ad_world(database, kind) as world:
        stage = world.stage
        for number in (1, 2, 3):
            await world.owe(number, NOW - DAY)
        for code in stage.passing_codes:
            stage.relent()
            stage.refuse(world.rows[2], code)
            await world.drain()
            stage.clock.go_on(2 * HOUR)
        stage.relent()

        await world.drain_over(4 * DAY)

        assert [stage.counted(world.rows[number]) for number in (1, 2, 3)] == [1, 1, 1]
        assert {one.state for one in (await world.found()).values()} <= {"accepted", "confirmed"}


@pytest.mark.parametrize("kind", [name for name in PLATFORMS if AdAbility.NAMES_ROWS in AD_STAGES[name].abilities])
async def test_codes_that_are_for_good_are_not_tried_twice(database: Database, kind: str) -> None:
    """A row that is refused for good ends at once with its code, and its neighbours are delivered."""
    async with ad_world(database, kind) as world:
        stage = world.stage
        bad = dict(enumerate(stage.final_codes, 1))
        for number in range(1, len(bad) + 6):
            await world.owe(number, NOW - DAY)
        for number, code in bad.items():
            stage.refuse(world.rows[number], code)
        await world.drain()
        for _ in range(10):
            stage.clock.go_on(HOUR)
            await world.drain()
        asked = stage.requests()

        await world.drain_over(2 * DAY)

        found = await world.found()
        assert {(found[number].state, found[number].reason) for number in bad} == {("rejected", "refused")}
        assert all(found[number].counted == 1 for number in bad)
        assert all(stage.counted(world.rows[number]) == (number not in bad) for number in world.rows)
        assert stage.requests() == asked


@pytest.mark.parametrize("kind", [name for name in PLATFORMS if AdAbility.DEDUPS in AD_STAGES[name].abilities])
async def test_an_answer_that_is_lost_counts_nobody_twice(database: Database, kind: str) -> None:
    """The platform has it; the repeat inside its window is the same to the byte and is dropped there."""
    async with ad_world(database, kind) as world:
        stage = world.stage
        for number in (1, 2):
            await world.owe(number, NOW - DAY)
        stage.plan.script(timeout(has_effect=True))
        await world.drain()
        stage.clock.go_on(HOUR)

        await world.drain_over(2 * DAY)

        assert [stage.counted(world.rows[number]) for number in (1, 2)] == [1, 1]
        assert {one.state for one in (await world.found()).values()} <= {"accepted", "confirmed"}


async def test_linkedin_is_told_once_more_and_not_a_third_time(database: Database) -> None:
    """It documents no window in which a copy is dropped: a person decides after the second lost answer."""
    async with ad_world(database, "linkedin") as world:
        stage = world.stage
        await world.owe(1, NOW - DAY)
        await world.owe(2, NOW - DAY)
        stage.plan.script(timeout(has_effect=True), timeout(has_effect=True), timeout(has_effect=True))

        await world.drain_over(5 * DAY)

        assert stage.requests() == 2
        assert {(one.state, one.reason) for one in (await world.found()).values()} == {("uncertain", "unknown_effect")}


async def test_linkedin_takes_the_repeat_of_one_lost_answer(database: Database) -> None:
    """Mostly the answer is lost before the work: giving up at once would lose a conversion for every timeout."""
    async with ad_world(database, "linkedin") as world:
        stage = world.stage
        await world.owe(1, NOW - DAY)
        stage.plan.script(timeout())

        await world.drain_over(2 * DAY)

        assert stage.counted(world.rows[1]) == 1
        assert (await world.found())[1].state == "accepted"


@pytest.mark.parametrize("kind", PLATFORMS)
async def test_a_code_that_no_table_knows_is_kept_and_counted(database: Database, kind: str) -> None:
    """It is retried with growing pauses, and a person hears of it by its code."""
    async with ad_world(database, kind) as world:
        stage = world.stage
        await world.owe(1, NOW - DAY)
        stage.plan.always(stage.faults.unknown)
        requests = []
        for _ in range(4):
            await world.drain_over(DAY, step=HOUR)
            requests.append(len(stage.plan.met))
        async with database.read() as connection:
            codes = (await unknown_codes(connection))[1]

        assert (await world.found())[1].state == "pending"
        assert requests[0] > requests[3] - requests[2]
        assert len(codes) == 1
        assert codes[0].times == len(stage.plan.met)

        stage.plan.clear()
        await world.drain_over(5 * DAY)
        assert stage.counted(world.rows[1]) == 1


async def test_meta_s_two_forms_never_share_a_request(database: Database) -> None:
    """An offline event that is sixty days old would sink a request of CRM events, whose window is seven."""
    async with ad_world(database, "meta") as world:
        apart = world.connector.limits.apart
        for number in range(1, 9):
            is_offline = number % 2 == 0
            person = without(world.stage.person(number), apart if is_offline else frozenset())
            await world.owe(number, NOW - (30 if is_offline else 2) * DAY, person)

        await world.drain()

        forms = [{event["action_source"] for event in body["data"]} for _, body in world.stage.bodies()]  # type: ignore[attr-defined]
        assert sorted(map(sorted, forms)) == [["physical_store"], ["system_generated"]]
        assert {one.state for one in (await world.found()).values()} == {"accepted"}


async def test_the_size_of_requests_is_learnt_and_kept(database: Database) -> None:
    """Halved after a refusal that names nobody, doubled after five clean requests; a new process goes on with what was learnt."""
    async with ad_world(database, "linkedin") as world:
        stage = world.stage
        for number in range(1, 17):
            await world.owe(number, NOW - DAY)
        stage.plan.script(stage.faults.batch_refused)

        await world.drain()
        after_refusal = (await world.open_destination(1)).adaptive_rows
        learnt = []
        for start in range(17, 17 + 6 * 8, 8):
            for number in range(start, start + 8):
                await world.owe(number, NOW - DAY)
            await world.drain()
            learnt.append((await world.open_destination(1)).adaptive_rows)

        assert after_refusal == 8
        assert learnt == [8, 8, 8, 8, 16, 16]
        assert all(stage.counted(one) == 1 for one in world.rows.values())
