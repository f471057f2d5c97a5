"""The two webhook doors: signed JSON from Flow or Apex, and Outbound Messages with their exact answer."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import Hint, WebhookRefused, WebhookRequest
from connectors.crm.salesforce import acknowledge, parse_webhook
from tests.wire.salesforce.fake_org import NOW, ORG, org_id

DEAL = org_id("Opportunity", 1)
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"


def request(body: bytes, **headers: str) -> WebhookRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WebhookRequest("POST", "https://leads.example.com/webhooks/sf/token", named, body)


def signed(body: Any, *, secret: str = "s3cret", at: datetime = NOW, change: bytes = b"") -> WebhookRequest:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = str(int(at.timestamp()))
    signature = hmac.new(secret.encode(), stamp.encode() + b"." + content, hashlib.sha256).hexdigest()
    return request(content + change, x_leadloop_timestamp=stamp, x_leadloop_signature=signature)


def parsed(given: WebhookRequest, *secrets: str) -> tuple[Hint, ...] | WebhookRefused:
    return parse_webhook(given, secrets or ("s3cret",), NOW)


def event(**more: Any) -> dict[str, Any]:
    return {"organizationId": ORG, "object": "Opportunity", "id": DEAL, **more}


def notification(number: int, name: str = "Opportunity", fields: str | None = None) -> str:
    inner = fields if fields is not None else f"<sf:Id>{org_id(name, number)}</sf:Id><sf:StageName>Won</sf:StageName>"
    return f'<Notification><Id>04l{number:012d}</Id><sObject xsi:type="sf:{name}">{inner}</sObject></Notification>'


def message(*notifications: str, organization: str = ORG, before: str = "") -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>{before}
<soapenv:Envelope xmlns:soapenv="{SOAP}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<notifications xmlns="{OUTBOUND}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
<OrganizationId>{organization}</OrganizationId><ActionId>04k</ActionId><SessionId>00D-session!secret</SessionId>
<EnterpriseUrl>https://acme.my.salesforce.com/services/Soap/c/67.0</EnterpriseUrl><PartnerUrl>x</PartnerUrl>
{"".join(notifications)}</notifications></soapenv:Body></soapenv:Envelope>""".encode()


def soap(body: bytes) -> WebhookRequest:
    return request(body, content_type="text/xml; charset=utf-8")


def test_a_signed_event_is_a_hint() -> None:
    """Its values are never taken, whatever else it holds."""
    found = parsed(signed(event(occurredAt="2026-11-20T11:59:00Z", StageName="Closed Won", email="p@example.com")))

    assert found == (Hint(RecordRef(ObjectKind.DEAL, DEAL), ORG, NOW - timedelta(minutes=1)),)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Lead", ObjectKind.LEAD),
        ("contact", ObjectKind.CONTACT),
        ("Opportunity", ObjectKind.DEAL),
        ("Account", ObjectKind.COMPANY),
    ],
)
def test_each_object_is_its_kind(name: str, kind: ObjectKind) -> None:
    """The four words are the same for every CRM."""
    found = parsed(signed(event(object=name)))

    assert isinstance(found, tuple)
    assert [hint.ref.kind for hint in found] == [kind]


def test_a_contact_role_stands_for_its_deal() -> None:
    """Who is on a deal changes without the deal."""
    role = event(object="OpportunityContactRole", id=org_id("OpportunityContactRole", 1), opportunityId=DEAL)

    assert parsed(signed(role)) == (Hint(RecordRef(ObjectKind.DEAL, DEAL), ORG),)


def test_an_array_loses_only_what_cannot_be_read() -> None:
    """One odd event hinders no other; one that is repeated is one hint, short ids are the long ones."""
    odd: list[dict[str, Any]] = [
        {},
        event(id=7),
        event(id="x"),
        event(object=None),
        event(object="Case"),
        event(organizationId="001x"),
    ]
    body = [event(), *odd, event(id=DEAL[:15], organizationId=ORG[:15]), event(occurredAt="soon")]

    assert parsed(signed(body)) == (Hint(RecordRef(ObjectKind.DEAL, DEAL), ORG),)


@pytest.mark.parametrize(
    "given_request",
    [
        signed(event(), secret="other"),
        signed(event(), change=b" "),
        signed(event(), at=NOW - timedelta(minutes=5, seconds=1)),
        signed(event(), at=NOW + timedelta(minutes=5, seconds=1)),
        request(json.dumps(event()).encode()),
        request(b"{}", x_leadloop_timestamp="soon", x_leadloop_signature="x"),
        request(b"{}", x_leadloop_timestamp="9" * 30, x_leadloop_signature="x"),
        request(b"{}", x_leadloop_timestamp=str(int(NOW.timestamp())), x_leadloop_signature="é"),
        request(b"{}", x_leadloop_signature="x"),
        request(b"{}", x_leadloop_secret="wrong"),
        request(b"{}", x_leadloop_secret=""),
    ],
)
def test_forged_stale_and_unsigned_json_is_refused(given_request: WebhookRequest) -> None:
    """The address alone is no proof: logs and proxies know it."""
    found = parsed(given_request)

    assert isinstance(found, WebhookRefused)
    assert found.status == 401
    assert parse_webhook(given_request, (), NOW) == parse_webhook(given_request, ("",), NOW)


