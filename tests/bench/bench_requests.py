"""Prints what reading costs of each vendor's daily budget; nothing is asserted here (tests/contract/test_crm_budgets.py does)."""

import sys
from datetime import UTC, datetime

from tests.contract.crm_stage import Clock
from tests.contract.reading import Reading
from tests.contract.spending import DEALS, MOVED, Spending, changed_deals, deals_with_people, nothing
from tests.contract.stages import STAGES

UNITS = {"pipedrive": "tokens"}


async def test_requests_for_a_thousand_deals() -> None:
    """Three polls of each CRM: new deals with unknown people, changed deals, nothing."""
    lines = [f"{'':11} {f'{DEALS:,} new deals':>26} {f'{DEALS:,} changed, {MOVED} moved':>26} {'nothing':>26}"]
    for kind, made in sorted(STAGES.items()):
        reading = Reading(made(Clock(datetime(2026, 11, 20, 8, tzinfo=UTC))))
        await reading.select()
        new, deals = await deals_with_people(reading)
        idle = await nothing(reading)
        changed = await changed_deals(reading, deals)
        lines.append(f"{kind:11} " + " ".join(f"{_told(kind, one):>26}" for one in (new, changed, idle)))
    sys.stdout.write("\n" + "\n".join(lines) + "\n")


def _told(kind: str, spent: Spending) -> str:
    cost = f" = {spent.cost:,} {UNITS[kind]}" if kind in UNITS else ""
    return f"{spent.requests:,} requests{cost}"
