"""Raw personal data in, sealed identity out. Nothing raw leaves this module but inside a seal."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from app.secrets import Fingerprints, Keyring
from connectors.contract.conversions import Identifier, bit_mask
from connectors.identity import HashedIdentity, IdentifierProblem, RawIdentity, identify, normalise_email


@dataclass(frozen=True, slots=True)
class SealedPerson:
    """What is stored of a person: a bit mask of identifiers, the sealed identifiers, and keyed fingerprints to compare by."""

    has: int
    sealed: bytes = field(repr=False)
    raw_key: bytes = field(repr=False)
    email_key: bytes | None = field(repr=False)
    phone_key: bytes | None = field(repr=False)
    identifiers: frozenset[Identifier] = frozenset()


class People:
    """Hashes and seals people; the fingerprints are keyed, so that no bare hash of an e-mail is ever stored."""

    def __init__(self, keyring: Keyring, fingerprints: Fingerprints) -> None:
        self._keyring = keyring
        self._fingerprints = fingerprints

    def raw_key(self, raw: RawIdentity) -> bytes:
        """A fingerprint of everything that identify() reads: where it is unchanged nothing is hashed again."""
        return self._fingerprints.of("raw", repr_of(raw))

    def seal(self, raw: RawIdentity, raw_key: bytes) -> SealedPerson:
        """Normalise, hash and seal one person."""
        hashed = identify(raw)
        return SealedPerson(
            has=bit_mask(hashed.identifiers),
            sealed=self._keyring.seal(orjson.dumps({str(name): value for name, value in hashed.identifiers.items()})),
            raw_key=raw_key,
            email_key=self.email_key(raw.email),
            phone_key=self._phone_key(hashed),
            identifiers=frozenset(hashed.identifiers),
        )

    def email_key(self, candidates: Sequence[str]) -> bytes | None:
        """The fingerprint of the first valid e-mail: trimmed and lower-cased, without gmail folding."""
        for candidate in candidates:
            email = normalise_email(candidate)
            if not isinstance(email, IdentifierProblem):
                return self._fingerprints.of("email", email)
        return None

    def phone_key(self, phone: str, country: str | None) -> bytes | None:
        """The fingerprint of a phone, None where it is not valid; `country` (ISO alpha-2) reads a national number."""
        return self._phone_key(identify(RawIdentity(phone=(phone,), default_country=country)))

    def _phone_key(self, hashed: HashedIdentity) -> bytes | None:
        phone = hashed.identifiers.get(Identifier.PHONE_SHA256)
        return None if phone is None else self._fingerprints.of("phone", phone)


def repr_of(raw: RawIdentity) -> str:
    """All that identify() reads, as one text for fingerprinting (never logged, never stored)."""
    values: dict[str, object] = {}
    for name in RawIdentity.__dataclass_fields__:
        value = getattr(raw, name)
        values[name] = value.isoformat() if isinstance(value, datetime) else value
    return orjson.dumps(values, default=str).decode()
