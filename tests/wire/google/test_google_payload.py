"""What a request to Google holds, and what is kept out of it."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from connectors.ads.google.payload import LIMITS, build
from connectors.ads.google.settings import GoogleSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Money, Target, UploadRow
from connectors.contract.results import Later, NotProcessed, Rejected, TargetRefused, Unsupported, UploadResult
from tests.wire.google.google_rig import ADDRESS, DIGEST, EMAIL, NOW, SETTINGS, SQL, WON, row

GRANTED, DENIED, UNKNOWN, FREE = (
    ConsentState.GRANTED,
    ConsentState.DENIED,
    ConsentState.UNKNOWN,
    ConsentState.NOT_REQUIRED,
)
CLICK = {Identifier.GCLID: "Cj0KCQ_x"}


def event_of(one: UploadRow, settings: GoogleSettings = SETTINGS) -> Any:
    draft = build([one], settings, NOW)
    assert draft.local == {}
    events: Any = draft.body["events"]
    return events[0]


def local_of(one: UploadRow, kind: DeliveryKind = DeliveryKind.UPLOAD) -> UploadResult:
    draft = build([one], SETTINGS, NOW, kind=kind)
    assert draft.rows == ()
    return draft.results([])[0]


def test_the_whole_request() -> None:
    """Shape and spelling follow Google's discovery document (v1, 2026-11-06); one wrong field fails every row."""
    when = NOW - timedelta(days=2, microseconds=-123_456)
    one = row(1, identifiers={**CLICK, **EMAIL, **ADDRESS}, occurred_at=when, money=Money(18_400_505_000, "EUR"))

    draft = build([one, row(2, action=WON)], SETTINGS, NOW)

    account = {"accountType": "GOOGLE_ADS", "accountId": "4812093377"}
    manager = {"accountType": "GOOGLE_ADS", "accountId": "7701128856"}
    consent = {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"}
    address = {"givenName": DIGEST, "familyName": DIGEST, "regionCode": "DE", "postalCode": "10115"}
    assert draft.body == {
        "destinations": [
            {
                "reference": f"action-{action}",
                "operatingAccount": account,
                "loginAccount": manager,
                "productDestinationId": action,
            }
            for action in (SQL, WON)
        ],
        "encoding": "HEX",
        "validateOnly": False,
        "events": [
            {
                "destinationReferences": [f"action-{SQL}"],
                "transactionId": "ll00000000000000000000000001",
                "eventTimestamp": "2026-11-20T12:00:00.123Z",
                "eventSource": "WEB",
                "adIdentifiers": {"gclid": "Cj0KCQ_x"},
                "userData": {"userIdentifiers": [{"emailAddress": DIGEST}, {"address": address}]},
                "consent": consent,
                "conversionValue": 18400.5,
                "currency": "EUR",
            },
            {
                "destinationReferences": [f"action-{WON}"],
                "transactionId": "ll00000000000000000000000002",
                "eventTimestamp": "2026-11-20T12:00:00.000Z",
                "eventSource": "WEB",
                "userData": {"userIdentifiers": [{"emailAddress": DIGEST}]},
                "consent": consent,
            },
        ],
    }


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"gclid": "g", "gbraid": "b1", "wbraid": "w1"}, {"gbraid": "b1"}),
        ({"gclid": "Cj0", "gbraid": "b1"}, {"gclid": "Cj0"}),
        ({"wbraid": "w1"}, {"wbraid": "w1"}),
        ({"gclid": "a b(c)", "wbraid": "null"}, None),
    ],
)
def test_one_click_id_and_no_bad_one(given: dict[str, str], sent: object) -> None:
    """Google refuses two braids on one event and the whole request for a malformed id; the e-mail still counts."""
    event = event_of(row(identifiers={**EMAIL, **{Identifier(name): value for name, value in given.items()}}))

    assert event.get("adIdentifiers") == sent
    assert "userData" in event


@pytest.mark.parametrize("broken", [{Identifier.POSTAL_CODE: "n/a"}, {Identifier.COUNTRY: "DEU"}, {Identifier.COUNTRY: ""}])
def test_an_address_goes_whole_or_not_at_all(broken: dict[Identifier, str]) -> None:
    """An incomplete or unreadable address would fail two thousand rows."""
    event = event_of(row(identifiers={**EMAIL, **ADDRESS, **broken}))

    assert event["userData"] == {"userIdentifiers": [{"emailAddress": DIGEST}]}


def test_consent_that_is_not_required_is_not_claimed() -> None:
    """Saying GRANTED for somebody who was not asked would be false."""
    assert event_of(row(consent=Consent(GRANTED, FREE)))["consent"] == {"adUserData": "CONSENT_GRANTED"}
    assert "consent" not in event_of(row(consent=Consent(FREE, FREE)))


