"""Deals with their stages, their people and the leads they came from, in as few requests as Salesforce allows."""

from datetime import timedelta

import pytest

from connectors.contract.errors import RequestRefused, Unavailable
from connectors.contract.records import ObjectKind, Record, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Window
from tests.wire.salesforce.fake_org import DEALS, NOW, SELECTION, SINCE, Org, deal_of, ids_in, iso, org_id, read, stored

DAY = timedelta(days=1)
NO_LEADS = Selection({kind: chosen for kind, chosen in SELECTION.objects.items() if kind is not ObjectKind.LEAD})


def links(record: Record) -> list[tuple[str, tuple[str, ...], bool]]:
    return [(link.ref.external_id, link.labels, link.is_primary) for link in record.people or ()]


async def test_people_are_the_contacts_with_roles_the_primary_first() -> None:
    """The primary one is whom the deal is sent for, unless the mapping says otherwise."""
    org = Org()
    deal = org.put("Opportunity", 1, ContactId=org_id("Contact", 3))
    people = [org.put("Contact", number, NOW - 9 * DAY) for number in (1, 2, 3)]
    org.role(1, deal, people[0], Role="Influencer")
    org.role(2, deal, people[1], Role="Decision Maker", IsPrimary=True)
    org.role(3, deal, people[1], Role="Evaluator")
    org.role(4, deal, people[2], IsDeleted=True)

    record = await deal_of(org)

    assert links(record) == [(people[1], ("Decision Maker", "Evaluator"), True), (people[0], ("Influencer",), False)]


@pytest.mark.parametrize("known", [False, True])
async def test_unknown_people_come_before_the_deal_with_the_leads_that_they_were(*, known: bool) -> None:
    """The click id often stands on the lead alone, as unmapped lead fields are not copied on conversion."""
    org = Org()
    deal = org.put("Opportunity", 1)
    contact = org.put("Contact", 1, NOW - 9 * DAY, Email="p@example.com")
    lead = org.put("Lead", 1, NOW - 9 * DAY, IsConverted=True, ConvertedContactId=contact, GCLID__c="abc", Status="Qualified")
    org.role(1, deal, contact)

    (page,) = await read(org, held=stored(known=known))

    kinds = [record.ref.kind for record in page.records]
    assert kinds == ([ObjectKind.DEAL] if known else [ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL])
    if not known:
        assert page.records[1].ref.external_id == lead
        assert page.records[1].fields == {"Email": None, "GCLID__c": "abc"}
        assert [link.ref for link in page.records[1].people or ()] == [RecordRef(ObjectKind.CONTACT, contact)]


async def test_without_a_role_the_converted_lead_says_who() -> None:
    """Many orgs never use contact roles."""
    org = Org()
    deal = org.put("Opportunity", 1, ContactId=org_id("Contact", 2))
    contact = org.put("Contact", 1, NOW - 9 * DAY)
    org.put("Lead", 1, NOW - 9 * DAY, IsConverted=True, ConvertedContactId=contact, ConvertedOpportunityId=deal)

    (page,) = await read(org)

    assert links(page.records[-1]) == [(contact, (), False)]
    assert [record.ref.kind for record in page.records] == [ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL]


async def test_without_role_and_lead_the_deals_own_contact_says_who() -> None:
    """`Opportunity.ContactId` is there even where roles are hidden."""
    org = Org()
    del org.fields["OpportunityContactRole"]
    contact = org.put("Contact", 1, NOW - 9 * DAY)
    org.put("Opportunity", 1, ContactId=contact)

    record = await deal_of(org)

    assert links(record) == [(contact, (), False)]


async def test_a_person_account_is_the_person_of_its_deals() -> None:
    """A shop sells to people: its deals have an account, and nobody else."""
    org = Org()
    org.fields["Account"] |= {"IsPersonAccount": "boolean", "PersonContactId": "reference"}
    contact = org.put("Contact", 1, NOW - 9 * DAY, Email="p@example.com")
    org.put("Opportunity", 1, Account={"IsPersonAccount": True, "PersonContactId": contact})
    org.put("Opportunity", 2, Account={"IsPersonAccount": False, "PersonContactId": None})
    org.put("Opportunity", 3, Account=None)

    (page,) = await read(org)

    assert ids_in([page], ObjectKind.CONTACT) == [contact]
    assert [links(record) for record in page.records if record.ref.kind is ObjectKind.DEAL] == [[(contact, (), False)], [], []]


async def test_a_lead_without_a_contact_is_itself_the_person() -> None:
    """Conversion may make a deal and no contact; the lead is then all that is known of the person."""
    org = Org()
    deal = org.put("Opportunity", 1)
    lead = org.put("Lead", 1, NOW - 9 * DAY, IsConverted=True, ConvertedOpportunityId=deal)

    record = await deal_of(org)

    assert [link.ref for link in record.people or ()] == [RecordRef(ObjectKind.LEAD, lead)]


