from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectors.simulators.pipedrive import Company
from tests.unit.simulators.pipedrive_rig import DEALS, START, Rig, at


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Company(has_limits=False))
    yield made
    await made.client.aclose()


async def test_a_custom_field_is_made_and_written(rig: Rig) -> None:
    """Write-back makes its own field once and writes only custom_fields, which moves update_time and nothing else."""
    made = (await rig.post("/api/v2/dealFields", field_name="Leadloop status", field_type="varchar")).json()["data"]
    deal = rig.company.create_deal({"title": "x", "value": 7}, START)
    code = made["field_code"]

    row = (await rig.patch(f"{DEALS}/{deal}", custom_fields={code: "sent"})).json()["data"]
    [line] = await rig.data(f"/v1/deals/{deal}/changelog")

    assert (len(code), made["is_custom_field"], row["custom_fields"], row["value"]) == (40, True, {code: "sent"}, 7)
    assert row["update_time"] == "2026-11-02T12:00:00Z"
    assert (line["field_key"], line["new_value"], line["change_source"]) == (code, "sent", "api")
    cleared = (await rig.patch(f"{DEALS}/{deal}", custom_fields={code: None})).json()["data"]
    assert cleared["custom_fields"] == {code: None}


async def test_types_are_not_coerced(rig: Rig) -> None:
    """v2 refuses numbers as text, text as numbers, unknown options, empty sets and texts that are too long."""
    company = rig.company
    deal = company.create_deal({"title": "x"}, START)
    kinds = ("varchar", "text", "double", "date", "monetary")
    code = {kind: company.define_field("deal", kind, kind) for kind in kinds}
    code |= {kind: company.define_field("deal", kind, kind, ["a", "b"]) for kind in ("enum", "set")}
    bad_custom: list[dict[str, Any]] = [
        {code["varchar"]: "x" * 256},
        {code["varchar"]: 5},
        {code["double"]: "5"},
        {code["date"]: "01.11.2026"},
        {code["monetary"]: 5},
        {code["enum"]: "a"},
        {code["enum"]: 99},
        {code["set"]: []},
        {code["set"]: "1"},
        {"0" * 40: "x"},
    ]
    bad: list[dict[str, Any]] = [
        {"value": "5"},
        {"stage_id": "2"},
        {"stage_id": 99},
        {"status": "won!"},
        {"Title": "x"},
        {"is_archived": 1},
    ]

    wrong = [await rig.patch(f"{DEALS}/{deal}", custom_fields=one) for one in bad_custom]
    wrong += [await rig.patch(f"{DEALS}/{deal}", **one) for one in bad]
    fine = {code["text"]: "x" * 300, code["enum"]: 1, code["set"]: [3, 4], code["monetary"]: {"value": 1, "currency": "EUR"}}

    assert [one.status_code for one in wrong] == [400] * len(wrong)
    assert (await rig.patch(f"{DEALS}/{deal}", custom_fields=fine)).status_code == 200
    assert len(await rig.data(f"/v1/deals/{deal}/changelog")) == 5


async def test_stage_and_status_are_written_with_their_times(rig: Rig) -> None:
    """A stage takes its pipeline along; won_time may be set by API."""
    second = rig.company.define_pipeline("Second", ["In", "Out"])
    deal = rig.company.create_deal({"title": "x"}, START)

    moved = (await rig.patch(f"{DEALS}/{deal}", stage_id=rig.company.catalogue.stages_of(second.id)[1].id)).json()["data"]
    won = (await rig.patch(f"{DEALS}/{deal}", status="won", won_time="2026-10-01T10:00:00Z")).json()["data"]

    assert (moved["pipeline_id"], moved["stage_change_time"]) == (second.id, "2026-11-02T12:00:00Z")
    assert (won["status"], won["won_time"], won["local_won_date"]) == ("won", "2026-10-01T10:00:00Z", "2026-10-01")
    assert (await rig.patch(f"{DEALS}/{deal}", won_time="yesterday")).status_code == 400


async def test_archived_and_deleted_deals_are_not_written(rig: Rig) -> None:
    """A write-back must learn from the answer that there is nothing more to write to."""
    archived, gone = (rig.company.create_deal({"title": "x"}, START) for _ in range(2))
    rig.company.archive("deal", archived, at(1))
    rig.company.delete("deal", gone, at(1))

    refused = await rig.patch(f"{DEALS}/{archived}", title="y")
    missing = await rig.patch(f"{DEALS}/{gone}", title="y")
    freed = await rig.patch(f"{DEALS}/{archived}", is_archived=False)

    assert (refused.status_code, missing.status_code, freed.json()["data"]["archive_time"]) == (400, 404, None)


