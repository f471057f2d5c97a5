"""Ten codes of each platform's error table that pass, and ten that never will, through dispatcher and connector."""

from collections.abc import Mapping, Sequence

import pytest

from app.db.session import Database
from connectors.simulators.faults import Fault, answer
from connectors.simulators.linkedin.errors import ApiError
from connectors.simulators.meta import GraphError
from connectors.simulators.microsoft.faults import ApiFault
from tests.integration.ad_rig import DAY, HOUR, NOW, AdWorld, ad_world


def _google(code: str, status: int = 400, canonical: str = "INVALID_ARGUMENT") -> Fault:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code, "domain": "googleapis.com", "metadata": {}}
    return answer(status, {"error": {"code": status, "status": canonical, "message": "Refused.", "details": [info]}})


def _meta(code: int, status: int = 400) -> Fault:
    return answer(status, GraphError("Refused", code, None).as_json("A1"))


def _linkedin(status: int, code: str = "", message: str = "Refused") -> Fault:
    return answer(status, {"status": status, "message": message, **({"code": code} if code else {})})


def _microsoft(code: int, status: int = 400) -> Fault:
    return answer(status, ApiFault(code, status).body())


def _tiktok(code: int) -> Fault:
    return answer(200, {"code": code, "message": "Said.", "request_id": "1", "data": {}})


# Of whole requests; none has an effect. LinkedIn's table has four such answers, the others are codes that it does not hold.
PASSING: Mapping[str, Sequence[Fault]] = {
    "google": [
        *(_google(code) for code in ("INTERNAL_ERROR", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "UNAVAILABLE", "INTERNAL")),
        _google("RATE_LIMIT_EXCEEDED", 429, "RESOURCE_EXHAUSTED"),
        _google("RESOURCE_EXHAUSTED", 429, "RESOURCE_EXHAUSTED"),
        _google("CONVERSION_ACTION_TOO_RECENTLY_CREATED"),
        _google("FAILED_PRECONDITION"),
    ],
    "meta": [_meta(code) for code in (2, 5000, 21009, 4, 17, 32, 613, 80000, 80004, 368)],
    "linkedin": [
        _linkedin(429, message="Resource level throttle MINUTE limit for calls to this resource is reached."),
        _linkedin(429, message="Resource level throttle DAY limit for calls to this resource is reached."),
        _linkedin(423, message="Locked"),
        _linkedin(413),
        *(_linkedin(400, f"NEVER_SEEN_BEFORE_{letter}") for letter in "ABCDEF"),
    ],
    "microsoft": [_microsoft(code) for code in (117, 207, 4204, 5601, 2004, 5612, 5615, 5622, 99998, 99999)],
    "tiktok": [_tiktok(code) for code in (40016, 40100, 40133, 40202, 40902, 40903, 40913, 49997, 49998, 49999)],
}
# Of one row. Where a table has fewer, the same code comes of other fields.
FINAL: Mapping[str, Sequence[str]] = {
    "google": (
        *("INVALID_FORMAT", "INVALID_EVENT", "INVALID_CURRENCY_CODE", "EVENT_TIME_INVALID", "INVALID_AD_IDENTIFIER_FOR_ACCOUNT"),
        *("INVALID_SHA256_FORMAT", "INVALID_POSTAL_CODE", "INVALID_HEX_ENCODING", "FIELD_VALUE_TOO_LONG", "RESERVED_NAME_USED"),
    ),
    "meta": tuple(f"100/{code}" for code in (2804048, 2804001, 2804003, 2804007, 2804009, 2804016, 2804017, 2804019, 2804050, 1)),
    "linkedin": (
        *("/conversionHappenedAt", "/conversionValue/amount", "/conversionValue/currencyCode", "/eventId", "/user"),
        *("/user/userIds", "/user/userIds/0/idValue", "/user/userIds/0/idType"),
        *("INVALID_CONVERSION_TIME_FIELD_VALUE", "INVALID_USER_IDENTIFICATION_FIELD_VALUE"),
    ),
    "microsoft": ("5602", "5603", "5604", "5607", "5608", "5609", "5610", "5611", "5614", "5617"),
    "tiktok": ("40000", "40002", "40700", "event", "event_id", "event_time", "user.email", "user.phone", "properties", "lead"),
}
PLATFORMS = sorted(PASSING)


def refuse(world: AdWorld, number: int, code: str) -> None:
    """Refuse a row for good; of TikTok also one field, of which it says 40002."""
    if world.stage.kind == "tiktok":
        field, code = ("properties.value", code) if code.isdigit() else (code, "40002")
        world.stage.platform.refuses[world.rows[number].conversion_id] = (int(code), field)  # type: ignore[attr-defined]
    elif world.stage.kind == "linkedin" and not code.startswith("/"):
        # LinkedIn says this of a whole request, with no index.
        fault = ApiError(400, "An event is wrong", code)
        world.stage.platform.plain_faults[world.rows[number].conversion_id] = fault  # type: ignore[attr-defined]
    else:
        world.stage.refuse(world.rows[number], code)


@pytest.mark.parametrize("kind", PLATFORMS)
async def test_ten_passing_codes_in_a_row_lose_nothing_and_count_nothing_twice(database: Database, kind: str) -> None:
    """A bad day of the platform: every row is there in the end, once, and none of it was given up."""
    async with ad_world(database, kind) as world:
        assert len({fault.body for fault in PASSING[kind]}) == 10
        for number in (1, 2, 3):
            await world.owe(number, NOW - DAY)
        for fault in PASSING[kind]:
            world.stage.plan.always(fault)
            await world.drain()
            assert {one.state for one in (await world.found()).values()} == {"pending"}, fault.body
            world.stage.plan.clear()
            # Longer than the pause after ten tries, shorter than any window.
            world.stage.clock.go_on(9 * HOUR)

        await world.drain_over(2 * DAY)

        assert world.stage.total_counted() == 3
        assert [world.stage.counted(row) for row in world.rows.values()] == [1, 1, 1]
        assert {one.state for one in (await world.found()).values()} <= {"accepted", "confirmed"}


@pytest.mark.parametrize("kind", PLATFORMS)
async def test_ten_final_codes_are_not_tried_twice(database: Database, kind: str) -> None:
    """Each costs its row and no neighbour; nothing is asked again, by the next drain or those of a week."""
    async with ad_world(database, kind) as world:
        bad = dict(enumerate(FINAL[kind], 1))
        assert len(set(bad.values())) == 10
        for number in range(1, 16):
            await world.owe(number, NOW - DAY)
        for number, code in bad.items():
            refuse(world, number, code)
        await world.drain()
        asked, found = world.stage.requests(), await world.found()

        await world.drain_over(7 * DAY, step=12 * HOUR)

        assert {(found[number].state, found[number].reason, found[number].counted) for number in bad} == {
            ("rejected", "refused", 1)
        }
        assert all(found[number].code for number in bad)
        assert [world.stage.counted(row) for row in world.rows.values()] == [0] * 10 + [1] * 5
        assert world.stage.requests() == asked
        assert {number: one.state for number, one in (await world.found()).items() if number in bad} == dict.fromkeys(
            bad, "rejected"
        )
