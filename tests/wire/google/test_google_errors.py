"""Every code of Google that the facts name, with what must come of it: of a request, of a late verdict, of a retraction."""

import inspect
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.ads.google.adjustments import CODES as ADJUSTMENTS
from connectors.ads.google.ads_refusals import QUOTAS
from connectors.ads.google.destination import GoogleDestination
from connectors.ads.google.status import read_verdict
from connectors.contract.conversions import DeliveryKind, UploadRow
from connectors.contract.errors import ConnectorError
from connectors.contract.results import Verdicts
from connectors.simulators.faults import Fault, answer
from tests.contract.ad_reading import DAY, connected, row
from tests.contract.crm_stage import Clock
from tests.contract.google_stage import GoogleStage
from tests.wire.error_words import adjusted, fact_rows, uploaded, words
from tests.wire.google.google_rig import refused

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def table(text: Mapping[str, str]) -> dict[str, str]:
    return {code: outcome for outcome, codes in text.items() for code in codes.split()}


# 8.2, told of one event of one conversion action. A code for which somebody must act pauses the connection.
REQUESTS = table(
    {
        "Retry": "INTERNAL_ERROR DEADLINE_EXCEEDED RESOURCE_EXHAUSTED",
        "Later": "CONVERSION_ACTION_TOO_RECENTLY_CREATED",
        "Rejected": """
            REQUIRED_FIELD_MISSING INVALID_FORMAT INVALID_NUMBER_FORMAT INVALID_ENUM_VALUE FIELD_VALUE_TOO_LONG
            FIELD_VALUE_TOO_SHORT INVALID_EVENT INVALID_CURRENCY_CODE INVALID_POSTAL_CODE INVALID_REGION_CODE
            INVALID_HEX_ENCODING INVALID_BASE64_ENCODING INVALID_SHA256_FORMAT TOO_MANY_USER_IDENTIFIERS
            NO_IDENTIFIERS_PROVIDED RESERVED_NAME_USED CUSTOM_VARIABLE_VALUE_CONTAINS_PII INVALID_CUSTOM_VARIABLE_VALUE
            THIRD_PARTY_USER_DATA_NOT_ALLOWED EVENT_TIME_INVALID INVALID_AD_IDENTIFIER_FOR_ACCOUNT
            TOO_MANY_EVENTS TOO_MANY_ELEMENTS TOO_FEW_ELEMENTS TOO_MANY_DESTINATIONS""",
        # Of an event these do not say what they concern: nothing is stopped, and nothing is lost.
        "Retry (unknown)": "PERMISSION_DENIED NOT_FOUND",
        "TargetRefused": """
            INVALID_DESTINATION INVALID_CONVERSION_ACTION_ID INVALID_CONVERSION_ACTION_TYPE
            EVENT_SOURCE_AND_DESTINATION_MISMATCH CUSTOM_VARIABLE_NOT_ENABLED CUSTOM_VARIABLE_NOT_FOUND""",
        "AuthenticationFailed": """
            DESTINATION_ACCOUNT_TYPE_MISMATCH OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH NOT_ALLOWLISTED
            LINKED_ACCOUNT_ONLY_ALLOWED_WITH_DATA_PARTNER_LOGIN_ACCOUNT TERMS_AND_CONDITIONS_NOT_SIGNED
            DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS
            DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED
            DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED""",
        "RequestRefused": "DUPLICATE_DESTINATION_REFERENCE MULTIPLE_DATA_TYPES_NOT_ALLOWED",
    }
)
# Told of a status question only.
OF_RECEIPTS = {"INVALID_REQUEST_ID", "REQUEST_TOO_OLD"}
# 8.3, the late verdict of one event.
VERDICTS = table(
    {
        "Retry": "INTERNAL_ERROR",
        "Later": "TOO_RECENT_CLICK",
        "AlreadyThere": "DUPLICATE_TRANSACTION_ID DUPLICATE_GCLID",
        "Unmatched": "CLICK_NOT_FOUND",
        "Rejected": """
            EVENT_TOO_OLD CONVERSION_PRECEDES_CLICK INVALID_GCLID INVALID_GBRAID INVALID_WBRAID INVALID_AD_IDENTIFIERS
            INVALID_CLICK INVALID_FORMAT INVALID_EVENT INVALID_CUSTOM_VARIABLE ORIGINAL_CONVERSIONS_NOT_FOUND
            INVALID_OPERATING_ACCOUNT_FOR_CLICK OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER
            DENIED_CONSENT NO_CONSENT UNKNOWN_CONSENT ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID
            EVENT_ID_DECODE_ERROR INVALID_MERCHANT_ID INVALID_MOBILE_ID_FORMAT""",
        "TargetRefused": """
            CUSTOM_VARIABLE_NOT_ENABLED EXTERNAL_ATTRIBUTION_DATA_MISSING AWS_AUTH_FAILED USER_IDENTIFIER_DECRYPTION_ERROR
            DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED""",
    }
)
# Families that the facts write with a star, each by one of its members.
STARRED = {
    "DECRYPTION_": ("DECRYPTION_ERROR", "TargetRefused"),
    "DEK_": ("DEK_DECRYPTION_ERROR", "TargetRefused"),
    "WIP_": ("WIP_AUTH_FAILED", "TargetRefused"),
    "KEK_": ("KEK_PERMISSION_DENIED", "TargetRefused"),
    "MATCH_ID_": ("MATCH_ID_NOT_FOUND", "Rejected"),
    "USER_ID_NOT_FOUND": ("USER_ID_NOT_FOUND_FOR_GCLID", "Rejected"),
    "INSUFFICIENT_": ("INSUFFICIENT_TRANSACTIONS", "Rejected"),
}
# 8.4 and what 8.6 names beside it: a retraction of three days ago.
RETRACTIONS = table(
    {
        "Later": "TOO_RECENT_CONVERSION TOO_RECENT_CONVERSION_ACTION CONVERSION_NOT_FOUND",
        "Rejected": """
            CONVERSION_EXPIRED TOO_MANY_ADJUSTMENTS ADJUSTMENT_PRECEDES_CONVERSION MISSING_ORDER_ID_FOR_WEBPAGE
            GCLID_DATE_TIME_PAIR_AND_ORDER_ID_BOTH_SET ORDER_ID_CONTAINS_PII INVALID_USER_IDENTIFIER
            UNSUPPORTED_USER_IDENTIFIER INVALID_JOB_ID PARTIAL_FAILURE_MODE_REQUIRED""",
        "AlreadyThere": """
            CONVERSION_ALREADY_RETRACTED RESTATEMENT_ALREADY_EXISTS MORE_RECENT_RESTATEMENT_FOUND
            DUPLICATE_ADJUSTMENT_IN_REQUEST DUPLICATE_ENHANCEMENT_IN_REQUEST CONVERSION_ALREADY_ENHANCED""",
        "TargetRefused": """
            CANNOT_RESTATE_CONVERSION_ACTION_THAT_ALWAYS_USES_DEFAULT_CONVERSION_VALUE NO_CONVERSION_ACTION_FOUND
            INVALID_CONVERSION_ACTION_TYPE CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS
            CUSTOMER_DATA_POLICY_PROHIBITS_ENHANCEMENT
            CONVERSION_ACTION_NOT_ELIGIBLE_FOR_ENHANCEMENT""",
        "NotProcessed": "TOO_MANY_ADJUSTMENTS_IN_REQUEST",
        "Retry": """
            TRANSIENT_ERROR INTERNAL_ERROR DEADLINE_EXCEEDED ACCESS_PROHIBITED CUSTOMER_NOT_FOUND CUSTOMER_NOT_ENABLED
            CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION PROJECT_DISABLED MISSING_TOS
            ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT INVALID_LOGIN_CUSTOMER_ID""",
    }
)
# 8.6, told of the whole call: status, outcome. A used-up quota pauses, a grant that does not reach leaves uploads alone.
CALLS: dict[str, tuple[int, str]] = {
    "RESOURCE_EXHAUSTED": (429, "RateLimited {} 60 s"),
    "RESOURCE_TEMPORARILY_EXHAUSTED": (429, "RateLimited {} 60 s"),
    "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION": (429, "RateLimited {} 60 s"),
    "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION": (429, "RateLimited {} 3600 s"),
    "OAUTH_TOKEN_EXPIRED": (401, "AuthenticationFailed {}"),
    "OAUTH_TOKEN_REVOKED": (401, "AuthenticationFailed {}"),
    "NOT_ADS_USER": (401, "Unsupported {}"),
    "USER_PERMISSION_DENIED": (403, "Unsupported {}"),
}
# 8.5 are answers to uploadClickConversions of the Google Ads API. It is closed to new callers since 2026-06-15 and Leadloop
# never calls it: uploads go through the Data Manager API, whose codes are those of 8.2 and 8.3.
OF_THE_LEGACY_UPLOAD = set(
    table(
        {
            "never": """
    TOO_RECENT_EVENT TOO_RECENT_CALL TOO_RECENT_CONVERSION_ACTION ORDER_ID_ALREADY_IN_USE CLICK_CONVERSION_ALREADY_EXISTS
    CLICK_NOT_FOUND UNPARSEABLE_GCLID CONVERSION_PRECEDES_EVENT EXPIRED_EVENT EVENT_NOT_FOUND GBRAID_WBRAID_BOTH_SET
    INVALID_USER_IDENTIFIER UNSUPPORTED_USER_IDENTIFIER ORDER_ID_CONTAINS_PII DUPLICATE_ORDER_ID
    DUPLICATE_CLICK_CONVERSION_IN_REQUEST CONVERSION_NOT_COMPLIANT_WITH_ATT_POLICY CUSTOM_VARIABLE_VALUE_CONTAINS_PII
    UNAUTHORIZED_CUSTOMER INVALID_CUSTOMER_FOR_CLICK NO_CONVERSION_ACTION_FOUND INVALID_CONVERSION_ACTION_TYPE
    CONVERSION_TRACKING_NOT_ENABLED_AT_IMPRESSION_TIME CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS
    CUSTOMER_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS CUSTOMER_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS
    ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID EXTERNAL_ATTRIBUTION
    CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE"""
        }
    )
)
# 8.1 by status and canonical name, told of the call with nothing more.
STATUSES: dict[tuple[int, str], str] = {
    (400, "INVALID_ARGUMENT"): "Rejected INVALID_ARGUMENT",
    (400, "FAILED_PRECONDITION"): "Retry FAILED_PRECONDITION (unknown)",
    (401, "UNAUTHENTICATED"): "AuthenticationFailed UNAUTHENTICATED",
    (403, "PERMISSION_DENIED"): "AuthenticationFailed PERMISSION_DENIED",
    (404, "NOT_FOUND"): "AuthenticationFailed NOT_FOUND",
    (429, "RESOURCE_EXHAUSTED"): "RateLimited RESOURCE_EXHAUSTED 60 s",
    (500, "INTERNAL"): "Unavailable unknown",
    (503, "UNAVAILABLE"): "Unavailable unknown",
    (504, "DEADLINE_EXCEEDED"): "Unavailable unknown",
}


