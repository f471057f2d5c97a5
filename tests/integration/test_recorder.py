"""What recording makes of pages, on both databases: once, whatever the order, and with what it owes."""

from dataclasses import replace

import pytest

from app.db.session import Database
from app.mapping.rates import Rates
from connectors.contract.conversions import MICROS
from connectors.contract.records import Entry, RecordState
from tests.integration.recorder_rig import LEASE, contact, day, deal, source_of, world_of

RETRACTS = {"qualified_lead": {"on_leave": "retract"}}


async def test_two_new_leads_of_one_e_mail_in_one_page_count_once(database: Database) -> None:
    """An import of duplicates arrives as one page: the earlier entry counts, the other says why it does not."""
    world = await world_of(database)

    await world.record(
        contact("103", (5, "mql"), email="a@x.example"), contact("102", (3, "mql"), email=" A@x.example"), contact("101")
    )

    states = {row["scope_key"]: row["duplicate_of"] for row in await world.conversions("qualified_lead")}
    first = next(row["uid"] for row in await world.conversions("qualified_lead") if row["scope_key"] == "102")
    assert states == {"102": None, "103": first}
    assert await world.owed("qualified_lead", "102") == [("upload", "pending", "new")]
    assert await world.owed("qualified_lead", "103") == [("upload", "skipped", "duplicate")]


async def test_a_lead_of_a_known_e_mail_is_a_duplicate_of_what_was_recorded(database: Database) -> None:
    """What was sent first stays the one that counts, even if the second was earlier in the CRM."""
    world = await world_of(database)
    await world.record(contact("102", (5, "mql"), email="a@x.example"))

    await world.record(contact("103", (3, "mql"), email="a@x.example"))

    assert [bool(row["duplicate_of"]) for row in await world.conversions("qualified_lead")] == [False, True]


@pytest.mark.parametrize(("is_sent", "owed"), [(False, ("pending", "new")), (True, ("skipped", "duplicate"))])
async def test_a_duplicate_takes_the_place_of_one_that_ended_unsent(
    database: Database, *, is_sent: bool, owed: tuple[str, str]
) -> None:
    """Nothing was told of this person, so the other record's entry is the conversion; once told, never a second."""
    world = await world_of(database, RETRACTS)
    await world.record(contact("102", (3, "mql"), email="a@x.example"), contact("103", (5, "mql"), email="a@x.example"))
    if is_sent:
        await world.settle(milestone="qualified_lead")

    await world.record(contact("102", (3, "mql"), (9, "subscriber"), modified=31, email="a@x.example"))

    assert (await world.owed("qualified_lead", "103"))[0][1:] == owed


async def test_an_implied_conversion_that_is_only_reported_hides_no_real_one(database: Database) -> None:
    """Nothing is ever sent of it: a duplicate of it would be a conversion lost."""
    world = await world_of(database)
    await world.record(contact("101", email="a@x.example"), deal("202", (2, "won")))

    await world.record(contact("102", (5, "mql"), email="a@x.example"))

    assert await world.owed("qualified_lead") == [("upload", "pending", "new")]


async def test_a_condition_is_judged_when_its_entry_is_recorded_even_if_it_was_left_since(database: Database) -> None:
    """Two moves between two polls must not lose the first."""
    where = {"field": "contact.score", "op": "gte", "value": 40}
    world = await world_of(database, {"qualified_lead": {"where": where}})

    await world.record(contact("101", (3, "mql"), (4, "subscriber"), score="50"))
    await world.record(contact("102", (3, "mql"), (4, "subscriber"), score="10"))
    await world.record(contact("102", (3, "mql"), (4, "subscriber"), score="50", modified=31))

    assert [row["scope_key"] for row in await world.conversions("qualified_lead")] == ["101"]


async def test_a_condition_that_comes_true_while_the_stage_is_held_fires_with_the_entry(database: Database) -> None:
    """A score is often computed after the stage was set."""
    where = {"field": "contact.score", "op": "gte", "value": 40}
    world = await world_of(database, {"qualified_lead": {"where": where}})
    await world.record(contact("101", (3, "mql"), score="10"))

    await world.record(contact("101", (3, "mql"), score="50", modified=31))

    assert [row["occurred_at"] for row in await world.conversions("qualified_lead")] == [int(day(3).timestamp() * 1000)]


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


