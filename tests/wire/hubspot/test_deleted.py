"""The recycle bin, listed: whole, page by page, and what a listed record turns out to be when it is fetched."""

import gc
import tracemalloc
from datetime import timedelta

import httpx
import pytest

from connectors.contract.errors import UnexpectedReply
from connectors.contract.records import ObjectKind, Record, RecordRef, RecordState
from tests.wire.hubspot.fake_account import NOW, SELECTION, Account, nothing_stored, refusal

LIST = "GET /crm/objects/2026-09/deals"


async def listed(account: Account) -> list[list[str]]:
    return [[ref.external_id for ref in page] async for page in account.source().deleted(ObjectKind.DEAL, None)]


async def fetched(account: Account, *ids: str) -> list[Record]:
    refs = [RecordRef(ObjectKind.DEAL, one) for one in ids]
    return list(await account.source().fetch(refs, SELECTION, nothing_stored()))


def binned(account: Account, count: int) -> None:
    for number in range(1, count + 1):
        account.put("deals", number, NOW - timedelta(days=30)).archived_at = NOW - timedelta(days=number % 90)


async def test_an_empty_bin_costs_one_request() -> None:
    """It is asked every day, for each kind."""
    account = Account()
    account.put("deals", 1, NOW)

    assert await listed(account) == [[]]
    assert account.calls.total() == 1


@pytest.mark.parametrize(("count", "pages"), [(99, 1), (100, 1), (101, 2), (300, 3)])
async def test_every_archived_record_is_listed_once(count: int, pages: int) -> None:
    """The list has no order of time: a page that is left out may hold the deal that was deleted today."""
    account = Account()
    binned(account, count)

    found = await listed(account)

    assert [one for page in found for one in page] == [str(number) for number in range(1, count + 1)]
    assert account.calls[LIST] == pages


async def test_a_bin_of_25_000_is_read_in_250_requests_and_the_memory_of_a_page() -> None:
    """A clean-up in the CRM fills the bin for 90 days; memory must not grow with it (P8)."""
    account = Account()
    rows = [{"id": str(10**10 + n), "archived": True, "archivedAt": "2026-11-01T00:00:00Z"} for n in range(100)]

    def answer(_request: httpx.Request) -> httpx.Response:
        account.requests.clear()
        place = account.calls[LIST]
        onward = {"paging": {"next": {"after": str(place)}}} if place < 250 else {}
        return httpx.Response(200, json={"results": rows, **onward})

    account.on_request = answer
    held: dict[int, int] = {}
    seen = 0

    tracemalloc.start()
    async for page in account.source().deleted(ObjectKind.DEAL, None):
        seen += len(page)
        if seen in (2_000, 25_000):
            gc.collect()
            held[seen] = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert (seen, account.calls[LIST]) == (25_000, 250)
    assert held[25_000] - held[2_000] < 1_000_000  # the refs alone are more


async def test_a_row_that_is_not_archived_is_not_listed() -> None:
    """A release that overlooks `archived=true` must not cost a read of every deal."""
    account = Account()
    rows = [{"id": "1", "archived": False}, {"id": "2", "archivedAt": "2026-11-01T00:00:00Z"}, {"id": "3", "archived": True}]
    account.on_request = lambda _: httpx.Response(200, json={"results": rows})

    assert await listed(account) == [["2", "3"]]


async def test_a_list_that_does_not_move_on_is_an_error_and_no_endless_loop() -> None:
    """The same cursor again would hold the source's lease for ever."""
    account = Account()
    account.on_request = lambda _: httpx.Response(200, json={"results": [], "paging": {"next": {"after": "x"}}})

    with pytest.raises(UnexpectedReply, match="does not move on"):
        await listed(account)


async def test_a_listed_id_that_was_merged_is_fetched_as_merged() -> None:
    """The bin holds merged ids too: taken for deleted, revenue that the winner carries would be retracted."""
    account = Account()
    account.put("deals", 9, NOW, num_associated_contacts="0")
    account.put("deals", 2, NOW).archived_at = NOW - timedelta(days=1)
    account.merged = {"deals": {"1": "9"}}

    (ids,) = await listed(account)
    found = {one.ref.external_id: one for one in await fetched(account, *ids)}

    assert {one: record.state for one, record in found.items()} == {
        "1": RecordState.MERGED,
        "2": RecordState.DELETED,
        "9": RecordState.LIVE,
    }
    assert found["1"].merged_into == found["9"].ref


async def test_a_listed_id_that_is_restored_meanwhile_is_fetched_as_live() -> None:
    """Between the list and the batch read, or between the batch read and the single one."""
    account = Account()
    row = account.put("deals", 1, NOW, num_associated_contacts="0")
    row.archived_at = NOW

    def restore(request: httpx.Request) -> None:
        if request.method == "GET":
            row.archived_at = None

    account.on_request = restore

    assert [(one.ref.external_id, one.state) for one in await fetched(account, "1")] == [("1", RecordState.LIVE)]


async def test_a_record_that_only_a_single_read_shows_is_an_error_and_no_deletion() -> None:
    """Two answers that contradict each other are no fact to retract revenue by."""
    account = Account()
    account.put("deals", 1, NOW)

    def overlook(request: httpx.Request) -> httpx.Response | None:
        return None if request.method == "GET" else refusal(404, "OBJECT_NOT_FOUND", "none of these")

    account.on_request = overlook

    with pytest.raises(UnexpectedReply, match="single read"):
        await fetched(account, "1")
