"""Record ids: 15 characters that tell upper from lower case, and 3 more that say which of them are upper."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # in the order in which ids are sorted
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_POD = "5f0000"
SHORT = 15
LONG = 18


def make_id(prefix: str, number: int) -> str:
    """The 18-character id of the nth record of an object (`prefix` is its first three characters)."""
    digits = ""
    for _ in range(SHORT - len(prefix) - len(_POD)):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return long_id(f"{prefix}{_POD}{digits}")


def long_id(text: str) -> str:
    """An id of 15 or 18 characters as 18; ValueError for text that is no id or whose suffix does not fit."""
    if len(text) not in (SHORT, LONG) or not text.isascii() or not text.isalnum():
        raise ValueError(f"invalid ID: {len(text)} characters")
    whole = text[:SHORT] + _suffix(text[:SHORT])
    if len(text) == LONG and text[SHORT:].upper() != whole[SHORT:]:
        raise ValueError("invalid ID: its last three characters do not fit")
    return whole


def _suffix(short: str) -> str:
    chunks = (short[start : start + 5] for start in range(0, SHORT, 5))
    return "".join(_SUFFIX[sum(1 << place for place, one in enumerate(chunk) if "A" <= one <= "Z")] for chunk in chunks)
