"""Salesforce at the real door: what it sends, how it must be answered, and what of it may be kept."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.api.gate import LARGEST_BODY
from app.db.tables import inbox, metadata
from app.main import create_app
from connectors.simulators.salesforce.webhooks import SoapOutbox, WebhookRequest
from tests.api.conftest import logs
from tests.contract.salesforce_stage import SECRET
from tests.integration.salesforce_rig import Story, story_at

__all__ = ["logs"]

ACK = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)
XML = {"Content-Type": "text/xml; charset=utf-8"}
MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Door:
    """A source of one org, its address, and the outbound messages that the org sends."""

    story: Story
    client: httpx.AsyncClient
    path: str
    outbox: SoapOutbox

    def leads(self, count: int) -> list[str]:
        """New leads, a minute on."""
        at = self.story.rig.stage.clock.go_on(MINUTE)
        return [
            self.story.org.create("Lead", {"LastName": "Doe", "Company": "Acme", "Email": f"{one}@x.example"}, at)
            for one in range(count)
        ]

    def message(self) -> WebhookRequest:
        """The one message that is due."""
        (found,) = self.outbox.drain(self.story.rig.stage.clock())
        return found

    async def post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send it, without any key."""
        return await self.client.post(self.path, content=body, headers=headers)

    async def waiting(self) -> set[tuple[str, str]]:
        """What is to be read now."""
        async with self.story.rig.services.database.read() as connection:
            rows = await connection.execute(select(inbox.c.object, inbox.c.external_id))
            return {(row.object, row.external_id) for row in rows}

    def signed(self, body: bytes, *, secret: str = SECRET) -> dict[str, str]:
        """The headers that Apex would send."""
        stamp = str(int(self.story.rig.stage.clock().timestamp()))
        mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Leadloop-Timestamp": stamp, "X-Leadloop-Signature": mac}

    def event(self, **changes: Any) -> bytes:
        """A lead that changed, as Flow or Apex tells it."""
        event = {"organizationId": self.story.org.org_id, "object": "Lead", "id": "00Qfj0000000001AAA", **changes}
        return json.dumps(event).encode()


@pytest.fixture
async def door(tmp_path: Path, database_url: str) -> AsyncIterator[Door]:
    """An open house with one Salesforce source."""
    story = await story_at(database_url, tmp_path)
    app = create_app()
    app.state.house.services = story.rig.services
    (row,) = await story.rig.services.sources()
    outbox = story.org.outbound_messages("https://x.example", {"Lead": ["Status", "Email"]}, sends_session=True)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://leads.example.com")
    yield Door(story, client, f"/webhooks/crm/{row.webhook_token}", outbox)
    await client.aclose()
    await story.rig.close()


async def test_a_hundred_notifications_are_acknowledged_exactly_and_read(door: Door) -> None:
    """Salesforce sends a message again for a day unless it reads exactly this; the values in it are of its own sending time."""
    leads = door.leads(100)
    message = door.message()

    answer = await door.post(message.body, dict(message.headers))

    assert (answer.status_code, answer.content) == (200, ACK)
    assert answer.headers["content-type"].startswith("text/xml")
    assert door.outbox.answered(message, answer.status_code, answer.content, door.story.rig.stage.clock())
    assert await door.waiting() == {("lead", one) for one in leads}
    await door.story.rig.tick()
    assert await door.waiting() == set()
    assert len(await door.story.living()) == 100


async def test_a_notification_that_comes_twice_is_acknowledged_twice_and_counts_once(door: Door) -> None:
    """The first acknowledgement may be lost on its way."""
    door.leads(1)
    message = door.message()

    for _ in range(2):
        answer = await door.post(message.body, dict(message.headers))
        assert answer.content == ACK
        await door.story.rig.tick()

    assert [milestone for milestone, _ in await door.story.living()] == ["lead"]


async def test_a_message_of_another_org_is_refused_and_not_acknowledged(door: Door) -> None:
    """A sandbox that was copied from production goes on sending to its address."""
    door.leads(1)
    message = door.message()
    body = message.body.replace(door.story.org.org_id.encode(), b"00D000000000009AAA")
    assert body != message.body

    answer = await door.post(body, dict(message.headers))

    assert answer.status_code == 403
    assert b"Ack" not in answer.content
    assert await door.waiting() == set()


LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><l>&c;</l>'
)
FOREIGN = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><l>&x;</l>'


@pytest.mark.parametrize("body", [LAUGHS, FOREIGN, b"<not closed", b"<a/>", b"", b"\xff\xfe<"])
async def test_xml_that_attacks_is_refused_unread(door: Door, body: bytes) -> None:
    """The door is open to the internet: no entity is expanded, no file and no address is opened."""
    answer = await door.post(body, XML)

    assert answer.status_code == 400
    assert b"root:" not in answer.content
    assert b"haha" not in answer.content
    assert await door.waiting() == set()


async def test_a_body_of_any_size_is_refused_before_it_is_parsed(door: Door) -> None:
    """A hundred notifications are far below the bound."""
    answer = await door.post(b"<" + b"a" * LARGEST_BODY, XML)

    assert answer.status_code == 413


async def test_a_session_id_is_neither_stored_nor_logged(door: Door, logs: StringIO) -> None:
    """Who ticks `Send Session ID` hands out a login with every message."""
    lead, *_ = door.leads(1)
    message = door.message()
    session = message.body.split(b"<SessionId>")[1].split(b"<")[0]
    assert len(session) > 20

    taken = await door.post(message.body, dict(message.headers))
    refused = await door.post(message.body.replace(b"<Notification>", b"<Notification") + session, dict(message.headers))

    assert (taken.status_code, refused.status_code) == (200, 400)
    assert session not in taken.content + refused.content
    assert session.decode() not in logs.getvalue()
    stored = b""
    async with door.story.rig.services.database.read() as connection:
        for table in metadata.sorted_tables:
            stored += repr((await connection.execute(select(table))).all()).encode()
    assert lead.encode() in stored
    assert session not in stored
    assert b"@x.example" not in stored


async def test_signed_json_and_the_constant_secret_are_taken(door: Door) -> None:
    """Apex signs; Flow can only send a constant header."""
    body, other = door.event(), door.event(id="00Qfj0000000002AAA")

    signed = await door.post(body, door.signed(body))
    constant = await door.post(other, {"Content-Type": "application/json", "X-Leadloop-Secret": SECRET})

    assert [(one.status_code, one.content) for one in (signed, constant)] == [(204, b""), (204, b"")]
    assert await door.waiting() == {("lead", "00Qfj0000000001AAA"), ("lead", "00Qfj0000000002AAA")}


async def test_json_that_nobody_signed_is_refused(door: Door) -> None:
    """The address alone proves nothing where a signature is possible."""
    body = door.event()
    stale = door.signed(body)
    door.story.rig.stage.clock.go_on(6 * MINUTE)

    refused = [
        await door.post(body, {"Content-Type": "application/json"}),
        await door.post(body, {"Content-Type": "application/json", "X-Leadloop-Secret": "guessed"}),
        await door.post(body, door.signed(body, secret="another secret of somebody")),
        await door.post(body + b" ", door.signed(body)),
        await door.post(body, stale),
    ]

    assert {one.status_code for one in refused} == {401}
    assert await door.waiting() == set()


async def test_signed_json_of_another_org_is_refused(door: Door) -> None:
    """One secret may serve several orgs; an address is one org's."""
    body = door.event(organizationId="00D000000000009AAA")

    assert (await door.post(body, door.signed(body))).status_code == 403
    assert await door.waiting() == set()
