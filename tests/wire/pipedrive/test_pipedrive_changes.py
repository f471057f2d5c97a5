"""Windows of changes over lists with cursors and offsets: nothing lost, nothing twice, for the tokens that were promised."""

from collections import Counter
from datetime import datetime, timedelta

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract.errors import UnexpectedReply
from connectors.contract.records import ObjectKind, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Window
from tests.wire.pipedrive.fake_company import GCLID, NOW, SELECTION, Company, Store, change, ids_in, lead_id, read

SINCE = NOW - timedelta(days=1)
DEALS = Window(ObjectKind.DEAL, SINCE)
LEADS = Window(ObjectKind.LEAD, SINCE)
PLAIN = Selection({kind: ObjectSelection() for kind in (ObjectKind.DEAL, ObjectKind.CONTACT, ObjectKind.LEAD)})
SECOND = timedelta(seconds=1)


async def test_a_backfill_reads_deals_of_two_years_ago() -> None:
    """Connectors built on /recents lost all that is older than a month (complaint 1)."""
    company = Company()
    company.deal(1, NOW - timedelta(days=730))

    pages = await read(company, Window(ObjectKind.DEAL, NOW - timedelta(days=800)), PLAIN)

    assert ids_in(pages, ObjectKind.DEAL) == ["1"]
    assert not [call for call in company.calls if "recents" in call]


async def test_an_update_of_an_old_deal_arrives_complete() -> None:
    """/recents gave partial objects (complaint 2)."""
    company = Company()
    company.person(5, SINCE)
    company.deal(
        1, NOW - timedelta(hours=1), added=NOW - timedelta(days=700), person_id=5, org_id=9, custom_fields={GCLID: "Cj0KC"}
    )

    pages = await read(company, DEALS)

    deal = next(record for page in pages for record in page.records if record.ref.kind is ObjectKind.DEAL)
    assert dict(deal.fields) == {"value": "100", "currency": "EUR", GCLID: "Cj0KC"}
    assert deal.people is not None
    assert [link.ref for link in deal.people] == [RecordRef(ObjectKind.CONTACT, "5")]
    assert deal.company == RecordRef(ObjectKind.COMPANY, "9")
    assert deal.created_at == NOW - timedelta(days=700)


async def test_1201_deals_of_one_second_over_three_pages_come_once_each() -> None:
    """The same update time stands across a page's edge (complaint 3)."""
    company = Company()
    for number in range(1_201):
        company.deal(number + 1, SINCE + timedelta(hours=1))

    pages = await read(company, DEALS, PLAIN)

    assert Counter(ids_in(pages, ObjectKind.DEAL)) == Counter(map(str, range(1, 1_202)))
    assert company.calls["GET /api/v2/deals"] == 3
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]


@pytest.mark.parametrize("step", [timedelta(0), SECOND, SECOND / 200])
async def test_a_window_goes_on_after_any_page_without_loss_or_repetition(step: timedelta) -> None:
    """A vendor's cursor must not outlive the process; our own position does."""
    company = Company()
    for number in range(1_201):
        company.deal(number + 1, SINCE + number * step)
    for number in range(1_300, 1_400):
        company.deal(number, SINCE + number * step, is_archived=True)
    expected = Counter([*map(str, range(1, 1_202)), *map(str, range(1_300, 1_400))])
    pages = await read(company, DEALS, PLAIN)

    for number, page in enumerate(pages[:-1], 1):
        rest = await read(company, Window(ObjectKind.DEAL, SINCE, page.until, page.resume), PLAIN)
        assert Counter(ids_in([*pages[:number], *rest], ObjectKind.DEAL)) == expected
    assert {page.until for page in pages} == {NOW - SECOND}


