"""A new secret key: everything is sealed again under it while others write, and the old one opens nothing any more."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.db.bulk import insert_rows
from app.db.session import Database
from app.db.tables import identities, tokens
from app.privacy import rotation as rotating
from app.privacy import sealing_repository as sealing
from app.privacy.rotation import Rotation
from app.privacy.sealing_repository import PLACES
from app.secrets import KEY_ID_BYTES, Keyring, load_fingerprints
from tests.api.rig import rig_on
from tests.integration.privacy_rig import every_byte

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
OLD = "a long enough secret text"
NEW = "another secret text, long enough"


def clock() -> datetime:
    return NOW


async def _played(tmp_path: Path, url: str) -> None:
    """A pulled source with people under the old key, and a token."""
    async with rig_on(tmp_path, url) as rig:
        for number in range(7):
            rig.person(email=f"p{number}@x.example", lifecyclestage="salesqualifiedlead")
        await rig.services.tick(only_due=False)
        async with rig.services.database.write() as connection:
            rows = [
                {"connection": "source:x#1", "version": 1, "sealed": rig.services.keyring.seal(b"{}"), "expires_at": 1},
                {"connection": "source:y#1", "version": 1, "sealed": b"", "expires_at": 1},
            ]
            await insert_rows(connection, tokens, rows)


async def test_nothing_is_left_under_the_old_key(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever learns the old key later opens nothing with it; every value opens with the new one alone."""
    monkeypatch.setattr(rotating, "BATCH", 3)
    await _played(tmp_path, database_url)
    database = Database(database_url)
    both, old_id = Keyring.from_texts([NEW, OLD]), Keyring.from_texts([OLD]).newest_id
    await load_fingerprints(database, both)

    rotated = await Rotation(database, both, clock).run(actor="test")
    again = await Rotation(database, both, clock).run(actor="test")

    assert dict(rotated.resealed) == {
        "sources": 1, "destinations": 1, "tokens": len(await _sealed(database, "tokens")) , "identities": 7, "records": 7
    }  # fmt: skip
    assert (rotated.is_complete, dict(again.resealed)) == (True, {})
    alone = Keyring.from_texts([NEW])
    for place in PLACES:
        for sealed in await _sealed(database, place.table.name):
            alone.open(sealed)
    await load_fingerprints(database, alone)
    everything = await every_byte(database, database_url)
    assert alone.newest_id in everything
    assert old_id not in everything
    await database.close()


async def test_a_rotation_that_was_cut_off_goes_on(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle, both keys are needed; begun again it does the rest."""
    await _played(tmp_path, database_url)
    database, both = Database(database_url), Keyring.from_texts([NEW, OLD])
    monkeypatch.setattr(rotating, "PLACES", PLACES[:4])
    first = await Rotation(database, both, clock).run(actor="test")
    monkeypatch.undo()

    second = await Rotation(database, both, clock).run(actor="test")

    assert (first.resealed["identities"], dict(second.resealed)) == (7, {"records": 7})
    await database.close()


async def test_what_is_written_meanwhile_is_not_lost(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server re-reads a record while it is being sealed again: the newer content stays, and is told of where its key is old."""
    await _played(tmp_path, database_url)
    database, both, old = Database(database_url), Keyring.from_texts([NEW, OLD]), Keyring.from_texts([OLD])
    newer = old.seal(b'{"newer":"x"}')
    original = sealing.reseal

    async def racing(connection: object, place: object, rows: object) -> int:
        if getattr(place, "table", None) is identities:
            first = rows[0][0]  # type: ignore[index]
            await connection.execute(update(identities).where(identities.c.id == first).values(sealed=newer))  # type: ignore[attr-defined]
        return await original(connection, place, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(sealing, "reseal", racing)
    rotated = await Rotation(database, both, clock).run(actor="test")

    assert newer in await _sealed(database, "identities")
    assert (rotated.resealed["identities"], dict(rotated.left), rotated.is_complete) == (6, {"identities": 1}, False)
    await database.close()


async def test_what_no_key_opens_is_told_and_left(tmp_path: Path, database_url: str) -> None:
    """One row of a lost key must not keep the others under the old one."""
    await _played(tmp_path, database_url)
    database, both = Database(database_url), Keyring.from_texts([NEW, OLD])
    lost = Keyring.from_texts(["a third text that nobody has"]).seal(b"{}")
    async with database.write() as connection:
        await connection.execute(update(tokens).where(tokens.c.connection == "source:x#1").values(sealed=lost))

    rotated = await Rotation(database, both, clock).run(actor="test")

    assert (dict(rotated.unreadable), dict(rotated.left), rotated.is_complete) == ({"tokens": 1}, {"tokens": 1}, False)
    assert lost in await _sealed(database, "tokens")
    assert len(lost[:KEY_ID_BYTES]) == 4
    await database.close()


async def _sealed(database: Database, table: str) -> list[bytes]:
    """What the table holds sealed; dropped tokens are empty."""
    place = next(one for one in PLACES if one.table.name == table)
    async with database.read() as connection:
        return [bytes(one) for one in await connection.scalars(select(place.table.c[place.column])) if one]
