"""What a refused request means for the account, the targets and each row."""

from datetime import timedelta
from typing import Any

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
from connectors.contract.results import Later, NotProcessed, Rejected, Retry, TargetRefused, UploadResult
from tests.wire.google.google_rig import NOW, SQL, WON, Google, connected, refused, row

ROWS = [row(1), row(2), row(3, action=WON)]


async def upload(body: Any, status: int = 400, rows: Any = None) -> list[UploadResult]:
    async with connected(Google((status, body))) as destination:
        return list(await destination.upload(ROWS if rows is None else rows, NOW))


async def failure(body: Any, status: int = 400, headers: Any = None) -> ConnectorError:
    async with connected(Google((status, body), headers=headers)) as destination:
        with pytest.raises(ConnectorError) as caught:
            await destination.upload(ROWS, NOW)
    return caught.value


@pytest.mark.parametrize("path", ["events[1].user_data", "events.events[1].user_data.user_identifiers[0]"])
async def test_the_named_row_falls_and_its_neighbours_go_again(path: str) -> None:
    """One bad row never fails its neighbours (both spellings of Google's paths)."""
    results = await upload(refused((path, "INVALID_HEX_ENCODING")))

    assert results == [
        NotProcessed("INVALID_HEX_ENCODING"),
        Rejected("INVALID_HEX_ENCODING", "no good"),
        NotProcessed("INVALID_HEX_ENCODING"),
    ]


async def test_places_are_those_of_the_request_not_of_the_upload() -> None:
    """A row refused here shifts the events; the wrong row would be condemned."""
    results = await upload(refused(("events[0].x", "INVALID_FORMAT")), rows=[row(1, conversion_id="7" * 9), row(2), row(3)])

    assert [type(result) for result in results] == [Rejected, Rejected, NotProcessed]
    assert results[1] == Rejected("INVALID_FORMAT", "no good")


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("EVENT_TIME_INVALID", Rejected("EVENT_TIME_INVALID", "no good")),
        ("CONVERSION_ACTION_TOO_RECENTLY_CREATED", Later(NOW + timedelta(hours=6), "CONVERSION_ACTION_TOO_RECENTLY_CREATED")),
        ("INTERNAL_ERROR", Retry("INTERNAL_ERROR", "no good")),
        ("NEVER_HEARD_OF", Retry("NEVER_HEARD_OF", "no good", is_known=False)),
        ("PERMISSION_DENIED", Retry("PERMISSION_DENIED", "no good", is_known=False)),
    ],
)
async def test_what_a_code_means_for_the_row_it_names(code: str, result: UploadResult) -> None:
    """A code that is not proven permanent is tried again; a row's code never stops the account."""
    results = await upload(refused(("events[0].x", code)))

    assert results == [result, NotProcessed(code), NotProcessed(code)]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("destinations[0].product_destination_id", "INVALID_CONVERSION_ACTION_ID"),
        ("destinations[0].product_destination_id", "PERMISSION_DENIED"),
        ("destinations[0]", "NOT_FOUND"),
        ("destinations[0]", "NEVER_HEARD_OF"),
        ("events[1].event_source", "EVENT_SOURCE_AND_DESTINATION_MISMATCH"),
    ],
)
async def test_a_wrong_action_stops_its_own_rows_only(path: str, code: str) -> None:
    """One milestone's mistake must not hold up the others."""
    stopped = TargetRefused(SQL, code, "no good")

    assert await upload(refused((path, code))) == [stopped, stopped, NotProcessed(code)]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("destinations[0].operating_account.account_id", "INVALID_FORMAT"),
        ("destinations[1].login_account", "INVALID_DESTINATION"),
        ("destinations[0]", "PERMISSION_DENIED"),
        ("events[0].user_data", "DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS"),
    ],
)
async def test_a_wrong_account_pauses_the_connection(path: str, code: str) -> None:
    """What concerns every row must drop none of them."""
    error = await failure(refused((path, code)))

    assert isinstance(error, AuthenticationFailed)
    assert error.code == code


async def test_nobody_named_is_halved_down_to_one() -> None:
    """A future instant is refused without a field; the dispatcher has to find it by halving."""
    body = refused()

    assert await upload(body) == [NotProcessed("INVALID_ARGUMENT")] * 3
    assert await upload(body, rows=ROWS[:1]) == [Rejected("INVALID_ARGUMENT", "There was a problem with the request.")]


