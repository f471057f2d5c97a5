"""UTC days as numbers and as bounds of instants (pure): a span of days includes its last."""

from datetime import date, timedelta

DAY_MS = 86_400_000
EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Days since 1970: what an instant in milliseconds is divided to."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    """The day of its number."""
    return EPOCH + timedelta(days=number)


def bounds_of(since: date | None, until: date | None) -> tuple[int | None, int | None]:
    """A span of days as instants in milliseconds, the end excluded; None is open."""
    first = None if since is None else day_number(since) * DAY_MS
    end = None if until is None else (day_number(until) + 1) * DAY_MS
    return first, end
