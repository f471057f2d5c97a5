"""What a request to Meta holds, and what is kept out of it."""

from datetime import timedelta
from typing import Any

import pytest

from connectors.ads.meta.payload import LIMITS, build
from connectors.ads.meta.settings import MetaSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Money, UploadRow
from connectors.contract.results import Later, NotProcessed, Rejected, TargetRefused, UploadResult
from tests.wire.meta.meta_rig import DIGEST, EMAIL, LEAD_ID, NOW, SETTINGS, row, settings_of

FBC, FBP = "fb.1.1795345820402.IwAR2F4abc", "fb.1.1795345820402.1098115397"
HASHED = {
    Identifier.EMAIL_SHA256: "em",
    Identifier.PHONE_DIGITS_SHA256: "ph",
    Identifier.FIRST_NAME_META_SHA256: "fn",
    Identifier.LAST_NAME_META_SHA256: "ln",
    Identifier.CITY_META_SHA256: "ct",
    Identifier.STATE_META_SHA256: "st",
    Identifier.POSTAL_CODE_META_SHA256: "zp",
    Identifier.COUNTRY_META_SHA256: "country",
    Identifier.EXTERNAL_ID_SHA256: "external_id",
}
NAMES = {Identifier.FIRST_NAME_META_SHA256: DIGEST, Identifier.LAST_NAME_META_SHA256: DIGEST}
PLACES = {Identifier.CITY_META_SHA256: DIGEST, Identifier.COUNTRY_META_SHA256: DIGEST}


def event_of(one: UploadRow, settings: MetaSettings = SETTINGS) -> Any:
    draft = build([one], settings, NOW)
    assert draft.local == {}
    events: Any = draft.body["data"]
    return events[0]


def local_of(one: UploadRow) -> UploadResult:
    draft = build([one], SETTINGS, NOW)
    assert draft.rows == ()
    return draft.results([])[0]


def test_the_whole_request() -> None:
    """Shape and spelling follow Meta's payload specification for CRM events (2026-09); one wrong field fails every row."""
    everything = {**dict.fromkeys(HASHED, DIGEST), **LEAD_ID, Identifier.FBC: FBC, Identifier.FBP: FBP}
    when = NOW - timedelta(days=2, microseconds=1)
    one = row(1, identifiers=everything, occurred_at=when, money=Money(4_200_005_000, "EUR"))

    draft = build([one, row(2, name="Opportunity", source_kind="pipedrive")], SETTINGS, NOW)

    assert draft.body == {
        "data": [
            {
                "event_name": "Qualified",
                "event_time": 1795175999,
                "event_id": "ll00000000000000000000000001",
                "action_source": "system_generated",
                "user_data": {
                    **{key: [DIGEST] for key in HASHED.values()},
                    "lead_id": 5128873341120976,
                    "fbc": FBC,
                    "fbp": FBP,
                },
                "custom_data": {"event_source": "crm", "lead_event_source": "HubSpot", "value": 4200.0, "currency": "EUR"},
            },
            {
                "event_name": "Opportunity",
                "event_time": 1795176000,
                "event_id": "ll00000000000000000000000002",
                "action_source": "physical_store",
                "user_data": {"em": [DIGEST]},
                "custom_data": {"order_id": "ll00000000000000000000000002"},
            },
        ]
    }
    assert DIGEST not in repr(draft)


@pytest.mark.parametrize(
    ("identifiers", "settings", "source", "custom"),
    [
        (LEAD_ID, {"lead_event_source": "Our CRM"}, "system_generated", {"event_source": "crm", "lead_event_source": "Our CRM"}),
        (EMAIL, {}, "physical_store", {"order_id": "ll00000000000000000000000001"}),
        (EMAIL, {"without_lead_id": "crm"}, "system_generated", {"event_source": "crm", "lead_event_source": "HubSpot"}),
        (EMAIL, {"without_lead_id": "other"}, "system_generated", None),
    ],
)
def test_the_form_of_a_row(identifiers: Any, settings: dict[str, str], source: str, custom: object) -> None:
    """With the CRM marks an event counts for conversion leads, which Meta wants for leads of its own forms only."""
    event = event_of(row(identifiers=identifiers), settings_of(**settings))

    assert (event["action_source"], event.get("custom_data")) == (source, custom)


def test_other_than_crm_events_still_carry_their_value() -> None:
    """Value-based bidding needs it wherever the lead came from."""
    event = event_of(row(money=Money(1_500_000, "USD")), settings_of(without_lead_id="other"))

    assert event["custom_data"] == {"value": 1.5, "currency": "USD"}


def test_limited_data_use_goes_with_each_event() -> None:
    """A state's law is kept by these three fields; Meta wants them together."""
    chosen = settings_of(data_processing_options="ldu", data_processing_options_state="1000")

    event = event_of(row(), chosen)

    names = ("data_processing_options", "data_processing_options_country", "data_processing_options_state")
    assert [event[name] for name in names] == [["LDU"], 1, 1000]
    assert not set(names) & set(event_of(row()))


def test_a_test_event_code_marks_the_request() -> None:
    """It stands beside the events, not in them."""
    assert build([row()], SETTINGS, NOW, "TEST12345").body["test_event_code"] == "TEST12345"
    assert "test_event_code" not in build([row()], SETTINGS, NOW).body


