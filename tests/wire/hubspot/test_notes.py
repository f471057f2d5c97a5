"""Writing the sync status back: one result a note whatever HubSpot answers, and no loop with our own reading."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.contract.errors import AuthenticationFailed, Unavailable, UnexpectedReply
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import NoteOutcome, NoteResult, StatusNote, WritesBack
from connectors.simulators.hubspot import Portal, Subscription
from connectors.simulators.hubspot.catalogue import DEFAULT_SCOPES
from tests.wire.hubspot.fake_account import Account, refusal
from tests.wire.hubspot.portal_world import START, PortalWorld

STATUS = "leadloop_status"
WRITTEN, REFUSED, GONE = NoteOutcome.WRITTEN, NoteOutcome.REFUSED, NoteOutcome.GONE
UPDATE = "/crm/objects/2026-09/deals/batch/update"


def world_with_status(**more: Any) -> PortalWorld:
    world = PortalWorld(Portal(has_limits=False, has_leads=True, **more))
    for kind in ("deals", "contacts", "leads"):
        world.portal.define_property(kind, STATUS)
    return world


def note(record_id: str, text: str = "sent", kind: ObjectKind = ObjectKind.DEAL, name: str = STATUS) -> StatusNote:
    return StatusNote(RecordRef(kind, record_id), name, text)


def outcomes(results: Any) -> list[NoteOutcome]:
    return [one.outcome for one in results]


def deal(world: PortalWorld, stage: str = "qualifiedtobuy", **more: str) -> str:
    return world.portal.create("deals", {"dealname": "a", "dealstage": stage, **more}, START)


async def test_notes_of_all_kinds_are_written_in_a_request_each() -> None:
    """A status of a hundred records may not cost a hundred requests, nor write anything else."""
    world = world_with_status()
    deals = [deal(world) for _ in range(98)]
    contact = world.portal.create("contacts", {"email": "ada@example.com"}, START)
    lead = world.portal.create("leads", {"hs_lead_name": "Ada"}, START)
    notes = [*map(note, deals), note(contact, "c", ObjectKind.CONTACT), note(lead, "l", ObjectKind.LEAD)]

    results = await world.source.write_back(notes)

    assert isinstance(world.source, WritesBack)
    assert outcomes(results) == [WRITTEN] * 100
    assert sum(world.calls.values()) == 3
    held = world.portal.record("deals", deals[7]).version.values
    assert (held[STATUS], held["dealname"]) == ("sent", "a")
    assert world.portal.record("contacts", contact).version.values[STATUS] == "c"


async def test_each_note_has_its_own_result_in_order() -> None:
    """A rule that an admin made refuses one record; a deleted one is gone; their neighbours are written."""
    world = world_with_status()
    world.portal.require("deals", "closedate", when="dealstage", value="closedwon")
    kept, ruled, other, gone = deal(world), deal(world, "closedwon"), deal(world), deal(world)
    world.portal.archive("deals", gone, START)

    results = await world.source.write_back([note(gone), note(ruled), note("no-id"), note(other), note("77"), note(kept)])

    assert outcomes(results) == [GONE, REFUSED, GONE, WRITTEN, GONE, WRITTEN]
    assert results[1].code == "REQUIRED_PROPERTY"
    assert "closedate" in results[1].message
    assert world.calls == {f"POST {UPDATE}": 1}


async def test_two_notes_on_one_record_go_in_one_input() -> None:
    """HubSpot takes a record once in a batch."""
    world = world_with_status()
    world.portal.define_property("deals", "leadloop_error")
    one = deal(world)

    results = await world.source.write_back([note(one), note(one, "why", name="leadloop_error"), note(one, "sent again")])

    values = world.portal.record("deals", one).version.values
    assert outcomes(results) == [WRITTEN] * 3
    assert (values[STATUS], values["leadloop_error"]) == ("sent again", "why")


async def test_a_property_that_is_missing_refuses_at_once_and_says_so() -> None:
    """Raising would have the other kinds written again at every try: a loop in the customer's history."""
    world = world_with_status()

    results = await world.source.write_back([note(deal(world), name="no_such") for _ in range(50)])

    assert outcomes(results) == [REFUSED] * 50
    assert {one.code for one in results} == {"PROPERTY_DOESNT_EXIST"}
    assert sum(world.calls.values()) == 1


async def test_a_missing_scope_is_raised_and_hides_no_written_note() -> None:
    """What another kind has written must be told, or it would be written again and again."""
    world = world_with_status(scopes=DEFAULT_SCOPES - {"crm.objects.deals.write"})
    contact = world.portal.create("contacts", {"email": "ada@example.com"}, START)
    notes = [note(deal(world)), note(contact, "c", ObjectKind.CONTACT)]

    with pytest.raises(AuthenticationFailed, match=r"crm\.objects\.deals\.write"):
        await world.source.write_back(notes[:1])
    results = await world.source.write_back(notes)

    assert outcomes(results) == [REFUSED, WRITTEN]
    assert results[0].code == "MISSING_SCOPES"


def answered(*answers: Any) -> Account:
    """An account that answers writes with these, each a response or what makes one of the inputs; then as all was written."""
    account, waiting = Account(), list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        inputs = json.loads(request.content)["inputs"]
        made = waiting.pop(0) if waiting else written
        return made(inputs) if callable(made) else made

    account.on_request = answer
    return account