def test_base64_where_it_is_chosen() -> None:
    """One encoding is declared for the whole request, so every digest must be in it."""
    settings = GoogleSettings.from_mapping({"account_id": "4812093377", "access_token": "x", "encoding": "base64"})

    event = event_of(row(), settings)

    assert event["userData"]["userIdentifiers"] == [{"emailAddress": base64.b64encode(bytes.fromhex(DIGEST)).decode()}]


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"conversion_id": "123456789012"}, "event_id_invalid"),
        ({"conversion_id": "undefined"}, "event_id_invalid"),
        ({"conversion_id": "l" * 65}, "event_id_invalid"),
        ({"conversion_id": "x"}, "event_id_invalid"),
        ({"money": Money(-1, "EUR")}, "negative_value"),
        ({"money": Money(1, "ABC")}, "currency_invalid"),
        ({"consent": Consent(GRANTED, DENIED)}, "consent_denied"),
        ({"consent": Consent(UNKNOWN, GRANTED)}, "consent_unknown"),
        ({"identifiers": {Identifier.EMAIL_GOOGLE_SHA256: "jane@example.com"}}, "identifiers_invalid"),
        ({"identifiers": {Identifier.GCLID: "a b(c)"}}, "identifiers_invalid"),
        ({"identifiers": {Identifier.EMAIL_SHA256: DIGEST}}, "identifiers_insufficient"),
        ({"occurred_at": NOW - timedelta(days=64)}, "event_too_old"),
        ({"occurred_at": NOW - timedelta(days=91), "identifiers": CLICK}, "event_too_old"),
        ({"clicked_at": NOW - timedelta(days=91), "identifiers": CLICK}, "event_too_old"),
        ({"kind": DeliveryKind.RETRACT}, "correction_unsupported"),
        ({"kind": DeliveryKind.RESTATE}, "value_missing"),
        (
            {"kind": DeliveryKind.RESTATE, "money": Money(1, "EUR"), "occurred_at": NOW - timedelta(days=55)},
            "correction_too_late",
        ),
        (
            {"kind": DeliveryKind.RESTATE, "money": Money(1, "EUR"), "identifiers": {Identifier.WBRAID: "w1"}},
            "correction_unsupported",
        ),
    ],
)
def test_a_row_that_would_sink_its_neighbours_stays_here(changes: dict[str, Any], result: str) -> None:
    """Google refuses the whole request for one such row, so it must not be in it."""
    restates = changes.get("kind") is DeliveryKind.RESTATE

    refused = local_of(row(**changes), DeliveryKind.RESTATE if restates else DeliveryKind.UPLOAD)

    assert isinstance(refused, Rejected | Unsupported)
    assert refused.code == result


def test_the_age_limits_let_the_last_day_pass() -> None:
    """A limit that is one day too strict loses conversions."""
    event_of(row(occurred_at=NOW - LIMITS.age_without_click))
    event_of(row(occurred_at=NOW - LIMITS.age_with_click, identifiers=CLICK))


def test_what_is_too_early_waits() -> None:
    """A future event fails the request without naming anybody; a clamped one would be a false instant."""
    soon = NOW + timedelta(milliseconds=1)
    restated = row(kind=DeliveryKind.RESTATE, money=Money(1, "EUR"), occurred_at=NOW - timedelta(hours=23))

    assert local_of(row(occurred_at=soon)) == Later(soon, "event_in_future")
    assert local_of(restated, DeliveryKind.RESTATE) == Later(NOW + timedelta(hours=1), "correction_too_early")


@pytest.mark.parametrize("action", ["customers/1/conversionActions/2", ""])
def test_a_target_that_is_no_action_stops_its_milestone(action: str) -> None:
    """A resource name in place of the number fails the request for everybody."""
    target = Target.of({"conversion_action": action} if action else {})

    assert isinstance(local_of(row(target=target)), TargetRefused)


def test_what_does_not_fit_goes_with_another_request() -> None:
    """Google processes neither of two events with one id and action, and refuses an eleventh destination."""
    actions = [str(7_000_000_000 + number) for number in range(11)]
    rows = [row(1), row(1), row(1, action=WON), *(row(2 + number, action=action) for number, action in enumerate(actions))]

    draft = build(rows, SETTINGS, NOW)

    assert draft.rows == (0, 2, *range(3, 11))
    assert draft.local[1] == NotProcessed("duplicate_in_request")
    assert {draft.local[place] for place in (11, 12, 13)} == {NotProcessed("too_many_targets")}


def test_a_refused_row_does_not_hold_its_twin() -> None:
    """Only what is really in the request counts as its duplicate."""
    draft = build([row(1, money=Money(-1, "EUR")), row(1)], SETTINGS, NOW)

    assert draft.rows == (1,)


@pytest.mark.parametrize(("currency", "sent"), [("JPY", 18401.0), ("USD", 18400.5), ("KWD", 18400.505)])
def test_value_in_the_currency_s_own_digits(currency: str, sent: float) -> None:
    """Micros must never reach Google: it would count a million times the revenue."""
    assert event_of(row(money=Money(18_400_505_000, currency)))["conversionValue"] == sent
