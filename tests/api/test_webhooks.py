"""The webhook door: who is believed, what is kept of an event, and what becomes of a hint."""

import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from app.bootstrap.services import Services
from app.db.tables import conversions, inbox, records
from app.ingest.door import take_hints
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection
from connectors.contract.source import Hint, Stored
from connectors.simulators.hubspot.tokens import Tokens
from connectors.simulators.hubspot.webhooks import sign_v3
from tests.api.rig import NOW, PUBLIC, SECRET, Rig, rig_on

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "referee" / "hubspot_signatures.json"


async def _waiting(services: Services) -> list[tuple[str, str]]:
    async with services.database.read() as connection:
        result = await connection.execute(select(inbox.c.object, inbox.c.external_id).order_by(inbox.c.external_id))
        return [(row.object, row.external_id) for row in result]


async def test_a_believed_event_becomes_a_ref_that_is_fetched(rig: Rig) -> None:
    """The whole way of a webhook: answered at once, only a ref kept, the record read from the CRM itself."""
    contact = rig.person()

    answer = await rig.deliver(rig.signed([rig.change(contact, propertyValue="jane@example.com")]))

    assert (answer.status_code, answer.content) == (204, b"")
    assert await _waiting(rig.services) == [("contact", contact)]
    await rig.services.tick()
    assert await _waiting(rig.services) == []
    trace = await rig.client.get(f"/v1/leads/contact:{contact}/trace")
    assert [one["milestone"] for one in trace.json()["conversions"]] == ["lead"]


async def test_a_hundred_events_of_one_record_wait_once(rig: Rig) -> None:
    """A bulk edit fires an event a property; the record is read once."""
    contact = rig.person()

    for _ in range(3):
        assert (await rig.deliver(rig.signed([rig.change(contact, occurredAt=n) for n in range(100)]))).status_code == 204

    assert await _waiting(rig.services) == [("contact", contact)]


async def test_what_is_not_believed_stores_nothing_and_says_why(house: Rig) -> None:
    """The door is public: a forger, a replayer and a clock a year ahead get 401 with the reason, and leave no trace."""
    event = [house.change(house.person())]

    cases = {
        "fits no webhook secret": house.signed(event, secret="stolen"),
        "last five minutes": house.signed(event, at=NOW - timedelta(minutes=6)),
        "timestamp": house.signed(event, at=NOW + timedelta(days=365)),
    }
    for words, request in cases.items():
        answer = await house.deliver(request)

        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert words in answer.json()["detail"]
    tampered = house.signed(event)
    answer = await house.client.post(house.hook_path, content=tampered.body + b" ", headers=dict(tampered.headers))
    assert answer.status_code == 401
    assert await _waiting(house.services) == []


async def test_wrong_names_and_wrong_tokens_look_the_same(house: Rig) -> None:
    """A door that tells a known name from an unknown one tells whom we work for."""
    request = house.signed([house.change(1)])
    token = house.hook_path.rpartition("/")[2]

    answers = [
        await house.deliver(request, path)
        for path in (f"/webhooks/absent/{token}", "/webhooks/hubspot/wrong", "/webhooks/hubspot/%C3%A9", "/webhooks/absent/x")
    ]

    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert {answer.status_code for answer in answers} == {404}
    assert all(body == bodies[0] for body in bodies)


async def test_a_body_of_five_megabytes_is_refused_unread(house: Rig) -> None:
    """Memory must not grow with what a stranger sends: an announced giant is not read, a stream is cut at one."""
    sent = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(80):
            sent += 1 << 16
            yield b"x" * (1 << 16)

    announced = await house.client.post(house.hook_path, content=b"x" * (5 << 20))
    streamed = await house.client.post(house.hook_path, content=stream())

    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert streamed.json()["type"] == "/problems/too-large"
    assert sent <= (1 << 20) + (2 << 16)
    assert await _waiting(house.services) == []


async def test_a_signed_body_that_is_no_event_list_is_a_bad_request(house: Rig) -> None:
    """Known sender, unknown shape: told apart from a forgery."""
    request = house.signed({"objectId": 1})  # type: ignore[arg-type]  # the wrong shape is the point

    answer = await house.deliver(request)

    assert answer.status_code == 400
    assert "no array of events" in answer.json()["detail"]


async def test_events_of_other_accounts_and_unread_kinds_are_not_kept(house: Rig) -> None:
    """One app has one address for all its accounts; a record of another account would be read from ours."""
    contact = house.person()
    events = [
        house.change(contact),
        house.change(5, portalId=house.portal_id + 1),
        house.change(6, objectTypeId="0-136"),
        house.change(7, objectTypeId="0-2"),
    ]

    assert (await house.deliver(house.signed(events))).status_code == 204

    assert await _waiting(house.services) == [("contact", contact)]


