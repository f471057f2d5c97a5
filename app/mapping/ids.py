"""The conversion's id: deterministic, never numeric, no CRM id readable in it (pure)."""

import hashlib
from collections.abc import Iterable

ID_LENGTH = 28
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = tuple(one + other for one in _ALPHABET for other in _ALPHABET)
_TAKEN_BITS = 5 * (ID_LENGTH - 2)


def conversion_uid(account_ref: str, scope_kind: str, scope_ref: str, milestone: str, occurrence: int) -> str:
    """`ll` and base32 of the SHA-256 of the parts joined by `|`, lower case, 28 characters."""
    text = "|".join((account_ref, scope_kind, scope_ref, milestone, str(occurrence)))
    head = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") >> (256 - _TAKEN_BITS)
    return "ll" + "".join([_PAIRS[head >> shift & 1023] for shift in range(_TAKEN_BITS - 10, -1, -10)])


def smallest_ref(refs: Iterable[str]) -> str:
    """The smallest ref by length, then by text: what a scope is called when it is first made."""
    return min(refs, key=lambda ref: (len(ref), ref))
