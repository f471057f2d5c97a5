"""Cursors of lists: the key of a page's last row as opaque text."""

import base64
import binascii
from collections.abc import Sequence

import orjson

LONGEST_CURSOR = 2_000
LARGEST = 2**63
NUL = "\0"


class CursorInvalid(Exception):
    """A cursor that this list did not give out."""


def write_cursor(key: Sequence[int | str]) -> str:
    """A key as opaque text."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def read_cursor(text: str, parts: int) -> tuple[int, ...]:
    """The numbers of a cursor; CursorInvalid where it is none of this list."""
    key = _parts(text, parts)
    if not all(type(part) is int and 0 <= part < LARGEST for part in key):
        raise CursorInvalid
    return tuple(int(str(part)) for part in key)


def read_words(text: str) -> tuple[str, str, str]:
    """The three texts of a cursor; CursorInvalid where it is none of this list."""
    key = _parts(text, 3)
    if not all(isinstance(part, str) and NUL not in part for part in key):
        raise CursorInvalid
    first, second, third = map(str, key)
    return first, second, third


def _parts(text: str, parts: int) -> Sequence[object]:
    try:
        if len(text) > LONGEST_CURSOR:
            raise CursorInvalid
        key = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError) as error:
        raise CursorInvalid from error
    if not isinstance(key, list) or len(key) != parts:
        raise CursorInvalid
    return key