@settings(max_examples=25, deadline=None)
@given(
    seconds=st.lists(st.integers(0, 6), min_size=400, max_size=1_300),
    edits=st.lists(st.lists(st.integers(0, 1_299), max_size=30), max_size=6),
    stop=st.integers(1, 5),
)
async def test_deals_edited_while_somebody_pages_and_is_killed_are_never_lost(
    seconds: list[int], edits: list[list[int]], stop: int
) -> None:
    """A row that changes meanwhile moves towards the end: it is read there, or belongs to the next window.

    Pipedrive's clock runs on between two requests: what is edited after one has a later time than all that it showed.
    """
    company = Company()
    for number, second in enumerate(seconds):
        company.deal(number + 1, SINCE + second * SECOND)
    waiting = list(enumerate(edits, 7))

    def edit(changing: Company) -> None:
        second, numbers = waiting.pop(0) if waiting else (0, [])
        for number in numbers:
            if number < len(seconds):
                changing.rows["deals"][number + 1]["update_time"] = (SINCE + second * SECOND).strftime("%Y-%m-%dT%H:%M:%SZ")

    company.after_request = edit
    until = SINCE + 10 * SECOND
    first = []
    async for page in company.source().changes(Window(ObjectKind.DEAL, SINCE, until), PLAIN, Store().stored()):
        first.append(page)
        if len(first) == stop:
            break

    resume = first[-1].resume
    rest = [] if resume is None else await read(company, Window(ObjectKind.DEAL, SINCE, until, resume), PLAIN)

    due = {str(row["id"]) for row in company.rows["deals"].values() if datetime.fromisoformat(row["update_time"]) <= until}
    assert due <= set(ids_in([*first, *rest], ObjectKind.DEAL))


async def test_an_unreadable_resume_starts_the_window_over() -> None:
    """A resume written by another version may cost reads, never rows."""
    company = Company()
    company.deal(1, SINCE)

    for resume in ("", "garbage", "[]", '{"at_ms": 5}', '{"at_ms": null}'):
        pages = await read(company, Window(ObjectKind.DEAL, SINCE, NOW, resume), PLAIN)
        assert ids_in(pages, ObjectKind.DEAL) == ["1"]


async def test_the_window_ends_with_the_servers_last_second_that_is_over() -> None:
    """Our own clock may be wrong; `updated_until` excludes the instant that it names; a running second is not over."""
    company = Company(ahead=timedelta(minutes=-7))
    company.deal(1, NOW - timedelta(minutes=7) - SECOND)
    company.deal(2, NOW - timedelta(minutes=7))

    page = (await read(company, DEALS, PLAIN))[-1]
    again = await read(company, Window(ObjectKind.DEAL, SINCE, page.until), PLAIN)

    assert page.until == NOW - timedelta(minutes=7) - SECOND
    assert ids_in(again, ObjectKind.DEAL) == ["1"]


