"""People who ask the CRM to be forgotten: nothing of them stays, nothing goes any more, whatever is read later."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select, update

from app.config import ConnectionMode
from app.connections import repository as connections
from app.connections.repository import Role
from app.db.session import Database
from app.db.tables import deliveries, identities, inbox, leads, records
from app.ingest.inbox import NewHint, WaitingHint, put_marked_hints, waiting_hints
from app.mapping.repository import activate, save_version
from app.secrets import Keyring
from connectors.contract.records import ObjectKind, RecordRef
from tests.api.rig import rig_on
from tests.integration.joins_rig import crm_lead, joined_world
from tests.integration.recorder_rig import LEASE, World, contact, day, deal, world_of
from tests.unit.mapping.mapping_rig import DOCUMENT

JANE = RecordRef(ObjectKind.CONTACT, "101")


async def _erase(world: World, *refs: RecordRef) -> None:
    await world.hold()
    await world.recorder.erase(1, [WaitingHint(ref, 1) for ref in refs], world.now, LEASE)


async def _fields(database: Database) -> dict[str, dict[str, str]]:
    keyring = Keyring([b"k" * 32])
    async with database.read() as connection:
        rows = list(await connection.execute(select(records.c.object, records.c.external_id, records.c.fields_sealed)))
    return {f"{row.object}:{row.external_id}": orjson.loads(keyring.open(bytes(row.fields_sealed))) for row in rows}


async def _personal(database: Database) -> tuple[int, list[object]]:
    """How many identities, and the fingerprints that are left."""
    async with database.read() as connection:
        many = len(list(await connection.execute(select(identities.c.id))))
        rows = await connection.execute(select(leads.c.raw_hmac, leads.c.email_hmac, leads.c.phone_hmac, leads.c.identity_id))
        return many, [value for row in rows for value in row if value is not None]


async def test_nothing_personal_stays_of_a_forgotten_person(database: Database) -> None:
    """Contact, CRM lead and merged records are one person; the conversion stays as a number."""
    world = await joined_world(database)
    await world.record(
        crm_lead("9", people=("101",), created=1, email="a@x.example", GCLID__c="click"),
        contact("101", (2, "mql"), created=3, email="a@x.example", merged=("102",)),
    )

    await _erase(world, JANE)

    assert set(map(len, (await _fields(database)).values())) == {0}
    assert await _personal(database) == (0, [])
    assert [row["live"] for row in await world.conversions("lead")] == [True]
    assert await world.owed("lead") == [("upload", "skipped", "erased")]


async def test_a_forgotten_person_does_not_come_back_by_a_later_reading(database: Database) -> None:
    """An index is two days late, and the CRM lead of the person may live on."""
    world = await joined_world(database)
    lead = crm_lead("9", people=("101",), created=1, email="a@x.example")
    await world.record(lead, contact("101", created=3, email="a@x.example"))
    await _erase(world, JANE)

    await world.record(contact("101", (4, "mql"), created=3, modified=35, email="a@x.example"))
    await world.record(crm_lead("9", people=("101",), created=1, modified=50, email="a@x.example"))

    assert set(map(len, (await _fields(database)).values())) == {0}
    assert await _personal(database) == (0, [])


async def test_who_turns_out_to_be_a_forgotten_person_is_forgotten_too(database: Database) -> None:
    """A CRM lead that was read before it named its contact has an identity of its own, which must not come with it."""
    world = await joined_world(database)
    await world.record(contact("101", (2, "mql"), created=3, email="a@x.example"))
    await world.record(crm_lead("9", created=1, email="a@x.example", GCLID__c="click"))
    await _erase(world, JANE)

    await world.record(crm_lead("9", people=("101",), created=1, modified=31, email="a@x.example", GCLID__c="click"))

    assert await _personal(database) == (0, [])
    assert await _fields(database) == {"contact:101": {}, "lead:9": {}}


async def test_what_another_person_of_the_deal_may_stand_for_goes_on(database: Database) -> None:
    """A sale has two people; one of them is forgotten."""
    world = await world_of(database)
    people = (contact("101", created=0, email="a@x.example"), contact("103", created=1, email="b@x.example"))
    await world.record(*people, deal("202", (2, "won"), people=("101", "103"), amount="5"))
    await world.record(deal("203", (2, "won"), people=("101",), amount="5"))

    await _erase(world, JANE)

    assert await world.owed("closed_revenue", "202") == [("upload", "pending", "new")]
    assert await world.owed("closed_revenue", "203") == [("upload", "skipped", "erased")]
    assert (await _personal(database))[0] == 1


@pytest.mark.parametrize("people", [("101",), ("101", "103")])
async def test_nothing_stays_on_the_deals_of_a_forgotten_person(database: Database, people: tuple[str, ...]) -> None:
    """A click id on a deal is a person's as one on a contact is; another's deal keeps its own, and amounts stay."""
    identity = {"email": ["contact.email"], "gclid": ["deal.gclid"]}
    world = await world_of(database, identity=identity)
    async with database.write() as connection:
        text = orjson.dumps({**DOCUMENT, "identity": identity}).decode()
        await activate(connection, 1, await save_version(connection, 1, text, "me", 1), 1)
    mine = deal("202", (2, "won"), people=people, amount="5", gclid="click", merged=("200",))
    await world.record(deal("200", (1, "won"), people=("101",), amount="7", gclid="old"))
    await world.record(contact("101", created=0), contact("103", created=1), mine, deal("203", people=("103",), gclid="other"))

    await _erase(world, JANE)
    erased = await _fields(database)
    await world.record(replace(mine, modified_at=day(33)), contact("103", created=1, modified=33))

    assert erased == await _fields(database)
    assert erased["deal:202"] == {"amount": "5"}
    assert erased["deal:200"] == {"amount": "7"}
    assert erased["deal:203"] == {"gclid": "other"}
    assert (await _personal(database))[0] == 1
    assert [row["amount_micros"] for row in await world.conversions("closed_revenue")] == [5_000_000]


async def test_a_try_without_an_answer_is_told_and_not_repeated(database: Database) -> None:
    """The platform may have counted it; to send it again would tell of a forgotten person."""
    world = await world_of(database)
    await world.record(contact("101", created=0, email="a@x.example"))
    async with database.write() as connection:
        await connection.execute(update(deliveries).values(first_unknown_at=1, frozen=True, tries=1))

    await _erase(world, JANE)

    assert await world.owed("lead") == [("upload", "uncertain", "unknown_effect")]


async def test_a_stranger_is_nobody_to_forget(database: Database) -> None:
    """Most who ask were never stored."""
    world = await world_of(database)
    await world.record(contact("103", email="b@x.example"))
    before = await _personal(database)

    await _erase(world, JANE)

    assert await _personal(database) == before


@pytest.mark.parametrize("reason", [None, "needs_reauth", "mode"])
async def test_a_plea_is_heard_though_the_crm_cannot_be_asked(database_url: str, tmp_path: Path, reason: str | None) -> None:
    """Neither lost credentials nor an operator's pause must keep us from forgetting."""
    async with rig_on(tmp_path, database_url) as rig:
        ref = RecordRef(ObjectKind.CONTACT, rig.person())
        await rig.services.tick(only_due=False)
        (source,) = await rig.services.sources()
        database = rig.services.database
        async with database.write() as connection:
            if reason == "mode":
                await connections.set_mode(connection, Role.SOURCE, source.id, ConnectionMode.PAUSED)
            elif reason is not None:
                await connections.pause(connection, Role.SOURCE, source.id, reason, None)
            await put_marked_hints(connection, source.id, _pleas(ref), 0)
            assert (await waiting_hints(connection, source.id, 5))[0].erases

        await rig.services.tick()

        async with database.read() as connection:
            assert list(await connection.scalars(select(inbox.c.seq))) == []
            assert list(await connection.scalars(select(records.c.state))) == ["deleted"]
        assert await _personal(database) == (0, [])


def _pleas(ref: RecordRef) -> Sequence[NewHint]:
    return [NewHint(ref), NewHint(ref, erases=True), NewHint(ref)]