async def test_without_a_secret_nobody_is_believed_nor_told_why(tmp_path: Path, logs: io.StringIO) -> None:
    """The operator reads in the log which setting is missing; a stranger at the door learns nothing of our settings."""
    lost = tmp_path / "lost.txt"
    for number, (secrets, words) in enumerate((("", "`webhook_secrets`"), (f"file:{lost}", "lost.txt"))):
        lost.write_text(SECRET, encoding="utf-8")
        async with rig_on(tmp_path, f"sqlite:///{tmp_path / f'{number}.db'}", secrets=secrets) as rig:
            lost.unlink()
            answer = await rig.deliver(rig.signed([rig.change(1)]))

            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
            assert "secret" not in answer.text
            assert "lost" not in answer.text
            assert words in logs.getvalue()
            assert await _waiting(rig.services) == []


async def test_either_secret_is_good_while_one_is_rotated(tmp_path: Path) -> None:
    """A rotation must not lose an hour of events."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}", secrets="old-secret, new-secret") as rig:
        for number, secret in enumerate(("old-secret", "new-secret"), start=1):
            assert (await rig.deliver(rig.signed([rig.change(number)], secret=secret))).status_code == 204

        assert await _waiting(rig.services) == [("contact", "1"), ("contact", "2")]


@pytest.mark.skipif(not VECTORS.exists(), reason="the folder shared/ is not beside this checkout")
async def test_published_signatures_pass_the_door_only_as_v3_and_for_its_own_address(tmp_path: Path) -> None:
    """HubSpot's own vectors: v1 and v2 prove nothing; v3 does, but never for the address of somebody else."""
    found = json.loads(VECTORS.read_text())["vectors"]
    assert len(found) == 9
    (secret,) = {vector["client_secret"] for vector in found}
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}", secrets=secret) as rig:
        for vector in found:
            stamp = vector["timestamp"] or str(int(NOW.timestamp() * 1000))
            rig.stage.clock.now = datetime.fromtimestamp(int(stamp) / 1000, tz=UTC)
            body = vector["body"].encode()
            name = "X-HubSpot-Signature-v3" if vector["version"] == "v3" else "X-HubSpot-Signature"
            headers = {name: vector["signature"], "X-HubSpot-Request-Timestamp": stamp}

            answer = await rig.client.post(rig.hook_path, content=body, headers=headers)
            own = {**headers, "X-HubSpot-Signature-v3": sign_v3(secret, "POST", f"{PUBLIC}{rig.hook_path}", body, stamp)}
            believed = await rig.client.post(rig.hook_path, content=body, headers=own)

            why = "fits no webhook secret" if vector["version"] == "v3" else "carries no signature v3"
            assert (answer.status_code, why in answer.json()["detail"]) == (401, True)
            assert believed.status_code in (204, 400)  # some vectors sign what is no list of events


async def test_the_address_is_verified_as_the_vendor_called_it(house: Rig) -> None:
    """Escapes and query are part of what is signed; a door that tidies the address refuses true webhooks."""
    path = house.hook_path
    for query in ("?x=a%3Ab", "?x=a%3ab", "?x=a:b", "?x=a%20b&y=%26"):
        house.hook_path = path + query

        assert (await house.deliver(house.signed([house.change(1)]))).status_code == 204


async def test_without_a_public_url_the_called_host_is_verified(house: Rig) -> None:
    """Without a proxy in front, the address is the one that was called."""
    object.__setattr__(house.services, "settings", house.services.settings.model_copy(update={"public_url": None}))

    assert (await house.deliver(house.signed([house.change(1)]))).status_code == 204
    elsewhere = httpx.AsyncClient(transport=httpx.ASGITransport(house.app), base_url="http://internal:8000")
    request = house.signed([house.change(2)])
    answer = await elsewhere.post(house.hook_path, content=request.body, headers=dict(request.headers))
    await elsewhere.aclose()
    assert answer.status_code == 401


