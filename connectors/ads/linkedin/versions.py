"""When each version of LinkedIn's Marketing APIs is switched off (versioning page, 2026-11): monthly, a year or more each."""

from collections.abc import Mapping
from datetime import date

API = "LinkedIn Marketing APIs"
API_VERSION = "202608"

SUNSETS: Mapping[str, date] = {
    "202511": date(2026, 11, 16),
    "202601": date(2027, 1, 15),
    "202602": date(2027, 2, 15),
    "202603": date(2027, 3, 16),
    "202604": date(2027, 4, 15),
    "202605": date(2027, 5, 15),
    "202606": date(2027, 6, 15),
    "202607": date(2027, 7, 15),
    # "About August": a year after its month, as its neighbours.
    "202608": date(2027, 8, 15),
}


def sunset_of(version: str) -> date | None:
    """The day on which a version is off; an older one than we list is off already, a newer one lives a year at least."""
    if version in SUNSETS:
        return SUNSETS[version]
    oldest = min(SUNSETS)
    return SUNSETS[oldest] if version < oldest else None
