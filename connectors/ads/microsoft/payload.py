"""From rows to the bodies of offline conversions and of their adjustments; what must not be sent is judged here (pure)."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from connectors.ads.microsoft.settings import MicrosoftSettings
from connectors.contract.conversions import DeliveryKind, Identifier, Money, UploadRow
from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.results import NotProcessed, Rejected, TargetRefused, UploadResult
from connectors.upload.draft import Draft, Json
from connectors.upload.judging import LocalCode, is_digest, refused_consent, refused_money, refused_time

GOAL = "goal"
LONGEST_GOAL_NAME = 100
UET_PREFIX = "_uet"

_OLDEST = timedelta(days=90)
# From building to the receipt there.
ON_THE_WAY = timedelta(minutes=2)
_EMAILS = (Identifier.EMAIL_MICROSOFT_SHA256, Identifier.EMAIL_SHA256)
_SINGLE = (Identifier.MSCLKID, Identifier.EMAIL_MICROSOFT_SHA256, Identifier.PHONE_SHA256)

# Offline conversion pages (2026-11): 1,000 rows, 90 days, one conversion for (goal, click id, second) for ever. Adjustments have
# no documented limit of rows, and their original shows up to six hours after its upload.
LIMITS = DestinationLimits(
    rows=1000,
    requests_per_minute=120,
    age_with_click=_OLDEST,
    age_without_click=_OLDEST,
    identifiers=frozenset({*_SINGLE, Identifier.EMAIL_SHA256}),
    click_identifiers=frozenset({Identifier.MSCLKID}),
    sufficient=tuple(frozenset({one}) for one in _SINGLE),
    targets=1000,
    dedup_window=FOREVER,
    restates=True,
    retracts=True,
    correction_after=timedelta(hours=6),
    correction_within=_OLDEST,
    target_settings=frozenset({GOAL}),
    send_when="own_click_or_lead_id",
)

Written = Callable[[UploadRow, str, MicrosoftSettings, datetime], Json | Rejected]

_CLICK_ID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def build(rows: Sequence[UploadRow], settings: MicrosoftSettings, now: datetime) -> Draft:
    """The request for all conversions that may be sent together."""
    return _drafted(rows, settings, now, "OfflineConversions", _conversion)


def build_adjustments(rows: Sequence[UploadRow], settings: MicrosoftSettings, now: datetime) -> Draft:
    """The request for corrections, all of one kind."""
    return _drafted(rows, settings, now, "OfflineConversionAdjustments", _adjustment)


def content_key(row: UploadRow, settings: MicrosoftSettings) -> str:
    """Goal, click id (hashes where there is none) and second: what Microsoft takes for one conversion."""
    known = _identifiers(row.identifiers, settings)
    click = known.get("MicrosoftClickId")
    who = str(click).replace("-", "").lower() if click else f"{known.get('HashedEmailAddress')}|{known.get('HashedPhoneNumber')}"
    return f"{row.target.get(GOAL) or ''}|{who}|{_time(row.occurred_at)}"


def is_goal_name(goal: str) -> bool:
    """True where a goal may have this name."""
    return bool(goal.strip()) and goal.isprintable() and len(goal) <= LONGEST_GOAL_NAME


def _drafted(
    rows: Sequence[UploadRow],
    settings: MicrosoftSettings,
    now: datetime,
    name: str,
    written: Written,
) -> Draft:
    items: list[Json] = []
    sent: list[tuple[int, str]] = []
    local: dict[int, UploadResult] = {}
    keys: set[str] = set()
    for place, row in enumerate(rows):
        goal = row.target.get(GOAL) or ""
        item = _refused(row, goal, now) or written(row, goal, settings, now)
        key = content_key(row, settings)
        if isinstance(item, dict):
            item = _unfit(key, keys, len(items)) or item
        if not isinstance(item, dict):
            local[place] = item
            continue
        items.append(item)
        sent.append((place, goal))
        keys.add(key)
    return Draft({name: items}, tuple(place for place, _ in sent), tuple(goal for _, goal in sent), local)


def _unfit(key: str, keys: set[str], sent: int) -> NotProcessed | None:
    """Why a good row waits for another request."""
    if key in keys:
        return NotProcessed(LocalCode.DUPLICATE_IN_REQUEST)
    return NotProcessed(LocalCode.TOO_MANY_ROWS) if sent >= LIMITS.rows else None


def _refused(row: UploadRow, goal: str, now: datetime) -> UploadResult | None:
    """What bars a row whatever its identifiers are."""
    if not is_goal_name(goal):
        return TargetRefused(goal, LocalCode.TARGET_INVALID, "a goal's name is a text of at most 100 characters")
    time = refused_time(row.occurred_at, now, _OLDEST - ON_THE_WAY)
    withheld = None if row.kind is DeliveryKind.RETRACT else refused_consent(row.consent)  # taking back needs nobody's consent
    return withheld or time or refused_money(row.money)


def _conversion(row: UploadRow, goal: str, settings: MicrosoftSettings, now: datetime) -> Json | Rejected:  # noqa: ARG001 as below
    if row.kind is not DeliveryKind.UPLOAD:
        return Rejected(LocalCode.CORRECTION_UNSUPPORTED, "a correction goes by another request")
    item = _original(row, goal, settings)
    if isinstance(item, Rejected) or row.money is None:
        return item
    return {**item, "ConversionValue": _value(row.money), "ConversionCurrencyCode": row.money.currency}


def _adjustment(row: UploadRow, goal: str, settings: MicrosoftSettings, now: datetime) -> Json | Rejected:
    """The original by its goal, time and identifiers, and what is new about it."""
    if row.kind is DeliveryKind.UPLOAD:
        return Rejected(LocalCode.CORRECTION_UNSUPPORTED, "a conversion goes by another request")
    item = _original(row, goal, settings)
    if isinstance(item, Rejected):
        return item
    item["AdjustmentTime"] = _time(now)
    if row.kind is DeliveryKind.RETRACT:
        return {**item, "AdjustmentType": "Retract"}
    if row.money is None:
        return Rejected(LocalCode.VALUE_MISSING, "a restatement needs its new value")
    worth: Json = {"AdjustmentValue": _value(row.money), "AdjustmentCurrencyCode": row.money.currency}
    return {**item, "AdjustmentType": "Restate", **worth}


def _original(row: UploadRow, goal: str, settings: MicrosoftSettings) -> Json | Rejected:
    """Goal, time and identifiers, without such as would be refused."""
    known = _identifiers(row.identifiers, settings)
    if not known:
        is_bad = any(row.identifiers.get(one) for one in LIMITS.identifiers)
        code = LocalCode.IDENTIFIERS_INVALID if is_bad else LocalCode.IDENTIFIERS_INSUFFICIENT
        return Rejected(code, "no identifier is left by which Microsoft could know the person")
    return {"ConversionName": goal, "ConversionTime": _time(row.occurred_at), **known}


def _identifiers(identifiers: Mapping[Identifier, str], settings: MicrosoftSettings) -> Json:
    found: Json = {}
    click_id = identifiers.get(Identifier.MSCLKID, "").removeprefix(UET_PREFIX)
    if _CLICK_ID.fullmatch(click_id):
        found["MicrosoftClickId"] = click_id
    for name, one in (("HashedEmailAddress", settings.email), ("HashedPhoneNumber", Identifier.PHONE_SHA256)):
        if is_digest(identifiers.get(one, "")):
            found[name] = identifiers[one]
    return found


def _time(at: datetime) -> str:
    """Whole seconds: the time is part of the key, so it is cut once and the same for ever."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _value(money: Money) -> float:
    return float(money.quantised())
