"""SQL of sources, destinations and target pauses. Takes the caller's connection; never commits."""

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import RowMapping, Table, delete, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import ConnectionMode
from app.db.bulk import among, insert_rows
from app.db.ids import take_ids
from app.db.tables import audit, destinations, mapping_versions, sources, target_pauses
from app.db.tables import settings as settings_table


class Role(StrEnum):
    """Which of the two a connection is."""

    SOURCE = "source"
    DESTINATION = "destination"


class ConnectionRefused(Exception):
    """A change that would mix two accounts under one name; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source as it is stored. Instants are epoch milliseconds. `section_hash` is that of the file's section last applied.

    Paused by a fault while `pause_reason` is set: until `paused_until`, or until a check clears it where that is None.
    """

    id: int
    name: str
    kind: str
    settings_sealed: bytes = field(repr=False)
    schema_json: str | None = field(repr=False)
    account_ref: str | None
    described_at: int | None
    mode: ConnectionMode
    paused_until: int | None
    pause_reason: str | None
    webhook_token: str | None = field(repr=False)
    section_hash: str | None = field(repr=False)
    differs_from_file: bool
    created_at: int

    def is_paused(self, now_ms: int) -> bool:
        """True while a fault or an operator keeps it from working."""
        return _is_paused(self.mode, self.pause_reason, self.paused_until, now_ms)


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """A destination as it is stored; see SourceRow. `batch_rows` overrides the usual rows of a request.

    `milestone_modes`: by milestone, what an operator set for it here, where it is not live.
    """

    id: int
    name: str
    kind: str
    settings_sealed: bytes = field(repr=False)
    mode: ConnectionMode
    paused_until: int | None
    pause_reason: str | None
    batch_rows: int | None
    section_hash: str | None = field(repr=False)
    differs_from_file: bool
    created_at: int
    adaptive_rows: int | None = None
    clean_requests: int = 0
    spend_read_at: int | None = None
    spend_error: str | None = None
    milestone_modes: Mapping[str, ConnectionMode] = field(default_factory=dict)

    def is_paused(self, now_ms: int) -> bool:
        """True while a fault or an operator keeps it from working."""
        return _is_paused(self.mode, self.pause_reason, self.paused_until, now_ms)


@dataclass(frozen=True, slots=True)
class TargetPause:
    """A target that the platform refused; it waits until a check clears it."""

    target: str
    code: str
    since: int


# Reading --------------------------------------------------------------------------------------------------------------


_SOURCES = select(sources).order_by(sources.c.name)
_DESTINATIONS = select(destinations).order_by(destinations.c.name)


async def list_sources(connection: AsyncConnection) -> list[SourceRow]:
    """All sources by name."""
    return [_source(row) for row in (await connection.execute(_SOURCES)).mappings()]


async def source_by_name(connection: AsyncConnection, name: str) -> SourceRow | None:
    """One source, None where there is none of that name."""
    row = (await connection.execute(select(sources).where(sources.c.name == name))).mappings().one_or_none()
    return None if row is None else _source(row)


async def source_by_id(connection: AsyncConnection, source_id: int) -> SourceRow | None:
    """One source, None where there is none of that id."""
    row = (await connection.execute(select(sources).where(sources.c.id == source_id))).mappings().one_or_none()
    return None if row is None else _source(row)


async def list_destinations(connection: AsyncConnection) -> list[DestinationRow]:
    """All destinations by name."""
    result = await connection.execute(_DESTINATIONS)
    return [_destination(row) for row in result.mappings()]


async def destination_by_name(connection: AsyncConnection, name: str) -> DestinationRow | None:
    """One destination, None where there is none of that name."""
    result = await connection.execute(select(destinations).where(destinations.c.name == name))
    row = result.mappings().one_or_none()
    return None if row is None else _destination(row)


async def destination_by_id(connection: AsyncConnection, destination_id: int) -> DestinationRow | None:
    """One destination, None where there is none of that id."""
    result = await connection.execute(select(destinations).where(destinations.c.id == destination_id))
    row = result.mappings().one_or_none()
    return None if row is None else _destination(row)


# Writing --------------------------------------------------------------------------------------------------------------


async def upsert_source(
    connection: AsyncConnection,
    name: str,
    kind: str,
    settings_sealed: bytes,
    section_hash: str | None,
    now_ms: int,
    *,
    mode: ConnectionMode | None = None,
) -> int:
    """Make or change a source and return its id; a new one gets its webhook token.

    With `section_hash` the change comes from the config file; with None from elsewhere, and it then differs from the file
    where the file was applied before. `mode` None keeps the mode. ConnectionRefused where the kind would change.
    """
    found = await source_by_name(connection, name)
    if found is None:
        values = _new(name, kind, settings_sealed, section_hash, now_ms, mode)
        return await _insert(connection, sources, {**values, "webhook_token": secrets.token_urlsafe(32)})
    await _change(connection, sources, found, kind, settings_sealed, section_hash, mode)
    return found.id


