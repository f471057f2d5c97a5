"""Records read by ref: what a webhook hinted at, and what Pipedrive no longer shows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.contract.errors import AuthenticationFailed
from connectors.contract.records import ObjectKind, Record, RecordRef, RecordState
from tests.wire.pipedrive.fake_company import NOW, SELECTION, Company, Store, iso, lead_id, nothing_stored, refusal

SINCE = NOW - timedelta(days=1)
DEAL, CONTACT, LEAD = ObjectKind.DEAL, ObjectKind.CONTACT, ObjectKind.LEAD


async def fetched(company: Company, *refs: tuple[ObjectKind, str], stored: Any = None) -> Sequence[Record]:
    found = [RecordRef(kind, one) for kind, one in refs]
    return await company.source().fetch(found, SELECTION, stored or nothing_stored())


async def test_a_few_are_read_one_by_one_for_a_token_each() -> None:
    """A list of ids costs ten tokens; a webhook names one deal."""
    company = Company()
    company.deal(1, SINCE, person_id=5)
    company.person(5, SINCE)

    records = await fetched(company, (DEAL, "1"))

    assert [(record.ref.kind, record.ref.external_id) for record in records] == [(CONTACT, "5"), (DEAL, "1")]
    assert company.spent == 2
    assert company.requests[0].url.params["include_fields"] == "first_won_time,source_lead_id"


async def test_many_are_read_a_hundred_at_once_and_archived_ones_are_found() -> None:
    """A list of ids leaves archived deals out without a word; they are not deleted."""
    company = Company()
    for number in range(1, 151):
        company.deal(number, SINCE, is_archived=number == 150)

    records = await fetched(company, *((DEAL, str(number)) for number in range(1, 151)))

    assert [record.state for record in records] == [RecordState.LIVE] * 150
    assert company.calls["GET /api/v2/deals"] == 2
    assert company.spent == 2 * 10 + 1


@pytest.mark.parametrize("status", [404, 410])
async def test_what_pipedrive_no_longer_shows_is_deleted(status: int) -> None:
    """Deleted deals answer 404 once 30 days have passed; a converted lead does at once."""
    company = Company()
    company.on_request = lambda request: None if request.url.path.endswith("/deals") else refusal(status, "not found")

    records = await fetched(company, (DEAL, "1"), (CONTACT, "2"), (LEAD, lead_id(3)), (DEAL, "no id"), (LEAD, "7"))

    assert {record.ref.external_id: record.state for record in records} == dict.fromkeys(
        ("1", "2", lead_id(3), "no id", "7"), RecordState.DELETED
    )
    assert {record.modified_at for record in records} == {NOW}


async def test_a_lead_that_became_a_deal_is_not_deleted() -> None:
    """Its webhook says `delete`, and it may come before the deal's: revenue and milestones would be taken back."""
    company = Company()
    company.deal(7, SINCE, source_lead_id=lead_id(1))

    records = await fetched(company, (LEAD, lead_id(1)), (LEAD, lead_id(2)))

    assert {record.ref.external_id: record.state for record in records} == {
        lead_id(1): RecordState.CONVERTED,
        lead_id(2): RecordState.DELETED,
    }
    asked = company.requests[-1].url.params
    assert (asked["sort_by"], asked["sort_direction"], asked["limit"]) == ("add_time", "desc", "500")
    assert company.spent == 10


async def test_a_converted_lead_beside_its_deal_costs_no_list() -> None:
    """Both webhooks come within a second, so that one reading knows of both."""
    company = Company()
    company.deal(7, SINCE, source_lead_id=lead_id(1))

    records = await fetched(company, (LEAD, lead_id(1)), (DEAL, "7"))

    assert [record.state for record in records] == [RecordState.CONVERTED, RecordState.LIVE]
    assert company.spent == 1


async def test_a_lead_known_to_be_a_deal_is_not_asked_for() -> None:
    """Its `delete` comes after all was read, and a backfill names thousands: each would cost two tokens to be told nothing."""
    company = Company()

    async def converted(_kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
        return frozenset(ids)

    records = await fetched(company, (LEAD, lead_id(1)), stored=replace(nothing_stored(), converted=converted))

    assert (records, company.requests) == ([], [])


async def test_a_deal_in_the_recycle_bin_is_deleted() -> None:
    """For thirty days Pipedrive still shows it, marked."""
    company = Company()
    company.deal(1, SINCE, is_deleted=True, status="deleted", stage_change_time=iso(NOW))

    (record,) = await fetched(company, (DEAL, "1"))

    assert (record.state, record.modified_at, record.entries) == (RecordState.DELETED, SINCE, ())


async def test_a_record_that_this_user_may_not_see_is_left_out() -> None:
    """It is not said to be gone: a deletion would take back revenue."""
    company = Company()
    company.deal(1, SINCE)
    company.on_request = lambda request: refusal(403, "No access") if request.url.path.endswith("/2") else None

    records = await fetched(company, (DEAL, "1"), (DEAL, "2"))

    assert [record.ref.external_id for record in records] == ["1"]


async def test_a_missing_scope_is_no_missing_record() -> None:
    """Else every hint would be taken as done while nothing can be read."""
    company = Company()
    company.on_request = lambda _request: refusal(403, "Scope and URL mismatch")

    with pytest.raises(AuthenticationFailed):
        await fetched(company, (DEAL, "1"))


async def test_a_person_fetched_beside_its_deal_is_read_once() -> None:
    """Two hints of one change."""
    company = Company()
    company.deal(1, SINCE, person_id=5)
    company.person(5, SINCE)

    records = await fetched(company, (DEAL, "1"), (CONTACT, "5"))

    assert [record.ref.external_id for record in records] == ["5", "1"]
    assert company.calls["GET /api/v2/persons/5"] == 1


async def test_a_lead_comes_with_its_unknown_person() -> None:
    """A lead's identity is its person's."""
    company = Company()
    company.lead(1, SINCE, person_id=5, organization_id=8)
    company.person(5, SINCE)
    store = Store()

    first = await fetched(company, (LEAD, lead_id(1)), stored=store.stored())
    store.take(first)
    second = await fetched(company, (LEAD, lead_id(1)), stored=store.stored())

    assert [record.ref.external_id for record in first] == ["5", lead_id(1)]
    assert [record.ref.external_id for record in second] == [lead_id(1)]
    assert first[1].company == RecordRef(ObjectKind.COMPANY, "8")
    assert first[1].created_at == SINCE


async def test_a_history_that_is_held_is_not_read_again() -> None:
    """Webhooks tell of every edit; twenty tokens each would be the day's budget in an hour."""
    company, store = Company(), Store()
    row = company.deal(1, SINCE, added=SINCE - timedelta(days=9), stage_change_time=iso(SINCE), stage_id=4)
    store.take(await fetched(company, (DEAL, "1"), stored=store.stored()))
    row["update_time"] = iso(NOW)

    await fetched(company, (DEAL, "1"), stored=store.stored())

    assert company.calls["GET /api/v1/deals/1/changelog"] == 1
