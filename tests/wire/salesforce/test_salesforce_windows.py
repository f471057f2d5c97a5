"""Windows of changed rows: complete, resumable, once each, whatever page sizes, stamps, clocks and timeouts."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract.errors import ConnectorError, Effect, RequestRefused, Unavailable, UnexpectedReply
from connectors.contract.records import ObjectKind
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Window
from tests.wire.salesforce.fake_org import DEALS, NOW, SELECTION, SINCE, Org, ids_in, iso, org_id, read, stored

PLAIN = Selection({kind: ObjectSelection() for kind in ObjectKind})


def contacts(count: int, step: timedelta, page_rows: int = 2000) -> Org:
    org = Org(page_rows=page_rows)
    for number in range(count):
        org.put("Contact", number, SINCE + number * step)
    return org


def window(kind: ObjectKind = ObjectKind.CONTACT) -> Window:
    return Window(kind, SINCE)


def all_of(count: int) -> Counter[str]:
    return Counter(org_id("Contact", number) for number in range(count))


@pytest.mark.parametrize(
    ("count", "step", "page_rows"), [(5_001, 400, 2000), (5_001, 400, 700), (10_000, 0, 2000), (450, 0, 200)]
)
async def test_every_row_comes_once_over_short_pages_and_equal_stamps(count: int, step: int, page_rows: int) -> None:
    """Others read the first 2,000 rows only, or never get past a data load of one stamp."""
    org = contacts(count, timedelta(milliseconds=step), page_rows)

    pages = await read(org, window(), PLAIN)

    assert Counter(ids_in(pages, ObjectKind.CONTACT)) == all_of(count)
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert not any("OFFSET" in query for query in org.queries)


async def test_2000_rows_cost_one_request_and_one_that_finds_the_end() -> None:
    """The customer's daily requests are shared with every other integration."""
    org = contacts(4_500, timedelta(milliseconds=10))

    await read(org, window(), PLAIN)

    assert org.calls == {"POST /services/oauth2/token": 1, "POST /composite": 1 + 3}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 9))
async def test_each_prefix_of_pages_and_its_resume_neither_skip_nor_repeat(stamps: list[int], page_rows: int) -> None:
    """A crash after any committed page goes on from its keyset."""
    org = Org(page_rows=page_rows)
    for number, stamp in enumerate(stamps):
        org.put("Contact", number, SINCE + timedelta(seconds=stamp))
    pages = await read(org, window(), PLAIN)

    for count, page in enumerate(pages[:-1], 1):
        rest = await read(org, Window(ObjectKind.CONTACT, SINCE, page.until, page.resume), PLAIN)
        assert Counter(ids_in([*pages[:count], *rest], ObjectKind.CONTACT)) == all_of(len(stamps))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 39), max_size=12), st.integers(2, 9))
async def test_rows_that_change_while_somebody_pages_are_never_lost(edits: list[int], page_rows: int) -> None:
    """A locator would give a row's new stamp in its old place, and a resume would skip what lies between."""
    org = Org(page_rows=page_rows)
    for number in range(40):
        org.put("Contact", number, SINCE + timedelta(seconds=number % 3))
    waiting = list(enumerate(edits, 3))  # stamps only rise

    def edit(changing: Org) -> None:
        if waiting and len(changing.queries) > 1:
            stamp, number = waiting.pop(0)
            changing.rows["Contact"][org_id("Contact", number)]["SystemModstamp"] = iso(SINCE + timedelta(seconds=stamp))

    org.after = edit

    pages = await read(org, window(), PLAIN)

    assert set(ids_in(pages, ObjectKind.CONTACT)) == set(all_of(40))


async def test_the_edges_of_a_window_belong_to_it() -> None:
    """`>` in place of `>=` loses a row for ever, two half-open windows that both include it repeat it."""
    org = Org()
    for number, at in enumerate((SINCE - timedelta(milliseconds=1), SINCE, NOW, NOW + timedelta(milliseconds=1))):
        org.put("Contact", number, at)

    pages = await read(org, Window(ObjectKind.CONTACT, SINCE, NOW), PLAIN)

    assert ids_in(pages, ObjectKind.CONTACT) == [org_id("Contact", 1), org_id("Contact", 2)]


async def test_the_window_ends_at_the_servers_clock() -> None:
    """Our own clock may be wrong; the cursor that settles must be Salesforce's."""
    org = contacts(1, timedelta(0))
    org.ahead = timedelta(minutes=-7)

    (page,) = await read(org, window(), PLAIN)

    assert page.until == NOW - timedelta(minutes=7)


async def test_a_row_committed_late_is_found_by_the_next_poll() -> None:
    """A long transaction shows up minutes after the stamp that it wrote."""
    org = Org()
    (first,) = await read(org, window(), PLAIN)
    org.put("Contact", 1, first.until - timedelta(minutes=7))
    overlap = org.source().limits.fast_overlap

    (second,) = await read(org, Window(ObjectKind.CONTACT, first.until - overlap), PLAIN)

    assert ids_in([second], ObjectKind.CONTACT) == [org_id("Contact", 1)]


