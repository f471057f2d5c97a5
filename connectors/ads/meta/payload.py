"""From rows to the body of `/{dataset}/events`, and what must not be sent because it would sink its neighbours (pure)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from connectors.ads.meta.settings import MetaSettings, Mode
from connectors.contract.conversions import DeliveryKind, Identifier, Money, UploadRow
from connectors.contract.currencies import CURRENCIES
from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.results import Later, NotProcessed, Rejected, TargetRefused, UploadResult

EVENT_NAME = "event_name"
PURCHASE = "Purchase"

# Meta's key of each identifier; all of these are hashed and may be lists.
_HASHED: Mapping[Identifier, str] = {
    Identifier.EMAIL_SHA256: "em",
    Identifier.PHONE_DIGITS_SHA256: "ph",
    Identifier.FIRST_NAME_META_SHA256: "fn",
    Identifier.LAST_NAME_META_SHA256: "ln",
    Identifier.CITY_META_SHA256: "ct",
    Identifier.STATE_META_SHA256: "st",
    Identifier.POSTAL_CODE_META_SHA256: "zp",
    Identifier.COUNTRY_META_SHA256: "country",
    Identifier.EXTERNAL_ID_SHA256: "external_id",
}
# These are sent as they are.
_PLAIN: Mapping[Identifier, str] = {Identifier.FBC: "fbc", Identifier.FBP: "fbp"}
_NAMES = frozenset({Identifier.FIRST_NAME_META_SHA256, Identifier.LAST_NAME_META_SHA256})
_SINGLE = (
    Identifier.META_LEAD_ID,
    Identifier.FBC,
    Identifier.EMAIL_SHA256,
    Identifier.PHONE_DIGITS_SHA256,
    Identifier.EXTERNAL_ID_SHA256,
    Identifier.FBP,
)
# Best practices page: an event whose keys all lie inside one of these sets is refused as too broad.
_TOO_BROAD = (frozenset({"ct", "st", "zp", "country"}), frozenset({"fn"}), frozenset({"ln"}))

# Using the API, payload specification and deduplication pages of the Conversions API (2026-11).
LIMITS = DestinationLimits(
    rows=1000,
    targets=1000,
    age_with_click=timedelta(days=7),
    age_without_click=timedelta(days=7),
    identifiers=frozenset(_HASHED) | frozenset(_PLAIN) | {Identifier.META_LEAD_ID},
    click_identifiers=frozenset({Identifier.FBC, Identifier.META_LEAD_ID}),
    sufficient=(*(frozenset({one}) for one in _SINGLE), _NAMES),
    # The seven days are the event's; of the click or the lead Meta demands no age.
    click_age=FOREVER,
    dedup_window=timedelta(hours=48),
    target_settings=frozenset({EVENT_NAME}),
)
# One event that grows too old on the way would lose its whole batch.
ON_THE_WAY = timedelta(minutes=2)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LEAD_ID = re.compile(r"[1-9][0-9]{14,16}")
# Meta's parameter builder appends a part of 2 or 8 characters.
_SUFFIX = r"(?:\.[A-Za-z0-9_-]{2}|\.[A-Za-z0-9_-]{8})?"
_SHAPES: Mapping[Identifier, re.Pattern[str]] = {
    Identifier.FBC: re.compile(rf"fb\.[0-9]\.[0-9]{{13}}\.[A-Za-z0-9_~=+-]{{1,512}}{_SUFFIX}"),
    Identifier.FBP: re.compile(rf"fb\.[0-9]\.[0-9]{{13}}\.[0-9]{{1,40}}{_SUFFIX}"),
}

# How Meta writes the CRMs that it knows.
_CRM_NAMES: Mapping[str, str] = {"hubspot": "HubSpot", "salesforce": "Salesforce", "pipedrive": "Pipedrive"}

Json = dict[str, object]


class LocalCode(StrEnum):
    """Why a row was not sent, decided here; Meta's own codes are numbers."""

    EVENT_TOO_OLD = "event_too_old"
    EVENT_IN_FUTURE = "event_in_future"
    EVENT_NAME_MISSING = "event_name_missing"
    EVENT_ID_MISSING = "event_id_missing"
    PURCHASE_WITHOUT_VALUE = "purchase_without_value"
    NEGATIVE_VALUE = "negative_value"
    INVALID_CURRENCY = "invalid_currency"
    INVALID_IDENTIFIERS = "invalid_identifiers"
    INSUFFICIENT_IDENTIFIERS = "insufficient_identifiers"
    NO_CONSENT = "no_consent"
    CORRECTION_NOT_SUPPORTED = "correction_not_supported"
    TOO_MANY_EVENTS = "too_many_events"


@dataclass(frozen=True, slots=True)
class Draft:
    """A request without its credentials, and what became of the rows that are not in it.

    `rows` holds, for each of `data[]`, its row's place; `local` the results by row.
    """

    body: Json = field(repr=False)
    rows: tuple[int, ...]
    local: Mapping[int, UploadResult]

    def results(self, of_events: Sequence[UploadResult]) -> list[UploadResult]:
        """One result for each row, in order, from those of the events."""
        by_row = {**self.local, **dict(zip(self.rows, of_events, strict=True))}
        return [by_row[row] for row in range(len(by_row))]