def written(inputs: list[dict[str, Any]]) -> httpx.Response:
    return httpx.Response(200, json={"status": "COMPLETE", "results": [{"id": one["id"], "properties": {}} for one in inputs]})


def partly(*errors: dict[str, Any], done: tuple[str, ...] = ()) -> httpx.Response:
    results = [{"id": one, "properties": {}} for one in done]
    return httpx.Response(207, json={"results": results, "numErrors": len(errors), "errors": list(errors)})


async def test_a_batch_refused_as_a_whole_is_halved_until_the_fault_stands_alone() -> None:
    """Some refusals name no record; ninety-nine others may not wait for one that an admin's rule refuses."""

    def refuse(inputs: list[dict[str, Any]]) -> httpx.Response:
        if any(one["id"] == "42" for one in inputs):
            return refusal(400, "VALIDATION_ERROR", "closedate is required")
        return written(inputs)

    account = answered(*[refuse] * 99)

    results = await account.source().write_back([note(str(number)) for number in range(1, 101)])

    assert outcomes(results) == [REFUSED if number == 42 else WRITTEN for number in range(1, 101)]
    assert len(account.requests) <= 15


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        ({"category": "OBJECT_NOT_FOUND", "message": "gone", "context": {"ids": ["2"]}}, GONE, "OBJECT_NOT_FOUND"),
        ({"category": "VALIDATION_ERROR", "context": {"objectWriteTraceId": ["2"]}}, REFUSED, "VALIDATION_ERROR"),
        ({"category": "VALIDATION_ERROR", "objectWriteTraceId": "2"}, REFUSED, "VALIDATION_ERROR"),
        ({"category": "VALIDATION_ERROR", "subCategory": "crm.rules.LOCKED"}, REFUSED, "crm.rules.LOCKED"),
        ({"category": "CONFLICT", "message": "jane@example.com is taken"}, REFUSED, "CONFLICT"),
    ],
)
async def test_an_error_is_matched_however_it_names_its_input(error: dict[str, Any], outcome: NoteOutcome, code: str) -> None:
    """The dated pages do not say where the trace id stands in an error."""
    account = answered(partly(error, done=("1", "3")))

    results = await account.source().write_back([note("1"), note("2"), note("3")])

    assert outcomes(results) == [WRITTEN, outcome, WRITTEN]
    assert results[1].code == code
    assert "jane" not in results[1].message


async def test_errors_that_name_nobody_are_told_apart_by_asking_for_less() -> None:
    """Two unnamed errors among three records: each record then meets its own."""
    unnamed = {"category": "VALIDATION_ERROR", "message": "no"}
    account = answered(partly(unnamed, unnamed, done=("3",)), partly(unnamed), written)

    results = await account.source().write_back([note("1"), note("2"), note("3")])

    assert outcomes(results) == [REFUSED, WRITTEN, WRITTEN]


async def test_what_fails_for_a_passing_reason_is_written_once_more_and_then_later() -> None:
    """A throttle in the answer is no refusal of the text: saying so would leave the record without its status."""
    passing = {"category": "RATE_LIMITS", "context": {"ids": ["2"]}}
    mended = answered(partly(passing, done=("1",)), written)
    lasting = answered(partly(passing, done=("1",)), partly(passing))

    results = await mended.source().write_back([note("1"), note("2")])
    with pytest.raises(Unavailable, match="RATE_LIMITS"):
        await lasting.source().write_back([note("1"), note("2")])

    assert results == [NoteResult(WRITTEN)] * 2
    assert [len(json.loads(one.content)["inputs"]) for one in mended.requests] == [2, 1]


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, json={"results": []}),
        httpx.Response(200, json={"results": "all"}),
        httpx.Response(200, json=["x"]),
        httpx.Response(200, text="<html>"),
    ],
)
async def test_garbage_is_neither_written_nor_refused(response: httpx.Response) -> None:
    """An answer that was not understood proves nothing."""
    with pytest.raises(UnexpectedReply):
        await answered(response).source().write_back([note("1")])


async def test_a_write_is_sent_once() -> None:
    """An outage is the service's to wait for; here nothing is repeated."""
    account = answered(httpx.Response(503), written)

    with pytest.raises(Unavailable):
        await account.source().write_back([note("1")])

    assert len(account.requests) == 1


async def test_a_write_back_makes_no_entry_and_is_read_once() -> None:
    """A status that caused a change that caused a status would never end (an edit by us moves HubSpot's cursor too)."""
    world = world_with_status()
    world.portal.subscribe("https://leadloop.example/", "hush", [Subscription("object.propertyChange", "deals", "dealstage")])
    ids = [deal(world) for _ in range(5)]
    world.portal.drain_webhooks(world.now)
    first = await world.poll(ObjectKind.DEAL)
    world.now += timedelta(minutes=1)

    await world.source.write_back([note(one) for one in ids])
    world.now += timedelta(minutes=1)
    world.calls.clear()
    entries = [await world.poll(ObjectKind.DEAL) for _ in range(3)]

    assert (first, entries) == (5, [0, 0, 0])
    assert world.calls["POST /crm/objects/2026-09/deals/batch/read"] == 1
    assert world.portal.drain_webhooks(world.now) == []
