"""How much of its allowance Meta says is used, and how long to stay away before it throttles (pure)."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from connectors.ads.meta.errors import LONGEST_PAUSE, THROTTLE_PAUSE
from connectors.upload.json_values import as_list, as_object, as_whole, parsed

# From here on Meta may throttle at any time.
ENOUGH_PERCENT = 80

_BUSINESS_HEADERS = ("x-business-use-case-usage", "x-business-use-case")
_PERCENTS = ("call_count", "total_time", "total_cputime", "acc_id_util_pct")
# In minutes. Meta's page names no unit; its examples fit minutes only.
_REGAIN = "estimated_time_to_regain_access"


def pause_asked(headers: Mapping[str, str]) -> timedelta | None:
    """How long to stay away by the usage headers of a reply, None where there is room. Header names are lower case."""
    found = list(_rows(headers))
    regain = regain_of(headers)
    if regain is not None:
        return regain
    used = max((_percent(row.get(name)) for row in found for name in _PERCENTS), default=0.0)
    return THROTTLE_PAUSE if used >= ENOUGH_PERCENT else None


def regain_of(headers: Mapping[str, str]) -> timedelta | None:
    """When Meta says that access comes back, None where it does not say."""
    minutes = max((as_whole(row.get(_REGAIN)) or 0 for row in _rows(headers)), default=0)
    return min(timedelta(minutes=min(minutes, 10**6)), LONGEST_PAUSE) if minutes > 0 else None


def _rows(headers: Mapping[str, str]) -> Iterator[Mapping[str, object]]:
    for name in ("x-app-usage", "x-ad-account-usage"):
        yield as_object(parsed(headers.get(name, "")))
    for name in _BUSINESS_HEADERS:
        for rows in as_object(parsed(headers.get(name, ""))).values():
            yield from (as_object(row) for row in as_list(rows))


def _percent(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
