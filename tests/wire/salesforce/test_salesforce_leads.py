"""Leads: their tracked status, their conversion, their merges; and records read by id."""

from datetime import timedelta
from typing import Any

import pytest

from connectors.contract.errors import AuthenticationFailed, RequestRefused
from connectors.contract.records import EntryOrigin, ObjectKind, Record, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Window
from connectors.crm.salesforce.replies import long_id
from tests.wire.salesforce.fake_org import LEADS, NOW, SELECTION, SINCE, Org, ids_in, org_id, read, refusal, stored

DAY = timedelta(days=1)
MADE = NOW - 9 * DAY


async def lead_of(org: Org, **more: Any) -> Record:
    pages = await read(org, LEADS, **more)
    (found,) = [record for page in pages for record in page.records if record.ref.kind is ObjectKind.LEAD]
    return found


def told(record: Record) -> list[tuple[str, Any, bool]]:
    return [(entry.value, entry.entered_at, entry.is_approximate) for entry in record.entries]


async def test_a_tracked_status_is_told_from_creation_on() -> None:
    """The first change says what was held since the lead was made."""
    org = Org()
    lead = org.put("Lead", 1, Status="Qualified")
    org.lead_change(lead, MADE, "created")
    org.lead_change(lead, MADE + DAY, "Status", "Open", "Working")
    org.lead_change(lead, MADE + 2 * DAY, "Owner", "a", "b")
    org.lead_change(lead, MADE + 3 * DAY, "Status", "Working", "Qualified")

    record = await lead_of(org)

    assert told(record) == [("Open", MADE, False), ("Working", MADE + DAY, False), ("Qualified", MADE + 3 * DAY, False)]
    assert (record.stage, record.people) == ("Qualified", None)


async def test_a_tracked_status_that_never_changed_is_held_since_creation() -> None:
    """Most leads are made in the status in which they stay."""
    org = Org()
    org.put("Lead", 1, Status="Open")

    assert told(await lead_of(org)) == [("Open", MADE, False)]


@pytest.mark.parametrize("has_history", [False, True])
async def test_an_untracked_status_is_dated_by_the_poll_and_flagged(*, has_history: bool) -> None:
    """Without history the row's modification is the nearest that is known."""
    org = Org(tracked=set())
    if not has_history:
        del org.fields["LeadHistory"]
    org.put("Lead", 1, Status="Qualified")

    (entry,) = (await lead_of(org)).entries

    assert (entry.value, entry.entered_at, entry.is_approximate) == ("Qualified", SINCE, True)
    assert entry.origin is EntryOrigin.OBSERVED


async def test_a_status_is_not_dated_back_to_the_creation_where_its_tracking_is_unproven() -> None:
    """An old lead that is qualified today would seem qualified before the mapping's start, and be lost."""
    org = Org(choices={"LeadHistory": ["Status", "created"]})
    org.on_request = lambda request: refusal(403, "INSUFFICIENT_ACCESS") if "tooling" in request.url.path else None
    org.put("Lead", 1, Status="Qualified")

    assert told(await lead_of(org)) == [("Qualified", SINCE, True)]


async def test_a_lead_made_changed_and_converted_in_one_second_went_through_all_of_it() -> None:
    """Automation does so: the order within the second is that of the history's rows."""
    org = Org()
    lead = org.put("Lead", 1, Status="Closed - Converted", IsConverted=True, ConvertedContactId=org_id("Contact", 1))
    org.lead_change(lead, MADE, "Status", "Open", "Working")
    org.lead_change(lead, MADE, "leadConverted")

    entries = told(await lead_of(org, held=stored(known=True)))

    assert [value for value, _, _ in entries] == ["Open", "Working", "Closed - Converted"]
    assert [at - MADE for _, at, _ in entries] == [timedelta(0), timedelta(milliseconds=1), timedelta(milliseconds=2)]
    assert not any(is_approximate for _, _, is_approximate in entries)