async def test_a_new_general_refusal_condemns_nobody() -> None:
    """If Google invents a new condition for accounts, halving must not end in every conversion rejected."""
    (result,) = await upload(refused(reason="NEW_TERMS_REQUIRED"), rows=ROWS[:1])

    assert isinstance(result, Retry)


async def test_an_unnamed_wrong_action_is_found_by_its_only_target() -> None:
    """A request with one action needs no halving to know whose mistake it is."""
    body = refused(reason="INVALID_CONVERSION_ACTION_TYPE")

    assert {type(result) for result in await upload(body, rows=ROWS[:2])} == {TargetRefused}
    assert {type(result) for result in await upload(body)} == {NotProcessed}


async def test_the_heavier_of_two_complaints_stands() -> None:
    """A row that is dead stays dead, whatever else is said of its target."""
    body = refused(
        ("destinations[0]", "INVALID_DESTINATION"), ("events[0].x", "INVALID_EVENT"), ("events[2].x", "INTERNAL_ERROR")
    )

    assert [type(result) for result in await upload(body)] == [Rejected, TargetRefused, Retry]


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, refused(reason="INTERNAL_ERROR"), Unavailable, "INTERNAL_ERROR"),
        (400, refused(reason="RESOURCE_EXHAUSTED"), RateLimited, "RESOURCE_EXHAUSTED"),
        (400, refused(("encoding", "INVALID_ENUM_VALUE")), RequestRefused, "INVALID_ENUM_VALUE"),
        (400, refused(("events[0].event_source", "INVALID_ENUM_VALUE")), RequestRefused, "INVALID_ENUM_VALUE"),
        (400, refused(("events.events[2].eventSource", "NEVER_HEARD_OF")), RequestRefused, "NEVER_HEARD_OF"),
        (400, "not from Google", UnexpectedReply, ""),
        (404, refused(reason="NOT_FOUND", status="NOT_FOUND"), AuthenticationFailed, "NOT_FOUND"),
        (403, {}, AuthenticationFailed, "PERMISSION_DENIED"),
        (403, refused(reason="RATE_LIMIT_EXCEEDED"), RateLimited, "RATE_LIMIT_EXCEEDED"),
        (409, refused(status="ABORTED", reason="ABORTED"), Unavailable, "ABORTED"),
    ],
)
async def test_failures_of_the_whole_call(status: int, body: Any, kind: type[ConnectorError], code: str) -> None:
    """They concern no row: nothing was processed, nothing is rejected, no request is cut up in vain."""
    error = await failure(body, status)

    assert type(error) is kind
    assert (error.code, error.effect) == (code, Effect.NONE)


async def test_a_disabled_service_says_where_to_enable_it() -> None:
    """Google gives the address; a human should not have to search for it."""
    url = "https://console.developers.google.com/apis/api/datamanager.googleapis.com/overview?project=42"

    good = await failure(refused(reason="SERVICE_DISABLED", metadata={"activationUrl": url}), 403)
    evil = await failure(refused(reason="SERVICE_DISABLED", metadata={"activationUrl": "https://evil.test/"}), 403)

    assert url in good.message
    assert "evil" not in evil.message


@pytest.mark.parametrize(
    ("headers", "info", "wait"),
    [
        ({"retry-after": "7"}, {}, timedelta(seconds=7)),
        ({}, {"retryDelay": "30s"}, timedelta(seconds=30)),
        ({}, {}, timedelta(seconds=60)),
        ({}, {"metadata": {"quota_limit": "IngestPerDayPerProject"}}, timedelta(hours=1)),
    ],
)
async def test_how_long_a_quota_keeps_us_away(headers: Any, info: Any, wait: timedelta) -> None:
    """A minute's quota and a day's quota need different patience, and Google seldom says which pause it wants."""
    error = await failure(refused(reason="RATE_LIMIT_EXCEEDED", **info), 429, headers)

    assert isinstance(error, RateLimited)
    assert error.retry_after == wait


async def test_too_large_a_request_is_cut() -> None:
    """The byte limit is not documented."""
    assert {type(result) for result in await upload({}, 413)} == {NotProcessed}


async def test_no_personal_data_comes_back() -> None:
    """Google repeats what it was sent; results are stored."""
    body = refused(("events[0].x", "INVALID_FORMAT"))
    body["error"]["details"][1]["fieldViolations"][0]["description"] = "jane@example.com or +49 30 901820 is no digest"

    (result,) = await upload(body, rows=ROWS[:1])

    assert isinstance(result, Rejected)
    assert "jane" not in result.message
    assert "901820" not in result.message
