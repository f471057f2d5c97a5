"""The decision on a replay: what is reopened, what counts as sent, what stays and why."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.outbox.replay import JUDGED_AGAIN, STAYS_SENTENCES, CountAsSent, Reopen, Resolution, Stays, Stopped, judge
from app.outbox.states import STOPPED_REASONS, DeliveryState, Reason
from connectors.contract.conversions import DeliveryKind

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
REJECTED = Stopped(
    state=DeliveryState.REJECTED,
    reason="refused",
    kind=DeliveryKind.UPLOAD,
    is_live=True,
    is_duplicate=False,
    is_frozen=True,
    is_outdated=False,
    has_unknown_try=False,
    target="old",
    mapped_target="new",
    latest_deadline=LATER,
    is_shadow=False,
)
MOVING = {
    Reason.EARLIER,
    Reason.NEW, Reason.VALUE, Reason.PERSON, Reason.RATE, Reason.TOO_RECENT, Reason.PAUSED, Reason.RETRY, Reason.UPLOAD,
    Reason.SENT, Reason.DELIVERED, Reason.ALREADY_THERE, Reason.COUNTED_AS_SENT, Reason.CONFIRMED, Reason.UNMATCHED,
}  # fmt: skip


def stopped(state: DeliveryState, reason: str = "", **changes: object) -> Stopped:
    return replace(REJECTED, state=state, reason=reason or str(STOPPED_REASONS[state][0]), **changes)  # type: ignore[arg-type]  # named fields


@pytest.mark.parametrize("state", [DeliveryState.ACCEPTED, DeliveryState.CONFIRMED, DeliveryState.UNMATCHED])
@pytest.mark.parametrize("resolution", [None, *Resolution])
def test_what_was_accepted_is_never_sent_again(state: DeliveryState, resolution: Resolution | None) -> None:
    """The one promise that no order of a person may break."""
    decision = judge(replace(REJECTED, state=state, reason="delivered"), resolution, NOW)

    assert decision is (Stays.SENT if resolution is None else Stays.NOT_UNCERTAIN)


@pytest.mark.parametrize(
    "one",
    [
        stopped(DeliveryState.REJECTED),
        stopped(DeliveryState.SHADOWED),
        stopped(DeliveryState.EXPIRED),
        *(stopped(DeliveryState.SKIPPED, reason) for reason in sorted(JUDGED_AGAIN)),
    ],
    ids=lambda one: f"{one.state}-{one.reason}",
)
def test_what_a_claim_judges_anew_is_reopened(one: Stopped) -> None:
    """Whoever mended the mapping, the consent or the target wants these to go; a try of unknown effect bars them."""
    assert judge(one, None, NOW) == Reopen(LATER, "old")
    assert judge(replace(one, is_frozen=False), None, NOW) == Reopen(LATER, "new")
    assert judge(replace(one, has_unknown_try=True), None, NOW) is Stays.UNKNOWN_EFFECT


@pytest.mark.parametrize("reason", sorted(set(STOPPED_REASONS[DeliveryState.SKIPPED]) - JUDGED_AGAIN))
def test_what_was_decided_before_the_outbox_stays(reason: Reason) -> None:
    """A claim does not judge these again: a reopened duplicate or excluded lead would simply be sent."""
    decision = judge(stopped(DeliveryState.SKIPPED, reason), None, NOW)

    assert isinstance(decision, Stays)
    assert str(decision) == str(reason)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"latest_deadline": NOW}, Stays.TOO_OLD),
        ({"is_live": False}, Stays.WITHDRAWN),
        ({"is_duplicate": True}, Stays.DUPLICATE),
        ({"mapped_target": None}, Stays.UNMAPPED),
        ({"is_shadow": True}, Stays.SHADOW),
        ({"kind": DeliveryKind.RESTATE, "is_outdated": True}, Stays.SUPERSEDED),
    ],
)
@pytest.mark.parametrize("state", [DeliveryState.REJECTED, DeliveryState.SHADOWED, DeliveryState.UNCERTAIN])
def test_what_may_not_go_stays_whoever_asks(state: DeliveryState, change: dict[str, object], why: Stays) -> None:
    """A past window, a lost deal, another record that counts, an older value after a newer: reopening would do harm."""
    resolution = Resolution.SEND_AGAIN if state is DeliveryState.UNCERTAIN else None

    one = replace(stopped(state), **change)  # type: ignore[arg-type]  # named fields
    assert judge(one, resolution, NOW) is why


def test_an_uncertain_delivery_needs_a_person() -> None:
    """Nobody but a person may choose between maybe twice and maybe not at all."""
    one = stopped(DeliveryState.UNCERTAIN, has_unknown_try=True)

    assert judge(one, None, NOW) is Stays.UNKNOWN_EFFECT
    assert judge(one, Resolution.SEND_AGAIN, NOW) == Reopen(LATER, "old")
    assert judge(one, Resolution.COUNT_AS_SENT, NOW) == CountAsSent()
    assert judge(replace(one, latest_deadline=NOW), Resolution.COUNT_AS_SENT, NOW) == CountAsSent()


@pytest.mark.parametrize(
    "one",
    [
        stopped(DeliveryState.REJECTED),
        stopped(DeliveryState.EXPIRED),
        stopped(DeliveryState.SHADOWED),
        stopped(DeliveryState.SKIPPED, "no_consent"),
    ],
    ids=lambda one: one.state,
)
def test_what_stopped_after_a_lost_answer_is_decided_by_a_person_too(one: Stopped) -> None:
    """A refused repeat says nothing of the first try; without a way out it would stand there for ever."""
    one = replace(one, has_unknown_try=True)

    assert judge(one, None, NOW) is Stays.UNKNOWN_EFFECT
    assert judge(one, Resolution.SEND_AGAIN, NOW) == Reopen(LATER, "old")
    assert judge(one, Resolution.COUNT_AS_SENT, NOW) == CountAsSent()


def test_no_resolution_brings_back_what_was_erased() -> None:
    """A forgotten person stays forgotten, whatever may have been sent of them."""
    one = stopped(DeliveryState.SKIPPED, "erased", has_unknown_try=True)

    assert {judge(one, resolution, NOW) for resolution in Resolution} == {Stays.ERASED}


@pytest.mark.parametrize("resolution", list(Resolution))
def test_a_resolution_touches_only_what_is_uncertain(resolution: Resolution) -> None:
    """`count_as_sent` on a rejected delivery would hide a loss."""
    assert judge(REJECTED, resolution, NOW) is Stays.NOT_UNCERTAIN


@pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.SENDING])
def test_what_is_owed_already_is_left_alone(state: DeliveryState) -> None:
    """A second due time for a claimed row would send it twice at once."""
    assert judge(replace(REJECTED, state=state, reason="new"), None, NOW) is Stays.OWED


def test_every_reason_has_its_place_and_every_stay_its_sentence() -> None:
    """A reason that no list names would be invisible to lists and replays."""
    stopping = {reason for reasons in STOPPED_REASONS.values() for reason in reasons}

    assert stopping | MOVING == set(Reason)
    assert not stopping & MOVING
    assert set(STAYS_SENTENCES) == set(Stays)
