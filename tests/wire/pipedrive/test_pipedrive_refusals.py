"""Pipedrive's errors in the words of the contract, each with how long to stay away and what to mend."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.contract.errors import (
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
    UnexpectedReply,
)
from connectors.contract.records import ObjectKind
from connectors.contract.source import Page, Window
from connectors.crm.pipedrive.refusals import classify
from connectors.http.client import Reply
from tests.wire.pipedrive.fake_company import NOW, SELECTION, TOKEN, Company, nothing_stored, read, refusal

LATE = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
DEALS = Window(ObjectKind.DEAL, NOW - timedelta(days=1))
CLOUDFLARE = "<!DOCTYPE html><html><title>Attention Required! | Cloudflare</title></html>"


def judged(status: int, body: Any = None, headers: dict[str, str] | None = None, now: datetime = NOW) -> ConnectorError | None:
    return classify(Reply(status, headers or {}, body), now)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "bad"}, RequestRefused),
        (401, {"error": "unauthorized access", "errorCode": 401}, AuthenticationFailed),
        (402, {"error": "payment required"}, AuthenticationFailed),
        (403, {"error": "no"}, AuthenticationFailed),
        (403, None, AuthenticationFailed),
        (403, CLOUDFLARE, RateLimited),
        (404, {"error": "not found"}, RequestRefused),
        (405, None, RequestRefused),
        (410, None, RequestRefused),
        (415, None, RequestRefused),
        (422, None, RequestRefused),
        (429, None, RateLimited),
        (501, None, RequestRefused),
    ],
)
def test_each_status_has_its_class(status: int, body: Any, kind: type[ConnectorError]) -> None:
    """Only what passes by itself is tried again."""
    error = judged(status, body)

    assert type(error) is kind
    assert (error.status, error.effect) == (status, Effect.NONE)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_outages_are_left_to_the_general_reading(status: int) -> None:
    """They mean the same for all vendors."""
    assert judged(status, CLOUDFLARE) is None


@pytest.mark.parametrize(
    ("headers", "body", "now", "wait"),
    [
        ({"x-daily-ratelimit-token-remaining": "0"}, None, NOW, timedelta(hours=1)),
        ({"x-daily-requests-left": "0"}, None, LATE, timedelta(minutes=30)),
        ({}, {"error": "Daily API token budget exceeded"}, NOW, timedelta(hours=1)),
        ({"x-ratelimit-remaining": "12", "x-ratelimit-reset": "1"}, {"error": "request over limit"}, NOW, timedelta(hours=1)),
    ],
)
def test_a_spent_day_is_looked_at_hourly_until_midnight(
    headers: dict[str, str], body: Any, now: datetime, wait: timedelta
) -> None:
    """Asking on would end in a block by Cloudflare (complaint 10)."""
    error = judged(429, body, headers, now)

    assert isinstance(error, RateLimited)
    assert (error.code, error.retry_after) == ("daily_tokens", wait)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"}, timedelta(seconds=2)),
        ({"retry-after": "5", "x-ratelimit-reset": "2"}, timedelta(seconds=5)),
        ({"x-ratelimit-reset": "soon"}, None),
        ({}, None),
    ],
)
def test_a_burst_waits_for_the_window(headers: dict[str, str], wait: timedelta | None) -> None:
    """Two seconds at most; a Retry-After is honoured where there is one."""
    error = judged(429, {"error": "request over limit"}, headers)

    assert isinstance(error, RateLimited)
    assert error.retry_after == wait


def test_a_page_from_the_edge_parks_for_half_an_hour() -> None:
    """It is no JSON and no matter of rights (complaint 10)."""
    error = judged(403, CLOUDFLARE)
    longer = judged(403, CLOUDFLARE, {"retry-after": "7200"})

    assert isinstance(error, RateLimited)
    assert isinstance(longer, RateLimited)
    assert (error.code, error.retry_after) == ("abuse_block", timedelta(minutes=30))
    assert longer.retry_after == timedelta(hours=2)


def test_missing_scope_and_missing_feature_are_told_apart() -> None:
    """One is mended in the app's registration, the other with the plan."""
    scope = judged(403, {"success": False, "error": "Scope and URL mismatch", "errorCode": 403})
    feature = judged(403, {"success": False, "error": "no", "code": "feature_capping_leads"})

    assert isinstance(scope, AuthenticationFailed)
    assert isinstance(feature, AuthenticationFailed)
    assert (scope.code, feature.code) == ("scope", "feature_capping_leads")
    assert "access scopes" in scope.message
    assert "plan" in feature.message


@pytest.mark.parametrize("body", [None, [], "text", {"error": 5, "code": None, "error_info": ["x"]}, {"error": {"a": 1}}])
def test_error_bodies_of_any_shape_are_judged(body: Any) -> None:
    """Every field of an error body is optional."""
    for status in (400, 401, 402, 404, 422, 429):
        assert isinstance(judged(status, body), ConnectorError)


async def test_a_burst_is_waited_out_and_a_spent_day_is_not() -> None:
    """Four requests more of a spent day would be four more reasons to block us."""
    company = Company()
    refused = [httpx.Response(429, headers={"x-ratelimit-reset": "1", "x-ratelimit-remaining": "0"})]
    company.on_request = lambda _request: refused.pop() if refused else None
    await read(company, DEALS)
    company.requests.clear()
    company.on_request = lambda _request: httpx.Response(429, headers={"x-daily-requests-left": "0"})

    with pytest.raises(RateLimited):
        await read(company, DEALS)

    assert company.sleeps[0] >= 1
    assert len(company.requests) == 1


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (lambda: httpx.Response(200, text=CLOUDFLARE), UnexpectedReply),
        (lambda: httpx.Response(200, json=[]), UnexpectedReply),
        (lambda: httpx.Response(200, json={"success": True}), UnexpectedReply),
        (lambda: httpx.Response(200, json={"success": False, "data": []}), UnexpectedReply),
        (lambda: httpx.Response(200, json={"success": True, "data": {"id": 1}}), UnexpectedReply),
        (lambda: httpx.Response(200, json={"success": True, "data": [{"id": "x"}]}), UnexpectedReply),
        (lambda: httpx.Response(200, json={"success": True, "data": [{"id": 1, "update_time": "soon"}]}), UnexpectedReply),
        (lambda: httpx.Response(200, json={"success": True, "data": [{"id": True, "update_time": None}]}), UnexpectedReply),
        (lambda: httpx.Response(502, text=CLOUDFLARE), Unavailable),
        (lambda: httpx.Response(302, headers={"location": "https://evil.example"}), UnexpectedReply),
    ],
)
async def test_garbage_is_an_error_and_settles_nothing(response: Any, kind: type[ConnectorError]) -> None:
    """A window that was not read must not be settled."""
    company = Company()
    company.deal(1, NOW - timedelta(hours=1))
    company.on_request = lambda _request: response()
    pages: list[Page] = []

    with pytest.raises(kind) as caught:
        await _read_into(pages, company)

    assert pages == []
    assert TOKEN not in str(caught.value)


async def test_a_window_stops_at_a_query_that_pipedrive_refuses() -> None:
    """A 400 is ours to mend: going on would settle a window that was never read."""
    company = Company()
    company.on_request = lambda _request: refusal(400, "invalid include_fields")

    with pytest.raises(RequestRefused, match="invalid include_fields"):
        await read(company, DEALS)


async def _read_into(pages: list[Page], company: Company) -> None:
    async for page in company.source().changes(DEALS, SELECTION, nothing_stored()):
        pages.append(page)  # noqa: PERF401 what came before an error counts
