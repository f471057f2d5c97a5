"""Salesforce's errors in the words of the contract, and the day's requests that every answer tells of."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.contract.errors import (
    NEEDS_REAUTH,
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
    UnexpectedReply,
)
from connectors.contract.records import ObjectKind
from connectors.crm.salesforce.budget import DailyBudget
from connectors.crm.salesforce.refusals import classify, error_within
from connectors.http.client import Reply
from tests.wire.salesforce.fake_org import NOW, Org, read, refusal, refused

POLL = timedelta(minutes=5)


def judged(status: int, code: str, message: str = "") -> ConnectorError | None:
    return classify(Reply(status, {}, refused(code, message)))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "INVALID_SESSION_ID", AuthenticationFailed),
        (401, "INVALID_AUTH_HEADER", AuthenticationFailed),
        (403, "API_DISABLED_FOR_ORG", AuthenticationFailed),
        (403, "API_CURRENTLY_DISABLED", AuthenticationFailed),
        (403, "INSUFFICIENT_ACCESS", AuthenticationFailed),
        (403, "INSUFFICIENT_ACCESS_OR_READONLY", AuthenticationFailed),
        (403, "FUNCTIONALITY_NOT_ENABLED", AuthenticationFailed),
        (400, "MALFORMED_QUERY", RequestRefused),
        (400, "INVALID_FIELD", RequestRefused),
        (400, "INVALID_TYPE", RequestRefused),
        (400, "INVALID_FIELD_FOR_INSERT_UPDATE", RequestRefused),
        (400, "NUMBER_OUTSIDE_VALID_RANGE", RequestRefused),
        (400, "INVALID_QUERY_LOCATOR", RequestRefused),
        (400, "QUERY_TIMEOUT", Unavailable),
        (400, "QUERY_TOO_COMPLICATED", RequestRefused),
        (400, "OPERATION_TOO_LARGE", RequestRefused),
        (400, "EXCEEDED_ID_LIMIT", RequestRefused),
        (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", RequestRefused),
        (400, "UNABLE_TO_LOCK_ROW", Unavailable),
        (404, "NOT_FOUND", RequestRefused),
        (404, "ENTITY_IS_DELETED", RequestRefused),
        (406, "", Unavailable),
        (409, "CONFLICT", RequestRefused),
        (410, "", RequestRefused),
        (405, "METHOD_NOT_ALLOWED", RequestRefused),
        (415, "UNSUPPORTED_MEDIA_TYPE", RequestRefused),
        (414, "", RequestRefused),
        (420, "", RequestRefused),
        (431, "", RequestRefused),
    ],
)
def test_each_row_of_the_error_table(status: int, code: str, kind: type[ConnectorError]) -> None:
    """A wrong class repeats for ever, or gives up what an hour would mend."""
    error = judged(status, code, "words")

    assert type(error) is kind
    expected = NEEDS_REAUTH if status == 401 else code or error.code  # the client has tried a new token already
    assert (error.code, error.status, error.effect) == (expected, status, Effect.NONE)
    assert type(error_within(status, refused(code, "words"))) is kind


@pytest.mark.parametrize(("status", "code"), [(500, "UNKNOWN_EXCEPTION"), (502, ""), (503, "SERVER_UNAVAILABLE"), (504, "")])
def test_outages_pass(status: int, code: str) -> None:
    """Inside a composite as well as around it."""
    assert isinstance(judged(status, code), Unavailable | None)
    assert isinstance(error_within(status, refused(code)), Unavailable)


def test_a_spent_day_parks_the_connection_for_half_an_hour() -> None:
    """The limit rolls and tells no end: each try is a request more."""
    error = judged(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")

    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.effect) == (timedelta(minutes=30), Effect.NONE)


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "ConcurrentPerOrgLongTxn Limit exceeded."), (503, "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")],
)
def test_too_many_long_requests_wait_seconds(status: int, words: str) -> None:
    """The same code, and another cause: it passes with the requests that run now."""
    error = judged(status, "REQUEST_LIMIT_EXCEEDED", words)

    assert isinstance(error, RateLimited)
    assert error.retry_after == timedelta(seconds=10)


async def test_a_spent_day_is_not_asked_again_within_the_poll() -> None:
    """Retries of a read would only spend more."""
    org = Org()
    org.on_request = lambda request: (
        refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.") if "composite" in request.url.path else None
    )

    with pytest.raises(RateLimited):
        await read(org)

    assert org.calls["POST /composite"] == 1


def test_mends_are_told() -> None:
    """Version, permission and field each have their place in Setup."""
    mends = {
        "api_version": judged(410, ""),
        "API": judged(403, "API_DISABLED_FOR_ORG"),
        "permission set": judged(403, "INSUFFICIENT_ACCESS"),
        "approved": judged(403, "CLIENT_NOT_ACCESSIBLE_FOR_USER"),
        "Opportunity has no field Foo__c": judged(
            400, "INVALID_FIELD", "\nSELECT Id,Foo__c FROM\n ^\nERROR at Row:1\nNo such column 'Foo__c' on entity 'Opportunity'."
        ),
        "ErrorId 123456-7890": error_within(500, refused("UNKNOWN_EXCEPTION", "An unexpected error. ErrorId: 123456-7890")),
    }

    assert all(error is not None and mend in error.message for mend, error in mends.items())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, "<html>"),
        (400, None),
        (400, []),
        (400, [1]),
        (400, {"x": 1}),
        (404, [{"errorCode": 7}]),
        (400, [{"errorCode": "a b'"}]),
    ],
)
def test_an_error_of_any_form_is_an_error(status: int, body: Any) -> None:
    """A body that cannot be read must not hide its status."""
    error = classify(Reply(status, {}, body))

    assert isinstance(error, RequestRefused)
    assert error.code == ""


def test_messages_hold_nothing_personal() -> None:
    """Salesforce repeats values in its messages."""
    error = judged(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "jane.doe@example.com is taken, call +1 847 262 5000")

    assert error is not None
    assert "jane" not in error.message
    assert "262" not in error.message


@pytest.mark.parametrize("status", [406, 503])
async def test_a_page_of_html_does_not_break_the_reading(status: int) -> None:
    """Maintenance answers so, now and then, for some seconds."""
    org = Org()
    failures = [httpx.Response(status, text="<html><body>Maintenance</body></html>")]
    org.on_request = lambda request: failures.pop() if failures and "composite" in request.url.path else None

    pages = await read(org)

    assert pages[-1].is_last
    assert len(org.sleeps) == 1


async def test_html_with_status_200_is_no_answer() -> None:
    """It is told, and the page is not committed."""
    org = Org()
    org.on_request = lambda request: httpx.Response(200, text="<html>") if "composite" in request.url.path else None

    with pytest.raises(UnexpectedReply):
        await read(org)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"compositeResponse": None},
        {"compositeResponse": [{"referenceId": "part0", "body": {}}]},
        {"compositeResponse": [{"referenceId": "part0", "httpStatusCode": "200"}] * 9},
        {"compositeResponse": [{"referenceId": f"other{place}", "httpStatusCode": 200, "body": {}} for place in range(9)]},
    ],
)
async def test_a_composite_that_does_not_answer_each_part_is_garbage(body: Any) -> None:
    """A part taken for empty would be a page lost."""
    org = Org()
    org.on_request = lambda request: httpx.Response(200, json=body) if "composite" in request.url.path else None

    with pytest.raises(UnexpectedReply):
        await read(org)


@pytest.mark.parametrize(
    ("usage", "times"),
    [
        ("api-usage=79999/100000", 1),
        ("api-usage=80000/100000", 3),
        ("api-usage=90000/100000", 6),
        ("api-usage=99999/100000", 12),
        ("per-app-api-usage=1/250(appName=x), api-usage=80000/100000", 3),
        ("api-usage=5000/100000; per-app-api-usage=24999/100000(appName=leadloop)", 12),
        ("api-usage=0/0", 1),
        ("garbage", 1),
        ("", 1),
    ],
)
async def test_polls_come_later_while_the_day_runs_low(usage: str, times: int) -> None:
    """The day is shared: the last requests belong to integrations that people wait for."""
    org = Org(usage=usage)
    source = org.source()

    await read(org, source=source)

    assert source.poll_every(ObjectKind.DEAL) == times * POLL


async def test_the_interval_goes_back_when_usage_falls() -> None:
    """A rolling day frees what was used a day ago."""
    org = Org(usage="api-usage=96000/100000")
    source = org.source()
    await read(org, source=source)
    before = source.poll_every(ObjectKind.DEAL)
    org.usage = "api-usage=20000/100000"

    await read(org, source=source)

    assert (before, source.poll_every(ObjectKind.LEAD)) == (12 * POLL, POLL)


async def test_a_refused_answer_tells_of_the_day_too() -> None:
    """The last answer of a spent day is a refusal."""
    org = Org(usage="api-usage=100000/100000")
    source = org.source()
    org.on_request = lambda request: (
        refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests") if "comp" in request.url.path else None
    )

    with pytest.raises(RateLimited):
        await read(org, source=source)

    assert source.poll_every(ObjectKind.DEAL) == 12 * POLL


def test_our_own_share_of_the_day_is_counted_and_ages() -> None:
    """A quarter of the day by default; what was asked a day ago counts no more."""
    now = [NOW]
    budget = DailyBudget(25, lambda: now[0])
    for _ in range(200):
        budget.seen({"sforce-limit-info": "api-usage=300/1000"})
    before = budget.stretched(POLL)
    now[0] += timedelta(hours=23)
    budget.seen({"sforce-limit-info": "api-usage=300/1000"})
    now[0] += timedelta(hours=2)

    assert (before, budget.stretched(POLL)) == (3 * POLL, POLL)
