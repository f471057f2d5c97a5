"""The demo's ledger against the oracle: the same conversions, values, ids and fates of deliveries, none missing, none twice."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.demo.play import open_play
from app.demo.stage import Stage
from tests.e2e.ledger_rig import Books, differences, google_differences, read_books, verdicts_of
from tests.e2e.oracle import Conversion, expected_ledger
from tests.e2e.oracle_platforms import GOOGLE, Platform
from tests.stages import stage_of

ENDS_AT = datetime(2026, 11, 24, tzinfo=UTC)
DAYS = 45
MOST_DEALS = 120
PLATFORMS: tuple[Platform, ...] = (GOOGLE,)
# `run_stage` plays two days beyond the end that it is given; late verdicts of late corrections take another two.
PLAYED_TO = ENDS_AT + timedelta(days=2)
LAST_TICK = PLAYED_TO + timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Played:
    """A played world with the books that came of it and those that should have."""

    stage: Stage
    books: Books
    expected: Mapping[str, Conversion]


async def _play(tmp_path: Path, database_url: str) -> Played:
    stage = stage_of(days=DAYS, most_deals=MOST_DEALS, ends_at=ENDS_AT)
    async with AsyncExitStack() as stack:
        play = await open_play(stage, database_url, tmp_path, stack, destinations=[one.name for one in PLATFORMS])
        await play.run(PLAYED_TO)
        books = await read_books(play.services.database)
    verdicts = verdicts_of(stage.google)
    expected = expected_ledger(stage.world, stage.ids, str(stage.portal.portal_id), PLATFORMS, LAST_TICK, verdicts)
    return Played(stage, books, expected)


async def test_the_ledger_is_what_the_oracle_says(tmp_path: Path, database_url: str) -> None:
    """A conversion lost and a conversion counted twice are what users fear: the books must be equal, not similar."""
    played = await _play(tmp_path, database_url)

    assert differences(played.books, played.expected, PLATFORMS) == []
    assert google_differences(played.stage.google, played.expected) == []