async def test_1000_changed_deals_with_200_stage_moves_cost_4020_tokens_and_one_archive() -> None:
    """10 tokens for 500 deals, 20 for each stage move: the customer's daily budget is spent by this arithmetic."""
    company = Company(settings={"api_token": "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed", "daily_tokens": "1000000"})
    store, source = Store(), company.source()
    for number in range(1, 1_001):
        company.deal(number, SINCE + number * SECOND, added=SINCE, stage_change_time=None)
    for page in await read(company, DEALS, stored=store.stored(), source=source):
        store.take(page)
    before = company.spent
    for number in range(1, 1_001):
        row = company.rows["deals"][number]
        company.now = NOW + timedelta(hours=1)
        row["update_time"] = (NOW + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
        if number <= 200:
            row |= {"stage_id": 2, "stage_change_time": row["update_time"]}
            company.changelogs[f"deals/{number}"] = [change("stage_id", "1", "2", NOW + timedelta(minutes=10))]

    pages = await read(company, Window(ObjectKind.DEAL, NOW), stored=store.stored(), source=source)

    assert len(ids_in(pages, ObjectKind.DEAL)) == 1_000
    assert company.spent - before == 2 * 10 + 200 * 20 + 20
    assert source.budget.spent == company.spent
    moved = [entry for page in pages for record in page.records for entry in record.entries]
    assert Counter(entry.value for entry in moved if entry.property == "stage_id" and entry.value == "2") == {"2": 200}


async def test_an_idle_poll_costs_one_list_a_kind_and_the_archive_an_hour() -> None:
    """At most two requests an object; unchanged rows of the overlap cost nothing more."""
    company = Company()
    store, source = Store(), company.source()
    company.deal(1, NOW - timedelta(minutes=5), stage_change_time=(NOW - timedelta(hours=1)).isoformat())
    first = await read(company, Window(ObjectKind.DEAL, NOW - timedelta(minutes=10)), stored=store.stored(), source=source)
    store.take(first[0])
    company.calls.clear()

    company.now += timedelta(minutes=15)
    (second,) = await read(company, Window(ObjectKind.DEAL, NOW - timedelta(minutes=10)), stored=store.stored(), source=source)

    assert (second.records, second.is_last, second.seen) == ((), True, 1)
    assert company.calls == {"GET /api/v2/deals": 1}


async def test_a_day_of_idle_polls_stays_under_a_quarter_of_the_smallest_budget() -> None:
    """30,000 tokens are all that the smallest plan has, for all apps of the company together."""
    company = Company()
    source = company.source()
    settled: dict[ObjectKind, datetime] = {}
    due = dict.fromkeys((ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL), NOW)
    for kind in due:
        settled[kind] = NOW
    while company.now < NOW + timedelta(days=1):
        for kind, at in due.items():
            if at <= company.now:
                window = Window(kind, settled[kind] - source.limits.fast_overlap)
                (page,) = await read(company, window, source=source)
                settled[kind], due[kind] = page.until, company.now + source.poll_every(kind)
        company.now += timedelta(minutes=1)

    assert company.spent < 7_500
    assert company.calls["GET /api/v2/deals/archived"] >= 20
    assert company.calls["GET /api/v2/deals"] >= 80


async def test_a_deal_won_and_archived_between_two_polls_is_read() -> None:
    """Archived deals are in no live list since July 2025 (complaint 6)."""
    company = Company()
    source = company.source()
    await read(company, Window(ObjectKind.DEAL, NOW - timedelta(minutes=10)), PLAIN, source=source)
    won = NOW + timedelta(minutes=3)
    company.deal(1, won, status="won", won_time=won.isoformat(), is_archived=True)

    found, at = [], NOW
    for _poll in range(6):
        company.now += timedelta(minutes=15)
        pages = await read(company, Window(ObjectKind.DEAL, at - timedelta(minutes=10)), source=source)
        found += [record for page in pages for record in page.records]
        at = pages[-1].until

    assert {record.ref.external_id for record in found} == {"1"}
    assert found[0].state is RecordState.LIVE
    assert ("status", "won", won) in [(one.property, one.value, one.entered_at) for one in found[0].entries]


async def test_what_was_archived_before_a_restart_is_read_after_it() -> None:
    """When the archive was read last is known in memory only: the first reading reaches back by a whole interval."""
    company = Company()
    await read(company, Window(ObjectKind.DEAL, NOW - timedelta(minutes=10)), PLAIN)
    company.deal(1, NOW + timedelta(minutes=1), is_archived=True)
    company.now = NOW + timedelta(minutes=50)

    pages = await read(company, Window(ObjectKind.DEAL, NOW + timedelta(minutes=35)), PLAIN)

    assert ids_in(pages, ObjectKind.DEAL) == ["1"]


async def test_a_backfill_does_not_turn_back_the_clock_of_the_archive() -> None:
    """Its window ends long ago; the next poll would read the archive from there."""
    company = Company()
    source = company.source()
    await read(company, Window(ObjectKind.DEAL, NOW - timedelta(minutes=10)), PLAIN, source=source)
    long_ago = NOW - timedelta(days=300)
    await read(company, Window(ObjectKind.DEAL, long_ago - timedelta(days=9), long_ago), PLAIN, source=source)
    company.calls.clear()

    await read(company, Window(ObjectKind.DEAL, NOW - timedelta(minutes=10)), PLAIN, source=source)

    assert company.calls == {"GET /api/v2/deals": 1}


async def test_deleted_deals_are_told_by_the_list() -> None:
    """`status` left out, Pipedrive lists no deleted deal."""
    company = Company()
    company.deal(1, SINCE, is_deleted=True, status="deleted")

    pages = await read(company, DEALS)

    assert [(one.state, one.modified_at) for page in pages for one in page.records] == [(RecordState.DELETED, SINCE)]


async def test_leads_come_from_inbox_and_archive() -> None:
    """Other connectors have no leads at all (complaint 5)."""
    company = Company()
    company.person(7, SINCE)
    company.lead(1, SINCE + SECOND, person_id=7, label_ids=[lead_id(91), lead_id(90)], value={"amount": 50, "currency": "EUR"})
    company.lead(2, SINCE + 2 * SECOND, is_archived=True)
    company.lead(3, SINCE - SECOND)

    pages = await read(company, LEADS)

    records = {record.ref.external_id: record for page in pages for record in page.records}
    first = records[lead_id(1)]
    assert set(records) == {lead_id(1), lead_id(2), "7"}
    assert dict(first.fields) == {"title": "Lead 1", "value": "50"}
    assert first.people is not None
    assert [link.ref.external_id for link in first.people] == ["7"]
    assert [(one.property, one.value, one.is_approximate, one.origin.value) for one in first.entries] == [
        ("label_ids", f"{lead_id(90)},{lead_id(91)}", True, "observed")
    ]


async def test_a_leads_label_is_told_once() -> None:
    """A lead has no changelog: what is stored says whether a value is new."""
    company = Company()
    store, source = Store(), company.source()
    row = company.lead(1, SINCE + SECOND, label_ids=[lead_id(90)])
    for page in await read(company, LEADS, stored=store.stored(), source=source):
        store.take(page)
    row["update_time"] = "2026-11-20T11:00:00.500Z"

    pages = await read(company, LEADS, stored=store.stored(), source=source)

    assert [record.entries for page in pages for record in page.records] == [()]


@pytest.mark.parametrize("knows_updated_since", [True, False])
@pytest.mark.parametrize("step", [timedelta(0), timedelta(milliseconds=3), SECOND])
async def test_leads_go_on_after_any_page(*, knows_updated_since: bool, step: timedelta) -> None:
    """Offsets are no positions: rows move while somebody pages. A server may not know `updated_since`."""
    company = Company(knows_updated_since=knows_updated_since)
    for number in range(1_100):
        company.lead(number, SINCE + SECOND + number * step)
        company.lead(2_000 + number, SINCE + SECOND + number * step, is_archived=True)
        company.lead(9_000 + number, SINCE - timedelta(days=3))
    expected = Counter(lead_id(start + number) for start in (0, 2_000) for number in range(1_100))
    pages = await read(company, LEADS, PLAIN)

    assert Counter(ids_in(pages, ObjectKind.LEAD)) == expected
    for number, page in enumerate(pages[:-1], 1):
        rest = await read(company, Window(ObjectKind.LEAD, SINCE, page.until, page.resume), PLAIN)
        assert Counter(ids_in([*pages[:number], *rest], ObjectKind.LEAD)) == expected


async def test_leads_that_leave_the_archive_while_somebody_pages_make_no_gap() -> None:
    """The rows behind them move up, over the page's edge."""
    company = Company()
    for number in range(1_200):
        company.lead(number, SINCE + SECOND + timedelta(seconds=number), is_archived=True)
    gone = [lead_id(number) for number in range(1_150, 1_190)]

    def unarchive(changing: Company) -> None:
        if changing.calls["GET /api/v1/leads/archived"] == 1:
            for one in gone:
                changing.rows["leads"][one]["is_archived"] = False

    company.after_request = unarchive

    pages = await read(company, LEADS, PLAIN)

    assert Counter(ids_in(pages, ObjectKind.LEAD)) == Counter(map(lead_id, range(1_200)))


async def test_persons_are_read_by_their_own_list() -> None:
    """Changing a person does not touch the deal."""
    company = Company()
    company.person(4, SINCE, emails=[{"value": "", "primary": True}, {"value": " a@b.example ", "primary": False}])

    (page,) = await read(company, Window(ObjectKind.CONTACT, SINCE))

    assert dict(page.records[0].fields) == {"email": "a@b.example", "phone": None}
    assert page.records[0].people is None


async def test_unknown_persons_come_before_their_deals_and_known_ones_are_not_asked() -> None:
    """A deal without its person would be stored as having nobody to be sent for."""
    company = Company()
    for number in range(1, 31):
        company.person(number, SINCE)
        company.deal(number, SINCE, person_id=number)
    store = Store()
    store.versions[ObjectKind.CONTACT, "1"] = SINCE

    pages = await read(company, DEALS, stored=store.stored())

    assert ids_in(pages, ObjectKind.CONTACT) == [str(number) for number in range(2, 31)]
    assert [record.ref.kind for record in pages[0].records][-30:] == [ObjectKind.DEAL] * 30
    assert company.calls["GET /api/v2/persons"] == 1


async def test_more_than_fifteen_custom_fields_are_not_named() -> None:
    """Pipedrive takes fifteen keys, and gives all where none is named."""
    company = Company()
    company.deal(1, SINCE)
    few = [f"{number:040x}" for number in range(15)]
    for names in (few, [*few, "f" * 40]):
        selection = Selection({ObjectKind.DEAL: ObjectSelection(frozenset(names))})
        await read(company, DEALS, selection)

    asked = [request.url.params.get("custom_fields") for request in company.requests if request.url.path == "/api/v2/deals"]
    assert asked == [",".join(few), None]


async def test_a_list_that_does_not_move_on_is_an_error() -> None:
    """Reading the same page for ever would spend the company's tokens."""
    company = Company()
    page = {"success": True, "data": [], "additional_data": {"next_cursor": "again"}}
    company.on_request = lambda _request: httpx.Response(200, json=page)

    with pytest.raises(UnexpectedReply, match="does not move on"):
        await read(company, DEALS, SELECTION)
