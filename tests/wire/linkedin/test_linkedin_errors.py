"""Every error of LinkedIn that is documented or was measured, with what must come of it."""

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.ads.linkedin.errors import CODES
from connectors.contract.errors import AuthenticationFailed
from connectors.simulators.faults import Fault, answer, server_error
from tests.contract.ad_reading import connected, row
from tests.contract.crm_stage import Clock
from tests.contract.linkedin_stage import LinkedInStage
from tests.wire.error_words import fact_rows, uploaded

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
# By status and word of the facts: the rest of the reply, what becomes of a lone row, and of two in one request.
TABLE: dict[tuple[str, str], tuple[dict[str, Any], str, str]] = {
    ("400", "VERSION_MISSING"): ({"code": "VERSION_MISSING"}, "AuthenticationFailed VERSION_MISSING", ""),
    ("400", "method should be CONVERSIONS_API"): (
        {"message": "Conversion method should be CONVERSIONS_API"},
        "TargetRefused RULE_METHOD",
        "NotProcessed RULE_METHOD",
    ),
    ("400", "bad conversion URN"): (
        {"message": "Invalid conversion URN: urn:li:llaPartnerConversion:77"},
        "TargetRefused RULE_INVALID",
        "NotProcessed RULE_INVALID",
    ),
    ("400", "INVALID_CONVERSION_TIME_FIELD_VALUE"): (
        {"code": "INVALID_CONVERSION_TIME_FIELD_VALUE"},
        "Rejected INVALID_CONVERSION_TIME_FIELD_VALUE",
        "NotProcessed INVALID_CONVERSION_TIME_FIELD_VALUE",
    ),
    ("400", "INVALID_USER_IDENTIFICATION_FIELD_VALUE"): (
        {"code": "INVALID_USER_IDENTIFICATION_FIELD_VALUE"},
        "Rejected INVALID_USER_IDENTIFICATION_FIELD_VALUE",
        "NotProcessed INVALID_USER_IDENTIFICATION_FIELD_VALUE",
    ),
    ("401", "EMPTY_ACCESS_TOKEN"): ({"code": "EMPTY_ACCESS_TOKEN"}, "AuthenticationFailed EMPTY_ACCESS_TOKEN", ""),
    ("401 / 65600", "INVALID_ACCESS_TOKEN"): (
        {"code": "INVALID_ACCESS_TOKEN", "serviceErrorCode": 65600},
        "AuthenticationFailed INVALID_ACCESS_TOKEN",
        "",
    ),
    ("401 / 65601", "REVOKED_ACCESS_TOKEN"): (
        {"code": "REVOKED_ACCESS_TOKEN", "serviceErrorCode": 65601},
        "AuthenticationFailed REVOKED_ACCESS_TOKEN",
        "",
    ),
    ("403", "USER_NOT_AUTHORIZED"): ({"code": "USER_NOT_AUTHORIZED"}, "AuthenticationFailed USER_NOT_AUTHORIZED", ""),
    ("403", "ACCESS_DENIED"): ({"code": "ACCESS_DENIED"}, "AuthenticationFailed ACCESS_DENIED", ""),
    ("403", "No ad accounts found"): (
        {"message": "No ad accounts found for the conversion", "code": "ACCESS_DENIED"},
        "TargetRefused NO_AD_ACCOUNTS",
        "NotProcessed NO_AD_ACCOUNTS",
    ),
    ("404", "-"): ({}, "TargetRefused 404", "NotProcessed 404"),
    ("408", "-"): ({}, "Unavailable 408 unknown", ""),
    ("423", "-"): ({}, "Unavailable 423 none", ""),
    ("411", "-"): ({}, "Retry 411", "NotProcessed 411"),
    ("413", "-"): ({}, "Retry 413", "NotProcessed 413"),
    ("414", "-"): ({}, "Retry 414", "NotProcessed 414"),
    ("422", "Index: N, ERROR :: path"): (
        {"message": "Index: 0, ERROR :: /conversionHappenedAt :: is in the future"},
        "Rejected FIELD_INVALID",
        "Rejected FIELD_INVALID | NotProcessed FIELD_INVALID",
    ),
    ("426", "version no longer active"): (
        {"message": "Requested version 20250801 is not active"},
        "AuthenticationFailed 426",
        "",
    ),
    ("429", "resource level throttle text"): (
        {"message": "Resource level throttle MINUTE limit for calls to this resource is reached."},
        "RateLimited 429 60 s",
        "",
    ),
    ("500", "-"): ({}, "Unavailable 500 unknown", ""),
    ("502", "-"): ({}, "Unavailable 502 unknown", ""),
    ("503", "-"): ({}, "Unavailable 503 unknown", ""),
    ("504", "-"): ({}, "Unavailable 504 unknown", ""),
}