@pytest.mark.parametrize(
    ("identifier", "bad"),
    [
        (Identifier.META_LEAD_ID, "51288733411209"),
        (Identifier.META_LEAD_ID, "l:5128873341120976"),
        (Identifier.META_LEAD_ID, "5128873341120976.0"),
        (Identifier.FBC, "IwAR2F4abc"),
        (Identifier.FBC, "fb.1.1795345820.IwAR2F4abc"),
        (Identifier.FBC, f"{FBC}.AQICAQMC.x"),
        (Identifier.FBP, "fb.1.1795345820402.abc"),
        (Identifier.PHONE_DIGITS_SHA256, "493012345678"),
        (Identifier.COUNTRY_META_SHA256, "US"),
        (Identifier.EMAIL_SHA256, DIGEST.upper()),
    ],
)
def test_a_bad_identifier_stays_out_and_the_row_goes(identifier: Identifier, bad: str) -> None:
    """One bad click id must not lose the conversion, nor its batch."""
    other = {Identifier.PHONE_DIGITS_SHA256: DIGEST} if identifier is Identifier.EMAIL_SHA256 else EMAIL

    event = event_of(row(identifiers={**other, identifier: bad}))

    assert list(event["user_data"]) == (["ph"] if identifier is Identifier.EMAIL_SHA256 else ["em"])


@pytest.mark.parametrize("fbc", [FBC, f"{FBC}.AQ", f"{FBC}.AQICAQMC", "fb.2.1795345820402.IwAR-_~x"])
def test_a_click_id_passes_unchanged(fbc: str) -> None:
    """It is case sensitive, and Meta's own parts at its end belong to it."""
    assert event_of(row(identifiers={Identifier.FBC: fbc}))["user_data"] == {"fbc": fbc}


@pytest.mark.parametrize(
    ("identifiers", "code"),
    [
        ({}, "identifiers_insufficient"),
        (PLACES, "identifiers_insufficient"),
        ({Identifier.FIRST_NAME_META_SHA256: DIGEST}, "identifiers_insufficient"),
        ({**PLACES, Identifier.META_LEAD_ID: "1"}, "identifiers_invalid"),
        ({Identifier.FBC: "IwAR2F4abc"}, "identifiers_invalid"),
        ({Identifier.GCLID: "Cj0"}, "identifiers_insufficient"),
    ],
)
def test_a_row_without_enough_left_is_refused_here(identifiers: dict[Identifier, str], code: str) -> None:
    """Meta refuses the whole batch for one event that is too broad (100/2804050)."""
    result = local_of(row(identifiers=identifiers))

    assert isinstance(result, Rejected)
    assert result.code == code


def test_every_sufficient_set_suffices_for_the_payload() -> None:
    """The outbox chooses people by these sets: what it lets through must not be refused here."""
    samples = {**dict.fromkeys(HASHED, DIGEST), **LEAD_ID, Identifier.FBC: FBC, Identifier.FBP: FBP}
    for needed in LIMITS.sufficient:
        assert event_of(row(identifiers={one: samples[one] for one in needed}))["user_data"]
    assert event_of(row(identifiers=NAMES))["user_data"] == {"fn": [DIGEST], "ln": [DIGEST]}


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"occurred_at": NOW - timedelta(days=62)}, Rejected("event_too_old")),
        ({"occurred_at": NOW - timedelta(days=7) + timedelta(minutes=1), "identifiers": LEAD_ID}, Rejected("event_too_old")),
        ({"occurred_at": NOW + timedelta(seconds=1)}, Later(NOW + timedelta(seconds=1), "event_in_future")),
        ({"name": ""}, TargetRefused("", "target_invalid")),
        ({"name": "a\nb"}, TargetRefused("a\nb", "target_invalid")),
        ({"conversion_id": ""}, Rejected("event_id_invalid")),
        ({"name": "Purchase"}, Rejected("value_missing")),
        ({"money": Money(-1, "EUR")}, Rejected("negative_value")),
        ({"money": Money(1, "EURO")}, Rejected("currency_invalid")),
        ({"money": Money(1, "ZZZ")}, Rejected("currency_invalid")),
        ({"kind": DeliveryKind.RESTATE}, Rejected("correction_unsupported")),
        ({"kind": DeliveryKind.RETRACT}, Rejected("correction_unsupported")),
        ({"consent": Consent(ConsentState.GRANTED, ConsentState.DENIED)}, Rejected("consent_denied")),
        ({"consent": Consent(ConsentState.UNKNOWN, ConsentState.GRANTED)}, Rejected("consent_unknown")),
    ],
)
def test_what_would_sink_the_batch_stays_out(changes: dict[str, Any], result: UploadResult) -> None:
    """Meta drops a thousand good events for one of these and names none."""
    found = local_of(row(**changes))

    assert type(found) is type(result)
    assert found.code == result.code  # type: ignore[union-attr]  # none of these is Accepted


def test_the_oldest_event_that_goes_leaves_time_for_its_way() -> None:
    """An event that grows too old on the wire would lose its batch."""
    for days, identifiers in ((7, LEAD_ID), (62, EMAIL)):
        event = event_of(row(occurred_at=NOW - timedelta(days=days) + timedelta(minutes=3), identifiers=identifiers))

        assert NOW.timestamp() - event["event_time"] < timedelta(days=days).total_seconds()


def test_too_many_events_wait_for_another_request() -> None:
    """Meta refuses more than a thousand as a whole."""
    draft = build([row(number) for number in range(1001)], SETTINGS, NOW)

    assert len(draft.rows) == 1000
    assert draft.local == {1000: NotProcessed("too_many_rows")}


def test_a_purchase_of_nothing_goes() -> None:
    """Zero is a value; only a missing one is refused."""
    event = event_of(row(name="Purchase", money=Money(0, "JPY")))

    assert event["custom_data"]["value"] == 0.0
