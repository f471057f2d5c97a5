"""Merges, whichever way and in whatever order the CRM tells of them, on both databases."""

import pytest

from app.db.session import Database
from connectors.contract.records import RecordState
from tests.integration.recorder_rig import contact, deal, world_of

RETRACTS = {"qualified_lead": {"on_leave": "retract"}}


@pytest.mark.parametrize("order", ["together", "survivor first", "loser first", "merged later"])
async def test_a_merge_leaves_one_person_and_the_earlier_conversion(database: Database, order: str) -> None:
    """Whichever way the CRM tells of a merge, one lead is left and one of its two conversions lives."""
    world = await world_of(database)
    loser, survivor = contact("102", (3, "mql"), email="a@x.example"), contact("101", (5, "mql"), email="b@x.example")
    merged = contact("101", (5, "mql"), modified=31, merged=("102",), email="b@x.example")
    pages = {
        "together": [[loser, survivor], [merged]],
        "survivor first": [[survivor], [loser], [merged]],
        "loser first": [[loser], [survivor], [merged]],
        "merged later": [[loser, survivor], [contact("102", into="101", state=RecordState.MERGED, modified=31)]],
    }
    for page in pages[order]:
        await world.record(*page)

    assert await world.facts("qualified_lead") == [("101", False, "duplicate_after_merge"), ("102", True, None)]
    assert await world.owed("qualified_lead", "101") == [("upload", "skipped", "withdrawn")]
    assert await world.owed("qualified_lead", "102") == [("upload", "pending", "new")]
    assert await world.count() == (1, 2)


async def test_a_merged_record_that_is_read_late_is_no_new_person(database: Database) -> None:
    """An index shows the loser for a while after the merge: its late reading must not count it again."""
    world = await world_of(database)
    await world.record(contact("101", (5, "mql"), merged=("102",), email="b@x.example"))

    await world.record(contact("102", (3, "mql"), modified=20, email="a@x.example"))

    assert await world.facts("qualified_lead") == [("101", True, None)]
    assert await world.count() == (1, 2)


async def test_deals_follow_the_survivor_of_a_merged_contact(database: Database) -> None:
    """A sale of a merged contact stays one sale, and is told of the survivor."""
    world = await world_of(database)
    await world.record(contact("102", email="a@x.example"), deal("202", (3, "won"), people=("102",), amount="5"))

    await world.record(contact("101", merged=("102",), modified=31, email="a@x.example"))
    await world.record(deal("202", (3, "won"), (9, "lost"), people=None, modified=32, amount="5"))

    assert await world.facts("closed_revenue") == [("202", False, "lost")]
    assert len({row["lead_id"] for row in await world.conversions("closed_revenue")}) == 1


@pytest.mark.parametrize("is_late", [True, False])
async def test_a_merged_deal_goes_on_as_its_survivor(database: Database, *, is_late: bool) -> None:
    """Both deals were won: one sale is left, and when the survivor is lost it is taken back."""
    world = await world_of(database)
    await world.record(contact("101"), deal("303", (2, "won"), amount="5"))
    if is_late:
        await world.record(deal("202", (4, "won"), amount="5"))
    await world.record(deal("202", (4, "won"), merged=("303",), modified=31, amount="5"))

    merged = await world.facts("closed_revenue")
    await world.record(deal("202", (4, "won"), (9, "lost"), merged=("303",), modified=32, amount="5"))

    assert [one for one in merged if one[1]] == [("303", True, None)]
    assert ("303", False, "lost") in await world.facts("closed_revenue")
    assert not [one for one in await world.facts("closed_revenue") if one[1]]