async def test_persons_are_written(rig: Rig) -> None:
    """Custom fields of persons are their own set."""
    code, of_deals = rig.company.define_field("person", "Sync"), rig.company.define_field("deal", "Sync")
    person = rig.company.create_person({"name": "Jane Doe"}, START)

    done = await rig.patch(f"/api/v2/persons/{person}", custom_fields={code: "sent"}, phones=[{"value": "1", "primary": True}])
    wrong = await rig.patch(f"/api/v2/persons/{person}", custom_fields={of_deals: "x"})

    assert (done.json()["data"]["custom_fields"], wrong.status_code) == ({code: "sent"}, 400)


async def test_fields_are_described_page_by_page(rig: Rig) -> None:
    """Hash keys resolve to names and options; renaming keeps the code; the list is never empty."""
    code = rig.company.define_field("deal", "Tier", "enum", ["A", "B"])
    rig.company.catalogue.rename("deal", code, "Customer tier")

    first = (await rig.get("/api/v2/dealFields", limit=20)).json()
    rest = (await rig.get("/api/v2/dealFields", limit=20, cursor=first["additional_data"]["next_cursor"])).json()
    fields = {one["field_code"]: one for one in first["data"] + rest["data"]}

    assert (rest["additional_data"]["next_cursor"], len(first["data"])) == (None, 20)
    assert (fields[code]["field_name"], fields[code]["field_type"]) == ("Customer tier", "enum")
    assert fields[code]["options"] == [{"id": 1, "label": "A"}, {"id": 2, "label": "B"}]
    assert [one["field_code"] for one in fields["value"]["subfields"]] == ["value", "currency"]
    assert fields["first_won_time"]["is_optional_response_field"] is True
    assert "email" in [one["field_code"] for one in await rig.data("/api/v2/personFields")]
    assert (await rig.get("/api/v2/dealFields", cursor="x")).status_code == 400
    assert (await rig.post("/api/v2/dealFields", field_name="x", field_type="enum")).status_code == 400
    assert (await rig.post("/api/v2/dealFields", field_name="x", field_type="json")).status_code == 400


async def test_pipelines_stages_and_currencies(rig: Rig) -> None:
    """Stage ids are unique in the company; a custom currency is a unit and no money."""
    second = rig.company.define_pipeline("Second", ["In", "Out"], [20, 80])
    rig.company.define_currency("USR", "users")

    stages = await rig.data("/api/v2/stages", sort_by="order_nr")
    of_second = await rig.data("/api/v2/stages", pipeline_id=second.id)
    currencies = {one["code"]: one for one in await rig.data("/v1/currencies")}

    assert len({one["id"] for one in stages}) == 7
    assert [(one["name"], one["deal_probability"]) for one in of_second] == [("In", 20), ("Out", 80)]
    assert [one["name"] for one in await rig.data("/api/v2/pipelines")] == ["Pipeline", "Second"]
    assert (currencies["USR"]["is_custom_flag"], currencies["JPY"]["decimal_points"]) == (True, 0)
    assert [one["is_you"] for one in await rig.data("/v1/users")] == [True]


async def test_a_removed_stage_lives_on_in_deals_and_changelogs(rig: Rig) -> None:
    """An administrator tidies up: no list names the stage any more, history does, and its id is not given again."""
    deal = rig.company.create_deal({"title": "x"}, START)
    rig.company.move(deal, 5, at(1))
    rig.company.remove_stage(5)

    listed = [one["id"] for one in await rig.data("/api/v2/stages")]
    added = rig.company.catalogue.stages_of(rig.company.define_pipeline("Next", ["New"]).id)

    assert (listed, [one.id for one in added]) == ([1, 2, 3, 4], [6])
    assert (await rig.data(f"{DEALS}/{deal}"))["stage_id"] == 5
    assert (await rig.data(f"/v1/deals/{deal}/changelog"))[0]["new_value"] == "5"


async def test_python_writes_are_checked_too(rig: Rig) -> None:
    """A typo in a test's world must not pass for a quiet CRM."""
    deal = rig.company.create_deal({"title": "x"}, START)

    for wrong in ({"titel": "x"}, {"custom_fields": {"abc": 1}}, {"update_time": START}):
        with pytest.raises(ValueError, match="field"):
            rig.company.update("deal", deal, wrong, at(1))
    assert rig.company.update("deal", deal, {"title": "x"}, at(1)) is False
    with pytest.raises(KeyError):
        rig.company.delete("person", 1, at(1))
