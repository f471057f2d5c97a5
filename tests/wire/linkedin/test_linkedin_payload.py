"""What a request to LinkedIn holds, and what is kept out of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.ads.linkedin.payload import build
from connectors.ads.linkedin.settings import LinkedInSettings
from connectors.contract.conversions import Identifier, Money, UploadRow
from connectors.contract.results import NotProcessed, TargetRefused
from tests.contract.ad_reading import row
from tests.contract.crm_stage import Clock
from tests.contract.linkedin_stage import LinkedInStage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DIGEST = "33ba87fd9ed214b4fcc4d931be50d6091c9572974bda75ec5df228f11a448892"
CLICK = "f894f652-ea33-4e73-9002-f7167ab8f8e3"
EMAIL = {Identifier.EMAIL_SHA256: DIGEST}


@pytest.fixture
def stage() -> LinkedInStage:
    return LinkedInStage(Clock(NOW))


def element_of(one: UploadRow) -> Any:
    draft = build([one], NOW)
    assert draft.local == {}
    elements: Any = draft.body["elements"]
    return elements[0]


def test_the_whole_request(stage: LinkedInStage) -> None:
    """The URN is of `lla`, times are milliseconds, amounts are texts: a number costs the whole request."""
    known = {**EMAIL, Identifier.LI_FAT_ID: CLICK, Identifier.LINKEDIN_LEAD_ID: "5f0c-ab12-7"}
    at = datetime(2026, 11, 19, 9, 0, 0, 123_456, tzinfo=UTC)
    first = row(stage, 1, identifiers=known, occurred_at=at, money=Money(1_200_000_000, "EUR"))
    second = row(stage, 2, identifiers={Identifier.LINKEDIN_LEAD_ID: "lead-2"}, occurred_at=at, money=None)

    draft = build([first, second], NOW)

    assert draft.body == {
        "elements": [
            {
                "conversion": "urn:lla:llaPartnerConversion:7712341",
                "conversionHappenedAt": 1795078800123,
                "eventId": "ll00000000000000000000000001",
                "conversionValue": {"currencyCode": "EUR", "amount": "1200.00"},
                "user": {
                    "userIds": [
                        {"idType": "SHA256_EMAIL", "idValue": DIGEST},
                        {"idType": "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", "idValue": CLICK},
                    ],
                    "lead": "urn:li:leadGenFormResponse:5f0c-ab12-7",
                },
            },
            {
                "conversion": "urn:lla:llaPartnerConversion:7712341",
                "conversionHappenedAt": 1795078800123,
                "eventId": "ll00000000000000000000000002",
                "user": {"userIds": [], "lead": "urn:li:leadGenFormResponse:lead-2"},
            },
        ]
    }


@pytest.mark.parametrize(
    ("micros", "currency", "amount"),
    [
        (0, "EUR", "0.00"),
        (1_234_567, "KWD", "1.23"),
        (500_000_000, "JPY", "500"),
        (300_000, "EUR", "0.30"),
        (1, "USD", "0.00"),
    ],
)
def test_amounts_are_texts_of_two_decimals_at_most(stage: LinkedInStage, micros: int, currency: str, amount: str) -> None:
    """0.1+0.2 must not become 0.30000000000000004, and a third decimal is on no page of LinkedIn's."""
    value = element_of(row(stage, identifiers=EMAIL, money=Money(micros, currency)))["conversionValue"]

    assert value == {"currencyCode": currency, "amount": amount}


@pytest.mark.parametrize(
    ("identifier", "bad"),
    [
        (Identifier.LI_FAT_ID, "not-a-uuid"),
        (Identifier.LI_FAT_ID, CLICK[:-1]),
        (Identifier.LINKEDIN_LEAD_ID, "lead 7"),
        (Identifier.LINKEDIN_LEAD_ID, "urn:li:other:7"),
    ],
)
def test_a_bad_identifier_stays_out(stage: LinkedInStage, identifier: Identifier, bad: str) -> None:
    """LinkedIn takes nonsense without a word, and matches nobody by it."""
    user = element_of(row(stage, identifiers={**EMAIL, identifier: bad}))["user"]

    assert user == {"userIds": [{"idType": "SHA256_EMAIL", "idValue": DIGEST}]}


def test_a_lead_may_come_as_its_urn(stage: LinkedInStage) -> None:
    """CRMs store it in both forms."""
    lead = {Identifier.LINKEDIN_LEAD_ID: "urn:li:leadGenFormResponse:5f0c"}

    assert element_of(row(stage, identifiers=lead))["user"]["lead"] == "urn:li:leadGenFormResponse:5f0c"


@pytest.mark.parametrize("rule", ["", "Qualified", "urn:lla:llaPartnerConversion:7712341", "7" * 21])
def test_a_target_that_is_no_rule_stops_its_milestone(stage: LinkedInStage, rule: str) -> None:
    """It would cost every row of its request."""
    target = stage.target("qualified_lead").of({"conversion_rule": rule})

    (result,) = build([row(stage, target=target)], NOW).results([])

    assert isinstance(result, TargetRefused)


def test_one_id_twice_goes_in_two_requests(stage: LinkedInStage) -> None:
    """Nobody knows what LinkedIn makes of two events of one id in one request."""
    draft = build([row(stage), replace(row(stage), money=None)], NOW)

    assert (draft.rows, draft.local) == ((0,), {1: NotProcessed("duplicate_in_request")})


def test_the_oldest_event_that_goes_leaves_time_for_its_way(stage: LinkedInStage) -> None:
    """Judged at receipt: one that is too old by then costs all others of its request."""
    edge = timedelta(days=90) - timedelta(minutes=2)
    draft = build([row(stage, 1, occurred_at=NOW - edge), row(stage, 2, occurred_at=NOW - edge - timedelta(seconds=1))], NOW)

    assert draft.rows == (0,)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "account_id"),
        ({"account_id": "12345"}, "access_token"),
        ({"account_id": "acme", "access_token": "secret-x"}, "account_id"),
        ({"account_id": "12345", "access_token": "secret-x", "client_id": "a"}, "access_token"),
        ({"account_id": "12345", "access_token": "secret-x", "api_version": "2026-08"}, "api_version"),
        ({"account_id": "12345", "access_token": "secret-x", "region": "eu"}, "region"),
    ],
)
def test_bad_settings_name_their_key_and_no_value(values: dict[str, str], word: str) -> None:
    """A setting's value may be a secret that was pasted into the wrong line."""
    with pytest.raises(ValueError, match=word) as told:
        LinkedInSettings.from_mapping(values)

    assert "secret-x" not in str(told.value)
    assert "acme" not in str(told.value)
