"""The simulated Data Manager API refuses a request as the facts about Google say, and all of it."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from connectors.simulators.google import ConversionAction, GooglePlatform, PathStyle
from tests.unit.simulators.google_rig import (
    ADS,
    EMAIL,
    EMAIL_BASE64,
    NOW,
    PHONE,
    SQL,
    WON,
    Body,
    Clock,
    accept,
    body,
    destination,
    event,
    new_client,
    new_platform,
    send,
    verdict,
    violations,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform() -> GooglePlatform:
    return new_platform()


@pytest.fixture
async def google(platform: GooglePlatform, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(platform, clock) as client:
        yield client


async def test_an_accepted_request_is_judged_only_after_the_delay(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """A 200 is no proof: the verdict comes later, per destination, with counts as text and the failed rows named."""
    unknown = event("deal-2:won", adIdentifiers={"gclid": "Cj0KCQ_madeup"}, userData=None)
    request_id = await accept(google, event("deal-1:sql", destinationReferences=["sql"]), event(), unknown)

    early = await verdict(google, request_id)
    clock.now += timedelta(hours=1)
    late = await verdict(google, request_id)

    assert [each["requestStatus"] for each in early] == ["PROCESSING", "PROCESSING"]
    assert [each["requestStatus"] for each in late] == ["SUCCESS", "PARTIAL_SUCCESS"]
    assert [each["eventsIngestionStatus"] for each in late] == [{"recordCount": "1"}, {"recordCount": "2"}]
    assert late[1]["errorInfo"]["errorCounts"] == [
        {"recordCount": "1", "reason": "PROCESSING_ERROR_REASON_CLICK_NOT_FOUND", "recordIndices": [2]}
    ]
    assert [each["transactionId"] for each in platform.received(action=WON)] == ["deal-1:won", "deal-2:won"]


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"transactionId": "x" * 65}, "events[1].transaction_id", "FIELD_VALUE_TOO_LONG"),
        ({"transactionId": "Undefined"}, "events[1].transaction_id", "INVALID_FORMAT"),
        ({"transactionId": "7"}, "events[1]", "INVALID_ARGUMENT"),
        ({"transactionId": "88213"}, "events[1]", "INVALID_ARGUMENT"),
        ({"gclid": "Cj0KCQ_fresh"}, "events[1]", "INVALID_ARGUMENT"),
        ({"eventSource": None}, "events[1].event_source", "REQUIRED_FIELD_MISSING"),
        ({"eventSource": "CRM"}, "events[1].event_source", "INVALID_ENUM_VALUE"),
        ({"eventTimestamp": None}, "events[1].event_timestamp", "REQUIRED_FIELD_MISSING"),
        ({"eventTimestamp": "2026-11-20T14:03:11"}, "events[1].event_timestamp", "INVALID_FORMAT"),
        ({"eventTimestamp": "2024-11-20T14:03:11Z"}, "events[1].event_timestamp", "EVENT_TIME_INVALID"),
        ({"conversionValue": "150"}, "events[1].conversion_value", "INVALID_NUMBER_FORMAT"),
        ({"conversionValue": -1}, "events[1].conversion_value", "INVALID_NUMBER_FORMAT"),
        ({"currency": "eur"}, "events[1].currency", "INVALID_CURRENCY_CODE"),
        ({"adIdentifiers": None, "userData": None}, "events[1]", "NO_IDENTIFIERS_PROVIDED"),
        ({"adIdentifiers": {"gbraid": "aaaaa", "wbraid": "bbbbb"}}, "events[1].ad_identifiers", "INVALID_EVENT"),
        ({"adIdentifiers": {"gclid": "Cj0KCQ_foreign"}}, "events[1].ad_identifiers.gclid", "INVALID_AD_IDENTIFIER_FOR_ACCOUNT"),
        ({"destinationReferences": ["lost"]}, "events[1].destination_references[0]", "INVALID_DESTINATION"),
        ({"transactionId": "first"}, "events[1]", "INVALID_EVENT"),
    ],
)
async def test_one_bad_event_refuses_its_neighbours(
    google: httpx.AsyncClient, platform: GooglePlatform, changes: Body, field: str, code: str
) -> None:
    """All or nothing, with the row's index: the connector drops the named row and sends the rest again."""
    answer = await send(google, body(event("first"), event(**{"transactionId": "second", **changes})))

    assert answer.status_code == 400
    assert (field, code) in violations(answer)
    assert not platform.ledger.entries


