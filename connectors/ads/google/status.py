"""The late verdict: what requestStatus:retrieve says of the events of one request (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from connectors.contract.errors import Effect, UnexpectedReply
from connectors.contract.results import (
    AlreadyThere,
    Later,
    Rejected,
    Retry,
    StillProcessing,
    Unmatched,
    Unnamed,
    VerdictReply,
    VerdictResult,
    Verdicts,
)

DELAY = timedelta(hours=6)
_PREFIX = "PROCESSING_ERROR_REASON_"
# One reason is named without the word REASON.
_SHORT_PREFIX = "PROCESSING_ERROR_"
_FINAL = frozenset({"SUCCESS", "PARTIAL_SUCCESS", "FAILED", "FAILURE"})


class Late(StrEnum):
    """What a reason of late processing means for its rows."""

    RETRY = "retry"
    DELAY = "delay"
    ALREADY_THERE = "already_there"
    UNMATCHED = "unmatched"
    REJECTED = "rejected"


def _table(rows: Mapping[Late, str]) -> Mapping[str, Late]:
    return {code: late for late, codes in rows.items() for code in codes.split()}


PROCESSING_REASONS: Mapping[str, Late] = _table(
    {
        Late.RETRY: "UNSPECIFIED INTERNAL_ERROR",
        Late.DELAY: "TOO_RECENT_CLICK TOO_RECENT_CALL DESTINATION_TOO_RECENTLY_CREATED",
        Late.ALREADY_THERE: "DUPLICATE_TRANSACTION_ID DUPLICATE_GCLID",
        Late.UNMATCHED: "CLICK_NOT_FOUND",
        Late.REJECTED: """EVENT_TOO_OLD CONVERSION_PRECEDES_CLICK INVALID_GCLID INVALID_GBRAID INVALID_WBRAID INVALID_CLICK
            INVALID_AD_IDENTIFIERS INVALID_FORMAT INVALID_EVENT INVALID_CUSTOM_VARIABLE ORIGINAL_CONVERSIONS_NOT_FOUND
            EXPIRED_CLICK EXPIRED_CALL INVALID_CALL INVALID_OPERATING_ACCOUNT_FOR_CLICK
            OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER DENIED_CONSENT NO_CONSENT UNKNOWN_CONSENT
            ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID CUSTOM_VARIABLE_NOT_ENABLED
            EXTERNAL_ATTRIBUTION_DATA_MISSING DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED
            DECRYPTION_ERROR DEK_DECRYPTION_ERROR INVALID_WIP INVALID_KEK WIP_AUTH_FAILED KEK_PERMISSION_DENIED
            AWS_AUTH_FAILED USER_IDENTIFIER_DECRYPTION_ERROR MATCH_ID_NOT_FOUND USER_ID_NOT_FOUND
            USER_ID_NOT_FOUND_FOR_MATCH_ID USER_ID_NOT_FOUND_FOR_GCLID USER_ID_NOT_FOUND_FOR_DCLID
            USER_ID_NOT_FOUND_FOR_IMPRESSION_ID EVENT_ID_DECODE_ERROR INSUFFICIENT_MATCHED_TRANSACTIONS
            INSUFFICIENT_TRANSACTIONS INVALID_MERCHANT_ID INVALID_MOBILE_ID_FORMAT""",
    }
)


@dataclass(frozen=True, slots=True)
class _Failure:
    code: str
    count: int
    positions: tuple[int, ...] | None


def read_status(body: object, sent: int, now: datetime, base: int) -> VerdictReply:
    """The verdict on `sent` events; `base` is what Google calls the first index. Raises UnexpectedReply."""
    entries = body.get("requestStatusPerDestination") if isinstance(body, dict) else None
    if not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
        raise UnexpectedReply("Google's request status names no destination", effect=Effect.NONE)
    if any(each.get("requestStatus") not in _FINAL for each in entries):
        return StillProcessing()
    failures = [failure for each in entries for failure in _failures(each, sent, base)]
    positions = [position for each in failures for position in each.positions or ()]
    # Every event goes to one destination and fails once: an index that comes twice does not count over events.
    if all(each.positions is not None for each in failures) and len(set(positions)) == len(positions):
        return Verdicts({at: late_result(each.code, now) for each in failures for at in each.positions or ()})
    failed = sum(each.count for each in failures)
    codes = {each.code for each in failures}
    code = max(failures, key=lambda each: each.count).code
    if len(codes) == 1 and failed >= sent:
        return Verdicts(dict.fromkeys(range(sent), late_result(code, now)))
    return Unnamed(min(failed, sent), code)


def late_result(code: str, now: datetime) -> VerdictResult:
    """What a reason (without its prefix) means for a row; an unknown one is final."""
    match PROCESSING_REASONS.get(code, Late.REJECTED):
        case Late.RETRY:
            return Retry(code)
        case Late.DELAY:
            return Later(now + DELAY, code)
        case Late.ALREADY_THERE:
            return AlreadyThere(code)
        case Late.UNMATCHED:
            return Unmatched(code)
        case Late.REJECTED:
            return Rejected(code)


def short_code(reason: object) -> str:
    """A ProcessingErrorReason without its prefix."""
    text = reason if isinstance(reason, str) and reason else "UNSPECIFIED"
    return text.removeprefix(_PREFIX).removeprefix(_SHORT_PREFIX)[:100]


def _failures(entry: Mapping[str, object], sent: int, base: int) -> Sequence[_Failure]:
    info = entry.get("errorInfo")
    counts = info.get("errorCounts") if isinstance(info, dict) else None
    found = [_failure(each, sent, base) for each in counts or () if isinstance(each, dict)] if isinstance(counts, list) else []
    if found or entry.get("requestStatus") == "SUCCESS":
        return found
    # Failed without a reason: how many were sent is the most that can be said.
    ingested = entry.get("eventsIngestionStatus")
    count = _number(ingested.get("recordCount")) if isinstance(ingested, dict) else None
    return [_Failure("UNSPECIFIED", count or sent, None)]


def _failure(entry: Mapping[str, object], sent: int, base: int) -> _Failure:
    code = short_code(entry.get("reason"))
    count = _number(entry.get("recordCount"))
    raw = entry.get("recordIndices")
    numbers = [_number(each) for each in raw] if isinstance(raw, list) else []
    positions = [number - base for number in numbers if number is not None and 0 <= number - base < sent]
    is_sound = bool(numbers) and len(positions) == len(numbers) and count in (None, len(positions))
    return _Failure(code, len(positions) if count is None else count, tuple(positions) if is_sound else None)


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:  # noqa: PLR2004 int64
        return int(value)
    return None
