from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulators.salesforce import Org
from tests.unit.simulators.salesforce_rig import ROOT, START, Rig, at, code

WINDOW = "SystemModstamp >= 2026-11-01T12:00:00Z AND SystemModstamp < 2026-11-01T13:00:00Z ORDER BY SystemModstamp, Id"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.client.aclose()


def leads(org: Org, count: int) -> list[str]:
    return [org.create("Lead", {"LastName": str(number)}, START) for number in range(count)]


async def test_pages_hold_at_most_2000_rows_and_lead_to_the_end(rig: Rig) -> None:
    """A reader that takes the first page for the whole loses every row after it."""
    made = leads(rig.org, 5001)

    first = await rig.query(f"SELECT Id FROM Lead WHERE {WINDOW}")
    rows = await rig.column("Id", f"Lead WHERE {WINDOW}")

    assert (first.json()["totalSize"], len(first.json()["records"]), first.json()["done"]) == (5001, 2000, False)
    assert first.json()["nextRecordsUrl"].startswith(f"{ROOT}/query/01g")
    assert first.json()["records"][0]["attributes"] == {"type": "Lead", "url": f"{ROOT}/sobjects/Lead/{made[0]}"}
    assert rows == made
    assert rig.org.requests == {"query Lead": 2, "query_more": 2}


async def test_pages_may_be_shorter_than_asked_for(rig: Rig) -> None:
    """Only `done` tells the end: a page of 7 rows is no last page."""
    made = leads(rig.org, 1000)
    hinted = await rig.query("SELECT Id FROM Lead", **{"Sforce-Query-Options": "batchSize=250"})
    too_small = await rig.query("SELECT Id FROM Lead", **{"Sforce-Query-Options": "batchSize=1"})
    rig.org.page_rows = lambda asked: 7 if asked == 2000 else asked

    rows = await rig.column("Id", "Lead ORDER BY Id")
    sizes = iter(range(1, 1000))
    rig.org.page_rows = lambda _: next(sizes)
    growing = await rig.column("Id", "Lead ORDER BY Id")

    assert growing == made
    assert [len(one.json()["records"]) for one in (hinted, too_small)] == [250, 200]
    assert (rows, rig.org.requests["query_more"]) == (made, 142 + 44)


async def test_locators_die_of_age_and_of_being_too_many(rig: Rig) -> None:
    """A dead locator makes the reader ask the window anew, so it has to die as the vendor's do."""
    leads(rig.org, 3)
    rig.org.page_rows = 2
    urls = [(await rig.query("SELECT Id FROM Lead")).json()["nextRecordsUrl"] for _ in range(11)]

    oldest, newest = await rig.get(urls[0]), await rig.get(urls[10])
    again = await rig.get(urls[10])
    rig.now += timedelta(days=2)
    rig.session = rig.org.sessions.issue(rig.now)
    aged = await rig.get(urls[9])

    assert code(oldest) == code(aged) == (400, "INVALID_QUERY_LOCATOR")
    assert newest.json() == again.json(), "a lost last page can be asked for again"
    assert (newest.json()["done"], len(newest.json()["records"])) == (True, 1)


async def test_a_row_deleted_while_paging_is_left_out(rig: Rig) -> None:
    """Later pages show the rows as they are by then."""
    made = leads(rig.org, 4)
    rig.org.page_rows = 2
    first = await rig.query("SELECT Id, Status FROM Lead ORDER BY Id")
    rig.org.delete("Lead", made[2], at(1))
    rig.org.update("Lead", made[3], {"Status": "Working - Contacted"}, at(1))

    second = await rig.get(first.json()["nextRecordsUrl"])

    assert [(one["Id"], one["Status"]) for one in second.json()["records"]] == [(made[3], "Working - Contacted")]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=60),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from(["ASC", "DESC"]),
)
async def test_a_window_shows_what_a_plain_filter_of_all_records_would(
    edits: list[tuple[int, int]], low: int, high: int, direction: str
) -> None:
    """The index must give, after any edits, exactly the records whose stamp is inside the window, in order."""
    rig = Rig()
    stamps = dict.fromkeys(leads(rig.org, 10), START)
    await rig.query(f"SELECT Id FROM Lead WHERE {WINDOW}")
    for number, minute in edits:
        edited = list(stamps)[number]
        rig.org.update("Lead", edited, {"Title": str(minute)}, at(minute))
        stamps[edited] = max(stamps[edited], at(minute))
    ends = [f"{at(minute):%Y-%m-%dT%H:%M:%SZ}" for minute in (low, high)]
    clause = f"SystemModstamp >= {ends[0]} AND SystemModstamp < {ends[1]} ORDER BY SystemModstamp {direction}, Id {direction}"

    found = await rig.column("Id", f"Lead WHERE {clause}")

    inside = sorted((stamp, one) for one, stamp in stamps.items() if at(low) <= stamp < at(high))
    assert found == [one for _, one in inside[:: 1 if direction == "ASC" else -1]]


