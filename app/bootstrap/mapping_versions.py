"""Versions of a source's mapping: stored after every check, never changed, activated and rolled back, with who did it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.repository import add_audit
from app.bootstrap.contexts import Contexts, mistakes_of, stored_schema
from app.bootstrap.openers import Openers
from app.bootstrap.proving_targets import missing_targets
from app.bootstrap.unwise import unwise_in
from app.connections import repository as connections
from app.connections.repository import SourceRow
from app.db.instants import from_ms, optional_from_ms, to_ms
from app.db.session import Database
from app.ingest.backfill import reaches_of
from app.ingest.backfill_repository import backfills_of
from app.ingest.reapply_repository import stored_counts
from app.mapping import repository as mappings
from app.mapping.checking import check_rename
from app.mapping.diff import Change, differences
from app.mapping.document import parse_document
from app.mapping.labels import Canonical, canonical
from app.mapping.mistakes import DocumentInvalid, Mistake
from app.mapping.repository import StoredVersion
from app.mapping.selection import lacking, selection_of
from app.mapping.warnings import MappingWarning
from connectors.contract.records import ObjectKind
from connectors.contract.selection import Selection
from connectors.contract.source import SourceSchema

Document = Mapping[str, object]


class VersionUnknown(Exception):
    """There is no source, or no version, of this name or number."""


class VersionRefused(Exception):
    """The document has mistakes; nothing was stored or activated."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(one) for one in mistakes))
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
class Saved:
    """What became of a document without mistakes; `view` is None where it was only checked. `warnings` kept nothing back."""

    view: VersionView | None
    warnings: Sequence[MappingWarning] = ()


@dataclass(frozen=True, slots=True)
class Activated:
    """`reads_more`: kinds of record of which this version reads what no version read before, and how many are stored so."""

    version: int
    before: int | None
    reads_more: Mapping[str, int]


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

    async def differs_from_file(self, source: str) -> bool:
        """Whether another version is active than the newest that a config file brought."""
        async with self.database.read() as connection:
            row = await self._source(connection, source)
            held = await mappings.versions_held(connection)
            return held.get(row.id, mappings.VersionsHeld()).differs_from_file

    async def source(self, name: str) -> SourceRow:
        """A source by its name. Raises VersionUnknown."""
        async with self.database.read() as connection:
            return await self._source(connection, name)

    async def stored(self, source: str, version: int) -> tuple[SourceRow, StoredVersion, int | None]:
        """A version as it is stored, with its source and the number of the active one. Raises VersionUnknown."""
        async with self.database.read() as connection:
            row = await self._source(connection, source)
            active = await mappings.active(connection, row.id)
            return row, await self._version(connection, row, version), None if active is None else active.version

    async def unstored(self, source: str, document: Document) -> tuple[SourceRow, StoredVersion, int | None]:
        """A document, checked, as `stored` gives a version; it is kept nowhere, its number is 0. Raises VersionRefused too."""
        async with self.database.read() as connection:
            row = await self._source(connection, source)
            active = await mappings.active(connection, row.id)
            named = await self._checked(connection, row, document)
        text = orjson.dumps(dict(named.data), default=str).decode()
        would_be = StoredVersion(0, to_ms(self.clock()), "", None, is_active=False, is_of_file=False, document_json=text)
        return row, would_be, None if active is None else active.version

    async def reads_more(self, row: SourceRow, wanted: StoredVersion) -> Mapping[str, int]:
        """Kinds of which a version reads what none before did, and how many records of each are stored without it."""
        async with self.database.read() as connection:
            return await self._reads_more(connection, row, wanted)

    async def unread(self, source: str, version: int) -> Sequence[str]:
        """Kinds of which not all that is stored was read as this version reads it: no other version did, no backfill since."""
        async with self.database.read() as connection:
            row = await self._source(connection, source)
            wanted = await self._version(connection, row, version)
            schema = await stored_schema(connection, row.id)
            if schema is None:
                return ()
            selection = _selection(wanted.document_json, schema)
            others = [_selection(text, schema) for _, text in await mappings.activations(connection, row.id)]
            reaches = _reaches(wanted.document_json, schema)
            read = {one.kind.value: one.reach for one in await backfills_of(connection, row.id) if one.is_done}
        lacked = {kind.value for other in others for kind in lacking(other, selection)}
        return sorted(kind for kind in lacked if read.get(kind) != reaches.get(kind))

    async def diff(self, source: str, version: int, against: int) -> Sequence[Change]:
        """What `version` changes of `against`."""
        before, after = await self.get(source, against), await self.get(source, version)
        return list(differences(before.document, after.document))

    async def save(
        self, source: str, document: Document, *, actor: str, is_dry_run: bool = False, proves_targets: bool = False
    ) -> Saved:
        """Check a document against the CRM and the destinations and store it as a new version, not active yet.

        `proves_targets`: the platforms are asked whether they have its targets. Raises VersionRefused. With `is_dry_run`
        nothing is stored.
        """
        now = self.clock()
        if proves_targets:
            async with self.database.read() as connection:
                named = await self._checked(connection, await self._source(connection, source), document)
            mistakes = await missing_targets(self.database, self.openers, parse_document(dict(named.data)))
            if mistakes:
                raise VersionRefused(mistakes)
        async with self.database.write() as connection:
            row = await self._source(connection, source)
            named = await self._checked(connection, row, document)
            warnings = await unwise_in(connection, self.openers, row.id, parse_document(dict(named.data)))
            if is_dry_run:
                return Saved(None, warnings)
            text = orjson.dumps(dict(named.data), default=str).decode()
            number = await mappings.save_version(connection, row.id, text, actor, to_ms(now))
            await self._note(connection, actor, "mapping.save", source, {"version": number}, now)
            return Saved(VersionView.of(await self._version(connection, row, number)), warnings)

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
            reads_more = await self._reads_more(connection, row, wanted)  # before it is one of those that were active
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

    async def _reads_more(self, connection: AsyncConnection, row: SourceRow, wanted: StoredVersion) -> Mapping[str, int]:
        """Kinds of which this version reads more than every version that ever was active, and how many are stored."""
        schema = await stored_schema(connection, row.id)
        if schema is None:
            return {}
        selection = _selection(wanted.document_json, schema)
        known = [lacking(_selection(text, schema), selection) for _, text in await mappings.activations(connection, row.id)]
        more = frozenset.intersection(*known) if known else frozenset[ObjectKind]()
        return await stored_counts(connection, row.id, [kind.value for kind in more])

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


def _selection(document_json: str, schema: SourceSchema) -> Selection:
    try:
        return selection_of(parse_document(orjson.loads(document_json)), schema)
    except DocumentInvalid:  # stored by another version of Leadloop
        return Selection()


def _reaches(document_json: str, schema: SourceSchema) -> Mapping[str, str]:
    try:
        document = parse_document(orjson.loads(document_json))
    except DocumentInvalid:  # as above
        return {}
    return {kind.value: reach for kind, reach in reaches_of(document, selection_of(document, schema)).items()}