async def test_a_status_that_changed_after_tracking_was_switched_off_is_still_seen() -> None:
    """The rows of a history that ended are not the whole truth."""
    org = Org(tracked=set())
    lead = org.put("Lead", 1, Status="Qualified")
    org.lead_change(lead, MADE + DAY, "Status", "Open", "Working")

    assert told(await lead_of(org)) == [("Open", MADE, False), ("Working", MADE + DAY, False), ("Qualified", SINCE, True)]


@pytest.mark.parametrize("word", ["leadConverted", "created"])
async def test_a_conversion_dates_the_status_that_came_with_it(word: str) -> None:
    """ConvertedDate is a day without a time: the history's row of the conversion has the instant, else the poll."""
    org = Org()
    lead = org.put("Lead", 1, Status="Closed - Converted", IsConverted=True, ConvertedContactId=org_id("Contact", 1))
    org.lead_change(lead, MADE + DAY, "Status", "Open", "Working")
    org.lead_change(lead, MADE + 2 * DAY, word)

    entries = told(await lead_of(org, held=stored(known=True)))

    expected = (MADE + 2 * DAY, False) if word == "leadConverted" else (SINCE, True)
    assert entries[-1] == ("Closed - Converted", *expected)


@pytest.mark.parametrize("has_row", [False, True])
async def test_the_status_of_a_conversion_is_not_dated_back_to_the_creation(*, has_row: bool) -> None:
    """A lead without any change of status was not made as a converted one."""
    org = Org()
    lead = org.put("Lead", 1, Status="Closed - Converted", IsConverted=True, ConvertedContactId=org_id("Contact", 1))
    if has_row:
        org.lead_change(lead, MADE + DAY, "leadConverted")

    (entry,) = (await lead_of(org, held=stored(known=True))).entries

    assert (entry.entered_at, entry.is_approximate) == ((MADE + DAY, False) if has_row else (SINCE, True))


async def test_a_history_newer_than_the_row_adds_no_older_status() -> None:
    """The row was read first: what changed meanwhile comes with the next poll."""
    org = Org()
    lead = org.put("Lead", 1, Status="Working", IsConverted=True)
    org.lead_change(lead, SINCE + timedelta(minutes=1), "Status", "Working", "Qualified")

    assert [value for value, _, _ in told(await lead_of(org))] == ["Working", "Qualified"]


async def test_a_converted_lead_is_its_contact_which_comes_along() -> None:
    """Both are one lead: the click id is on the one, the deal on the other."""
    org = Org()
    contact = org.put("Contact", 1, MADE, Email="p@example.com")
    org.put("Lead", 1, IsConverted=True, ConvertedContactId=contact, Status="Qualified", GCLID__c="abc")

    (page,) = await read(org, LEADS)

    assert [record.ref.kind for record in page.records] == [ObjectKind.CONTACT, ObjectKind.LEAD]
    assert [link.ref for link in page.records[1].people or ()] == [RecordRef(ObjectKind.CONTACT, contact)]


async def test_a_converted_lead_that_was_deleted_is_its_contact_all_the_same() -> None:
    """Converted and deleted between two polls: the click id stands on nothing else."""
    org = Org()
    contact = org.put("Contact", 1)
    org.put("Lead", 1, IsDeleted=True, IsConverted=True, ConvertedContactId=contact, Status="Closed - Converted")

    record = await lead_of(org, held=stored(known=True))

    assert record.state is RecordState.DELETED
    assert [link.ref for link in record.people or ()] == [RecordRef(ObjectKind.CONTACT, contact)]


async def test_an_unconverted_lead_is_nobody_else_where_people_were_asked_for() -> None:
    """None would mean that the people were not read."""
    org = Org()
    org.put("Lead", 1, Status="Open")

    record = await lead_of(org, selection=Selection({ObjectKind.LEAD: ObjectSelection(with_people=True)}))

    assert record.people == ()


