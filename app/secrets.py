"""Sealing at rest (AES-GCM, key id in front) and keyed fingerprints. Keys and what they seal never show in a repr."""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KEY_BYTES = 32
KEY_ID_BYTES = 4
NONCE_BYTES = 12
TAG_BYTES = 16
FINGERPRINT_BYTES = 16
FINGERPRINT_KEY_NAME = "fingerprint_key"


class SecretsUnreadable(Exception):
    """What was sealed cannot be opened with the keys at hand. The message names no content."""


class Transactions(Protocol):
    """What is needed of the database here."""

    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A writing transaction."""
        ...


def derive_key(secret_text: str) -> bytes:
    """The 32-byte sealing key of one text of LEADLOOP_SECRET_KEY."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"leadloop.seal.v1").derive(secret_text.encode())


class Keyring:
    """Seals with its first key, opens with any of them: for rotation put the new key first and keep the old one."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("a keyring needs at least one key")
        if any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"each key has {KEY_BYTES} bytes; derive it with derive_key()")
        self._ciphers = {_key_id(key): AESGCM(key) for key in reversed(keys)}
        self._first_id = _key_id(keys[0])
        self._first = self._ciphers[self._first_id]

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> "Keyring":
        """The keyring of the texts of LEADLOOP_SECRET_KEY, the newest first."""
        return cls([derive_key(secret_text) for secret_text in texts])

    def __repr__(self) -> str:
        return f"Keyring({len(self._ciphers)} keys)"

    def seal(self, plain: bytes) -> bytes:
        """Key id (4 bytes), nonce (12 bytes), AES-GCM ciphertext; the key id is authenticated too."""
        nonce = os.urandom(NONCE_BYTES)
        return self._first_id + nonce + self._first.encrypt(nonce, plain, self._first_id)

    def open(self, sealed: bytes) -> bytes:
        """The plain bytes; SecretsUnreadable where no key fits or a byte was changed."""
        if len(sealed) < KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES:
            raise SecretsUnreadable("A sealed value in the database is cut short; restore it from a backup.")
        key_id, rest = sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SecretsUnreadable(
                f"The database was sealed with another secret key (key id {key_id.hex()}; at hand: {self._ids()}). "
                "Put the earlier key behind the new one in LEADLOOP_SECRET_KEY, separated by a comma."
            )
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], key_id)
        except InvalidTag as error:
            raise SecretsUnreadable("A sealed value in the database was altered; restore it from a backup.") from error

    @property
    def newest_id(self) -> bytes:
        """The id of the key that seals; it stands in front of whatever it sealed."""
        return self._first_id

    def is_newest(self, sealed: bytes) -> bool:
        """True where the value is sealed with the first key, so that a rotation has nothing left to do for it."""
        return sealed[:KEY_ID_BYTES] == self._first_id

    def _ids(self) -> str:
        return ", ".join(sorted(key_id.hex() for key_id in self._ciphers))


class Fingerprints:
    """Keyed fingerprints: equal texts of one kind give equal bytes, and nobody without the key can guess the text."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a fingerprint key has {KEY_BYTES} bytes")
        self._key = key

    def __repr__(self) -> str:
        return "Fingerprints()"

    def of(self, kind: str, text: str) -> bytes:
        """The 16-byte HMAC of a text; the kind (`email`, `phone`, ...) keeps kinds apart."""
        return hmac.digest(self._key, f"{kind}\0{text}".encode(), "sha256")[:FINGERPRINT_BYTES]


async def load_fingerprints(database: Transactions, keyring: Keyring) -> Fingerprints:
    """The database's own fingerprint key: made by whoever comes first, re-sealed when the secret key was rotated."""
    made = _to_text(keyring.seal(os.urandom(KEY_BYTES)))
    async with database.write() as connection:
        await connection.execute(
            text("INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING"),
            {"name": FINGERPRINT_KEY_NAME, "value": made},
        )
        stored = await connection.scalar(text("SELECT value FROM settings WHERE name = :name"), {"name": FINGERPRINT_KEY_NAME})
        sealed = base64.b64decode(str(stored))
        key = keyring.open(sealed)
        if not keyring.is_newest(sealed):
            await connection.execute(
                text("UPDATE settings SET value = :value WHERE name = :name"),
                {"name": FINGERPRINT_KEY_NAME, "value": _to_text(keyring.seal(key))},
            )
    return Fingerprints(key)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"leadloop.key-id.v1" + key).digest()[:KEY_ID_BYTES]


def _to_text(sealed: bytes) -> str:
    return base64.b64encode(sealed).decode()
