"""Must be true: after thirty kills among faults, on each database, what is known and counted is exactly what happened."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kill_world import build_company, expected_of
from tests.e2e.stored import check_deliveries, check_facts, check_google, check_meta, read_database

KILLS = 30
ROOT = Path(__file__).resolve().parents[2]


def _seed() -> int:
    """A new one each time; a failing one is printed and replays."""
    return int(os.environ.get("LEADLOOP_KILL_SEED") or secrets.randbelow(10**6))


@pytest.mark.timeout(300)
async def test_after_thirty_kills_among_faults_every_fact_is_counted_once(tmp_path: Path, database_url: str) -> None:
    """A process may die anywhere, and vendors fail in every way they know: nothing may be lost, nothing doubled."""
    seed = _seed()
    sys.stdout.write(f"replay with LEADLOOP_KILL_SEED={seed}\n")

    result = _play(database_url, tmp_path, seed)

    company = build_company(seed)
    expected = expected_of(company, result["ids"])
    facts, sent = await read_database(database_url)
    assert (result["left"], result["kills"]) == (0, KILLS)
    check_facts(facts, expected)
    check_deliveries(sent, expected, company)
    check_google(result["google"], sent, expected)
    check_meta(result["meta"], sent)


def _play(database_url: str, folder: Path, seed: int) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.e2e.kill_master", database_url, str(folder), str(seed), str(KILLS)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout[-500:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
