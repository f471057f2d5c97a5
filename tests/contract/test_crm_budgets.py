"""What reading may cost: the customer's budget is shared with all his other tools."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.crm_stage import CrmStage
from tests.contract.reading import Reading
from tests.contract.spending import DEALS, MOVED, changed_deals, deals_with_people, nothing
from tests.e2e.history_rig import Rig

# By vendor: the most that a thousand changed deals may cost, people included (requests; Pipedrive: tokens).
MOST = {
    "hubspot": 5 + 20 + 1 + 10,
    "salesforce": 1 + 1 + DEALS // 2000,
    "pipedrive": DEALS // 500 * 10 + MOVED * 20,
}


async def test_a_thousand_changed_deals_cost_what_was_promised(stage: CrmStage, reading: Reading) -> None:
    """Searches, batches and histories by the vendor's arithmetic, not one request a record."""
    _, deals = await deals_with_people(reading)
    idle = await nothing(reading)

    changed = await changed_deals(reading, deals)

    assert changed.cost - idle.cost <= MOST[stage.kind]


async def test_an_idle_poll_asks_at_most_twice_for_a_kind(reading: Reading) -> None:
    """However often nothing happens."""
    spent = await nothing(reading)

    assert spent.requests <= 2 * len(reading.selection.objects)


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_a_day_of_idle_polling_stays_under_a_quarter_of_the_smallest_budget(
    stage: CrmStage, reading: Reading, database_url: str, tmp_path: Path
) -> None:
    """Sweeps, listings of the deleted and all else that a quiet day asks for."""
    rig = Rig(database_url, tmp_path, stage)
    await rig.open()
    await rig.tick()
    before = stage.spent()
    for _ in range(24 * 30):
        stage.clock.go_on(timedelta(minutes=2))
        await rig.tick()
    await rig.close()
    budget = reading.crm.limits.smallest_daily_budget

    assert budget is not None
    assert stage.spent() - before < budget / 4


async def test_strangers_on_new_deals_are_read_in_batches(stage: CrmStage, reading: Reading) -> None:
    """A thousand people are read a hundred or more at a time; only Pipedrive's histories cost a request a deal."""
    spent, _ = await deals_with_people(reading)

    assert spent.requests <= 60
