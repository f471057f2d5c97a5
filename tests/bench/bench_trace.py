"""What a trace costs among many leads, on SQLite and PostgreSQL; the issue's bound is asserted, the figures are printed."""

import os
import statistics
import sys
import time
from pathlib import Path

from tests.api.rig import rig_on
from tests.statements import asked
from tests.trace_world import crowd, storied

LEADS = int(os.environ.get("LEADLOOP_BENCH_LEADS", "1000000"))
MOST_SECONDS = 0.05
MOST_STATEMENTS = 12
ROUNDS = 4


async def test_a_trace_among_a_million_leads(tmp_path: Path, database_url: str, database_kind: str) -> None:
    """Leads with 50 entries and 5 destinations, each asked for by its ref over the door, in turns so that no page is hot."""
    async with rig_on(tmp_path, database_url) as rig:
        began = time.perf_counter()
        await crowd(rig, LEADS)
        refs = await storied(rig)
        filled = time.perf_counter() - began
        took = []
        with asked(rig.services.database, writes=True) as statements:
            for ref in list(refs) * ROUNDS:
                began = time.perf_counter()
                answer = await rig.client.get(f"/v1/leads/{ref}/trace")
                took.append(time.perf_counter() - began)
                assert len(answer.json()["entries"]) == 50
                assert len(answer.json()["answers"]) == 5
        took.sort()
        each = len(statements) / len(took)
        told = ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in (
            ("median", statistics.median(took)), ("95 %", took[int(len(took) * 0.95)]), ("slowest", took[-1])
        ))  # fmt: skip
        sys.stdout.write(f"\n{database_kind:10} {LEADS:>9,} leads (filled in {filled:.0f} s): {told}; {each:.1f} statements\n")
        assert took[int(len(took) * 0.95)] <= MOST_SECONDS
        assert each <= MOST_STATEMENTS
