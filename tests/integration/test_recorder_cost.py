"""What a page costs: round trips to the database, whatever the page holds."""

from collections.abc import Sequence
from datetime import timedelta

from app.db.session import Database
from app.ingest.cursors import CursorMove, Sweep
from connectors.contract.records import ObjectKind, Record
from tests.integration.recorder_rig import LEASE, World, contact, day, deal, world_of

MOST_A_PAGE = 17
MOST_WITH_MERGES = 18


async def _cost(world: World, page: Sequence[Record], kind: ObjectKind) -> list[str]:
    move = CursorMove(kind, day(0), day(40), "x", settled=False, sweep=Sweep.FAST, reach="")
    await world.hold()
    with world.counting() as told:
        await world.recorder.record(world.source, page, world.now, LEASE, move=move)
    return [statement for statement in told if not statement.startswith(("BEGIN", "COMMIT", "select pg_catalog"))]


def _people(numbers: range, stage: str, modified: float = 30) -> list[Record]:
    return [contact(str(1000 + n), (n / 100, stage), email=f"{n}@x.example", modified=modified + n / 1e5) for n in numbers]


def _deals(numbers: range, stage: str, amount: str, modified: float = 30) -> list[Record]:
    return [deal(str(5000 + n), (n / 100, stage), people=(str(1000 + n),), amount=amount, modified=modified) for n in numbers]


async def test_a_page_of_a_thousand_new_and_changed_records_takes_seventeen_round_trips(database: Database) -> None:
    """A database across a network makes a round trip cost more than its rows: 35 of them would halve the throughput."""
    world = await world_of(database)
    await world.record(*_people(range(300), "lead"), *_deals(range(300), "qualified", "5"))
    await world.settle(milestone="opportunity")

    page = [
        *_people(range(250), "mql", 31),
        *_people(range(300, 550), "mql"),
        *_deals(range(250), "won", "7", 31),
        *_deals(range(300, 550), "won", "7"),
    ]
    told = await _cost(world, page, ObjectKind.DEAL)

    assert len(page) == 1000
    assert len(await world.conversions("closed_revenue")) == 500
    assert len(told) <= MOST_A_PAGE, "\n".join(told)


async def test_a_page_of_merges_takes_a_few_more_and_not_some_for_each(database: Database) -> None:
    """A clean-up in the CRM merges hundreds of contacts in an hour."""
    world = await world_of(database)
    await world.record(*_people(range(400), "mql"), *_deals(range(400), "won", "5"))
    world.now += timedelta(days=1)

    page = [contact(str(1000 + n), (n / 100, "mql"), merged=(str(1200 + n),), modified=32) for n in range(200)]
    told = await _cost(world, page, ObjectKind.CONTACT)

    assert (await world.count())[0] == 200
    assert len([row for row in await world.conversions("closed_revenue") if row["live"]]) == 400
    assert len([row for row in await world.conversions("qualified_lead") if row["live"]]) == 200
    assert len(told) <= MOST_WITH_MERGES, "\n".join(told)
