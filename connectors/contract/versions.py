"""Versions of vendors' APIs and the day on which each is switched off."""

from dataclasses import dataclass
from datetime import date, timedelta

WARNS_BEFORE = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """One API in use. `sunset`: its last day is before this one, None where the vendor has named none (or we know of none)."""

    api: str
    version: str
    sunset: date | None = None

    def warns(self, today: date) -> bool:
        """True from 60 days before the sunset on."""
        return self.sunset is not None and today >= self.sunset - WARNS_BEFORE

    def is_over(self, today: date) -> bool:
        """True from the sunset on."""
        return self.sunset is not None and today >= self.sunset
