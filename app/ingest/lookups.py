"""What the service tells a source of its own store, so that it reads nothing twice: one statement a question."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from app.db.instants import from_ms, to_ms
from app.db.session import Database
from app.ingest import repository
from connectors.contract.records import ObjectKind
from connectors.contract.source import Held, Stored


def stored_of(database: Database, source_id: int, *, refetches: bool) -> Stored:
    """The lookups of one source. `refetches`: its records and their histories are read anew, as if they were not stored."""

    async def unchanged(kind: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
        if refetches:
            return frozenset()
        async with database.read() as connection:
            stored = await repository.versions(connection, source_id, kind, list(rows))
        return frozenset(key for key, at in rows.items() if stored.get(key) == to_ms(at))

    async def known(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
        async with database.read() as connection:
            return frozenset(await repository.versions(connection, source_id, kind, ids))

    async def newest(kind: ObjectKind, ids: Sequence[str]) -> Mapping[str, Mapping[str, Held]]:
        if refetches or not ids:
            return {}
        found: dict[str, dict[str, Held]] = {}
        async with database.read() as connection:
            for row in await repository.newest_entries(connection, source_id, kind, ids):
                found.setdefault(row.external_id, {})[row.property] = Held(row.value, from_ms(row.entered_at))
        return found

    async def converted(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
        if not ids:
            return frozenset()
        async with database.read() as connection:
            return await repository.converted_among(connection, source_id, kind, ids)

    return Stored(unchanged, known, newest, converted)