async def test_a_longer_look_back_is_read_at_every_poll() -> None:
    """An org with transactions of an hour says so."""
    org = Org()
    org.put("Contact", 1, SINCE - timedelta(minutes=40))

    pages = await read(org, window(), PLAIN, source=org.source(look_back_minutes="60"))

    assert ids_in(pages, ObjectKind.CONTACT) == [org_id("Contact", 1)]


def _span(soql: str) -> timedelta:
    """From the keyset to the end of a query's stretch, an open one to now."""
    words = soql.split()
    at = datetime.fromisoformat(words[words.index(">=") + 1])
    until = datetime.fromisoformat(words[words.index("<") + 1]) if "<" in words else NOW
    return until - at


@pytest.mark.parametrize("code", ["QUERY_TIMEOUT", "QUERY_TOO_COMPLICATED", "OPERATION_TOO_LARGE", "UNKNOWN_EXCEPTION"])
async def test_what_is_too_large_is_asked_in_smaller_stretches(code: str) -> None:
    """A big org answers a whole window with a timeout, however often it is asked."""
    org = contacts(60, timedelta(seconds=59))
    status = 500 if code == "UNKNOWN_EXCEPTION" else 400
    org.refuse = lambda soql: (status, code) if "FROM Contact" in soql and _span(soql) > timedelta(minutes=10) else None

    pages = await read(org, window(), PLAIN)

    assert Counter(ids_in(pages, ObjectKind.CONTACT)) == all_of(60)
    assert {page.until for page in pages} == {NOW}
    for count, page in enumerate(pages[:-1], 1):
        rest = await read(org, Window(ObjectKind.CONTACT, SINCE, page.until, page.resume), PLAIN)
        assert Counter(ids_in([*pages[:count], *rest], ObjectKind.CONTACT)) == all_of(60)


@pytest.mark.parametrize("status", [None, 500, 504])
async def test_a_window_whose_answer_is_lost_is_smaller_the_next_time(status: int | None) -> None:
    """Salesforce works on a query for minutes; we hang up before, or its edge does, and would do so for ever."""
    org = contacts(60, timedelta(seconds=59))

    def lose(request: httpx.Request) -> httpx.Response | None:
        if "Contact%20WHERE" in request.content.decode() and _span(_asked(request)) > timedelta(minutes=20):
            if status is not None:
                return httpx.Response(status, text="<html>Gateway Timeout</html>")
            raise httpx.ReadTimeout("too slow")
        return None

    org.on_request = lose
    source = org.source()

    for _ in range(2):
        with pytest.raises(Unavailable):
            await read(org, window(), PLAIN, source=source)
        org.now = NOW
    pages = await read(org, window(), PLAIN, source=source)

    assert Counter(ids_in(pages, ObjectKind.CONTACT)) == all_of(60)


async def test_a_slow_window_read_ahead_hinders_no_other() -> None:
    """One query that takes too long takes the whole composite with it."""
    org = contacts(1, timedelta(0))

    def lose(request: httpx.Request) -> httpx.Response | None:
        if "Lead%20WHERE" in request.content.decode():
            raise httpx.ReadTimeout("too slow")
        return None

    org.on_request = lose
    source = org.source()

    await source.read_ahead([window(), Window(ObjectKind.LEAD, SINCE)], SELECTION)
    pages = await read(org, window(), source=source)

    assert Counter(ids_in(pages, ObjectKind.CONTACT)) == all_of(1)


def _asked(request: httpx.Request) -> str:
    (part,) = json.loads(request.content)["compositeRequest"]
    return unquote(part["url"])


@pytest.mark.parametrize(("code", "error"), [("QUERY_TIMEOUT", Unavailable), ("QUERY_TOO_COMPLICATED", RequestRefused)])
async def test_halving_has_an_end(code: str, error: type[ConnectorError]) -> None:
    """A query that fails for a minute's rows as well would be halved for ever."""
    org = contacts(3, timedelta(0))
    org.refuse = lambda soql: (400, code) if "FROM Contact" in soql else None

    with pytest.raises(error) as caught:
        await read(org, window(), PLAIN)

    assert (caught.value.code, caught.value.effect) == (code, Effect.NONE)
    assert len(org.queries) < 20


async def test_an_unreadable_resume_starts_the_window_over() -> None:
    """A resume written by another version may cost reads, never rows."""
    org = contacts(1, timedelta(0))

    for resume in (
        "",
        "garbage",
        "[]",
        '{"phase":"rows","at":"x","id":""}',
        '{"phase":"rows","at":1,"id":"\' OR"}',
        '{"phase":9}',
    ):
        pages = await read(org, Window(ObjectKind.CONTACT, SINCE, NOW, resume), PLAIN)
        assert Counter(ids_in(pages, ObjectKind.CONTACT)) == all_of(1)


