"""Pipedrive's webhooks: who may knock, and which record an event names."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import Hint, WebhookRefused, WebhookRequest
from connectors.crm.pipedrive.webhook import parse_webhook
from tests.wire.pipedrive.fake_company import NOW, lead_id

SECRETS = ["leadloop:new-word", "leadloop:old-word"]


def event(**meta: Any) -> dict[str, Any]:
    found = {
        "action": "change",
        "entity": "deal",
        "entity_id": "17",
        "company_id": "54235233",
        "id": "2f1c1d7e-0000-4000-8000-000000000001",
        "timestamp": "2026-11-20T11:59:58.123Z",
        "version": "2.0",
        "attempt": 1,
        **meta,
    }
    return {"data": {"id": 17, "stage_id": 2, "custom_fields": None}, "previous": {"stage_id": 1}, "meta": found}


def request(body: Any, pair: str | None = SECRETS[0], authorization: str | None = None) -> WebhookRequest:
    headers = {"content-type": "application/json"}
    if pair is not None:
        headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    if authorization is not None:
        headers["authorization"] = authorization
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WebhookRequest("POST", "https://leads.example.com/webhooks/crm/x", headers, content)


def hints(body: Any) -> tuple[Hint, ...]:
    found = parse_webhook(request(body), SECRETS, NOW)
    assert isinstance(found, tuple)
    return found


def test_a_change_names_its_record_company_and_second() -> None:
    """Instants are cut to whole seconds, as the changelog knows no finer ones."""
    (hint,) = hints(event())

    assert hint == Hint(RecordRef(ObjectKind.DEAL, "17"), "54235233", datetime(2026, 11, 20, 11, 59, 58, tzinfo=UTC))


@pytest.mark.parametrize(
    ("entity", "one", "kind"),
    [
        ("deal", "17", ObjectKind.DEAL),
        ("deal", 17, ObjectKind.DEAL),
        ("person", "17", ObjectKind.CONTACT),
        ("organization", "17", ObjectKind.COMPANY),
        ("lead", lead_id(5), ObjectKind.LEAD),
    ],
)
def test_each_entity_has_its_kind(entity: str, one: str | int, kind: ObjectKind) -> None:
    """A lead's id is a UUID."""
    (hint,) = hints(event(entity=entity, entity_id=one))

    assert hint.ref == RecordRef(kind, str(one))


def test_a_delete_is_a_hint_and_no_forgetting() -> None:
    """The record is read again; Pipedrive has no privacy deletion."""
    (hint,) = hints({**event(action="delete", entity="person"), "data": None})

    assert (hint.ref, hint.is_privacy_deletion) == (RecordRef(ObjectKind.CONTACT, "17"), False)


def test_a_merge_names_loser_and_winner() -> None:
    """Only here is the winner told: by the API the loser is a deleted record, and its revenue would be taken back."""
    loser, winner = hints({**event(action="delete", merged_to_id=21), "data": None})

    assert (loser.ref.external_id, loser.merged_into) == ("17", RecordRef(ObjectKind.DEAL, "21"))
    assert (winner.ref.external_id, winner.merged_into) == ("21", None)


def test_a_second_attempt_is_taken() -> None:
    """Duplicates cost a read, refusing them would lose the event (complaint 8)."""
    assert hints(event(attempt=2)) == hints(event())


def test_an_event_of_version_1_is_taken() -> None:
    """An old subscription goes on until it is replaced."""
    meta = {"action": "updated", "object": "person", "id": 9, "company_id": 3, "timestamp": 1_763_640_000, "v": 1}

    (hint,) = hints({"meta": meta, "current": {"id": 9}, "previous": {}})

    assert (hint.ref, hint.account_ref) == (RecordRef(ObjectKind.CONTACT, "9"), "3")
    assert hint.occurred_at == datetime(2025, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "meta",
    [
        {"entity": "stage"},
        {"entity": "pipeline", "entity_id": 2},
        {"entity_id": None},
        {"entity_id": "x"},
        {"entity_id": lead_id(1)},
        {"entity": "lead"},
        {"entity": None},
        {"company_id": None},
        {"company_id": True},
        {"company_id": ""},
    ],
)
def test_events_that_name_no_record_of_ours_give_no_hint(meta: dict[str, Any]) -> None:
    """They are taken all the same: a refusal would make Pipedrive switch the subscription off."""
    assert hints(event(**meta)) == ()


@pytest.mark.parametrize("timestamp", [None, "soon", [], 10**30, True])
def test_an_unreadable_instant_hinders_nothing(timestamp: Any) -> None:
    """The record is read anyway."""
    (hint,) = hints(event(timestamp=timestamp))

    assert hint.occurred_at is None


def test_any_of_the_secrets_opens() -> None:
    """While the password is changed both are in use."""
    for secret in SECRETS:
        assert isinstance(parse_webhook(request(event(), secret), SECRETS, NOW), tuple)


@pytest.mark.parametrize(
    ("pair", "authorization"),
    [
        (None, None),
        ("leadloop:wrong", None),
        ("leadloop", None),
        (":", None),
        ("leadloop:néw-word", None),
        (None, "Bearer leadloop:new-word"),
        (None, "Basic !!!"),
        (None, "Basic "),
        (None, "Basic bGVhZGxvb3A"),
        (None, "Basic é"),
    ],
)
def test_who_does_not_know_the_pair_is_refused(pair: str | None, authorization: str | None) -> None:
    """Pipedrive signs nothing else; the reason is safe to log."""
    refused = parse_webhook(request(event(), pair, authorization), SECRETS, NOW)

    assert isinstance(refused, WebhookRefused)
    assert refused.status == 401
    assert "word" not in refused.reason.replace("password", "")


def test_without_secrets_nobody_is_believed() -> None:
    """An empty secret must not open for an empty pair."""
    for secrets in ([], [""]):
        refused = parse_webhook(request(event(), authorization="Basic "), secrets, NOW)
        assert isinstance(refused, WebhookRefused)


@pytest.mark.parametrize("body", [b"", b"no json", [], [event()], {}, {"meta": []}, "text", None])
def test_a_body_that_is_no_event_is_refused(body: Any) -> None:
    """It says so instead of being counted as taken."""
    refused = parse_webhook(request(body), SECRETS, NOW)

    assert isinstance(refused, WebhookRefused)
    assert refused.status == 400
