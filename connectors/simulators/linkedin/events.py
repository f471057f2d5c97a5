"""Judging conversion events as LinkedIn does: strict on shape, shallow on content (it takes nonsense hashes and currencies)."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connectors.simulators.linkedin.errors import ApiError, field_errors
from connectors.simulators.linkedin.ledger import Taken

if TYPE_CHECKING:
    from connectors.simulators.linkedin.platform import LinkedInPlatform

MOST_EVENTS = 5000
OLDEST = timedelta(days=90)
RULE = re.compile(r"urn:lla:llaPartnerConversion:(\d+)")
AMOUNT = re.compile(r"-?\d+(\.\d+)?")
ID_TYPES = frozenset(
    [
        "SHA256_EMAIL",
        "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID",
        "ACXIOM_ID",
        "ORACLE_MOAT_ID",
        "PLAINTEXT_IP_ADDRESS",
        "SHA256_IP_ADDRESS",
        "GOOGLE_AID",
    ]
)
# An address names no person by itself.
NAMES_NOBODY = frozenset({"PLAINTEXT_IP_ADDRESS", "SHA256_IP_ADDRESS"})
FIELDS = frozenset({"conversion", "conversionHappenedAt", "conversionValue", "eventId", "user"})
USER_FIELDS = frozenset({"userIds", "userInfo", "lead", "externalIds"})

Fault = tuple[str, str]


def take(platform: "LinkedInPlatform", events: list[Any], now: datetime) -> list[Taken]:
    """All events, or an ApiError that takes none of them."""
    if not 1 <= len(events) <= MOST_EVENTS:
        raise ApiError(413 if len(events) > MOST_EVENTS else 400, "The number of elements is out of range")
    faults = {place: found for place, event in enumerate(events) if (found := list(_faults(event)))}
    faults |= {place: found for place, event in enumerate(events) if (found := platform.refused_fields(event))}
    if faults:
        raise field_errors(faults)
    _check_rules(platform, events)
    for event in events:
        _check_time(event, now)
        _check_person(event)
    return [_taken(platform, event) for event in events]


def _faults(event: Any) -> Iterator[Fault]:
    if not isinstance(event, Mapping):
        yield "/", "is not a record"
        return
    yield from ((f"/{name}", "unrecognized field found but not allowed") for name in event if name not in FIELDS)
    if not isinstance(event.get("conversion"), str):
        yield "/conversion", "field is required but not found"
    at = event.get("conversionHappenedAt")
    if not isinstance(at, int) or isinstance(at, bool):
        yield "/conversionHappenedAt", "field is required and is a long"
    if "eventId" in event and not isinstance(event["eventId"], str):
        yield "/eventId", f"{event['eventId']} is not a string"
    yield from _value_faults(event.get("conversionValue"))
    yield from _user_faults(event.get("user"))


def _value_faults(value: Any) -> Iterator[Fault]:
    if value is None:
        return
    if not isinstance(value, Mapping) or set(value) != {"currencyCode", "amount"}:
        yield "/conversionValue", "needs currencyCode and amount"
    elif not isinstance(value["amount"], str) or not AMOUNT.fullmatch(value["amount"]):
        yield "/conversionValue/amount", f"{value['amount']} is not a BigDecimal string"


def _user_faults(user: Any) -> Iterator[Fault]:
    if not isinstance(user, Mapping):
        yield "/user", "field is required but not found"
        return
    yield from ((f"/user/{name}", "unrecognized field found but not allowed") for name in user if name not in USER_FIELDS)
    ids = user.get("userIds")
    if not isinstance(ids, list):
        yield "/user/userIds", "field is required but not found"
        return
    for place, one in enumerate(ids):
        if not isinstance(one, Mapping) or set(one) != {"idType", "idValue"} or not isinstance(one["idValue"], str):
            yield f"/user/userIds/{place}", "needs idType and idValue"
        elif one["idType"] not in ID_TYPES:
            yield f"/user/userIds/{place}/idType", f"{one['idType']} is not an enum symbol"
    info = user.get("userInfo")
    if info is not None:
        yield from ((f"/user/userInfo/{name}", "field is required") for name in ("firstName", "lastName") if not info.get(name))


def _check_rules(platform: "LinkedInPlatform", events: list[Any]) -> None:
    wrong_method = []
    for place, event in enumerate(events):
        match = RULE.fullmatch(event["conversion"])
        if match is None:
            raise ApiError(400, "Invalid conversion URN: the namespace is llaPartnerConversion")
        rule = platform.rules.get(match.group(1))
        if rule is None:
            raise ApiError(403, "No ad accounts found for the given conversion", "ACCESS_DENIED")
        if rule["conversionMethod"] != "CONVERSIONS_API":
            wrong_method.append(place)
    if wrong_method:
        raise ApiError(400, f"The conversion method should be CONVERSIONS_API, indices {wrong_method} (0-indexed)")


def _check_time(event: Mapping[str, Any], now: datetime) -> None:
    """Without an index: LinkedIn's pages show none."""
    at = event["conversionHappenedAt"]
    now_ms = now.timestamp() * 1000
    if at > now_ms or at < now_ms - OLDEST.total_seconds() * 1000:
        raise ApiError(400, "The conversion time is out of range", "INVALID_CONVERSION_TIME_FIELD_VALUE")


def _check_person(event: Mapping[str, Any]) -> None:
    user = event["user"]
    has_id = any(one["idType"] not in NAMES_NOBODY for one in user["userIds"])
    if not has_id and not user.get("lead") and not user.get("userInfo"):
        raise ApiError(400, "No identifier names the member", "INVALID_USER_IDENTIFICATION_FIELD_VALUE")


def _taken(platform: "LinkedInPlatform", event: Mapping[str, Any]) -> Taken:
    value = event.get("conversionValue") or {}
    given = [one["idValue"] for one in event["user"]["userIds"]] + [event["user"].get("lead", "")]
    return Taken(
        rule=event["conversion"].rpartition(":")[2],
        event_id=event.get("eventId", ""),
        happened_at_ms=event["conversionHappenedAt"],
        amount=Decimal(value["amount"]) if value else None,
        currency=value.get("currencyCode"),
        matched_by=tuple(one for one in given if one in platform.members),
    )
