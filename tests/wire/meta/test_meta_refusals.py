"""What Meta's refusals mean: for the connection, for the request, for a lone row."""

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
from connectors.contract.results import NotProcessed, Rejected, Retry
from tests.wire.meta.meta_rig import NOW, Meta, connected, error, row

ROW_SUBCODES = [2804003, 2804009, 2804050, 2804001, 2804007, 2804016, 2804017, 2804019, 2804048, 2804043, 2804063, 1, None]


async def failure_of(status: int, body: Any, headers: dict[str, str] | None = None) -> ConnectorError:
    async with connected(Meta((status, body), headers=headers)) as destination:
        with pytest.raises(ConnectorError) as caught:
            await destination.upload([row(1), row(2)], NOW)
    return caught.value


@pytest.mark.parametrize("subcode", ROW_SUBCODES)
async def test_a_refused_batch_names_nobody(subcode: int | None) -> None:
    """Meta stores none of the events and says of none that it is the bad one: the dispatcher halves."""
    code = "100" if subcode is None else f"100/{subcode}"
    async with connected(Meta((400, error(100, subcode)))) as destination:
        assert await destination.upload([row(1), row(2)], NOW) == [NotProcessed(code)] * 2


@pytest.mark.parametrize("subcode", ROW_SUBCODES)
async def test_a_refused_lone_row_is_rejected_with_meta_s_code(subcode: int | None) -> None:
    """The search ends here; tried again it would be refused again for a week."""
    refused = error(100, subcode, error_user_title="Customer data", error_user_msg="of jane@example.com")
    async with connected(Meta((400, refused))) as destination:
        (result,) = await destination.upload([row()], NOW)

    assert result == Rejected("100" if subcode is None else f"100/{subcode}", "Customer data: of [email]")


async def test_rows_kept_out_here_do_not_make_a_lone_row_many() -> None:
    """The one that was sent is the one that was refused."""
    async with connected(Meta((400, error(100, 2804050)))) as destination:
        results = await destination.upload([row(1, identifiers={}), row(2)], NOW)

    assert [type(one) for one in results] == [Rejected, Rejected]
    assert results[1] == Rejected("100/2804050", "Invalid parameter")


@pytest.mark.parametrize(("code", "subcode"), [(1, 99), (1, None), (4242, None), (4242, 7)])
async def test_a_code_that_is_not_proven_permanent_is_tried_again(code: int, subcode: int | None) -> None:
    """Meta adds codes; a conversion must not be lost to one that we do not know. Neighbours are freed by halving."""
    async with connected(Meta((400, error(code, subcode)))) as destination:
        many = await destination.upload([row(1), row(2)], NOW)
        (lone,) = await destination.upload([row()], NOW)

    assert [type(one) for one in many] == [NotProcessed, NotProcessed]
    assert isinstance(lone, Retry)


@pytest.mark.parametrize(
    ("status", "code", "subcode"),
    [
        (401, 190, None),
        (400, 190, 463),
        (400, 190, 460),
        (400, 102, None),
        (400, 104, None),
        (400, 3, None),
        (403, 10, None),
        (403, 200, None),
        (400, 294, None),
        (403, 299, 1),
        (400, 100, 33),
    ],
)
async def test_refused_access_pauses_the_connection(status: int, code: int, subcode: int | None) -> None:
    """Halving a batch for a dead token would send two thousand requests and reject every conversion."""
    found = await failure_of(status, error(code, subcode))

    assert isinstance(found, AuthenticationFailed)
    assert found.effect is Effect.NONE
    assert found.code == (str(code) if subcode is None else f"{code}/{subcode}")