async def test_keyset_reads_rows_of_one_stamp_whole(rig: Rig) -> None:
    """A data load gives more rows to one stamp than a page holds; the keyset must get past them."""
    made, seen = leads(rig.org, 2500), [""]
    stamp = "2026-11-01T12:00:00Z"

    for _ in range(6):
        after = f"OR (SystemModstamp = {stamp} AND Id > '{seen[-1]}')" if seen[-1] else f"OR SystemModstamp = {stamp}"
        where = f"SystemModstamp > {stamp} {after}"
        seen += await rig.column("Id", f"Lead WHERE {where} ORDER BY SystemModstamp, Id LIMIT 500")

    assert seen[1:] == made


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("LastName = 'ONE'", ["one"]),
        ("LastName != 'one'", ["O'Neil", "two", None]),
        ("LastName = 'O\\'Neil'", ["O'Neil"]),
        ("LastName LIKE 't_o' OR LastName LIKE '%neil'", ["O'Neil", "two"]),
        ("LastName IN ('one', 'two') AND (NOT LastName = 'two')", ["one"]),
        ("LastName NOT IN ('one', 'two', null)", ["O'Neil"]),
        ("LastName = null", [None]),
        ("HasOptedOutOfEmail = true", ["two"]),
        ("Score__c >= 10 AND Score__c < 100.5", ["one", "two"]),
        ("Score__c > 10", ["two"]),
        ("Born__c < 2000-01-01", ["one"]),
        ("CreatedDate >= 2026-11-01T13:01:00+01:00", ["two", None]),
        ("SystemModstamp = 2026-11-01T12:00:00.000Z", ["O'Neil", "one"]),
        ("Owner.Name = 'integration user' AND Title = null AND LastName > 'o'", ["O'Neil", "one", "two"]),
    ],
)
async def test_conditions_compare_by_the_type_of_the_field(rig: Rig, where: str, expected: list[str | None]) -> None:
    """Texts in any case, null only by = and !=, instants whatever their offset."""
    for name, kind in (("Score__c", "double"), ("Born__c", "date")):
        rig.org.define_field("Lead", name, kind)
    rig.org.create("Lead", {"LastName": "O'Neil"}, at())
    rig.org.create("Lead", {"LastName": "one", "Score__c": 10, "Born__c": "1999-12-31"}, at())
    rig.org.create("Lead", {"LastName": "two", "Score__c": 100, "HasOptedOutOfEmail": True}, at(1))
    rig.org.create("Lead", {"LastName": ""}, at(2))

    found = await rig.column("LastName", f"Lead WHERE {where}")

    assert sorted(found, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("SELECT Nope__c FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Nope__c = 1", "INVALID_FIELD"),
        ("SELECT CurrencyIsoCode FROM Opportunity", "INVALID_FIELD"),
        ("SELECT Id, Name, id FROM Opportunity", "INVALID_FIELD"),
        ("SELECT Nobody.Name FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM OpportunityFieldHistory WHERE NewValue = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > '2026-11-01T12:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Email = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Id = 'no id'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Wizard__c", "INVALID_TYPE"),
        ("SELECT Id FROM CurrencyType", "INVALID_TYPE"),
        ("SELECT FROM Lead", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE Id = 'a", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE LastName = 'a\\z'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead LIMIT x", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead ORDER BY", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE LastName = 'a' AND LastName = 'b' OR LastName = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > 2026-13-01T12:00:00Z", "MALFORMED_QUERY"),
        ("DELETE Lead", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
async def test_what_cannot_be_asked_is_refused_in_the_vendors_words(text: str, error: str) -> None:
    """The reader tells schema drift from its own mistakes by these codes."""
    rig = Rig(Org(tracked={"Opportunity": {"StageName"}}))

    reply = await rig.query(text)

    assert code(reply) == (400, error)
    assert set(reply.json()[0]) == {"message", "errorCode"}


async def test_long_queries_do_not_fit_an_address_but_a_composite_call(rig: Rig) -> None:
    """A list of ids goes beyond 16 KB long before it goes beyond 100,000 characters."""
    ids = leads(rig.org, 900)
    text = f"SELECT Id FROM Lead WHERE Id IN ({','.join(repr(one) for one in ids)})"  # 20,000 characters
    too_long = f"SELECT Id FROM Lead WHERE LastName = '{'x' * 100_000}'"

    alone = await rig.query(text)
    parts = [{"method": "GET", "url": f"{ROOT}/query?q={one}", "referenceId": f"r{n}"} for n, one in enumerate((text, too_long))]
    together = await rig.call("POST", "/composite", json={"compositeRequest": parts})

    fits, refused = together.json()["compositeResponse"]
    assert code(alone) == (414, "URI_TOO_LONG")
    assert (fits["httpStatusCode"], fits["body"]["totalSize"]) == (200, 900)
    assert refused["body"][0]["errorCode"] == "MALFORMED_QUERY"


async def test_parents_are_told_as_objects_or_null(rig: Rig) -> None:
    """A role's person comes with the role, and no second call is needed."""
    contact = rig.org.create("Contact", {"Email": "ada@example.com", "LastName": "Byron"}, START)
    deal, lonely = (rig.org.create("Opportunity", {"Name": name}, START) for name in ("one", "two"))
    rig.org.add_role(deal, contact, "Decision Maker", is_primary=True)
    of_deal = "OpportunityId IN (SELECT Id FROM Opportunity WHERE Name = 'one')"
    joined = f"{of_deal} AND ContactId NOT IN (SELECT ConvertedContactId FROM Lead)"

    roles = await rig.rows(f"SELECT Role, Contact.Email, Contact.Owner.Name FROM OpportunityContactRole WHERE {joined}")
    deals = await rig.rows("SELECT Id, Contact.Email, Account.Name FROM Opportunity ORDER BY Name DESC")
    short = await rig.column("Id", f"Opportunity WHERE Id IN ('{deal[:15]}', '{lonely}')")

    person = {"attributes": {"type": "Contact", "url": f"{ROOT}/sobjects/Contact/{contact}"}, "Email": "ada@example.com"}
    assert [{k: v for k, v in one["Contact"].items() if k != "Owner"} for one in roles] == [person]
    assert roles[0]["Contact"]["Owner"]["Name"] == "Integration User"
    assert [(one["Contact"], one["Account"]) for one in deals] == [(None, None), (person, None)]
    assert sorted(short) == sorted([deal, lonely])


async def test_semi_joins_are_few_and_at_the_top(rig: Rig) -> None:
    """What the vendor refuses must not work here first."""
    one = "Id IN (SELECT OpportunityId FROM OpportunityContactRole)"

    refused = [
        await rig.query(f"SELECT Id FROM Opportunity WHERE {where}")
        for where in (f"{one} AND {one} AND {one}", f"{one} OR Name = 'x'", "Id IN (SELECT Id, Name FROM Opportunity)")
    ]

    assert [code(reply) for reply in refused] == [(400, "MALFORMED_QUERY")] * 3


async def test_wide_queries_run_into_the_time_limit(rig: Rig) -> None:
    """Only a narrower window gets an answer."""
    leads(rig.org, 3)
    rig.org.slow_rows = 2

    wide, narrow = await rig.query("SELECT Id FROM Lead"), await rig.query("SELECT Id FROM Lead LIMIT 2")

    assert (code(wide), narrow.status_code) == ((400, "QUERY_TIMEOUT"), 200)


async def test_order_puts_nulls_first_and_counts_count(rig: Rig) -> None:
    """A cursor built on the order of rows depends on where the empty ones stand."""
    for title in ("b", None, "a"):
        rig.org.create("Lead", {"Title": title}, START)

    orders: dict[str, Any] = {
        one: await rig.column("Title", f"Lead ORDER BY Title {one}") for one in ("", "NULLS LAST", "DESC", "DESC NULLS LAST")
    }
    counted = await rig.query("SELECT count() FROM Lead WHERE Title != null")
    part = await rig.column("Title", "Lead ORDER BY Title LIMIT 1 OFFSET 1")

    assert orders == {
        "": [None, "a", "b"],
        "NULLS LAST": ["a", "b", None],
        "DESC": [None, "b", "a"],
        "DESC NULLS LAST": ["b", "a", None],
    }
    assert counted.json() == {"totalSize": 2, "done": True, "records": []}
    assert part == ["a"]
