"""The stages of deals: every change at its own instant, from the history that Salesforce always writes."""

from datetime import timedelta
from typing import Any

from connectors.contract.records import EntryOrigin, ObjectKind, Record
from connectors.contract.selection import ObjectSelection, Selection
from tests.wire.salesforce.fake_org import NOW, SINCE, Org, deal_of, read

DAY = timedelta(days=1)
AFTER = timedelta(milliseconds=1)


def told(record: Record, name: str = "StageName") -> list[tuple[str, Any]]:
    return [(entry.value, entry.entered_at) for entry in record.entries if entry.property == name]


async def test_a_stage_moved_twice_between_polls_gives_both_moves_at_their_own_instants() -> None:
    """The row itself shows only the last stage, and CloseDate is a date that anybody edits."""
    org = Org()
    deal = org.put("Opportunity", 1, StageName="Won", Amount=1234.5, CloseDate="2027-01-01")
    org.stage(deal, NOW - 3 * DAY, "New", Amount=None)
    org.stage(deal, NOW - 2 * DAY, "New", Amount=900)
    org.stage(deal, NOW - DAY, "Proposal", Amount=900)
    org.stage(deal, NOW - DAY, "Won", Amount=1234.5)

    record = await deal_of(org)

    assert told(record) == [("New", NOW - 3 * DAY), ("Proposal", NOW - DAY), ("Won", NOW - DAY + AFTER)]
    assert (record.stage, record.pipeline, record.fields) == ("Won", None, {"Amount": "1234.5"})
    assert {entry.origin for entry in record.entries} == {EntryOrigin.HISTORY}
    assert not any(entry.is_approximate for entry in record.entries)


async def test_a_deal_won_by_mistake_and_taken_back_within_one_second_is_not_won() -> None:
    """By their instants alone the later stage would count, and money that nobody earned be reported."""
    org = Org()
    deal = org.put("Opportunity", 1, StageName="Open")
    for name in ("Open", "Won", "Open"):
        org.stage(deal, NOW - DAY, name)

    record = await deal_of(org)

    assert told(record) == [("Open", NOW - DAY), ("Won", NOW - DAY + AFTER), ("Open", NOW - DAY + 2 * AFTER)]


async def test_a_deal_created_as_won_and_one_won_again_have_every_entry() -> None:
    """A deal that was reopened is won a second time, at a second instant."""
    org = Org()
    made = org.put("Opportunity", 1, StageName="Won")
    org.stage(made, NOW - DAY, "Won")
    again = org.put("Opportunity", 2, StageName="Won")
    for place, name in enumerate(("Won", "Open", "Won")):
        org.stage(again, NOW - DAY + place * timedelta(hours=1), name)

    (page,) = await read(org)

    assert [[value for value, _ in told(record)] for record in page.records] == [["Won"], ["Won", "Open", "Won"]]


async def test_other_values_of_the_stage_history_have_entries_too() -> None:
    """Amount, probability and close date change without the stage, in the same rows."""
    org = Org()
    deal = org.put("Opportunity", 1, StageName="New", Amount=5000000000000000.0, Probability=50.0, CloseDate="2026-12-01")
    org.stage(deal, NOW - DAY, "New", Amount=100.0, Probability=10.0, CloseDate="2026-12-01")
    org.stage(deal, NOW - timedelta(hours=2), "New", Amount=5e15, Probability=50.0, CloseDate="2026-12-01")
    names = frozenset({"Amount", "Probability", "CloseDate"})
    chosen = Selection({ObjectKind.DEAL: ObjectSelection(names, names)})

    record = await deal_of(org, selection=chosen)

    assert [value for value, _ in told(record, "Amount")] == ["100", "5000000000000000"]
    assert [value for value, _ in told(record, "Probability")] == ["10", "50"]
    assert [value for value, _ in told(record, "CloseDate")] == ["2026-12-01"]
    assert record.people is None


async def test_a_property_without_history_is_what_the_poll_saw() -> None:
    """Its instant is the row's modification, and approximate."""
    org = Org()
    org.put("Opportunity", 1, Type="Renewal")
    chosen = Selection({ObjectKind.DEAL: ObjectSelection(frozenset(), frozenset({"Type"}))})

    (entry,) = (await deal_of(org, selection=chosen)).entries

    assert (entry.value, entry.entered_at, entry.origin, entry.is_approximate) == ("Renewal", SINCE, EntryOrigin.OBSERVED, True)


async def test_a_row_that_moved_without_history_makes_no_stage() -> None:
    """A renamed picklist value moves every row's stamp: only history rows are events."""
    org = Org()
    deal = org.put("Opportunity", 1, StageName="Closed Won")
    org.stage(deal, NOW - DAY, "Won")

    record = await deal_of(org)

    assert told(record) == [("Won", NOW - DAY)]
