"""Instants: aware UTC datetimes in code, epoch milliseconds in the database."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(at: datetime) -> int:
    """Epoch milliseconds of an aware datetime, exact (no float)."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    """Aware UTC datetime of epoch milliseconds."""
    return EPOCH + timedelta(milliseconds=ms)


def optional_ms(at: datetime | None) -> int | None:
    """As `to_ms`, None stays None."""
    return None if at is None else to_ms(at)


def optional_from_ms(ms: int | None) -> datetime | None:
    """As `from_ms`, None stays None."""
    return None if ms is None else from_ms(ms)