def build(rows: Sequence[UploadRow], settings: MetaSettings, now: datetime) -> Draft:
    """The request for all rows that may be sent together."""
    events: list[Json] = []
    sent: list[int] = []
    local: dict[int, UploadResult] = {}
    for place, row in enumerate(rows):
        event = _refused(row, now) or _event(row, settings)
        if isinstance(event, dict) and len(events) >= LIMITS.rows:
            event = NotProcessed(LocalCode.TOO_MANY_EVENTS)
        if isinstance(event, dict):
            events.append(event)
            sent.append(place)
        else:
            local[place] = event
    body: Json = {"data": events}
    if settings.test_event_code:
        body["test_event_code"] = settings.test_event_code
    return Draft(body, tuple(sent), local)


def is_event_name(name: str) -> bool:
    """True where Meta may take it: free text that can be seen."""
    return bool(name.strip()) and name.isprintable()


def crm_name(source_kind: str, settings: MetaSettings) -> str:
    """The CRM as Meta shall show it."""
    return settings.lead_event_source or _CRM_NAMES.get(source_kind) or source_kind.title() or "CRM"


def _refused(row: UploadRow, now: datetime) -> UploadResult | None:
    """What bars a row whatever its identifiers are."""
    name = row.target.get(EVENT_NAME) or ""
    if row.kind is not DeliveryKind.UPLOAD:
        return Rejected(LocalCode.CORRECTION_NOT_SUPPORTED, "Meta documents no correction of an event")
    if not is_event_name(name):
        return TargetRefused(name, LocalCode.EVENT_NAME_MISSING, "an event's name is a text that can be seen")
    if not row.conversion_id:
        return Rejected(LocalCode.EVENT_ID_MISSING, "without an id Meta would count every repetition")
    if not row.consent.allows_sending:
        return Rejected(LocalCode.NO_CONSENT, "Meta has no consent field, so nothing goes without consent")
    return _refused_time(row.occurred_at, now) or _refused_money(row.money, name)


def _refused_time(occurred_at: datetime, now: datetime) -> Later | Rejected | None:
    if occurred_at > now:
        return Later(occurred_at, LocalCode.EVENT_IN_FUTURE)
    if now - _to_seconds(occurred_at) > LIMITS.age_with_click - ON_THE_WAY:
        return Rejected(LocalCode.EVENT_TOO_OLD, "Meta takes events of the last 7 days")
    return None


def _refused_money(money: Money | None, event_name: str) -> Rejected | None:
    if money is None:
        is_purchase = event_name == PURCHASE
        return Rejected(LocalCode.PURCHASE_WITHOUT_VALUE, "Meta takes no Purchase without a value") if is_purchase else None
    if money.amount_micros < 0:
        return Rejected(LocalCode.NEGATIVE_VALUE, "a conversion's value is not below zero")
    if money.currency not in CURRENCIES:
        return Rejected(LocalCode.INVALID_CURRENCY, "the currency is none of ISO 4217")
    return None


def _event(row: UploadRow, settings: MetaSettings) -> Json | Rejected:
    """The event, without the identifiers that would sink the request; refused where too little is left."""
    keys = _customer_keys(row.identifiers)
    if any(keys.keys() <= broad for broad in _TOO_BROAD):
        is_bad = any(row.identifiers.get(one) for one in _SINGLE)
        code = LocalCode.INVALID_IDENTIFIERS if is_bad else LocalCode.INSUFFICIENT_IDENTIFIERS
        return Rejected(code, "no identifier is left by which Meta could know the person")
    event: Json = {
        "event_name": row.target.get(EVENT_NAME),
        "event_time": int(_to_seconds(row.occurred_at).timestamp()),
        "event_id": row.conversion_id,
        "action_source": "system_generated",
        "user_data": keys,
    }
    custom = {**_crm_marks(row, settings), **_value(row.money)}
    if custom:
        event["custom_data"] = custom
    return {**event, **_limited_data_use(settings)}


def _to_seconds(at: datetime) -> datetime:
    """Meta takes whole seconds."""
    return at.astimezone(UTC).replace(microsecond=0)


def _customer_keys(identifiers: Mapping[Identifier, str]) -> Json:
    found: Json = {}
    lead_id = identifiers.get(Identifier.META_LEAD_ID, "")
    if _LEAD_ID.fullmatch(lead_id):
        found["lead_id"] = int(lead_id)
    for identifier, key in _HASHED.items():
        if _DIGEST.fullmatch(identifiers.get(identifier, "")):
            found[key] = [identifiers[identifier]]
    for identifier, key in _PLAIN.items():
        if _SHAPES[identifier].fullmatch(identifiers.get(identifier, "")):
            found[key] = identifiers[identifier]
    return found


def _crm_marks(row: UploadRow, settings: MetaSettings) -> Json:
    """By these Meta counts an event for conversion leads; without them it takes the event and does not."""
    if settings.mode is not Mode.CRM:
        return {}
    return {"event_source": "crm", "lead_event_source": crm_name(row.source_kind, settings)}


def _value(money: Money | None) -> Json:
    """Value and currency together or neither."""
    return {} if money is None else {"value": float(money.quantised()), "currency": money.currency}


def _limited_data_use(settings: MetaSettings) -> Json:
    chosen = settings.limited_data_use
    if chosen is None:
        return {}
    return {
        "data_processing_options": ["LDU"],
        "data_processing_options_country": chosen.country,
        "data_processing_options_state": chosen.state,
    }
