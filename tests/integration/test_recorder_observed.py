"""Entries that only a poll observed: counted once, and exactly where the CRM's history tells of them later."""

from dataclasses import replace

import pytest

from app.db.session import Database
from connectors.contract.records import Entry, EntryOrigin, Record
from tests.integration.joins_rig import crm_lead, joined_world
from tests.integration.recorder_rig import day


def _seen(value: str, at: float) -> Record:
    made = crm_lead("9", created=1)
    return replace(made, entries=(Entry("Status", value, day(at), origin=EntryOrigin.OBSERVED, is_approximate=True),))


async def test_what_a_poll_observes_is_an_entry_only_where_it_differs(database: Database) -> None:
    """Every change of an untracked record shows its status again, which is no new entry into it."""
    world = await joined_world(database, "every_entry")

    told = [(await world.record(_seen(value, at))).entries for value, at in (("Qualified", 2), ("Qualified", 3), ("Open", 4))]
    again = (await world.record(_seen("Qualified", 5))).entries

    assert (told, again) == ([1, 0, 1], 1)
    assert len(await world.conversions("qualified_lead")) == 2
    assert "approximate" in (await world.conversions("qualified_lead"))[0]["explain"]


@pytest.mark.parametrize("repeat", ["first_only", "every_entry"])
@pytest.mark.parametrize("is_sent", [True, False])
async def test_the_history_of_what_was_observed_counts_no_second_time(database: Database, repeat: str, *, is_sent: bool) -> None:
    """The poll saw the status before the history was readable: it is one entry, at the exact instant where nothing was sent."""
    world = await joined_world(database, repeat)
    await world.record(_seen("Qualified", 5))
    if is_sent:
        await world.settle(milestone="qualified_lead")

    for modified in (31, 32):
        await world.record(crm_lead("9", (4, "Qualified"), created=1, modified=modified))

    found = await world.conversions("qualified_lead")
    assert [row["live"] for row in found] == [True]
    assert found[0]["occurred_at"] == int(day(5 if is_sent else 4).timestamp() * 1000)
