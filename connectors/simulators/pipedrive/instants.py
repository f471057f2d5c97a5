"""Instants as Pipedrive writes them; inside they are epoch milliseconds."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1000
DAY = 86_400 * SECOND
_MILLISECOND = timedelta(milliseconds=1)


def millis(at: datetime) -> int:
    """Epoch milliseconds of an aware instant, cut."""
    if at.tzinfo is None:
        raise ValueError("an instant of the simulated company needs a time zone")
    return (at - EPOCH) // _MILLISECOND


def instant(at_ms: int) -> datetime:
    """The aware instant of epoch milliseconds."""
    return EPOCH + timedelta(milliseconds=at_ms)


def rfc3339(at_ms: int) -> str:
    """`2026-01-31T08:15:30Z`, as API v2 writes."""
    return instant(at_ms).isoformat(timespec="seconds")[:19] + "Z"


def iso_millis(at_ms: int) -> str:
    """`2026-01-31T08:15:30.123Z`, as leads and webhooks are written."""
    return instant(at_ms).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def text_time(at_ms: int) -> str:
    """`2026-01-31 08:15:30` meaning UTC, as API v1 writes."""
    return instant(at_ms).isoformat(" ", timespec="seconds")[:19]


def local_date(at_ms: int, zone: ZoneInfo) -> str:
    """The date on the company's own calendar."""
    return instant(at_ms).astimezone(zone).date().isoformat()


def parse_rfc3339(text: str) -> int:
    """Epoch milliseconds of `2026-01-31T08:15:30Z`; ValueError for other forms, also for one without zone."""
    if "T" not in text:
        raise ValueError(text)
    return millis(datetime.fromisoformat(text))
