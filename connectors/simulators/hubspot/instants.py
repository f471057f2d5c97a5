"""Instants as HubSpot writes and reads them: epoch milliseconds, and ISO-8601 text in UTC with milliseconds."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def millis(at: datetime) -> int:
    """Epoch milliseconds of an aware instant, cut."""
    if at.tzinfo is None:
        raise ValueError("an instant of the simulated portal needs a time zone")
    return (at - EPOCH) // _MILLISECOND


def iso(at_ms: int) -> str:
    """`2026-01-31T08:15:30.123Z`."""
    return (EPOCH + timedelta(milliseconds=at_ms)).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_millis(text: str) -> int:
    """Epoch milliseconds out of epoch-millisecond text or ISO-8601 text (a bare date is midnight UTC)."""
    if text.lstrip("-").isdigit():
        return int(text)
    at = datetime.fromisoformat(text)
    return millis(at if at.tzinfo else at.replace(tzinfo=UTC))
