"""Retractions: what `uploadConversionAdjustments` is sent, and what each of its answers comes to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.ads.google.adjustments import CODES, Outcome, build_retractions
from connectors.ads.google.payload import LIMITS
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Target, UploadRow
from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, Unavailable, UnexpectedReply
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
from connectors.simulators.google import ADS_SCOPE, DATA_MANAGER_SCOPE
from tests.contract import ad_reading
from tests.contract.crm_stage import Clock
from tests.contract.google_stage import GoogleStage
from tests.wire.google.google_rig import NOW, ONE_HOST, SQL, WON, Google, ads_refused, ads_status, connected, row

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TAKEN = {"conversionAction": f"customers/4812093377/conversionActions/{SQL}", "orderId": "x"}


def taken_back(number: int = 1, **changes: Any) -> UploadRow:
    return row(number, **{"kind": DeliveryKind.RETRACT, "occurred_at": NOW - 3 * DAY, **changes})


ROWS = [taken_back(1), taken_back(2, action=WON), taken_back(3)]


def partly(*errors: tuple[str, int | None], results: Any = None) -> tuple[int, Any]:
    """200, with failures; `results` has an empty element for each row that failed."""
    failed = {index for _, index in errors}
    of_rows = [{} if place in failed else TAKEN for place in range(len(ROWS))]
    return 200, {"partialFailureError": ads_status(*errors), "results": of_rows if results is None else results}


async def adjust(*answer: Any, rows: Any = None, **headers: str) -> list[UploadResult]:
    async with connected(Google(answer, headers=headers), settings=ONE_HOST) as destination:
        return list(await destination.adjust(ROWS if rows is None else rows, NOW))


async def failure(status: int, body: Any, **headers: str) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        await adjust(status, body, **headers)
    return caught.value


def local_of(one: UploadRow) -> UploadResult:
    draft = build_retractions([one], ONE_HOST, NOW)
    assert draft.rows == ()
    return draft.results([])[0]


async def test_the_whole_request() -> None:
    """Shape and spelling follow the proto of v26; a restatement's value or a date with a Z would fail every row."""
    google = Google((200, {"results": [TAKEN, TAKEN]}))

    async with connected(google, settings=ONE_HOST) as destination:
        assert await destination.adjust([taken_back(1), taken_back(2, action=WON)], NOW) == [Accepted(), Accepted()]

    (request,) = google.requests
    assert (request.method, request.url.path) == ("POST", "/v26/customers/4812093377:uploadConversionAdjustments")
    assert request.headers["authorization"] == "Bearer x"
    assert request.headers["login-customer-id"] == "7701128856"
    assert "developer-token" not in request.headers
    assert google.bodies == [
        {
            "conversionAdjustments": [
                {
                    "conversionAction": "customers/4812093377/conversionActions/7302219941",
                    "adjustmentType": "RETRACTION",
                    "orderId": "ll00000000000000000000000001",
                    "adjustmentDateTime": "2026-11-22 12:00:00+00:00",
                },
                {
                    "conversionAction": "customers/4812093377/conversionActions/7302219958",
                    "adjustmentType": "RETRACTION",
                    "orderId": "ll00000000000000000000000002",
                    "adjustmentDateTime": "2026-11-22 12:00:00+00:00",
                },
            ],
            "partialFailure": True,
            "validateOnly": False,
        }
    ]


def test_taking_back_needs_no_consent() -> None:
    """Who withdrew it is why it is taken back."""
    denied = Consent(ConsentState.DENIED, ConsentState.DENIED)

    draft = build_retractions([taken_back(consent=denied)], ONE_HOST, NOW)

    assert draft.rows == (0,)


async def test_a_retraction_is_sent_once() -> None:
    """Retrying is the outbox's matter."""
    google = Google(httpx.ReadTimeout("slow"))

    async with connected(google, settings=ONE_HOST) as destination:
        with pytest.raises(Unavailable) as caught:
            await destination.adjust(ROWS, NOW)

    assert (caught.value.effect, len(google.requests)) == (Effect.UNKNOWN, 1)


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"occurred_at": NOW - DAY + HOUR}, Later(NOW + HOUR, "correction_too_early")),
        ({"occurred_at": NOW + HOUR}, Later(NOW + DAY + HOUR, "correction_too_early")),
        ({"occurred_at": NOW - timedelta(days=54, seconds=1)}, Unsupported("correction_too_late")),
        ({"target": Target.of({"conversion_action": "customers/1/conversionActions/2"})}, TargetRefused("", "target_invalid")),
        ({"target": Target.of({})}, TargetRefused("", "target_invalid")),
        ({"kind": DeliveryKind.RESTATE}, Rejected("correction_unsupported")),
        ({"kind": DeliveryKind.UPLOAD}, Rejected("correction_unsupported")),
    ],
)
def test_what_google_refuses_is_not_sent(changes: dict[str, Any], result: Any) -> None:
    """Each of these costs a request to be told what is known before."""
    found = local_of(taken_back(**changes))

    assert type(found) is type(result)
    assert found.code == result.code  # type: ignore[union-attr]  # none of these is Accepted
    if isinstance(result, Later):
        assert found == result


