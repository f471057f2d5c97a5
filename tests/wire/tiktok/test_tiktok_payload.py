"""What a request to TikTok holds, and what is kept out of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.ads.tiktok.payload import build
from connectors.ads.tiktok.settings import TikTokSettings
from connectors.contract.conversions import Identifier, Money, UploadRow
from connectors.contract.results import NotProcessed, Rejected, TargetRefused
from tests.contract.ad_reading import row
from tests.contract.crm_stage import Clock
from tests.contract.tiktok_stage import CRM_SET, OFFLINE_SET, TikTokStage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DIGEST = "b947f8ad7dc00f0f4ba3da5a5fbdf3959603e725e50858e8383eb4fd109fc591"
EMAIL = {Identifier.EMAIL_SHA256: DIGEST}
EVERYTHING = {
    **EMAIL,
    Identifier.PHONE_SHA256: DIGEST,
    Identifier.EXTERNAL_ID_SHA256: DIGEST,
    Identifier.TTCLID: "E.C.P.CoQBclick",
    Identifier.TIKTOK_LEAD_ID: "7400112233445566778",
}
OWN = {"advertiser_id": "7000111122223333", "access_token": "x"}
BOTH = {**OWN, "crm_event_set_id": CRM_SET, "offline_event_set_id": OFFLINE_SET}


@pytest.fixture
def stage() -> TikTokStage:
    return TikTokStage(Clock(NOW))


def settings_of(**given: str) -> TikTokSettings:
    return TikTokSettings.from_mapping({**BOTH, **given})


def body_of(*rows: UploadRow, settings: TikTokSettings | None = None) -> Any:
    draft = build(rows, settings or settings_of(), NOW)
    assert draft.local == {}
    return draft.body


def test_the_whole_request_of_leads_of_tiktok_s_own_forms(stage: TikTokStage) -> None:
    """The click id has no place in the CRM source, and the lead's id in no other."""
    at = datetime(2026, 11, 19, 9, 0, 0, 999_999, tzinfo=UTC)
    one = row(stage, 1, identifiers=EVERYTHING, occurred_at=at, money=Money(1_200_000_000, "EUR"))

    assert body_of(one) == {
        "event_source": "crm",
        "event_source_id": CRM_SET,
        "data": [
            {
                "event": "QualifiedLead",
                "event_time": 1795078800,
                "event_id": "ll00000000000000000000000001",
                "user": {"email": DIGEST, "phone": DIGEST, "external_id": DIGEST},
                "lead": {"lead_id": "7400112233445566778", "lead_event_source": "HubSpot"},
                "properties": {"value": 1200.0, "currency": "EUR"},
            }
        ],
    }


def test_the_whole_request_of_other_leads(stage: TikTokStage) -> None:
    """TikTok's pages do not agree on click ids and external ids there, so they wait for a switch."""
    known = {name: value for name, value in EVERYTHING.items() if name is not Identifier.TIKTOK_LEAD_ID}
    one = row(stage, 1, identifiers=known, money=None)
    event = {
        "event": "QualifiedLead",
        "event_time": int((NOW - timedelta(days=1)).timestamp()),
        "event_id": "ll00000000000000000000000001",
        "user": {"email": DIGEST, "phone": DIGEST},
    }

    assert body_of(one) == {"event_source": "offline", "event_source_id": OFFLINE_SET, "data": [event]}

    switched = body_of(one, settings=settings_of(offline_click_ids="on"))
    assert switched["data"][0]["user"] == {
        "email": DIGEST,
        "phone": DIGEST,
        "external_id": DIGEST,
        "ttclid": "E.C.P.CoQBclick",
    }


def test_a_click_that_is_a_week_old_stays_out(stage: TikTokStage) -> None:
    """TikTok forgets it by then; the rest of the person matches on."""
    known = {**EMAIL, Identifier.TTCLID: "E.C.P.CoQBclick"}
    fresh, old = (row(stage, 1, identifiers=known, clicked_at=NOW - timedelta(days=days)) for days in (7, 8))

    users = [body_of(one, settings=settings_of(offline_click_ids="on"))["data"][0]["user"] for one in (fresh, old)]

    assert ["ttclid" in user for user in users] == [True, False]