async def test_a_mapping_without_leads_still_finds_people_by_them() -> None:
    """Which lead became the deal's contact is asked for, its fields are not."""
    org = Org()
    deal = org.put("Opportunity", 1)
    contact = org.put("Contact", 1, NOW - 9 * DAY)
    org.put("Lead", 1, NOW - 9 * DAY, IsConverted=True, ConvertedContactId=contact, ConvertedOpportunityId=deal)

    (page,) = await read(org, selection=NO_LEADS)

    assert [record.ref.kind for record in page.records] == [ObjectKind.CONTACT, ObjectKind.DEAL]
    assert not any("GCLID__c" in query for query in org.queries)


@pytest.mark.parametrize("gone", [False, True])
async def test_a_changed_role_has_its_unchanged_deal_read_again(*, gone: bool) -> None:
    """A role that comes or goes does not touch the opportunity: without this its person never arrives."""
    org = Org()
    deal = org.put("Opportunity", 1, NOW - 5 * DAY)
    org.stage(deal, NOW - 5 * DAY, "New")
    contact = org.put("Contact", 1, NOW - 9 * DAY)
    org.role(1, deal, contact, NOW - timedelta(minutes=3), IsDeleted=gone)

    pages = await read(org, held=stored(unchanged=True, known=True))

    (record,) = pages[-1].records
    assert (record.ref.external_id, links(record)) == (deal, [] if gone else [(contact, (), False)])
    assert [page.is_last for page in pages] == [False, True]


async def test_a_role_that_was_read_is_not_read_again_by_the_overlap() -> None:
    """Each poll sees the roles of the last ten minutes again; a role that changed meanwhile counts anew."""
    org = Org()
    deal = org.put("Opportunity", 1, NOW - 5 * DAY)
    role = org.role(1, deal, org.put("Contact", 1, NOW - 9 * DAY))
    source = org.source()
    held = stored(unchanged=True, known=True)

    counts = [len(ids_in(await read(org, held=held, source=source), ObjectKind.DEAL)) for _ in range(2)]
    org.rows["OpportunityContactRole"][role]["SystemModstamp"] = iso(NOW - timedelta(minutes=1))
    counts.append(len(ids_in(await read(org, held=held, source=source), ObjectKind.DEAL)))

    assert counts == [1, 0, 1]


async def test_a_role_whose_deal_was_not_committed_is_read_again() -> None:
    """A page that its reader drops, as its transaction failed, is no page."""
    org = Org()
    deal = org.put("Opportunity", 1, NOW - 5 * DAY)
    org.role(1, deal, org.put("Contact", 1, NOW - 9 * DAY))
    source = org.source()
    held = stored(unchanged=True, known=True)

    async for page in source.changes(DEALS, SELECTION, held):
        if page.records:
            break

    assert ids_in(await read(org, held=held, source=source), ObjectKind.DEAL) == [deal]


async def test_a_deal_read_in_this_window_is_not_read_again_for_its_roles() -> None:
    """A new deal with its new role would cost twice."""
    org = Org()
    deal = org.put("Opportunity", 1)
    org.role(1, deal, org.put("Contact", 1, NOW - 9 * DAY))

    pages = await read(org, held=stored(known=True))

    assert ids_in(pages, ObjectKind.DEAL) == [deal]
    assert org.calls["POST /composite"] == 3  # describe, rows with roles, what belongs to them


async def test_the_roles_of_a_long_window_are_those_of_its_end() -> None:
    """Of a backfill's deals every older role is read with them."""
    org = Org()
    deal = org.put("Opportunity", 1, NOW - 40 * DAY)
    for number in range(3):
        org.role(number, deal, org.put("Contact", number, NOW - 90 * DAY), NOW - number * 20 * DAY)

    await read(org, Window(ObjectKind.DEAL, NOW - 60 * DAY), held=stored(known=True))

    (asked,) = [query for query in org.queries if "OpportunityContactRole" in query and "IN (" not in query]
    assert "SystemModstamp >= 2026-11-17T12:00:00.000Z" in asked


async def test_each_page_of_a_deals_window_resumes_through_its_roles() -> None:
    """A crash between the two phases must not skip the roles."""
    org = Org(page_rows=2)
    for number in range(5):
        deal = org.put("Opportunity", number, NOW - 5 * DAY if number > 2 else SINCE)
        org.role(number, deal, org.put("Contact", number, NOW - 9 * DAY), SINCE + timedelta(seconds=number))
    pages = await read(org)
    whole = {org_id("Opportunity", number) for number in range(5)}

    for count, page in enumerate(pages[:-1], 1):
        rest = await read(org, Window(ObjectKind.DEAL, SINCE, page.until, page.resume))
        assert set(ids_in([*pages[:count], *rest], ObjectKind.DEAL)) == whole