async def test_a_merged_lead_is_an_alias_of_its_survivor() -> None:
    """The loser lies in the recycle bin with the survivor's id: no duplicate, nothing deleted."""
    org = Org()
    kept = org.put("Lead", 1, Status="Open")
    lost = org.put("Lead", 2, IsDeleted=True, MasterRecordId=kept)
    gone = org.put("Lead", 3, IsDeleted=True)

    (page,) = await read(org, LEADS)

    states = {record.ref.external_id: (record.state, record.merged_into) for record in page.records}
    assert states == {
        kept: (RecordState.LIVE, None),
        lost: (RecordState.MERGED, RecordRef(ObjectKind.LEAD, kept)),
        gone: (RecordState.DELETED, None),
    }


async def test_a_lookups_history_is_read_by_ids() -> None:
    """Salesforce writes a lookup's change twice, once with names, which are personal and no values."""
    org = Org(tracked={("Lead", "ConvertedAccountId")})
    lead = org.put("Lead", 1, ConvertedAccountId=org_id("Account", 2))
    org.lead_change(lead, MADE + DAY, "ConvertedAccountId", None, "Acme", DataType="Text")
    org.lead_change(lead, MADE + DAY, "ConvertedAccountId", None, org_id("Account", 2), DataType="EntityId")
    name = frozenset({"ConvertedAccountId"})

    record = await lead_of(org, selection=Selection({ObjectKind.LEAD: ObjectSelection(frozenset(), name)}))

    assert [value for value, _, _ in told(record)] == [org_id("Account", 2)]


async def test_fetch_reads_rows_with_all_that_belongs_to_them() -> None:
    """What a webhook hints at is read like what a poll finds, people first."""
    org = Org()
    contact = org.put("Contact", 1)
    deal = org.put("Opportunity", 1)
    lead = org.put("Lead", 1, Status="Open", IsConverted=True, ConvertedContactId=contact)
    org.role(1, deal, contact)
    org.stage(deal, NOW - DAY, "Won")
    source = org.source()
    refs = [RecordRef(ObjectKind.DEAL, deal), RecordRef(ObjectKind.LEAD, lead), RecordRef(ObjectKind.CONTACT, contact)]

    records = await source.fetch(refs, SELECTION, stored())

    assert [record.ref.kind for record in records][:2] == [ObjectKind.CONTACT, ObjectKind.LEAD]
    found = next(record for record in records if record.ref.kind is ObjectKind.DEAL)
    assert ([entry.value for entry in found.entries], len(found.people or ())) == (["Won"], 1)
    assert sum(record.ref.kind is ObjectKind.CONTACT for record in records) == 1


async def test_fetch_tells_what_is_gone_and_what_was_merged_with_the_survivor() -> None:
    """A hard-deleted record is shown by nothing at all; a survivor that comes along spares the next poll."""
    org = Org()
    kept = org.put("Contact", 1)
    middle = org.put("Contact", 2, IsDeleted=True, MasterRecordId=kept)
    lost = org.put("Contact", 3, IsDeleted=True, MasterRecordId=middle)
    missing, garbage = org_id("Contact", 9), "no id at all' OR Name != '"
    refs = [RecordRef(ObjectKind.CONTACT, one) for one in (lost, missing, garbage)]

    records = await org.source().fetch(refs, SELECTION, stored())

    states = {record.ref.external_id: record.state for record in records}
    assert states == {
        lost: RecordState.MERGED,
        middle: RecordState.MERGED,
        kept: RecordState.LIVE,
        missing: RecordState.DELETED,
        garbage: RecordState.DELETED,
    }
    assert not any("no id" in query for query in org.queries)


async def test_fetch_of_deals_that_are_gone() -> None:
    """A webhook may speak of a deal that is deleted when it is read."""
    org = Org()
    binned = org.put("Opportunity", 1, IsDeleted=True)
    refs = [RecordRef(ObjectKind.DEAL, one) for one in (binned, org_id("Opportunity", 2))]

    records = await org.source().fetch(refs, SELECTION, stored())

    assert [record.state for record in records] == [RecordState.DELETED] * 2