@pytest.mark.parametrize(
    ("identifier", "encoding", "field", "code"),
    [
        ({"emailAddress": "jane@gmail.com"}, "HEX", ".email_address", "INVALID_HEX_ENCODING"),
        ({"emailAddress": EMAIL[:-1]}, "HEX", ".email_address", "INVALID_SHA256_FORMAT"),
        ({"emailAddress": EMAIL_BASE64}, "HEX", ".email_address", "INVALID_HEX_ENCODING"),
        ({"phoneNumber": PHONE}, "BASE64", ".phone_number", "INVALID_SHA256_FORMAT"),
        ({"phoneNumber": "+1 800"}, "BASE64", ".phone_number", "INVALID_BASE64_ENCODING"),
        ({"phoneNumber": PHONE, "emailAddress": EMAIL}, "HEX", "", "INVALID_ARGUMENT"),
        ({}, "HEX", "", "REQUIRED_FIELD_MISSING"),
        ({"address": {"regionCode": "DE"}}, "HEX", ".address.postal_code", "REQUIRED_FIELD_MISSING"),
    ],
)
async def test_identifiers_must_be_whole_digests(
    google: httpx.AsyncClient, identifier: Body, encoding: str, field: str, code: str
) -> None:
    """A raw address, a cut digest or the other encoding would never match, and half an address refuses the request."""
    answer = await send(google, body(event(userData={"userIdentifiers": [identifier]}), encoding=encoding))

    assert (f"events[0].user_data.user_identifiers[0]{field}", code) in violations(answer)


@pytest.mark.parametrize(
    ("part", "value", "code"), [("regionCode", "UK", "INVALID_REGION_CODE"), ("postalCode", EMAIL, "INVALID_POSTAL_CODE")]
)
async def test_region_and_postal_code_go_in_clear(google: httpx.AsyncClient, part: str, value: str, code: str) -> None:
    """Hashing the postal code, or a country code that ISO does not know, is a mistake of ours that must show."""
    address = {"givenName": EMAIL, "familyName": PHONE, "regionCode": "DE", "postalCode": "10115", part: value}

    answer = await send(google, body(event(userData={"userIdentifiers": [{"address": address}]})))

    assert [each for _, each in violations(answer)] == [code]


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"encoding": None}, "encoding", "REQUIRED_FIELD_MISSING"),
        ({"partialFailure": True}, "", "INVALID_ARGUMENT"),
        ({"events": [event(f"deal-{each}") for each in range(2001)]}, "events", "TOO_MANY_EVENTS"),
        ({"events": []}, "events", "REQUIRED_FIELD_MISSING"),
        ({"destinations": []}, "destinations", "REQUIRED_FIELD_MISSING"),
        ({"destinations": [destination(f"d{each}", WON) for each in range(11)]}, "destinations", "TOO_MANY_DESTINATIONS"),
        (
            {"destinations": [destination("won", SQL), destination("won", WON)]},
            "destinations[1].reference",
            "DUPLICATE_DESTINATION_REFERENCE",
        ),
        ({"destinations": [destination("won", "99")]}, "destinations[0].product_destination_id", "INVALID_CONVERSION_ACTION_ID"),
        ({"destinations": [destination("won", "")]}, "destinations[0].product_destination_id", "REQUIRED_FIELD_MISSING"),
        (
            {"destinations": [destination("a", WON), destination("b", WON)], "events": [event(destinationReferences=None)]},
            "events[0]",
            "INVALID_EVENT",
        ),
        (
            {"events": [event(userData={"userIdentifiers": [{"emailAddress": EMAIL}] * 11})]},
            "events[0].user_data.user_identifiers",
            "TOO_MANY_USER_IDENTIFIERS",
        ),
    ],
)
async def test_a_wrong_request_names_what_is_wrong(google: httpx.AsyncClient, change: Body, field: str, code: str) -> None:
    """Limits and destinations are our own mistakes or configuration; the path tells them from bad rows."""
    sent = {key: value for key, value in body(**change).items() if value is not None}

    answer = await send(google, sent)

    assert answer.status_code == 400
    assert (field, code) in violations(answer)


