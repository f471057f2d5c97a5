"""Doors of CRMs whose webhooks are no HubSpot's: without a secret, with an acknowledgement, of one account alone."""

from collections.abc import Sequence
from datetime import datetime

import pytest
from sqlalchemy import select

from app.db.tables import inbox, records
from connectors import registry
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import Hint, WebhookRefused, WebhookReply, WebhookRequest
from connectors.registry import WebhookDoor
from tests.api.rig import Rig

ACK = b'<?xml version="1.0" encoding="UTF-8"?><Envelope><Ack>true</Ack></Envelope>'
XML = {"content-type": "text/xml; charset=utf-8", "Authorization": ""}
CONTACT = ObjectKind.CONTACT


def _acknowledge(request: WebhookRequest) -> WebhookReply | None:
    return WebhookReply(200, ACK, "text/xml") if b"Envelope" in request.body else None


def _door(monkeypatch: pytest.MonkeyPatch, *hints: Hint, needs_secret: bool = False, is_one_account: bool = True) -> None:
    """The HubSpot source gets the door of another CRM, which reads these hints."""

    def parse(request: WebhookRequest, secrets: Sequence[str], now: datetime) -> tuple[Hint, ...] | WebhookRefused:
        return hints

    door = WebhookDoor(parse, needs_secret=needs_secret, is_one_account=is_one_account, acknowledge=_acknowledge)
    monkeypatch.setitem(registry.WEBHOOKS, "hubspot", door)


async def _waiting(rig: Rig) -> list[tuple[str, str | None, bool]]:
    async with rig.services.database.read() as connection:
        rows = await connection.execute(
            select(inbox.c.external_id, inbox.c.merged_into, inbox.c.erases).order_by(inbox.c.external_id)
        )
        return [(row.external_id, row.merged_into, bool(row.erases)) for row in rows]


async def test_a_message_gets_exactly_the_acknowledgement_of_its_vendor(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Salesforce sends an outbound message again for a day unless it reads its Ack, and nothing else."""
    _door(monkeypatch, Hint(RecordRef(CONTACT, "7"), str(rig.portal_id)))

    soap = await rig.client.post(rig.hook_path, content=b"<Envelope/>", headers=XML)
    other = await rig.client.post(rig.hook_path, content=b"{}", headers={"Authorization": ""})

    assert (soap.status_code, soap.content, soap.headers["content-type"]) == (200, ACK, "text/xml; charset=utf-8")
    assert (other.status_code, other.content) == (204, b"")
    assert await _waiting(rig) == [("7", None, False)]


async def test_events_of_another_account_alone_are_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address is one account's: what another sends there is a mistake or an attack, and is acknowledged by nothing."""
    _door(monkeypatch, Hint(RecordRef(CONTACT, "7"), "another"))

    answer = await rig.client.post(rig.hook_path, content=b"<Envelope/>", headers=XML)

    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/webhook-foreign")
    assert await _waiting(rig) == []


async def test_a_door_that_needs_a_secret_stays_shut_without_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that was set up half must not believe anybody."""
    _door(monkeypatch, Hint(RecordRef(CONTACT, "7"), str(rig.portal_id)), needs_secret=True)
    monkeypatch.setattr(registry, "webhook_secrets", lambda _settings: ())

    answer = await rig.client.post(rig.hook_path, content=b"{}", headers={"Authorization": ""})

    assert answer.status_code == 503
    assert await _waiting(rig) == []


async def test_a_merge_that_only_the_webhook_tells_is_a_merge(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipedrive shows a merged person as deleted: taken for that, its conversions would be taken back."""
    loser, winner = rig.person(email="a@example.com"), rig.person(email="b@example.com")
    await rig.services.tick(only_due=False)
    account = str(rig.portal_id)
    rig.stage.portal.archive("contacts", loser, rig.stage.clock.now)
    _door(monkeypatch, Hint(RecordRef(CONTACT, loser), account, merged_into=RecordRef(CONTACT, winner)))

    await rig.client.post(rig.hook_path, content=b"{}", headers={"Authorization": ""})
    _door(monkeypatch, Hint(RecordRef(CONTACT, loser), account))
    await rig.client.post(rig.hook_path, content=b"{}", headers={"Authorization": ""})
    marked = await _waiting(rig)
    await rig.services.tick()

    assert marked == [(loser, f"contact:{winner}", False)]
    assert await _waiting(rig) == []
    async with rig.services.database.read() as connection:
        rows = (await connection.execute(select(records.c.external_id, records.c.state, records.c.lead_id))).all()
    assert {row.external_id: row.state for row in rows} == {loser: "merged", winner: "live"}
    assert len({row.lead_id for row in rows}) == 1


async def test_a_plea_to_be_forgotten_is_kept_whatever_the_mapping_reads(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapping may have read them before; a later, plain event of the record must not hide the plea."""
    account = str(rig.portal_id)
    _door(monkeypatch, Hint(RecordRef(ObjectKind.LEAD, "7"), account, is_privacy_deletion=True))
    await rig.client.post(rig.hook_path, content=b"{}", headers={"Authorization": ""})
    _door(monkeypatch, Hint(RecordRef(ObjectKind.LEAD, "7"), account), Hint(RecordRef(CONTACT, "8"), account))
    await rig.client.post(rig.hook_path, content=b"{}", headers={"Authorization": ""})

    assert await _waiting(rig) == [("7", None, True), ("8", None, False)]
