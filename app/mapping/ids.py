"""The conversion's id: deterministic, never numeric, no CRM id readable in it (pure)."""

import base64
import hashlib
from collections.abc import Iterable

ID_LENGTH = 28


def conversion_uid(account_ref: str, scope_kind: str, scope_ref: str, milestone: str, occurrence: int) -> str:
    """`ll` and base32 of the SHA-256 of the parts joined by `|`, lower case, 28 characters."""
    text = "|".join((account_ref, scope_kind, scope_ref, milestone, str(occurrence)))
    digest = hashlib.sha256(text.encode()).digest()
    return ("ll" + base64.b32encode(digest).decode().lower())[:ID_LENGTH]


def smallest_ref(refs: Iterable[str]) -> str:
    """The smallest ref by length, then by text: what a scope is called when it is first made."""
    return min(refs, key=lambda ref: (len(ref), ref))
