"""When each version of Meta's Graph API is switched off (changelog, 2026-11)."""

from collections.abc import Mapping
from datetime import date

API = "Meta Graph API"
ADS_API = "Meta Marketing API"
API_VERSION = "v26.0"

# The Conversions API follows the Graph API: two years or more. Other edges (insights) live about a year.
SUNSETS: Mapping[str, date] = {
    "v20.0": date(2026, 9, 24),
    "v21.0": date(2027, 1, 21),
    "v22.0": date(2027, 5, 20),
    "v23.0": date(2027, 10, 8),
    "v24.0": date(2028, 2, 18),
    "v25.0": date(2028, 7, 29),
}


def sunset_of(version: str) -> date | None:
    """The day on which a version is off; an older one than we list is off already, of a newer one none is named yet."""
    if version in SUNSETS:
        return SUNSETS[version]
    number = version.removeprefix("v").partition(".")[0]
    is_older = number.isdigit() and int(number) < min(int(one[1:].partition(".")[0]) for one in SUNSETS)
    return SUNSETS["v20.0"] if is_older else None
