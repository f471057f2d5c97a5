"""Who was forgotten stays so: under another id, another e-mail's record, a late index, or in a page with others."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import audit, deliveries, tombstones, tries
from app.ingest.inbox import WaitingHint
from connectors.contract.records import ObjectKind, RecordRef
from tests.integration.joins_rig import crm_lead, joined_world
from tests.integration.privacy_rig import counts, rows_of, stored_world
from tests.integration.recorder_rig import LEASE, World, contact, deal, world_of

JANE = RecordRef(ObjectKind.CONTACT, "101")
IDENTITY = {"email": ["contact.email", "contact.more"], "phone": ["contact.phone"], "gclid": ["contact.gclid"]}


async def _forget(world: World, *refs: RecordRef) -> None:
    await world.hold()
    await world.recorder.erase(1, [WaitingHint(ref, 1) for ref in refs], world.now, LEASE)


async def _after_jane(database: Database) -> tuple[World, list[int]]:
    world = await stored_world(database, IDENTITY)
    more, phone = "j2@x.example;j3@x.example", "+44 20 7946 0018"
    jane = contact("101", (2, "mql"), created=0, email="Jane@X.example", more=more, phone=phone, gclid="Cj0KCQ-jane")
    await world.record(jane, deal("202", (2, "won"), amount="5"))
    await _forget(world, JANE)
    return world, await counts(database)


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "jane@x.example"},
        {"email": "other@x.example", "more": "j3@x.example"},
        {"phone": "+442079460018"},
        {"email": "new@x.example", "gclid": "Cj0KCQ-jane"},
    ],
)
async def test_nobody_comes_back_under_another_id(database: Database, fields: dict[str, str]) -> None:
    """The CRM's next import brings the person again, with any of their e-mails, their phone alone, or their click."""
    world, before = await _after_jane(database)

    again = replace(contact("555", (3, "mql"), created=1), fields=fields)
    await world.record(again, contact("103", created=1, email="b@x.example"))
    await world.record(deal("777", (3, "won"), people=("555",), amount="9", modified=40))

    after = await counts(database)
    assert [now - then for then, now in zip(before, after, strict=True)] == [1, 1, 1, 1, 1]
    assert await rows_of(database, "SELECT external_id FROM records WHERE external_id IN ('555', '777')") == []


async def test_who_has_the_same_switchboard_is_somebody_else(database: Database) -> None:
    """A colleague with an e-mail of their own must not be lost for a number that both have."""
    world, before = await _after_jane(database)

    await world.record(contact("103", created=1, email="b@x.example", phone="+442079460018"))

    assert (await counts(database))[0] == before[0] + 1


async def test_a_deal_keeps_its_other_people(database: Database) -> None:
    """The sale goes on for whoever else is on it."""
    world, _ = await _after_jane(database)
    people = (contact("555", created=1, email="jane@x.example"), contact("103", created=1, email="b@x.example"))

    await world.record(*people, deal("777", (3, "won"), people=("555", "103"), amount="9"))

    assert await world.owed("closed_revenue", "777") == [("upload", "pending", "new")]
    assert await rows_of(database, "SELECT count(*) FROM deal_people") == [(2,)]


async def test_a_stranger_who_asked_is_barred_too(database: Database) -> None:
    """The CRM deleted them before they were read; an index that is late may still show them."""
    world = await world_of(database)
    await _forget(world, JANE)

    await world.record(contact("101", created=0, email="a@x.example"), deal("202", (2, "won"), amount="5"))

    assert await counts(database) == [0, 0, 0, 0, 0]


async def test_who_has_the_same_e_mail_is_forgotten_with_them(database: Database) -> None:
    """Two records of one e-mail are one person who asks once."""
    world = await stored_world(database, IDENTITY)
    await world.record(contact("101", created=0, email="a@x.example"), contact("102", created=1, email="A@x.example "))

    await _forget(world, JANE)

    assert await rows_of(database, "SELECT count(*) FROM identities") == [(0,)]
    assert await rows_of(database, "SELECT count(*) FROM leads WHERE email_hmac IS NOT NULL OR raw_hmac IS NOT NULL") == [(0,)]


