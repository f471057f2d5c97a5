"""HubSpot's webhooks: who may speak, and which records an event concerns."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import Hint, WebhookRefused, WebhookRequest
from connectors.crm.hubspot.webhook import parse_webhook
from connectors.http.strict_json import from_ms

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
URL = "https://leads.example.com/webhooks/crm/token?x=1"
REFEREE = Path(__file__).resolve().parents[3].parent / "shared" / "referee" / "hubspot_signatures.json"


def vectors(*versions: str) -> list[Any]:
    if not REFEREE.exists():
        return [pytest.param({}, "", marks=pytest.mark.skip(reason="the folder shared/ is not beside this checkout"))]
    found = json.loads(REFEREE.read_text())["vectors"]
    assert len(found) == 9
    return [
        pytest.param(one, url, id=f"{one['id']}-{place}")
        for one in found
        if one["version"] in versions
        for place, url in enumerate(one.get("uri_as_received", [one["uri_as_signed"] or URL]))
    ]


def signed(events: object, *, secret: str = "app-secret", at: datetime = NOW, url: str = URL, **changes: Any) -> WebhookRequest:
    body = json.dumps(events).encode()
    stamp = str(int(at.timestamp() * 1000))
    text = b"POST" + url.encode() + body + stamp.encode()
    signature = base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()
    headers = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": stamp}
    parts: dict[str, Any] = {"method": "POST", "url": url, "headers": headers, "body": body}
    return WebhookRequest(**(parts | changes))


def hints(*events: dict[str, Any]) -> tuple[Hint, ...]:
    found = parse_webhook(signed(list(events)), ["app-secret"], NOW)
    assert isinstance(found, tuple)
    return found


def refs(*events: dict[str, Any]) -> list[tuple[ObjectKind, str]]:
    return [(hint.ref.kind, hint.ref.external_id) for hint in hints(*events)]


def change(**more: Any) -> dict[str, Any]:
    event = {"eventId": 1, "portalId": 62515, "occurredAt": 1763640000123, "subscriptionType": "object.propertyChange"}
    return {**event, "objectTypeId": "0-3", "objectId": 17, "propertyName": "dealstage", "propertyValue": "closedwon", **more}


@pytest.mark.parametrize(("vector", "url"), vectors("v3"))
def test_published_signatures_are_accepted(vector: dict[str, str], url: str) -> None:
    """HubSpot's own test vectors, and the escapes that it decodes before it signs."""
    headers = {"x-hubspot-signature-v3": vector["signature"], "x-hubspot-request-timestamp": vector["timestamp"]}
    request = WebhookRequest(vector["method"], url, headers, vector["body"].encode())
    sent_at = from_ms(int(vector["timestamp"]))

    accepted = parse_webhook(request, ["other", vector["client_secret"]], sent_at)
    refused = parse_webhook(request, ["other"], sent_at)

    assert not isinstance(accepted, WebhookRefused) or accepted.status == 400  # some vectors sign what is no JSON
    assert isinstance(refused, WebhookRefused)
    assert refused.status == 401


@pytest.mark.parametrize(("vector", "url"), vectors("v1", "v2"))
@pytest.mark.parametrize("name", ["x-hubspot-signature", "x-hubspot-signature-v3"])
def test_published_signatures_of_older_versions_prove_nothing(vector: dict[str, str], url: str, name: str) -> None:
    """v1 and v2 carry no time, so that a captured request could be replayed for ever, under either header."""
    headers = {name: vector["signature"], "x-hubspot-request-timestamp": str(int(NOW.timestamp() * 1000))}

    refused = parse_webhook(
        WebhookRequest(vector["method"], url, headers, vector["body"].encode()), [vector["client_secret"]], NOW
    )

    assert isinstance(refused, WebhookRefused)
    assert refused.status == 401


@pytest.mark.parametrize(
    ("away", "is_accepted"),
    [
        (timedelta(0), True),
        (timedelta(minutes=-5), True),
        (timedelta(minutes=5), True),
        (timedelta(minutes=-5, milliseconds=-1), False),
        (timedelta(minutes=5, milliseconds=1), False),
        (timedelta(days=365), False),
    ],
)
def test_only_five_minutes_either_way_are_accepted(away: timedelta, is_accepted: bool) -> None:  # noqa: FBT001
    """HubSpot's own packages accept any time ahead: a request captured once could be replayed for ever."""
    found = parse_webhook(signed([change()], at=NOW + away), ["app-secret"], NOW)

    assert isinstance(found, tuple) is is_accepted


@pytest.mark.parametrize(
    "request_",
    [
        signed([change()], body=b"[]"),
        signed([change()], method="PUT"),
        signed([change()], url=URL, headers={}),
        signed([change()], secret="stolen"),
        signed([change()], headers={"x-hubspot-signature-v3": "é", "x-hubspot-request-timestamp": "1763640000000"}),
        signed([change()], headers={"x-hubspot-signature-v3": "x", "x-hubspot-request-timestamp": "9" * 400}),
        signed([change()], headers={"x-hubspot-signature-v3": "x", "x-hubspot-request-timestamp": "soon"}),
        signed([change()], headers={"x-hubspot-signature": "v1"}),
    ],
)
def test_what_was_tampered_with_is_refused(request_: WebhookRequest) -> None:
    """The door is public."""
    refused = parse_webhook(request_, ["app-secret"], NOW)

    assert isinstance(refused, WebhookRefused)
    assert refused.status == 401
    assert parse_webhook(request_, [], NOW) == WebhookRefused(401, refused.reason)


