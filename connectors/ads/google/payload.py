"""From rows to the body of `events:ingest`, and what must not be sent because it would sink its neighbours (pure)."""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from connectors.ads.google.settings import Encoding, GoogleSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Money, UploadRow
from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.results import Later, NotProcessed, Rejected, TargetRefused, Unsupported, UploadResult
from connectors.upload.draft import Draft, Json
from connectors.upload.judging import LocalCode, is_digest, refused_consent, refused_money

CONVERSION_ACTION = "conversion_action"
REFERENCE_PREFIX = "action-"

# In the order in which one is chosen: Google takes one click id of an event.
CLICK_IDS = (Identifier.GCLID, Identifier.GBRAID, Identifier.WBRAID)
_NAMES = (Identifier.FIRST_NAME_GOOGLE_SHA256, Identifier.LAST_NAME_GOOGLE_SHA256)
_ADDRESS = frozenset({*_NAMES, Identifier.POSTAL_CODE, Identifier.COUNTRY})
_SINGLE = (*CLICK_IDS, Identifier.EMAIL_GOOGLE_SHA256, Identifier.PHONE_SHA256)

# Limits page of the Data Manager API, and Ads help 10029210 for the ages (2026-11).
# Destinations of one request (Data Manager API's limits page, 2026-11).
MOST_DESTINATIONS = 10

LIMITS = DestinationLimits(
    rows=2000,
    requests_per_minute=300,
    targets=MOST_DESTINATIONS,
    age_with_click=timedelta(days=90),
    age_without_click=timedelta(days=63),
    identifiers=frozenset(_SINGLE) | _ADDRESS,
    click_identifiers=frozenset(CLICK_IDS),
    sufficient=(*(frozenset({one}) for one in _SINGLE), _ADDRESS),
    too_recent_click=timedelta(hours=6),
    dedup_window=FOREVER,
    verdict_after=timedelta(minutes=30),
    restates=True,
    retracts=True,
    correction_after=timedelta(hours=24),
    correction_within=timedelta(days=54),
    target_settings=frozenset({CONVERSION_ACTION}),
)

_TRANSACTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~/+-]{1,63}")
_ACTION_ID = re.compile(r"[0-9]{1,20}")
_CLICK_ID = re.compile(r"[A-Za-z0-9._~=+/%-]{2,512}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_POSTAL_CODE = re.compile(r"(?=[A-Za-z -]*[0-9])[A-Za-z0-9][A-Za-z0-9 -]{1,11}")
_PLACEHOLDERS = frozenset({"null", "undefined", "none", "nan", "n/a", "na", "test", "gclid", "transactionid", "transaction_id"})


def build(
    rows: Sequence[UploadRow],
    settings: GoogleSettings,
    now: datetime,
    *,
    kind: DeliveryKind = DeliveryKind.UPLOAD,
    validate_only: bool = False,
) -> Draft:
    """The request for all rows of a kind (uploads or restatements) that may be sent together.

    Events stand by destination, those of destinations with more events first. Google does not say whether a
    verdict's indices count the events of the request or those of the destination. In this order
    the two readings of an index never fit the same destination, but for the first, where they are one.
    """
    local: dict[int, UploadResult] = {}
    events: dict[str, list[tuple[int, Json]]] = {}
    keys: set[tuple[str, str]] = set()
    for place, row in enumerate(rows):
        action = row.target.get(CONVERSION_ACTION) or ""
        key = (row.conversion_id, action)
        event = _refused(row, action, kind, now) or _event(row, action, settings, now)
        if isinstance(event, dict):
            event = _unfit(key, keys, events) or event
        if not isinstance(event, dict):
            local[place] = event
            continue
        events.setdefault(action, []).append((place, event))
        keys.add(key)
    order = sorted(events, key=lambda action: -len(events[action]))
    body: Json = {
        "destinations": [_destination(action, settings) for action in order],
        "events": [event for action in order for _, event in events[action]],
        "encoding": settings.encoding.value,
        "validateOnly": validate_only,
    }
    places = tuple(place for action in order for place, _ in events[action])
    return Draft(body, places, tuple(action for action in order for _ in events[action]), local)


def is_action_id(action: str) -> bool:
    """True where it may be a conversion action's id: a bare number, not a resource name."""
    return _ACTION_ID.fullmatch(action) is not None


def action_of(destination: Mapping[str, object]) -> str:
    """The conversion action that a destination of a reply names; "" where it names none."""
    action, reference = destination.get("productDestinationId"), destination.get("reference")
    if isinstance(action, str) and action:
        return action
    return reference.removeprefix(REFERENCE_PREFIX) if isinstance(reference, str) else ""


def _unfit(
    key: tuple[str, str], keys: set[tuple[str, str]], events: Mapping[str, Sequence[tuple[int, Json]]]
) -> NotProcessed | None:
    """Why a good row must wait for another request: Google refuses both of two equal ones, and all of too many."""
    if key in keys:
        return NotProcessed(LocalCode.DUPLICATE_IN_REQUEST)
    if len(keys) >= LIMITS.rows:
        return NotProcessed(LocalCode.TOO_MANY_ROWS)
    if key[1] not in events and len(events) >= MOST_DESTINATIONS:
        return NotProcessed(LocalCode.TOO_MANY_TARGETS)
    return None


def _destination(action: str, settings: GoogleSettings) -> Json:
    destination: Json = {
        "reference": REFERENCE_PREFIX + action,
        "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": settings.account_id},
        "productDestinationId": action,
    }
    if settings.login_account_id is not None:
        destination["loginAccount"] = {"accountType": "GOOGLE_ADS", "accountId": settings.login_account_id}
    return destination


