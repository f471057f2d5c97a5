from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.outbox.policy import (
    CORRECTION_PAUSE,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PERSON_PAUSE,
    TARGET_PAUSE,
    Candidate,
    Decision,
    Earlier,
    Owed,
    Send,
    Settlement,
    Stop,
    Terms,
    Wait,
    choose,
    decide,
    initial,
    settle,
    settle_verdict,
)
from app.outbox.states import DeliveryState, Reason
from connectors.contract.conversions import IDENTIFIER_BITS, Consent, ConsentState, DeliveryKind, Identifier, Money
from connectors.contract.destination import DestinationLimits
from connectors.contract.errors import (
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
    UnexpectedReply,
)
from connectors.contract.results import (
    Accepted,
    AlreadyThere,
    Confirmed,
    Later,
    NotProcessed,
    Rejected,
    Retry,
    TargetRefused,
    Unmatched,
    UploadResult,
    VerdictResult,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DEADLINE = NOW + 30 * DAY
DUE = NOW - timedelta(minutes=5)
EMAIL = IDENTIFIER_BITS[Identifier.EMAIL_SHA256]
GCLID = IDENTIFIER_BITS[Identifier.GCLID]
YES, NO, UNKNOWN = (Consent(state, state) for state in (ConsentState.GRANTED, ConsentState.DENIED, ConsentState.UNKNOWN))

LIMITS = DestinationLimits(
    rows=1000,
    age_with_click=90 * DAY,
    age_without_click=60 * DAY,
    identifiers=frozenset({Identifier.EMAIL_SHA256, Identifier.GCLID}),
    click_identifiers=frozenset({Identifier.GCLID}),
    sufficient=(frozenset({Identifier.EMAIL_SHA256}), frozenset({Identifier.GCLID})),
    too_recent_click=timedelta(hours=6),
    dedup_window=7 * DAY,
)
TERMS = Terms(LIMITS)
PERSON = Candidate(1, 11, EMAIL, YES, NOW - 50 * DAY)
CLICKED = replace(PERSON, has=GCLID, clicked_at=NOW - 10 * DAY)
OWED = Owed(5, DeliveryKind.UPLOAD, NOW - DAY, DEADLINE, 0, "ready", Money(5_000_000, "USD"), is_live=True)


def stop(why: Reason, state: DeliveryState = DeliveryState.SKIPPED) -> Stop:
    return Stop(state, why)


@pytest.mark.parametrize(
    ("owed", "people", "terms", "decision"),
    [
        (OWED, [], TERMS, Wait(NOW + PERSON_PAUSE, Reason.PERSON)),
        (OWED, [replace(PERSON, consent=NO)], TERMS, stop(Reason.NO_CONSENT)),
        (OWED, [replace(PERSON, consent=UNKNOWN)], TERMS, stop(Reason.NO_CONSENT)),
        (OWED, [replace(PERSON, has=0)], TERMS, stop(Reason.NO_IDENTIFIER)),
        (OWED, [PERSON], replace(TERMS, send_when="own_click_or_lead_id"), stop(Reason.NO_IDENTIFIER)),
        (replace(OWED, occurred_at=NOW - 61 * DAY), [PERSON], TERMS, stop(Reason.TOO_OLD)),
        (OWED, [replace(CLICKED, clicked_at=NOW - 91 * DAY)], TERMS, stop(Reason.TOO_OLD)),
        (
            OWED,
            [replace(CLICKED, clicked_at=NOW - timedelta(hours=1))],
            TERMS,
            Wait(NOW + timedelta(hours=5), Reason.TOO_RECENT),
        ),
        (replace(OWED, occurred_at=NOW + DAY), [PERSON], TERMS, Wait(NOW + DAY, Reason.TOO_RECENT)),
        (OWED, [PERSON], replace(TERMS, is_mapped=False), stop(Reason.UNMAPPED)),
        (OWED, [PERSON], replace(TERMS, is_target_paused=True), Wait(NOW + TARGET_PAUSE, Reason.PAUSED)),
        (OWED, [PERSON], replace(TERMS, is_shadow=True), stop(Reason.SHADOW, DeliveryState.SHADOWED)),
        (OWED, [PERSON], replace(TERMS, minimum_micros=6_000_000), stop(Reason.BELOW_MINIMUM)),
        (
            replace(OWED, nominal_micros=6_000_000),
            [PERSON],
            replace(TERMS, minimum_micros=6_000_000),
            Send(PERSON, "the only person"),
        ),
        (replace(OWED, nominal_micros=4_000_000), [PERSON], replace(TERMS, minimum_micros=5_000_000), stop(Reason.BELOW_MINIMUM)),
        (replace(OWED, is_live=False), [PERSON], TERMS, stop(Reason.WITHDRAWN)),
        (replace(OWED, earlier=Earlier.LEAVING), [PERSON], TERMS, Wait(NOW + CORRECTION_PAUSE, Reason.EARLIER)),
        (replace(OWED, earlier=Earlier.STAYS), [PERSON], TERMS, stop(Reason.STILL_COUNTED)),
        (replace(OWED, deadline_at=NOW), [PERSON], TERMS, stop(Reason.DEADLINE, DeliveryState.EXPIRED)),
        (replace(OWED, value_state="wait", money=None), [PERSON], TERMS, Wait(NOW + PERSON_PAUSE, Reason.VALUE)),
        (replace(OWED, value_state="rate", money=None), [PERSON], TERMS, Wait(NOW + PERSON_PAUSE, Reason.RATE)),
        (replace(OWED, value_state="skip", money=None), [PERSON], TERMS, stop(Reason.NO_VALUE)),
        (
            replace(OWED, value_state="none", money=None),
            [PERSON],
            Terms(replace(LIMITS, needs_value=True)),
            stop(Reason.NO_VALUE),
        ),
    ],
)
def test_why_a_delivery_does_not_go(owed: Owed, people: list[Candidate], terms: Terms, decision: Decision) -> None:
    """Each of these sent by mistake is a wrong or forbidden conversion; each stopped by mistake is a lost one."""
    assert decide(owed, people, terms, NOW) == decision


@pytest.mark.parametrize(
    ("owed", "person"),
    [
        (OWED, PERSON),
        (OWED, CLICKED),
        (replace(OWED, occurred_at=NOW - 80 * DAY), CLICKED),
        (replace(OWED, value_state="without", money=None), PERSON),
        (replace(OWED, kind=DeliveryKind.RETRACT, is_live=False, upload=(DeliveryState.ACCEPTED, Reason.DELIVERED)), PERSON),
        (replace(OWED, first_unknown_at=NOW - 6 * DAY), PERSON),
        (OWED, replace(PERSON, consent=Consent(ConsentState.NOT_REQUIRED, ConsentState.GRANTED))),
    ],
)
def test_what_may_go_goes(owed: Owed, person: Candidate) -> None:
    """What is owed and allowed must not be held back."""
    assert decide(owed, [person], TERMS, NOW) == Send(person, "the only person")


RESTATE = replace(OWED, kind=DeliveryKind.RESTATE)
RETRACT = replace(OWED, kind=DeliveryKind.RETRACT, is_live=False)
HELD = Wait(NOW + CORRECTION_PAUSE, Reason.UPLOAD)
NOTHING_THERE = stop(Reason.UNSUPPORTED)
GOES = Send(PERSON, "the only person")


@pytest.mark.parametrize("correction", [RESTATE, RETRACT])
@pytest.mark.parametrize(
    ("state", "reason", "with_verdict", "without"),
    [
        (DeliveryState.PENDING, Reason.RETRY, HELD, HELD),
        (DeliveryState.SENDING, Reason.SENT, HELD, HELD),
        (DeliveryState.UNCERTAIN, Reason.UNKNOWN_EFFECT, HELD, HELD),
        (DeliveryState.ACCEPTED, Reason.DELIVERED, HELD, GOES),
        (DeliveryState.ACCEPTED, Reason.ALREADY_THERE, GOES, GOES),
        (DeliveryState.ACCEPTED, Reason.COUNTED_AS_SENT, GOES, GOES),
        (DeliveryState.CONFIRMED, Reason.CONFIRMED, GOES, GOES),
        (DeliveryState.UNMATCHED, Reason.UNMATCHED, NOTHING_THERE, NOTHING_THERE),
        (DeliveryState.REJECTED, Reason.REFUSED, NOTHING_THERE, NOTHING_THERE),
        (DeliveryState.EXPIRED, Reason.DEADLINE, NOTHING_THERE, NOTHING_THERE),
        (DeliveryState.SKIPPED, Reason.WITHDRAWN, NOTHING_THERE, NOTHING_THERE),
        (DeliveryState.SHADOWED, Reason.SHADOW, NOTHING_THERE, NOTHING_THERE),
    ],
)
def test_a_correction_goes_only_where_its_upload_is_known_to_be_recorded(
    correction: Owed, state: DeliveryState, reason: Reason, with_verdict: Decision, without: Decision
) -> None:
    """A restated id that the platform does not have would be a second conversion, or a first one at a wrong time."""
    owed = replace(correction, upload=(state, reason))
    late = Terms(replace(LIMITS, verdict_after=timedelta(minutes=30)))

    assert decide(owed, [PERSON], late, NOW) == with_verdict
    assert decide(owed, [PERSON], TERMS, NOW) == without


@pytest.mark.parametrize("state", [DeliveryState.ACCEPTED, DeliveryState.CONFIRMED])
def test_a_correction_past_the_platform_s_window_is_none_of_our_failures(state: DeliveryState) -> None:
    """Never tried, it was held because nothing was known: the reports show a value that the platform keeps."""
    owed = replace(RESTATE, upload=(state, Reason.DELIVERED), deadline_at=NOW, tries=0)

    assert decide(owed, [PERSON], TERMS, NOW) == NOTHING_THERE
    assert decide(replace(owed, tries=3), [PERSON], TERMS, NOW) == stop(Reason.DEADLINE, DeliveryState.EXPIRED)


def test_once_tried_nobody_else_stands_for_it() -> None:
    """What was tried is sent with the first person's identity: another's consent says nothing of theirs."""
    owed, other = replace(OWED, is_frozen=True, frozen_person=PERSON.lead_id), replace(PERSON, lead_id=77)

    assert decide(owed, [other, PERSON], TERMS, NOW) == Send(PERSON, "as at the first try")
    assert decide(owed, [other], TERMS, NOW) == stop(Reason.NO_CONSENT)
    assert decide(owed, [], TERMS, NOW) == stop(Reason.NO_CONSENT)


@pytest.mark.parametrize("window", [None, 7 * DAY])
def test_a_try_of_unknown_effect_is_not_repeated_where_it_would_count_twice(window: timedelta | None) -> None:
    """Outside the platform's dedup window a repeat is a second conversion: a person decides."""
    owed = replace(OWED, first_unknown_at=NOW - 7 * DAY)
    terms = Terms(replace(LIMITS, dedup_window=window))

    assert decide(owed, [PERSON], terms, NOW) == stop(Reason.UNKNOWN_EFFECT, DeliveryState.UNCERTAIN)


def test_a_deadline_after_a_lost_answer_is_a_person_s_matter() -> None:
    """`expired` says that nobody counted it; after a try without an answer nobody knows that."""
    owed = replace(OWED, deadline_at=NOW, first_unknown_at=NOW - timedelta(hours=1))

    assert decide(owed, [PERSON], TERMS, NOW) == stop(Reason.UNKNOWN_EFFECT, DeliveryState.UNCERTAIN)


def test_no_wait_goes_past_the_deadline() -> None:
    """At the deadline the delivery is told as expired, not forgotten."""
    owed = replace(OWED, deadline_at=NOW + timedelta(hours=1))
    assert decide(owed, [], TERMS, NOW) == Wait(owed.deadline_at, Reason.PERSON)


def test_the_person_with_an_identifier_counts_until_one_was_tried() -> None:
    """A deal has many people; changing the person after a try would be another conversion."""
    bare, good = replace(PERSON, lead_id=1, has=0, created_at=NOW - 90 * DAY), replace(PERSON, lead_id=2)

    assert choose([bare, good], TERMS)[0] is good
    labelled = replace(good, lead_id=3, labels=("Decision maker",))
    assert choose([bare, good, labelled], replace(TERMS, prefer=("label:Decision maker",)))[0] is labelled


P, A = DeliveryState.PENDING, DeliveryState.ACCEPTED


@pytest.mark.parametrize(
    ("result", "settlement"),
    [
        (Accepted("r", 3), Settlement(A, Reason.DELIVERED, position=3)),
        (AlreadyThere("dup"), Settlement(A, Reason.ALREADY_THERE, code="dup")),
        (Rejected("c", "m"), Settlement(DeliveryState.REJECTED, Reason.REFUSED, code="c", message="m")),
        (Later(NOW + DAY, "c"), Settlement(P, Reason.TOO_RECENT, NOW + DAY, "c", counts=False)),
        (Later(NOW - DAY, "c"), Settlement(P, Reason.TOO_RECENT, NOW + FIRST_PAUSE, "c", counts=False)),
        (Retry("c", "m"), Settlement(P, Reason.RETRY, NOW + FIRST_PAUSE, "c", "m")),
        (NotProcessed("c"), Settlement(P, Reason.RETRY, DUE, "c", counts=False)),
        (TargetRefused("t", "c", "m"), Settlement(P, Reason.PAUSED, NOW + TARGET_PAUSE, "c", "m", counts=False)),
        (AuthenticationFailed("m", code="c"), Settlement(P, Reason.RETRY, DUE, "c", "m", counts=False)),
        (RateLimited("m", code="c"), Settlement(P, Reason.RETRY, DUE, "c", "m", counts=False)),
        (RequestRefused("m", code="c"), Settlement(P, Reason.RETRY, DUE, "c", "m", counts=False)),
        (Unavailable("m", effect=Effect.NONE), Settlement(P, Reason.RETRY, DUE, "Unavailable", "m", counts=False)),
        (
            Unavailable("m", effect=Effect.UNKNOWN),
            Settlement(P, Reason.RETRY, NOW + FIRST_PAUSE, "Unavailable", "m", is_unknown=True),
        ),
        (
            UnexpectedReply("m", effect=Effect.UNKNOWN, code="c"),
            Settlement(P, Reason.RETRY, NOW + FIRST_PAUSE, "c", "m", is_unknown=True),
        ),
    ],
)
def test_what_becomes_of_a_try(result: UploadResult | ConnectorError, settlement: Settlement) -> None:
    """Every answer has one meaning: a fault of the platform's never costs a try, a lost answer is never a clean slate."""
    assert settle(0, DUE, DEADLINE, result, NOW) == settlement


def test_pauses_grow_to_a_day_and_stop_at_the_deadline() -> None:
    """An outage must not be hammered, nor a delivery sleep past its window."""
    pauses = [(settle(counted, DUE, DEADLINE, Retry("c"), NOW).due_at or NOW) - NOW for counted in range(60)]

    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[1], pauses[-1]) == (FIRST_PAUSE, 2 * FIRST_PAUSE, LONGEST_PAUSE)
    assert LONGEST_PAUSE == DAY
    assert settle(59, DUE, NOW + timedelta(hours=1), Retry("c"), NOW).due_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("verdict", "state", "reason"),
    [
        (Confirmed(), DeliveryState.CONFIRMED, Reason.CONFIRMED),
        (Unmatched("u"), DeliveryState.UNMATCHED, Reason.UNMATCHED),
        (AlreadyThere("d"), DeliveryState.CONFIRMED, Reason.ALREADY_THERE),
        (Rejected("r"), DeliveryState.REJECTED, Reason.REFUSED),
        (Later(NOW + DAY, "l"), P, Reason.TOO_RECENT),
        (Retry("r"), P, Reason.RETRY),
        (TargetRefused("t", "c"), P, Reason.PAUSED),
    ],
)
def test_late_verdicts(verdict: VerdictResult, state: DeliveryState, reason: Reason) -> None:
    """An unmatched row is no failure, and a row refused late is not delivered."""
    settled = settle_verdict(verdict, 0, DEADLINE, NOW)

    assert (settled.state, settled.reason) == (state, reason)
    assert (settled.due_at is None) == (state is not P)


@pytest.mark.parametrize(
    ("flags", "state", "reason"),
    [
        ({}, P, Reason.NEW),
        ({"is_duplicate": True}, DeliveryState.SKIPPED, Reason.DUPLICATE),
        ({"is_excluded": True}, DeliveryState.SKIPPED, Reason.EXCLUDED),
        ({"is_live": False}, DeliveryState.SKIPPED, Reason.WITHDRAWN),
        ({"start": NOW}, DeliveryState.SKIPPED, Reason.BEFORE_START),
    ],
)
def test_how_a_delivery_begins(flags: dict[str, object], state: DeliveryState, reason: Reason) -> None:
    """The first run must not send a customer's whole past."""
    known = {"start": NOW - 2 * DAY, "is_live": True, "is_duplicate": False, "is_excluded": False, **flags}
    opening = initial(occurred_at=NOW - DAY, now=NOW, **known)  # type: ignore[arg-type]  # by name

    assert (opening.state, opening.reason, opening.due_at is None) == (state, reason, state is not P)