async def test_a_hint_that_arrives_during_its_own_fetch_survives(rig: Rig) -> None:
    """The record changed again after it was read: deleting the hint then would lose the second change until a sweep."""
    contact = rig.person()
    await rig.deliver(rig.signed([rig.change(contact)]))
    source = (await rig.services.sources())[0]
    context = await rig.services.contexts.of_source(source)
    assert context is not None
    crm = rig.services.openers.stored_source(source)
    fetch = crm.fetch
    fetched: list[int] = []

    async def meddling(refs: list[RecordRef], selection: Selection, stored: Stored) -> list[Record]:
        found = list(await fetch(refs, selection, stored))
        if not fetched:
            again = Hint(RecordRef(ObjectKind.CONTACT, contact), str(rig.portal_id))
            await take_hints(rig.services.database, source.id, source.account_ref, {ObjectKind.CONTACT}, [again], NOW)
            rig.stage.portal.update("contacts", contact, {"lifecyclestage": "salesqualifiedlead"}, NOW)
        fetched.append(len(refs))
        return found

    crm.fetch = meddling  # type: ignore[method-assign,assignment]  # the instant between answer and recording
    await rig.services.poller.pull(context, crm)
    await rig.services.poller.pull(context, crm, only_due=True)

    assert fetched == [1, 1]
    assert await _waiting(rig.services) == []
    async with rig.services.database.read() as connection:
        found = (await connection.execute(select(conversions.c.milestone).order_by(conversions.c.milestone))).scalars().all()
    assert list(found) == ["lead", "qualified_lead"]


async def test_a_hint_whose_fetch_fails_stays(rig: Rig) -> None:
    """An outage of the CRM must not lose what it told us."""
    contact = rig.person()
    await rig.deliver(rig.signed([rig.change(contact)]))
    rig.stage.portal.access = Tokens((), None)  # every call is refused from now on

    summary = await rig.services.tick()

    assert summary.problems
    assert await _waiting(rig.services) == [("contact", contact)]
    (run,) = (await rig.client.get("/v1/runs?state=failed")).json()["items"]
    assert (run["kind"], run["source"]) == ("pull", "hubspot")
    assert run["error"]


async def test_the_deleted_merged_and_unknown_end_their_hints(rig: Rig) -> None:
    """A hint that can never be answered must not be fetched for ever, nor hinder its neighbours."""
    winner, loser, erased, deleted = (rig.person(email=f"{name}@example.com") for name in ("one", "two", "three", "four"))
    await rig.services.tick()
    rig.stage.clock.now += timedelta(minutes=1)
    rig.stage.portal.merge("contacts", winner, loser, rig.stage.clock.now)
    rig.stage.portal.erase("contacts", erased, rig.stage.clock.now)
    rig.stage.portal.archive("contacts", deleted, rig.stage.clock.now)
    events = [
        rig.change(winner, subscriptionType="object.merge", mergedObjectIds=[int(loser)], newObjectId=int(winner)),
        rig.change(erased, subscriptionType="contact.privacyDeletion"),
        rig.change(deleted, subscriptionType="object.deletion"),
        rig.change(999_999_999_999),
    ]

    assert (await rig.deliver(rig.signed(events))).status_code == 204
    before = rig.stage.portal.requests["batch_read contacts"]
    await rig.services.tick()

    assert await _waiting(rig.services) == []
    assert rig.stage.portal.requests["batch_read contacts"] - before <= 4
    async with rig.services.database.read() as connection:
        found = await connection.execute(select(records.c.external_id, records.c.state))
        assert {row.external_id: row.state for row in found} == {
            winner: "live",
            loser: "merged",
            erased: "deleted",
            deleted: "deleted",
        }


async def test_a_webhook_a_poll_and_a_repetition_make_one_conversion(rig: Rig) -> None:
    """Three doors tell of the same change; it counts once."""
    contact = rig.person(lifecyclestage="salesqualifiedlead")
    for _ in range(2):
        await rig.deliver(rig.signed([rig.change(contact)]))
        await rig.services.sync()
        rig.stage.clock.now += timedelta(minutes=6)
        await rig.services.sync()

    listed = (await rig.client.get("/v1/deliveries")).json()["items"]
    assert [(one["milestone"], one["state"]) for one in listed] == [("qualified_lead", "accepted")]
    assert len(rig.stage.google.received()) == 1


async def test_the_values_of_an_event_are_nowhere(tmp_path: Path, logs: io.StringIO) -> None:
    """An event carries what a person typed; neither the database nor the log may know it."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        told = [rig.change(4, propertyName="email", propertyValue="secret.person@example.com", changeSource="Zaphod")]
        await rig.deliver(rig.signed(told))
        await rig.deliver(rig.signed(told, secret="stolen"))

    content = b"".join(file.read_bytes() for file in tmp_path.glob("one.db*"))  # noqa: ASYNC240 the service is closed
    printed = logs.getvalue()
    for word in ("secret.person", "Zaphod"):
        assert word.encode() not in content
        assert word not in printed
    assert "webhook.refused" in printed
