"""What requests to Microsoft hold, of conversions and of their adjustments, and what is kept out of them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from connectors.ads.microsoft.payload import build, build_adjustments, content_key
from connectors.ads.microsoft.settings import MicrosoftSettings
from connectors.contract.conversions import DeliveryKind, Identifier, Money, UploadRow
from connectors.contract.results import NotProcessed, Rejected, TargetRefused
from connectors.identity import RawIdentity, identify
from tests.contract.ad_reading import row
from tests.contract.crm_stage import Clock
from tests.contract.microsoft_stage import MicrosoftStage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CLICK = "f894f652ea334e739002f7167ab8f8e3"
STRIPPED, LOWERED, PHONE = "a" * 64, "b" * 64, "c" * 64
EVERYTHING = {
    Identifier.MSCLKID: CLICK,
    Identifier.EMAIL_MICROSOFT_SHA256: STRIPPED,
    Identifier.EMAIL_SHA256: LOWERED,
    Identifier.PHONE_SHA256: PHONE,
}
OWN = {"account_id": "180001234", "customer_id": "17000999", "developer_token": "x", "access_token": "y"}
SETTINGS = MicrosoftSettings.from_mapping(OWN)
AT = datetime(2026, 11, 19, 14, 3, 11, 999_999, tzinfo=UTC)


@pytest.fixture
def stage() -> MicrosoftStage:
    return MicrosoftStage(Clock(NOW))


def item_of(one: UploadRow, settings: MicrosoftSettings = SETTINGS) -> Any:
    draft = build([one], settings, NOW)
    assert draft.local == {}
    items: Any = draft.body["OfflineConversions"]
    return items[0]


def test_the_whole_request(stage: MicrosoftStage) -> None:
    """Absent fields are left out; the time is cut to its second, which is part of the key."""
    first = row(stage, 1, identifiers=EVERYTHING, occurred_at=AT, money=Money(18_400_500_000, "EUR"))
    second = row(stage, 2, identifiers={Identifier.PHONE_SHA256: PHONE}, occurred_at=AT, money=None)

    assert build([first, second], SETTINGS, NOW).body == {
        "OfflineConversions": [
            {
                "ConversionName": "Qualified Lead",
                "ConversionTime": "2026-11-19T14:03:11Z",
                "MicrosoftClickId": CLICK,
                "HashedEmailAddress": STRIPPED,
                "HashedPhoneNumber": PHONE,
                "ConversionValue": 18400.5,
                "ConversionCurrencyCode": "EUR",
            },
            {"ConversionName": "Qualified Lead", "ConversionTime": "2026-11-19T14:03:11Z", "HashedPhoneNumber": PHONE},
        ]
    }


def test_the_whole_request_of_corrections(stage: MicrosoftStage) -> None:
    """Goal, second and identifiers are those of the upload; a retraction carries no value."""
    known = {Identifier.MSCLKID: CLICK}
    given = {"identifiers": known, "occurred_at": AT}
    restate = row(stage, 1, kind=DeliveryKind.RESTATE, money=Money(17_000_000_000, "EUR"), **given)
    retract = row(stage, 1, kind=DeliveryKind.RETRACT, **given)
    original = {"ConversionName": "Qualified Lead", "ConversionTime": "2026-11-19T14:03:11Z", "MicrosoftClickId": CLICK}
    now = "2026-11-20T12:00:00Z"

    bodies = [build_adjustments([one], SETTINGS, NOW).body for one in (restate, retract)]

    worth = {"AdjustmentValue": 17000.0, "AdjustmentCurrencyCode": "EUR"}
    assert bodies == [
        {"OfflineConversionAdjustments": [{**original, "AdjustmentTime": now, "AdjustmentType": "Restate", **worth}]},
        {"OfflineConversionAdjustments": [{**original, "AdjustmentTime": now, "AdjustmentType": "Retract"}]},
    ]


def test_the_third_variant_of_an_e_mail() -> None:
    """Dots and tag go for every domain: Google's and Meta's hashes would never match here (the facts' own vectors)."""
    found = identify(RawIdentity(email=("Jane.Doe+crm@Contoso.com",))).identifiers

    assert found[Identifier.EMAIL_MICROSOFT_SHA256] == "62a8040a00736e70808e43009b5c63c4f6229ced98f486d0968441b292b9858a"
    assert found[Identifier.EMAIL_MICROSOFT_SHA256] != found[Identifier.EMAIL_SHA256]


def test_the_plain_variant_where_it_is_chosen(stage: MicrosoftStage) -> None:
    """Whether the guide's rule holds for offline conversions is unproven."""
    settings = MicrosoftSettings.from_mapping({**OWN, "email_mode": "lowercase_only"})

    assert item_of(row(stage, identifiers=EVERYTHING), settings)["HashedEmailAddress"] == LOWERED


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (CLICK, CLICK),
        ("F894F652-EA33-4E73-9002-F7167AB8F8E3", "F894F652-EA33-4E73-9002-F7167AB8F8E3"),
        (f"_uet{CLICK}", CLICK),
        (CLICK[:-1], None),
        ("Cj0KCQ_click", None),
        ("", None),
    ],
)
def test_a_bad_click_id_stays_out_and_the_row_goes(stage: MicrosoftStage, given: str, sent: str | None) -> None:
    """Microsoft refuses such a row, though its hashes would match."""
    item = item_of(row(stage, identifiers={**EVERYTHING, Identifier.MSCLKID: given}))

    assert (item.get("MicrosoftClickId"), item["HashedEmailAddress"]) == (sent, STRIPPED)


