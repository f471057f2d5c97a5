"""Instants as Salesforce writes and reads them; inside they are epoch milliseconds."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LITERAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)")


def millis(at: datetime) -> int:
    """Epoch milliseconds of an aware instant, cut."""
    if at.tzinfo is None:
        raise ValueError("an instant of the simulated org needs a time zone")
    return (at - EPOCH) // _MILLISECOND


def moment(at_ms: int) -> datetime:
    """The aware instant, in UTC."""
    return EPOCH + timedelta(milliseconds=at_ms)


@lru_cache(maxsize=10_000)
def rest_text(at_ms: int) -> str:
    """`2026-11-22T10:00:00.000+0000`, as REST writes it."""
    return moment(at_ms).replace(tzinfo=None).isoformat(timespec="milliseconds") + "+0000"


def parse_instant(text: str) -> int:
    """Epoch milliseconds of a dateTime as queries, parameters and bodies may hold it; ValueError for other text."""
    if not _LITERAL.fullmatch(text):
        raise ValueError("no dateTime")
    return millis(datetime.fromisoformat(text))
