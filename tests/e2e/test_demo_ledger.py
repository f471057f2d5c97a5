"""The demo's ledger against the oracle: the same conversions, values, ids and fates of deliveries, none missing, none twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.demo.play import Stage, open_stage, run_stage, set_stage
from tests.e2e.ledger_rig import Books, differences, google_differences, read_books, verdicts_of
from tests.e2e.oracle import Conversion, expected_ledger
from tests.e2e.oracle_platforms import GOOGLE, Platform

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
    stage = set_stage(days=DAYS, most_deals=MOST_DEALS, ends_at=ENDS_AT)
    services = await open_stage(stage, database_url, tmp_path, stage.clock.now)
    await run_stage(stage, services, PLAYED_TO, lambda _now: None)
    books = await read_books(services.database)
    await services.close()
    verdicts = verdicts_of(stage.google)
    expected = expected_ledger(stage.world, stage.ids, str(stage.portal.portal_id), PLATFORMS, LAST_TICK, verdicts)
    return Played(stage, books, expected)


async def test_the_ledger_is_what_the_oracle_says(tmp_path: Path, database_url: str) -> None:
    """A conversion lost and a conversion counted twice are what users fear: the books must be equal, not similar."""
    played = await _play(tmp_path, database_url)

    assert differences(played.books, played.expected, PLATFORMS) == []
    assert google_differences(played.stage.google, played.expected) == []
