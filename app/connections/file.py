"""Apply a config file: only sections that changed since they were last applied, all of them or none."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import ConfigInvalid, FileConfig, FileSection, Mistake, nearest
from app.connections import repository
from app.connections.repository import ConnectionRefused, DestinationRow, Role, SourceRow
from app.connections.settings import seal_settings
from app.connections.tokens import drop_tokens, token_name
from app.db.instants import to_ms
from app.db.session import Database
from app.secrets import Keyring

# (connection, source id, source name, document) -> mistakes, their paths relative to the document. It stores a new version.
ApplyMapping = Callable[[AsyncConnection, int, str, Mapping[str, object]], Awaitable[Sequence[Mistake]]]

# What is wrong with a connection's kind and settings, paths relative to the section; knows the registry, opens nothing.
CheckSection = Callable[[Role, str, FileSection], Sequence[Mistake]]

# Under which key the tokens gained with a section's settings are kept; "" where its settings cannot be read.
TokenKeyOf = Callable[[Role, str, FileSection], str]


@dataclass(frozen=True, slots=True)
class Described:
    """What a source's CRM said of itself with the settings of the file."""

    schema_json: str
    account_ref: str


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What became of each section, as `sources.crm`, `destinations.google`, `mappings.crm`.

    `missing` were applied from a file before and are not in this one; they stay as they are, and differ from it.
    `waiting` were left as they are, because the CRM could not be asked.
    """

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    def text(self) -> str:
        """For a terminal, a line for each outcome that there is."""
        told = {
            "created": self.created,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "not in this file, kept as they are": self.missing,
            "left as they are until the CRM can be asked": self.waiting,
        }
        return "\n".join(f"{what}: {', '.join(names)}" for what, names in told.items() if names)


async def apply_file(  # noqa: PLR0913 what is read of the world is read before the transaction, and passed in
    database: Database,
    keyring: Keyring,
    config: FileConfig,
    now: datetime,
    *,
    actor: str,
    apply_mapping: ApplyMapping,
    check_section: CheckSection | None = None,
    token_key_of: TokenKeyOf | None = None,
    described: Mapping[str, Described] | None = None,
    waiting: frozenset[str] = frozenset(),
) -> ApplyReport:
    """Apply in one transaction; ConfigInvalid lists what is wrong, and nothing is stored then.

    `described`: by source, what is stored with it. `waiting`: sources whose sections stay as they were applied before.
    """
    async with database.write() as connection:
        work = _Work(connection, keyring, to_ms(now), check_section, token_key_of, waiting)
        await repository.lock_file_state(connection, work.now_ms)
        known_sources = {row.name: row for row in await repository.list_sources(connection)}
        known_destinations = {row.name: row for row in await repository.list_destinations(connection)}
        await work.apply_connections(Role.SOURCE, config.sources, known_sources)
        await work.apply_connections(Role.DESTINATION, config.destinations, known_destinations)
        await work.store_schemas(described or {}, known_sources)
        await work.apply_mappings(config, known_sources, apply_mapping)
        if work.mistakes:
            raise ConfigInvalid(work.mistakes)
        missing = [
            f"{role}s.{name}"
            for role, names in ((Role.SOURCE, config.sources), (Role.DESTINATION, config.destinations))
            for name in await repository.mark_missing_in_file(connection, role, list(names))
        ]
        await repository.add_audit(connection, actor, "config.applied", [*work.created, *work.changed], work.now_ms)
    return ApplyReport(tuple(work.created), tuple(work.changed), tuple(work.unchanged), tuple(missing), tuple(work.waiting))


class _Work:
    """One application in its transaction."""

    def __init__(
        self,
        connection: AsyncConnection,
        keyring: Keyring,
        now_ms: int,
        check: CheckSection | None,
        token_key_of: TokenKeyOf | None,
        not_now: frozenset[str],
    ) -> None:
        self.now_ms = now_ms
        self.mistakes: list[Mistake] = []
        self.created: list[str] = []
        self.changed: list[str] = []
        self.unchanged: list[str] = []
        self.waiting: list[str] = []
        self._connection = connection
        self._keyring = keyring
        self._check = check
        self._token_key_of = token_key_of
        self._not_now = not_now
        self._source_ids: dict[str, int] = {}

    async def apply_connections(
        self,
        role: Role,
        sections: Mapping[str, FileSection],
        known: Mapping[str, SourceRow] | Mapping[str, DestinationRow],
    ) -> None:
        """Store the sections of one role that are new or changed."""
        for name, section in sections.items():
            path, found = f"{role}s.{name}", known.get(name)
            if self._check is not None:
                self._add(path, self._check(role, name, section))
            if found is not None and found.section_hash == section.section_hash:
                self.unchanged.append(path)
                continue
            if role is Role.SOURCE and name in self._not_now:
                self.waiting.append(path)
                continue
            try:
                await self._store(role, name, section)
            except ConnectionRefused as refused:
                self._add(path, [Mistake("kind", str(refused))])
            (self.created if found is None else self.changed).append(path)

    async def _store(self, role: Role, name: str, section: FileSection) -> None:
        upsert = repository.upsert_source if role is Role.SOURCE else repository.upsert_destination
        row_id = await upsert(
            self._connection,
            name,
            section.kind,
            seal_settings(self._keyring, section.settings),
            section.section_hash,
            self.now_ms,
            mode=section.mode,
        )
        kept = "" if self._token_key_of is None else self._token_key_of(role, name, section)
        await drop_tokens(self._connection, token_name(role, name), kept=kept)
        if role is Role.SOURCE:
            self._source_ids[name] = row_id

    async def store_schemas(self, described: Mapping[str, Described], known: Mapping[str, SourceRow]) -> None:
        """Store what the CRMs said; credentials of another account than the records' are a mistake, and are not stored."""
        ids = {name: row.id for name, row in known.items()} | self._source_ids
        for name, one in described.items():
            if name not in ids:
                continue  # its section was refused
            try:
                await repository.save_schema(self._connection, ids[name], one.schema_json, one.account_ref, self.now_ms)
            except ConnectionRefused as refused:
                self._add(f"sources.{name}", [Mistake("", str(refused))])

    async def apply_mappings(self, config: FileConfig, known: Mapping[str, SourceRow], apply_mapping: ApplyMapping) -> None:
        """Hand each mapping that is new or changed to the mapping room."""
        ids = {name: row.id for name, row in known.items()} | self._source_ids
        for name, section in config.mappings.items():
            path, source_id = f"mappings.{name}", ids.get(name)
            if source_id is None and name in self._not_now:
                self.waiting.append(path)
                continue
            if source_id is None:
                self.mistakes.append(Mistake(path, "no source has this name", nearest(name, [*ids, *config.sources])))
                continue
            applied = await repository.mapping_section_hash(self._connection, source_id)
            if applied == section.section_hash:
                self.unchanged.append(path)
                continue
            if name in self._not_now:
                self.waiting.append(path)
                continue
            mistakes = await apply_mapping(self._connection, source_id, name, section.data)
            self._add(path, mistakes)
            if not mistakes:
                await repository.stamp_mapping(self._connection, source_id, section.section_hash)
            (self.created if applied is None else self.changed).append(path)

    def _add(self, path: str, mistakes: Sequence[Mistake]) -> None:
        self.mistakes += placed(path, mistakes)


def placed(path: str, mistakes: Sequence[Mistake]) -> list[Mistake]:
    """The mistakes of a section, by their place in the file."""
    return [Mistake(f"{path}.{one.path}" if one.path else path, one.message, one.nearest) for one in mistakes]