def _refused(row: UploadRow, action: str, kind: DeliveryKind, now: datetime) -> UploadResult | None:
    """What bars a row whatever its identifiers are."""
    if row.kind is not kind:
        return Rejected(LocalCode.CORRECTION_UNSUPPORTED, f"{row.kind} goes by another request than {kind}")
    if not is_action_id(action):
        return TargetRefused(action, LocalCode.TARGET_INVALID, "a conversion action's id is a number")
    # A purely numeric or one-character id fails the whole request live, and validateOnly does not notice (2026-08).
    is_placeholder = row.conversion_id.lower() in _PLACEHOLDERS or row.conversion_id.isdigit()
    if is_placeholder or not _TRANSACTION_ID.fullmatch(row.conversion_id):
        return Rejected(LocalCode.EVENT_ID_INVALID, "the conversion's id is none that Google takes")
    return refused_consent(row.consent) or _refused_time(row, now) or _refused_value(row)


def _refused_time(row: UploadRow, now: datetime) -> Later | Unsupported | None:
    if row.occurred_at > now:
        return Later(row.occurred_at, LocalCode.EVENT_IN_FUTURE)
    if row.kind is not DeliveryKind.RESTATE:
        return None
    if now - row.occurred_at < LIMITS.correction_after:
        return Later(row.occurred_at + LIMITS.correction_after, LocalCode.CORRECTION_TOO_EARLY)
    if now - row.occurred_at > LIMITS.correction_within:
        return Unsupported(LocalCode.CORRECTION_TOO_LATE, "Google restates conversions of the last 54 days")
    return None


def _refused_value(row: UploadRow) -> Rejected | None:
    if row.money is None and row.kind is DeliveryKind.RESTATE:
        return Rejected(LocalCode.VALUE_MISSING, "a restatement needs its new value")
    return refused_money(row.money)


def _event(row: UploadRow, action: str, settings: GoogleSettings, now: datetime) -> Json | Rejected | Unsupported:
    """The event, without the identifiers that would sink the request; refused where none is left."""
    click = _click_id(row.identifiers)
    people = _user_identifiers(row.identifiers, settings.encoding)
    if click is None and not people:
        return Rejected(_nothing_left(row.identifiers), "no identifier that Google takes")
    if _is_too_old(row, now, has_click=click is not None):
        return Rejected(LocalCode.EVENT_TOO_OLD, "older than Google takes")
    if row.kind is DeliveryKind.RESTATE and click is not None and click[0] is Identifier.WBRAID:
        return Unsupported(LocalCode.CORRECTION_UNSUPPORTED, "Google restates no conversion of a wbraid click")
    event: Json = {
        "destinationReferences": [REFERENCE_PREFIX + action],
        "transactionId": row.conversion_id,
        "eventTimestamp": row.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventSource": settings.event_source.value,
    }
    if click is not None:
        event["adIdentifiers"] = {click[0].value: click[1]}
    if people:
        event["userData"] = {"userIdentifiers": people}
    return {**event, **_consent(row.consent), **_value(row.money)}


def _click_id(identifiers: Mapping[Identifier, str]) -> tuple[Identifier, str] | None:
    for one in CLICK_IDS:
        value = identifiers.get(one, "")
        if _CLICK_ID.fullmatch(value) and value.lower() not in _PLACEHOLDERS:
            return one, value
    return None


def _user_identifiers(identifiers: Mapping[Identifier, str], encoding: Encoding) -> list[Json]:
    found: list[Json] = []
    for name, one in (("emailAddress", Identifier.EMAIL_GOOGLE_SHA256), ("phoneNumber", Identifier.PHONE_SHA256)):
        if is_digest(identifiers.get(one, "")):
            found.append({name: _encoded(identifiers[one], encoding)})
    postal_code, country = identifiers.get(Identifier.POSTAL_CODE, ""), identifiers.get(Identifier.COUNTRY, "")
    names = [identifiers.get(one, "") for one in _NAMES]
    # An incomplete or unreadable address fails the request, so it stays out as a whole.
    if all(map(is_digest, names)) and _POSTAL_CODE.fullmatch(postal_code) and _COUNTRY.fullmatch(country):
        given, family = (_encoded(name, encoding) for name in names)
        address: Json = {"givenName": given, "familyName": family, "regionCode": country, "postalCode": postal_code}
        found.append({"address": address})
    return found


def _encoded(digest: str, encoding: Encoding) -> str:
    return digest if encoding is Encoding.HEX else base64.b64encode(bytes.fromhex(digest)).decode("ascii")


def _nothing_left(identifiers: Mapping[Identifier, str]) -> LocalCode:
    """What was wrong with the only identifiers there were."""
    is_bad = any(identifiers.get(one) for one in _SINGLE)
    return LocalCode.IDENTIFIERS_INVALID if is_bad else LocalCode.IDENTIFIERS_INSUFFICIENT


def _is_too_old(row: UploadRow, now: datetime, *, has_click: bool) -> bool:
    if not has_click:
        return now - row.occurred_at > LIMITS.age_without_click
    return now - min(row.occurred_at, row.clicked_at or row.occurred_at) > LIMITS.age_with_click


def _consent(consent: Consent) -> Json:
    """Only what was granted is said: NOT_REQUIRED leaves its field out, anything else was refused before."""
    purposes = {"adUserData": consent.ad_user_data, "adPersonalization": consent.ad_personalization}
    granted: Json = {name: "CONSENT_GRANTED" for name, state in purposes.items() if state is ConsentState.GRANTED}
    return {"consent": granted} if granted else {}


def _value(money: Money | None) -> Json:
    """Major units; the API types the value as a double."""
    return {} if money is None else {"conversionValue": float(money.quantised()), "currency": money.currency}