@pytest.mark.parametrize(
    ("code", "subcode", "headers", "minutes"),
    [
        (4, None, {}, 5),
        (17, 2446079, {}, 5),
        (32, None, {}, 5),
        (613, 1487742, {}, 5),
        (80000, None, {}, 5),
        (80004, None, {"X-Business-Use-Case-Usage": '{"1": [{"estimated_time_to_regain_access": 42}]}'}, 42),
        (80014, None, {"x-business-use-case": '{"1": [{"estimated_time_to_regain_access": "7"}, {}]}'}, 7),
        (80003, None, {"Retry-After": "60"}, 1),
        (368, None, {}, 60),
        (341, None, {}, 60),
    ],
)
async def test_throttling_says_how_long_to_stay_away(
    code: int, subcode: int | None, headers: dict[str, str], minutes: int
) -> None:
    """Meta has no Retry-After; calling on while barred lengthens the bar."""
    found = await failure_of(400, error(code, subcode), headers)

    assert isinstance(found, RateLimited)
    assert found.retry_after == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("status", "body", "effect"),
    [
        (400, error(2), Effect.NONE),
        (400, error(1, 99, is_transient=True), Effect.NONE),
        (400, error(100, 2804003, is_transient=True), Effect.NONE),
        (400, error(10, is_transient=True), Effect.NONE),
        (401, error(190, is_transient=True), Effect.NONE),
        (400, error(100, 33, is_transient=True), Effect.NONE),
        (400, error(2500, is_transient=True), Effect.NONE),
        (400, error(5000), Effect.NONE),
        (500, error(2, is_transient=True), Effect.UNKNOWN),
        (500, error(100), Effect.UNKNOWN),
        (503, {}, Effect.UNKNOWN),
    ],
)
async def test_what_passes_is_an_outage(status: int, body: Any, effect: Effect) -> None:
    """Nothing is judged by it, and after a 5xx nobody knows what was stored."""
    found = await failure_of(status, body)

    assert isinstance(found, Unavailable)
    assert found.effect is effect


async def test_a_path_that_is_not_served_is_ours_to_mend() -> None:
    """A version that has expired must not reject conversions."""
    assert isinstance(await failure_of(400, error(2500)), RequestRefused)


@pytest.mark.parametrize("specs", [[["test_event_code"]], '[["test_event_code"]]'])
@pytest.mark.parametrize("as_text", [False, True])
async def test_a_blamed_field_of_the_request_is_no_row_s_fault(specs: Any, as_text: bool) -> None:  # noqa: FBT001 a parameter
    """A wrong test code in the settings would else reject every conversion, one by one."""
    import json  # noqa: PLC0415 only here

    data: Any = {"blame_field_specs": specs}
    found = await failure_of(400, error(100, None, error_data=json.dumps(data) if as_text else data))

    assert isinstance(found, RequestRefused)
    assert "test_event_code" in found.message


@pytest.mark.parametrize("data", [{"blame_field_specs": [["data[1][event_time]"]]}, "{", {"blame_field_specs": 5}, None, [[]]])
async def test_a_blamed_row_is_not_believed(data: Any) -> None:
    """Meta documents no row index: a wrong guess would reject a good conversion, a search costs some requests."""
    async with connected(Meta((400, error(100, 2804003, error_data=data)))) as destination:
        assert await destination.upload([row(1), row(2)], NOW) == [NotProcessed("100/2804003")] * 2


@pytest.mark.parametrize("body", [{}, [], "<html>", {"error": "no"}, {"error": {"code": "x"}}])
async def test_a_refusal_that_is_not_meta_s_settles_nothing(body: Any) -> None:
    """A proxy's page must not reject a conversion."""
    found = await failure_of(404, body)

    assert isinstance(found, UnexpectedReply)
    assert found.effect is Effect.NONE


async def test_too_large_a_request_is_halved() -> None:
    """Meta documents no size; a gateway may have one."""
    async with connected(Meta((413, "<html>"))) as destination:
        assert await destination.upload([row(1), row(2)], NOW) == [NotProcessed("413")] * 2
        assert await destination.upload([row(1)], NOW) == [Retry("413", "")]


async def test_a_refusal_holds_no_token() -> None:
    """Meta echoes tokens in its messages, and ours are logged."""
    found = await failure_of(401, error(190, None, message="Error validating access_token=EAAGm0PX4ZCpsBO1234567890 of 5"))

    assert "EAAG" not in found.message