def test_without_secrets_no_json_is_believed() -> None:
    """An empty secret would be everybody's."""
    for given_request in (signed(event(), secret=""), request(b"{}", x_leadloop_secret=""), signed(event())):
        assert isinstance(parse_webhook(given_request, (), NOW), WebhookRefused)
        assert isinstance(parse_webhook(given_request, ("",), NOW), WebhookRefused)


def test_any_of_the_secrets_may_have_signed() -> None:
    """While the secret is being rotated both are in use."""
    assert isinstance(parsed(signed(event(), secret="old"), "new", "old"), tuple)


def test_flow_may_send_a_constant_secret() -> None:
    """It cannot compute a signature; an External Credential adds a header."""
    assert isinstance(parsed(request(json.dumps(event()).encode(), x_leadloop_secret="s3cret")), tuple)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"7", b"null", b'"x"', b"[1]", b'[{"a": 1}, []]'])
def test_json_of_another_form_is_refused(body: bytes) -> None:
    """Signed, and yet no event."""
    found = parsed(signed(body))

    assert isinstance(found, WebhookRefused)
    assert found.status == 400


def test_a_hundred_notifications_are_a_hundred_hints() -> None:
    """Salesforce bundles that many; each has its own record."""
    found = parsed(soap(message(*(notification(number) for number in range(100)))))

    assert found == tuple(Hint(RecordRef(ObjectKind.DEAL, org_id("Opportunity", number)), ORG) for number in range(100))


def test_a_notification_that_comes_again_is_the_same_hint() -> None:
    """Outbound Messages are sent until they are acknowledged."""
    found = parsed(soap(message(notification(1), notification(1))))

    assert found == (Hint(RecordRef(ObjectKind.DEAL, DEAL), ORG),)


def test_outbound_messages_of_leads_roles_and_others() -> None:
    """A role stands for its deal; an object that is none of ours gives no hint."""
    role = notification(
        3,
        "OpportunityContactRole",
        f"<sf:Id>{org_id('OpportunityContactRole', 3)}</sf:Id><sf:OpportunityId>{DEAL}</sf:OpportunityId>",
    )
    poor = notification(4, "OpportunityContactRole", f"<sf:Id>{org_id('OpportunityContactRole', 4)}</sf:Id>")
    body = message(notification(2, "Lead"), role, poor, notification(5, "Case"), notification(6, fields=""), "<Notification/>")

    found = parsed(soap(body))

    assert isinstance(found, tuple)
    assert [hint.ref for hint in found] == [RecordRef(ObjectKind.LEAD, org_id("Lead", 2)), RecordRef(ObjectKind.DEAL, DEAL)]


def test_the_org_routes_with_its_18_characters() -> None:
    """A message of another org must not be taken for this one's; which org is whose the service knows."""
    found = parsed(soap(message(notification(1), organization="00Dfj000000AbCd")))

    assert isinstance(found, tuple)
    assert {len(hint.account_ref) for hint in found} == {18}


ENTITY = '<!DOCTYPE x [<!ENTITY a "b">]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    "body",
    [
        message(),
        message(*(notification(number) for number in range(101))),
        message(notification(1), organization=""),
        message(notification(1), organization="001000000000001AAA"),
        message(notification(1), before="<!DOCTYPE x>"),
        message(notification(1), before=ENTITY),
        message(notification(1, fields="<sf:Id>&a;</sf:Id>"), before=EXTERNAL),
        message(notification(1, fields="<sf:Id>&c;</sf:Id>"), before=LAUGHS),
        message(notification(1))[:-9],
        b"<a/>",
        b"<",
        b"\xff\xfe<",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        message(notification(1)).replace(OUTBOUND.encode(), b"urn:other"),
    ],
)
def test_xml_that_is_no_outbound_message_or_attacks_is_refused(body: bytes) -> None:
    """Entities read files and fill memories; a truncated message may be sent again."""
    found = parsed(soap(body))

    assert isinstance(found, WebhookRefused)
    assert found.status == 400
    assert "session" not in found.reason


@given(st.binary(max_size=300))
def test_no_body_breaks_the_door(body: bytes) -> None:
    """Anybody may knock."""
    assert isinstance(parsed(soap(body)), tuple | WebhookRefused)
    assert isinstance(parsed(signed(body)), tuple | WebhookRefused)


def test_the_acknowledgement_is_exactly_what_salesforce_reads() -> None:
    """`false`, another body or another status means that the message is sent again, for a day."""
    reply = acknowledge(soap(message(notification(1))))

    assert reply is not None
    assert (reply.status, reply.media_type) == (200, "text/xml; charset=utf-8")
    envelope = ET.fromstring(reply.body)  # noqa: S314 our own answer
    ack = envelope.find(f"{{{SOAP}}}Body/{{{OUTBOUND}}}notificationsResponse/{{{OUTBOUND}}}Ack")
    assert ack is not None
    assert ack.text == "true"


def test_json_is_answered_as_any_webhook_is() -> None:
    """Only SOAP has an answer of its own."""
    assert acknowledge(signed(event())) is None
    assert acknowledge(request(message(notification(1)))) is not None


def test_the_clock_is_passed_in() -> None:
    """Far from now in either zone of time nothing breaks."""
    assert isinstance(parse_webhook(signed(event()), ("s3cret",), datetime.max.replace(tzinfo=UTC)), WebhookRefused)
