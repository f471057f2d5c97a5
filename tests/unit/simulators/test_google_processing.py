"""The simulated Google judges late, and counts a conversion once."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from connectors.simulators.google import (
    Click,
    ClickKind,
    Consent,
    Counting,
    EnhancedConversions,
    GooglePlatform,
    Key,
    Outcome,
    Person,
    RecordIndices,
)
from tests.unit.simulators.google_rig import (
    ADS,
    EMAIL,
    EMAIL_BASE64,
    NOW,
    OTHER,
    PHONE,
    SQL,
    STRANGER,
    WON,
    Body,
    Clock,
    accept,
    body,
    event,
    late_reason,
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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"adIdentifiers": None}, None),
        ({"adIdentifiers": {"gclid": "Cj0KCQ_madeup"}}, None),
        ({"adIdentifiers": None, "userData": {"userIdentifiers": [{"phoneNumber": PHONE.upper()}]}}, None),
        ({"adIdentifiers": None, "userData": {"userIdentifiers": [{"emailAddress": STRANGER}]}}, "CLICK_NOT_FOUND"),
        ({"adIdentifiers": {"gclid": "no such id"}}, "INVALID_GCLID"),
        ({"adIdentifiers": {"wbraid": "%%%%%%"}}, "INVALID_WBRAID"),
        ({"eventTimestamp": "2026-11-17T11:59:59Z"}, "CONVERSION_PRECEDES_CLICK"),
        ({"consent": {"adUserData": "CONSENT_DENIED"}}, "DENIED_CONSENT"),
        ({"eventTimestamp": "2026-08-01T00:00:00Z"}, "EVENT_TOO_OLD"),
        ({"eventTimestamp": "2026-09-19T00:00:00Z", "adIdentifiers": None}, "EVENT_TOO_OLD"),
    ],
)
async def test_the_late_verdict_follows_click_person_age_and_consent(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock, changes: Body, expected: str | None
) -> None:
    """These are told only by the status call, and decide between delivered, unmatched, permanent and skipped."""
    assert await late_reason(google, clock, event(**changes)) == expected

    entry = platform.ledger.entries[Key(WON, "deal-1:won")]
    assert (entry.is_matched, entry.times_counted) == (expected is None, int(expected is None))


async def test_a_destination_where_all_failed_has_failed(google: httpx.AsyncClient, clock: Clock) -> None:
    """FAILED, not FAILURE as the guide's prose has it."""
    request_id = await accept(google, event(consent={"adUserData": "CONSENT_DENIED"}))
    clock.now += timedelta(hours=1)

    assert [each["requestStatus"] for each in await verdict(google, request_id)] == ["SUCCESS", "FAILED"]


