"""What is old goes by itself, and what keeps a conversion from going twice stays."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import update

from app.access.repository import add_audit
from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import deliveries, tries
from app.ingest.inbox import waiting_hints
from app.ingest.people import People
from app.privacy.retention import Keeping, Purged, Retention
from app.secrets import Fingerprints, Keyring
from tests.integration.privacy_rig import counts, rows_of, stored_world
from tests.integration.recorder_rig import World, contact, day, deal

IDENTITY = {"email": ["contact.email"], "phone": ["contact.phone"], "gclid": ["deal.gclid"]}
MILESTONES = ("lead", "qualified_lead", "opportunity", "closed_revenue")
KEEPING = Keeping(people=timedelta(days=400), tries=timedelta(days=90), audit=timedelta(days=400))


def retention(database: Database, stopping: asyncio.Event | None = None) -> Retention:
    keyring = Keyring([b"k" * 32])
    return Retention(database, People(keyring, Fingerprints(b"f" * 32)), KEEPING, stopping or asyncio.Event())


async def purge(world: World, at: float) -> Purged:
    world.now = day(at)
    return await retention(world.database).run(world.now)


async def old_world(database: Database) -> World:
    world = await stored_world(database, IDENTITY)
    await world.record(
        contact("101", (2, "mql"), created=0, email="a@x.example", phone="+442079460018"),
        deal("202", (2, "won"), amount="5", gclid="Cj0-old"),
    )
    await _settle(world)
    return world


async def _settle(world: World) -> None:
    for name in MILESTONES:
        await world.settle(milestone=name)


async def facts(world: World) -> Sequence[object]:
    return [
        *await world.conversions("lead"),
        *await world.conversions("qualified_lead"),
        *await world.conversions("closed_revenue"),
    ]


async def test_people_go_400_days_after_their_last_change(database: Database) -> None:
    """Identities, fields and clicks go; conversions, amounts and the keyed fingerprint of the e-mail stay."""
    world = await old_world(database)
    before = await facts(world)

    early = await purge(world, 30 + 399)
    late = await purge(world, 30 + 401)
    again = await purge(world, 30 + 402)

    assert [one.people for one in (early, late, again)] == [0, 1, 0]
    keyring = Keyring([b"k" * 32])
    encoded = "hex(fields_sealed)" if database.is_sqlite else "encode(fields_sealed, 'hex')"
    sealed = await rows_of(database, f"SELECT external_id, {encoded} FROM records ORDER BY external_id")
    assert [keyring.open(bytes.fromhex(str(row[1]))) for row in sealed] == [b"{}", b'{"amount":"5"}']
    assert await rows_of(database, "SELECT count(*) FROM identities") == [(0,)]
    assert await rows_of(database, "SELECT count(*) FROM leads WHERE email_hmac IS NOT NULL AND consent <> 'x'") == [(1,)]
    assert await facts(world) == before


async def test_nobody_goes_of_whom_something_moves_or_waits(database: Database) -> None:
    """A deal that is won after two years still needs its person, and so does what is owed."""
    world = await old_world(database)
    await world.record(contact("103", created=0, email="b@x.example"), deal("203", (2, "qualified"), people=("103",), amount="7"))
    await world.record(contact("104", created=0, email="c@x.example"))
    await world.record(deal("203", (2, "qualified"), people=("103",), amount="7", modified=300))
    await _settle(world)
    await world.record(contact("105", created=0, email="d@x.example"))
    purged = await purge(world, 30 + 401)

    left = await rows_of(
        database,
        "SELECT external_id FROM records JOIN leads ON leads.id = lead_id WHERE identity_id IS NOT NULL ORDER BY external_id",
    )
    assert left == [("103",), ("105",)]
    assert purged.people == 2


async def test_a_purged_person_who_changes_is_read_whole_before_anything_is_judged(database: Database) -> None:
    """Judged by emptied fields their conversions would look wrong, and be taken back."""
    world = await old_world(database)
    await purge(world, 30 + 401)
    before, many = await facts(world), await counts(database)

    await world.record(deal("202", (2, "won"), amount="5", modified=440))
    async with database.read() as connection:
        hints = await waiting_hints(connection, 1, 10)
    unchanged = await facts(world)
    whole = contact("101", (2, "mql"), created=0, modified=441, email="a@x.example", phone="+442079460018")
    await world.record(whole)

    assert [f"{hint.ref.kind}:{hint.ref.external_id}" for hint in hints] == ["contact:101"]
    assert unchanged == before
    assert await facts(world) == before
    assert await counts(database) == [many[0], many[1], 1, *many[3:]]
    assert [state for _, state, _ in await world.owed("closed_revenue")] == ["accepted"]


async def test_the_same_person_again_counts_once_after_a_purge(database: Database) -> None:
    """Their e-mail is known by its fingerprint alone."""
    world = await stored_world(database, IDENTITY)
    document = world.source.document
    once = [one.model_copy(update={"once_per": "person"}) for one in document.milestones]
    world.source = replace(world.source, document=document.model_copy(update={"milestones": tuple(once)}))
    await world.record(contact("101", created=0, email="a@x.example"))
    await world.settle(milestone="lead")
    await purge(world, 30 + 401)

    await world.record(contact("102", created=402, modified=403, email="a@x.example"))

    owed = await world.owed("lead")
    assert [state for _, state, _ in owed if state in ("accepted", "pending")] == ["accepted"]


async def test_tries_go_after_90_days_and_those_to_decide_about_stay(database: Database) -> None:
    """A log of errors is of use for weeks; what a person still has to decide needs its answer."""
    world = await old_world(database)
    async with database.write() as connection:
        ids = [row[0] for row in await rows_of(database, "SELECT id FROM deliveries ORDER BY id")]
        told = {"at": to_ms(day(0)), "upload_id": 1, "outcome": "retry", "code": "X", "message": None}
        rows = [{"delivery_id": one, "n": n, **told} for one in ids for n in range(3)]
        await insert_rows(connection, tries, [*rows, {**rows[0], "n": 9, "at": to_ms(day(50))}])
        await connection.execute(update(deliveries).where(deliveries.c.id == ids[-1]).values(state="uncertain", due_at=None))

    purged = await purge(world, 91)

    assert purged.tries == 3 * (len(ids) - 1)
    assert sorted(await rows_of(database, "SELECT delivery_id, n FROM tries")) == sorted(
        [(ids[0], 9), *((ids[-1], n) for n in range(3))]
    )


async def test_the_audit_log_goes_after_400_days_in_batches(database: Database) -> None:
    """However much there is, no statement is long."""
    world = await stored_world(database, IDENTITY)

    def at(number: int) -> datetime:
        return day(0) + timedelta(seconds=number)

    async with database.write() as connection:
        for number in range(520):
            await add_audit(connection, actor="a", action="b", subject="c", detail={}, now_ms=to_ms(at(number)))
        await add_audit(connection, actor="a", action="b", subject="c", detail={}, now_ms=to_ms(day(2)))

    purged = await purge(world, 401)

    assert purged.audit == 520
    assert await rows_of(database, "SELECT count(*) FROM audit") == [(1,)]


async def test_a_process_that_stops_ends_the_purge(database: Database) -> None:
    """It goes on in the next run."""
    world = await old_world(database)
    stopping = asyncio.Event()
    stopping.set()

    purged = await retention(database, stopping).run(day(1000))

    assert purged == Purged()
    assert world.source.id == 1
