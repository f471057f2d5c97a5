"""Google's API versions and what is known of their last days (deprecations pages, 2026-11)."""

from collections.abc import Mapping
from datetime import date

DATA_MANAGER = "Google Data Manager API"
ADS = "Google Ads API"
DATA_MANAGER_VERSION = "v1"
ADS_VERSION = "v26"

# A major version of the Google Ads API lives about a year; Google names the day some months before. Those before v23 are off.
ADS_SUNSETS: Mapping[str, date] = {"v21": date(2026, 8, 5)}
OLDEST_LIVING = 23


def ads_sunset(version: str) -> date | None:
    """The day on which a version of the Google Ads API is off, None where none is named yet."""
    number = version.removeprefix("v").partition("_")[0]
    if version in ADS_SUNSETS or not number.isdigit() or int(number) >= OLDEST_LIVING:
        return ADS_SUNSETS.get(version)
    return ADS_SUNSETS["v21"]
