"""From rows to the body of `conversionEvents`, and what must not be sent because it would sink its neighbours (pure)."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from connectors.contract.conversions import MICROS, DeliveryKind, Identifier, Money, UploadRow
from connectors.contract.destination import DestinationLimits
from connectors.contract.results import NotProcessed, Rejected, TargetRefused, UploadResult
from connectors.upload.draft import Draft, Json
from connectors.upload.judging import LocalCode, is_digest, refused_consent, refused_money, refused_time

CONVERSION_RULE = "conversion_rule"
RULE_URN = "urn:lla:llaPartnerConversion:"
LEAD_URN = "urn:li:leadGenFormResponse:"

_SINGLE = (Identifier.LINKEDIN_LEAD_ID, Identifier.LI_FAT_ID, Identifier.EMAIL_SHA256)
_OLDEST = timedelta(days=90)
# One event that grows too old on the way would cost its whole batch.
ON_THE_WAY = timedelta(minutes=2)

# Conversions API pages (2026-11): 5,000 events, 600 requests a minute, 90 days. A second copy of an id from one API is not
# documented to be dropped, so a lost answer is tried once more at most.
LIMITS = DestinationLimits(
    rows=5000,
    requests_per_minute=600,
    age_with_click=_OLDEST,
    age_without_click=_OLDEST,
    identifiers=frozenset(_SINGLE),
    click_identifiers=frozenset({Identifier.LI_FAT_ID, Identifier.LINKEDIN_LEAD_ID}),
    sufficient=tuple(frozenset({one}) for one in _SINGLE),
    targets=5000,
    unproven_repeats=1,
    target_settings=frozenset({CONVERSION_RULE}),
)

_RULE_ID = re.compile(r"[0-9]{1,20}")
_LEAD_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_FAT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CENT = Decimal("0.01")


def build(rows: Sequence[UploadRow], now: datetime) -> Draft:
    """The request for all rows that may be sent together."""
    elements: list[Json] = []
    sent: list[tuple[int, str]] = []
    local: dict[int, UploadResult] = {}
    keys: set[tuple[str, str]] = set()
    for place, row in enumerate(rows):
        rule = row.target.get(CONVERSION_RULE) or ""
        key = (row.conversion_id, rule)
        element = _refused(row, rule, now) or _element(row, rule)
        if isinstance(element, dict):
            element = _unfit(key, keys, len(elements)) or element
        if not isinstance(element, dict):
            local[place] = element
            continue
        elements.append(element)
        sent.append((place, rule))
        keys.add(key)
    return Draft({"elements": elements}, tuple(place for place, _ in sent), tuple(rule for _, rule in sent), local)


def is_rule_id(rule: str) -> bool:
    """True where it may be a conversion rule's id: a bare number, no URN."""
    return _RULE_ID.fullmatch(rule) is not None


def _unfit(key: tuple[str, str], keys: set[tuple[str, str]], sent: int) -> NotProcessed | None:
    """Why a good row waits for another request."""
    if key in keys:
        return NotProcessed(LocalCode.DUPLICATE_IN_REQUEST)
    return NotProcessed(LocalCode.TOO_MANY_ROWS) if sent >= LIMITS.rows else None


def _refused(row: UploadRow, rule: str, now: datetime) -> UploadResult | None:
    """What bars a row whatever its identifiers are."""
    if row.kind is not DeliveryKind.UPLOAD:
        return Rejected(LocalCode.CORRECTION_UNSUPPORTED, "LinkedIn documents no correction of an event")
    if not is_rule_id(rule):
        return TargetRefused(rule, LocalCode.TARGET_INVALID, "a conversion rule's id is a number")
    if not row.conversion_id:
        return Rejected(LocalCode.EVENT_ID_INVALID, "without an id nobody could tell a repetition")
    return refused_consent(row.consent) or refused_time(row.occurred_at, now, _OLDEST - ON_THE_WAY) or refused_money(row.money)


def _element(row: UploadRow, rule: str) -> Json | Rejected:
    """The event, without the identifiers that would sink the request; refused where none is left."""
    user = _user(row.identifiers)
    if not user["userIds"] and "lead" not in user:
        is_bad = any(row.identifiers.get(one) for one in _SINGLE)
        code = LocalCode.IDENTIFIERS_INVALID if is_bad else LocalCode.IDENTIFIERS_INSUFFICIENT
        return Rejected(code, "no identifier is left by which LinkedIn could know the person")
    element: Json = {
        "conversion": RULE_URN + rule,
        "conversionHappenedAt": _milliseconds(row.occurred_at),
        "eventId": row.conversion_id,
        "user": user,
    }
    if row.money is not None:
        element["conversionValue"] = {"currencyCode": row.money.currency, "amount": _amount(row.money)}
    return element


def _user(identifiers: Mapping[Identifier, str]) -> Json:
    """The key `userIds` is always there, also where the lead alone names the person."""
    ids: list[Json] = []
    if is_digest(identifiers.get(Identifier.EMAIL_SHA256, "")):
        ids.append({"idType": "SHA256_EMAIL", "idValue": identifiers[Identifier.EMAIL_SHA256]})
    if _FAT_ID.fullmatch(identifiers.get(Identifier.LI_FAT_ID, "")):
        ids.append({"idType": "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", "idValue": identifiers[Identifier.LI_FAT_ID]})
    lead = identifiers.get(Identifier.LINKEDIN_LEAD_ID, "").removeprefix(LEAD_URN)
    return {"userIds": ids, "lead": LEAD_URN + lead} if _LEAD_ID.fullmatch(lead) else {"userIds": ids}


def _milliseconds(at: datetime) -> int:
    return (at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _amount(money: Money) -> str:
    """A decimal string with two decimals at most: more are not documented, so a third (KWD) is rounded away, once."""
    exact = money.quantised()
    cents = (Decimal(money.amount_micros) / MICROS).quantize(_CENT)
    return str(exact if len(str(exact)) <= len(str(cents)) else cents)
