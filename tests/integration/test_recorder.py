"""What recording makes of pages, on both databases: once, whatever the order, and with what it owes."""

import asyncio
from dataclasses import replace
from random import Random

import pytest
from sqlalchemy import select, update

from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries
from app.mapping.aggregate import Aggregate, Deal, KnownRecord, Person
from app.mapping.document import MappingDocument
from app.mapping.engine import derive
from app.mapping.rates import Rates
from connectors.contract.conversions import MICROS
from connectors.contract.records import Entry, Record
from tests.integration.recorder_rig import contact, day, deal, source_of, world_of
from tests.unit.mapping.mapping_rig import FACTS, document

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


@pytest.mark.parametrize(
    ("is_sent", "first", "second"),
    [
        (False, ("upload", "skipped", "duplicate"), ("upload", "pending", "new")),
        (True, ("upload", "accepted", "delivered"), ("upload", "skipped", "duplicate")),
    ],
)
async def test_of_two_records_of_one_e_mail_the_earlier_counts_until_one_was_tried(
    database: Database, *, is_sent: bool, first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    """Pages come in any order, and the answer must not depend on it; but what a platform may have is never doubled."""
    world = await world_of(database)
    await world.record(contact("102", (5, "mql"), email="a@x.example"))
    if is_sent:
        await world.settle(milestone="qualified_lead")

    await world.record(contact("103", (3, "mql"), email="a@x.example"))

    assert [bool(row["duplicate_of"]) for row in await world.conversions("qualified_lead")] == [not is_sent, is_sent]
    assert (await world.owed("qualified_lead", "102"), await world.owed("qualified_lead", "103")) == ([first], [second])


async def test_a_duplicate_takes_no_place_while_what_counts_is_being_sent(database: Database) -> None:
    """The dispatcher claimed it a moment before the earlier record was read: sent as well, the person would count twice."""
    world = await world_of(database)
    await world.record(contact("102", (5, "mql"), email="a@x.example"))
    mine = select(conversions.c.id).where(conversions.c.milestone == "qualified_lead")

    async with database.write() as connection:
        claimed = update(deliveries).where(deliveries.c.conversion_id.in_(mine)).values(state="sending", upload_id=9)
        await connection.execute(claimed)
        recording = asyncio.create_task(world.record(contact("103", (3, "mql"), email="a@x.example")))
        await asyncio.sleep(0.3)
    await recording

    assert [bool(row["duplicate_of"]) for row in await world.conversions("qualified_lead")] == [False, True]
    assert await world.owed("qualified_lead", "103") == [("upload", "skipped", "duplicate")]


async def test_two_persons_who_turn_out_to_be_one_count_once(database: Database) -> None:
    """An e-mail is often corrected before the first upload; what then stands twice for one person must not go twice."""
    world = await world_of(database)
    await world.record(contact("102", (5, "mql"), email="b@x.example"), contact("103", (3, "mql"), email="a@x.example"))

    await world.record(contact("102", (5, "mql"), modified=31, email="a@x.example"))

    assert await world.owed("qualified_lead", "102") == [("upload", "skipped", "duplicate")]
    assert await world.owed("qualified_lead", "103") == [("upload", "pending", "new")]


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


async def test_an_excluded_person_who_is_found_real_later_stays_excluded(database: Database) -> None:
    """What the mapping excludes is judged again when an implied conversion becomes real."""
    condition = {"field": "contact.email", "op": "ends_with", "value": "@ours.example"}
    world = await world_of(database, exclude=[condition])
    await world.record(contact("101", email="a@ours.example"), deal("202", (3, "won")))

    await world.record(contact("101", (2, "mql"), email="a@ours.example", modified=31))

    assert await world.owed("qualified_lead") == [("upload", "skipped", "excluded")]


async def test_an_implied_conversion_owes_nothing_until_it_is_real(database: Database) -> None:
    """Reports know it; a platform is told what the CRM says, at its own instant."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won")))
    implied = await world.owed("qualified_lead")

    await world.record(contact("101", (5, "mql"), modified=31))

    assert implied == []
    assert await world.owed("qualified_lead") == [("upload", "pending", "new")]
    assert [row["occurred_at"] for row in await world.conversions("qualified_lead")] == [int(day(5).timestamp() * 1000)]


async def test_an_earlier_entry_moves_what_was_not_tried_and_never_what_was(database: Database) -> None:
    """The instant is part of what the platform got: after a try it is frozen, before it the truth counts."""
    world = await world_of(database, {"closed_revenue": {"once_per": "person"}})
    await world.record(contact("101"), deal("202", (5, "won"), amount="5"))

    await world.record(deal("303", (3, "won"), amount="5"))
    moved = await world.conversions("closed_revenue")
    await world.settle()
    await world.record(deal("404", (1, "won"), amount="5"))

    assert [row["occurred_at"] for row in moved] == [int(day(3).timestamp() * 1000)]
    assert await world.conversions("closed_revenue") == moved


async def test_a_page_recorded_twice_changes_nothing(database: Database) -> None:
    """Windows overlap: every record is read many times."""
    world = await world_of(database)
    page = [contact("101", (1, "mql"), email="a@x.example"), deal("202", (2, "qualified"), (3, "won"), amount="5")]
    first = await world.record(*page)

    second = await world.record(*page)

    assert (first.new_conversions, first.entries) == (4, 3)
    assert (second.new_conversions, second.entries, second.revalued, second.ended, second.deliveries) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("seed", range(4))
async def test_pages_in_any_order_end_at_the_same_conversions(database: Database, seed: int) -> None:
    """An index is late, windows overlap, webhooks come first: the ids and instants may not depend on it."""
    records = [
        contact("101", (2, "mql"), email="a@x.example"),
        contact("102", (4, "mql"), email="b@x.example"),
        deal("202", (3, "qualified"), (6, "won"), amount="5", people=("101",)),
        deal("303", (5, "won"), (7, "lost"), (9, "won"), amount="6", people=("102",)),
        deal("404", (1, "won"), (2, "proposal"), amount="7", people=("101",)),
    ]
    changes = {"opportunity": {"on_leave": "retract"}}
    straight, mixed = await world_of(database, changes), list(records)
    Random(seed).shuffle(mixed)
    for record in mixed:
        people = [one for one in records if record.people and one.ref in [link.ref for link in record.people]]
        await straight.record(*people, record)

    facts = {
        (row["uid"], row["occurred_at"], row["implied"], row["live"])
        for name in ("lead", "qualified_lead", "opportunity", "closed_revenue")
        for row in await straight.conversions(name)
    }

    assert facts == _derived(records, document(changes))


def _derived(records: list[Record], by: MappingDocument) -> set[tuple[object, ...]]:
    """What the engine says of each person at once."""
    found: set[tuple[object, ...]] = set()
    for ref in ("101", "102"):
        known = [
            KnownRecord(n, one.ref, one.state, one.modified_at, one.created_at, one.fields, one.entries)
            for n, one in enumerate(records)
        ]
        mine = [
            Deal(known[n])
            for n, one in enumerate(records)
            if one.people and [link.ref.external_id for link in one.people] == [ref]
        ]
        person = Person(1, day(0), tuple(one for one in known if one.ref.external_id == ref))
        for one in derive(Aggregate(person, tuple(mine)), by, FACTS, Rates()):
            found.add((one.uid, to_ms(one.occurred_at), one.is_implied, one.is_live))
    return found
