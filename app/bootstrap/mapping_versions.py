"""Versions of a source's mapping: stored after every check, never changed, activated and rolled back, with who did it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.repository import add_audit
from app.bootstrap.contexts import Contexts, mistakes_of, stored_schema
from app.bootstrap.openers import Openers
from app.connections import repository as connections
from app.connections.repository import SourceRow
from app.db.instants import from_ms, optional_from_ms, to_ms
from app.db.session import Database
from app.ingest.backfill import reaches_of
from app.mapping import repository as mappings
from app.mapping.checking import check_rename
from app.mapping.diff import Change, differences
from app.mapping.document import parse_document
from app.mapping.labels import Canonical, canonical
from app.mapping.mistakes import DocumentInvalid, Mistake
from app.mapping.repository import StoredVersion
from app.mapping.selection import selection_of
from connectors.contract.source import SourceSchema

Document = Mapping[str, object]


class VersionUnknown(Exception):
    """There is no source, or no version, of this name or number."""


class VersionRefused(Exception):
    """The document has mistakes; nothing was stored or activated."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(str(one) for one in mistakes))
        self.mistakes = tuple(mistakes)


class VersionChanged(Exception):
    """Another version is active than the one that the caller had seen."""


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version as it is shown."""

    version: int
    created_at: datetime
    created_by: str
    activated_at: datetime | None
    is_active: bool
    is_of_file: bool
    document: Document

    @classmethod
    def of(cls, stored: StoredVersion) -> "VersionView":
        """As it is shown."""
        return cls(
            version=stored.version,
            created_at=from_ms(stored.created_at),
            created_by=stored.created_by,
            activated_at=optional_from_ms(stored.activated_at),
            is_active=stored.is_active,
            is_of_file=stored.is_of_file,
            document=orjson.loads(stored.document_json),
        )


@dataclass(frozen=True, slots=True)
class Activated:
    """`reads_more`: kinds of record of which this version reads what no version read before: what is stored lacks it."""

    version: int
    before: int | None
    reads_more: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MappingVersions:
    """Versions of the mappings of all sources, by the source's name."""

    database: Database
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts

    async def list(self, source: str, *, limit: int, before: int | None = None) -> Sequence[VersionView]:
        """Newest first."""
        async with self.database.read() as connection:
            row = await self._source(connection, source)
            return [VersionView.of(one) for one in await mappings.versions(connection, row.id, limit=limit, before=before)]

    async def get(self, source: str, version: int) -> VersionView:
        """One version with its document."""
        async with self.database.read() as connection:
            row = await self._source(connection, source)
            return VersionView.of(await self._version(connection, row, version))

    async def active(self, source: str) -> VersionView | None:
        """The active version, None before there is one."""
        async with self.database.read() as connection:
            row = await self._source(connection, source)
            found = await mappings.active(connection, row.id)
            return None if found is None else VersionView.of(await self._version(connection, row, found.version))

    async def diff(self, source: str, version: int, against: int) -> Sequence[Change]:
        """What `version` changes of `against`."""
        before, after = await self.get(source, against), await self.get(source, version)
        return list(differences(before.document, after.document))

    async def save(self, source: str, document: Document, *, actor: str, is_dry_run: bool = False) -> VersionView | None:
        """Check a document against the CRM and the destinations and store it as a new version, not active yet.

        Raises VersionRefused. With `is_dry_run` nothing is stored, and None comes back.
        """
        now = self.clock()
        async with self.database.write() as connection:
            row = await self._source(connection, source)
            named = await self._checked(connection, row, document)
            if is_dry_run:
                return None
            text = orjson.dumps(dict(named.data), default=str).decode()
            number = await mappings.save_version(connection, row.id, text, actor, to_ms(now))
            await self._note(connection, actor, "mapping.save", source, {"version": number}, now)
            return VersionView.of(await self._version(connection, row, number))

    async def activate(self, source: str, version: int, seen_active: int | None, *, actor: str) -> Activated:
        """Make a version the active one; an older one is a roll back. `seen_active` is the one that the caller knows as active.

        It is checked once more, as CRM and destinations may have changed since it was stored. Raises VersionChanged,
        VersionRefused. What was counted stays counted under its id: nothing is sent twice by any order of activations.
        """
        now = self.clock()
        async with self.database.write() as connection:
            row = await self._source(connection, source)
            before = await mappings.active(connection, row.id)
            if (None if before is None else before.version) != seen_active:
                raise VersionChanged(f"version {'none' if before is None else before.version} is active by now")
            wanted = await self._version(connection, row, version)
            named = await self._checked(connection, row, orjson.loads(wanted.document_json))
            if before is not None:
                document = parse_document(dict(named.data))
                mistakes = check_rename(parse_document(orjson.loads(before.document_json)), document)
                if mistakes:
                    raise VersionRefused(mistakes)
            reads_more = await self._reads_more(connection, row, wanted)
            if before is None or before.version != version:
                await mappings.activate(connection, row.id, version, to_ms(now))
                detail = {"version": version, "before": None if before is None else before.version}
                await self._note(connection, actor, "mapping.activate", source, detail, now)
        self.contexts.forget()
        return Activated(version, None if before is None else before.version, reads_more)

    async def _checked(self, connection: AsyncConnection, row: SourceRow, document: Document) -> Canonical:
        schema = await stored_schema(connection, row.id)
        named = Canonical(document) if schema is None else canonical(document, schema)
        settings = {
            one.name: self.openers.limits(one.kind).target_settings for one in await connections.list_destinations(connection)
        }
        mistakes = mistakes_of(named, schema, settings, None)
        if mistakes:
            raise VersionRefused(mistakes)
        return named

    async def _reads_more(self, connection: AsyncConnection, row: SourceRow, wanted: StoredVersion) -> tuple[str, ...]:
        """Kinds that this version reads otherwise than every version that ever was active."""
        schema = await stored_schema(connection, row.id)
        if schema is None:
            return ()
        after = _reaches(wanted.document_json, schema)
        known = [_reaches(text, schema) for _, text in await mappings.activations(connection, row.id)]
        return tuple(sorted(kind for kind, reach in after.items() if known and all(one.get(kind) != reach for one in known)))

    async def _source(self, connection: AsyncConnection, name: str) -> SourceRow:
        rows = {row.name: row for row in await connections.list_sources(connection)}
        if name not in rows:
            raise VersionUnknown(f"there is no source `{name}`; there are: {', '.join(rows) or 'none'}")
        return rows[name]

    async def _version(self, connection: AsyncConnection, row: SourceRow, version: int) -> StoredVersion:
        found = await mappings.version_of(connection, row.id, version)
        if found is None:
            raise VersionUnknown(f"the mapping of `{row.name}` has no version {version}")
        return found

    async def _note(
        self, connection: AsyncConnection, actor: str, action: str, source: str, detail: Mapping[str, object], now: datetime
    ) -> None:
        await add_audit(connection, actor=actor, action=action, subject=source, detail=detail, now_ms=to_ms(now))


def _reaches(document_json: str, schema: SourceSchema) -> Mapping[str, str]:
    try:
        document = parse_document(orjson.loads(document_json))
    except DocumentInvalid:  # stored by another version of Leadloop
        return {}
    return {kind.value: reach for kind, reach in reaches_of(document, selection_of(document, schema)).items()}
