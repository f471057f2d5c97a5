"""A trace finds its way among any number of leads: no statement of it looks at a whole table (`make bench-trace` measures)."""

from pathlib import Path

from sqlalchemy import text

from tests.api.rig import rig_on
from tests.statements import asked
from tests.trace_world import FIRST, crowd, storied

GROWING = (
    "records",
    "leads",
    "identities",
    "entries",
    "conversions",
    "valuations",
    "deliveries",
    "tries",
    "uploads",
    "deal_people",
)


async def test_no_statement_of_a_trace_looks_at_a_whole_table(tmp_path: Path) -> None:
    """What costs nothing beside a hundred leads would cost seconds beside a million."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        await crowd(rig, 2_000)
        (ref, *_) = await storied(rig)
        with asked(rig.services.database) as statements:
            for one in (ref, f"deal:{FIRST * 10}", str(FIRST), f"ll{FIRST}"):
                answer = await rig.client.get(f"/v1/leads/{one}/trace")
                assert len(answer.json()["conversions"]) == 7
        selects = [(statement, given) for statement, given in statements if statement.startswith(("SELECT", "WITH"))]
        async with rig.services.database.read() as connection:
            for statement, given in selects:
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)  # type: ignore[arg-type]  # as it was asked
                steps = [str(row[-1]) for row in plan]
                scanned = [step for step in steps for table in GROWING if step.startswith(f"SCAN {table}")]
                assert not scanned, (statement, steps)
            assert (await connection.execute(text("SELECT count(*) FROM leads"))).scalar_one() > 2_000
    assert len(selects) > 30
