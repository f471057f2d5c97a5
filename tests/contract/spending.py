"""What reading costs of a vendor's budget: the same figures for a test that bounds them and a bench that prints them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from connectors.contract.source import ReadsAhead, Window
from tests.contract.crm_stage import Step
from tests.contract.reading import CONTACT, DEAL, HOUR, LEAD, MINUTE, SECOND, Reading, later

DEALS = 1_000
MOVED = 200


@dataclass(frozen=True, slots=True)
class Spending:
    """Requests, and their cost in the vendor's own unit."""

    requests: int
    cost: int


async def poll(reading: Reading, window: timedelta) -> Spending:
    """One poll of everything, as the service does it: first pages together where the vendor can."""
    stage = reading.stage
    before = stage.asked(), stage.spent()
    since = stage.clock() - window
    kinds = [kind for kind in (CONTACT, LEAD, DEAL) if kind in reading.selection.objects]
    if isinstance(reading.crm, ReadsAhead):
        await reading.crm.read_ahead([Window(kind, since) for kind in kinds], reading.selection)
    for kind in kinds:
        await reading.window(kind, since)
    return Spending(stage.asked() - before[0], stage.spent() - before[1])


async def deals_with_people(reading: Reading) -> tuple[Spending, Sequence[str]]:
    """A thousand new deals with a person each, none of whom is known."""
    stage = reading.stage
    people = [stage.add_person(later(stage, SECOND), f"person{number}@customer.example.com") for number in range(DEALS)]
    later(stage, 3 * HOUR)
    began_at = stage.clock()
    deals = [stage.add_deal(later(stage, SECOND), Step.NEW, amount=100, person=person) for person in people]
    later(stage)
    return await poll(reading, stage.clock() - began_at), deals


async def changed_deals(reading: Reading, deals: Sequence[str]) -> Spending:
    """A thousand changed deals, two hundred of which came to another stage."""
    stage = reading.stage
    later(stage, 3 * HOUR)
    began_at = stage.clock()
    for number, deal in enumerate(deals):
        if number < MOVED:
            stage.move(deal, Step.OPPORTUNITY, later(stage, SECOND))
        else:
            stage.set_amount(deal, 100 + number, later(stage, SECOND))
    later(stage, 5 * MINUTE)
    await poll(reading, MINUTE)  # with what is due once an hour: metadata, archives
    return await poll(reading, stage.clock() - began_at)


async def nothing(reading: Reading) -> Spending:
    """An idle poll, as there are twelve of in an hour."""
    later(reading.stage, 3 * HOUR)
    await poll(reading, 10 * MINUTE)  # with what is due once an hour: metadata, archives
    later(reading.stage, 5 * MINUTE)
    return await poll(reading, 10 * MINUTE)
