"""What Google's error codes mean for rows, targets and the account: tables, and the reading of a refusal (pure)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from connectors.ads.google.payload import Plan
from connectors.contract.errors import AuthenticationFailed, ConnectorError, RateLimited
from connectors.contract.results import Later, NotProcessed, Rejected, Retry, TargetRefused, UploadResult
from connectors.http.reply import Reply, retry_after
from connectors.http.scrub import scrub

DELAY = timedelta(hours=6)
THROTTLED = timedelta(seconds=60)
LOST_CODES = frozenset({"INVALID_REQUEST_ID", "REQUEST_TOO_OLD"})

_EVENT = re.compile(r"events(?:\.events)?\[(\d+)\]")
_DESTINATION = re.compile(r"destinations\[(\d+)\]")


class Meaning(StrEnum):
    """Whose matter an error is: `row`, `target` and `account` are final, `retry` and `delay` pass."""

    RETRY = "retry"
    DELAY = "delay"
    ROW = "row"
    TARGET = "target"
    ACCOUNT = "account"
    OTHER_PRODUCT = "other_product"


def _table(rows: Mapping[Meaning, str]) -> Mapping[str, Meaning]:
    return {code: meaning for meaning, codes in rows.items() for code in codes.split()}


ERROR_REASONS: Mapping[str, Meaning] = _table(
    {
        Meaning.RETRY: "ERROR_REASON_UNSPECIFIED INTERNAL_ERROR DEADLINE_EXCEEDED RESOURCE_EXHAUSTED",
        Meaning.DELAY: "CONVERSION_ACTION_TOO_RECENTLY_CREATED",
        Meaning.ROW: """INVALID_ARGUMENT REQUIRED_FIELD_MISSING INVALID_FORMAT INVALID_NUMBER_FORMAT INVALID_ENUM_VALUE
            FIELD_VALUE_TOO_LONG FIELD_VALUE_TOO_SHORT INVALID_EVENT INVALID_CURRENCY_CODE INVALID_POSTAL_CODE
            INVALID_COUNTRY_CODE INVALID_REGION_CODE INVALID_HEX_ENCODING INVALID_BASE64_ENCODING INVALID_SHA256_FORMAT
            TOO_MANY_USER_IDENTIFIERS NO_IDENTIFIERS_PROVIDED RESERVED_NAME_USED CUSTOM_VARIABLE_VALUE_CONTAINS_PII
            INVALID_CUSTOM_VARIABLE_VALUE THIRD_PARTY_USER_DATA_NOT_ALLOWED EVENT_TIME_INVALID
            INVALID_AD_IDENTIFIER_FOR_ACCOUNT INVALID_EVENT_NAME INVALID_COUPON_CODE INVALID_SUBDIVISION_CODE
            INVALID_SUBCONTINENT_CODE INVALID_CONTINENT_CODE INVALID_DEVICE_CATEGORY INVALID_MERCHANT_ID
            INVALID_MERCHANT_FEED_LANGUAGE_CODE INVALID_MOBILE_ID_FORMAT ALREADY_EXISTS
            TOO_MANY_EVENTS TOO_MANY_ELEMENTS TOO_FEW_ELEMENTS TOO_MANY_DESTINATIONS INVALID_REQUEST_ID REQUEST_TOO_OLD""",
        Meaning.TARGET: """INVALID_DESTINATION DUPLICATE_DESTINATION_REFERENCE INVALID_CONVERSION_ACTION_ID NOT_FOUND
            INVALID_CONVERSION_ACTION_TYPE EVENT_SOURCE_AND_DESTINATION_MISMATCH MULTIPLE_DATA_TYPES_NOT_ALLOWED
            CUSTOM_VARIABLE_NOT_ENABLED CUSTOM_VARIABLE_NOT_FOUND INVALID_PROPERTY_TYPE INVALID_STREAM_TYPE""",
        Meaning.ACCOUNT: """PERMISSION_DENIED DESTINATION_ACCOUNT_TYPE_MISMATCH OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH
            LINKED_ACCOUNT_ONLY_ALLOWED_WITH_DATA_PARTNER_LOGIN_ACCOUNT NOT_ALLOWLISTED TERMS_AND_CONDITIONS_NOT_SIGNED
            DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS
            DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED
            DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED
            UNSUPPORTED_OPERATING_ACCOUNT_FOR_DATA_PARTNER UNSUPPORTED_LINKED_ACCOUNT_FOR_DATA_PARTNER
            DIFFERENT_LOGIN_ACCOUNTS_NOT_ALLOWED_FOR_DATA_PARTNER MISMATCHED_ACCOUNT_TYPE ADVERTISER_TOS_NOT_ACCEPTED
            ADVERTISER_NOT_ALLOWLISTED_FOR_UPLOADED_DATA ACCOUNT_INELIGIBLE_FOR_STORE_SALES REQUIRED_PREREQUISITE_LINK_MISSING
            ADVERTISER_NOT_ALLOWLISTED_FOR_THIRD_PARTY_PARTNER_DATA DATA_PARTNER_NOT_ALLOWLISTED_FOR_THIRD_PARTY_PARTNER_DATA""",
        Meaning.OTHER_PRODUCT: """INVALID_USER_LIST_TYPE INVALID_AUDIENCE_MEMBER TOO_MANY_AUDIENCE_MEMBERS TOO_MANY_USERS
            DATA_PARTNER_USER_LIST_MUTATE_NOT_ALLOWED INVALID_USER_LIST_ID IMMUTABLE_FIELD_FOR_UPDATE INVALID_RESOURCE_NAME
            MULTIPLE_DESTINATIONS_FOR_GOOGLE_ANALYTICS_EVENT INVALID_FILTER INVALID_UPDATE_MASK INVALID_PAGE_TOKEN
            CANNOT_UPDATE_DISABLED_LICENSE CANNOT_CREATE_LICENSE_FOR_SENSITIVE_USERLIST INSUFFICIENT_COST CANNOT_DISABLE_LICENSE
            INVALID_CLIENT_ACCOUNT_ID PRICING_ONLY_ZERO_COST_ALLOWED PRICE_TOO_HIGH CUSTOMER_NOT_ALLOWED_TO_CREATE_LICENSE
            INVALID_PRICING_END_DATE CANNOT_LICENSE_LOGICAL_LIST_WITH_LICENSED_OR_SHARED_SEGMENT
            MEDIA_SHARE_COST_NOT_ALLOWED_FOR_LICENSE_TYPE MEDIA_SHARE_COST_NOT_ALLOWED_FOR_CLIENT_CUSTOMER
            INVALID_MEDIA_SHARE_COST INVALID_COST_TYPE MEDIA_SHARE_COST_NOT_ALLOWED_FOR_NON_COMMERCE_USER_LIST
            MAX_COST_NOT_ALLOWED COMMERCE_AUDIENCE_CAN_ONLY_BE_DIRECTLY_LICENSED INVALID_DESCRIPTION INVALID_DISPLAY_NAME
            DISPLAY_NAME_ALREADY_USED OWNERSHIP_REQUIRED_FOR_UPDATE USER_LIST_MUTATION_NOT_SUPPORTED
            SENSITIVE_USER_LIST_IMMUTABLE BILLABLE_RECORD_COUNT_IMMUTABLE USER_LIST_NAME_RESERVED
            UNSUPPORTED_PARTNER_AUDIENCE_SOURCE COMMERCE_PARTNER_NOT_ALLOWED UNSUPPORTED_PARTNER_AUDIENCE_INFO
            PARTNER_MATCH_FOR_MANAGER_ACCOUNT_DISALLOWED USER_LIST_TYPE_NOT_SUPPORTED_FOR_ACCOUNT INVALID_COMMERCE_PARTNER
            CUSTOMER_NOT_ALLOWLISTED_FOR_COMMERCE_AUDIENCE UNSUPPORTED_USER_LIST_UPLOAD_KEY_TYPES
            UNSUPPORTED_INGESTED_USER_LIST_INFO_CONFIG UNSUPPORTED_ACCOUNT_TYPES_FOR_USER_LIST_TYPE
            UNSUPPORTED_ACCOUNT_TYPE_FOR_PARTNER_LINK MEMBERSHIP_DURATION_TOO_LONG
            BOTH_CLIENT_ID_AND_APP_INSTANCE_ID_NOT_ALLOWED GOOGLE_ANALYTICS_SUBPROPERTY_OR_ROLLUP_PROPERTY_NOT_ALLOWED
            BASELINE_LOCATION_AUTO_DETECTION_FAILED INSIGHTS_MISSING_FOR_DIMENSION INVALID_REMOVE_AS_OF_TIME""",
    }
)

_ACCOUNT_MEND = "check account_id and login_account_id, and that the credential is a user with Standard access there"
_TERMS_MEND = "the account's owner accepts the customer data terms and turns on enhanced conversions for leads in Google Ads"
_MENDS = {
    "SERVICE_DISABLED": "enable the Data Manager API in the Google Cloud project of the credential",
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": "connect again and grant the scope https://www.googleapis.com/auth/datamanager",
    "NOT_ALLOWLISTED": "this account may not use the feature; ask Google's support",
    "EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED": "make the declaration on EU political advertising in Google Ads",
}
_CREDENTIAL_CODES = frozenset({"SERVICE_DISABLED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})


class AccountRefused(AuthenticationFailed):
    """The credentials are good; the account or their access to it is not."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One entry of `fieldViolations`; `message` is scrubbed."""

    field: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Google's error object."""

    code: str
    message: str
    violations: tuple[Violation, ...]

    @property
    def codes(self) -> Sequence[str]:
        """All codes, the violations' first."""
        return [*(each.code for each in self.violations), self.code]