@pytest.fixture
def stage() -> GoogleStage:
    return GoogleStage(Clock(NOW))


def retraction(stage: GoogleStage, number: int = 1) -> UploadRow:
    return row(stage, number, kind=DeliveryKind.RETRACT, occurred_at=NOW - 3 * DAY, clicked_at=NOW - 9 * DAY)


def ads_error(code: str, index: int | None = None) -> dict[str, Any]:
    elements = [] if index is None else [{"fieldName": "conversion_adjustments", "index": index}]
    error = {"errorCode": {"aFamily": code}, "message": "says nothing", "location": {"fieldPathElements": elements}}
    return {"code": 3, "message": "says nothing", "details": [{"errors": [error]}]}


def partly(code: str, index: int, count: int) -> Fault:
    results: list[Any] = [{} if place == index else {"orderId": "x"} for place in range(count)]
    return answer(200, {"partialFailureError": ads_error(code, index), "results": results})


def named_in(shared: Path, heading: str) -> Iterator[str]:
    for cell, *_ in fact_rows(shared, "ads_google.md", heading):
        words_of_cell = re.findall(r"[A-Z][A-Z0-9_]*\*?", re.sub(r"\(.*?\)", "", cell))
        yield from (one for one in words_of_cell if "_" in one)


@pytest.mark.parametrize(("code", "outcome"), REQUESTS.items())
async def test_what_a_reason_of_a_request_comes_to(stage: GoogleStage, code: str, outcome: str) -> None:
    """The event that is named falls, waits or stops its action; its neighbour was not judged, whatever the code is."""
    kind, _, rest = outcome.partition(" ")
    told = f"{kind} {code} {rest}".strip()
    fault = answer(400, refused(("events[0].x", code)))

    assert await uploaded(stage, fault) == [told]
    both = await uploaded(stage, fault, 2)
    of_all = [told] * (1 if kind.endswith(("Failed", "RequestRefused")) else 2)
    assert both in (of_all, [told, f"NotProcessed {code}"])
    assert stage.total_counted() == 0


