"""A restored backup and the tombstones of later: whoever they bar is erased, also where the sweep was cut off."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.db.session import Database
from app.db.tables import tombstones
from app.ingest import erasing
from app.ingest.inbox import WaitingHint
from app.ingest.people import People
from app.privacy import sweeping as room
from app.privacy.marks import Mark, MarkKind
from app.privacy.sweeping import Sweeping
from app.privacy.tombstone_repository import bar
from app.secrets import Fingerprints, Keyring
from connectors.contract.conversions import Identifier
from connectors.contract.records import ObjectKind, RecordRef
from tests.integration.privacy_rig import rows_of, stored_world
from tests.integration.recorder_rig import LEASE, World, contact, day

IDENTITY = {"email": ["contact.email"], "phone": ["contact.phone"], "gclid": ["contact.gclid"]}


def _sweeping(database: Database) -> Sweeping:
    keyring = Keyring([b"k" * 32])
    return Sweeping(database, People(keyring, Fingerprints(b"f" * 32)), lambda: day(50))


async def _ten(database: Database) -> World:
    world = await stored_world(database, IDENTITY)
    people = (contact(str(100 + n), created=n, email=f"{n}@x.example", gclid=f"Cj0KCQ-click-{n}") for n in range(10))
    await world.record(*people, contact("200", created=0, phone="+442079460018"), contact("201", created=0, gclid="Cj0KCQ-only"))
    return world


async def _left(database: Database) -> set[str]:
    sql = "SELECT external_id FROM records JOIN leads ON leads.id = lead_id WHERE leads.raw_hmac IS NOT NULL"
    return {str(row[0]) for row in await rows_of(database, sql)}


async def _import(database: Database, folder: Path, marks: list[Mark]) -> Any:
    """As a file of another copy of this database would bring them."""
    sweeping = _sweeping(database)
    async with database.write() as connection:
        await bar(connection, marks, 1)
    await sweeping.export(folder / "stones", actor="test")
    async with database.write() as connection:
        await connection.execute(tombstones.delete())
    return sweeping


async def test_every_kind_of_tombstone_finds_its_person(database: Database, tmp_path: Path) -> None:
    """The backup may hold them under another e-mail, or before they had one."""
    await _ten(database)
    people = _sweeping(database).people
    email, phone = people.email_key(["3@x.example"]), people.phone_key("+442079460018", None)
    assert email is not None
    assert phone is not None
    marks = [
        people.marks.of_email(email),
        people.marks.of_phone(phone),
        people.marks.of_record(1, RecordRef(ObjectKind.CONTACT, "105")),
        *people.marks.of_identifiers({Identifier.GCLID: "Cj0KCQ-only"}),
    ]

    imported = await (await _import(database, tmp_path, marks)).take_in(tmp_path / "stones", actor="test")

    assert (imported.read, imported.new, imported.erased.leads) == (4, 4, 4)
    assert await _left(database) == {"100", "101", "102", "104", "106", "107", "108", "109"}
    async with database.read() as connection:
        assert {1, 2} & set(await connection.scalars(select(tombstones.c.forgotten_at))) == {1}


async def test_a_sweep_that_was_cut_off_goes_on_at_the_next_start(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two batches, the rest would be sent on."""
    monkeypatch.setattr(room, "BATCH", 3)
    await _ten(database)
    people = _sweeping(database).people
    keys = [people.email_key([f"{n}@x.example"]) for n in (0, 4, 9)]
    sweeping = await _import(database, tmp_path, [people.marks.of_email(key) for key in keys if key is not None])
    original, calls = erasing.erase_leads, 0

    async def dies(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("killed")
        return await original(*given)

    with monkeypatch.context() as patch:
        patch.setattr(room, "erase_leads", dies)
        with pytest.raises(RuntimeError):
            await sweeping.take_in(tmp_path / "stones", actor="test")
    before = await _left(database)

    erased = await _sweeping(database).run()
    nothing = await _sweeping(database).run()

    assert {"100"} & before == set()
    assert {"104", "109"} <= before
    assert (erased.leads, nothing.leads) == (2, 0)
    assert await _left(database) == {"101", "102", "103", "105", "106", "107", "108", "200", "201"}


async def test_tombstones_of_an_export_come_back_with_their_day(database: Database, tmp_path: Path) -> None:
    """Exported and imported twice they are the same, however many pages they fill."""
    keyring = Keyring([b"k" * 32])
    marks = [Mark(kind, bytes([n]) * 16) for kind in MarkKind for n in range(9)]
    sweeping = Sweeping(database, People(keyring, Fingerprints(b"f" * 32)), lambda: day(50))
    async with database.write() as connection:
        await bar(connection, marks, 7)

    count = await sweeping.export(tmp_path / "one", actor="test")
    imported = await sweeping.take_in(tmp_path / "one", actor="test")

    assert (count, imported.read, imported.new) == (36, 36, 0)
    assert len(set((tmp_path / "one").read_text(encoding="utf-8").splitlines())) == 38
    assert await rows_of(database, "SELECT DISTINCT forgotten_at FROM tombstones") == [(7,)]


async def test_who_was_forgotten_before_is_not_counted_again(database: Database, tmp_path: Path) -> None:
    """An import into the database that it came from changes nothing."""
    world = await _ten(database)
    await world.recorder.erase(1, [WaitingHint(RecordRef(ObjectKind.CONTACT, "100"), 1)], world.now, LEASE)
    await _sweeping(database).export(tmp_path / "stones", actor="test")

    imported = await _sweeping(database).take_in(tmp_path / "stones", actor="test")

    assert (imported.new, imported.erased.leads) == (0, 0)
