"""Searching a database for a person: every byte of SQLite's files or of PostgreSQL's tables, for whatever could name them."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg
import orjson
from sqlalchemy import func, select, text
from sqlalchemy.engine import make_url

from app.db.bulk import insert_rows
from app.db.session import Database
from app.db.tables import conversions, deliveries, identities, leads, metadata, records, sources
from app.ingest.people import People
from app.mapping.repository import activate, save_version
from tests.integration.recorder_rig import World, world_of
from tests.unit.mapping.mapping_rig import DOCUMENT

COUNTED = (leads, records, identities, conversions, deliveries)


async def stored_world(database: Database, identity: Mapping[str, object]) -> World:
    """A world whose source and mapping stand in the database too, where forgetting reads them."""
    world = await world_of(database, identity=identity)
    row = {"id": 1, "name": "crm", "kind": "hubspot", "settings_sealed": b"", "created_at": 0}
    document = orjson.dumps({**DOCUMENT, "identity": identity}).decode()
    async with database.write() as connection:
        await insert_rows(connection, sources, [row])
        await activate(connection, 1, await save_version(connection, 1, document, "me", 1), 1)
    return world


async def counts(database: Database) -> list[int]:
    """How many leads, records, identities, conversions and deliveries there are."""
    async with database.read() as connection:
        return [await connection.scalar(select(func.count()).select_from(table)) or 0 for table in COUNTED]


def needles_of(values: Iterable[str], people: People, *, emails: Sequence[str] = (), phones: Sequence[str] = ()) -> set[bytes]:
    """Each value in clear, as any digest of it that a platform takes, and the fingerprints that are stored of it."""
    found: set[bytes] = set()
    for value in (*values, *emails, *phones):
        for form in {value, value.lower(), "".join(letter for letter in value if letter.isdigit() or letter == "+")} - {""}:
            digest = hashlib.sha256(form.encode()).digest()
            found |= {form.encode(), digest, digest.hex().encode(), base64.b64encode(digest).rstrip(b"=")}
    keys = [people.email_key([email]) for email in emails] + [people.phone_key(phone, "GB") for phone in phones]
    found |= {key for key in keys if key is not None}
    return {one for one in found if len(one) > 5}


async def every_byte(database: Database, url: str) -> bytes:
    """SQLite's file with its log; PostgreSQL's files of every table and index, rewritten and written out first."""
    if database.is_sqlite:
        folder = Path(str(database.path)).parent
        return b"".join(file.read_bytes() for file in sorted(folder.glob(f"{Path(str(database.path)).name}*")))
    connection = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        for table in metadata.tables:
            await connection.execute(f'VACUUM FULL "{table}"')
        await connection.execute("CHECKPOINT")
        folder = Path(await connection.fetchval("SHOW data_directory"))
        number = await connection.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
    finally:
        await connection.close()
    return b"".join(_read(folder / "base" / str(number)))


def _read(folder: Path) -> Iterator[bytes]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield file.read_bytes()


async def rows_of(database: Database, sql: str) -> list[tuple[object, ...]]:
    """What a query gives."""
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(text(sql))]
