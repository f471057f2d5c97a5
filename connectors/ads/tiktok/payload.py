"""From rows to the body of `event/track/`, and what must not be sent because it would sink its neighbours (pure)."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from connectors.ads.tiktok.currencies import CURRENCIES
from connectors.ads.tiktok.settings import TikTokSettings
from connectors.contract.conversions import DeliveryKind, Identifier, Money, UploadRow
from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.results import NotProcessed, Rejected, TargetRefused, UploadResult
from connectors.upload.draft import Draft, Json
from connectors.upload.judging import LocalCode, is_digest, refused_consent, refused_money, refused_time

EVENT_NAME = "event_name"
CRM, OFFLINE = "crm", "offline"

_OLDEST = timedelta(days=28)
# One event that grows too old on the way would cost its whole batch.
ON_THE_WAY = timedelta(minutes=2)
CLICK_LIFE = timedelta(days=7)

_HASHED: Mapping[Identifier, str] = {
    Identifier.EMAIL_SHA256: "email",
    Identifier.PHONE_SHA256: "phone",
    Identifier.EXTERNAL_ID_SHA256: "external_id",
}
_SUFFICES = (Identifier.TIKTOK_LEAD_ID, Identifier.EMAIL_SHA256, Identifier.PHONE_SHA256)

# 1,000 events a request; 48 hours of dedup (described for web, assumed for the rest); 28 days by others' readings (2026-11).
LIMITS = DestinationLimits(
    rows=1000,
    requests_per_minute=60_000,
    age_with_click=_OLDEST,
    age_without_click=_OLDEST,
    identifiers=frozenset(_HASHED) | {Identifier.TTCLID, Identifier.TIKTOK_LEAD_ID},
    click_identifiers=frozenset({Identifier.TTCLID, Identifier.TIKTOK_LEAD_ID}),
    sufficient=tuple(frozenset({one}) for one in _SUFFICES),
    targets=1000,
    apart=frozenset({Identifier.TIKTOK_LEAD_ID}),
    # An old click is left out of its row; TikTok demands no age of it.
    click_age=FOREVER,
    dedup_window=timedelta(hours=48),
    target_settings=frozenset({EVENT_NAME}),
    send_when="own_click_or_lead_id",
)

_LEAD_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_CLICK_ID = re.compile(r"[A-Za-z0-9._~-]{8,500}")
# How TikTok writes the CRMs that it knows.
_CRM_NAMES: Mapping[str, str] = {"hubspot": "HubSpot", "salesforce": "Salesforce", "pipedrive": "Pipedrive"}


def build(rows: Sequence[UploadRow], settings: TikTokSettings, now: datetime, test_event_code: str = "") -> Draft:
    """The request for all rows of one form (of TikTok's own leads, or of others) that may be sent together."""
    events: list[Json] = []
    sent: list[tuple[int, str]] = []
    local: dict[int, UploadResult] = {}
    keys: set[tuple[str, str]] = set()
    form: str | None = None
    for place, row in enumerate(rows):
        name, own_form = row.target.get(EVENT_NAME) or "", form_of(row, settings)
        event = _refused(row, name, now) or _event(row, name, own_form, settings, now)
        key = (row.conversion_id, name)
        if isinstance(event, dict):
            event = _unfit(key, keys, len(events), is_other=form not in (None, own_form)) or event
        if not isinstance(event, dict):
            local[place] = event
            continue
        form = own_form
        events.append(event)
        sent.append((place, name))
        keys.add(key)
    body: Json = {"event_source": form or CRM, "event_source_id": _event_set(form or CRM, settings), "data": events}
    if test_event_code:
        body["test_event_code"] = test_event_code
    return Draft(body, tuple(place for place, _ in sent), tuple(name for _, name in sent), local)


def form_of(row: UploadRow, settings: TikTokSettings) -> str:
    """Which event source a row goes to."""
    if not settings.offline_event_set_id:
        return CRM
    if not settings.crm_event_set_id:
        return OFFLINE
    return CRM if _lead_id(row.identifiers) else OFFLINE


def is_event_name(name: str) -> bool:
    """True where TikTok may take it: a standard name or the advertiser's own."""
    return bool(name.strip()) and name.isprintable() and len(name) <= 150  # noqa: PLR2004 names are short everywhere


def crm_name(source_kind: str) -> str:
    """The CRM as TikTok shall show it."""
    return _CRM_NAMES.get(source_kind) or source_kind.title() or "CRM"


def _event_set(form: str, settings: TikTokSettings) -> str:
    return settings.crm_event_set_id if form == CRM else settings.offline_event_set_id


def _unfit(key: tuple[str, str], keys: set[tuple[str, str]], sent: int, *, is_other: bool) -> NotProcessed | None:
    """Why a good row waits for another request."""
    if is_other:
        return NotProcessed(LocalCode.OTHER_FORM)
    if key in keys:
        return NotProcessed(LocalCode.DUPLICATE_IN_REQUEST)
    return NotProcessed(LocalCode.TOO_MANY_ROWS) if sent >= LIMITS.rows else None


def _refused(row: UploadRow, name: str, now: datetime) -> UploadResult | None:
    """What bars a row whatever its identifiers are."""
    if row.kind is not DeliveryKind.UPLOAD:
        return Rejected(LocalCode.CORRECTION_UNSUPPORTED, "TikTok documents no correction of an event")
    if not is_event_name(name):
        return TargetRefused(name, LocalCode.TARGET_INVALID, "an event's name is a text that can be seen")
    if not row.conversion_id:
        return Rejected(LocalCode.EVENT_ID_INVALID, "without an id TikTok would count every repetition")
    return refused_consent(row.consent) or refused_time(row.occurred_at, now, _OLDEST - ON_THE_WAY) or refused_money(row.money)


def _event(row: UploadRow, name: str, form: str, settings: TikTokSettings, now: datetime) -> Json | Rejected:
    """The event, without the identifiers that would sink the request; refused where too little is left."""
    takes_clicks = form == OFFLINE and settings.offline_click_ids
    user: Json = {}
    for identifier, key in _HASHED.items():
        is_taken = identifier is not Identifier.EXTERNAL_ID_SHA256 or form == CRM or takes_clicks
        if is_taken and is_digest(row.identifiers.get(identifier, "")):
            user[key] = row.identifiers[identifier]
    lead_id = _lead_id(row.identifiers)
    if not (user.keys() & {"email", "phone"}) and not (lead_id and form == CRM):
        is_bad = any(row.identifiers.get(one) for one in _SUFFICES)
        code = LocalCode.IDENTIFIERS_INVALID if is_bad else LocalCode.IDENTIFIERS_INSUFFICIENT
        return Rejected(code, "no identifier is left by which TikTok could know the person")
    click_id = row.identifiers.get(Identifier.TTCLID, "")
    is_fresh = row.clicked_at is None or now - row.clicked_at <= CLICK_LIFE
    if takes_clicks and is_fresh and _CLICK_ID.fullmatch(click_id):
        user["ttclid"] = click_id
    event: Json = {"event": name, "event_time": _seconds(row.occurred_at), "event_id": row.conversion_id, "user": user}
    if form == CRM:
        lead: Json = {"lead_event_source": crm_name(row.source_kind)}
        event["lead"] = {"lead_id": lead_id, **lead} if lead_id else lead
    if row.money is not None and row.money.currency in CURRENCIES:
        event["properties"] = _value(row.money)
    return event


def _lead_id(identifiers: Mapping[Identifier, str]) -> str:
    """The lead's id where it is one, else ""."""
    given = identifiers.get(Identifier.TIKTOK_LEAD_ID, "")
    return given if _LEAD_ID.fullmatch(given) else ""


def _seconds(at: datetime) -> int:
    """TikTok takes whole seconds."""
    return int(at.astimezone(UTC).replace(microsecond=0).timestamp())


def _value(money: Money) -> Json:
    return {"value": float(money.quantised()), "currency": money.currency}