async def test_a_stored_deal_that_sharing_hides_is_not_deleted() -> None:
    """A deal goes to another territory, and a flow tells us of it: taken for deleted, its revenue would be taken back."""
    org = Org()
    hidden, deleted = org_id("Opportunity", 1), org_id("Opportunity", 2)
    org.deleted["Opportunity"] = [(deleted, NOW - DAY)]
    refs = [RecordRef(ObjectKind.DEAL, one) for one in (hidden, deleted)]

    records = await org.source().fetch(refs, SELECTION, stored(known=True))

    assert [(record.ref.external_id, record.state) for record in records] == [(deleted, RecordState.DELETED)]


async def test_what_the_listing_names_is_deleted_without_asking_again() -> None:
    """The daily listing may tell of deletions that are weeks old."""
    org = Org()
    old = org_id("Opportunity", 2)
    org.deleted["Opportunity"] = [(old, NOW - 20 * DAY)]
    source = org.source()

    pages = source.deleted(ObjectKind.DEAL, None)
    records = await source.fetch(await anext(pages), SELECTION, stored(known=True))

    assert [(record.ref.external_id, record.state) for record in records] == [(old, RecordState.DELETED)]
    assert sum("deleted" in request.url.path for request in org.requests) == 1


async def test_short_and_long_ids_are_one_record() -> None:
    """Some doors give 15 characters, whose case counts; all that is stored has 18."""
    org = Org()
    org.put("Contact", 1)
    own = org_id("Contact", 1)

    (record,) = await org.source().fetch([RecordRef(ObjectKind.CONTACT, own[:15])], SELECTION, stored())

    assert record.ref.external_id == own
    assert long_id("001D000000IRFma") == "001D000000IRFmaIAH"


async def test_deleted_lists_hard_deletions_within_the_30_days_that_salesforce_keeps() -> None:
    """What left the recycle bin is shown by no query."""
    org = Org(deleted={"Lead": [(org_id("Lead", 1), NOW - DAY), (org_id("Lead", 2), NOW - 20 * DAY)]})
    source = org.source()

    everything = [ref for page in [page async for page in source.deleted(ObjectKind.LEAD, None)] for ref in page]
    recent = [ref async for page in source.deleted(ObjectKind.LEAD, NOW - 2 * DAY) for ref in page]

    assert everything == [RecordRef(ObjectKind.LEAD, org_id("Lead", number)) for number in (1, 2)]
    assert recent == [RecordRef(ObjectKind.LEAD, org_id("Lead", 1))]


@pytest.mark.parametrize("code", ["EXCEEDED_ID_LIMIT", "INVALID_REPLICATION_DATE"])
async def test_a_range_that_is_refused_is_narrowed(code: str) -> None:
    """More than 600,000 ids are refused whole; a young org refuses what lies before it."""
    org = Org(deleted={"Lead": [(org_id("Lead", 1), NOW - timedelta(hours=2))]})
    org.refuse = lambda asked: (400, code) if float(asked.split()[-1]) > 5 * 24 * 60 else None

    refs = [ref async for page in org.source().deleted(ObjectKind.LEAD, None) for ref in page]

    assert refs == [RecordRef(ObjectKind.LEAD, org_id("Lead", 1))]


async def test_narrowing_has_an_end() -> None:
    """A refusal that narrowing does not mend is told."""
    org = Org()
    org.refuse = lambda _asked: (400, "EXCEEDED_ID_LIMIT")

    with pytest.raises(RequestRefused):
        [page async for page in org.source().deleted(ObjectKind.LEAD, None)]


async def test_a_hidden_object_is_told_by_its_own_window_only() -> None:
    """Without read access to leads, deals are read all the same."""
    org = Org()
    del org.fields["Lead"]
    deal = org.put("Opportunity", 1)
    source = org.source()
    await source.read_ahead([LEADS, Window(ObjectKind.DEAL, SINCE)], SELECTION)

    pages = await read(org, source=source)

    assert ids_in(pages, ObjectKind.DEAL) == [deal]
    with pytest.raises(AuthenticationFailed, match="no Lead records") as caught:
        await read(org, LEADS, source=source)
    assert caught.value.status == 403
