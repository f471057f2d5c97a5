"""What bars a row at every platform alike, judged here so that it costs no neighbour its request (pure)."""

import re
from datetime import datetime, timedelta
from enum import StrEnum

from connectors.contract.conversions import Consent, ConsentState, Money
from connectors.contract.currencies import CURRENCIES
from connectors.contract.results import Later, Rejected

_DIGEST = re.compile(r"[0-9a-f]{64}")


class LocalCode(StrEnum):
    """Why a row was not sent, decided here and not by the platform."""

    EVENT_TOO_OLD = "event_too_old"
    EVENT_IN_FUTURE = "event_in_future"
    EVENT_ID_INVALID = "event_id_invalid"
    TARGET_INVALID = "target_invalid"
    CONSENT_DENIED = "consent_denied"
    CONSENT_UNKNOWN = "consent_unknown"
    NEGATIVE_VALUE = "negative_value"
    VALUE_TOO_LARGE = "value_too_large"
    VALUE_MISSING = "value_missing"
    CURRENCY_INVALID = "currency_invalid"
    IDENTIFIERS_INVALID = "identifiers_invalid"
    IDENTIFIERS_INSUFFICIENT = "identifiers_insufficient"
    CORRECTION_TOO_EARLY = "correction_too_early"
    CORRECTION_TOO_LATE = "correction_too_late"
    CORRECTION_UNSUPPORTED = "correction_unsupported"
    DUPLICATE_IN_REQUEST = "duplicate_in_request"
    TOO_MANY_ROWS = "too_many_rows"
    TOO_MANY_TARGETS = "too_many_targets"
    OTHER_FORM = "other_form"


# The largest amount in major units that a double still holds to the hundredth.
LARGEST_VALUE_MICROS = 10**13 * 10**6


def is_digest(text: str) -> bool:
    """True for a SHA-256 in lower-case hex."""
    return _DIGEST.fullmatch(text) is not None


def refused_consent(consent: Consent) -> Rejected | None:
    """Nothing goes without consent, whatever the platform's own field for it."""
    if consent.allows_sending:
        return None
    is_denied = ConsentState.DENIED in (consent.ad_user_data, consent.ad_personalization)
    return Rejected(LocalCode.CONSENT_DENIED if is_denied else LocalCode.CONSENT_UNKNOWN, "the person has not agreed")


def refused_time(occurred_at: datetime, now: datetime, oldest: timedelta) -> Later | Rejected | None:
    """What is ahead of us waits; what is older than `oldest` is refused."""
    if occurred_at > now:
        return Later(occurred_at, LocalCode.EVENT_IN_FUTURE)
    if now - occurred_at > oldest:
        return Rejected(LocalCode.EVENT_TOO_OLD, f"older than {oldest.days} days, which the platform does not take")
    return None


def refused_money(money: Money | None) -> Rejected | None:
    """A negative or absurd amount, or a currency that is none."""
    if money is None:
        return None
    if money.amount_micros < 0:
        return Rejected(LocalCode.NEGATIVE_VALUE, "a conversion's value is not below zero")
    if money.amount_micros > LARGEST_VALUE_MICROS:
        return Rejected(LocalCode.VALUE_TOO_LARGE, "the value is larger than any platform can count")
    if money.currency not in CURRENCIES:
        return Rejected(LocalCode.CURRENCY_INVALID, "the currency is none of ISO 4217")
    return None
