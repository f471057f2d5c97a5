"""Must be true: a backfill that is killed again and again, at any statement or commit, finds everything, once."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app.db.session import Database
from app.db.tables import conversions, cursors, deliveries, records
from tests.e2e.backfill_stage import DEALS_A_CONTACT

ROOT = Path(__file__).resolve().parents[2]
DEALS = 700
CONTACTS = DEALS // DEALS_A_CONTACT
KILLED = -9
# Before and after the first page, in the middle of pages, at commits: each life begins after the last committed page.
KILLS = (3, 14, 9)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The account, served by a process of its own."""
    words = [sys.executable, "-m", "tests.e2e.backfill_stage", str(DEALS)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        yield int(served.stdout.readline())
        served.kill()


def live(url: str, port: int, folder: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "tests.e2e.backfill_worker", url, str(port), str(folder), str(kill_at)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.timeout(300)
async def test_a_killed_backfill_goes_on_and_finds_everything_once(database_url: str, port: int, tmp_path: Path) -> None:
    """SIGKILL leaves the lease held and the page half written; the next life takes over and nobody counts twice."""
    died = [live(database_url, port, tmp_path, kill_at).returncode for kill_at in KILLS]
    last = live(database_url, port, tmp_path, 0)

    assert died == [KILLED] * len(KILLS)
    assert last.returncode == 0, last.stderr[-3000:]
    told: dict[str, Any] = json.loads(last.stdout.splitlines()[-1])
    assert (told["seen"], told["records"]) == (DEALS + CONTACTS, DEALS + CONTACTS)
    assert told["steps"] > 10, "the last life had something to do"
    database = Database(database_url)
    try:
        async with database.read() as connection:
            by_milestone = select(conversions.c.milestone, func.count()).group_by(conversions.c.milestone)
            found = {row[0]: row[1] for row in await connection.execute(by_milestone)}
            by_state = select(deliveries.c.state, deliveries.c.reason, func.count()).group_by("state", "reason")
            owed = {(row[0], row[1]): row[2] for row in await connection.execute(by_state)}
            stored = await connection.scalar(select(func.count()).select_from(records))
            polled = await connection.scalar(select(func.count()).select_from(cursors))
    finally:
        await database.close()
    assert found == {"qualified_lead": CONTACTS, "opportunity": DEALS}
    assert owed == {("skipped", "before_start"): CONTACTS + DEALS}
    assert (stored, polled) == (DEALS + CONTACTS, 0)