@pytest.mark.parametrize(
    ("alter", "code"),
    [
        (lambda action: setattr(action, "is_enabled", False), "INVALID_CONVERSION_ACTION_ID"),
        (lambda action: setattr(action, "kind", "WEBPAGE"), "INVALID_CONVERSION_ACTION_TYPE"),
        (lambda action: setattr(action, "created_at", NOW - timedelta(hours=5)), "CONVERSION_ACTION_TOO_RECENTLY_CREATED"),
    ],
)
async def test_an_unfit_conversion_action_is_found_by_a_dry_run(
    google: httpx.AsyncClient, platform: GooglePlatform, alter: Callable[[ConversionAction], None], code: str
) -> None:
    """The connection check sends validateOnly; it must prove the action before anything real is sent."""
    alter(platform.world.accounts[ADS].actions[WON])

    answer = await send(google, body(validateOnly=True))

    assert violations(answer) == {("destinations[1].product_destination_id", code)}


@pytest.mark.parametrize("identity", ["88213", "7"])
async def test_a_numeric_id_passes_the_dry_run_and_fails_the_real_call(
    google: httpx.AsyncClient, platform: GooglePlatform, identity: str
) -> None:
    """Seen live: validateOnly does not protect against such ids, so the connector must."""
    dry = await send(google, body(event(identity), validateOnly=True))
    real = await send(google, body(event(identity)))

    assert (dry.status_code, real.status_code) == (200, 400)
    assert len(platform.rehearsed) == 1
    assert not platform.ledger.entries


async def test_a_future_event_is_refused_without_saying_which(google: httpx.AsyncClient) -> None:
    """The answer names no field, so only bisection finds the row."""
    answer = await send(google, body(event("a1"), event("a2", eventTimestamp="2026-11-22T14:00:01+01:00")))

    assert answer.status_code == 400
    assert "BadRequest" not in answer.text
    assert "RequestInfo" in answer.text


async def test_both_documented_paths_of_a_row_can_be_sent(google: httpx.AsyncClient, platform: GooglePlatform) -> None:
    """Google's pages show events[0] and events.events[0]; destinations are never doubled."""
    platform.behaviour.path_style = PathStyle.DOUBLED

    answer = await send(google, body(event(currency="EURO"), destinations=[destination("won", "99")]))

    assert {field for field, _ in violations(answer)} == {"events.events[0].currency", "destinations[0].product_destination_id"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"encoding":', b'"encoding":"HEX","encoding":'),
        (b"150.0", b"NaN"),
        (b"150.0", b"1e999"),
        (b"deal-1", b"deal-\xff"),
        (b"deal-1", b"deal-\\ud800"),
        (b"}", b""),
    ],
)
async def test_what_is_no_strict_json_is_refused(google: httpx.AsyncClient, old: bytes, new: bytes) -> None:
    """A key given twice or a NaN is silently mended by lax parsers and must not be here."""
    raw = json.dumps(body()).encode()
    assert old in raw

    answer = await google.post(
        "/v1/events:ingest", content=raw.replace(old, new, 1), headers={"content-type": "application/json"}
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


async def test_answers_are_dated_by_the_injected_clock(google: httpx.AsyncClient, clock: Clock) -> None:
    """The service compares clocks by this header."""
    clock.now += timedelta(days=1)

    answer = await send(google, body())

    assert answer.headers["date"] == format_datetime(clock.now, usegmt=True)


async def test_an_ignored_custom_variable_only_warns(google: httpx.AsyncClient) -> None:
    """A 200 may carry warnings that do not stop the event."""
    answer = await send(google, body(event(customVariables=[{"variable": "tier", "value": "gold"}])))

    assert answer.status_code == 200
    assert answer.json()["fieldWarnings"][0]["field"] == "events[0].custom_variables[0]"