async def test_who_turns_out_to_be_forgotten_goes_with_all_that_was_stored(database: Database) -> None:
    """A record that was read without its e-mail is known for the person's when the e-mail comes."""
    world, _ = await _after_jane(database)
    await world.record(contact("555", created=1, gclid="another"))

    await world.record(contact("555", created=1, modified=41, gclid="another", email="j2@x.example"))
    await world.record(contact("556", created=1, modified=42, gclid="another"))

    assert await rows_of(database, "SELECT count(*) FROM identities") == [(0,)]
    assert await world.owed("lead", "555") == [("upload", "skipped", "erased")]
    assert await rows_of(database, "SELECT external_id FROM records WHERE external_id = '556'") == []


async def test_a_crm_lead_of_a_forgotten_contact_is_not_stored(database: Database) -> None:
    """It names whom it is."""
    world = await joined_world(database)
    await world.record(contact("101", created=3, email="a@x.example"))
    await _forget(world, JANE)
    before = await counts(database)

    await world.record(crm_lead("9", people=("101",), created=1, email="new@x.example"))

    assert await counts(database) == before


async def test_a_merge_with_a_forgotten_person_is_that_person(database: Database) -> None:
    """By the CRM's word both are one, whichever record survives."""
    world = await world_of(database)
    await world.record(contact("101", created=0, email="a@x.example"), contact("102", created=1, email="b@x.example"))
    await _forget(world, JANE)

    await world.record(contact("102", created=1, modified=41, email="b@x.example", merged=("101",)))
    await world.record(contact("104", created=1, modified=42, email="b@x.example"))

    assert await rows_of(database, "SELECT count(*) FROM identities") == [(0,)]
    assert await rows_of(database, "SELECT external_id FROM records WHERE external_id = '104'") == []


async def test_what_platforms_answered_goes_and_the_books_stay(database: Database) -> None:
    """A message may repeat what it complains of; a key of a click is the click's. Counts and codes stay."""
    world = await world_of(database)
    await world.record(contact("101", created=0, email="a@x.example"), contact("103", created=0, email="b@x.example"))
    async with database.write() as connection:
        ids = list(await connection.scalars(select(deliveries.c.id).order_by(deliveries.c.id)))
        rows = [
            {"delivery_id": one, "n": 1, "at": 1, "upload_id": 1, "outcome": "rejected", "code": "BAD", "message": "no"}
            for one in ids
        ]
        await insert_rows(connection, tries, rows)
        for one in ids:
            values = {"state": "rejected", "due_at": None, "vendor_key": f"key{one}", "tries": 1}
            await connection.execute(update(deliveries).where(deliveries.c.id == one).values(values))

    await _forget(world, JANE)

    assert sorted(await rows_of(database, "SELECT code, message IS NULL FROM tries"), key=str) == [("BAD", 0), ("BAD", 1)]
    assert await rows_of(database, "SELECT count(*), count(vendor_key) FROM deliveries") == [(2, 1)]
    assert await world.owed("lead", "101") == [("upload", "rejected", "new")]


async def test_a_deletion_at_the_crm_is_in_the_audit_log_without_a_name(database: Database) -> None:
    """Whoever has to prove that it was done finds when, and how much."""
    await _after_jane(database)

    async with database.read() as connection:
        (line,) = list(await connection.execute(select(audit)))
        kinds = list(await connection.scalars(select(tombstones.c.kind)))
    assert (line.actor, line.action, line.subject) == ("crm", "person.forget", "person")
    assert '"leads":1' in line.detail_json
    assert sorted(kinds) == ["click", "email", "email", "email", "phone", "record"]


async def test_a_page_asks_for_tombstones_once_and_only_for_what_is_new(database: Database) -> None:
    """A thousand records must not cost a thousand questions, and what is known was judged already."""
    world = await world_of(database)
    people = [contact(str(n), created=0, email=f"{n}@x.example", modified=30) for n in range(200)]

    with world.counting() as first:
        await world.record(*people)
    with world.counting() as again:
        await world.record(*(replace(one, modified_at=one.modified_at.replace(hour=20)) for one in people))

    assert len([told for told in first if "tombstones" in told]) == 1
    assert [told for told in again if "tombstones" in told] == []
    assert to_ms(world.now) > 0