@pytest.mark.parametrize("age", [LIMITS.correction_after, LIMITS.correction_within])
def test_the_edges_of_the_window_go(age: timedelta) -> None:
    """Google corrects conversions from 24 hours to 54 days, both included."""
    assert build_retractions([taken_back(occurred_at=NOW - age)], ONE_HOST, NOW).rows == (0,)


def test_equal_and_too_many_rows_wait_for_another_request() -> None:
    """Of two equal ones Google may take neither, and of more than two thousand none."""
    twice = build_retractions([taken_back(1), taken_back(1), taken_back(1, action=WON)], ONE_HOST, NOW)
    many = build_retractions([taken_back(number) for number in range(2001)], ONE_HOST, NOW)

    assert (twice.rows, twice.local) == ((0, 2), {1: NotProcessed("duplicate_in_request")})
    assert (len(many.rows), many.local) == (2000, {2000: NotProcessed("too_many_rows")})


async def test_nothing_valid_sends_nothing() -> None:
    """An empty request would be refused as a whole."""
    google = Google((200, {"results": []}))

    async with connected(google, settings=ONE_HOST) as destination:
        results = await destination.adjust([taken_back(occurred_at=NOW - HOUR)], NOW)

    assert [type(one) for one in results] == [Later]
    assert google.requests == []


async def test_a_time_of_another_zone_is_written_in_utc() -> None:
    """An offset without its colon, or none, fails the request."""
    madrid = NOW.astimezone(datetime.fromisoformat("2026-11-22T13:00:00+01:00").tzinfo).replace(microsecond=999_999)

    draft = build_retractions([taken_back()], ONE_HOST, madrid)

    items: Any = draft.body["conversionAdjustments"]
    assert items[0]["adjustmentDateTime"] == "2026-11-22 12:00:00+00:00"


async def test_failures_come_by_the_place_in_the_request() -> None:
    """A row that was kept out here shifts the others; the wrong conversion would be taken for retracted."""
    young = taken_back(9, occurred_at=NOW - HOUR)

    results = await adjust(*partly(("CONVERSION_EXPIRED", 1)), rows=[young, *ROWS])

    assert [type(one) for one in results] == [Later, Accepted, Rejected, Accepted]
    assert results[2] == Rejected("CONVERSION_EXPIRED")


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("CONVERSION_ALREADY_RETRACTED", AlreadyThere("CONVERSION_ALREADY_RETRACTED")),
        ("TOO_RECENT_CONVERSION", Later(NOW + 6 * HOUR, "TOO_RECENT_CONVERSION")),
        ("TOO_RECENT_CONVERSION_ACTION", Later(NOW + 6 * HOUR, "TOO_RECENT_CONVERSION_ACTION")),
        ("CONVERSION_NOT_FOUND", Later(NOW + 6 * HOUR, "CONVERSION_NOT_FOUND")),
        ("NO_CONVERSION_ACTION_FOUND", TargetRefused(WON, "NO_CONVERSION_ACTION_FOUND")),
        ("CONVERSION_EXPIRED", Rejected("CONVERSION_EXPIRED")),
        ("NEVER_HEARD_OF", Retry("NEVER_HEARD_OF", is_known=False)),
    ],
)
async def test_what_an_error_of_a_row_means(code: str, result: UploadResult) -> None:
    """The neighbours were taken, whatever became of this one, and nothing of Google's words is kept."""
    assert await adjust(*partly((code, 1))) == [Accepted(), result, Accepted()]


