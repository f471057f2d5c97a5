"""Connections made and changed by name: checked, the CRM asked which account it is, then stored. Secrets go in and never out."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.repository import add_audit
from app.bootstrap.bell import Bell
from app.bootstrap.contexts import Contexts
from app.bootstrap.failures import NameUnknown
from app.bootstrap.openers import Openers
from app.bootstrap.write_back_setting import WRITE_BACK
from app.bootstrap.write_back_setting import mistakes_of as write_back_mistakes
from app.config import ConnectionMode, FileSection, Mistake, is_name, nearest
from app.connections import repository as connections
from app.connections.repository import DestinationRow, Role, SourceRow
from app.connections.schema_codec import decode_schema, encode_schema
from app.connections.settings import seal_settings
from app.connections.tokens import drop_tokens, token_name
from app.db.instants import to_ms
from app.db.session import Database
from app.ingest.watch import poll_at_once
from app.references import is_reference
from app.secrets import Keyring
from connectors.contract.errors import AuthenticationFailed
from connectors.contract.selection import Selection
from connectors.contract.source import SourceSchema
from connectors.registry import CREDENTIALS

ANY_TAG = "*"


class OrderRefused(Exception):
    """The settings have mistakes; nothing was stored."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(str(one) for one in mistakes))
        self.mistakes = tuple(mistakes)


class ConnectionUnseen(Exception):
    """It is there already, and the caller did not say what they had seen of it."""


class ConnectionChanged(Exception):
    """It is another one than the caller had seen."""


@dataclass(frozen=True, slots=True)
class ConnectionOrder:
    """What a connection should be. Settings that are left out are taken away, credentials that are left out are kept.

    A credential that is None is taken away. `mode` None keeps the mode, and is `live` for a new one.
    """

    kind: str
    settings: Mapping[str, str | None] = field(repr=False)
    mode: ConnectionMode | None = None


@dataclass(frozen=True, slots=True)
class ConnectionShown:
    """What may be shown of a connection's settings: of credentials only which there are. `tag` changes with every edit."""

    kind: str
    mode: ConnectionMode
    settings: Mapping[str, str]
    credentials: Sequence[str]
    tag: str


