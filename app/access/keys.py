"""The admin key of the environment: compared in constant time, never stored, never shown (pure)."""

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum

BEARER = "bearer"


class Admission(StrEnum):
    """What came of a key. `closed`: no key is set, so that nobody is let in."""

    ADMIN = "admin"
    MISSING = "missing"
    WRONG = "wrong"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class AdminKey:
    """The text of LEADLOOP_API_KEY, None where it is not set. Blanks around it are the file's it came from; blank is not set."""

    text: str | None = field(repr=False)

    def admit(self, authorization: str | None) -> Admission:
        """Judge an Authorization header."""
        key = (self.text or "").strip()
        if not key:
            return Admission.CLOSED
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != BEARER or not given.strip():
            return Admission.MISSING
        return Admission.ADMIN if hmac.compare_digest(_digest(given.strip()), _digest(key)) else Admission.WRONG


def _digest(text: str) -> bytes:
    """Equal lengths, so that the comparison does not tell how long the key is."""
    return hashlib.sha256(text.encode()).digest()
