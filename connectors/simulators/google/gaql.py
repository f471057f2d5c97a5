"""The queries of the simulated Google Ads API: the few resources and fields that a conversion tool asks for, read strictly."""

import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from connectors.simulators.google.refusals import Json, JsonObject
from connectors.simulators.google.world import Account, EnhancedConversions

if TYPE_CHECKING:
    from connectors.simulators.google.platform import GooglePlatform

QUERY = re.compile(r"SELECT (?P<fields>[\w., ]+) FROM (?P<resource>\w+)(?: WHERE (?P<where>.+))?")
BETWEEN = re.compile(r"segments\.date BETWEEN '(\d{4}-\d\d-\d\d)' AND '(\d{4}-\d\d-\d\d)'")
UPLOADS = "conversion_action.type = 'UPLOAD_CLICKS'"
MICROS = 1_000_000
OLD_SWITCH = "customer.conversion_tracking_setting.enhanced_conversions_for_leads_enabled"
SWITCH = "customer.conversion_tracking_setting.effective_enablement_setting"
FIRST_WITH_SWITCH = 26


class BadQuery(Exception):
    """The query names a field or resource that there is not; its text is the code."""


def answer(platform: "GooglePlatform", account: Account, query: str, version: str) -> list[JsonObject]:
    """The rows, each with the fields that were asked for, nested and in camel case; zeros and empties are left out.

    The switch for enhanced conversions has another name since v26; each version knows its own only.
    """
    match = QUERY.fullmatch(" ".join(query.split()))
    if match is None:
        raise BadQuery("UNEXPECTED_INPUT")
    fields = [one.strip() for one in match["fields"].split(",")]
    rows = list(_rows(platform, account, match["resource"], match["where"] or ""))
    known = ({name for row in rows for name in row} | _names(match["resource"])) - {_foreign_switch(version)}
    unknown = [one for one in fields if one not in known]
    if unknown:
        raise BadQuery("UNRECOGNIZED_FIELD")
    return [_nested({name: row[name] for name in fields if row.get(name) not in (None, 0, "0")}) for row in rows]


def _foreign_switch(version: str) -> str:
    return OLD_SWITCH if int(version.removeprefix("v")) >= FIRST_WITH_SWITCH else SWITCH


def _names(resource: str) -> set[str]:
    return {
        "campaign": set(_campaign("1", "x", date(2026, 1, 1), 1, 1, 1, _EMPTY)),
        "customer": set(_customer(_EMPTY)),
        "conversion_action": set(_ACTION_FIELDS),
    }.get(resource, set())


def _rows(platform: "GooglePlatform", account: Account, resource: str, where: str) -> Iterator[dict[str, Json]]:
    match resource:
        case "campaign":
            span = BETWEEN.fullmatch(where)
            if span is None:
                raise BadQuery("EXPECTED_FILTERS_ON_DATE_RANGE")
            first, last = (date.fromisoformat(one) for one in span.groups())
            for (owner, campaign, day), spent in sorted(platform.spending.days.items()):
                if owner == account.id and first <= day <= last:
                    name, micros = platform.spending.campaigns[campaign], int(spent.cost * MICROS)
                    yield _campaign(campaign, name, day, micros, spent.clicks, spent.impressions, account)
        case "customer":
            yield _customer(account)
        case "conversion_action":
            if where not in ("", UPLOADS):
                raise BadQuery("BAD_VALUE")
            for action in account.actions.values():
                if action.kind == "UPLOAD_CLICKS" or not where:
                    yield {
                        "conversion_action.id": action.id,
                        "conversion_action.name": action.name or f"Action {action.id}",
                        "conversion_action.status": "ENABLED" if action.is_enabled else "HIDDEN",
                        "conversion_action.type": action.kind,
                        "conversion_action.category": action.category,
                        "conversion_action.counting_type": action.counting.value,
                        "conversion_action.click_through_lookback_window_days": str(action.click_window.days),
                        "conversion_action.value_settings.default_value": action.default_value,
                        "conversion_action.value_settings.always_use_default_value": action.always_uses_default_value,
                    }
        case _:
            raise BadQuery("BAD_RESOURCE_TYPE_IN_FROM_CLAUSE")


_EMPTY = Account("0")
_ACTION_FIELDS = (
    "conversion_action.id",
    "conversion_action.name",
    "conversion_action.status",
    "conversion_action.type",
    "conversion_action.category",
    "conversion_action.counting_type",
    "conversion_action.primary_for_goal",
    "conversion_action.click_through_lookback_window_days",
    "conversion_action.value_settings.default_value",
    "conversion_action.value_settings.always_use_default_value",
)


def _campaign(
    campaign: str, name: str, day: date, micros: int, clicks: int, impressions: int, account: Account
) -> dict[str, Json]:
    return {
        "campaign.id": campaign,
        "campaign.name": name,
        "campaign.status": "ENABLED",
        "campaign.advertising_channel_type": "SEARCH",
        "segments.date": day.isoformat(),
        "metrics.cost_micros": str(micros),
        "metrics.clicks": str(clicks),
        "metrics.impressions": str(impressions),
        "metrics.conversions": 0,
        "metrics.all_conversions": 0,
        "customer.currency_code": account.currency,
        "customer.time_zone": account.time_zone,
    }


def _customer(account: Account) -> dict[str, Json]:
    return {
        "customer.id": account.id,
        "customer.currency_code": account.currency,
        "customer.time_zone": account.time_zone,
        "customer.test_account": False,
        "customer.auto_tagging_enabled": account.has_auto_tagging,
        "customer.conversion_tracking_setting.conversion_tracking_status": "CONVERSION_TRACKING_MANAGED_BY_SELF",
        "customer.conversion_tracking_setting.google_ads_conversion_customer": f"customers/{account.id}",
        "customer.conversion_tracking_setting.accepted_customer_data_terms": account.has_data_terms,
        SWITCH: "ON" if account.enhanced_conversions is EnhancedConversions.ON else "OFF",
        OLD_SWITCH: account.enhanced_conversions is EnhancedConversions.ON,
    }


def _nested(flat: dict[str, Json]) -> JsonObject:
    made: JsonObject = {}
    for path, value in flat.items():
        place = made
        *parents, last = [_camel(one) for one in path.split(".")]
        for parent in parents:
            inner = place.setdefault(parent, {})
            assert isinstance(inner, dict)  # noqa: S101 paths do not end where others go on
            place = inner
        place[last] = value
    return made


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(one.title() for one in rest)
