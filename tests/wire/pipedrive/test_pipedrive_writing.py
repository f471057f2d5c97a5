"""What is written into Pipedrive: status notes into custom fields, and the webhook subscriptions."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from connectors.contract.errors import AuthenticationFailed, RequestRefused
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import NoteOutcome, StatusNote
from tests.wire.pipedrive.fake_company import CONSENT, GCLID, Company, lead_id, refusal

ADDRESS = "https://leads.example.com/webhooks/crm/token"
KINDS = frozenset({ObjectKind.DEAL, ObjectKind.CONTACT, ObjectKind.LEAD})
PAIR = "leadloop:word"


def note(kind: ObjectKind, one: str, name: str = GCLID, text: str = "sent 2026-11-22T10:00Z") -> StatusNote:
    return StatusNote(RecordRef(kind, one), name, text)


def accepting(company: Company) -> list[tuple[str, str, Any]]:
    seen: list[tuple[str, str, Any]] = []

    def take(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.path, json.loads(request.content)))
        return httpx.Response(200, json={"success": True, "data": {"id": 1}})

    company.on_request = take
    return seen


async def test_a_note_writes_nothing_but_its_field() -> None:
    """A `value` beside it resets deals with products (complaint 14)."""
    company = Company()
    seen = accepting(company)

    results = await company.source().write_back(
        [note(ObjectKind.DEAL, "1"), note(ObjectKind.CONTACT, "2", CONSENT, ""), note(ObjectKind.LEAD, lead_id(3))]
    )

    assert [one.outcome for one in results] == [NoteOutcome.WRITTEN] * 3
    assert seen == [
        ("PATCH", "/api/v2/deals/1", {"custom_fields": {GCLID: "sent 2026-11-22T10:00Z"}}),
        ("PATCH", "/api/v2/persons/2", {"custom_fields": {CONSENT: ""}}),
        ("PATCH", f"/api/v1/leads/{lead_id(3)}", {GCLID: "sent 2026-11-22T10:00Z"}),
    ]


@pytest.mark.parametrize("name", ["value", "status", "stage_id", f"{GCLID}.currency", ""])
async def test_only_custom_fields_are_written(name: str) -> None:
    """A mistake in the settings must not move a deal."""
    company = Company()

    (result,) = await company.source().write_back([note(ObjectKind.DEAL, "1", name)])

    assert result.outcome is NoteOutcome.REFUSED
    assert company.requests == []


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (404, NoteOutcome.GONE),
        (410, NoteOutcome.GONE),
        (400, NoteOutcome.REFUSED),
        (403, NoteOutcome.REFUSED),
        (422, NoteOutcome.REFUSED),
    ],
)
async def test_one_refused_note_holds_up_no_other(status: int, outcome: NoteOutcome) -> None:
    """An archived deal cannot be edited; its neighbours can."""
    company = Company()
    accepting(company)
    take = company.on_request
    company.on_request = lambda request: (
        refusal(status, "Archived deals cannot be edited") if request.url.path.endswith("/1") else take(request)
    )

    results = await company.source().write_back([note(ObjectKind.DEAL, "1"), note(ObjectKind.DEAL, "2")])

    assert [one.outcome for one in results] == [outcome, NoteOutcome.WRITTEN]
    assert "Archived" in results[0].message


async def test_ids_that_cannot_be_are_gone() -> None:
    """Nothing of ours gets into a path."""
    company = Company()

    (result,) = await company.source().write_back([note(ObjectKind.DEAL, "../persons/1")])

    assert (result.outcome, company.requests) == (NoteOutcome.GONE, [])


async def test_a_missing_scope_fails_the_call() -> None:
    """Each note would be refused for ever, though one click mends it."""
    company = Company()
    company.on_request = lambda _request: refusal(403, "Scope and URL mismatch")

    with pytest.raises(AuthenticationFailed):
        await company.source().write_back([note(ObjectKind.DEAL, "1")])


def subscriptions(company: Company) -> list[tuple[str, str]]:
    return [(one["event_object"], one["event_action"]) for one in company.webhooks if one["subscription_url"] == ADDRESS]


async def kept(company: Company, kinds: frozenset[ObjectKind] = KINDS) -> tuple[Sequence[str], Sequence[str]]:
    found = await company.source(webhook_secrets=f"{PAIR},old:word").keep_webhooks(ADDRESS, kinds)
    return found.present, found.made


async def test_missing_subscriptions_are_made_once() -> None:
    """Looked at every hour; a second look makes nothing."""
    company = Company()

    first, second = await kept(company), await kept(company)

    assert first == ((), ("person.*", "deal.*", "lead.*"))
    assert second == (("person.*", "deal.*", "lead.*"), ())
    assert company.webhooks[0] | {"id": 0} == {
        "id": 0,
        "is_active": 1,
        "remove_time": None,
        "subscription_url": ADDRESS,
        "event_action": "*",
        "event_object": "person",
        "name": "leadloop",
        "version": "2.0",
        "http_auth_user": "leadloop",
        "http_auth_password": "word",
    }


@pytest.mark.parametrize(
    "change",
    [{"is_active": 0}, {"remove_time": "2026-11-20 10:00:00"}, {"version": "1.0"}, {"http_auth_user": "somebody"}],
)
async def test_a_subscription_that_pipedrive_took_away_is_made_again(change: dict[str, Any]) -> None:
    """It takes them away after days of failing, without a word (complaint 13)."""
    company = Company()
    await kept(company)
    next(one for one in company.webhooks if one["event_object"] == "deal").update(change)

    present, made = await kept(company)

    alive = [one for one in company.webhooks if one["event_object"] == "deal" and one["is_active"] and not one["remove_time"]]
    assert (present, made) == (("person.*", "lead.*"), ("deal.*",))
    assert [one["http_auth_user"] for one in alive] == ["leadloop"]


async def test_other_peoples_subscriptions_are_left_alone() -> None:
    """A dead one that leads elsewhere is somebody else's matter."""
    company = Company()
    other = {"id": 5, "subscription_url": "https://other.example", "event_object": "deal", "event_action": "*", "is_active": 0}
    company.webhooks = [dict(other)]

    await kept(company)

    assert company.webhooks[0] == other
    assert not [call for call in company.calls if call.startswith("DELETE")]


async def test_single_actions_of_a_person_cover_it_together() -> None:
    """Somebody may have subscribed by hand, action by action."""
    company = Company()
    ours = {"subscription_url": ADDRESS, "event_object": "person", "is_active": True, "version": "2.0", "remove_time": None}
    company.webhooks = [{"id": number, "event_action": one, **ours} for number, one in enumerate(("create", "change", "delete"))]

    assert await kept(company, frozenset({ObjectKind.CONTACT})) == (("person.*",), ())


async def test_too_many_webhooks_are_told_clearly() -> None:
    """Forty a user is the vendor's limit; the mend is to remove some."""
    company = Company()
    company.webhooks = [{"id": number, "subscription_url": "https://other.example"} for number in range(40)]

    with pytest.raises(RequestRefused, match="at most 40 webhooks") as caught:
        await kept(company)

    assert caught.value.status == 422


async def test_without_a_pair_nothing_is_subscribed_to() -> None:
    """Nobody could be believed."""
    company = Company()

    with pytest.raises(RequestRefused, match="webhook_secrets"):
        await company.source().keep_webhooks(ADDRESS, KINDS)

    assert company.requests == []
