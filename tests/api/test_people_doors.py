"""A person's own rights over REST: forgotten means that no byte names them, and that nothing brings them back."""

import asyncio
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from app.bootstrap.people_rights import PeopleRights, PersonClue
from app.bootstrap.services import Services
from app.config import ProcessRole
from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import metadata
from app.ingest import recorder
from app.ingest.inbox import put_hints
from app.main import create_app
from app.privacy import barring, sweep_repository
from app.privacy.tombstone_repository import bar
from connectors.contract.records import ObjectKind, RecordRef
from tests.api.rig import Rig
from tests.integration.privacy_rig import counts, every_byte, needles_of, rows_of

EMAIL, PHONE, LAST, CLICK = "jane.quill@customer.example.com", "+44 20 7946 0018", "Quillfeather", "Cj0KCQ-a-click-of-jane"
Snapshot = dict[str, list[dict[str, Any]]]


def jane(rig: Rig, **more: str) -> str:
    properties = {"email": EMAIL, "phone": PHONE, "lastname": LAST, "hs_google_click_id": CLICK, "country": "GB"}
    return rig.person(lifecyclestage="salesqualifiedlead", **{**properties, **more})


async def tick(rig: Rig, times: int = 1, hours: float = 0.7) -> None:
    for _ in range(times):
        rig.stage.clock.now += timedelta(hours=hours)
        await rig.services.tick(only_due=False)


async def backup(database: Database) -> Snapshot:
    async with database.read() as connection:
        tables = metadata.sorted_tables
        return {one.name: [dict(row) for row in (await connection.execute(select(one))).mappings()] for one in tables}


async def restore(database: Database, saved: Snapshot) -> None:
    async with database.write() as connection:
        for table in metadata.sorted_tables:
            await connection.execute(delete(table))
            await insert_rows(connection, table, saved[table.name])


async def forget(rig: Rig, **clue: str) -> dict[str, Any]:
    answer = await rig.client.post("/v1/people/forget", json=clue)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def assert_no_byte(services: Services, url: str) -> None:
    everything = await every_byte(services.database, url)
    needles = needles_of([LAST, CLICK], services.people, emails=[EMAIL], phones=[PHONE])
    assert len(needles) > 15
    assert len(everything) > 100_000
    assert {one for one in needles if one in everything} == set()


async def test_no_byte_names_a_forgotten_person_and_nothing_brings_them_back(
    rig: Rig, tmp_path: Path, database_url: str, logs: io.StringIO
) -> None:
    """By e-mail, at a CRM that goes on showing them: polls, webhooks, another record of theirs, and an old backup."""
    ref, other = jane(rig), rig.person(email="b@x.example")
    await tick(rig, 3, hours=6)
    services, database = rig.services, rig.services.database
    needles = needles_of([], services.people, emails=[EMAIL])
    everything = await every_byte(database, database_url)
    assert any(one in everything for one in needles), "the search would find what is there"
    old = await backup(database)

    told = await forget(rig, email=f" {EMAIL.upper()} ")
    await services.sweeping().export(tmp_path / "stones", actor="test")
    before = await counts(database)

    assert (told["leads"], told["records"]) == (1, 1)
    assert [(one["destination"], one["milestone"], one["count"]) for one in told["sent"]] == [("google", "qualified_lead", 1)]
    await assert_no_byte(services, database_url)
    jane(rig)
    jane(rig, email="second@x.example")
    for _ in range(10):
        source = (await services.sources())[0]
        async with database.write() as connection:
            await put_hints(
                connection, source.id, [RecordRef(ObjectKind.CONTACT, one) for one in (ref, other)], to_ms(services.clock())
            )
        await tick(rig)
    assert await counts(database) == before
    await assert_no_byte(services, database_url)

    await restore(database, old)
    imported = await services.sweeping().take_in(tmp_path / "stones", actor="test")
    await tick(rig, 2)
    assert imported.erased.leads == 1
    assert imported.new == imported.read >= 3
    assert await counts(database) == before
    await assert_no_byte(services, database_url)
    assert EMAIL not in logs.getvalue().lower()
    assert PHONE not in logs.getvalue()


async def test_a_deletion_at_the_crm_leaves_tombstones_by_itself(rig: Rig, database_url: str) -> None:
    """HubSpot forgets by its own door; the next import of the same list must not bring the person here again."""
    ref = jane(rig)
    await tick(rig, 2)
    rig.stage.portal.erase("contacts", ref, rig.stage.clock.now)
    event = {**rig.change(ref), "subscriptionType": "contact.privacyDeletion"}
    event.pop("propertyName")

    assert (await rig.deliver(rig.signed([event]))).is_success
    await tick(rig)
    before = await counts(rig.services.database)
    jane(rig)
    await tick(rig, 10)

    assert await counts(rig.services.database) == before
    await assert_no_byte(rig.services, database_url)
    (line,) = await rows_of(rig.services.database, "SELECT actor, detail_json FROM audit WHERE action = 'person.forget'")
    assert (line[0], '"way":"webhook"' in str(line[1]), EMAIL in str(line[1])) == ("crm", True, False)


