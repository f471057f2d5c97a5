"""Judging events as TikTok does: the first bad row refuses the whole request, by its path."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

MOST_EVENTS = 1000
AGES = {"crm": timedelta(days=28), "offline": timedelta(days=28), "web": timedelta(days=7)}
FUTURE = timedelta(seconds=60)
DIGEST = re.compile(r"[0-9a-f]{64}")
USER_FIELDS = {
    "crm": frozenset({"email", "phone", "external_id"}),
    "offline": frozenset({"email", "phone"}),
    "web": frozenset({"email", "phone", "external_id", "ttclid", "ttp", "ip", "user_agent", "locale"}),
}
CLICK_FIELDS = frozenset({"ttclid", "external_id"})
HASHED = ("email", "phone", "external_id")
FIELDS = frozenset({"event", "event_time", "event_id", "user", "properties", "page", "lead", "limited_data_use"})
PROPERTIES = frozenset({"value", "currency", "order_id", "shop_id", "description", "query", "content_type", "contents"})
CURRENCIES = frozenset(
    [
        "AED",
        "AUD",
        "BRL",
        "CAD",
        "CHF",
        "CLP",
        "CNY",
        "CZK",
        "DKK",
        "EUR",
        "GBP",
        "HKD",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "JPY",
        "KRW",
        "KWD",
        "MXN",
        "MYR",
        "NOK",
        "NZD",
        "PHP",
        "PLN",
        "RON",
        "SAR",
        "SEK",
        "SGD",
        "THB",
        "TRY",
        "TWD",
        "USD",
        "VND",
        "ZAR",
    ]
)

Fault = tuple[str, str]


def faults(event: Any, source: str, now: datetime, *, takes_clicks: bool) -> Iterator[Fault]:
    """What is wrong with an event: path below it and words, which repeat what was sent."""
    if not isinstance(event, Mapping):
        yield "event", "Not a valid object."
        return
    yield from ((name, "Unknown field.") for name in event if name not in FIELDS)
    if not isinstance(event.get("event"), str) or not event["event"].strip():
        yield "event", "Missing data for required field."
    if "event_id" in event and not isinstance(event["event_id"], str):
        yield "event_id", "Not a valid string."
    yield from _time_faults(event.get("event_time"), source, now)
    yield from _user_faults(event, source, takes_clicks=takes_clicks)
    yield from _value_faults(event.get("properties"))
    if "limited_data_use" in event and source != "web":
        yield "limited_data_use", "Unknown field."
    if source == "web" and not (event.get("page") or {}).get("url"):
        yield "page.url", "Missing data for required field."


def _time_faults(at: Any, source: str, now: datetime) -> Iterator[Fault]:
    if not isinstance(at, int) or isinstance(at, bool):
        yield "event_time", f"{at} is not a valid integer."
    elif at > (now + FUTURE).timestamp() or at < (now - AGES[source]).timestamp():
        yield "event_time", f"{at} is out of range."


def _user_faults(event: Mapping[str, Any], source: str, *, takes_clicks: bool) -> Iterator[Fault]:
    user, lead = event.get("user", {}), event.get("lead")
    if not isinstance(user, Mapping):
        yield "user", "Not a valid object."
        return
    allowed = USER_FIELDS[source] | (CLICK_FIELDS if takes_clicks else frozenset())
    yield from ((f"user.{name}", "Unknown field.") for name in user if name not in allowed)
    for name in HASHED:
        for one in user.get(name, []) if isinstance(user.get(name), list) else [user[name]] if name in user else []:
            if not isinstance(one, str) or not DIGEST.fullmatch(one):
                yield f"user.{name}", f"[{one}] is not a SHA-256."
    if source == "crm":
        if not isinstance(lead, Mapping) or set(lead) - {"lead_id", "lead_event_source"} or not lead.get("lead_event_source"):
            yield "lead", "Missing data for required field."
            return
        if "lead_id" in lead and not (isinstance(lead["lead_id"], str) and lead["lead_id"]):
            yield "lead.lead_id", "Not a valid string."
    elif lead is not None:
        yield "lead", "Unknown field."
    if not (user.get("email") or user.get("phone") or (isinstance(lead, Mapping) and lead.get("lead_id"))):
        yield "user", "At least one identifier is needed."


def _value_faults(properties: Any) -> Iterator[Fault]:
    if properties is None:
        return
    if not isinstance(properties, Mapping):
        yield "properties", "Not a valid object."
        return
    yield from ((f"properties.{name}", "Unknown field.") for name in properties if name not in PROPERTIES)
    value = properties.get("value")
    if value is not None:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            yield "properties.value", f"{value} is not a valid number."
        if properties.get("currency") not in CURRENCIES:
            yield "properties.currency", f"{properties.get('currency')} is not a supported currency."


def value_of(event: Mapping[str, Any]) -> Decimal | None:
    """The value of an event that was taken."""
    value = (event.get("properties") or {}).get("value")
    return None if value is None else Decimal(str(value))


def identifiers_of(event: Mapping[str, Any]) -> tuple[str, ...]:
    """By what the person may be known."""
    given = [event.get("user", {}).get(name) for name in (*HASHED, "ttclid")] + [(event.get("lead") or {}).get("lead_id")]
    return tuple(str(one) for one in given if one)