async def upsert_destination(
    connection: AsyncConnection,
    name: str,
    kind: str,
    settings_sealed: bytes,
    section_hash: str | None,
    now_ms: int,
    *,
    mode: ConnectionMode | None = None,
) -> int:
    """Make or change a destination and return its id; see upsert_source."""
    found = await destination_by_name(connection, name)
    if found is None:
        return await _insert(connection, destinations, _new(name, kind, settings_sealed, section_hash, now_ms, mode))
    await _change(connection, destinations, found, kind, settings_sealed, section_hash, mode)
    return found.id


async def save_schema(connection: AsyncConnection, source_id: int, schema_json: str, account_ref: str, now_ms: int) -> None:
    """Store what describe() said. ConnectionRefused where the source has become another account of the vendor."""
    known = await connection.scalar(select(sources.c.account_ref).where(sources.c.id == source_id))
    if known is not None and known != account_ref:
        raise ConnectionRefused(
            f"The credentials of this source now belong to the account {account_ref}, but its records come from {known}. "
            "Give the other account a source of its own name."
        )
    await connection.execute(
        update(sources)
        .where(sources.c.id == source_id)
        .values(schema_json=schema_json, account_ref=account_ref, described_at=now_ms)
    )


async def set_mode(connection: AsyncConnection, role: Role, connection_id: int, mode: ConnectionMode) -> None:
    """Set the operator's mode: live, shadow or paused; it then differs from the file, where it came from one."""
    table = _table(role)
    await connection.execute(
        update(table)
        .where(table.c.id == connection_id)
        .values(mode=mode.value, differs_from_file=table.c.section_hash.is_not(None))
    )


async def set_milestone_mode(connection: AsyncConnection, row: DestinationRow, milestone: str, mode: ConnectionMode) -> None:
    """Set the operator's mode of one milestone at a destination."""
    modes = {**row.milestone_modes, milestone: mode}
    text = orjson.dumps({name: one.value for name, one in sorted(modes.items()) if one is not ConnectionMode.LIVE}).decode()
    await connection.execute(update(destinations).where(destinations.c.id == row.id).values(milestone_modes=text))


async def set_batch_rows(connection: AsyncConnection, destination_id: int, batch_rows: int | None) -> None:
    """Override the rows of one request; None gives the platform's usual number back."""
    await connection.execute(update(destinations).where(destinations.c.id == destination_id).values(batch_rows=batch_rows))


async def set_adaptive_rows(connection: AsyncConnection, destination_id: int, rows: int | None, clean: int) -> None:
    """Remember how many rows of a request a platform takes now, and how many requests in a row were clean."""
    await connection.execute(
        update(destinations).where(destinations.c.id == destination_id).values(adaptive_rows=rows, clean_requests=clean)
    )


async def pause(connection: AsyncConnection, role: Role, connection_id: int, reason: str, until_ms: int | None) -> None:
    """Stop a connection because of a fault, until an instant or (None) until a check clears it; never for less than before."""
    table = _table(role)
    lasts = true() if until_ms is None else or_(table.c.pause_reason.is_(None), table.c.paused_until <= until_ms)
    await connection.execute(
        update(table).where(table.c.id == connection_id, lasts).values(pause_reason=reason, paused_until=until_ms)
    )


async def resume(connection: AsyncConnection, role: Role, connection_id: int) -> None:
    """Clear the pause of a fault; the operator's mode stays."""
    table = _table(role)
    await connection.execute(update(table).where(table.c.id == connection_id).values(pause_reason=None, paused_until=None))


async def pause_target(connection: AsyncConnection, destination_id: int, target: str, code: str, now_ms: int) -> None:
    """Stop one target (as deliveries store it); a second refusal keeps the first instant."""
    row = {"destination_id": destination_id, "target": target, "code": code, "since": now_ms}
    await insert_rows(connection, target_pauses, [row], conflict=("destination_id", "target"), update=("code",))


async def resume_other_targets(connection: AsyncConnection, destination_id: int, refused: Sequence[str]) -> int:
    """Clear the pauses of all targets but these, also of such as no mapping names any more; returns how many there were."""
    result = await connection.execute(
        delete(target_pauses).where(
            target_pauses.c.destination_id == destination_id, ~among(connection, target_pauses.c.target, refused)
        )
    )
    return result.rowcount