@pytest.fixture
def stage() -> LinkedInStage:
    return LinkedInStage(Clock(NOW))


def fault_of(status: str, body: dict[str, Any]) -> Fault:
    number = int(status.partition(" ")[0])
    return answer(number, {"status": number, "message": "says nothing", **body})


@pytest.mark.parametrize(("key", "case"), TABLE.items(), ids=[" ".join(key) for key in TABLE])
async def test_what_an_error_comes_to(stage: LinkedInStage, key: tuple[str, str], case: tuple[dict[str, Any], str, str]) -> None:
    """Each meaning was thought about once; a lone row is judged, of several only the named ones are."""
    body, alone, of_two = case
    fault = fault_of(key[0], body)

    assert await uploaded(stage, fault) == [alone]
    both = await uploaded(stage, fault, 2)
    assert both in ([alone], (of_two.split(" | ") * 2)[:2])
    assert stage.total_counted() == 0


def test_every_error_of_the_facts_has_a_row(shared: Path) -> None:
    """An error that is in no row was never thought about."""
    named: set[tuple[str, str]] = set()
    for status, words, *_ in fact_rows(shared, "ads_linkedin.md", "## 8."):
        codes = [one.strip().strip('"') for one in words.split(", ")] if "Index" not in words else [words]
        named |= set(itertools.product([one.strip() for one in status.split(",")], codes))

    assert len(named) > 20
    assert named == set(TABLE)


def test_every_code_of_the_connector_has_a_row() -> None:
    """A code of the table that no test names could mean anything."""
    told = {word for row in TABLE.values() for word in " ".join(row[1:]).split()}
    numbers = {str(body["serviceErrorCode"]) for body, *_ in TABLE.values() if "serviceErrorCode" in body}

    assert set(CODES) <= told | numbers


async def test_the_older_number_of_a_token_s_error_is_read_too(stage: LinkedInStage) -> None:
    """Some replies have the number alone."""
    for number in (65600, 65601):
        fault = answer(401, {"status": 401, "serviceErrorCode": number, "message": "says nothing"})
        assert await uploaded(stage, fault) == [f"AuthenticationFailed {number}"]
        stage.plan.clear()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (answer(400, {"status": 400, "code": "FLUX_CAPACITOR", "message": "new"}), "Retry FLUX_CAPACITOR (unknown)"),
        (answer(418, {"status": 418, "message": "new"}), "Retry 418 (unknown)"),
        (server_error(599), "Unavailable unknown"),
    ],
)
async def test_an_unknown_code_costs_a_lone_row_nothing(stage: LinkedInStage, fault: Fault, told: str) -> None:
    """LinkedIn adds codes without notice; a conversion must outlive them."""
    assert await uploaded(stage, fault) == [told]


async def test_the_daily_limit_ends_at_midnight_utc(stage: LinkedInStage) -> None:
    """Asking all day would be held against the app."""
    stage.clock.at = stage.clock.at.replace(hour=21, minute=30, second=0, microsecond=0)
    fault = answer(429, {"status": 429, "message": "Resource level throttle DAY limit for calls to this resource is reached."})

    assert await uploaded(stage, fault) == ["RateLimited 429 9000 s"]


async def test_a_version_that_was_switched_off_says_what_to_set(stage: LinkedInStage) -> None:
    """Others retry a 426 for ever, and nothing is delivered until somebody wonders."""
    stage.platform.versions = frozenset({"209912"})

    async with connected(stage) as destination:
        with pytest.raises(AuthenticationFailed, match="is not active; set api_version to one that lives") as met:
            await destination.upload([row(stage)], stage.clock())

    assert met.value.status == 426


async def test_several_named_rows_fall_and_the_others_go_again(stage: LinkedInStage) -> None:
    """One message names several events, each over several lines."""
    said = (
        "Index: 0, ERROR :: /user/userIds/0/idValue :: 'a1b2' is not valid\nERROR :: /eventId :: is missing\n"
        "Index: 2, ERROR :: /conversionValue/amount :: is no number"
    )

    told = await uploaded(stage, answer(422, {"status": 422, "message": said}), 4)

    fallen, again = "Rejected FIELD_INVALID", "NotProcessed FIELD_INVALID"
    assert told == [fallen, again, fallen, again]


async def test_a_place_that_was_not_sent_condemns_nobody(stage: LinkedInStage) -> None:
    """A wrong index must not reject a good conversion."""
    fault = answer(422, {"status": 422, "message": "Index: 9, ERROR :: /eventId :: is missing"})

    assert await uploaded(stage, fault, 2) == ["NotProcessed FIELD_INVALID"] * 2
