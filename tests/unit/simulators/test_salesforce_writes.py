from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.simulators.salesforce_rig import ROOT, Rig, at, code


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    made.org.define_field("Lead", "AdSync_Status__c", length=20)
    yield made
    await made.client.aclose()


def part(url: str, reference: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"method": method, "url": f"{ROOT}{url}", "referenceId": reference, **more}


async def test_a_write_moves_the_stamp_and_costs_a_call(rig: Rig) -> None:
    """What is written back comes back in the next window, and must be known as one's own."""
    lead = rig.org.create("Lead", {"LastName": "Byron"}, at())

    reply = await rig.call(
        "PATCH",
        f"/sobjects/Lead/{lead[:15]}",
        json={"AdSync_Status__c": "sent"},
        headers={"Sforce-Call-Options": "client=leadloop"},
    )

    row = (await rig.get(f"/sobjects/Lead/{lead}", fields="AdSync_Status__c,SystemModstamp")).json()
    assert (reply.status_code, reply.content) == (204, b"")
    assert (row["AdSync_Status__c"], row["SystemModstamp"]) == ("sent", "2026-11-02T12:00:00.000+0000")
    assert [(one.object_name, one.id, one.client) for one in rig.org.writes] == [("Lead", lead, "leadloop")]
    assert reply.headers["Sforce-Limit-Info"] == "api-usage=1/100000"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"Nope__c": 1}, (400, "INVALID_FIELD")),
        ({"SystemModstamp": "2026-11-01T12:00:00Z"}, (400, "INVALID_FIELD_FOR_INSERT_UPDATE")),
        ({"Name": "x"}, (400, "INVALID_FIELD_FOR_INSERT_UPDATE")),
        ({"AdSync_Status__c": "x" * 21}, (400, "STRING_TOO_LONG")),
        ({"AdSync_Status__c": 5}, (400, "JSON_PARSER_ERROR")),
        ({"Status": None}, (400, "REQUIRED_FIELD_MISSING")),
        ({"AdSync_Status__c": "broken"}, (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION")),
        ([1], (400, "JSON_PARSER_ERROR")),
    ],
)
async def test_what_the_org_forbids_is_not_written(rig: Rig, fields: object, error: tuple[int, str]) -> None:
    """Each refusal has its own code, and nothing of the write stays."""
    rig.org.add_rule("Lead", lambda values: values["AdSync_Status__c"] == "broken", "This is broken.")
    lead = rig.org.create("Lead", {"AdSync_Status__c": "sent"}, at())

    reply = await rig.call("PATCH", f"/sobjects/Lead/{lead}", json=fields)

    assert code(reply) == error
    assert (rig.org.value("Lead", lead, "AdSync_Status__c"), rig.org.writes) == ("sent", [])


async def test_converted_locked_and_deleted_records_are_told_apart(rig: Rig) -> None:
    """A converted lead is never written again, a locked row is later, a deleted one is gone."""
    converted, locked, deleted = (rig.org.create("Lead", {}, at()) for _ in range(3))
    rig.org.convert_lead(converted, at(1))
    rig.org.locked_ids.add(locked)
    rig.org.delete("Lead", deleted, at(1))

    replies = [
        await rig.call("PATCH", f"/sobjects/Lead/{one}", json={"AdSync_Status__c": "x"})
        for one in (converted, locked, deleted, "00Q5f000000zzzzAAA", "nonsense")
    ]
    rig.org.can_edit_converted = True
    allowed = await rig.call("PATCH", f"/sobjects/Lead/{converted}", json={"AdSync_Status__c": "x"})

    assert [code(one) for one in replies] == [
        (400, "CANNOT_UPDATE_CONVERTED_LEAD"),
        (400, "UNABLE_TO_LOCK_ROW"),
        (404, "ENTITY_IS_DELETED"),
        (404, "NOT_FOUND"),
        (404, "NOT_FOUND"),
    ]
    assert allowed.status_code == 204


@pytest.mark.parametrize(("is_atomic", "written"), [(False, "sent"), (True, None)])
async def test_many_records_are_written_in_one_call_each_with_its_result(
    rig: Rig,
    is_atomic: bool,  # noqa: FBT001 a parameter
    written: str | None,
) -> None:
    """The call answers 200 although a record failed, so each result has to be looked at."""
    fine, converted = (rig.org.create("Lead", {}, at()) for _ in range(2))
    rig.org.convert_lead(converted, at(1))
    records = [{"attributes": {"type": "Lead"}, "id": one, "AdSync_Status__c": "sent"} for one in (fine, converted)]

    reply = await rig.call("PATCH", "/composite/sobjects", json={"allOrNone": is_atomic, "records": records})
    too_many = await rig.call("PATCH", "/composite/sobjects", json={"records": records * 101})

    good, bad = reply.json()
    error = {"statusCode": "CANNOT_UPDATE_CONVERTED_LEAD", "message": "cannot reference converted lead", "fields": []}
    assert (reply.status_code, good["success"], good["id"]) == (200, not is_atomic, fine)
    assert bad == {"id": converted, "success": False, "errors": [error]}
    assert rig.org.value("Lead", fine, "AdSync_Status__c") == written
    assert (code(too_many), rig.org.requests["update_many"]) == ((400, "LIMIT_EXCEEDED"), 2)