@pytest.mark.parametrize(
    ("age", "kind"),
    [(timedelta(days=1), Later), (timedelta(days=4), Later), (timedelta(days=4, seconds=1), Unsupported)],
)
async def test_how_long_a_conversion_may_stay_unfound(age: timedelta, kind: type[UploadResult]) -> None:
    """Processing lags a day; after three more it was never recorded, and asking on would ask for weeks."""
    one = taken_back(occurred_at=NOW - age)

    (result,) = await adjust(*partly(("CONVERSION_NOT_FOUND", 0), results=[{}]), rows=[one])

    assert type(result) is kind


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (("INTERNAL_ERROR", "CONVERSION_EXPIRED"), Rejected),
        (("CONVERSION_EXPIRED", "INTERNAL_ERROR"), Rejected),
        (("NEVER_HEARD_OF", "TOO_RECENT_CONVERSION"), Later),
        (("INVALID_CONVERSION_ACTION_TYPE", "CONVERSION_NOT_FOUND"), TargetRefused),
        (("CONVERSION_ALREADY_RETRACTED", "CONVERSION_EXPIRED"), AlreadyThere),
    ],
)
async def test_several_errors_of_one_row(codes: tuple[str, str], kind: type[UploadResult]) -> None:
    """Their order is Google's whim: the one that settles more stands."""
    results = await adjust(*partly(*((code, 1) for code in codes)))

    assert [type(one) for one in results] == [Accepted, kind, Accepted]


@pytest.mark.parametrize("index", [None, -1, 3, "first", True])
async def test_an_error_that_names_no_row_of_ours_confirms_nobody(index: Any) -> None:
    """One of them failed and nobody knows which; a retraction sent twice retracts once."""
    body = {"partialFailureError": ads_refused("CONVERSION_EXPIRED", index), "results": [TAKEN, {}, TAKEN]}

    assert await adjust(200, body) == [NotProcessed("CONVERSION_EXPIRED")] * 3


@pytest.mark.parametrize(
    "told",
    [
        {"code": 3, "message": "Some failed."},
        {"code": 3, "message": "Some failed.", "details": []},
        {"code": 3, "message": "Some failed.", "details": [{"errors": []}]},
    ],
)
async def test_200_with_a_failure_that_says_nothing_is_not_delivered(told: Any) -> None:
    """Somebody failed: nobody may be taken for retracted."""
    assert await adjust(200, {"partialFailureError": told, "results": [TAKEN, TAKEN, TAKEN]}) == [NotProcessed("3")] * 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"results": [TAKEN, TAKEN]},
        {"results": [TAKEN, TAKEN, TAKEN, TAKEN]},
        {"results": [TAKEN, {}, TAKEN]},
        {"results": [TAKEN, None, TAKEN]},
        {"partialFailureError": ads_refused("CONVERSION_EXPIRED", 0), "results": [{}, {}, TAKEN]},
        {"partialFailureError": ads_refused("CONVERSION_EXPIRED", 0), "results": [{}]},
        {"partialFailureError": ads_refused("CONVERSION_EXPIRED", 0)},
        [],
        "ok",
    ],
)
async def test_200_that_does_not_add_up_is_not_delivered(body: Any) -> None:
    """Taken and failed must make all that was sent; an empty element is a failure that nobody explained."""
    error = await failure(200, body)

    assert isinstance(error, UnexpectedReply)
    assert error.effect is Effect.UNKNOWN


@pytest.mark.parametrize("code", sorted(code for code, outcome in CODES.items() if outcome is Outcome.CALL))
@pytest.mark.parametrize("status", [400, 401, 403])
async def test_what_somebody_may_mend_in_the_account_is_tried_again(code: str, status: int) -> None:
    """Google gives these with 400, 401 or 403: uploads are not paused for them, nothing is halved, nothing is given up."""
    found = await adjust(status, {"error": ads_refused(code, family="authorizationError")})

    assert found == [Retry(code)] * 3


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, ads_refused("NOT_ADS_USER", family="authenticationError")),
        (403, ads_refused("USER_PERMISSION_DENIED", family="authorizationError")),
        (403, {"status": "PERMISSION_DENIED", "details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}),
        (403, {"status": "PERMISSION_DENIED", "details": [{"reason": "SERVICE_DISABLED"}]}),
        (403, {"status": "PERMISSION_DENIED"}),
    ],
)
async def test_a_grant_that_does_not_reach_ends_corrections_only(status: int, error: Any) -> None:
    """A pause would stop the uploads, which the same token may well do; the mend says what to grant."""
    results = await adjust(status, {"error": error})

    assert [type(one) for one in results] == [Unsupported] * 3
    assert all(isinstance(one, Unsupported) and one.code and "auth/adwords" in one.message for one in results)


