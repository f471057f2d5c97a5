"""Windows of changes over a searchable account: nothing lost, nothing twice, for the price that was promised."""

import json
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract.records import ObjectKind, RecordState
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Window
from tests.wire.hubspot.fake_account import (
    NOW,
    SELECTION,
    Account,
    everything_stored,
    ids_in,
    moment,
    ms,
    people_stored,
    read,
)

SINCE = NOW - timedelta(days=1)
DEALS = Window(ObjectKind.DEAL, SINCE)
PLAIN = Selection({ObjectKind.DEAL: ObjectSelection(), ObjectKind.CONTACT: ObjectSelection()})


async def test_25000_deals_of_one_millisecond_come_once_each() -> None:
    """A bulk import stamps everything with one instant; other connectors loop for ever or lose the rest."""
    account = Account()
    instant = NOW - timedelta(hours=2)
    for number in range(25_000):
        account.put("deals", 1_000 + number, instant)
    account.put("deals", 5, instant - timedelta(milliseconds=1))
    account.put("deals", 6, instant + timedelta(milliseconds=1))

    pages = await read(account, DEALS, PLAIN)

    assert Counter(ids_in(pages, ObjectKind.DEAL)) == Counter([*map(str, range(1_000, 26_000)), "5", "6"])
    assert account.calls["POST /crm/objects/2026-09/deals/search"] <= 130
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]


async def test_a_crowded_millisecond_that_began_on_the_page_before_comes_once() -> None:
    """What was read of it before it turned out to be crowded is not read again."""
    account = Account()
    for number in range(450):
        account.put("deals", number + 1, SINCE + timedelta(milliseconds=int(number >= 150)))

    pages = await read(account, DEALS, PLAIN)

    assert Counter(ids_in(pages, ObjectKind.DEAL)) == Counter(map(str, range(1, 451)))


async def test_12000_deals_of_a_day_come_once_each() -> None:
    """More than 10,000 rows match: no query may be paged that far."""
    account = Account()
    for number in range(12_000):
        account.put("deals", number + 1, SINCE + timedelta(milliseconds=6_500 * number))

    pages = await read(account, DEALS, PLAIN)

    assert Counter(ids_in(pages, ObjectKind.DEAL)) == Counter(map(str, range(1, 12_001)))
    assert account.calls["POST /crm/objects/2026-09/deals/search"] == 60


@pytest.mark.parametrize("is_known", [True, False])
async def test_1000_changed_deals_cost_5_searches_20_reads_1_association_read_and_10_of_contacts(*, is_known: bool) -> None:
    """The customer's daily quota is spent by this arithmetic; people who are stored cost nothing."""
    account = Account()
    for number in range(1_000):
        account.put("deals", number + 1, SINCE + timedelta(seconds=number), num_associated_contacts="1")
        account.put("contacts", 5_000 + number, SINCE)
        account.link(("deals", "contacts"), str(number + 1), str(5_000 + number), (3, None))
    chosen = {**SELECTION.objects, ObjectKind.CONTACT: ObjectSelection(frozenset({"email"}))}

    pages = await read(account, DEALS, Selection(chosen), people_stored() if is_known else None)

    assert len(ids_in(pages, ObjectKind.DEAL)) == 1_000
    assert account.calls == {
        "POST /crm/objects/2026-09/deals/search": 5,
        "POST /crm/objects/2026-09/deals/batch/read": 20,
        "POST /crm/associations/2026-09/deals/contacts/batch/read": 1,
    } | ({} if is_known else {"POST /crm/objects/2026-09/contacts/batch/read": 10})


async def test_an_idle_poll_and_unchanged_rows_cost_their_search_only() -> None:
    """Every overlap re-reads rows that are stored; they may not be read from HubSpot again."""
    account = Account()
    (empty,) = await read(account, DEALS)
    account.put("deals", 1, SINCE, num_associated_contacts="3")

    (stored,) = await read(account, DEALS, SELECTION, everything_stored())

    assert (empty.records, empty.is_last, empty.resume, empty.seen) == ((), True, None, 0)
    assert (stored.records, stored.is_last, stored.seen) == ((), True, 1)
    assert account.calls == {"POST /crm/objects/2026-09/deals/search": 2}


async def test_the_window_ends_at_the_servers_clock() -> None:
    """Our own clock may be wrong; the cursor that settles must be HubSpot's."""
    account = Account(ahead=timedelta(minutes=-7))
    account.put("deals", 1, NOW - timedelta(hours=1))

    (page,) = await read(account, DEALS, PLAIN)

    assert page.until == NOW - timedelta(minutes=7)
    assert _operators(account) == [["GTE"]]


async def test_an_open_window_keeps_its_end_and_goes_on_after_any_page() -> None:
    """A crash between two pages goes on from the page that was committed, without loss and without repetition."""
    for step in (timedelta(milliseconds=1), timedelta(microseconds=8), timedelta(0)):
        account = Account()
        for number in range(700):
            account.put("deals", number + 1, SINCE + number * step)
        pages = await read(account, DEALS, PLAIN, page_rows="30")

        assert len(pages) >= 4
        for number, page in enumerate(pages[:-1], 1):
            rest = await read(account, Window(ObjectKind.DEAL, SINCE, page.until, page.resume), PLAIN, page_rows="30")
            read_ids = ids_in([*pages[:number], *rest], ObjectKind.DEAL)
            assert Counter(read_ids) == Counter(map(str, range(1, 701)))
        assert {page.until for page in pages} == {NOW}


async def test_an_unreadable_resume_starts_the_window_over() -> None:
    """A resume written by another version may cost reads, never rows."""
    account = Account()
    account.put("deals", 1, SINCE)

    for resume in ("", "garbage", "[]", '{"at": 5}'):
        pages = await read(account, Window(ObjectKind.DEAL, SINCE, NOW, resume), PLAIN)
        assert ids_in(pages, ObjectKind.DEAL) == ["1"]


