import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectors.simulators.pipedrive import Company
from tests.unit.simulators.pipedrive_rig import DEALS, START, Rig, at

LEADS = "/v1/leads"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Company(has_limits=False))
    yield made
    await made.client.aclose()


async def test_a_lead_has_flat_custom_fields_and_no_empty_ones(rig: Rig) -> None:
    """Leads are v1: the deals' custom fields lie at the root in v1 forms, times have milliseconds, visible_to is text."""
    company = rig.company
    gclid, margin = company.define_field("deal", "gclid", "text"), company.define_field("deal", "Margin", "monetary")
    tags, empty = company.define_field("deal", "Tags", "set", ["a", "b"]), company.define_field("deal", "Empty")
    fields = {"title": "L", "value": {"amount": 5, "currency": "EUR"}, gclid: "Cj0", tags: [1, 2]}
    lead = company.create_lead({**fields, margin: {"value": 2, "currency": "USD"}}, START)

    [row] = await rig.data(LEADS)

    assert (row["id"], uuid.UUID(lead).version) == (lead, 4)
    assert (row["add_time"], row["visible_to"], row["value"]) == (
        "2026-11-01T12:00:00.000Z",
        "3",
        {"amount": 5, "currency": "EUR"},
    )
    assert (row[gclid], row[margin], row[f"{margin}_currency"], row[tags]) == ("Cj0", 2, "USD", "1,2")
    assert (empty in row, "custom_fields" in row) == (False, False)


@pytest.mark.parametrize("is_nested", [True, False])
async def test_leads_page_by_offset(rig: Rig, *, is_nested: bool) -> None:
    """Where the paging stands differs between the spec and the service: a reader must find it in both places."""
    rig.company.has_nested_paging = is_nested
    ids = [rig.company.create_lead({"title": str(number)}, at(number)) for number in range(5)]

    first = (await rig.get(LEADS, start=0, limit=3)).json()
    last = (await rig.get(LEADS, start=3, limit=3)).json()

    paging = first["additional_data"]["pagination"] if is_nested else first["additional_data"]
    assert paging == {"start": 0, "limit": 3, "more_items_in_collection": True, "next_start": 3}
    assert [one["id"] for page in (first, last) for one in page["data"]] == ids


async def test_leads_are_sorted_and_filtered_where_the_filter_exists(rig: Rig) -> None:
    """updated_since is young: a company without it answers with everything, silently."""
    early, late = rig.company.create_lead({"title": "a"}, at(0)), rig.company.create_lead({"title": "b"}, at(1))
    rig.company.update("lead", early, {"title": "c"}, at(2))
    window: dict[str, Any] = {"updated_since": "2026-11-01T13:30:00Z", "sort": "update_time ASC"}

    assert await rig.ids(LEADS) == [early, late]
    assert await rig.ids(LEADS, sort="update_time ASC") == [late, early]
    assert await rig.ids(LEADS, **window) == [early]
    rig.company.has_leads_updated_since = False
    assert await rig.ids(LEADS, **window) == [late, early]
    assert (await rig.get(LEADS, sort="update_time SIDEWAYS")).status_code == 400


async def test_archived_leads_are_a_list_of_their_own(rig: Rig) -> None:
    """It knows no updated_since: newest first until the cursor is the only way."""
    kept, archived, older = (rig.company.create_lead({"title": "x"}, at(0)) for _ in range(3))
    rig.company.archive("lead", older, at(1))
    rig.company.archive("lead", archived, at(2))

    assert await rig.ids(LEADS) == [kept]
    assert await rig.ids(f"{LEADS}/archived", sort="update_time DESC", updated_since="2026-11-01T13:30:00Z") == [archived, older]
    assert (await rig.data(f"{LEADS}/{archived}"))["is_archived"] is True


async def test_a_converted_lead_is_gone_and_the_deal_knows_it(rig: Rig) -> None:
    """The same person must not count twice: source_lead_id is the only link, and the custom fields come along."""
    company = rig.company
    gclid = company.define_field("deal", "gclid", "text")
    person = company.create_person({"name": "Jane"}, START)
    lead = company.create_lead({"title": "L", "person_id": person, gclid: "Cj0"}, START)

    started = (await rig.post(f"/api/v2/leads/{lead}/convert/deal", stage_id=2)).json()["data"]["conversion_id"]
    status = await rig.data(f"/api/v2/leads/{lead}/convert/status/{started}")
    deal = await rig.data(f"{DEALS}/{status['deal_id']}", include_fields="source_lead_id")
    unasked = await rig.data(f"{DEALS}/{status['deal_id']}")

    assert (status["status"], deal["source_lead_id"], deal["person_id"], deal["stage_id"]) == ("completed", lead, person, 2)
    assert (deal["custom_fields"], "source_lead_id" in unasked) == ({gclid: "Cj0"}, False)
    assert (await rig.ids(LEADS), (await rig.get(f"{LEADS}/{lead}")).status_code) == ([], 404)
    assert (await rig.post(f"/api/v2/leads/{lead}/convert/deal")).status_code == 404


async def test_a_lead_is_patched_flat(rig: Rig) -> None:
    """Write-back to a lead has its code at the root; v2's nested form and wrong types are refused."""
    code = rig.company.define_field("deal", "Sync status")
    lead = rig.company.create_lead({"title": "L"}, START)

    done = await rig.patch(f"{LEADS}/{lead}", **{code: "sent"})
    wrong = [await rig.patch(f"{LEADS}/{lead}", **body) for body in ({"custom_fields": {code: "x"}}, {code: 5}, {"title": 5})]

    assert (done.json()["data"][code], done.json()["data"]["update_time"]) == ("sent", "2026-11-02T12:00:00.000Z")
    assert [one.status_code for one in wrong] == [400, 400, 400]


async def test_lead_metadata(rig: Rig) -> None:
    """Labels are UUIDs, sources are fixed, and the fields are the leads' own and the deals' custom ones."""
    code = rig.company.define_field("deal", "Tier", "enum", ["A", "B"])
    label = rig.company.define_label("VIP")

    fields = {one["key"]: one for one in await rig.data("/v1/leadFields")}

    assert label in [one["id"] for one in await rig.data("/v1/leadLabels")]
    assert {"name": "API"} in await rig.data("/v1/leadSources")
    assert [one["label"] for one in fields[code]["options"]] == ["A", "B"]
    assert fields["title"]["options"] is None