@pytest.mark.parametrize(("code", "outcome"), [*VERDICTS.items(), *((code, outcome) for code, outcome in STARRED.values())])
def test_what_a_reason_of_a_late_verdict_comes_to(code: str, outcome: str) -> None:
    """The event that is named has its verdict, the other one was recorded."""
    entry = {
        "destination": {"reference": "action-7302219941"},
        "requestStatus": "PARTIAL_SUCCESS",
        "errorInfo": {"errorCounts": [{"reason": f"PROCESSING_ERROR_REASON_{code}", "recordCount": "1", "recordIndices": ["1"]}]},
    }

    reply = read_verdict({"requestStatusPerDestination": [entry]}, sent=2, now=NOW)

    assert isinstance(reply, Verdicts)
    assert {place: words(one) for place, one in reply.by_position.items()} == {1: f"{outcome} {code}"}


@pytest.mark.parametrize(("code", "outcome"), RETRACTIONS.items())
async def test_what_a_code_of_a_retraction_comes_to(stage: GoogleStage, code: str, outcome: str) -> None:
    """200 may hold failures by index; those between them were taken."""
    given = [retraction(stage, 1), retraction(stage, 2)]

    assert await adjusted(stage, partly(code, 1, 2), given) == ["Accepted", f"{outcome} {code}"]


