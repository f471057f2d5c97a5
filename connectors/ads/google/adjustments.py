"""Retractions: from rows to the body of `uploadConversionAdjustments`, and from its answer to results (pure)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from connectors.ads.google.ads_api import GRANT_MEND
from connectors.ads.google.ads_refusals import ads_errors
from connectors.ads.google.payload import CONVERSION_ACTION, LIMITS, is_action_id
from connectors.ads.google.settings import GoogleSettings
from connectors.contract.conversions import DeliveryKind, UploadRow
from connectors.contract.errors import AuthenticationFailed, Effect, UnexpectedReply
from connectors.contract.results import (
    Accepted,
    AlreadyThere,
    Later,
    NotProcessed,
    Rejected,
    Retry,
    TargetRefused,
    Unsupported,
    UploadResult,
)
from connectors.http.reply import Reply
from connectors.upload.draft import Draft, Json
from connectors.upload.json_values import as_list, as_object
from connectors.upload.judging import LocalCode

# A conversion may take a day to be found; after some days it was never recorded.
NOT_FOUND_DELAY = timedelta(hours=6)
NOT_FOUND_FOR = timedelta(days=3)
TOO_RECENT_ACTION = timedelta(hours=6)


class Outcome(StrEnum):
    """What a code of an adjustment means.

    `there`: the platform has it so already. `later`: not yet. `not_found`: not yet, or never. `row`: refused for good.
    `target`: the conversion action takes none. `size`: too many. `call`: of the call, not of a row; it passes by itself, or
    once somebody mends the account.
    """

    THERE = "there"
    LATER = "later"
    NOT_FOUND = "not_found"
    ROW = "row"
    TARGET = "target"
    SIZE = "size"
    CALL = "call"


# google-ads 34.0.0, v26: conversionAdjustmentUploadError, and the families that may stand beside it.
CODES: Mapping[str, Outcome] = {
    "TOO_RECENT_CONVERSION": Outcome.LATER,
    "TOO_RECENT_CONVERSION_ACTION": Outcome.LATER,
    "CONVERSION_NOT_FOUND": Outcome.NOT_FOUND,
    **dict.fromkeys(
        [
            "CONVERSION_EXPIRED",
            "TOO_MANY_ADJUSTMENTS",
            "ADJUSTMENT_PRECEDES_CONVERSION",
            "MISSING_ORDER_ID_FOR_WEBPAGE",
            "GCLID_DATE_TIME_PAIR_AND_ORDER_ID_BOTH_SET",
            "ORDER_ID_CONTAINS_PII",
            "INVALID_USER_IDENTIFIER",
            "UNSUPPORTED_USER_IDENTIFIER",
            "INVALID_JOB_ID",
        ],
        Outcome.ROW,
    ),
    **dict.fromkeys(
        [
            "CONVERSION_ALREADY_RETRACTED",
            "RESTATEMENT_ALREADY_EXISTS",
            "MORE_RECENT_RESTATEMENT_FOUND",
            "DUPLICATE_ADJUSTMENT_IN_REQUEST",
            "DUPLICATE_ENHANCEMENT_IN_REQUEST",
            "CONVERSION_ALREADY_ENHANCED",
        ],
        Outcome.THERE,
    ),
    **dict.fromkeys(
        [
            "CANNOT_RESTATE_CONVERSION_ACTION_THAT_ALWAYS_USES_DEFAULT_CONVERSION_VALUE",
            "NO_CONVERSION_ACTION_FOUND",
            "INVALID_CONVERSION_ACTION_TYPE",
            "CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS",
            "CUSTOMER_DATA_POLICY_PROHIBITS_ENHANCEMENT",
            "CONVERSION_ACTION_NOT_ELIGIBLE_FOR_ENHANCEMENT",
        ],
        Outcome.TARGET,
    ),
    "TOO_MANY_ADJUSTMENTS_IN_REQUEST": Outcome.SIZE,
    **dict.fromkeys(["TRANSIENT_ERROR", "INTERNAL_ERROR", "DEADLINE_EXCEEDED"], Outcome.CALL),
    **dict.fromkeys(
        [
            "ACCESS_PROHIBITED",
            "CUSTOMER_NOT_FOUND",
            "CUSTOMER_NOT_ENABLED",
            "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION",
            "PROJECT_DISABLED",
            "MISSING_TOS",
            "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT",
            "INVALID_LOGIN_CUSTOMER_ID",
        ],
        Outcome.CALL,
    ),
    "PARTIAL_FAILURE_MODE_REQUIRED": Outcome.ROW,
}
# Told with a 401 of a user who has no Google Ads account: the token is good, and uploads go on with it.
NO_GRANT = frozenset({"NOT_ADS_USER"})
# Refusals that one row may have caused; any other status is the call's.
_OF_ROWS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})


def build_retractions(rows: Sequence[UploadRow], settings: GoogleSettings, now: datetime) -> Draft:
    """The request for all retractions that may be sent together."""
    items: list[Json] = []
    sent: list[tuple[int, str]] = []
    local: dict[int, UploadResult] = {}
    keys: set[tuple[str, str]] = set()
    for place, row in enumerate(rows):
        action = row.target.get(CONVERSION_ACTION) or ""
        key = (row.conversion_id, action)
        refused = _refused(row, action, now) or _unfit(key, keys)
        if refused is not None:
            local[place] = refused
            continue
        items.append(_retraction(row, action, settings, now))
        sent.append((place, action))
        keys.add(key)
    body: Json = {"conversionAdjustments": items, "partialFailure": True, "validateOnly": False}
    return Draft(body, tuple(place for place, _ in sent), tuple(action for _, action in sent), local)


def read_adjusted(reply: Reply, draft: Draft, occurred_at: Sequence[datetime], now: datetime) -> Sequence[UploadResult]:
    """One result for each adjustment. 200 may hold failures; `results` has one element for each row, empty for a failed one."""
    total = len(draft.rows)
    errors = ads_errors(reply.body)
    if reply.status >= HTTPStatus.BAD_REQUEST:
        code = errors[0].code if errors else str(reply.status)
        if total > 1 and reply.status in _OF_ROWS and CODES.get(code) is not Outcome.CALL:
            return [NotProcessed(code)] * total
        return [_judged(code, *of_row, now) for of_row in zip(draft.targets, occurred_at, strict=True)]
    loose = [one for one in errors if one.index is None or not 0 <= one.index < total]
    if loose and total > 1:
        return [NotProcessed(loose[0].code)] * total
    if loose:
        return [_judged(loose[0].code, draft.targets[0], occurred_at[0], now)]
    named: dict[int, UploadResult] = {}
    for one in errors:
        place = one.index or 0
        result = _judged(one.code, draft.targets[place], occurred_at[place], now)
        if place not in named or _weight(result) > _weight(named[place]):
            named[place] = result
    _check_taken(reply, named, total)
    return [named.get(place, Accepted()) for place in range(total)]


def without_grant(count: int, code: str) -> Sequence[UploadResult]:
    """The grant does not reach the Google Ads API: uploads go on, so many corrections cannot be taken."""
    return [Unsupported(code, GRANT_MEND)] * count


def not_admitted(error: AuthenticationFailed, count: int) -> Sequence[UploadResult]:
    """A refused call that must not pause uploads. Raises what is wrong with the token itself, which bars uploads as well.

    What somebody may mend in the account is tried again; where the grant does not reach, the correction ends.
    """
    if CODES.get(error.code) is Outcome.CALL:
        return [Retry(error.code)] * count
    if error.status == HTTPStatus.FORBIDDEN or error.code in NO_GRANT:
        return without_grant(count, error.code)
    raise error


def _check_taken(reply: Reply, failed: Collection[int], total: int) -> None:
    """200 is not delivered: each row has its element of `results`, and an empty one is a failure that nobody explained."""
    results = as_list(reply.json_object().get("results"))
    silent = [place for place, one in enumerate(results) if not as_object(one) and place not in failed]
    if len(results) != total or silent:
        said = f"Google Ads answered {len(results)} results for {total} adjustments, {len(silent)} of them empty without a reason"
        raise UnexpectedReply(said, effect=Effect.UNKNOWN, code="results", status=reply.status)


def _unfit(key: tuple[str, str], keys: Collection[tuple[str, str]]) -> NotProcessed | None:
    """Why a good row waits for another request: of two equal ones Google may take neither, and of too many none."""
    if key in keys:
        return NotProcessed(LocalCode.DUPLICATE_IN_REQUEST)
    return NotProcessed(LocalCode.TOO_MANY_ROWS) if len(keys) >= LIMITS.rows else None


def _refused(row: UploadRow, action: str, now: datetime) -> UploadResult | None:
    if row.kind is not DeliveryKind.RETRACT:
        return Rejected(LocalCode.CORRECTION_UNSUPPORTED, "only retractions go this way")
    if not is_action_id(action):
        return TargetRefused(action, LocalCode.TARGET_INVALID, "a conversion action's id is a number")
    age = now - row.occurred_at
    if age < LIMITS.correction_after:
        return Later(row.occurred_at + LIMITS.correction_after, LocalCode.CORRECTION_TOO_EARLY)
    if age > LIMITS.correction_within:
        return Unsupported(LocalCode.CORRECTION_TOO_LATE, "Google corrects conversions of the last 54 days")
    return None  # taking back needs nobody's consent


def _retraction(row: UploadRow, action: str, settings: GoogleSettings, now: datetime) -> Json:
    return {
        "conversionAction": f"customers/{settings.account_id}/conversionActions/{action}",
        "adjustmentType": "RETRACTION",
        "orderId": row.conversion_id,
        "adjustmentDateTime": now.astimezone(UTC).replace(microsecond=0).isoformat(sep=" "),
    }


def _judged(code: str, action: str, occurred_at: datetime, now: datetime) -> UploadResult:
    match CODES.get(code):
        case Outcome.THERE:
            return AlreadyThere(code)
        case Outcome.LATER:
            return Later(max(occurred_at + LIMITS.correction_after, now + TOO_RECENT_ACTION), code)
        case Outcome.NOT_FOUND if now - occurred_at <= LIMITS.correction_after + NOT_FOUND_FOR:
            return Later(now + NOT_FOUND_DELAY, code)
        case Outcome.NOT_FOUND:
            return Unsupported(code, "Google never recorded this conversion, so there is nothing to take back")
        case Outcome.ROW:
            return Rejected(code)
        case Outcome.TARGET:
            return TargetRefused(action, code)
        case Outcome.CALL:
            return Retry(code)
        case Outcome.SIZE:
            return NotProcessed(code)
        case None:
            return Retry(code, is_known=False)


def _weight(result: UploadResult) -> int:
    """Where several complaints name one row, the one that settles more stands: what is there already needs nothing."""
    order = (Retry, NotProcessed, Later, Unsupported, TargetRefused, Rejected, AlreadyThere)
    return next((place for place, kind in enumerate(order) if isinstance(result, kind)), 0)
