"""How much is asked for at once: the setting, and what an outage teaches."""

import json
from collections import Counter
from datetime import timedelta

import httpx
import pytest

from connectors.contract.errors import Effect, RateLimited, Unavailable
from connectors.contract.records import ObjectKind
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Page, Window
from connectors.crm.hubspot.portions import ANSWERS_TO_GROW, Portion
from connectors.crm.hubspot.source import HubSpotSource
from tests.wire.hubspot.fake_account import NOW, Account, ids_in, nothing_stored, read

SINCE = NOW - timedelta(days=1)
DEALS = Window(ObjectKind.DEAL, SINCE, NOW)
PLAIN = Selection({ObjectKind.DEAL: ObjectSelection()})


def account_with(count: int) -> Account:
    account = Account()
    for number in range(count):
        account.put("deals", number + 1, SINCE + timedelta(seconds=number))
    return account


def limits(account: Account) -> list[int]:
    searches = [one for one in account.requests if one.url.path.endswith("/search")]
    return [json.loads(one.content)["limit"] for one in searches]


async def pages_of(source: HubSpotSource, window: Window = DEALS) -> list[Page]:
    return [page async for page in source.changes(window, PLAIN, nothing_stored())]


async def test_the_page_size_is_a_setting() -> None:
    """Heavy accounts answer 200 rows with a timeout."""
    account = account_with(120)

    pages = await read(account, DEALS, PLAIN, page_rows="50")

    assert limits(account) == [50, 50, 50]
    assert len(ids_in(pages, ObjectKind.DEAL)) == 120


async def test_an_outage_halves_what_is_asked_for_next_and_answers_double_it_again() -> None:
    """A page that HubSpot cannot make would otherwise stop the source for ever."""
    account = account_with(3_000)
    source = account.source()

    def gives_up(request: httpx.Request) -> httpx.Response | None:
        too_much = request.url.path.endswith("/search") and json.loads(request.content)["limit"] > 100
        return httpx.Response(504) if too_much else None

    account.on_request = gives_up
    with pytest.raises(Unavailable):
        await pages_of(source)
    account.on_request = lambda _request: None
    pages = await pages_of(source)

    assert limits(account)[:4] == [200] * 4
    assert limits(account)[4:] == [100] * ANSWERS_TO_GROW + [200] * 10
    assert Counter(ids_in(pages, ObjectKind.DEAL)) == Counter(str(number + 1) for number in range(3_000))


async def test_reads_by_id_are_made_smaller_too() -> None:
    """Fifty long histories in one answer may be what HubSpot cannot make."""
    account = account_with(60)
    source = account.source()
    chosen = Selection({ObjectKind.DEAL: ObjectSelection(history_properties=frozenset({"dealstage"}))})
    asked: list[int] = []

    def gives_up(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/batch/read"):
            return None
        asked.append(len(json.loads(request.content)["inputs"]))
        return httpx.Response(502) if asked[-1] > 25 else None

    account.on_request = gives_up
    with pytest.raises(Unavailable):
        await anext(source.changes(DEALS, chosen, nothing_stored()))
    page = await anext(source.changes(DEALS, chosen, nothing_stored()))

    assert asked == [50] * 4 + [25, 25, 10]
    assert len(page.records) == 60


async def test_what_was_found_before_an_outage_is_committed() -> None:
    """Five searches make a page: an hour in which each fifth fails would otherwise never move the cursor."""
    account = account_with(1_200)

    def fails_behind_500(request: httpx.Request) -> httpx.Response | None:
        searched = sum(one.url.path.endswith("/search") for one in account.requests)
        return httpx.Response(503) if request.url.path.endswith("/search") and searched > 3 else None

    account.on_request = fails_behind_500
    window = account.source().changes(DEALS, PLAIN, nothing_stored())
    pages = [await anext(window)]
    with pytest.raises(Unavailable):
        await anext(window)
    account.on_request = lambda _request: None
    rest = await pages_of(account.source(), Window(ObjectKind.DEAL, SINCE, NOW, pages[-1].resume))

    assert [(len(page.records), page.is_last) for page in pages] == [(600, False)]
    assert Counter(ids_in([*pages, *rest], ObjectKind.DEAL)) == Counter(str(number + 1) for number in range(1_200))


async def test_a_spent_day_ends_the_page_at_once() -> None:
    """Each request after it is an error that HubSpot counts against the app; the searches before it are asked again."""
    account = account_with(1_200)

    def spent(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(429, json={"policyName": "DAILY"}) if len(account.requests) > 2 else None

    account.on_request = spent

    with pytest.raises(RateLimited):
        await anext(account.source().changes(DEALS, PLAIN, nothing_stored()))

    assert len(account.requests) == 3


async def test_a_portion_never_falls_below_an_eighth_or_one() -> None:
    """An outage of a day must not leave a source that crawls."""
    portion = Portion()

    async def fail(status: int) -> None:
        raise Unavailable("no", effect=Effect.NONE, status=status)

    for _ in range(9):
        with pytest.raises(Unavailable):
            await portion.watch(fail(503))
    locked = Portion()
    with pytest.raises(Unavailable):
        await locked.watch(fail(423))

    assert (portion.of(200), portion.of(4), locked.of(200)) == (25, 1, 200)
