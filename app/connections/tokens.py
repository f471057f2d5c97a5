"""OAuth tokens in the database: sealed, and saved only over the version that was read."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import orjson
from sqlalchemy import LargeBinary, Text, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.connections.repository import Role
from app.db.instants import from_ms, to_ms
from app.db.session import Database
from app.db.tables import tokens as tokens_table
from app.secrets import Keyring
from connectors.contract.tokens import Tokens

_DROPPED = b""
_CREDENTIAL_WORDS = (
    "token", "secret", "client", "key", "user", "password", "login", "url", "domain", "host", "account", "auth", "subject"
)  # fmt: skip
# No connection's name holds it.
_KEY_MARK = "#"

_SAVE_FIRST = text(
    "INSERT INTO tokens (connection, version, sealed, expires_at) VALUES (:connection, 1, :sealed, :expires_at) "
    "ON CONFLICT (connection) DO UPDATE SET version = tokens.version + 1, sealed = excluded.sealed, "
    "expires_at = excluded.expires_at WHERE tokens.sealed = :dropped RETURNING version"
).bindparams(bindparam("sealed", type_=LargeBinary), bindparam("dropped", _DROPPED, type_=LargeBinary))

_SAVE_NEXT = text(
    "UPDATE tokens SET version = version + 1, sealed = :sealed, expires_at = :expires_at "
    "WHERE connection = :connection AND version = :expected AND sealed <> :dropped RETURNING version"
).bindparams(bindparam("sealed", type_=LargeBinary), bindparam("dropped", _DROPPED, type_=LargeBinary))

_DROP = text(
    "UPDATE tokens SET sealed = :dropped, version = version + 1 "
    "WHERE connection <> :kept AND (connection = :name OR substr(connection, 1, length(:start)) = :start)"
).bindparams(
    bindparam("dropped", _DROPPED, type_=LargeBinary), *(bindparam(name, type_=Text) for name in ("name", "start", "kept"))
)


def token_name(role: Role, connection_name: str) -> str:
    """What a connection's tokens go by; a source and a destination may share a name."""
    return f"{role}:{connection_name}"


def token_key(name: str, settings: Mapping[str, str]) -> str:
    """The key of the tokens gained with these resolved settings.

    A secret behind a reference changes without the file: tokens of the credential before must not go on in its place. Other
    settings may change: a rotated refresh token is the only one that is still taken.
    """
    credentials = {name: value for name, value in settings.items() if _is_credential(name)}
    digest = hashlib.sha256(orjson.dumps(credentials, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"{name}{_KEY_MARK}{digest[:32]}"


def _is_credential(name: str) -> bool:
    """True for a setting that says who we are, or to whom."""
    return not name.startswith("webhook") and any(word in name for word in _CREDENTIAL_WORDS)


class DatabaseTokenStore:
    """The TokenStore of one connection, by its `token_key`."""

    def __init__(self, database: Database, keyring: Keyring, key: str) -> None:
        self._database = database
        self._keyring = keyring
        self._key = key

    async def load(self) -> Tokens | None:
        """The newest tokens, None where none were saved yet or they were dropped."""
        async with self._database.read() as connection:
            result = await connection.execute(select(tokens_table).where(tokens_table.c.connection == self._key))
            row = result.mappings().one_or_none()
        if row is None or bytes(row["sealed"]) == _DROPPED:
            return None
        opened = orjson.loads(self._keyring.open(bytes(row["sealed"])))
        return Tokens(
            access_token=opened["access_token"],
            refresh_token=opened["refresh_token"],
            expires_at=from_ms(row["expires_at"]),
            version=row["version"],
            endpoint=opened.get("endpoint"),
        )

    async def save(self, expected_version: int, tokens: Tokens) -> Tokens | None:
        """Commit over the expected version (0: none yet); None where another process saved first."""
        plain = orjson.dumps(
            {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token, "endpoint": tokens.endpoint}
        )
        values = {"connection": self._key, "sealed": self._keyring.seal(plain), "expires_at": to_ms(tokens.expires_at)}
        async with self._database.write() as connection:
            if expected_version == 0:
                version = await connection.scalar(_SAVE_FIRST, values)
            else:
                version = await connection.scalar(_SAVE_NEXT, {**values, "expected": expected_version})
        return None if version is None else replace(tokens, version=int(version))


async def drop_tokens(connection: AsyncConnection, name: str, *, kept: str = "") -> None:
    """Forget a connection's tokens because its section changed; versions go on, so that no late save revives them.

    `kept` is the key of the new settings: what was gained with them already may be a rotated token, of which there is no other.
    """
    await connection.execute(_DROP, {"name": name, "start": f"{name}{_KEY_MARK}", "kept": kept})