@pytest.mark.parametrize(("code", "case"), CALLS.items())
async def test_what_a_code_of_the_whole_call_comes_to(stage: GoogleStage, code: str, case: tuple[int, str]) -> None:
    """Quotas pause; where the grant does not reach the Google Ads API only corrections end."""
    status, outcome = case
    fault = answer(status, {"error": ads_error(code)})

    assert await adjusted(stage, fault, [retraction(stage)]) == [outcome.format(code)]


@pytest.mark.parametrize(("key", "told"), STATUSES.items())
async def test_what_a_status_comes_to(stage: GoogleStage, key: tuple[int, str], told: str) -> None:
    """A canonical name stands in where Google gives no reason."""
    status, canonical = key
    fault = answer(status, {"error": {"code": status, "status": canonical, "message": "says nothing"}})

    (found,) = await uploaded(stage, fault)

    assert found == told or (told == "Unavailable unknown" and found.startswith("Unavailable") and found.endswith("unknown"))


def test_every_code_of_the_facts_has_a_row(shared: Path) -> None:
    """A code that is in no row was never thought about."""
    late = {code.removeprefix("PROCESSING_ERROR_") for code in named_in(shared, "### 8.3")}
    starred = {code.removesuffix("*") for code in late if code.endswith("*")}
    of_calls = set(named_in_text(shared, "### 8.6"))

    assert set(named_in(shared, "### 8.2")) == set(REQUESTS) | OF_RECEIPTS
    assert {code for code in late if not code.endswith("*")} == set(VERDICTS)
    assert starred == set(STARRED)
    assert set(named_in(shared, "### 8.4")) - {"_USER_IDENTIFIER", "USER_IDENTIFIER"} <= set(RETRACTIONS)
    assert of_calls <= set(CALLS) | set(RETRACTIONS)


def named_in_text(shared: Path, heading: str) -> list[str]:
    text = (shared / "facts/ads_google.md").read_text(encoding="utf-8").partition(heading)[2].partition("\n---")[0]
    return re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text)