async def test_a_person_who_clicked_again_is_matched_by_the_earlier_click(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """A click after the event must not hide the one that led to it."""
    platform.add_people(Person(frozenset({EMAIL}), ADS, NOW - timedelta(days=1)))

    assert await late_reason(google, clock, event(adIdentifiers=None)) is None


async def test_base64_and_hex_mean_the_same_person(google: httpx.AsyncClient, clock: Clock) -> None:
    """The encoding is only a spelling."""
    sent = event(adIdentifiers=None, userData={"userIdentifiers": [{"emailAddress": EMAIL_BASE64}]})

    assert await late_reason(google, clock, sent, encoding="BASE64") is None


async def test_consent_that_nobody_gave_is_unknown_unless_the_account_has_a_default(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """For users in the EEA silence is not consent."""
    assert await late_reason(google, clock, event(), consent={}) == "UNKNOWN_CONSENT"

    platform.world.accounts[ADS].default_consent = Consent.GRANTED
    assert await late_reason(google, clock, event(), consent={}) is None


async def test_a_click_of_less_than_six_hours_is_refused_late_and_taken_after(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """What failed was not recorded, so the same id sent again later counts once."""
    platform.add_clicks(Click("Cj0KCQ_now", ADS, NOW - timedelta(hours=2)))
    sent = event(adIdentifiers={"gclid": "Cj0KCQ_now"}, eventTimestamp="2026-11-22T11:00:00Z")

    first = await late_reason(google, clock, sent)
    clock.now = NOW + timedelta(hours=4)
    second = await late_reason(google, clock, sent)

    entry = platform.ledger.entries[Key(WON, "deal-1:won")]
    assert (first, second) == ("TOO_RECENT_CLICK", None)
    assert (entry.times_counted, [each.outcome for each in entry.history]) == (1, [Outcome.FAILED, Outcome.RECORDED])


@pytest.mark.parametrize(("days", "expected"), [(90, None), (91, "EVENT_TOO_OLD")])
async def test_a_click_is_kept_ninety_days(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock, days: int, expected: str | None
) -> None:
    """The age of the click counts, not only that of the event."""
    platform.add_clicks(Click("Cj0KCQ_old", ADS, NOW - timedelta(days=days)))

    assert await late_reason(google, clock, event(adIdentifiers={"gclid": "Cj0KCQ_old"})) == expected


async def test_a_click_outside_the_actions_own_window_is_expired(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """The default window of an action is 30 days, and a late stage easily misses it."""
    platform.add_clicks(Click("Cj0KCQ_forty", ADS, NOW - timedelta(days=40)))
    platform.world.accounts[ADS].actions[WON].click_window = timedelta(days=30)

    assert await late_reason(google, clock, event(adIdentifiers={"gclid": "Cj0KCQ_forty"})) == "EXPIRED_CLICK"


async def test_the_same_event_again_is_a_duplicate_for_ever(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """A retry after a lost answer is safe: it is counted once and reported as a duplicate, even long after."""
    assert await late_reason(google, clock, event()) is None

    clock.now += timedelta(days=200)
    again = await late_reason(google, clock, event())

    assert again == "DUPLICATE_TRANSACTION_ID"
    assert platform.duplicates == 1
    assert platform.ledger.entries[Key(WON, "deal-1:won")].times_counted == 1


async def test_one_id_may_serve_two_actions(google: httpx.AsyncClient, platform: GooglePlatform) -> None:
    """The key is (id, action)."""
    await accept(google, event(destinationReferences=None))

    assert [platform.ledger.entries[Key(each, "deal-1:won")].times_counted for each in (SQL, WON)] == [1, 1]


async def test_the_same_id_with_another_value_restates(google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock) -> None:
    """The documented adjustment: same id, destination and action, new value; still one conversion."""
    await accept(google, event(conversionValue=18400.5))

    told = await late_reason(google, clock, event(conversionValue=17000, currency="USD"))

    entry = platform.ledger.entries[Key(WON, "deal-1:won")]
    assert told is None
    assert (entry.value, entry.currency, entry.times_counted, platform.duplicates) == (17000, "USD", 1, 0)
    assert platform.ledger.total(WON) == 17000


async def test_a_restatement_of_what_never_matched_is_a_new_conversion(
    google: httpx.AsyncClient, platform: GooglePlatform
) -> None:
    """The trap in restating: with an id that matches nothing the platform counts one more."""
    await accept(google, event(adIdentifiers={"gclid": "Cj0KCQ_madeup"}, userData=None))

    await accept(google, event(conversionValue=17000))

    entry = platform.ledger.entries[Key(WON, "deal-1:won")]
    assert [each.outcome for each in entry.history] == [Outcome.FAILED, Outcome.RECORDED]


async def test_an_action_that_ignores_values_can_not_be_restated(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """always_use_default_value makes every restatement a duplicate."""
    platform.world.accounts[ADS].actions[WON].always_uses_default_value = True
    await accept(google, event())

    assert await late_reason(google, clock, event(conversionValue=17000)) == "DUPLICATE_TRANSACTION_ID"
    assert platform.ledger.total(WON) == 1.0


async def test_a_wbraid_conversion_can_not_be_restated(google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock) -> None:
    """Google adjusts gclid and gbraid conversions only."""
    platform.add_clicks(Click("wb-12345", ADS, NOW - timedelta(days=5), ClickKind.WBRAID))
    await accept(google, event(adIdentifiers={"wbraid": "wb-12345"}))

    assert (
        await late_reason(google, clock, event(adIdentifiers={"wbraid": "wb-12345"}, conversionValue=1))
        == "DUPLICATE_TRANSACTION_ID"
    )
    assert platform.ledger.total(WON) == 150.0


async def test_without_an_id_click_and_time_tell_conversions_apart(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """The fallback key of Google when a connector sends no transaction id."""
    await accept(google, event(transactionId=None))

    assert await late_reason(google, clock, event(transactionId=None, conversionValue=99)) == "DUPLICATE_GCLID"
    assert platform.ledger.total(WON) == 150.0


async def test_one_per_click_counts_the_first_and_takes_no_braids(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """Two deals of one click are one conversion where the action says so, and braids are not permitted there."""
    platform.world.accounts[ADS].actions[WON].counting = Counting.ONE_PER_CLICK

    await accept(google, event("deal-1:won"), event("deal-2:won"))
    braid = await late_reason(google, clock, event("deal-3:won", adIdentifiers={"gbraid": "gb-12345"}))

    assert [platform.ledger.entries[Key(WON, f"deal-{each}:won")].times_counted for each in (1, 2, 3)] == [1, 0, 0]
    assert braid == "ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID"


async def test_a_foreign_click_is_refused_at_once_or_late(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock
) -> None:
    """The check at once is new in 2026; older behaviour tells it in the verdict, and a common manager makes it no stranger."""
    platform.behaviour.checks_click_owner_at_once = False
    late = await late_reason(google, clock, event(adIdentifiers={"gclid": "Cj0KCQ_foreign"}))

    platform.world.accounts[OTHER].managers = frozenset({ADS})
    allowed = await late_reason(google, clock, event(adIdentifiers={"gclid": "Cj0KCQ_foreign"}))

    assert (late, allowed) == ("INVALID_OPERATING_ACCOUNT_FOR_CLICK", None)


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        (EnhancedConversions.OFF, 400, "DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS"),
        (EnhancedConversions.TERMS_NOT_SIGNED, 400, "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED"),
        (EnhancedConversions.OFF_UNNOTICED, 200, None),
    ],
)
async def test_hashed_identifiers_need_enhanced_conversions(
    google: httpx.AsyncClient, platform: GooglePlatform, state: EnhancedConversions, status: int, expected: str | None
) -> None:
    """Off, they refuse the request or are silently of no use; click ids alone always pass."""
    platform.world.accounts[ADS].enhanced_conversions = state

    people = await send(google, body(event("by-mail", adIdentifiers=None)))
    clicks = await send(google, body(event("by-click", userData=None)))

    assert (people.status_code, clicks.status_code) == (status, 200)
    if expected is None:
        assert not platform.ledger.entries[Key(WON, "by-mail")].is_matched
    else:
        assert violations(people) == {("destinations[1].operating_account", expected)}


@pytest.mark.parametrize(
    ("style", "base", "expected"),
    [
        (RecordIndices.OVER_EVENTS, 0, [2]),
        (RecordIndices.OVER_EVENTS, 1, [3]),
        (RecordIndices.OVER_DESTINATION, 0, [1]),
        (RecordIndices.ABSENT, 0, None),
    ],
)
async def test_record_indices_come_in_every_reading(
    google: httpx.AsyncClient, platform: GooglePlatform, clock: Clock, style: RecordIndices, base: int, expected: list[int] | None
) -> None:
    """Base and scope are not documented and older servers send none, so the connector must bear them all."""
    platform.behaviour.record_indices, platform.behaviour.index_base = style, base
    bad = event("deal-2:won", consent={"adUserData": "CONSENT_DENIED"})
    request_id = await accept(google, event("deal-1:sql", destinationReferences=["sql"]), event(), bad)
    clock.now += timedelta(hours=1)

    (_, won) = await verdict(google, request_id)

    assert won["errorInfo"]["errorCounts"][0].get("recordIndices") == expected