async def target_pauses_of(connection: AsyncConnection, destination_ids: Sequence[int]) -> dict[int, tuple[TargetPause, ...]]:
    """Paused targets by destination."""
    found: dict[int, list[TargetPause]] = defaultdict(list)
    result = await connection.execute(
        select(target_pauses)
        .where(among(connection, target_pauses.c.destination_id, destination_ids))
        .order_by(target_pauses.c.target)
    )
    for row in result.mappings():
        found[row["destination_id"]].append(TargetPause(row["target"], row["code"], row["since"]))
    return {destination_id: tuple(pauses) for destination_id, pauses in found.items()}


# The config file ------------------------------------------------------------------------------------------------------


async def lock_file_state(connection: AsyncConnection, now_ms: int) -> None:
    """Note when the file was last applied; the row also makes replicas that start together take turns."""
    row = {"name": "config_file_applied_at", "value": str(now_ms)}
    await insert_rows(connection, settings_table, [row], conflict=("name",), update=("value",))


async def mark_missing_in_file(connection: AsyncConnection, role: Role, names_in_file: Sequence[str]) -> list[str]:
    """Connections that came from the file and are no longer in it: they stay, and differ until the file has them again."""
    table = _table(role)
    result = await connection.execute(
        update(table)
        .where(table.c.section_hash.is_not(None), ~among(connection, table.c.name, names_in_file))
        .values(differs_from_file=True, section_hash=None)
        .returning(table.c.name)
    )
    return sorted(result.scalars())


async def mapping_section_hash(connection: AsyncConnection, source_id: int) -> str | None:
    """The hash of the file's mapping section that was last applied to a source."""
    statement = (
        select(mapping_versions.c.section_hash)
        .where(mapping_versions.c.source_id == source_id, mapping_versions.c.section_hash.is_not(None))
        .order_by(mapping_versions.c.version.desc())
        .limit(1)
    )
    return await connection.scalar(statement)


async def stamp_mapping(connection: AsyncConnection, source_id: int, section_hash: str) -> None:
    """Note on the newest mapping version which section of the file it stands for."""
    newest = select(func.max(mapping_versions.c.version)).where(mapping_versions.c.source_id == source_id).scalar_subquery()
    await connection.execute(
        update(mapping_versions)
        .where(mapping_versions.c.source_id == source_id, mapping_versions.c.version == newest)
        .values(section_hash=section_hash)
    )


async def add_audit(connection: AsyncConnection, actor: str, action: str, subjects: Sequence[str], now_ms: int) -> None:
    """Write one line of the audit log for each subject."""
    if subjects:
        first_id = await take_ids(connection, len(subjects))
        rows = [
            {"id": first_id + place, "at": now_ms, "actor": actor, "action": action, "subject": subject, "detail_json": "{}"}
            for place, subject in enumerate(subjects)
        ]
        await insert_rows(connection, audit, rows)


# Helpers of the above -------------------------------------------------------------------------------------------------


def _table(role: Role) -> Table:
    return sources if role is Role.SOURCE else destinations


async def _insert(connection: AsyncConnection, table: Table, values: Mapping[str, object]) -> int:
    row_id = await take_ids(connection, 1)
    await connection.execute(insert(table).values(id=row_id, **values))
    return row_id


def _new(
    name: str, kind: str, settings_sealed: bytes, section_hash: str | None, now_ms: int, mode: ConnectionMode | None
) -> dict[str, object]:
    return {
        "name": name,
        "kind": kind,
        "settings_sealed": settings_sealed,
        "section_hash": section_hash,
        "mode": (mode or ConnectionMode.LIVE).value,
        "created_at": now_ms,
    }


async def _change(
    connection: AsyncConnection,
    table: Table,
    found: SourceRow | DestinationRow,
    kind: str,
    settings_sealed: bytes,
    section_hash: str | None,
    mode: ConnectionMode | None,
) -> None:
    if found.kind != kind:
        raise ConnectionRefused(f"{found.name!r} is a {found.kind} connection and stays one; use another name for {kind}.")
    await connection.execute(
        update(table)
        .where(table.c.id == found.id)
        .values(
            settings_sealed=settings_sealed,
            section_hash=section_hash or found.section_hash,
            differs_from_file=section_hash is None and found.section_hash is not None,
            mode=(mode or found.mode).value,
        )
    )


def _is_paused(mode: ConnectionMode, reason: str | None, until_ms: int | None, now_ms: int) -> bool:
    return mode is ConnectionMode.PAUSED or (reason is not None and (until_ms is None or until_ms > now_ms))


def _source(row: RowMapping) -> SourceRow:
    return SourceRow(**_values(row))


def _destination(row: RowMapping) -> DestinationRow:
    modes = {name: ConnectionMode(mode) for name, mode in orjson.loads(row["milestone_modes"]).items()}
    return DestinationRow(**{**_values(row), "milestone_modes": modes})


def _values(row: RowMapping) -> dict[str, Any]:
    return {**row, "settings_sealed": bytes(row["settings_sealed"]), "mode": ConnectionMode(row["mode"])}
