"""Lists and reports of the simulated account: rules, accounts, campaigns, adAnalytics."""

import re
from datetime import date, timedelta
from typing import Any
from urllib.parse import unquote

from connectors.simulators.linkedin.errors import ApiError
from connectors.simulators.linkedin.platform import LinkedInPlatform

MOST_ROWS = 15_000
DAY = r"\(year:(\d+),month:(\d+),day:(\d+)\)"
RANGE = re.compile(rf"\(start:{DAY},end:{DAY}\)")
FIELDS = frozenset({"pivotValues", "dateRange", "costInLocalCurrency", "costInUsd", "impressions", "clicks"})

Query = dict[str, str]


def rules(platform: LinkedInPlatform, query: Query) -> dict[str, Any]:
    """`q=account`, by start and count."""
    if query.get("q") != "account" or query.get("account") != platform.urn:
        raise ApiError(403, "No ad accounts found for the given account", "ACCESS_DENIED")
    start, count = int(query.get("start", "0")), min(int(query.get("count", "10")), 100)
    every = [platform.rules[rule] for rule in sorted(platform.rules, key=int)]
    return {"elements": every[start : start + count], "paging": {"start": start, "count": count, "total": len(every)}}


def accounts(platform: LinkedInPlatform, query: Query) -> dict[str, Any]:
    """`q=search`: what the token reaches."""
    if query.get("q") != "search":
        raise ApiError(400, "q is needed")
    if not platform.static_token_reads:
        raise ApiError(403, "Not enough permissions to access: adAccounts.FINDER-search", "ACCESS_DENIED", 100)
    one = {"id": int(platform.account_id), "name": platform.name, "currency": platform.currency, "status": "ACTIVE"}
    return {"elements": [one], "metadata": {}}


def campaigns(platform: LinkedInPlatform, query: Query) -> dict[str, Any]:
    """By pageSize and pageToken."""
    size, start = min(int(query.get("pageSize", "100")), 100), int(query.get("pageToken", "0") or 0)
    every = sorted(platform.campaigns.items())
    rows = [{"id": int(campaign), "name": name, "status": "ACTIVE"} for campaign, name in every[start : start + size]]
    more = start + size < len(every)
    return {"elements": rows, "metadata": {"nextPageToken": str(start + size)} if more else {}}


def analytics(platform: LinkedInPlatform, query: Query) -> dict[str, Any]:
    """Daily rows by campaign; no page follows, and what is too much is cut without a word."""
    listed = re.fullmatch(r"List\(([^()]*)\)", query.get("accounts", ""))
    span = RANGE.fullmatch(query.get("dateRange", ""))
    if query.get("q") != "analytics" or listed is None or ":" in listed.group(1) or span is None:
        raise ApiError(400, "Invalid query parameters passed to request")
    if (query.get("pivot"), query.get("timeGranularity")) != ("CAMPAIGN", "DAILY"):
        raise ApiError(400, "Invalid pivot")
    wanted = set(query.get("fields", "impressions,clicks").split(","))
    if not wanted <= FIELDS:
        raise ApiError(400, "Invalid field")
    if unquote(listed.group(1)) != platform.urn:
        return {"elements": []}
    numbers = [int(one) for one in span.groups()]
    first, last = date(*numbers[:3]), date(*numbers[3:])
    rows = [
        _row(campaign, day, spent, wanted) for (campaign, day), spent in sorted(platform.spent.items()) if first <= day <= last
    ]
    return {"elements": rows[:MOST_ROWS], "paging": {"start": 0, "count": 10}}


def _row(campaign: str, day: date, spent: Any, wanted: set[str]) -> dict[str, Any]:
    end = day + timedelta(days=0)
    full = {
        "pivotValues": [f"urn:li:sponsoredCampaign:{campaign}"],
        "dateRange": {"start": _day(day), "end": _day(end)},
        "costInLocalCurrency": str(spent.cost),
        "costInUsd": str(spent.cost),
        "impressions": spent.impressions,
        "clicks": spent.clicks,
    }
    return {name: value for name, value in full.items() if name in wanted}


def _day(day: date) -> dict[str, int]:
    return {"year": day.year, "month": day.month, "day": day.day}
