"""SQL of keys and of the audit log. Takes the caller's connection; never commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson
from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.keys import KeyRole, NewKey, StoredKey
from app.db.bulk import insert_rows
from app.db.ids import take_ids
from app.db.instants import from_ms, optional_from_ms, optional_ms, to_ms
from app.db.tables import api_keys, audit

# Not more often is it written that a key was used.
USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Who did what to what. `detail` holds no secret and nothing personal."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, object] = field(default_factory=dict)


async def add_audit(
    connection: AsyncConnection, *, actor: str, action: str, subject: str, detail: Mapping[str, object], now_ms: int
) -> None:
    """Write one line: who did what to what. `detail` holds no secret and nothing personal."""
    row = {
        "id": await take_ids(connection, 1),
        "at": now_ms,
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail_json": orjson.dumps(dict(detail), option=orjson.OPT_SORT_KEYS).decode(),
    }
    await insert_rows(connection, audit, [row])


async def list_audit(connection: AsyncConnection, *, limit: int, before: int | None) -> Sequence[AuditLine]:
    """Newest first; `before` is the id of the last line of the page before."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    return [
        AuditLine(row["id"], from_ms(row["at"]), row["actor"], row["action"], row["subject"], orjson.loads(row["detail_json"]))
        for row in (await connection.execute(query)).mappings()
    ]


async def add_key(
    connection: AsyncConnection, key: NewKey, role: KeyRole, expires_at: datetime | None, now: datetime
) -> StoredKey:
    """Store a new key's hash."""
    stored = StoredKey(await take_ids(connection, 1), key.prefix, role, now, expires_at)
    row = {
        "id": stored.id,
        "prefix": stored.prefix,
        "key_hash": key.digest,
        "role": role.value,
        "created_at": to_ms(now),
        "expires_at": optional_ms(expires_at),
    }
    await insert_rows(connection, api_keys, [row])
    return stored


async def key_of(connection: AsyncConnection, digest: bytes) -> StoredKey | None:
    """The key with this hash, good or not."""
    row = (await connection.execute(select(api_keys).where(api_keys.c.key_hash == digest))).mappings().one_or_none()
    return None if row is None else _stored(row)


async def list_keys(connection: AsyncConnection) -> Sequence[StoredKey]:
    """Every key that ever was, newest first."""
    rows = await connection.execute(select(api_keys).order_by(api_keys.c.id.desc()))
    return [_stored(row) for row in rows.mappings()]


async def has_keys(connection: AsyncConnection) -> bool:
    """Whether any key was made."""
    return (await connection.scalar(select(api_keys.c.id).limit(1))) is not None


async def revoke_key(connection: AsyncConnection, key_id: int, now: datetime) -> None:
    """From now on it opens nothing."""
    await connection.execute(
        update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)).values(revoked_at=to_ms(now))
    )


async def note_use(connection: AsyncConnection, key: StoredKey, now: datetime) -> None:
    """Write that it was used."""
    await connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(last_used_at=to_ms(now)))


def _stored(row: RowMapping) -> StoredKey:
    return StoredKey(
        id=row["id"],
        prefix=row["prefix"],
        role=KeyRole(row["role"]),
        created_at=from_ms(row["created_at"]),
        expires_at=optional_from_ms(row["expires_at"]),
        revoked_at=optional_from_ms(row["revoked_at"]),
        last_used_at=optional_from_ms(row["last_used_at"]),
    )
