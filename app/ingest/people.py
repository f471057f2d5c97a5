"""Raw personal data in, sealed identity out. Nothing raw leaves this module but inside a seal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from app.privacy.marks import Mark, Marks
from app.secrets import Fingerprints, Keyring, SecretsUnreadable
from connectors.contract.conversions import Identifier, bit_mask
from connectors.identity import HashedIdentity, IdentifierProblem, RawIdentity, identify, normalise_email

_KNOWN = frozenset(map(str, Identifier))


@dataclass(frozen=True, slots=True)
class SealedPerson:
    """What is stored of a person: a bit mask of identifiers, the sealed identifiers, and keyed fingerprints to compare by.

    `marks` are by what a tombstone would know the person; they are compared, not stored.
    """

    has: int
    sealed: bytes = field(repr=False)
    raw_key: bytes = field(repr=False)
    email_key: bytes | None = field(repr=False)
    phone_key: bytes | None = field(repr=False)
    identifiers: frozenset[Identifier] = frozenset()
    marks: frozenset[Mark] = frozenset()


class People:
    """Hashes and seals people; the fingerprints are keyed, so that no bare hash of an e-mail is ever stored."""

    def __init__(self, keyring: Keyring, fingerprints: Fingerprints) -> None:
        self.keyring = keyring
        self._fingerprints = fingerprints
        self.marks = Marks(fingerprints)

    def raw_key(self, raw: RawIdentity) -> bytes:
        """A fingerprint of everything that identify() reads: where it is unchanged nothing is hashed again."""
        return self._fingerprints.of("raw", repr_of(raw))

    def seal(self, raw: RawIdentity, raw_key: bytes) -> SealedPerson:
        """Normalise, hash and seal one person."""
        hashed = identify(raw)
        email_keys = self._email_keys(raw.email)
        phone_key = self._phone_key(hashed)
        return SealedPerson(
            has=bit_mask(hashed.identifiers),
            sealed=self.keyring.seal(orjson.dumps({str(name): value for name, value in hashed.identifiers.items()})),
            raw_key=raw_key,
            email_key=next(iter(email_keys), None),
            phone_key=phone_key,
            identifiers=frozenset(hashed.identifiers),
            marks=self._marks_of(email_keys, phone_key, hashed.identifiers),
        )

    def identifiers_in(self, sealed: bytes) -> dict[Identifier, str]:
        """What a stored identity holds."""
        opened = orjson.loads(self.keyring.open(sealed))
        return {Identifier(name): value for name, value in opened.items() if name in _KNOWN}

    def identifiers_if_readable(self, sealed: bytes) -> dict[Identifier, str]:
        """As `identifiers_in`; nothing where its key is lost, so that nobody can read it any more."""
        try:
            return self.identifiers_in(sealed)
        except SecretsUnreadable:
            return {}

    def email_key(self, candidates: Sequence[str]) -> bytes | None:
        """The fingerprint of the first valid e-mail: trimmed and lower-cased, without gmail folding."""
        return next(iter(self._email_keys(candidates)), None)

    def phone_key(self, phone: str, country: str | None) -> bytes | None:
        """The fingerprint of a phone, None where it is not valid; `country` (ISO alpha-2) reads a national number."""
        return self._phone_key(identify(RawIdentity(phone=(phone,), default_country=country)))

    def every_email_mark(self, candidates: Sequence[str]) -> frozenset[Mark]:
        """The marks of all valid e-mails, by whichever of them the person may come back."""
        return frozenset(map(self.marks.of_email, self._email_keys(candidates)))

    def _email_keys(self, candidates: Sequence[str]) -> list[bytes]:
        found = (normalise_email(candidate) for candidate in candidates)
        return [self._fingerprints.of("email", email) for email in found if not isinstance(email, IdentifierProblem)]

    def _marks_of(
        self, email_keys: Sequence[bytes], phone_key: bytes | None, identifiers: Mapping[Identifier, str]
    ) -> frozenset[Mark]:
        """A phone counts only where no e-mail is told: colleagues share one, and who has another e-mail is another person."""
        by_phone = [self.marks.of_phone(phone_key)] if phone_key is not None and not email_keys else []
        return frozenset((*map(self.marks.of_email, email_keys), *by_phone, *self.marks.of_identifiers(identifiers)))

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