@pytest.mark.parametrize(
    ("missing", "source", "event_set"),
    [("offline_event_set_id", "crm", CRM_SET), ("crm_event_set_id", "offline", OFFLINE_SET)],
)
def test_with_one_event_set_all_go_there(stage: TikTokStage, missing: str, source: str, event_set: str) -> None:
    """Many advertisers have one of the two."""
    settings = TikTokSettings.from_mapping({name: value for name, value in BOTH.items() if name != missing})
    rows = [row(stage, 1, identifiers=EVERYTHING), row(stage, 2, identifiers=EMAIL)]

    body = body_of(*rows, settings=settings)

    assert (body["event_source"], body["event_source_id"], len(body["data"])) == (source, event_set, 2)


def test_leads_of_both_kinds_go_in_two_requests(stage: TikTokStage) -> None:
    """A request has one event source."""
    draft = build([row(stage, 1, identifiers=EVERYTHING), row(stage, 2, identifiers=EMAIL)], settings_of(), NOW)

    assert (draft.rows, draft.local) == ((0,), {1: NotProcessed("other_form")})


@pytest.mark.parametrize(("currency", "sent"), [("EUR", True), ("KWD", True), ("BGN", False), ("LKR", False)])
def test_a_value_in_a_currency_that_tiktok_lacks_is_left_out(stage: TikTokStage, currency: str, sent: bool) -> None:  # noqa: FBT001 a parameter
    """It would refuse the event, and the conversion is worth more than its value."""
    event = body_of(row(stage, identifiers=EMAIL, money=Money(5_000_000, currency)))["data"][0]

    assert ("properties" in event) is sent


@pytest.mark.parametrize(
    ("identifiers", "code"),
    [
        ({}, "identifiers_insufficient"),
        ({Identifier.EXTERNAL_ID_SHA256: DIGEST}, "identifiers_insufficient"),
        ({Identifier.TTCLID: "E.C.P.CoQBclick"}, "identifiers_insufficient"),
        ({Identifier.EMAIL_SHA256: "anna@example.com"}, "identifiers_invalid"),
        ({Identifier.TIKTOK_LEAD_ID: "no lead"}, "identifiers_invalid"),
    ],
)
def test_a_person_whom_tiktok_could_not_know_stays_here(
    stage: TikTokStage, identifiers: dict[Identifier, str], code: str
) -> None:
    """One such event costs its whole request."""
    (result,) = build([row(stage, identifiers=identifiers)], settings_of(), NOW).results([])

    assert isinstance(result, Rejected)
    assert result.code == code


@pytest.mark.parametrize("name", ["", "  ", "a" * 151, "Lead\x00"])
def test_a_target_without_a_name_stops_its_milestone(stage: TikTokStage, name: str) -> None:
    """It would cost every row of its request."""
    target = stage.target("lead").of({"event_name": name})

    (result,) = build([row(stage, target=target)], settings_of(), NOW).results([])

    assert isinstance(result, TargetRefused)


def test_a_test_event_code_stands_at_the_top(stage: TikTokStage) -> None:
    """Inside of a row TikTok reads over it, and the event counts."""
    draft = build([row(stage, identifiers=EMAIL)], settings_of(), NOW, "TEST1234")

    assert draft.body["test_event_code"] == "TEST1234"
    assert "test_event_code" not in build([row(stage, identifiers=EMAIL)], settings_of(), NOW).body


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (OWN, "crm_event_set_id"),
        ({**OWN, "crm_event_set_id": "my set"}, "crm_event_set_id"),
        ({**BOTH, "app_id": "1"}, "app_secret"),
        ({**BOTH, "offline_click_ids": "perhaps"}, "offline_click_ids"),
        ({**BOTH, "api_version": "1.3"}, "api_version"),
        ({"advertiser_id": "700011", "crm_event_set_id": CRM_SET}, "access_token"),
    ],
)
def test_bad_settings_name_their_key_and_no_value(values: dict[str, str], word: str) -> None:
    """A setting's value may be a secret that was pasted into the wrong line."""
    with pytest.raises(ValueError, match=word) as told:
        TikTokSettings.from_mapping(values)

    assert "my set" not in str(told.value)