async def test_an_object_without_a_usable_stamp_goes_by_its_creation() -> None:
    """Asking for a field that cannot be filtered breaks the whole stream."""
    org = Org()
    del org.fields["Contact"]["SystemModstamp"]
    org.put("Contact", 1, CreatedDate=iso(SINCE))

    pages = await read(org, window(), PLAIN)

    assert ids_in(pages, ObjectKind.CONTACT) == [org_id("Contact", 1)]
    assert pages[0].records[0].modified_at == SINCE


async def test_unchanged_rows_cost_no_further_read() -> None:
    """Every overlap re-reads rows that are stored."""
    org = Org()
    deal = org.put("Opportunity", 1)
    org.stage(deal, SINCE, "Won")

    (page,) = await read(org, DEALS, SELECTION, stored(unchanged=True))

    assert (page.records, page.seen, page.is_last) == ((), 1, True)
    assert not any("FROM OpportunityHistory" in query for query in org.queries)


async def test_a_row_that_changes_again_within_the_second_of_its_stamp_is_read_again() -> None:
    """Stamps have whole seconds: automation behind a change leaves the stamp as it is, and the poll came in between."""
    org = Org()
    org.put("Contact", 1, NOW, Email="first@example.com")
    source = org.source()
    held: dict[str, datetime] = {}

    async def unchanged(_: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
        return frozenset(one for one, at in rows.items() if held.get(one) == at)

    async def poll() -> list[str | None]:
        pages = await read(org, window(), source=source, held=replace(stored(), unchanged=unchanged))
        records = [record for page in pages for record in page.records]
        held.update((record.ref.external_id, record.modified_at) for record in records)
        return [record.fields["Email"] for record in records]

    first = await poll()
    org.put("Contact", 1, NOW, Email="second@example.com")
    org.now += timedelta(minutes=5)
    second, third = await poll(), await poll()

    assert (first, second, third) == (["first@example.com"], ["second@example.com"], [])


async def test_windows_read_ahead_cost_one_request_for_all_kinds_and_are_used_once() -> None:
    """An idle poll of all kinds is one request of the org's day."""
    org = Org()
    org.put("Contact", 1)
    source = org.source()
    windows = [Window(kind, SINCE) for kind in (ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL)]
    await source.read_ahead(windows, SELECTION)  # describes too
    before = sum(org.calls.values())

    await source.read_ahead(windows, SELECTION)
    pages = [page for one in windows for page in await read(org, one, source=source)]
    ahead = sum(org.calls.values()) - before
    (again,) = await read(org, windows[0], source=source)

    assert ahead == 1
    assert [page.is_last for page in pages] == [True] * 3
    assert ids_in(pages, ObjectKind.CONTACT) == ids_in([again], ObjectKind.CONTACT) == [org_id("Contact", 1)]
    assert sum(org.calls.values()) - before == 2


async def test_what_was_read_ahead_serves_an_equal_selection_only() -> None:
    """A mapping that was activated meanwhile reads other fields."""
    org = Org()
    org.put("Contact", 1, Email="p@example.com")
    source = org.source()
    await source.read_ahead([window()], PLAIN)

    pages = await read(org, window(), SELECTION, source=source)

    assert pages[0].records[0].fields == {"Email": "p@example.com"}


async def test_a_window_that_is_refused_ahead_hinders_no_other() -> None:
    """One object too large for a whole window must not stop the others."""
    org = Org()
    org.put("Contact", 1)
    org.refuse = lambda soql: (400, "QUERY_TIMEOUT") if "FROM Lead" in soql else None
    source = org.source()
    leads = Window(ObjectKind.LEAD, SINCE)
    await source.read_ahead([window(), leads], SELECTION)

    pages = await read(org, window(), source=source)

    assert ids_in(pages, ObjectKind.CONTACT) == [org_id("Contact", 1)]
    with pytest.raises(Unavailable):
        await read(org, leads, source=source)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"records": []},
        {"done": True},
        {"done": "yes", "records": []},
        {"done": False, "records": []},
        {"done": True, "records": [1]},
        {"done": True, "records": [{"Id": "x"}]},
        {"done": True, "records": [{"Id": org_id("Contact", 1), "IsDeleted": False, "SystemModstamp": "soon"}]},
        {"done": True, "records": [{"Id": org_id("Contact", 1), "IsDeleted": False}]},
    ],
)
async def test_garbage_is_told_and_nothing_is_lost(body: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is not as documented ends the poll before its page is committed."""
    org = contacts(1, timedelta(0))
    source = org.source()
    await source.read_ahead([], PLAIN)
    monkeypatch.setattr(org, "part", lambda _path: (200, body))

    with pytest.raises(UnexpectedReply, match="not as documented"):
        await read(org, window(), PLAIN, source=source)


async def test_a_row_without_a_mapped_field_is_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing field read as empty would empty what is stored."""
    org = contacts(1, timedelta(0))
    source = org.source()
    await source.read_ahead([], SELECTION)
    row = {"Id": org_id("Contact", 1), "IsDeleted": False, "SystemModstamp": iso(SINCE)}
    monkeypatch.setattr(org, "part", lambda _path: (200, {"done": True, "records": [row]}))

    with pytest.raises(UnexpectedReply, match="Email"):
        await read(org, window(), source=source)