async def test_a_company_counts_once_and_keeps_its_first_record(database: Database) -> None:
    """A colleague's entry sees the company's conversion: it makes no second and rewrites nothing."""
    world = await world_of(database, {"qualified_lead": {"once_per": "company"}})
    await world.record(contact("101", (3, "mql"), company="7", email="a@x.example"))
    before = await world.conversions("qualified_lead")

    await world.record(contact("102", (2, "mql"), company="7", email="b@x.example"))
    await world.record(contact("102", (2, "mql"), (6, "subscriber"), modified=31, company="7", email="b@x.example"))

    assert await world.conversions("qualified_lead") == before
    await world.record(contact("105", (5, "mql"), company="8"), contact("104", (4, "mql"), company="8"))
    assert [row["occurred_at"] for row in await world.conversions("qualified_lead") if row["scope_key"] == "8"] == [
        int(day(4).timestamp() * 1000)
    ]


async def test_a_deal_keeps_its_conversion_when_its_person_changes_or_goes(database: Database) -> None:
    """A sale is the deal's; who it is told of follows the deal."""
    world = await world_of(database)
    await world.record(contact("101"), contact("102"), deal("202", (3, "won"), amount="5"))
    first = (await world.conversions("closed_revenue"))[0]

    await world.record(deal("202", (3, "won"), people=("102",), modified=31, amount="5"))
    moved = (await world.conversions("closed_revenue"))[0]
    await world.record(deal("202", (3, "won"), people=(), modified=32, amount="5"))

    assert moved["uid"] == first["uid"]
    assert moved["lead_id"] != first["lead_id"]
    assert [(row["uid"], row["live"]) for row in await world.conversions("closed_revenue")] == [(first["uid"], True)]


async def test_a_deal_deleted_and_restored_before_it_was_sent_is_owed_again(database: Database) -> None:
    """As if never deleted: the upload that was withdrawn untried is due again."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.record(deal("202", state=RecordState.DELETED, people=None))
    gone = await world.owed("closed_revenue")

    await world.record(deal("202", (3, "won"), amount="5"))

    assert gone == [("upload", "skipped", "withdrawn")]
    assert await world.facts("closed_revenue") == [("202", True, None)]
    assert await world.owed("closed_revenue") == [("upload", "pending", "new")]


async def test_a_retract_that_was_not_sent_yet_is_given_up_when_the_deal_comes_back(database: Database) -> None:
    """What the platform has is right again: nothing must be taken back."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.settle()
    await world.record(deal("202", state=RecordState.DELETED, people=None))
    standing = await world.owed("closed_revenue")

    await world.record(deal("202", (3, "won"), amount="5"))

    assert standing == [("upload", "accepted", "delivered"), ("retract", "pending", "new")]
    assert await world.owed("closed_revenue") == [("upload", "accepted", "delivered"), ("retract", "skipped", "superseded")]


async def test_after_a_sent_retract_only_a_later_entry_revives_as_the_next_occurrence(database: Database) -> None:
    """The platform has deleted it under this id: a second upload under it would be dropped."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.settle()
    await world.record(deal("202", state=RecordState.DELETED, people=None))
    await world.settle("retract")

    await world.record(deal("202", (3, "won"), amount="5", modified=31))
    restored = await world.facts("closed_revenue")
    await world.record(deal("202", (3, "won"), (32, "lost"), (33, "won"), amount="5", modified=34))

    assert restored == [("202", False, "deleted")]
    assert [(row["occurrence"], row["live"]) for row in await world.conversions("closed_revenue")] == [(0, False), (1, True)]


async def test_a_restatement_follows_what_was_sent(database: Database) -> None:
    """Unsent values need none; one untried correction stands at most; a value that comes back needs none after all."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.record(deal("202", (3, "won"), amount="6", modified=31))
    assert await world.owed("closed_revenue") == [("upload", "pending", "new")]
    await world.settle()

    await world.record(deal("202", (3, "won"), amount="7", modified=32))
    await world.record(deal("202", (3, "won"), amount="8", modified=33))
    assert (await world.owed("closed_revenue"))[1:] == [("restate", "pending", "new")]
    await world.record(deal("202", (3, "won"), amount="6", modified=34))
    assert (await world.owed("closed_revenue"))[1:] == [("restate", "skipped", "superseded")]
    await world.record(deal("202", (3, "won"), amount="9", modified=35))
    await world.record(deal("202", (3, "won"), (36, "lost"), amount="9", modified=36))

    assert (await world.owed("closed_revenue"))[1:] == [
        ("restate", "skipped", "superseded"),
        ("restate", "skipped", "superseded"),
        ("retract", "pending", "new"),
    ]