@settings(max_examples=25, deadline=None)
@given(
    instants=st.lists(st.integers(0, 6), min_size=200, max_size=900),
    edits=st.lists(st.lists(st.tuples(st.integers(0, 899), st.integers(7, 12)), max_size=30), max_size=6),
)
async def test_rows_edited_while_somebody_pages_are_never_lost(instants: list[int], edits: list[list[tuple[int, int]]]) -> None:
    """A row that changes meanwhile moves towards the end: it is read there, or belongs to the next window."""
    account = Account()
    for number, instant in enumerate(instants):
        account.put("deals", number + 1, ms(SINCE) + instant)
    waiting = list(edits)

    def edit(changing: Account) -> None:
        for number, instant in waiting.pop(0) if waiting else ():
            if number < len(instants):
                changing.rows["deals"][str(number + 1)].modified_ms = ms(SINCE) + instant

    account.after_search = edit
    until = SINCE + timedelta(milliseconds=10)

    pages = await read(account, Window(ObjectKind.DEAL, SINCE, until), PLAIN, page_rows="60")

    due = {row.id for row in account.rows["deals"].values() if row.modified_ms <= ms(until)}
    assert due <= set(ids_in(pages, ObjectKind.DEAL))


async def test_unknown_contacts_of_a_deal_come_in_its_page_before_it() -> None:
    """A deal without its person would be stored as having nobody to be sent for."""
    account = Account()
    account.links_a_page = 2
    account.put("deals", 10, SINCE, num_associated_contacts="3", dealstage="won", pipeline="p")
    for number, label in ((21, "Decision maker"), (22, None), (23, None)):
        contact = account.put("contacts", number, SINCE, email=f"p{number}@example.com", lifecyclestage="lead")
        contact.histories["lifecyclestage"] = [moment("lead", SINCE)]
        types = [(3, None)] if label is None else [(3, None), (88, label)]
        account.link(("deals", "contacts"), "10", str(number), *types)

    (page,) = await read(account, DEALS)

    assert [record.ref.external_id for record in page.records] == ["21", "22", "23", "10"]
    deal, first = page.records[-1], page.records[0]
    assert deal.people is not None
    assert [(link.ref.external_id, link.labels) for link in deal.people] == [("21", ("Decision maker",)), ("22", ()), ("23", ())]
    assert (first.fields, first.stage, len(first.entries)) == ({"email": "p21@example.com"}, "lead", 1)


async def test_deals_that_count_no_contacts_ask_for_none() -> None:
    """HubSpot says in `num_associated_contacts` whether an association read is worth a request."""
    account = Account()
    account.put("deals", 1, SINCE, num_associated_contacts="0")

    (page,) = await read(account, DEALS)

    assert page.records[0].people == ()
    assert not [call for call in account.calls if "associations" in call]


async def test_companies_are_the_primary_ones() -> None:
    """A milestone counted once a company must not count a partner's."""
    account = Account()
    account.put("deals", 1, SINCE, num_associated_contacts="1")
    account.put("contacts", 2, SINCE)
    account.link(("deals", "contacts"), "1", "2", (3, None))
    account.link(("deals", "companies"), "1", "51", (341, None))
    account.link(("deals", "companies"), "1", "52", (341, None), (5, "Primary"))
    account.link(("contacts", "companies"), "2", "53", (279, None))
    chosen = Selection(
        {
            ObjectKind.DEAL: ObjectSelection(with_people=True, with_company=True),
            ObjectKind.CONTACT: ObjectSelection(with_company=True),
        }
    )

    (page,) = await read(account, DEALS, chosen)

    companies = {record.ref.external_id: record.company for record in page.records}
    assert {one: company and company.external_id for one, company in companies.items()} == {"1": "52", "2": "53"}


async def test_a_deal_archived_between_search_and_read_comes_as_deleted() -> None:
    """Archiving bumps no modification: this is the only time that a poll can notice it."""
    account = Account()
    row = account.put("deals", 1, SINCE)

    def archive(changing: Account) -> None:
        row.archived_at = NOW - timedelta(seconds=5)

    account.after_search = archive

    (page,) = await read(account, DEALS)

    assert [(record.state, record.modified_at) for record in page.records] == [(RecordState.DELETED, NOW - timedelta(seconds=5))]


async def test_400_properties_travel_in_the_body() -> None:
    """In the query string they end in 414."""
    account = Account()
    account.put("contacts", 1, SINCE)
    names = frozenset(f"custom_property_with_a_long_name_{number}" for number in range(400))

    (page,) = await read(account, Window(ObjectKind.CONTACT, SINCE), Selection({ObjectKind.CONTACT: ObjectSelection(names)}))

    assert set(page.records[0].fields) == names
    assert max(len(str(request.url)) for request in account.requests) < 200


async def test_contacts_are_searched_by_their_own_cursor_property() -> None:
    """`hs_lastmodifieddate` gives silently wrong results for contacts."""
    account = Account()
    account.put("contacts", 1, SINCE, createdate="1763596800000")

    (page,) = await read(account, Window(ObjectKind.CONTACT, SINCE), PLAIN)

    assert json.loads(account.requests[0].content)["sorts"][0]["propertyName"] == "lastmodifieddate"
    assert page.records[0].modified_at == SINCE
    assert page.records[0].created_at == datetime.fromisoformat("2025-11-20T00:00:00+00:00")


def _operators(account: Account) -> list[list[str]]:
    body = json.loads(account.requests[0].content)
    return [[one["operator"] for one in group["filters"]] for group in body["filterGroups"]]