def test_times_are_utc_whatever_they_were(stage: MicrosoftStage) -> None:
    """Across a clock change an hour exists twice, and only UTC tells them apart."""
    berlin = timezone(timedelta(hours=1))

    assert item_of(row(stage, occurred_at=AT.astimezone(berlin)))["ConversionTime"] == "2026-11-19T14:03:11Z"


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ({"conversion_id": "ll" + "9" * 26}, True),
        ({"money": Money(1, "EUR")}, True),
        ({"occurred_at": AT.replace(microsecond=0)}, True),
        ({"identifiers": {**EVERYTHING, Identifier.MSCLKID: "F894F652-EA33-4E73-9002-F7167AB8F8E3"}}, True),
        ({"identifiers": {Identifier.MSCLKID: CLICK}}, True),
        ({"occurred_at": AT + timedelta(seconds=1)}, False),
        ({"identifiers": {Identifier.MSCLKID: "0" * 32}}, False),
        ({"identifiers": {Identifier.PHONE_SHA256: PHONE}}, False),
    ],
)
def test_what_microsoft_takes_for_one_conversion(stage: MicrosoftStage, changed: dict[str, Any], is_same: bool) -> None:  # noqa: FBT001 a parameter
    """The key decides which rows are moved apart: too narrow loses a conversion, too wide moves one for nothing."""
    first = row(stage, 1, identifiers=EVERYTHING, occurred_at=AT)
    second = row(stage, 1, **{"identifiers": EVERYTHING, "occurred_at": AT, **changed})

    assert (content_key(first, SETTINGS) == content_key(second, SETTINGS)) is is_same


def test_rows_without_a_click_are_told_apart_by_their_hashes(stage: MicrosoftStage) -> None:
    """Presumably the hash stands for the click; so it is taken as part of the key."""
    one, other = ({Identifier.PHONE_SHA256: digest} for digest in (PHONE, "d" * 64))
    keys = {content_key(row(stage, 1, identifiers=known, occurred_at=AT), SETTINGS) for known in (one, other)}

    assert len(keys) == 2


def test_two_rows_of_one_key_go_in_two_requests(stage: MicrosoftStage) -> None:
    """In one request the second would be dropped without a word."""
    rows = [row(stage, number, identifiers=EVERYTHING, occurred_at=AT) for number in (1, 2)]

    draft = build(rows, SETTINGS, NOW)

    assert (draft.rows, draft.local) == ((0,), {1: NotProcessed("duplicate_in_request")})


@pytest.mark.parametrize("goal", ["", "   ", "x" * 101, "Goal\n"])
def test_a_target_that_is_no_goal_stops_its_milestone(stage: MicrosoftStage, goal: str) -> None:
    """Goals are known by their exact name."""
    (result,) = build([row(stage, target=stage.target("lead").of({"goal": goal}))], SETTINGS, NOW).results([])

    assert isinstance(result, TargetRefused)


def test_uploads_and_corrections_do_not_mix(stage: MicrosoftStage) -> None:
    """Each has a door of its own; at the other's it would count, or correct, what it should not."""
    (upload,) = build_adjustments([row(stage)], SETTINGS, NOW).results([])
    (retract,) = build([row(stage, kind=DeliveryKind.RETRACT)], SETTINGS, NOW).results([])

    assert [type(one) for one in (upload, retract)] == [Rejected, Rejected]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "account_id"),
        ({**OWN, "account_id": "acme"}, "account_id"),
        ({name: value for name, value in OWN.items() if name != "developer_token"}, "developer_token"),
        ({**OWN, "email_mode": "none"}, "email_mode"),
        ({**OWN, "client_id": "a"}, "access_token"),
        ({**OWN, "tenant": "common"}, "tenant"),
    ],
)
def test_bad_settings_name_their_key_and_no_value(values: dict[str, str], word: str) -> None:
    """A setting's value may be a secret that was pasted into the wrong line."""
    with pytest.raises(ValueError, match=word) as told:
        MicrosoftSettings.from_mapping(values)

    assert "acme" not in str(told.value)