async def test_a_correction_past_the_platform_s_window_is_told_as_unsupported(database: Database) -> None:
    """The reports must show that the platform keeps a wrong value."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.settle()
    world.now = day(200)

    await world.record(deal("202", (3, "won"), amount="7", modified=190))

    assert (await world.owed("closed_revenue"))[1:] == [("restate", "skipped", "unsupported")]


async def test_a_value_that_waited_for_a_rate_goes_when_rates_come(database: Database) -> None:
    """Rates are imported later than deals are won; nobody touches the deal again."""
    model = {"model": "field", "field": "deal.amount", "currency": "USD"}
    world = await world_of(database, {"closed_revenue": {"value": model}})
    await world.record(contact("101"), deal("202", (3, "won"), amount="5", currency="EUR"))
    waiting = (await world.conversions("closed_revenue"))[0]

    rates = Rates({(day(2).date(), "EUR", "USD"): 1_100_000}, 4)
    first = await world.recorder.revalue(world.source, world.now, LEASE, rates=rates)

    now = (await world.conversions("closed_revenue"))[0]
    assert (waiting["value_state"], now["value_state"], now["amount_micros"]) == ("rate", "ready", 5_500_000)
    assert first.revalued == 1
    assert (await world.recorder.revalue(world.source, world.now, LEASE, rates=rates)).revalued == 0


async def test_a_renamed_milestone_counts_nothing_again(database: Database) -> None:
    """Ops rename milestones; the platforms must not see every sale a second time."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    renamed = {"closed_revenue": {"name": "sale", "on_leave": "retract", "renamed_from": "closed_revenue"}}
    newer = source_of(renamed, destinations={"meta": {"sale": {"event_name": "Purchase"}}})

    world.source = replace(newer, facts=replace(newer.facts, mapping_version=2))
    await world.record(deal("202", (3, "won"), amount="6", modified=31))
    await world.record(deal("303", (3, "won"), amount="6", modified=31))

    assert [row["amount_micros"] for row in await world.conversions("closed_revenue")] == [6 * MICROS]
    assert [row["scope_key"] for row in await world.conversions("sale")] == ["303"]
    await world.record(deal("202", (3, "won"), (9, "lost"), amount="6", modified=32))
    assert await world.facts("closed_revenue") == [("202", False, "lost")]


async def test_text_that_no_store_takes_does_not_stop_its_page(database: Database) -> None:
    """One odd character in one contact must not hold up the other 999."""
    world = await world_of(database)
    odd = "a\0b\ud800c"
    entry = Entry("lifecyclestage", "mql", day(3), vendor_ref=odd)

    await world.record(
        replace(contact("101", email="ann\0@x.example", phone=odd), entries=(entry,)),
        contact("102", (3, "mql"), email="\ud83d@x.example", country=odd),
        deal("202\0", (3, "won"), amount=f"5{odd[1]}", dealname=odd),
    )

    assert [row["scope_key"] for row in await world.conversions("qualified_lead")] == ["101", "102"]
    assert [(row["scope_key"], row["amount_micros"]) for row in await world.conversions("closed_revenue")] == [
        ("202", 5 * MICROS)
    ]


async def test_an_older_reading_replaces_nothing_but_its_entries_count(database: Database) -> None:
    """Pages come out of order: old fields must not win, but history is history."""
    world = await world_of(database)
    await world.record(contact("101"), contact("102"), deal("202", (3, "won"), amount="9", modified=31))

    await world.record(deal("202", (1, "qualified"), people=("102",), amount="5", modified=20))

    assert [row["amount_micros"] for row in await world.conversions("closed_revenue")] == [9 * MICROS]
    assert [(row["implied"], row["occurred_at"]) for row in await world.conversions("opportunity")] == [
        (False, int(day(1).timestamp() * 1000))
    ]


async def test_two_readings_of_a_record_in_one_page_keep_the_entries_of_both(database: Database) -> None:
    """A webhook's fetch and a poll meet in one page."""
    world = await world_of(database)

    await world.record(contact("101", (4, "subscriber"), modified=31), contact("101", (3, "mql"), modified=30))

    assert [row["scope_key"] for row in await world.conversions("qualified_lead")] == ["101"]
