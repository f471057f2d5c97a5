"""Text as every identifier needs it: composed, without invisible characters, within a length; and its hash."""

import hashlib
import re
import unicodedata
from enum import StrEnum

# Soft hyphen, joiners, direction marks, variation selectors, fillers, tags, byte order mark.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_LINE = re.compile("[\t\n\r\u0085\u2028\u2029]")
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]")


class IdentifierProblem(StrEnum):
    """Why a candidate gives no identifier."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    INVALID = "invalid"
    NO_COUNTRY = "no_country"
    NO_CLICK_TIME = "no_click_time"


def clean(text: str, longest: int) -> str | IdentifierProblem:
    """NFC without invisible characters, trimmed; a problem where it is empty, too long or holds control characters."""
    text = text.strip()
    if not (text.isascii() and text.isprintable()):
        # A text may be this much longer before composition, not more: what comes is hostile or no identifier.
        if len(text) > longest * 4:
            return IdentifierProblem.TOO_LONG
        text = _LINE.sub(" ", _INVISIBLE.sub("", text))
        if _UNUSABLE.search(text):
            return IdentifierProblem.INVALID
        text = unicodedata.normalize("NFC", text).strip()
    if not text:
        return IdentifierProblem.EMPTY
    return text if len(text) <= longest else IdentifierProblem.TOO_LONG


def lower(text: str) -> str:
    """Lower case, still NFC."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.lower())


def without_marks(text: str) -> str:
    """Punctuation and symbols taken out; letters keep their accents."""
    if text.isalpha():
        return text
    return "".join(letter for letter in text if unicodedata.category(letter)[0] not in "PS")


def sha256(text: str) -> str:
    """Lower-case hex SHA-256 of the text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
