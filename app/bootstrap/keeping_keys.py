"""Keys of the API: made, listed, revoked, and judged at the door; each change is in the audit log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.access import repository as access
from app.access.keys import Admission, Caller, KeyRole, NewKey, StoredKey, bearer_of, digest_of, is_environments
from app.db.instants import to_ms
from app.db.session import Database

ENVIRONMENT = "LEADLOOP_API_KEY"
LONGEST_LIFE = timedelta(days=3660)


class KeyRefused(Exception):
    """Why a key is not made or revoked, for the person who asks."""


@dataclass(frozen=True, slots=True)
class Keys:
    """`environments` is the text of LEADLOOP_API_KEY: the admin's, who makes the others."""

    database: Database
    clock: Callable[[], datetime]
    environments: str | None = None

    async def admit(self, authorization: str | None) -> Caller | Admission:
        """Who shows this Authorization header, or why nobody is let in by it."""
        given = bearer_of(authorization)
        if given is not None and is_environments(self.environments, given):
            return Caller(KeyRole.ADMIN, "key of the environment")
        now = self.clock()
        async with self.database.read() as connection:
            key = None if given is None else await access.key_of(connection, digest_of(given))
            is_closed = key is None and not (self.environments or "").strip() and not await access.has_keys(connection)
        if is_closed:
            return Admission.CLOSED
        if given is None:
            return Admission.MISSING
        if key is None or not key.is_good(now):
            return Admission.WRONG
        if key.last_used_at is None or now - key.last_used_at >= access.USED_EVERY:
            async with self.database.write() as writing:
                await access.note_use(writing, key, now)
        return Caller(key.role, f"key {key.prefix}")

    async def create(self, role: KeyRole, expires_at: datetime | None, *, actor: str) -> tuple[NewKey, StoredKey]:
        """Make a key; its text exists nowhere else from now on."""
        now = self.clock()
        if expires_at is not None and not now < expires_at <= now + LONGEST_LIFE:
            raise KeyRefused("a key expires in the future, in ten years at the latest; without a date it does not")
        made = NewKey.make()
        async with self.database.write() as connection:
            stored = await access.add_key(connection, made, role, expires_at, now)
            detail = {"role": role.value, "expires_at": None if expires_at is None else expires_at.isoformat()}
            await access.add_audit(
                connection, actor=actor, action="key.create", subject=stored.prefix, detail=detail, now_ms=to_ms(now)
            )
        return made, stored

    async def list(self) -> Sequence[StoredKey]:
        """Every key, newest first; what was revoked too."""
        async with self.database.read() as connection:
            return await access.list_keys(connection)

    async def revoke(self, prefix: str, *, actor: str) -> StoredKey:
        """From now on it opens nothing. Revoking twice changes nothing."""
        now = self.clock()
        async with self.database.write() as connection:
            known = {one.prefix: one for one in await access.list_keys(connection)}
            key = known.get(prefix)
            if key is None:
                raise KeyRefused(f"there is no key `{prefix}`; known are: {', '.join(known) or 'none'}")
            if key.revoked_at is None:
                await access.revoke_key(connection, key.id, now)
                await access.add_audit(connection, actor=actor, action="key.revoke", subject=prefix, detail={}, now_ms=to_ms(now))
        return key
