"""Must be true: whatever happens in a CRM, and however it is read, the conversions are exactly the oracle's."""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.crm_stage import Clock
from tests.contract.stages import STAGES
from tests.e2e.history_rig import Rig
from tests.e2e.history_world import HIDES, Act

BEGINS_AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
# `LEADLOOP_HISTORIES=500` plays longer.
EXAMPLES = int(os.environ.get("LEADLOOP_HISTORIES", "12"))

ACTS = st.tuples(
    st.sampled_from([*Act, Act.ADD_DEAL, Act.MOVE, Act.MOVE, Act.MOVE, Act.QUALIFY]),
    st.integers(0, 400),
    st.integers(1, 3000),
    st.sampled_from([None, None, None, timedelta(minutes=3), timedelta(minutes=20)]),
)
READINGS = st.one_of(
    st.tuples(st.just("tick"), st.none()),
    st.tuples(st.just("tick"), st.integers(1, 60)),
    st.tuples(st.just("webhooks"), st.lists(st.integers(0, 4), min_size=1, max_size=5)),
)
HISTORIES = st.lists(st.one_of(ACTS, ACTS, READINGS), min_size=5, max_size=40)


@pytest.mark.parametrize("kind", sorted(STAGES))
@given(history=HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_history_read_in_any_way_makes_the_oracles_conversions(
    kind: str, sqlite_template: Path, history: list[tuple[object, ...]]
) -> None:
    """Polls and webhooks at any time, lost, late and doubled ones, and a process that may die at every step."""
    asyncio.run(_play(kind, sqlite_template, history))


async def _play(kind: str, template: Path, history: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(template, folder / "leadloop.db")
        rig = Rig(f"sqlite:///{folder / 'leadloop.db'}", folder, STAGES[kind](Clock(BEGINS_AT)))
        await rig.open()
        try:
            for step in history:
                await _one(rig, step)
            await rig.settle()

            assert await rig.facts() == Counter(rig.world.expected())
        finally:
            await rig.close()


async def _one(rig: Rig, step: tuple[object, ...]) -> None:
    match step:
        case Act() as act, int() as choice, int() as seconds, late_by:
            if act in HIDES:
                await rig.calm()
            at = rig.stage.clock.go_on(timedelta(seconds=seconds))
            rig.world.do(act, choice, at, late_by if isinstance(late_by, timedelta) else None)
        case "tick", dies_in:
            rig.stage.clock.go_on(timedelta(seconds=30))
            await rig.tick(dies_in if isinstance(dies_in, int) else None)
        case "webhooks", list() as fates:
            await rig.deliver(fates)
        case _:
            raise AssertionError(step)