async def test_who_is_not_stored_is_barred_all_the_same(rig: Rig) -> None:
    """Most who ask were never stored, and must not be from now on."""
    told = await forget(rig, phone="020 7946 0018", country="gb")

    jane(rig, email="")
    await tick(rig)

    assert told == {"leads": 0, "records": 0, "deliveries_stopped": 0, "sent": []}
    assert await counts(rig.services.database) == [0, 0, 0, 0, 0]


async def test_nobody_slips_by_in_a_page_that_is_being_written(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged before the person asked and written after, the page would keep them for ever."""
    judged, goes_on = asyncio.Event(), asyncio.Event()
    original = barring.barred_in

    async def slowly(*given: Any) -> Any:
        found = await original(*given)
        judged.set()
        await goes_on.wait()
        return found

    monkeypatch.setattr(recorder, "barred_in", slowly)
    jane(rig)
    pulling = asyncio.create_task(rig.services.tick(only_due=False))
    await judged.wait()
    forgetting = asyncio.create_task(PeopleRights(rig.services).forget(PersonClue(email=EMAIL), actor="test"))
    await asyncio.sleep(0.3)
    goes_on.set()
    await pulling

    assert (await forgetting).erased.leads == 1
    assert (await counts(rig.services.database))[2] == 0


@pytest.mark.parametrize("start", ["serve", "sync"])
async def test_a_sweep_is_done_before_anything_is_sent(house: Rig, logs: io.StringIO, start: str) -> None:
    """A restored backup owes conversions of people who were forgotten since."""
    ref, services = jane(house), house.services
    await tick(house)
    source = (await services.sources())[0]
    async with services.database.write() as connection:
        mark = services.people.marks.of_record(source.id, RecordRef(ObjectKind.CONTACT, ref))
        await bar(connection, [mark], 1)
        await sweep_repository.begin(connection)
    house.stage.clock.now += timedelta(days=1)

    if start == "sync":
        await services.sync()
    else:
        app = create_app(services.settings.model_copy(update={"roles": frozenset({ProcessRole.API})}))
        async with app.router.lifespan_context(app):
            pass

    assert (await counts(services.database))[2] == 0
    states = await rows_of(services.database, "SELECT state, reason FROM deliveries")
    assert states == [("skipped", "erased")]


@pytest.mark.parametrize("way", ["ref", "lead id", "phone"])
async def test_a_person_is_named_in_several_ways(house: Rig, way: str) -> None:
    """The request comes with whatever the person wrote in it."""
    ref = jane(house)
    await tick(house)
    ((lead_id,),) = await rows_of(house.services.database, "SELECT id FROM leads")
    clue = {"ref": {"ref": f"contact:{ref}"}, "lead id": {"ref": str(lead_id)}, "phone": {"phone": PHONE}}[way]

    told = await forget(house, **clue)

    assert (told["leads"], told["records"]) == (1, 1)
    assert await rows_of(house.services.database, "SELECT count(*) FROM identities") == [(0,)]


async def test_a_number_that_several_people_share_forgets_nobody(house: Rig) -> None:
    """Forgetting is final: whom is said by a record, not by a switchboard."""
    one, two = jane(house, hs_google_click_id=""), jane(house, email="b@x.example", hs_google_click_id="")
    await tick(house)

    answer = await house.client.post("/v1/people/forget", json={"phone": PHONE})

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/ambiguous")
    assert all(f"contact:{ref}" in answer.json()["detail"] for ref in (one, two))
    assert await rows_of(house.services.database, "SELECT count(*) FROM identities") == [(2,)]


@pytest.mark.parametrize("door", ["forget", "export"])
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "body"),
        ({"email": EMAIL, "phone": PHONE}, "body"),
        ({"email": "not an e-mail"}, "body.email"),
        ({"phone": "123456"}, "body.phone"),
        ({"ref": "deal:9"}, "body.ref"),
        ({"ref": "someone"}, "body.ref"),
        ({"ref": "contact:1", "source": "hubspt"}, "body.source"),
        ({"ref": "contact:1", "country": "GB"}, "body"),
        ({"name": "Jane"}, "body.name"),
    ],
)
async def test_what_names_nobody_is_refused(house: Rig, door: str, body: dict[str, str], path: str) -> None:
    """A mistake names its place, repeats no value, and changes nothing."""
    answer = await house.client.post(f"/v1/people/{door}", json=body)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["path"] == path
    assert EMAIL not in answer.text
    assert await rows_of(house.services.database, "SELECT count(*) FROM tombstones") == [(0,)]


async def test_all_that_is_stored_is_shown_to_who_asks(rig: Rig, logs: io.StringIO) -> None:
    """A request for access is answered in readable JSON, and it stands in the audit log that it was."""
    ref = jane(rig)
    await tick(rig)

    answer = await rig.client.post("/v1/people/export", json={"email": EMAIL})

    (person,) = answer.json()["people"]
    assert person["records"][0]["ref"] == f"contact:{ref}"
    assert person["records"][0]["fields"]["email"] == EMAIL
    assert person["identities"][0]["identifiers"]["gclid"] == CLICK
    assert [one["milestone"] for one in person["history"]["conversions"]] == ["lead", "qualified_lead"]
    assert (await rig.client.post("/v1/people/export", json={"email": "x@y.example"})).json() == {"people": []}
    lines = await rows_of(rig.services.database, "SELECT actor, detail_json FROM audit WHERE action = 'person.export'")
    assert len(lines) == 2
    assert EMAIL not in str(lines) + logs.getvalue()
