"""HubSpot's errors in the words of the contract, each with how long to stay away and what to mend."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, RequestRefused, Unavailable
from connectors.contract.records import ObjectKind
from connectors.contract.source import Window
from connectors.crm.hubspot.refusals import classify
from connectors.http.client import Reply
from tests.wire.hubspot.fake_account import NOW, Account, read, refusal

LATE = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)


def judged(status: int, body: dict[str, Any] | str | None = None, zone: str = "UTC", **headers: str) -> ConnectorError | None:
    return classify(Reply(status, headers, body), ZoneInfo(zone), LATE)


@pytest.mark.parametrize(
    ("zone", "wait"),
    [
        ("UTC", timedelta(hours=20, minutes=30)),
        ("America/New_York", timedelta(hours=1, minutes=30)),
        ("Australia/Sydney", timedelta(hours=9, minutes=30)),
    ],
)
def test_a_spent_day_waits_for_the_accounts_midnight(zone: str, wait: timedelta) -> None:
    """The quota returns at midnight of the account's zone: earlier tries are errors, later ones lost hours."""
    error = judged(429, {"policyName": "DAILY"}, zone)

    assert isinstance(error, RateLimited)
    assert (error.code, error.retry_after) == ("DAILY", wait)


@pytest.mark.parametrize(
    ("policy", "headers", "wait"),
    [
        ("SECONDLY", {}, timedelta(seconds=1)),
        ("TEN_SECONDLY_ROLLING", {}, timedelta(seconds=10)),
        ("TEN_SECONDLY_ROLLING", {"retry-after": "3"}, timedelta(seconds=3)),
        ("NEW_POLICY", {}, None),
    ],
)
def test_bursts_wait_as_the_policy_says(policy: str, headers: dict[str, str], wait: timedelta | None) -> None:
    """HubSpot promises no Retry-After."""
    error = judged(429, {"policyName": policy, "errorType": "RATE_LIMIT"}, **headers)

    assert isinstance(error, RateLimited)
    assert error.retry_after == wait


def test_missing_scopes_are_named_with_the_place_to_add_them() -> None:
    """Nobody guesses a scope's name."""
    context = {"requiredGranularScopes": ["crm.objects.deals.read"]}
    error = judged(403, {"category": "MISSING_SCOPES", "errors": [{"message": "no", "context": context}]})

    assert isinstance(error, AuthenticationFailed)
    assert error.code == "MISSING_SCOPES"
    assert "crm.objects.deals.read" in error.message
    assert "Service keys" in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefused),
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, RequestRefused),
        (409, RequestRefused),
        (414, RequestRefused),
        (423, Unavailable),
        (477, Unavailable),
        (530, AuthenticationFailed),
    ],
)
def test_each_status_has_its_class(status: int, kind: type[ConnectorError]) -> None:
    """A malformed token answers 530 and must pause the connection, not look like an outage."""
    error = judged(status)

    assert type(error) is kind
    assert (error.status, error.effect) == (status, Effect.NONE)


@pytest.mark.parametrize("status", [408, 500, 502, 520, 524])
def test_outages_are_left_to_the_general_reading(status: int) -> None:
    """They mean the same for all vendors."""
    assert judged(status) is None


def test_waits_of_a_locked_record_and_of_a_moving_account() -> None:
    """477 may ask for a day; asking again at once wastes the quota."""
    locked, moving = judged(423), judged(477, **{"retry-after": "3600"})

    assert isinstance(locked, Unavailable)
    assert isinstance(moving, Unavailable)
    assert (locked.retry_after, moving.retry_after) == (timedelta(seconds=2), timedelta(hours=1))


def test_a_refusal_keeps_hubspots_words_and_correlation_id_but_no_person() -> None:
    """Support asks for the correlation id; the message may quote a contact."""
    correlation = "aeb5f871-7f07-4993-9211-075dc63e7cbf"
    body = {"category": "VALIDATION_ERROR", "message": "jane@example.com is invalid", "correlationId": correlation}

    error = judged(400, body)

    assert isinstance(error, RequestRefused)
    assert correlation in error.message
    assert "jane" not in error.message
    assert error.code == "VALIDATION_ERROR"


def test_a_refusal_names_the_single_error_behind_its_category() -> None:
    """VALIDATION_ERROR alone says nothing; the detail tells a missing property from a value that does not fit."""
    body = {"category": "VALIDATION_ERROR", "message": "no", "errors": [{"message": "no", "code": "PROPERTY_DOESNT_EXIST"}]}

    error = judged(400, body)

    assert isinstance(error, RequestRefused)
    assert (error.code, "PROPERTY_DOESNT_EXIST" in error.message) == ("VALIDATION_ERROR", True)


@pytest.mark.parametrize(
    "body", [None, "<html>", [], {"category": 5, "policyName": None, "correlationId": ["x"], "errors": "no"}]
)
def test_error_bodies_of_any_shape_are_judged(body: Any) -> None:
    """Every field of an error body is optional."""
    assert isinstance(judged(403, body), AuthenticationFailed)
    assert isinstance(judged(429, body), RateLimited)


async def test_a_spent_day_is_not_asked_again() -> None:
    """Each further request of that day would be an error that HubSpot counts against the app."""
    account = Account()
    account.on_request = lambda _request: httpx.Response(429, json={"policyName": "DAILY"})

    with pytest.raises(RateLimited) as caught:
        await anext(account.source("America/New_York").changes(*_window()))

    assert caught.value.retry_after == timedelta(hours=17)
    assert len(account.requests) == 1


async def test_a_burst_is_waited_out() -> None:
    """Search answers carry no headers to steer by: a 429 there is usual."""
    account = Account()
    refused = [httpx.Response(429, json={"policyName": "SECONDLY"})]
    account.on_request = lambda _request: refused.pop() if refused else None

    (page,) = await read(account, Window(ObjectKind.DEAL, NOW - timedelta(days=1)))

    assert page.is_last
    assert account.sleeps[0] >= 1


async def test_a_window_stops_at_a_filter_that_hubspot_refuses() -> None:
    """A 400 is ours to mend: going on would settle a window that was never read."""
    account = Account()
    account.on_request = lambda _request: refusal(400, "VALIDATION_ERROR", "no such property")

    with pytest.raises(RequestRefused, match="no such property"):
        await read(account, Window(ObjectKind.DEAL, NOW - timedelta(days=1)))


def _window() -> Any:
    from connectors.contract.selection import Selection  # noqa: PLC0415 only here
    from tests.wire.hubspot.fake_account import nothing_stored  # noqa: PLC0415 only here

    return Window(ObjectKind.DEAL, NOW - timedelta(days=1)), Selection(), nothing_stored()
