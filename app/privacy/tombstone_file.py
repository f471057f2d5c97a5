"""Tombstones as a file: one JSON object a line, between a head that names the key and a foot that counts the lines (pure)."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import orjson

from app.db.instants import from_ms, to_ms
from app.privacy.marks import Mark, MarkKind

FORMAT = "leadloop tombstones 1"
HMAC_BYTES = 16


class TombstonesRefused(Exception):
    """A file that cannot be taken; the message says which line and what to do. Nothing of it was stored."""


def write_lines(stones: Iterable[tuple[Mark, int]]) -> Iterator[bytes]:
    """A line a tombstone."""
    for mark, at in stones:
        one = {"kind": mark.kind.value, "hmac": mark.hmac.hex(), "forgotten_at": from_ms(at).isoformat()}
        yield orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE)


def head_line(key_check: str, now: datetime) -> bytes:
    """The first line."""
    head = {"format": FORMAT, "key_check": key_check, "exported_at": now.astimezone(UTC).isoformat()}
    return orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE)


def foot_line(count: int) -> bytes:
    """The last line, by which a file that was cut off is known."""
    return orjson.dumps({"end": count}, option=orjson.OPT_APPEND_NEWLINE)


def read_lines(lines: Iterable[bytes], key_check: str) -> Iterator[tuple[Mark, int]]:
    """The tombstones of a file; TombstonesRefused where it is another file, of another key, damaged or cut off."""
    seen, ended = 0, False
    for number, line in enumerate(lines, 1):
        value = _object(line, number)
        if number == 1:
            _check_head(value, key_check)
        elif "end" in value:
            ended = value["end"] == seen
            break
        else:
            yield _stone(value, number)
            seen += 1
    if not ended:
        raise TombstonesRefused("the file is cut off: its last line does not count what it holds; export it again")


def _object(line: bytes, number: int) -> dict[str, object]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise TombstonesRefused(f"line {number} is no JSON object: is this a file of `leadloop privacy tombstones export`?")
    return value


def _check_head(value: dict[str, object], key_check: str) -> None:
    if value.get("format") != FORMAT:
        raise TombstonesRefused(f"line 1 does not say `{FORMAT}`: is this a file of `leadloop privacy tombstones export`?")
    if value.get("key_check") != key_check:
        raise TombstonesRefused(
            "the file is of another database: its tombstones are keyed with that one's fingerprint key and would bar nobody "
            "here; import it into a backup of the database that it was exported from"
        )


def _stone(value: dict[str, object], number: int) -> tuple[Mark, int]:
    try:
        mark = Mark(MarkKind(str(value["kind"])), bytes.fromhex(str(value["hmac"])))
        at = datetime.fromisoformat(str(value["forgotten_at"]))
    except (KeyError, ValueError):
        raise TombstonesRefused(f"line {number} is no tombstone; export the file again") from None
    if len(mark.hmac) != HMAC_BYTES or at.tzinfo is None:
        raise TombstonesRefused(f"line {number} is no tombstone; export the file again")
    return mark, to_ms(at)
