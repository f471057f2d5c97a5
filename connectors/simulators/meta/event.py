"""One server event: what Meta demands of it before it takes the batch (pure)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.simulators.meta.errors import (
    PURCHASE_WITHOUT_VALUE,
    TOO_FEW_KEYS,
    TOO_OLD,
    Json,
    JsonObject,
    broken_rule,
    invalid,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OLDEST = timedelta(days=7)
OLDEST_IN_STORE = timedelta(days=62)
AHEAD = timedelta(seconds=60)
IN_STORE = "physical_store"
_SOURCES = _words("email website app phone_call chat physical_store system_generated business_messaging other")
_FIELDS = _words(
    "event_name event_time event_id action_source event_source_url opt_out user_data custom_data data_processing_options "
    "data_processing_options_country data_processing_options_state customer_segmentation referrer_url original_event_data "
    "attribution_data app_data advanced_measurement_table messaging_channel"
)
_HASHED = _words("em ph fn ln ct st zp country db ge f5first f5last fi dobd dobm doby")
_PLAIN = _words(
    "external_id client_ip_address client_user_agent fbc fbp lead_id subscription_id fb_login_id madid anon_id ctwa_clid "
    "page_id partner_id partner_name"
)
_TOO_BROAD = tuple(_words(row) for row in ("ct country st zp ge client_user_agent", "db client_user_agent", "fn ge", "ln ge"))
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LEAD_ID = re.compile(r"[0-9]{15,17}")
_CLICK_ID = re.compile(r"fb\.[0-9]\.[0-9]{13}\.[^.]+(\.[^.]+)?")
_LARGEST = 1e15
# California to Rhode Island; 0 lets Meta find out.
_STATES = frozenset({0, *range(1000, 1014)})


@dataclass(frozen=True, slots=True)
class Event:
    """An event that Meta takes."""

    name: str
    id: str
    occurred_at: datetime
    action_source: str
    keys: JsonObject
    custom: JsonObject
    value: float
    currency: str
    lead_id: str
    raw: JsonObject

    @property
    def is_in_store(self) -> bool:
        """Whether the offline rules hold: 62 days, own deduplication."""
        return self.action_source == IN_STORE

    @property
    def has_crm_marks(self) -> bool:
        """Whether the CRM integration counts it; without the marks an event is taken but not counted there."""
        marks = self.custom.get("event_source") == "crm" and bool(self.custom.get("lead_event_source"))
        return marks and self.action_source == "system_generated"

    @property
    def has_bad_click_id(self) -> bool:
        """Whether `fbc` is malformed: no error, but an alert in Events Manager."""
        fbc = self.keys.get("fbc")
        return isinstance(fbc, str) and _CLICK_ID.fullmatch(fbc) is None


def read_event(given: Json, now: datetime) -> Event:
    """Check one element of `data` (an object, or its JSON as the official library sends it), or raise the batch's error."""
    raw = _parsed(given)
    if not isinstance(raw, dict):
        raise invalid("Invalid parameter: data must be a list of events")
    unknown = sorted(raw.keys() - _FIELDS)
    if unknown:
        raise invalid(f"Invalid parameter: unknown field {unknown[0]}")
    name, source = _text(raw, "event_name"), raw.get("action_source")
    if not name:
        raise broken_rule("Missing event name")
    if not isinstance(source, str) or source not in _SOURCES:
        raise broken_rule("Invalid action source")
    occurred_at = _time(raw.get("event_time"), source, now)
    keys = _customer_keys(raw.get("user_data"))
    if source == "website" and not (_text(raw, "event_source_url") and keys.get("client_user_agent")):
        raise broken_rule("Website events need event_source_url and client_user_agent")
    _check_processing_options(raw)
    custom = raw.get("custom_data", {})
    if not isinstance(custom, dict):
        raise invalid("Invalid parameter: custom_data")
    value, currency = _money(name, custom)
    lead_id = str(keys.get("lead_id", ""))
    return Event(name, _text(raw, "event_id"), occurred_at, source, keys, custom, value, currency, lead_id, raw)


def _parsed(given: Json) -> Json:
    if not isinstance(given, str):
        return given
    try:
        parsed: Json = json.loads(given)
    except ValueError:
        raise invalid("Invalid parameter: data is not JSON") from None
    return parsed


def _text(raw: Mapping[str, Json], key: str) -> str:
    value = raw.get(key, "")
    if not isinstance(value, str):
        raise invalid(f"Invalid parameter: {key} must be a string")
    return value


def _time(given: Json, source: str, now: datetime) -> datetime:
    if not isinstance(given, int) or isinstance(given, bool):
        raise broken_rule("Invalid event time: whole seconds are expected")
    seconds = now.timestamp()
    if given > seconds + AHEAD.total_seconds():
        raise broken_rule("Event time is in the future")
    oldest = OLDEST_IN_STORE if source == IN_STORE else OLDEST
    if given < seconds - oldest.total_seconds():
        raise invalid("Event timestamp too old", TOO_OLD)
    return datetime.fromtimestamp(given, UTC)


def _customer_keys(given: Json) -> JsonObject:
    """The customer information that carries something, or the error of it."""
    if not isinstance(given, dict):
        raise broken_rule("Missing user data")
    unknown = sorted(given.keys() - _HASHED - _PLAIN)
    if unknown:
        raise invalid(f"Invalid parameter: unknown customer key {unknown[0]}")
    keys: JsonObject = {key: value for key, value in given.items() if value not in (None, "", [], {})}
    for key in _HASHED & keys.keys():
        listed = keys[key]
        values = listed if isinstance(listed, list) else [listed]
        if not all(isinstance(value, str) and _DIGEST.fullmatch(value) for value in values):
            raise broken_rule(f"Customer key {key} must be hashed")
    lead_id = keys.get("lead_id", "0" * 15)
    if not isinstance(lead_id, int | str) or isinstance(lead_id, bool) or not _LEAD_ID.fullmatch(str(lead_id)):
        raise broken_rule("Invalid lead id")
    if any(keys.keys() <= broad for broad in _TOO_BROAD):
        raise invalid("Customer information parameters are not sufficient", TOO_FEW_KEYS)
    return keys


def _money(name: str, custom: JsonObject) -> tuple[float, str]:
    value, currency = custom.get("value"), custom.get("currency")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST):
        raise broken_rule("Invalid value: a number is expected")
    if currency is not None and not (isinstance(currency, str) and re.fullmatch("[A-Za-z]{3}", currency)):
        raise broken_rule("Invalid currency")
    if name == "Purchase" and value is None:
        raise invalid("Purchase events need a value", PURCHASE_WITHOUT_VALUE)
    if name == "Purchase" and currency is None:
        raise broken_rule("Purchase events need a currency")
    return float(value or 0), (currency or "").upper()


def _check_processing_options(raw: JsonObject) -> None:
    """Limited data use wants a country, and the country a state (0 lets Meta find out)."""
    options = raw.get("data_processing_options", [])
    country, state = raw.get("data_processing_options_country"), raw.get("data_processing_options_state")
    if options not in ([], ["LDU"]):
        raise broken_rule("Invalid data processing options")
    if (options and country is None) or (country is not None and state is None):
        raise broken_rule("Data processing options need country and state")
    if country not in (None, 0, 1) or (state is not None and state not in _STATES):
        raise broken_rule("Invalid data processing country or state")