async def test_without_the_scope_uploads_go_on() -> None:
    """Many connect with the scope for uploads alone."""
    stage = GoogleStage(Clock(datetime(2026, 11, 22, 12, tzinfo=UTC)))
    (token,) = stage.platform.desk.tokens.values()
    stage.platform.add_token(token.value, token.accounts, token.expires_at, (DATA_MANAGER_SCOPE,))
    given = ad_reading.row(stage, occurred_at=stage.clock() - 2 * DAY)
    async with ad_reading.connected(stage) as destination:
        assert isinstance((await destination.upload([given], stage.clock()))[0], Accepted)
        (refused,) = await destination.adjust([replace(given, kind=DeliveryKind.RETRACT)], stage.clock())  # type: ignore[attr-defined]
        again = replace(given, conversion_id="ll" + "7" * 25 + "x")
        assert isinstance((await destination.upload([again], stage.clock()))[0], Accepted)

    assert (type(refused), refused.code) == (Unsupported, "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
    assert ADS_SCOPE in refused.message


@pytest.mark.parametrize("code", ["OAUTH_TOKEN_EXPIRED", "OAUTH_TOKEN_REVOKED", "NEVER_HEARD_OF"])
async def test_a_dead_token_pauses_the_connection(code: str) -> None:
    """It bars uploads as well, and a person has to connect again."""
    error = await failure(401, {"error": ads_refused(code, family="authenticationError")})

    assert isinstance(error, AuthenticationFailed)
    assert (error.code, error.effect) == (code, Effect.NONE)
    assert "jane" not in error.message


@pytest.mark.parametrize(
    ("code", "more", "headers", "pause"),
    [
        ("RESOURCE_EXHAUSTED", {}, {}, timedelta(seconds=60)),
        ("RESOURCE_TEMPORARILY_EXHAUSTED", {"details": {"quotaErrorDetails": {"retryDelay": "900s"}}}, {}, timedelta(minutes=15)),
        ("RESOURCE_EXHAUSTED", {"details": {"quotaErrorDetails": {"retryDelay": "1.5s"}}}, {}, timedelta(seconds=1)),
        ("RESOURCE_EXHAUSTED", {}, {"retry_after": "7"}, timedelta(seconds=7)),
        ("EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION", {}, {}, timedelta(hours=1)),
    ],
)
async def test_how_long_a_quota_keeps_us_away(code: str, more: Any, headers: dict[str, str], pause: timedelta) -> None:
    """Google names its delay inside of the error; a quota for hours needs another patience than one for a minute."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    error = await failure(429, {"error": ads_refused(code, family="quotaError", **more)}, **told)

    assert isinstance(error, RateLimited)
    assert (error.code, error.retry_after) == (code, pause)


@pytest.mark.parametrize("code", ["TRANSIENT_ERROR", "INTERNAL_ERROR", "DEADLINE_EXCEEDED"])
@pytest.mark.parametrize("status", [500, 503, 504])
async def test_an_outage_judges_nobody(code: str, status: int) -> None:
    """Nobody knows what was done before it; a second retraction retracts nothing more."""
    error = await failure(status, {"error": ads_refused(code, family="internalError")})

    assert isinstance(error, Unavailable)
    assert error.effect is Effect.UNKNOWN


@pytest.mark.parametrize("body", [{"error": ads_refused("UNSUPPORTED_VERSION", family="requestError")}, {}, "<html>"])
async def test_a_path_that_is_not_served_costs_no_row_anything(body: Any) -> None:
    """A version of the API ends each year: halving two thousand rows would send four thousand requests into the void."""
    results = await adjust(404, body)

    assert {type(one) for one in results} == {Retry}


@pytest.mark.parametrize("status", [400, 413])
async def test_a_refused_request_is_halved_down_to_one(status: int) -> None:
    """No row is named; a lone one is judged by the table."""
    body = {"error": ads_refused("TOO_MANY_ADJUSTMENTS_IN_REQUEST")}
    refused = {"error": ads_refused("ORDER_ID_CONTAINS_PII")}

    assert await adjust(status, body) == [NotProcessed("TOO_MANY_ADJUSTMENTS_IN_REQUEST")] * 3
    assert await adjust(status, refused) == [NotProcessed("ORDER_ID_CONTAINS_PII")] * 3
    assert await adjust(status, refused, rows=ROWS[:1]) == [Rejected("ORDER_ID_CONTAINS_PII")]
