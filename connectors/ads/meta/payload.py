"""From rows to the body of `/{dataset}/events`, and what must not be sent because it would sink its neighbours (pure)."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from connectors.ads.meta.settings import Form, MetaSettings
from connectors.contract.conversions import DeliveryKind, Identifier, Money, UploadRow
from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.results import NotProcessed, Rejected, TargetRefused, UploadResult
from connectors.upload.draft import Draft, Json
from connectors.upload.judging import LocalCode, is_digest, refused_consent, refused_money, refused_time

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

USUAL_AGE, OFFLINE_AGE = timedelta(days=7), timedelta(days=62)

# Using the API, payload specification and deduplication pages of the Conversions API (2026-11).
LIMITS = DestinationLimits(
    rows=1000,
    targets=1000,
    # Leads of Meta's own forms go to its CRM integration, others as offline events, which may be older.
    age_with_click=USUAL_AGE,
    age_without_click=OFFLINE_AGE,
    age_identifiers=frozenset({Identifier.META_LEAD_ID}),
    apart=frozenset({Identifier.META_LEAD_ID}),
    identifiers=frozenset(_HASHED) | frozenset(_PLAIN) | {Identifier.META_LEAD_ID},
    click_identifiers=frozenset({Identifier.FBC, Identifier.META_LEAD_ID}),
    sufficient=(*(frozenset({one}) for one in _SINGLE), _NAMES),
    # These days are the event's; of the click or the lead Meta demands no age.
    click_age=FOREVER,
    # Offline events are told apart for seven days, by their order id; the shorter window holds for both.
    dedup_window=timedelta(hours=48),
    target_settings=frozenset({EVENT_NAME}),
)
# One event that grows too old on the way would lose its whole batch.
ON_THE_WAY = timedelta(minutes=2)

_LEAD_ID = re.compile(r"[1-9][0-9]{14,16}")
# Meta's parameter builder appends a part of 2 or 8 characters.
_SUFFIX = r"(?:\.[A-Za-z0-9_-]{2}|\.[A-Za-z0-9_-]{8})?"
_SHAPES: Mapping[Identifier, re.Pattern[str]] = {
    Identifier.FBC: re.compile(rf"fb\.[0-9]\.[0-9]{{13}}\.[A-Za-z0-9_~=+-]{{1,512}}{_SUFFIX}"),
    Identifier.FBP: re.compile(rf"fb\.[0-9]\.[0-9]{{13}}\.[0-9]{{1,40}}{_SUFFIX}"),
}

# How Meta writes the CRMs that it knows.
_CRM_NAMES: Mapping[str, str] = {"hubspot": "HubSpot", "salesforce": "Salesforce", "pipedrive": "Pipedrive"}


def build(rows: Sequence[UploadRow], settings: MetaSettings, now: datetime, test_event_code: str = "") -> Draft:
    """The request for all rows that may be sent together."""
    events: list[Json] = []
    sent: list[tuple[int, str]] = []
    local: dict[int, UploadResult] = {}
    keys: set[tuple[str, str]] = set()
    for place, row in enumerate(rows):
        name = row.target.get(EVENT_NAME) or ""
        key = (row.conversion_id, name)
        event = _refused(row, name, settings, now) or _event(row, name, settings)
        if isinstance(event, dict):
            event = _unfit(key, keys, len(events)) or event
        if not isinstance(event, dict):
            local[place] = event
            continue
        events.append(event)
        sent.append((place, name))
        keys.add(key)
    body: Json = {"data": events}
    if test_event_code:
        body["test_event_code"] = test_event_code
    return Draft(body, tuple(place for place, _ in sent), tuple(name for _, name in sent), local)


def form_of(identifiers: Mapping[Identifier, str], settings: MetaSettings) -> Form:
    """How Meta is told of a row: leads of its own forms for the CRM integration, others as the settings say."""
    return Form.CRM if _LEAD_ID.fullmatch(identifiers.get(Identifier.META_LEAD_ID, "")) else settings.without_lead_id


def is_event_name(name: str) -> bool:
    """True where Meta may take it: free text that can be seen."""
    return bool(name.strip()) and name.isprintable()


def crm_name(source_kind: str, settings: MetaSettings) -> str:
    """The CRM as Meta shall show it."""
    return settings.lead_event_source or _CRM_NAMES.get(source_kind) or source_kind.title() or "CRM"


def _unfit(key: tuple[str, str], keys: set[tuple[str, str]], sent: int) -> NotProcessed | None:
    """Why a good row waits for another request."""
    if key in keys:
        return NotProcessed(LocalCode.DUPLICATE_IN_REQUEST)
    return NotProcessed(LocalCode.TOO_MANY_ROWS) if sent >= LIMITS.rows else None


def _refused(row: UploadRow, name: str, settings: MetaSettings, now: datetime) -> UploadResult | None:
    """What bars a row whatever else it holds."""
    if row.kind is not DeliveryKind.UPLOAD:
        return Rejected(LocalCode.CORRECTION_UNSUPPORTED, "Meta documents no correction of an event")
    if not is_event_name(name):
        return TargetRefused(name, LocalCode.TARGET_INVALID, "an event's name is a text that can be seen")
    if not row.conversion_id:
        return Rejected(LocalCode.EVENT_ID_INVALID, "without an id Meta would count every repetition")
    oldest = OFFLINE_AGE if form_of(row.identifiers, settings) is Form.OFFLINE else USUAL_AGE
    if row.occurred_at <= now:
        # Meta takes whole seconds, and judges their age when they arrive.
        time = refused_time(_to_seconds(row.occurred_at), now, oldest - ON_THE_WAY)
    else:
        time = refused_time(row.occurred_at, now, oldest)
    if row.money is None and name == PURCHASE:
        return time or Rejected(LocalCode.VALUE_MISSING, "Meta takes no Purchase without a value")
    return refused_consent(row.consent) or time or refused_money(row.money)


def _event(row: UploadRow, name: str, settings: MetaSettings) -> Json | Rejected:
    """The event, without the identifiers that would sink the request; refused where too little is left."""
    keys = _customer_keys(row.identifiers)
    if any(keys.keys() <= broad for broad in _TOO_BROAD):
        is_bad = any(row.identifiers.get(one) for one in _SINGLE)
        code = LocalCode.IDENTIFIERS_INVALID if is_bad else LocalCode.IDENTIFIERS_INSUFFICIENT
        return Rejected(code, "no identifier is left by which Meta could know the person")
    form = form_of(row.identifiers, settings)
    event: Json = {
        "event_name": name,
        "event_time": int(_to_seconds(row.occurred_at).timestamp()),
        "event_id": row.conversion_id,
        "action_source": "physical_store" if form is Form.OFFLINE else "system_generated",
        "user_data": keys,
    }
    custom = {**_marks(form, row, settings), **_value(row.money)}
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
        if is_digest(identifiers.get(identifier, "")):
            found[key] = [identifiers[identifier]]
    for identifier, key in _PLAIN.items():
        if _SHAPES[identifier].fullmatch(identifiers.get(identifier, "")):
            found[key] = identifiers[identifier]
    return found


def _marks(form: Form, row: UploadRow, settings: MetaSettings) -> Json:
    """By the CRM marks Meta counts an event for conversion leads; by `order_id` it knows a copy of an offline one."""
    match form:
        case Form.CRM:
            return {"event_source": "crm", "lead_event_source": crm_name(row.source_kind, settings)}
        case Form.OFFLINE:
            return {"order_id": row.conversion_id}
        case Form.OTHER:
            return {}


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
