"""What every CRM source must do, on every CRM: nothing skipped, nothing repeated, everything at its instant."""

from collections import Counter
from datetime import datetime, timedelta

import pytest

from connectors.contract.findings import FindingStatus
from connectors.contract.records import EntryOrigin, ObjectKind, RecordRef, RecordState
from connectors.contract.source import ListsDeleted, Window
from tests.contract.crm_stage import Ability, CrmStage, Step
from tests.contract.reading import CONTACT, DEAL, HOUR, LEAD, MINUTE, SECOND, Reading, crowd, entered, later, refs_of
from tests.contract.stages import on_stages_with


async def test_pages_are_complete(stage: CrmStage, reading: Reading) -> None:
    """More rows than two pages hold, many of them in one second: each comes once, and the last page says so."""
    since = stage.clock()
    rows = reading.crm.limits.page_rows
    made = crowd(stage, rows + rows // 2)
    made += crowd(stage, rows, every=timedelta(0))
    later(stage)

    pages = await reading.window(DEAL, since)

    assert Counter(refs_of(pages, DEAL)) == Counter(made)
    assert sum(page.seen for page in pages) == len(made)
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert [page.resume is None for page in pages] == [page.is_last for page in pages]
    assert len({page.until for page in pages}) == 1


async def test_a_resume_from_any_page_neither_skips_nor_repeats(stage: CrmStage, reading: Reading) -> None:
    """A process may die after any page; a new one knows only what was stored with it."""
    since = stage.clock()
    rows = reading.crm.limits.page_rows
    made = crowd(stage, rows) + crowd(stage, rows, every=timedelta(0)) + crowd(stage, rows // 2)
    later(stage)
    pages = await reading.window(DEAL, since)

    for place, page in enumerate(pages[:-1]):
        other = Reading(stage)
        other.selection = reading.selection
        going_on = Window(DEAL, since, page.until, page.resume)
        rest = [one async for one in other.crm.changes(going_on, other.selection, other.store.stored())]
        assert Counter(refs_of([*pages[: place + 1], *rest], DEAL)) == Counter(made)


async def test_what_changes_while_it_is_paged_is_read_in_its_last_version(stage: CrmStage, reading: Reading) -> None:
    """Rows move to the end while somebody reads: no other row may be missed by it, and the next poll has the new version."""
    since = stage.clock()
    made = crowd(stage, 2 * reading.crm.limits.page_rows + 10)
    later(stage)
    until: datetime | None = None

    async for page in reading.crm.changes(Window(DEAL, since), reading.selection, reading.store.stored()):
        reading.store.take(page.records)
        if until is None:
            until = page.until
            for deal in (made[0], made[5], made[-1], made[-7]):
                stage.move(deal, Step.OPPORTUNITY, later(stage, SECOND))
    later(stage)
    assert until is not None
    await reading.poll(until)

    name, value = stage.value_of(Step.OPPORTUNITY)
    assert {ref.external_id for ref in reading.store.records if ref.kind is DEAL} == set(made)
    for deal in (made[0], made[5], made[-1], made[-7]):
        assert entered(reading.store, RecordRef(DEAL, deal), name)[-1][1] == value


@pytest.mark.parametrize("late_by", [3 * MINUTE, 40 * MINUTE, 30 * HOUR])
async def test_what_the_crm_shows_late_is_found_by_the_overlap(stage: CrmStage, reading: Reading, late_by: timedelta) -> None:
    """Long transactions and slow indexes show a change after the cursor has moved on, with its old modification."""
    limits = reading.crm.limits
    overlap = next(
        each for each in (limits.fast_overlap, limits.sweep_overlap, limits.deep_overlap) if each > late_by + 2 * MINUTE
    )
    since = stage.clock()
    deal = stage.add_deal(later(stage), Step.OPPORTUNITY, late_by=late_by)
    first = await reading.window(DEAL, since)
    stage.clock.go_on(late_by)

    second = await reading.poll(first[-1].until, overlap=overlap)

    assert (refs_of(first, DEAL), refs_of(second, DEAL)) == ([], [deal])


async def test_what_is_stored_in_this_version_costs_no_further_read(stage: CrmStage, reading: Reading) -> None:
    """Every poll overlaps the one before."""
    since = stage.clock()
    person = stage.add_person(later(stage), "ann@customer.example.com")
    stage.add_deal(later(stage), Step.OPPORTUNITY, person=person)
    later(stage)
    await reading.poll(since)

    before = stage.asked()
    pages = await reading.poll(since)

    # Salesforce tells that a deal's contact roles changed, not whether we have them: such a deal is read again in the overlap.
    assert sum(len(page.records) for page in pages) <= (stage.kind == "salesforce")
    assert stage.asked() - before <= 2 * len(reading.selection.objects)


async def test_an_idle_poll_asks_at_most_twice_for_a_kind(stage: CrmStage, reading: Reading) -> None:
    """The customer's budget is shared with all his other tools."""
    since = stage.clock()
    later(stage, HOUR)

    before = stage.asked()
    await reading.poll(since)

    assert stage.asked() - before <= 2 * len(reading.selection.objects)


async def test_every_step_between_two_polls_is_an_entry_at_its_instant(stage: CrmStage, reading: Reading) -> None:
    """Moved twice between two polls, created as won, opened again and won again: the history tells it all."""
    since = stage.clock()
    at = [since + number * MINUTE for number in range(1, 9)]
    moved = stage.add_deal(at[0])
    stage.move(moved, Step.OPPORTUNITY, at[1])
    stage.move(moved, Step.WON, at[2])
    hasty = stage.add_deal(at[3], Step.WON, amount=900)
    stage.move(moved, Step.OPPORTUNITY, at[4])
    stage.move(moved, Step.WON, at[5])
    stage.clock.at = at[7]

    await reading.poll(since)

    name, value = stage.value_of(Step.WON)

    def won(deal: str) -> list[datetime]:
        return [when for when, what in entered(reading.store, RecordRef(DEAL, deal), name) if what == value]

    assert (won(moved), won(hasty)) == ([at[2], at[5]], [at[3]])
    opened, stage_value = stage.value_of(Step.OPPORTUNITY)
    assert (at[1], stage_value) in entered(reading.store, RecordRef(DEAL, moved), opened)


async def test_the_people_of_a_deal_come_with_it(stage: CrmStage, reading: Reading) -> None:
    """Without them nobody could be named to a platform; a person who is known is not read again."""
    since = stage.clock()
    person = stage.add_person(later(stage), "ann@customer.example.com")
    later(stage, 2 * HOUR)
    since = stage.clock()
    deal = stage.add_deal(later(stage), Step.OPPORTUNITY, person=person)
    later(stage)

    pages = await reading.window(DEAL, since)

    order = [record.ref for page in pages for record in page.records]
    (read,) = (record for page in pages for record in page.records if record.ref.kind is DEAL)
    assert order.index(RecordRef(CONTACT, person)) < order.index(RecordRef(DEAL, deal))
    assert [link.ref for link in read.people or ()] == [RecordRef(CONTACT, person)]
    stage.move(deal, Step.WON, later(stage))
    later(stage)
    assert refs_of(await reading.window(DEAL, since), CONTACT) == []


async def test_a_person_put_on_a_deal_later_is_seen(stage: CrmStage, reading: Reading) -> None:
    """The link may change without the deal being touched."""
    since = stage.clock()
    deal = stage.add_deal(later(stage), Step.OPPORTUNITY)
    person = stage.add_person(later(stage), "ann@customer.example.com")
    later(stage)
    first = await reading.poll(since)
    since = first[-1].until
    stage.link(deal, person, later(stage, HOUR))
    later(stage)

    await reading.poll(since)

    assert [link.ref for link in reading.store.records[RecordRef(DEAL, deal)].people or ()] == [RecordRef(CONTACT, person)]


async def test_a_stage_that_the_pipeline_no_longer_has_is_kept(stage: CrmStage, reading: Reading) -> None:
    """An administrator tidies up; what happened has happened."""
    since = stage.clock()
    at = later(stage)
    deal = stage.add_deal(at)
    stage.move(deal, Step.OPPORTUNITY, later(stage))
    later(stage)
    stage.forget_stage(Step.OPPORTUNITY)
    await reading.crm.describe()

    await reading.poll(since)

    name, value = stage.value_of(Step.OPPORTUNITY)
    assert (at + MINUTE, value) in entered(reading.store, RecordRef(DEAL, deal), name)


async def test_merged_people_are_told_with_their_survivor(stage: CrmStage, reading: Reading) -> None:
    """Without the alias one person would count twice, or a merge would look like a deletion."""
    since = stage.clock()
    winner, loser = (stage.add_person(later(stage), f"{one}@customer.example.com") for one in ("ann", "bob"))
    stage.qualify(loser, later(stage))
    later(stage)
    first = await reading.poll(since)
    stage.webhooks()

    survivor = stage.merge_people(winner, loser, later(stage, HOUR))

    assert (await _merges_told(stage, reading, first[-1].until, CONTACT, winner, loser))[loser] == RecordRef(CONTACT, survivor)


@on_stages_with(Ability.MERGES_DEALS)
@pytest.mark.parametrize("is_winner_known", [True, False])
async def test_merged_deals_are_told_with_their_survivor(stage: CrmStage, reading: Reading, *, is_winner_known: bool) -> None:
    """Else the loser's revenue would be taken back as a deletion's, or count beside the winner's."""
    since = stage.clock()
    early = stage.add_deal(later(stage), Step.OPPORTUNITY, amount=100) if is_winner_known else ""
    loser = stage.add_deal(later(stage), Step.OPPORTUNITY, amount=200)
    later(stage)
    first = await reading.poll(since)
    winner = early or stage.add_deal(later(stage), Step.OPPORTUNITY, amount=100)
    stage.webhooks()

    survivor = stage.merge_deals(winner, loser, later(stage, HOUR))
    stage.move(survivor, Step.WON, at := later(stage))
    later(stage)

    assert (await _merges_told(stage, reading, first[-1].until, DEAL, winner, loser))[loser] == RecordRef(DEAL, survivor)
    name, value = stage.value_of(Step.WON)
    assert reading.store.records[RecordRef(DEAL, survivor)].state is RecordState.LIVE
    assert (at, value) in entered(reading.store, RecordRef(DEAL, survivor), name)


async def _merges_told(
    stage: CrmStage, reading: Reading, since: datetime, kind: ObjectKind, *merged: str
) -> dict[str, RecordRef | None]:
    """What became of merged ids, by webhook, poll or fetch."""
    hints = [hint for request in stage.webhooks() for hint in reading.parsed(request)]
    await reading.poll(since)
    await reading.fetch(*(RecordRef(kind, one) for one in merged))
    told: dict[str, RecordRef | None] = {hint.ref.external_id: hint.merged_into for hint in hints if hint.merged_into is not None}
    for record in reading.store.records.values():
        if record.ref.kind is kind:
            told |= dict.fromkeys(record.merged_ids, record.ref)
        if record.ref.kind is kind and record.state is RecordState.MERGED:
            told[record.ref.external_id] = record.merged_into
    return told


@pytest.mark.parametrize("kind", [DEAL, CONTACT])
async def test_a_deleted_record_is_told_as_deleted_and_a_restored_one_as_live(
    stage: CrmStage, reading: Reading, kind: ObjectKind
) -> None:
    """By polling, by the CRM's list of deleted records, or by its webhook; and `fetch` says what became of it."""
    since = stage.clock()
    one = stage.add_deal(later(stage)) if kind is DEAL else stage.add_person(later(stage), "ann@customer.example.com")
    ref = RecordRef(kind, one)
    if kind is CONTACT:
        stage.qualify(one, later(stage))
    later(stage)
    first = await reading.poll(since)
    stage.webhooks()
    stage.delete(kind, one, later(stage, HOUR))
    later(stage)

    polled = await reading.poll(first[-1].until)

    told = {record.ref for page in polled for record in page.records if record.state is RecordState.DELETED}
    told |= {hint.ref for request in stage.webhooks() for hint in reading.parsed(request)}
    assert ref in told
    if isinstance(reading.crm, ListsDeleted):
        listed = [each async for page in reading.crm.deleted(kind, since) for each in page]
        assert ref in {*listed, *(record.ref for page in polled for record in page.records)}
    assert [record.state for record in await reading.fetch(ref) if record.ref == ref] == [RecordState.DELETED]
    stage.restore(kind, one, later(stage, HOUR))
    later(stage)
    await reading.fetch(ref)
    assert reading.store.records[ref].state is RecordState.LIVE


@on_stages_with(Ability.ARCHIVES_DEALS)
async def test_an_archived_deal_is_live(stage: CrmStage, reading: Reading) -> None:
    """Won, then tidied away before the poll: it was won all the same."""
    since = stage.clock()
    deal = stage.add_deal(later(stage), Step.OPPORTUNITY, amount=900)
    stage.move(deal, Step.WON, at := later(stage))
    stage.archive_deal(deal, later(stage))
    later(stage)

    await reading.poll(since)

    name, value = stage.value_of(Step.WON)
    assert reading.store.records[RecordRef(DEAL, deal)].state is RecordState.LIVE
    assert (at, value) in entered(reading.store, RecordRef(DEAL, deal), name)


@on_stages_with(Ability.LEADS)
async def test_a_converted_lead_is_no_deleted_lead(stage: CrmStage, reading: Reading) -> None:
    """A lead that became a contact and a deal is told with both."""
    since = stage.clock()
    lead = stage.add_lead(later(stage), "ann@customer.example.com")
    stage.qualify_lead(lead, later(stage))
    later(stage)
    first = await reading.poll(since)
    contact, deal = stage.convert_lead(lead, later(stage, HOUR))
    later(stage)

    await reading.poll(first[-1].until)

    held = reading.store.records
    by_lead = {link.ref for link in held[RecordRef(LEAD, lead)].people or ()}
    assert RecordRef(CONTACT, contact) in by_lead
    assert [link.ref for link in held[RecordRef(DEAL, deal)].people or ()] == [RecordRef(CONTACT, contact)]
    is_still_there = held[RecordRef(LEAD, lead)].state is RecordState.LIVE
    assert is_still_there or RecordRef(LEAD, lead) in held[RecordRef(DEAL, deal)].converted_from


@on_stages_with(Ability.HISTORY_IS_OPTIONAL)
async def test_a_lead_without_history_is_told_as_observed(stage: CrmStage) -> None:
    """Where an administrator keeps no history the instant is the poll's, and everybody is told so."""
    stage.stop_history()
    reading = Reading(stage)
    await reading.select()
    since = stage.clock()
    lead = stage.add_lead(later(stage), "ann@customer.example.com")
    stage.qualify_lead(lead, at := later(stage))
    later(stage)

    await reading.poll(since)

    schema = await reading.crm.describe()
    last = max(reading.store.entries[RecordRef(LEAD, lead)].values(), key=lambda one: one.entered_at)
    assert (last.origin, last.is_approximate, last.entered_at) == (EntryOrigin.OBSERVED, True, at)
    assert not schema.properties[LEAD][last.property].has_history
    assert schema.notices
    findings = await reading.crm.check(frozenset(reading.selection.objects))
    assert any(one.status is not FindingStatus.OK and one.mend for one in findings)