def test_an_empty_secret_opens_nothing() -> None:
    """A setting left blank must not let everybody in: whoever signs with no key would fit it."""
    assert isinstance(parse_webhook(signed([change()], secret=""), [""], NOW), WebhookRefused)


def test_another_address_than_was_called_is_refused() -> None:
    """The URL is signed: a request for another door does not open this one."""
    elsewhere = signed([change()], url="https://leads.example.com/webhooks/other/token")

    found = parse_webhook(WebhookRequest("POST", URL, elsewhere.headers, elsewhere.body), ["app-secret"], NOW)

    assert isinstance(found, WebhookRefused)


def test_any_of_several_secrets_may_have_signed() -> None:
    """A rotation must not lose an event."""
    assert isinstance(parse_webhook(signed([change()], secret="new"), ["old", "new"], NOW), tuple)


def test_escapes_that_hubspot_does_not_decode_stay() -> None:
    """%20 and %26 are signed as they stand; decoding them would refuse real events."""
    url = "https://leads.example.com/w%20x?a=1%262%3D"

    assert isinstance(parse_webhook(signed([change()], url=url), ["app-secret"], NOW), tuple)


@pytest.mark.parametrize("body", [{"objectId": 1}, "text", None])
def test_a_signed_body_that_is_no_array_is_a_bad_request(body: object) -> None:
    """Known sender, unknown shape."""
    found = parse_webhook(signed(body), ["app-secret"], NOW)

    assert isinstance(found, WebhookRefused)
    assert found.status == 400


def test_a_change_is_a_hint_without_its_value() -> None:
    """Values come in any order and any number of times; only the record itself is asked."""
    assert hints(change()) == (
        Hint(RecordRef(ObjectKind.DEAL, "17"), "62515", datetime(2025, 11, 20, 12, 0, 0, 123000, tzinfo=UTC)),
    )


def test_every_kind_of_event_names_its_records() -> None:
    """A kind that is not understood would be lost until the next poll, a deletion for ever."""
    assert refs(change(subscriptionType="deal.creation", objectTypeId=None)) == [(ObjectKind.DEAL, "17")]
    assert refs(change(subscriptionType="object.deletion", objectTypeId="0-1")) == [(ObjectKind.CONTACT, "17")]
    assert refs(change(subscriptionType="object.restore", objectTypeId="0-136")) == [(ObjectKind.LEAD, "17")]
    assert refs(change(subscriptionType="company.propertyChange", objectTypeId="0-2")) == [(ObjectKind.COMPANY, "17")]
    assert refs(change(subscriptionType=None, eventType="contact.propertyChange", objectTypeId=None)) == [
        (ObjectKind.CONTACT, "17")
    ]
    assert refs(change(objectTypeId="0-5", subscriptionType="ticket.propertyChange")) == []


def test_a_merge_names_winner_losers_and_new_id() -> None:
    """The surviving record may carry an id that nobody has seen."""
    merge = change(
        subscriptionType="contact.merge",
        objectTypeId="0-1",
        objectId=5,
        primaryObjectId=5,
        mergedObjectIds=[6, 7],
        newObjectId=8,
    )

    assert refs(merge) == [(ObjectKind.CONTACT, one) for one in ("5", "8", "6", "7")]


@pytest.mark.parametrize(
    "named",
    [
        {"subscriptionType": "deal.associationChange", "associationType": "DEAL_TO_CONTACT"},
        {"subscriptionType": "object.associationChange", "fromObjectTypeId": "0-3", "toObjectTypeId": "0-1"},
        {"subscriptionType": "object.associationChange", "objectTypeId": "0-3", "associationType": "DEAL_TO_CONTACT_UNLABELED"},
    ],
)
def test_an_association_names_both_ends(named: dict[str, str]) -> None:
    """A deal that gets its contact after it was won has somebody to be sent for."""
    event = {"portalId": 1, "occurredAt": 1, "fromObjectId": 17, "toObjectId": 21, "associationRemoved": False, **named}

    assert refs(event) == [(ObjectKind.DEAL, "17"), (ObjectKind.CONTACT, "21")]


def test_a_privacy_deletion_is_marked() -> None:
    """The person is forgotten here too, not merely read again."""
    (hint,) = hints(change(subscriptionType="contact.privacyDeletion", objectTypeId=None))

    assert hint.is_privacy_deletion
    assert hint.ref == RecordRef(ObjectKind.CONTACT, "17")


def test_one_array_serves_several_portals_and_ill_events_hinder_none() -> None:
    """One app has one URL for all its accounts; a hundred events and more come in one request."""
    ill = [change(objectId=None), change(objectId="x"), change(objectId=True), change(portalId=None), {}, "event", None]
    many = [change(objectId=number, portalId=number % 2 + 1) for number in range(150)]

    found = parse_webhook(signed([*ill, *many, change(objectId=900, occurredAt="soon")]), ["app-secret"], NOW)

    assert isinstance(found, tuple)
    assert len(found) == 151
    assert {hint.account_ref for hint in found} == {"1", "2", "62515"}
    assert found[-1].occurred_at is None
