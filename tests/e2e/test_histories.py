"""Must be true: whatever happens in a CRM, and however it is read, the conversions are exactly the oracle's."""

import asyncio
import os
import random
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

WEIGHTS = {
    Act.ADD_PERSON: 3,
    Act.EDIT_PERSON: 1,
    Act.QUALIFY: 4,
    Act.DISQUALIFY: 1,
    Act.ADD_DEAL: 5,
    Act.MOVE: 9,
    Act.SET_AMOUNT: 2,
    Act.LINK: 2,
    Act.MERGE_PEOPLE: 1,
    Act.DELETE_DEAL: 1,
    Act.RESTORE_DEAL: 2,
    Act.DELETE_PERSON: 1,
    Act.ADD_LEAD: 2,
    Act.QUALIFY_LEAD: 2,
    Act.CONVERT_LEAD: 2,
}
LATE = (None, None, None, timedelta(minutes=3), timedelta(minutes=20))

Step = tuple[Act, int, int, timedelta | None] | tuple[str, object]


def _step(number: int) -> Step:
    """What a number stands for, so that long and busy histories come as easily as short ones."""
    luck = random.Random(number)
    draw = luck.random()
    if draw < 0.7:
        (act,) = luck.choices(list(WEIGHTS), list(WEIGHTS.values()))
        return act, luck.randrange(400), luck.randrange(1, 3000), luck.choice(LATE)
    if draw < 0.88:
        return "tick", luck.choice((None, luck.randrange(1, 60)))
    return "webhooks", [luck.randrange(5) for _ in range(luck.randrange(1, 6))]


BEGINNING: tuple[Step, ...] = (
    (Act.ADD_PERSON, 0, 60, None),
    (Act.ADD_PERSON, 0, 60, None),
    (Act.ADD_DEAL, 4, 60, None),
    (Act.ADD_DEAL, 3, 60, None),
)
HISTORIES = st.lists(st.integers(0, 2**32 - 1).map(_step), min_size=12, max_size=60)


@pytest.mark.parametrize("kind", sorted(STAGES))
@given(history=HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_history_read_in_any_way_makes_the_oracles_conversions(kind: str, sqlite_template: Path, history: list[Step]) -> None:
    """Polls and webhooks at any time, lost, late and doubled ones, and a process that may die at every step."""
    asyncio.run(_play(kind, sqlite_template, history))


async def _play(kind: str, template: Path, history: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(template, folder / "leadloop.db")
        rig = Rig(f"sqlite:///{folder / 'leadloop.db'}", folder, STAGES[kind](Clock(BEGINS_AT)))
        await rig.open()
        try:
            for step in (*BEGINNING, *history):
                await _one(rig, step)
            await rig.settle()

            assert await rig.facts() == Counter(rig.world.expected())
        finally:
            await rig.close()


async def _one(rig: Rig, step: Step) -> None:
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
