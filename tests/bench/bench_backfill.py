"""How much memory and time a backfill takes: `make bench-backfill` prints it, and holds the memory to its bound.

Each size has a process of its own, and its account is served by another, over loopback HTTP.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.backfill_stage import DEALS_A_CONTACT

ROOT = Path(__file__).resolve().parents[2]
SIZES = tuple(int(size) for size in os.environ.get("LEADLOOP_BENCH_DEALS", "30000 300000").split())
MOST_GROWTH_KB = 20 * 1024


def _backfill(folder: Path, deals: int) -> dict[str, Any]:
    """Backfill an account of so many deals; what the process said of itself at its end."""
    folder.mkdir()
    stage = [sys.executable, "-m", "tests.e2e.backfill_stage", str(deals)]
    with subprocess.Popen(stage, cwd=ROOT, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        try:
            port = served.stdout.readline().strip()
            url = f"sqlite:///{folder / 'leadloop.db'}"
            words = [sys.executable, "-m", "tests.e2e.backfill_worker", url, port, str(folder), "0"]
            began = time.perf_counter()
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - began
        finally:
            served.kill()
    assert done.returncode == 0, done.stderr[-3000:]
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": seconds}


@pytest.mark.timeout(7200)
def test_memory_does_not_grow_with_the_crm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Complete, and at most 20 MB over the peak at a tenth of it."""
    peaks = []
    for deals in SIZES:
        found = _backfill(tmp_path / str(deals), deals)
        whole = deals + -(-deals // DEALS_A_CONTACT)
        peaks.append(found["peak_kb"])
        with capsys.disabled():
            print(  # noqa: T201 a bench talks to a person
                f"\n{deals:>9,} deals: {found['records']:,} records, {found['conversions']:,} conversions in "
                f"{found['pages']:,} pages, {found['seconds']:,.0f} s ({found['records'] / found['seconds']:,.0f}/s), "
                f"peak {found['peak_kb'] / 1024:,.1f} MB",
                end="",
            )
        assert (found["seen"], found["records"], found["conversions"]) == (whole, whole, whole)
    assert max(peaks) - peaks[0] <= MOST_GROWTH_KB
