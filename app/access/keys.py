"""Keys of the API: what each may do, and whether one that was shown is good (pure). They are stored hashed, and shown once."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

BEARER = "bearer"
KEY_MARK = "llk_"
PREFIX_LENGTH = 12
_SECRET_BYTES = 32


class KeyRole(StrEnum):
    """What a key may do: look (viewer), run the business (operator), change who may (admin); each also what those before may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: "KeyRole") -> bool:
        """True where this role suffices."""
        order = list(KeyRole)
        return order.index(self) >= order.index(needed)


class Admission(StrEnum):
    """Why a key is not let in. `closed`: there is no key at all, so that nobody is."""

    MISSING = "missing"
    WRONG = "wrong"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the role of the key, and how the audit log names it."""

    role: KeyRole
    name: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: its text is shown once. `prefix` names it ever after."""

    text: str = field(repr=False)

    @classmethod
    def make(cls) -> "NewKey":
        """A random key of 256 bits."""
        return cls(KEY_MARK + secrets.token_hex(_SECRET_BYTES))

    @property
    def prefix(self) -> str:
        """What of it may be shown."""
        return self.text[:PREFIX_LENGTH]

    @property
    def digest(self) -> bytes:
        """What is stored of it."""
        return digest_of(self.text)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is stored; instants are aware UTC."""

    id: int
    prefix: str
    role: KeyRole
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def bearer_of(authorization: str | None) -> str | None:
    """The key of an Authorization header, None where it holds none."""
    scheme, _, given = (authorization or "").partition(" ")
    return given.strip() or None if scheme.lower() == BEARER else None


def is_environments(key: str | None, given: str) -> bool:
    """True where `given` is the text of LEADLOOP_API_KEY. Blanks around that are the file's it came from; blank is not set."""
    text = (key or "").strip()
    return bool(text) and hmac.compare_digest(digest_of(given), digest_of(text))


def digest_of(text: str) -> bytes:
    """SHA-256: a key has 256 random bits, so that nothing slower is needed, and equal lengths tell nothing."""
    return hashlib.sha256(text.encode()).digest()
