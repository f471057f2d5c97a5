import hashlib
import hmac
import json
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from defusedxml.ElementTree import fromstring

from connectors.simulators.salesforce import Disorder, Org
from tests.unit.simulators.salesforce_rig import at

URL = "https://leadloop.example/webhooks/crm/abc"
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
SF = "{urn:sobject.enterprise.soap.sforce.com}"
ACK = (
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)


def test_a_flows_callout_is_signed_over_time_and_body() -> None:
    """The receiver has only this signature to know its customer by."""
    org = Org()
    org.subscribe_json(URL, "hush", objects=("Lead",))
    lead = org.create("Lead", {}, at())
    org.create("Opportunity", {}, at())
    org.touch("Lead", lead, at())

    (request,) = org.drain_webhooks(at(1))

    timestamp = str(int(at(1).timestamp()))
    expected = hmac.new(b"hush", timestamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert (request.method, request.url) == ("POST", URL)
    assert request.headers == {
        "Content-Type": "application/json",
        "X-Leadloop-Timestamp": timestamp,
        "X-Leadloop-Signature": expected,
    }
    occurred_at = "2026-11-01T12:00:00.000Z"
    assert json.loads(request.body) == {"organizationId": org.org_id, "object": "Lead", "id": lead, "occurredAt": occurred_at}
    assert org.drain_webhooks(at(2)) == [], "a callout is never repeated"


def test_triggers_may_send_arrays_and_only_what_is_committed() -> None:
    """One transaction's records come together, and none before its commit."""
    org = Org()
    org.subscribe_json(URL, "hush", batch=2)
    for _ in range(3):
        org.create("Lead", {}, at())
    org.create("Lead", {}, at(1), visible_at=at(5))

    sizes = [[len(json.loads(one.body)) for one in org.drain_webhooks(at(minute))] for minute in (2, 5)]

    assert sizes == [[2, 1], [1]]


def test_callouts_are_lost_doubled_and_shuffled_by_seed() -> None:
    """A failing storm must fail again."""

    def ids(seed: int) -> list[str]:
        org = Org()
        org.subscribe_json(URL, "hush", disorder=Disorder(seed, loss=0.2, duplication=0.2, is_shuffled=True))
        for _ in range(100):
            org.create("Lead", {}, at())
        return [json.loads(one.body)["id"] for one in org.drain_webhooks(at(1))]

    once = ids(3)

    assert once == ids(3) != ids(4)
    assert once != sorted(once)
    assert 60 < len(set(once)) < 95
    assert Counter(once).most_common(1)[0][1] == 2


def test_an_outbound_message_holds_up_to_100_notifications_with_values_of_now() -> None:
    """The envelope is the vendor's to the letter, and a stage passed through before sending is not in it."""
    org = Org()
    org.outbound_messages(URL, {"Lead": ["Id", "Status", "Company", "IsConverted", "CreatedDate", "Email"]})
    lead = org.create("Lead", {"Company": "Fish & <Chips>", "Status": "Open - Not Contacted"}, at())
    org.update("Lead", lead, {"Status": "Working - Contacted"}, at(1))
    for _ in range(99):
        org.create("Lead", {}, at(1))

    full, rest = org.drain_webhooks(at(2))

    message = fromstring(full.body).find(f"{SOAP}Body/{OUTBOUND}notifications")
    assert message is not None
    notifications = message.findall(f"{OUTBOUND}Notification")
    record = notifications[0].find(f"{OUTBOUND}sObject")
    assert record is not None
    assert full.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert [one.tag.removeprefix(OUTBOUND) for one in message][:5] == [
        "OrganizationId",
        "ActionId",
        "SessionId",
        "EnterpriseUrl",
        "PartnerUrl",
    ]
    assert message.findtext(f"{OUTBOUND}OrganizationId") == org.org_id
    assert not message.findtext(f"{OUTBOUND}SessionId")
    assert (len(notifications), len(rest.notifications)) == (100, 1)
    assert tuple(one.findtext(f"{OUTBOUND}Id") for one in notifications) == full.notifications
    assert record.attrib == {"{http://www.w3.org/2001/XMLSchema-instance}type": "sf:Lead"}
    assert {one.tag.removeprefix(SF): one.text for one in record} == {
        "Id": lead,
        "Status": "Working - Contacted",
        "Company": "Fish & <Chips>",
        "IsConverted": "false",
        "CreatedDate": "2026-11-01T12:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, ACK.replace(b"true", b"false")),
        (200, b""),
        (200, b'{"ok": true}'),
        (200, ACK.replace(b"http://soap.sforce.com/2005/09/outbound", b"")),
        (200, ACK.replace(b"</Ack>", b"</Ack><Ack>true</Ack>")),
        (500, ACK),
    ],
)
def test_without_the_exact_ack_the_same_notifications_come_again(status: int, body: bytes) -> None:
    """A sloppy answer means duplicates for a day; each attempt has the same ids to know them by."""
    org = Org()
    outbox = org.outbound_messages(URL, {"Lead": ["Status"]})
    org.create("Lead", {}, at())
    (first,) = org.drain_webhooks(at())

    is_taken = outbox.answered(first, status, body, at())
    too_early = org.drain_webhooks(at(1))
    (second,) = org.drain_webhooks(at(2))

    assert (is_taken, too_early) == (False, [])
    assert second.notifications == first.notifications
    assert outbox.answered(second, 200, ACK, at(2))
    assert org.drain_webhooks(at(600)) == []


def test_lost_outbound_messages_come_again_and_doubled_ones_have_one_id() -> None:
    """Only an Ack ends a message; on the way it may be doubled and change places."""
    org = Org()
    outbox = org.outbound_messages(URL, {"Lead": []}, disorder=Disorder(5, loss=0.3, duplication=0.3, is_shuffled=True))
    for _ in range(50):
        org.create("Lead", {}, at())
    seen: list[str] = []
    sizes = []

    for minute in range(400):
        for request in org.drain_webhooks(at(minute)):
            seen += request.notifications
            sizes.append(len(request.notifications))
            outbox.answered(request, 200, ACK, at(minute))

    assert (len(set(seen)), seen != sorted(seen), Counter(seen).most_common(1)[0][1]) == (50, True, 2)
    assert 20 < sizes[0] < 60


def test_outbound_messages_are_given_up_after_a_day() -> None:
    """What was refused for so long is never sent again: only the poll finds it."""
    org = Org()
    outbox = org.outbound_messages(URL, {"Lead": ["Status"]})
    org.create("Lead", {}, at())
    now, attempts = at(), []

    while now < at() + timedelta(days=3):
        for request in org.drain_webhooks(now):
            attempts.append(now)
            outbox.answered(request, 503, b"", now)
        now += timedelta(minutes=1)

    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert gaps[:3] == [timedelta(minutes=one) for one in (2, 4, 8)]
    assert (max(gaps), attempts[-1] < at() + timedelta(days=1)) == (timedelta(hours=2), True)