async def test_records_are_made_over_the_api(rig: Rig) -> None:
    """Other tools of the customer make leads this way."""
    made = await rig.call("POST", "/sobjects/Lead", json={"LastName": "Byron", "Company": "Engines"})
    lacking = await rig.call("POST", "/sobjects/Lead", json={"LastName": "Byron"})

    assert made.status_code == 201
    assert await rig.column("Id", "Lead") == [made.json()["id"]]
    assert code(lacking) == (400, "REQUIRED_FIELD_MISSING")


async def test_a_composite_call_is_one_call_whatever_it_holds(rig: Rig) -> None:
    """An idle poll costs one of the day's calls; a part that failed stands beside those that went well."""
    for _ in range(3):
        rig.org.create("Lead", {}, at())
    rig.org.page_rows = 2
    parts = [
        part("/query?q=SELECT+Id+FROM+Lead", "leads"),
        part("/queryAll?q=SELECT+Id+FROM+Nothing", "nothing"),
        part("/sobjects/Lead/describe", "fields"),
    ]

    reply = await rig.call("POST", "/composite", json={"allOrNone": False, "compositeRequest": parts})
    answers = {one["referenceId"]: one for one in reply.json()["compositeResponse"]}
    rest = {"method": "GET", "url": answers["leads"]["body"]["nextRecordsUrl"], "referenceId": "rest"}
    more = await rig.call("POST", "/composite", json={"compositeRequest": [rest]})

    assert [(name, one["httpStatusCode"]) for name, one in answers.items()] == [("leads", 200), ("nothing", 400), ("fields", 200)]
    assert answers["nothing"]["body"][0]["errorCode"] == "INVALID_TYPE"
    assert set(answers["leads"]) == {"body", "httpHeaders", "httpStatusCode", "referenceId"}
    assert more.json()["compositeResponse"][0]["body"]["done"]
    assert more.headers["Sforce-Limit-Info"] == "api-usage=2/100000"
    assert rig.org.requests == {"composite": 2}
    assert rig.org.subrequests == {"query Lead": 1, "queryAll Nothing": 1, "describe Lead": 1, "query_more": 1}


async def test_all_or_nothing_writes_nothing_when_a_part_fails(rig: Rig) -> None:
    """Parts that went well are told to be rolled back, and are."""
    lead = rig.org.create("Lead", {}, at())
    write = part(f"/sobjects/Lead/{lead}", "write", "PATCH", body={"AdSync_Status__c": "sent"})

    failed = await rig.call("POST", "/composite", json={"allOrNone": True, "compositeRequest": [write, part("/wizards", "no")]})
    before = rig.org.value("Lead", lead, "AdSync_Status__c")
    done = await rig.call("POST", "/composite", json={"allOrNone": True, "compositeRequest": [write]})

    first, second = failed.json()["compositeResponse"]
    assert (first["body"][0]["errorCode"], second["body"][0]["errorCode"], before) == ("PROCESSING_HALTED", "NOT_FOUND", None)
    assert done.json()["compositeResponse"][0]["httpStatusCode"] == 204
    assert rig.org.value("Lead", lead, "AdSync_Status__c") == "sent"


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [part("/limits", f"r{number}") for number in range(26)],
        [part("/query?q=SELECT+Id+FROM+Lead", f"r{number}") for number in range(6)],
        [part("/limits", "same"), part("/limits", "same")],
        [{"method": "GET", "url": "/services/apexrest/x", "referenceId": "r"}],
        [{"url": f"{ROOT}/limits", "referenceId": "r"}],
        ["limits"],
        "limits",
    ],
)
async def test_composite_calls_have_their_bounds(rig: Rig, parts: object) -> None:
    """25 parts, 5 queries, names of their own; anything else fails as a whole."""
    reply = await rig.call("POST", "/composite", json={"compositeRequest": parts})

    assert reply.status_code == 400
    assert reply.json()[0]["errorCode"] in ("LIMIT_EXCEEDED", "INVALID_REQUEST", "JSON_PARSER_ERROR")


async def test_batches_are_one_call_too_and_may_halt(rig: Rig) -> None:
    """Batch parts have no names: their order is what tells them apart."""
    parts = [{"method": "GET", "url": f"v67.0/{one}"} for one in ("wizards", "limits")]

    running = await rig.call("POST", "/composite/batch", json={"batchRequests": parts})
    halting = await rig.call("POST", "/composite/batch", json={"haltOnError": True, "batchRequests": parts})

    assert (running.json()["hasErrors"], [one["statusCode"] for one in running.json()["results"]]) == (True, [404, 200])
    assert [one["statusCode"] for one in halting.json()["results"]] == [404, 412]
    assert halting.headers["Sforce-Limit-Info"] == "api-usage=2/100000"
