"""What every CRM source must do where the vendor fails: an error that says so, and nothing lost by it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from connectors.contract.errors import AuthenticationFailed, ConnectorError, RateLimited
from connectors.contract.findings import FindingStatus
from connectors.contract.records import RecordRef
from connectors.contract.source import Page, Window
from connectors.simulators.faults import Fault, garbage, lost_answers, server_error
from tests.contract.crm_stage import CrmStage, Step
from tests.contract.reading import DEAL, HOUR, MINUTE, Reading, crowd, later, refs_of


async def counted(stage: CrmStage, read: Callable[[], Awaitable[object]]) -> int:
    """How many requests that takes."""
    before = len(stage.plan.met), stage.asked()
    await read()
    return stage.asked() - before[1]


async def test_a_token_that_runs_out_in_page_7_is_renewed_once(stage: CrmStage) -> None:
    """One refresh, page 7 again, none lost and none twice."""
    reading = Reading(stage, oauth=True)
    await reading.select()
    since = stage.clock()
    made = crowd(stage, 8 * reading.crm.limits.page_rows, every=timedelta(0))
    later(stage)
    pages: list[Page] = []
    refreshed = 0

    async for page in reading.crm.changes(Window(DEAL, since), reading.selection, reading.store.stored()):
        pages.append(page)
        if len(pages) == 6:
            refreshed = stage.refreshes()
            stage.expire_tokens()

    assert stage.refreshes() - refreshed == 1
    assert Counter(refs_of(pages, DEAL)) == Counter(made)


async def test_ten_workers_and_an_expired_token_make_one_refresh(stage: CrmStage) -> None:
    """All find the token dead at once; the vendor must see one renewal."""
    first = Reading(stage, oauth=True)
    await first.select()
    since = stage.clock()
    later(stage)
    workers = [Reading(stage, oauth=True, tokens=first.tokens) for _ in range(10)]
    for one in workers:
        one.selection = first.selection
    await asyncio.gather(*(one.window(DEAL, since) for one in workers))
    before = stage.refreshes()
    stage.expire_tokens()

    await asyncio.gather(*(one.window(DEAL, since) for one in workers))

    assert stage.refreshes() - before == 1


async def test_credentials_that_are_refused_for_good_are_told_as_such(stage: CrmStage, reading: Reading) -> None:
    """A human is needed: no endless retry, no loss."""
    stage.plan.always(stage.faults.expired_token)

    with pytest.raises(AuthenticationFailed):
        await reading.window(DEAL, stage.clock() - HOUR)
    findings = await reading.crm.check()

    assert any(one.status is FindingStatus.FAILED and one.mend for one in findings)


async def test_a_throttled_read_goes_on(stage: CrmStage, reading: Reading) -> None:
    """Seconds of waiting are the client's matter."""
    since = stage.clock()
    made = crowd(stage, 20)
    later(stage)
    stage.plan.script(stage.faults.throttled, None, stage.faults.throttled)

    pages = await reading.window(DEAL, since)

    assert Counter(refs_of(pages, DEAL)) == Counter(made)
    assert reading.slept


async def test_a_used_up_day_is_told_with_a_time_and_loses_no_page(stage: CrmStage, reading: Reading) -> None:
    """What was committed stays; the rest is read when the budget is back."""
    since = stage.clock()
    made = crowd(stage, 2 * reading.crm.limits.page_rows)
    later(stage)
    pages: list[Page] = []

    async def read_on() -> None:
        async for page in reading.crm.changes(Window(DEAL, since), reading.selection, reading.store.stored()):
            pages.append(page)
            stage.plan.always(stage.faults.daily)

    with pytest.raises(RateLimited) as caught:
        await read_on()
    stage.plan.clear()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 15 * MINUTE
    stage.clock.go_on(caught.value.retry_after)
    going_on = Window(DEAL, since, pages[-1].until, pages[-1].resume)
    pages += [page async for page in reading.crm.changes(going_on, reading.selection, reading.store.stored())]

    assert Counter(refs_of(pages, DEAL)) == Counter(made)


def broken() -> dict[str, Fault]:
    return {**lost_answers(), "html": server_error(502), "cut": garbage()}


@pytest.mark.parametrize("name", sorted(broken()))
async def test_an_answer_that_is_lost_or_garbage_is_never_taken_for_data(stage: CrmStage, reading: Reading, name: str) -> None:
    """At every request of a reading: it ends complete, or with an error after which a new reading is complete."""
    since = stage.clock()
    person = stage.add_person(later(stage), "ann@customer.example.com")
    made = [*crowd(stage, 3), stage.add_deal(later(stage), Step.OPPORTUNITY, person=person)]
    later(stage)
    count = await counted(stage, lambda: Reading(stage, selection=reading.selection).window(DEAL, since))
    assert count > 0

    for place in range(count):
        other = Reading(stage, selection=reading.selection)
        stage.plan.script(*[None] * place, broken()[name])
        try:
            await other.window(DEAL, since)
        except ConnectorError:
            stage.plan.clear()
            await other.window(DEAL, since)
        stage.plan.clear()
        assert {ref.external_id for ref in other.store.records if ref.kind is DEAL} == set(made)
        deal = other.store.records[RecordRef(DEAL, made[-1])]
        assert [link.ref.external_id for link in deal.people or ()] == [person]


async def test_an_error_that_nobody_documented_is_told(stage: CrmStage, reading: Reading) -> None:
    """Not swallowed, not taken for an empty page."""
    crowd(stage, 3)
    stage.plan.always(stage.faults.refused)

    with pytest.raises(ConnectorError):
        await reading.window(DEAL, stage.clock() - HOUR)