async def test_a_thousand_deals_of_known_people_cost_two_requests() -> None:
    """One composite for the poll and one for what belongs to up to 2,000 records."""
    org = Org()
    source = org.source()
    for number in range(1_000):
        deal = org.put("Opportunity", number, SINCE + number * timedelta(seconds=1))
        org.role(number, deal, org_id("Contact", number), SINCE)
        for place in range(3):
            org.stage(deal, NOW - (4 - place) * DAY, f"Stage {place}")
    await source.read_ahead([], SELECTION)
    before = sum(org.calls.values())

    pages = await read(org, held=stored(known=True), source=source)

    assert len(ids_in(pages, ObjectKind.DEAL)) == 1_000
    assert {len(record.entries) for page in pages for record in page.records} == {3}
    assert sum(org.calls.values()) - before == 2
    assert sum(len(json_body.content) for json_body in org.requests[-1:]) < 250_000


async def test_long_histories_are_read_to_their_end() -> None:
    """History rows outnumber the deals: their answer has pages of its own, and pages may be short."""
    org = Org(page_rows=7)
    for number in range(5):
        deal = org.put("Opportunity", number)
        for place in range(20):
            org.stage(deal, NOW - 30 * DAY + place * DAY, f"Stage {place}")

    pages = await read(org)

    assert [len(record.entries) for page in pages for record in page.records] == [20] * 5


async def test_belongings_too_large_for_one_query_are_asked_in_halves() -> None:
    """The rows are there: that their history times out must not stop the window for ever."""
    org = Org()
    for number in range(8):
        org.stage(org.put("Opportunity", number), NOW - DAY, "New")
    org.refuse = lambda soql: (400, "QUERY_TIMEOUT") if "FROM OpportunityHistory" in soql and soql.count("'006") > 2 else None

    (page,) = await read(org)

    assert [len(record.entries) for record in page.records] == [1] * 8


async def test_a_failure_among_the_belongings_ends_the_poll() -> None:
    """A deal stored without its people or history would be taken for one that has none."""
    org = Org()
    org.put("Opportunity", 1)
    org.refuse = lambda soql: (400, "UNABLE_TO_LOCK_ROW") if "FROM OpportunityHistory" in soql else None

    with pytest.raises(Unavailable) as caught:
        await read(org)

    assert caught.value.code == "UNABLE_TO_LOCK_ROW"


async def test_deleted_and_restored_deals() -> None:
    """A deal in the recycle bin is deleted; taken out again it is as if it never was."""
    org = Org()
    deal = org.put("Opportunity", 1, IsDeleted=True)
    (gone,) = await read(org)

    org.rows["Opportunity"][deal] |= {"IsDeleted": False, "SystemModstamp": iso(NOW)}
    (back,) = await read(org)

    assert [record.state for record in gone.records] == [RecordState.DELETED]
    assert [record.state for record in back.records] == [RecordState.LIVE]


async def test_the_company_is_the_deals_account() -> None:
    """A milestone may be counted once a company."""
    org = Org()
    account = org.put("Account", 1)
    org.put("Opportunity", 1, AccountId=account)

    record = await deal_of(org, selection=Selection({ObjectKind.DEAL: ObjectSelection(with_company=True)}))

    assert record.company == RecordRef(ObjectKind.COMPANY, account)


async def test_a_mapped_field_that_is_gone_is_named_with_its_mend() -> None:
    """Schema drift otherwise loses data in silence or breaks the stream with a riddle."""
    org = Org()
    org.put("Opportunity", 1)
    source = org.source()
    await read(org, source=source)
    del org.fields["Opportunity"]["Amount"]

    with pytest.raises(RequestRefused, match=r"no field `Amount` on Opportunity.*Permission Sets") as caught:
        await read(org, source=source)

    assert caught.value.code == "INVALID_FIELD"
    org.fields["Opportunity"]["Amount"] = "currency"
    assert ids_in(await read(org, source=source), ObjectKind.DEAL) == [org_id("Opportunity", 1)]


async def test_a_field_that_nobody_mapped_may_go() -> None:
    """The stream goes on without it, within the hour that a description is kept."""
    org = Org()
    contact = org.put("Contact", 1, NOW - 9 * DAY)
    org.role(1, org.put("Opportunity", 1), contact)
    source = org.source()
    await read(org, source=source)
    del org.fields["Opportunity"]["ContactId"]
    del org.fields["OpportunityContactRole"]["Role"]

    pages = await read(org, source=source)

    assert [links(record) for page in pages for record in page.records if record.ref.kind is ObjectKind.DEAL] == [
        [(contact, (), False)]
    ]