def read_refusal(body: object) -> Refusal:
    """Read an error body; what is missing is empty."""
    error = _object(_object(body).get("error"))
    details = [_object(each) for each in _list(error.get("details"))]
    reasons = [_text(each.get("reason")) for each in details if _text(each.get("@type")).endswith("ErrorInfo")]
    entries = [_object(each) for detail in details for each in _list(detail.get("fieldViolations"))]
    violations = tuple(
        Violation(_text(each.get("field")), _code(each.get("reason")), scrub(_text(each.get("description")))) for each in entries
    )
    code = _code(next(filter(None, reasons), "") or error.get("status"))
    return Refusal(code, scrub(_text(error.get("message"))), violations)


def mend(code: str) -> str:
    """What a human does about an error of the account or the credential."""
    return _MENDS.get(code) or (_TERMS_MEND if "TERMS" in code or "ENHANCED_CONVERSIONS" in code else _ACCOUNT_MEND)


def call_error(reply: Reply, now: datetime) -> ConnectorError | None:
    """403, 404 and 429 in Google's words; None leaves a reply to the general reading or to the caller."""
    refusal = read_refusal(reply.body)
    if reply.status in (403, 404):
        if LOST_CODES & set(refusal.codes):
            return None
        kind = AuthenticationFailed if refusal.code in _CREDENTIAL_CODES else AccountRefused
        return kind(_refused(refusal.code, refusal.message), code=refusal.code, status=reply.status)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        away = retry_after(reply, now) or THROTTLED
        return RateLimited(f"Google throttles: {refusal.message}", retry_after=away, code=refusal.code, status=429)
    return None


