"""The demo's ledger against the oracle: the same conversions, values, ids and fates of deliveries, none missing, none twice."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.demo.command import SEED
from app.demo.oddities import oddities
from app.demo.play import DAYS_OF_VERDICTS, open_play
from app.demo.stage import Stage, set_stage
from app.demo.world import World, build_world
from app.reports.books import BooksQuery, books
from app.reports.books_model import Imbalance
from tests.e2e.ledger_rig import (
    Books,
    delivery_differences,
    differences,
    google_differences,
    meta_differences,
    read_books,
    verdicts_of,
)
from tests.e2e.oracle import Conversion, expected_ledger
from tests.e2e.oracle_platforms import GOOGLE, META

ENDS_AT = datetime(2026, 11, 24, tzinfo=UTC)
PLATFORMS = (GOOGLE, META)
# Late corrections have their verdicts four days after the world's end; `Play.run` adds its own days.
LAST_TICK = ENDS_AT + timedelta(days=4)
PLAYED_TO = LAST_TICK - timedelta(days=DAYS_OF_VERDICTS)
DAYS = 34
MOST_DEALS = 60
FAULTS_SEED = 24
SHARE_OF_FAULTS = 0.05
# What a fault may change in how a delivery ends: the answer was lost, it was sent again, and Google said that it has it.
BY_A_FAULT = frozenset({(("confirmed", "already_there"), ("confirmed", "confirmed"))})


@dataclass(frozen=True, slots=True)
class Played:
    """A played world with the books that came of it and those that should have."""

    stage: Stage
    books: Books
    imbalances: tuple[Imbalance, ...]
    expected: Mapping[str, Conversion]


def _world() -> World:
    """A world as small as it can be with every oddity."""
    world = build_world(seed=SEED, ends_at=ENDS_AT, days=DAYS, most_deals=MOST_DEALS)
    assert all(oddities(world).values())
    return world


async def _play(stage: Stage, folder: Path, database_url: str) -> Played:
    async with AsyncExitStack() as stack:
        play = await open_play(stage, database_url, folder, stack, destinations=[one.name for one in PLATFORMS])
        await play.run(PLAYED_TO)
        found = await read_books(play.services.database)
        balance = await books(play.services.database, BooksQuery())
    account, verdicts = str(stage.portal.portal_id), verdicts_of(stage.google)
    expected = expected_ledger(stage.world, stage.ids, account, PLATFORMS, LAST_TICK, verdicts)
    return Played(stage, found, balance.imbalances, expected)


@pytest.mark.timeout(300)
async def test_the_ledger_is_what_the_oracle_says(tmp_path: Path, database_url: str) -> None:
    """A conversion lost and a conversion counted twice are what users fear: the books must be equal, not similar."""
    stage = set_stage(_world(), seed=SEED, share_of_faults=0)

    played = await _play(stage, tmp_path, database_url)

    assert differences(played.books, played.expected) == []
    assert delivery_differences(played.books, played.expected, PLATFORMS) == []
    assert google_differences(stage.google, played.expected) == []
    assert meta_differences(stage.meta, played.expected) == []
    assert played.imbalances == ()


@pytest.mark.timeout(300)
async def test_faults_on_the_way_lose_nothing_and_count_nothing_twice(tmp_path: Path, database_url: str) -> None:
    """Timeouts, lost answers, throttling and garbage are the daily weather: the platforms must count what they count without."""
    stage = set_stage(_world(), seed=FAULTS_SEED, share_of_faults=SHARE_OF_FAULTS)

    played = await _play(stage, tmp_path, database_url)

    assert min(len(plan.met) for plan in stage.plans.values()) >= 5, "too calm a way to prove anything"
    assert differences(played.books, played.expected) == []
    others = delivery_differences(played.books, played.expected, PLATFORMS)
    assert [one for one in others if (one.found, one.expected) not in BY_A_FAULT] == []
    assert google_differences(stage.google, played.expected) == []
    assert meta_differences(stage.meta, played.expected) == []
    assert played.imbalances == ()
