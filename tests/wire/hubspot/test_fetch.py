"""Records by ref: what is shown, what is gone, what was merged, and what failed for a while."""

import json
from datetime import timedelta

import httpx
import pytest

from connectors.contract.errors import Unavailable
from connectors.contract.records import ObjectKind, RecordRef, RecordState
from tests.wire.hubspot.fake_account import NOW, SELECTION, Account, everything_stored, nothing_stored, refusal

BATCH = "POST /crm/objects/2026-09/deals/batch/read"


def deals(*ids: str) -> list[RecordRef]:
    return [RecordRef(ObjectKind.DEAL, one) for one in ids]


async def test_refs_that_hubspot_does_not_show_are_deleted() -> None:
    """A deletion is a positive fact of the CRM: it retracts revenue."""
    account = Account()
    account.put("deals", 1, NOW, num_associated_contacts="0")
    account.put("deals", 2, NOW).archived_at = NOW - timedelta(days=2)

    found = await account.source().fetch(deals("1", "2", "3", "no-id"), SELECTION, nothing_stored())

    assert [(one.ref.external_id, one.state, one.modified_at) for one in found] == [
        ("1", RecordState.LIVE, NOW),
        ("2", RecordState.DELETED, NOW - timedelta(days=2)),
        ("3", RecordState.DELETED, NOW),
        ("no-id", RecordState.DELETED, NOW),
    ]
    assert found[1].fields == {}


async def test_a_merged_ref_points_at_its_winner() -> None:
    """Taken for deleted, its revenue would be retracted though the winner carries it."""
    account = Account()
    account.put("deals", 1, NOW, hs_merged_object_ids="2;3", num_associated_contacts="0")

    found = await account.source().fetch(deals("2", "1"), SELECTION, nothing_stored())

    assert [(one.ref.external_id, one.state) for one in found] == [("2", RecordState.MERGED), ("1", RecordState.LIVE)]
    assert found[0].merged_into == found[1].ref
    assert found[1].merged_ids == ("2", "3")


async def test_a_winner_shown_for_a_merged_id_is_told_too() -> None:
    """HubSpot may answer the old id with the surviving record."""
    account = Account()
    winner = {"id": "9", "properties": {"lastmodifieddate": "2026-11-20T12:00:00Z", "hs_merged_object_ids": "4"}}
    account.on_request = lambda _request: httpx.Response(200, json={"results": [winner]})

    found = await account.source().fetch([RecordRef(ObjectKind.CONTACT, "4")], SELECTION, nothing_stored())

    assert [(one.ref.external_id, one.state) for one in found] == [("4", RecordState.MERGED), ("9", RecordState.LIVE)]


async def test_the_people_of_fetched_deals_come_with_them_once() -> None:
    """A webhook may tell of a deal before its contact was ever polled."""
    account = Account()
    account.put("deals", 1, NOW, num_associated_contacts="2")
    for contact in ("21", "22"):
        account.put("contacts", contact, NOW)
        account.link(("deals", "contacts"), "1", contact, (3, None))

    found = await account.source().fetch([*deals("1"), RecordRef(ObjectKind.CONTACT, "22")], SELECTION, nothing_stored())

    assert [one.ref.external_id for one in found] == ["22", "21", "1"]


async def test_people_who_are_held_already_cost_no_read() -> None:
    """Their own hints and polls keep them fresh; a deal that moves every day must not read them every day."""
    account = Account()
    account.put("deals", 1, NOW, num_associated_contacts="1")
    account.put("contacts", "21", NOW)
    account.link(("deals", "contacts"), "1", "21", (3, None))

    found = await account.source().fetch(deals("1"), SELECTION, everything_stored())

    assert [one.ref.external_id for one in found] == ["1"]
    assert [link.ref.external_id for link in found[0].people or ()] == ["21"]
    assert account.calls["POST /crm/objects/2026-09/contacts/batch/read"] == 0


async def test_only_ids_that_failed_are_asked_again() -> None:
    """One bad row never holds up its neighbours."""
    account = Account()
    account.put("deals", 1, NOW, num_associated_contacts="0")
    account.put("deals", 2, NOW, num_associated_contacts="0")
    account.on_request = lambda request: _partly(request, account) if account.calls[BATCH] == 1 else None

    found = await account.source().fetch(deals("1", "2"), SELECTION, nothing_stored())

    asked = [[one["id"] for one in json.loads(request.content)["inputs"]] for request in account.requests]
    assert asked == [["1", "2"], ["2"]]
    assert [one.state for one in found] == [RecordState.LIVE, RecordState.LIVE]


async def test_an_id_that_fails_twice_is_no_deletion() -> None:
    """An outage of one record must never retract its revenue."""
    account = Account()
    account.put("deals", 1, NOW)
    account.on_request = lambda request: _partly(request, account)

    with pytest.raises(Unavailable, match="could not read 1 of") as caught:
        await account.source().fetch(deals("1", "2"), SELECTION, nothing_stored())

    assert caught.value.code == "INTERNAL_ERROR"


async def test_a_batch_of_which_hubspot_knows_nothing_is_deleted() -> None:
    """Some releases answer 404 for the whole batch."""
    account = Account()
    account.on_request = lambda _request: refusal(404, "OBJECT_NOT_FOUND", "none of these")

    (gone,) = await account.source().fetch(deals("1"), SELECTION, nothing_stored())

    assert gone.state is RecordState.DELETED


def _partly(request: httpx.Request, account: Account) -> httpx.Response:
    failed = {"category": "INTERNAL_ERROR", "message": "later", "context": {"ids": ["2"]}}
    row = {"id": "1", "properties": {"hs_lastmodifieddate": "2026-11-20T12:00:00Z", "num_associated_contacts": "0"}}
    return httpx.Response(207, json={"results": [row], "numErrors": 1, "errors": [failed]})