def account_error(refusal: Refusal, status: int) -> AccountRefused | None:
    """The error that a 400 means for the whole account, None where it is about rows or targets."""
    problems = [*refusal.violations, Violation("", refusal.code, refusal.message)]
    for each in problems:
        if ERROR_REASONS.get(each.code) is Meaning.ACCOUNT:
            return AccountRefused(_refused(each.code, each.message), code=each.code, status=status)
    return None


def row_results(refusal: Refusal, plan: Plan, targets: Sequence[str], now: datetime) -> Sequence[UploadResult]:
    """What a 400 means for each sent event, in order; `targets` are the events' actions. Nothing had an effect."""
    by_event: dict[int, UploadResult] = {}
    by_action: dict[str, UploadResult] = {}
    for each in refusal.violations:
        event, destination = _index(_EVENT, each.field), _index(_DESTINATION, each.field)
        if event is not None and event < len(targets):
            by_event.setdefault(event, _event_result(each, targets[event], now))
        elif event is None and destination is not None and destination < len(plan.actions):
            action = plan.actions[destination]
            by_action.setdefault(action, _target_result(each, action, now))
    code = next(filter(None, refusal.codes), "INVALID_ARGUMENT")
    if not by_event and not by_action and len(targets) == 1:
        passing = ERROR_REASONS.get(code) is Meaning.RETRY
        return [Retry(code, refusal.message) if passing else Rejected(code, refusal.message)]
    return [by_event.get(at) or by_action.get(action) or NotProcessed(code) for at, action in enumerate(targets)]


def _event_result(violation: Violation, action: str, now: datetime) -> UploadResult:
    match ERROR_REASONS.get(violation.code):
        case Meaning.ROW | Meaning.OTHER_PRODUCT:
            return Rejected(violation.code, violation.message)
        case Meaning.DELAY:
            return Later(now + DELAY, violation.code)
        case Meaning.TARGET | Meaning.ACCOUNT:
            return TargetRefused(action, violation.code, violation.message)
        case Meaning.RETRY | None:
            return Retry(violation.code, violation.message)


def _target_result(violation: Violation, action: str, now: datetime) -> UploadResult:
    match ERROR_REASONS.get(violation.code):
        case Meaning.DELAY:
            return Later(now + DELAY, violation.code)
        case Meaning.RETRY:
            return Retry(violation.code, violation.message)
        case _:
            return TargetRefused(action, violation.code, violation.message)


def _refused(code: str, message: str) -> str:
    return f"Google refuses ({code or 'no code'}): {message}; {mend(code)}"


def _index(pattern: re.Pattern[str], path: str) -> int | None:
    found = pattern.search(path)
    return int(found[1]) if found and len(found[1]) < 7 else None  # noqa: PLR2004 no request has a million rows


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _code(value: object) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[A-Z0-9_]{1,100}", value) else ""
