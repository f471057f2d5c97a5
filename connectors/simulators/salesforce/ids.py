"""Record ids: 15 characters that tell upper from lower case, and 3 more that say which of them are upper."""

from functools import lru_cache

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # in the order in which ids are sorted
_PAIRS = tuple(one + other for one in _DIGITS for other in _DIGITS)
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_POD = "5f0000"
SHORT = 15
LONG = 18


def make_id(prefix: str, number: int) -> str:
    """The 18-character id of the nth record of an object (`prefix` is its first three characters)."""
    rest, low = divmod(number, len(_PAIRS))
    high, middle = divmod(rest, len(_PAIRS))
    short = f"{prefix}{_POD}{_PAIRS[high]}{_PAIRS[middle]}{_PAIRS[low]}"
    return short + _check(short)


def long_id(text: str) -> str:
    """An id of 15 or 18 characters as 18; ValueError for text that is no id or whose suffix does not fit."""
    if len(text) not in (SHORT, LONG) or not text.isascii() or not text.isalnum():
        raise ValueError(f"invalid ID: {len(text)} characters")
    short = text[:SHORT]
    check = _check(short)
    if len(text) == LONG:
        if text[SHORT:].upper() != check:
            raise ValueError("invalid ID: its last three characters do not fit")
        if text[SHORT:] == check:
            return text
    return short + check


def _check(short: str) -> str:
    return _letter(short[:5]) + _letter(short[5:10]) + _letter(short[10:])


@lru_cache(maxsize=100_000)
def _letter(chunk: str) -> str:
    return _SUFFIX[sum(1 << place for place, one in enumerate(chunk) if "A" <= one <= "Z")]