@dataclass(frozen=True, slots=True)
class Connecting:
    """Makes, changes and shows connections."""

    database: Database
    keyring: Keyring
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts
    bell: Bell

    async def shown(self, role: Role) -> Mapping[str, ConnectionShown]:
        """By name, what may be shown of each."""
        async with self.database.read() as connection:
            rows = await _rows(connection, role)
        return {name: self._shown(row) for name, row in rows.items()}

    async def put(self, role: Role, name: str, order: ConnectionOrder, seen: str | None, *, actor: str) -> bool:
        """Make or change a connection; True where it is new. `seen` is the tag that the caller knows, None where they know none.

        A source's CRM is asked for its account, so that two accounts never mix under one name. Raises OrderRefused,
        ConnectionUnseen, ConnectionChanged, ConnectionRefused, and the ConnectorError of a CRM that does not answer.
        """
        async with self.database.read() as connection:
            before = (await _rows(connection, role)).get(name)
        self._check_seen(before, seen)
        section = self._section(role, name, order, before)
        schema = await self._described(name, section) if role is Role.SOURCE else None
        if schema is not None:
            await self._check_write_back(section, before, schema)
        now = self.clock()
        async with self.database.write() as connection:
            known = (await _rows(connection, role)).get(name)
            if (None if known is None else _tag(known)) != (None if before is None else _tag(before)):
                raise ConnectionChanged(f"{name} was changed meanwhile")
            await self._store(connection, role, name, section, schema, now)
            changed = sorted(order.settings)
            detail = {"kind": order.kind, "settings": changed, "mode": None if order.mode is None else order.mode.value}
            action = f"{role}.{'create' if before is None else 'change'}"
            await add_audit(connection, actor=actor, action=action, subject=name, detail=detail, now_ms=to_ms(now))
        self.contexts.forget()
        self.bell.ring()
        return before is None

    async def set_mode(self, role: Role, name: str, mode: ConnectionMode, *, actor: str) -> None:
        """Let it work (`live`), only show what it would do (`shadow`), or stand still (`paused`). Raises NameUnknown."""
        now = self.clock()
        async with self.database.write() as connection:
            row = await _named(connection, role, name)
            if row.mode is not mode:
                await connections.set_mode(connection, role, row.id, mode)
                detail = {"mode": mode.value, "before": row.mode.value}
                action = f"{role}.mode"
                await add_audit(connection, actor=actor, action=action, subject=name, detail=detail, now_ms=to_ms(now))
        self.contexts.forget()
        self.bell.ring()

    async def set_milestone_mode(self, name: str, milestone: str, mode: ConnectionMode, *, actor: str) -> None:
        """As `set_mode`, for one milestone at a destination. Raises NameUnknown; OrderRefused where nothing sends it there."""
        known = await self._milestones(name)
        if milestone not in known:
            said = f"no active mapping sends `{milestone}` to {name}"
            raise OrderRefused([Mistake("milestone", said, nearest(milestone, known))])
        now = self.clock()
        async with self.database.write() as connection:
            row = await connections.destination_by_name(connection, name)
            if row is not None:
                before = row.milestone_modes.get(milestone, ConnectionMode.LIVE)
                await connections.set_milestone_mode(connection, row, milestone, mode)
                detail = {"milestone": milestone, "mode": mode.value, "before": before.value}
                action = "destination.mode"
                await add_audit(connection, actor=actor, action=action, subject=name, detail=detail, now_ms=to_ms(now))
        self.contexts.forget()
        self.bell.ring()

    async def _milestones(self, destination: str) -> Sequence[str]:
        """Every milestone that some active mapping sends to a destination. Raises NameUnknown."""
        async with self.database.read() as connection:
            sources = await connections.list_sources(connection)
            await _named(connection, Role.DESTINATION, destination)
        found: dict[str, None] = {}
        for row in sources:
            context = await self.contexts.of_source(row)
            for terms in context.destinations if context is not None else ():
                found |= dict.fromkeys(terms.targets if terms.name == destination else ())
        return list(found)

    async def source(self, name: str) -> SourceRow:
        """A source as it is stored. Raises NameUnknown."""
        async with self.database.read() as connection:
            rows = {row.name: row for row in await connections.list_sources(connection)}
        if name not in rows:
            raise NameUnknown(str(Role.SOURCE), name, rows)
        return rows[name]

    async def schema(self, name: str) -> SourceSchema | None:
        """What the CRM said of itself last, None where it was not asked yet. Raises NameUnknown."""
        row = await self.source(name)
        return None if row.schema_json is None else decode_schema(row.schema_json)

    async def poll_now(self, name: str) -> None:
        """Let the server read a source at once, and send what comes of it. Raises NameUnknown."""
        async with self.database.write() as connection:
            row = await _named(connection, Role.SOURCE, name)
            await poll_at_once(connection, row.id, to_ms(self.clock()))
        self.bell.ring()

    def _shown(self, row: SourceRow | DestinationRow) -> ConnectionShown:
        settings = self.openers.settings_as_written(row)
        return ConnectionShown(
            kind=row.kind,
            mode=row.mode,
            settings={name: value for name, value in sorted(settings.items()) if name not in CREDENTIALS},
            credentials=sorted(name for name in settings if name in CREDENTIALS),
            tag=_tag(row),
        )

    @staticmethod
    def _check_seen(before: SourceRow | DestinationRow | None, seen: str | None) -> None:
        if before is None:
            if seen is not None:
                raise ConnectionChanged("there is no connection of this name any more, or not yet")
        elif seen is None:
            raise ConnectionUnseen(f"{before.name} is there already")
        elif seen not in (_tag(before), ANY_TAG):
            raise ConnectionChanged(f"{before.name} was changed since it was seen")

    def _section(self, role: Role, name: str, order: ConnectionOrder, before: SourceRow | DestinationRow | None) -> FileSection:
        """The settings as they would be stored; OrderRefused says what is wrong with them."""
        mistakes = (
            [] if is_name(name) else [Mistake("name", "has letters, digits, `-`, `_` and `.`, and starts with one of them")]
        )
        mistakes += [
            Mistake(f"settings.{key}", "references to the environment or to files belong into the config file: give the value")
            for key, value in order.settings.items()
            if value is not None and is_reference(value)
        ]
        kept = {} if before is None else self.openers.settings_as_written(before)
        settings = {key: value for key, value in kept.items() if key in CREDENTIALS and key not in order.settings}
        settings |= {key: value for key, value in order.settings.items() if value is not None}
        section = FileSection(order.kind, settings, section_hash="", mode=order.mode)
        if before is not None and before.kind != order.kind:
            said = f"{name} is a {before.kind} connection and stays one; use another name for {order.kind}"
            mistakes.append(Mistake("kind", said))
        for one in self.openers.check_section(role, name, section):
            mistakes.append(Mistake(one.path or "settings", one.message, one.nearest))
        if mistakes:
            raise OrderRefused(mistakes)
        return section

    async def _described(self, name: str, section: FileSection) -> SourceSchema:
        try:
            return await self.openers.source(name, section.kind, self.openers.resolved(section.settings)).describe()
        except AuthenticationFailed as error:
            raise OrderRefused([Mistake("settings", f"the CRM refuses these credentials: {error.message}")]) from error

    async def _check_write_back(
        self, section: FileSection, before: SourceRow | DestinationRow | None, schema: SourceSchema
    ) -> None:
        context = await self.contexts.of_source(before) if isinstance(before, SourceRow) else None
        reads = Selection() if context is None else context.selection
        can_write = self.openers.can_write_back(section.kind)
        found = write_back_mistakes(section.settings.get(WRITE_BACK, ""), schema, reads, can_write=can_write)
        if found:
            raise OrderRefused([Mistake(f"settings.{one.path}", one.message, one.nearest) for one in found])

    async def _store(
        self,
        connection: AsyncConnection,
        role: Role,
        name: str,
        section: FileSection,
        schema: SourceSchema | None,
        now: datetime,
    ) -> None:
        upsert = connections.upsert_source if role is Role.SOURCE else connections.upsert_destination
        sealed = seal_settings(self.keyring, section.settings)
        row_id = await upsert(connection, name, section.kind, sealed, None, to_ms(now), mode=section.mode)
        await drop_tokens(connection, token_name(role, name), kept=self.openers.token_key_of(role, name, section))
        if schema is not None:
            await connections.save_schema(connection, row_id, encode_schema(schema), schema.account_ref, to_ms(now))


async def _rows(connection: AsyncConnection, role: Role) -> Mapping[str, SourceRow | DestinationRow]:
    if role is Role.SOURCE:
        return {row.name: row for row in await connections.list_sources(connection)}
    return {row.name: row for row in await connections.list_destinations(connection)}


async def _named(connection: AsyncConnection, role: Role, name: str) -> SourceRow | DestinationRow:
    rows = await _rows(connection, role)
    if name not in rows:
        raise NameUnknown(str(role), name, rows)
    return rows[name]


def _tag(row: SourceRow | DestinationRow) -> str:
    """Sealing twice gives two texts, so that this says nothing of the secrets."""
    return hashlib.sha256(orjson.dumps([row.kind, row.mode.value]) + row.settings_sealed).hexdigest()[:16]
