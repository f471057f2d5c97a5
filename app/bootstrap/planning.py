"""What applying a config file would do, told before it is done: nothing is asked of a CRM, nothing is stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.bootstrap.openers import Openers
from app.config import ConfigInvalid, FileConfig, FileSection, MappingSection, Mistake
from app.connections import repository as connections
from app.connections.file import placed
from app.connections.repository import DestinationRow, Role, SourceRow
from app.connections.schema_codec import decode_schema
from app.db.session import Database
from app.mapping import repository as mappings
from app.mapping.delay_queries import delays_of
from app.mapping.diff import Change, differences
from app.mapping.document import parse_document
from app.mapping.labels import canonical
from app.mapping.mistakes import DocumentInvalid
from app.mapping.repository import VersionsHeld
from app.mapping.warnings import MappingWarning, warnings_of
from connectors.contract.destination import DestinationLimits
from connectors.registry import CREDENTIALS


class SectionFate(StrEnum):
    """What becomes of a section. `edited`: as it was applied before, but edited since; it stays as it is edited."""

    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"
    EDITED = "edited"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class PlannedSection:
    """`overwrites`: what is stored was edited by other means than the file, and would be as the file has it."""

    path: str
    fate: SectionFate
    changes: Sequence[Change] = ()
    overwrites: bool = False
    warnings: Sequence[MappingWarning] = ()


@dataclass(frozen=True, slots=True)
class ApplyPlan:
    """Every section of the file, and what came from a file before and is not in this one."""

    sections: Sequence[PlannedSection]

    @property
    def has_work(self) -> bool:
        """Whether applying would change anything."""
        return any(one.fate in (SectionFate.CREATE, SectionFate.CHANGE, SectionFate.MISSING) for one in self.sections)


@dataclass(frozen=True, slots=True)
class Planning:
    """Plans the application of config files."""

    database: Database
    openers: Openers

    async def plan(self, config: FileConfig) -> ApplyPlan:
        """What would be done. ConfigInvalid where the file itself shows that nothing can be."""
        self._check(config)
        async with self.database.read() as connection:
            sources = {row.name: row for row in await connections.list_sources(connection)}
            destinations = {row.name: row for row in await connections.list_destinations(connection)}
            planned = [*self._connections(Role.SOURCE, config.sources, sources)]
            planned += self._connections(Role.DESTINATION, config.destinations, destinations)
            limits = self._limits(config, destinations)
            held = await mappings.versions_held(connection)
            for name, section in config.mappings.items():
                planned.append(await self._mapping(connection, name, section, sources.get(name), held, limits))
        return ApplyPlan(planned)

    def _check(self, config: FileConfig) -> None:
        mistakes: list[Mistake] = []
        for role, sections in ((Role.SOURCE, config.sources), (Role.DESTINATION, config.destinations)):
            for name, section in sections.items():
                found = self.openers.check_section(role, name, section)
                mistakes += placed(f"{role}s.{name}", found)
        for name, mapping in config.mappings.items():
            try:
                parse_document(dict(mapping.data))
            except DocumentInvalid as invalid:
                found = [Mistake(one.path, one.message, one.nearest) for one in invalid.mistakes]
                mistakes += placed(f"mappings.{name}", found)
        if mistakes:
            raise ConfigInvalid(mistakes)

    def _connections(
        self,
        role: Role,
        sections: Mapping[str, FileSection],
        known: Mapping[str, SourceRow] | Mapping[str, DestinationRow],
    ) -> Iterator[PlannedSection]:
        for name, section in sections.items():
            path, row = f"{role}s.{name}", known.get(name)
            if row is None:
                yield PlannedSection(path, SectionFate.CREATE)
            elif row.section_hash == section.section_hash:
                yield PlannedSection(path, SectionFate.EDITED if row.differs_from_file else SectionFate.KEEP)
            else:
                changes = list(self._changed(row, section))
                is_edited = row.differs_from_file or row.section_hash is None
                yield PlannedSection(path, SectionFate.CHANGE, changes, overwrites=is_edited)
        for name, row in known.items():
            if row.section_hash is not None and name not in sections:
                yield PlannedSection(f"{role}s.{name}", SectionFate.MISSING)

    def _changed(self, row: SourceRow | DestinationRow, section: FileSection) -> Iterator[Change]:
        """Setting by setting; of a credential only that it changes."""
        before, after = self.openers.settings_as_written(row), section.settings
        if section.mode is not None and section.mode is not row.mode:
            yield Change("mode", row.mode.value, section.mode.value)
        for name in sorted({*before, *after}):
            if before.get(name) == after.get(name):
                continue
            old, new = (None if name in CREDENTIALS else part.get(name) for part in (before, after))
            yield Change(name, old, new, was_there=name in before, is_there=name in after)

    def _limits(self, config: FileConfig, rows: Mapping[str, DestinationRow]) -> Mapping[str, DestinationLimits]:
        kinds = {name: row.kind for name, row in rows.items()} | {name: one.kind for name, one in config.destinations.items()}
        return {name: self.openers.limits(kind) for name, kind in kinds.items() if self.openers.knows(kind)}

    async def _mapping(
        self,
        connection: AsyncConnection,
        name: str,
        section: MappingSection,
        row: SourceRow | None,
        held: Mapping[int, VersionsHeld],
        limits: Mapping[str, DestinationLimits],
    ) -> PlannedSection:
        path = f"mappings.{name}"
        active = None if row is None else await mappings.active(connection, row.id)
        is_edited = False
        if row is not None and active is not None:
            is_edited = active.version != held[row.id].of_file
            if await connections.mapping_section_hash(connection, row.id) == section.section_hash:
                return PlannedSection(path, SectionFate.EDITED if is_edited else SectionFate.KEEP)
        schema = None if row is None or row.schema_json is None else decode_schema(row.schema_json)
        data = section.data if schema is None else canonical(section.data, schema).data
        delays = None if row is None else await delays_of(connection, row.id)
        warnings = warnings_of(parse_document(dict(data)), limits, delays)
        if active is None:
            return PlannedSection(path, SectionFate.CREATE, warnings=warnings)
        changes = list(differences(orjson.loads(active.document_json), dict(data)))
        return PlannedSection(path, SectionFate.CHANGE, changes, overwrites=is_edited, warnings=warnings)
