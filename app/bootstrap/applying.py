"""Applying a config file: the CRMs are described first (network), then all is stored in one transaction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from app.bootstrap.contexts import Contexts, document_applier
from app.bootstrap.failures import OPERATOR_ERRORS
from app.bootstrap.journal import Journal
from app.bootstrap.openers import Openers
from app.bootstrap.write_back_setting import WRITE_BACK
from app.bootstrap.write_back_setting import mistakes_of as write_back_mistakes
from app.config import ConfigInvalid, FileConfig, FileSection, Mistake, load_file
from app.connections import repository as connections
from app.connections.file import ApplyReport, Described, apply_file
from app.connections.repository import Role, SourceRow
from app.connections.schema_codec import encode_schema
from app.connections.settings import resolve_settings
from app.db.session import Database
from app.mapping.document import parse_document
from app.mapping.labels import canonical
from app.mapping.mistakes import DocumentInvalid
from app.mapping.selection import selection_of
from app.secrets import Keyring
from connectors.contract.errors import ConnectorError
from connectors.contract.selection import Selection
from connectors.contract.source import SourceSchema

log = structlog.get_logger()


@dataclass(slots=True)
class Applying:
    """Applies config files. Sections whose CRM did not answer at the start of a server wait here, and are tried again."""

    database: Database
    keyring: Keyring
    clock: Callable[[], datetime]
    environ: Mapping[str, str] = field(repr=False)
    openers: Openers
    contexts: Contexts
    journal: Journal
    allows_custom_base_urls: bool
    waiting: FileConfig | None = None

    async def apply(self, path: Path, *, actor: str, waits: bool) -> ApplyReport:
        """Apply a file. `waits`: sections of a source whose CRM fails are left as they are, for `go_on`; else that is raised."""
        started = self.clock()
        config = load_file(path, self.environ)
        report, failures = await self._apply(config, actor, waits=waits)
        why = "; ".join(f"{name}: {error.message}" for name, error in failures.items())
        note = f"{', '.join(report.waiting)} not applied yet, tried again each minute: {why}" if failures else None
        await self._note(started, report, note)
        for name, error in failures.items():
            log.warning("config.waiting", source=name, code=error.code, message=error.message)
        self.waiting = config if failures else None
        return report

    async def go_on(self, _now: datetime) -> None:
        """Try what waits again; a mistake that only the CRM could show ends that until the next start."""
        config, self.waiting = self.waiting, None
        if config is None:
            return
        started = self.clock()
        try:
            report, failures = await self._apply(config, "config file", waits=True)
        except OPERATOR_ERRORS as error:
            log.error("config.refused", message=str(error))  # noqa: TRY400 the message says all
            await self.journal.applied(started, {}, str(error))
            return
        except Exception:
            self.waiting = config
            raise
        self.waiting = config if failures else None
        await self._note(started, report, None)
        if not failures:
            log.info("config.applied", sections=[*report.created, *report.changed])

    async def _apply(self, config: FileConfig, actor: str, *, waits: bool) -> tuple[ApplyReport, Mapping[str, ConnectorError]]:
        schemas, failures = await self._describe(config, waits=waits)
        self._check_write_back(config, schemas)
        report = await apply_file(
            self.database,
            self.keyring,
            config,
            self.clock(),
            actor=actor,
            apply_mapping=document_applier(schemas, config, self.openers, self.clock(), actor),
            check_section=self.openers.check_section,
            token_key_of=self.openers.token_key_of,
            described={name: Described(encode_schema(one), one.account_ref) for name, one in schemas.items()},
            waiting=frozenset(failures),
        )
        self.contexts.forget()
        return report, failures

    def _check_write_back(self, config: FileConfig, schemas: Mapping[str, SourceSchema]) -> None:
        """ConfigInvalid where a source is to write what its CRM does not take."""
        mistakes = []
        for name, schema in schemas.items():
            section = config.sources[name]
            settings = resolve_settings(section.settings, self.environ, allow_custom_base_urls=self.allows_custom_base_urls)
            can_write = self.openers.can_write_back(section.kind)
            reads = _reads(config.mappings[name].data, schema)
            found = write_back_mistakes(settings.get(WRITE_BACK, ""), schema, reads, can_write=can_write)
            mistakes += [Mistake(f"sources.{name}.{one.path}", one.message, one.nearest) for one in found]
        if mistakes:
            raise ConfigInvalid(mistakes)

    async def _describe(
        self, config: FileConfig, *, waits: bool
    ) -> tuple[Mapping[str, SourceSchema], Mapping[str, ConnectorError]]:
        """Ask the CRMs of sources that are new or changed, or whose mapping is; of no other, whatever state it is in."""
        schemas: dict[str, SourceSchema] = {}
        failures: dict[str, ConnectorError] = {}
        for name, section in (await self._changed(config)).items():
            settings = resolve_settings(section.settings, self.environ, allow_custom_base_urls=self.allows_custom_base_urls)
            try:
                schemas[name] = await self.openers.source(name, section.kind, settings).describe()
            except ConnectorError as error:
                if not waits:
                    raise
                failures[name] = error
        return schemas, failures

    async def _changed(self, config: FileConfig) -> Mapping[str, FileSection]:
        async with self.database.read() as connection:
            known = {row.name: row for row in await connections.list_sources(connection)}
            applied = {name: await connections.mapping_section_hash(connection, row.id) for name, row in known.items()}
        return {
            name: section
            for name, section in config.sources.items()
            if name in config.mappings
            and not self.openers.check_section(Role.SOURCE, name, section)
            and not (_is_described(known.get(name), section) and applied.get(name) == config.mappings[name].section_hash)
        }

    async def _note(self, started: datetime, report: ApplyReport, error: str | None) -> None:
        await self.journal.applied(started, {"created": len(report.created), "changed": len(report.changed)}, error)


def _is_described(row: SourceRow | None, section: FileSection) -> bool:
    return row is not None and row.schema_json is not None and row.section_hash == section.section_hash


def _reads(data: Mapping[str, object], schema: SourceSchema) -> Selection:
    """What a mapping reads; nothing of one that is refused, as its own mistakes will tell."""
    try:
        return selection_of(parse_document(dict(canonical(data, schema).data)), schema)
    except DocumentInvalid:
        return Selection()