def test_the_codes_of_the_legacy_upload_are_those_of_a_call_that_is_never_made(shared: Path) -> None:
    """Whoever adds that call finds here what it may answer; until then no table needs its codes."""
    section = (shared / "facts/ads_google.md").read_text(encoding="utf-8").partition("### 8.5")[2].partition("### 8.6")[0]

    assert set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+", section)) == OF_THE_LEGACY_UPLOAD
    sources = Path(inspect.getfile(GoogleDestination)).parent.glob("*.py")
    assert not [one.name for one in sources if "uploadClickConversions" in one.read_text(encoding="utf-8")]


def test_every_status_of_the_facts_has_a_row(shared: Path) -> None:
    """8.1 names what comes without a reason."""
    cells = [cell for cell, *_ in fact_rows(shared, "ads_google.md", "### 8.1")]
    named = {int(one) for cell in cells for one in re.findall(r"\b[45]\d\d\b", cell)}

    assert named == {status for status, _ in STATUSES}


def test_every_code_of_a_retraction_in_the_connector_has_a_row() -> None:
    """A code of the connector's table that no test names could mean anything."""
    assert set(ADJUSTMENTS) == set(RETRACTIONS)
    assert set(CALLS) >= QUOTAS


async def test_an_unknown_code_of_a_retraction_costs_it_nothing(stage: GoogleStage) -> None:
    """Google adds codes with each version."""
    given = [retraction(stage, 1), retraction(stage, 2)]

    assert await adjusted(stage, partly("NEVER_SEEN", 0, 2), given) == ["Retry NEVER_SEEN (unknown)", "Accepted"]


async def test_a_fault_of_the_whole_call_is_not_halved(stage: GoogleStage) -> None:
    """Two thousand rows would make four thousand requests, each refused for the account's sake."""
    given = [retraction(stage, number) for number in (1, 2, 3)]
    fault = answer(400, {"error": ads_error("INVALID_LOGIN_CUSTOMER_ID")})

    assert await adjusted(stage, fault, given) == ["Retry INVALID_LOGIN_CUSTOMER_ID"] * 3


@pytest.mark.parametrize(
    "body", [{}, {"results": []}, {"results": [{"orderId": "x"}]}, {"results": "two"}, {"results": [{}, {}, {}]}]
)
async def test_200_with_another_number_of_results_is_not_delivered(stage: GoogleStage, body: object) -> None:
    """What the reply does not say was not done."""
    (told,) = await adjusted(stage, answer(200, body), [retraction(stage, 1), retraction(stage, 2)])

    assert told == "UnexpectedReply results unknown"


@pytest.mark.parametrize("index", [None, 2, 9])
async def test_an_error_that_names_no_retraction_of_ours_confirms_nobody(stage: GoogleStage, index: int | None) -> None:
    """One of them failed and nobody knows which; a retraction sent twice retracts once."""
    body = {"partialFailureError": ads_error("CONVERSION_EXPIRED", index), "results": [{}, {"orderId": "x"}]}

    told = await adjusted(stage, answer(200, body), [retraction(stage, 1), retraction(stage, 2)])

    assert told == ["NotProcessed CONVERSION_EXPIRED"] * 2


async def test_a_conversion_that_is_not_found_for_days_was_never_recorded(stage: GoogleStage) -> None:
    """A click that matched nothing leaves nothing to take back: asking on would ask for weeks."""
    old = row(stage, 1, kind=DeliveryKind.RETRACT, occurred_at=NOW - timedelta(days=5), clicked_at=NOW - 9 * DAY)

    assert await adjusted(stage, partly("CONVERSION_NOT_FOUND", 0, 1), [old]) == ["Unsupported CONVERSION_NOT_FOUND"]


async def test_retractions_that_are_switched_off_send_nothing(stage: GoogleStage) -> None:
    """`retractions: off` is for accounts whose owner wants none."""
    stage.settings = lambda **more: {**GoogleStage.settings(stage, **more), "retractions": "off"}  # type: ignore[method-assign]

    async with connected(stage) as destination:
        try:
            told = [words(one) for one in await destination.adjust([retraction(stage)], NOW)]  # type: ignore[attr-defined]
        except ConnectorError as error:
            told = [words(error)]

    assert told == ["Unsupported retractions_off"]
    assert stage.bodies() == []
