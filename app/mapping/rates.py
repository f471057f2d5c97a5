"""Dated currency rates (pure): the newest within seven days before the day asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

OLDEST = timedelta(days=7)
MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class DatedRate:
    """What one of `base` cost in `quote` on a day, in millionths."""

    day: date
    base: str
    quote: str
    rate: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it one rate."""
        return self.day.isoformat(), self.base, self.quote


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates by (day, base, quote), in millionths."""

    by_day: Mapping[tuple[date, str, str], int] = field(default_factory=dict)
    version: int = 0

    def find(self, day: date, base: str, quote: str) -> int | None:
        """Millionths of `quote` for one `base`, also from the rate the other way round; None where none is near enough."""
        if base == quote:
            return MILLIONTHS
        for back in range(OLDEST.days + 1):
            on = day - timedelta(days=back)
            rate = self.by_day.get((on, base, quote))
            if rate is not None:
                return rate
            turned = self.by_day.get((on, quote, base))
            if turned:
                return round(MILLIONTHS * MILLIONTHS / turned)
        return None

    def through(self, day: date, base: str, quote: str, between: str) -> int | None:
        """As `find`, else by way of a third currency."""
        direct = self.find(day, base, quote)
        if direct is not None:
            return direct
        there, back = self.find(day, base, between), self.find(day, between, quote)
        return None if there is None or back is None else round(there * back / MILLIONTHS)
