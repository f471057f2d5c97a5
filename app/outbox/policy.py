"""May it go, and what now? All decisions on deliveries, pure: `initial`, `decide`, `settle`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from app.outbox.states import DeliveryState, Reason
from connectors.contract.conversions import IDENTIFIER_BITS, Consent, DeliveryKind, Identifier, Money
from connectors.contract.destination import DestinationLimits
from connectors.contract.errors import ConnectorError, Effect
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
    Unsupported,
    UploadResult,
    VerdictResult,
)

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)
TARGET_PAUSE = timedelta(hours=1)
PERSON_PAUSE = timedelta(hours=6)
CORRECTION_PAUSE = timedelta(hours=3)
# From a decision to the platform's receipt: the batches before it, a slow request, a clock that differs.
SENDING_TAKES = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person who may stand for a conversion: identifiers as a bit mask, the latest consent."""

    lead_id: int
    identity_id: int | None
    has: int
    consent: Consent
    created_at: datetime
    clicked_at: datetime | None = None
    labels: tuple[str, ...] = ()
    is_primary: bool = False


class Earlier(StrEnum):
    """An earlier occurrence that was taken back in the CRM: its retraction is on its way, or the platform goes on counting it."""

    LEAVING = "leaving"
    STAYS = "stays"


@dataclass(frozen=True, slots=True)
class Owed:
    """A claimed delivery with what a decision needs of its conversion. `upload`: how a correction's upload stands, and why.

    `nominal_micros`: the conversion's own value where `money` is only its share of its lead's worth.
    """

    id: int
    kind: DeliveryKind
    occurred_at: datetime
    deadline_at: datetime
    tries: int
    value_state: str
    money: Money | None
    is_live: bool
    is_frozen: bool = False
    frozen_person: int | None = None
    first_unknown_at: datetime | None = None
    unknown_tries: int = 0
    upload: tuple[DeliveryState, Reason] | None = None
    earlier: Earlier | None = None
    nominal_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the mapping and the platform say: limits, person preference, sending conditions, whether the target is paused.

    `recalls`: who withdraws consent has taken back what was sent of them.
    """

    limits: DestinationLimits
    prefer: tuple[str, ...] = ()
    send_when: str = "any"
    minimum_micros: int = 0
    is_mapped: bool = True
    is_target_paused: bool = False
    is_shadow: bool = False
    recalls: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """It goes, for this person."""

    person: Candidate
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet."""

    until: datetime
    why: Reason


@dataclass(frozen=True, slots=True)
class Stop:
    """It does not go: skipped, shadowed, expired or uncertain."""

    state: DeliveryState
    why: Reason


Decision = Send | Wait | Stop

_UNSUPPORTED = Stop(DeliveryState.SKIPPED, Reason.UNSUPPORTED)
# No verdict comes for these: the platform has said so already, or a person has.
_KNOWN_TO_BE_THERE = frozenset({Reason.ALREADY_THERE, Reason.COUNTED_AS_SENT})


def decide(owed: Owed, people: Sequence[Candidate], terms: Terms, now: datetime) -> Decision:
    """Decide whether this delivery may go now."""
    early = _before_people(owed, terms, now)
    if early is not None:
        return early
    found = _person(owed, people, terms, now)
    if not isinstance(found, tuple):
        return found
    chosen, why = found
    is_recall = owed.kind is DeliveryKind.RETRACT and terms.recalls
    if owed.kind is DeliveryKind.RETRACT and owed.is_live and (not is_recall or chosen.consent.allows_sending):
        return Stop(DeliveryState.SKIPPED, Reason.SUPERSEDED)  # granted again, or recalled by an earlier mapping
    if not chosen.consent.allows_sending and not is_recall:
        return Stop(DeliveryState.SKIPPED, Reason.NO_CONSENT)
    if not _suffices(chosen.has, terms):
        return Stop(DeliveryState.SKIPPED, Reason.NO_IDENTIFIER)
    limits = terms.limits
    by_click = bool(chosen.has & _mask(limits.click_identifiers))
    clicked_at = chosen.clicked_at if by_click else None
    aged = limits.click_identifiers if limits.age_identifiers is None else limits.age_identifiers
    window = limits.age_with_click if chosen.has & _mask(aged) else limits.age_without_click
    if now - owed.occurred_at > window or (
        clicked_at is not None and now - clicked_at > (limits.click_age or limits.age_with_click)
    ):
        return Stop(DeliveryState.SKIPPED, Reason.TOO_OLD)
    if clicked_at is not None and now - clicked_at < limits.too_recent_click:
        return _wait(owed, clicked_at + limits.too_recent_click, Reason.TOO_RECENT)
    return Stop(DeliveryState.SHADOWED, Reason.SHADOW) if terms.is_shadow else Send(chosen, why)


def _before_people(owed: Owed, terms: Terms, now: datetime) -> Decision | None:
    """What stops or delays a delivery whoever it is for."""
    unknown = owed.first_unknown_at
    if unknown is not None and (now >= owed.deadline_at or not _may_repeat(owed.unknown_tries, unknown, terms.limits, now)):
        return Stop(DeliveryState.UNCERTAIN, Reason.UNKNOWN_EFFECT)
    if not terms.is_mapped:
        return Stop(DeliveryState.SKIPPED, Reason.UNMAPPED)
    is_correction = owed.kind is not DeliveryKind.UPLOAD
    if now >= owed.deadline_at:
        is_held = is_correction and owed.tries == 0 and unknown is None
        return _UNSUPPORTED if is_held else Stop(DeliveryState.EXPIRED, Reason.DEADLINE)
    if not owed.is_live and owed.kind is not DeliveryKind.RETRACT:
        # After a lost answer the platform may have it: it is not sent again, and a person must hear of it.
        may_be_there = unknown is not None
        return (
            Stop(DeliveryState.UNCERTAIN, Reason.UNKNOWN_EFFECT)
            if may_be_there
            else Stop(DeliveryState.SKIPPED, Reason.WITHDRAWN)
        )
    if is_correction:
        held = _before_upload(owed, terms, now)
        if held is not None:
            return held
    elif owed.earlier is not None and not owed.is_frozen:
        if owed.earlier is Earlier.STAYS:
            return Stop(DeliveryState.SKIPPED, Reason.STILL_COUNTED)
        return _wait(owed, now + CORRECTION_PAUSE, Reason.EARLIER)
    if owed.occurred_at > now:
        return _wait(owed, owed.occurred_at, Reason.TOO_RECENT)
    if terms.is_target_paused:
        return _wait(owed, now + TARGET_PAUSE, Reason.PAUSED)
    if owed.kind is DeliveryKind.RETRACT or owed.is_frozen:
        return None
    return _by_value(owed, terms, now)


def _may_repeat(unknown_tries: int, first_at: datetime, limits: DestinationLimits, now: datetime) -> bool:
    """After a lost answer: inside the platform's dedup window, or as often as is dared where it documents none."""
    if limits.dedup_window is None:
        return max(1, unknown_tries) <= limits.unproven_repeats
    return now - first_at < limits.dedup_window - SENDING_TAKES


def _before_upload(owed: Owed, terms: Terms, now: datetime) -> Decision | None:
    """A correction is held until its upload is known to be recorded, and ends where it is known not to be."""
    state, reason = owed.upload or (DeliveryState.SKIPPED, Reason.UNSUPPORTED)
    match state:
        case DeliveryState.CONFIRMED:
            return None
        case DeliveryState.ACCEPTED if terms.limits.verdict_after is None or reason in _KNOWN_TO_BE_THERE:
            return None
        case DeliveryState.ACCEPTED | DeliveryState.PENDING | DeliveryState.SENDING | DeliveryState.UNCERTAIN:
            return _wait(owed, now + CORRECTION_PAUSE, Reason.UPLOAD)
        case DeliveryState.UNMATCHED | DeliveryState.REJECTED | DeliveryState.EXPIRED:
            return _UNSUPPORTED
        case DeliveryState.SHADOWED | DeliveryState.SKIPPED:
            return _UNSUPPORTED
        case _:
            assert_never(state)


def _by_value(owed: Owed, terms: Terms, now: datetime) -> Decision | None:
    match owed.value_state:
        case "wait":
            return _wait(owed, now + PERSON_PAUSE, Reason.VALUE)
        case "rate":
            return _wait(owed, now + PERSON_PAUSE, Reason.RATE)
        case "skip":
            return Stop(DeliveryState.SKIPPED, Reason.NO_VALUE)
        case _ if terms.limits.needs_value and owed.money is None:
            return Stop(DeliveryState.SKIPPED, Reason.NO_VALUE)
    worth = owed.nominal_micros if owed.nominal_micros is not None or owed.money is None else owed.money.amount_micros
    if worth is not None and worth < terms.minimum_micros:
        return Stop(DeliveryState.SKIPPED, Reason.BELOW_MINIMUM)
    return None


def _wait(owed: Owed, until: datetime, why: Reason) -> Wait:
    return Wait(min(until, owed.deadline_at), why)


def _person(owed: Owed, people: Sequence[Candidate], terms: Terms, now: datetime) -> tuple[Candidate, str] | Decision:
    """Once tried it stays the same person: nobody else's consent speaks for them."""
    if owed.frozen_person is None:
        return choose(people, terms) if people else _wait(owed, now + PERSON_PAUSE, Reason.PERSON)
    kept = next((one for one in people if one.lead_id == owed.frozen_person), None)
    return Stop(DeliveryState.SKIPPED, Reason.NO_CONSENT) if kept is None else (kept, "as at the first try")


def choose(people: Sequence[Candidate], terms: Terms) -> tuple[Candidate, str]:
    """The person who stands for the conversion at this platform, and why."""
    order = terms.prefer or ("has_identifier", "primary", "earliest")

    def rank(one: Candidate) -> tuple[object, ...]:
        wishes = []
        for wish in order:
            if wish == "has_identifier":
                wishes.append(not _suffices(one.has, terms))
            elif wish == "primary":
                wishes.append(not one.is_primary)
            elif wish.startswith("label:"):
                wishes.append(wish.removeprefix("label:") not in one.labels)
        return (*wishes, one.created_at, one.lead_id)

    chosen = min(people, key=rank)
    return chosen, "the only person" if len(people) == 1 else f"first of {len(people)} by {', '.join(order)}"


def _suffices(has: int, terms: Terms) -> bool:
    if terms.send_when == "own_click_or_lead_id":
        return bool(has & _mask(terms.limits.click_identifiers))
    return any(has & _mask(one) == _mask(one) for one in terms.limits.sufficient)


def _mask(identifiers: frozenset[Identifier]) -> int:
    return sum(IDENTIFIER_BITS[one] for one in identifiers)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The next state. `due_at` None: settled. `counts`: this try is counted. `is_unknown`: its effect is unknown."""

    state: DeliveryState
    reason: Reason
    due_at: datetime | None = None
    code: str = ""
    message: str = field(default="", repr=False)
    counts: bool = True
    is_unknown: bool = False
    position: int | None = None

    @property
    def had_effect(self) -> bool:
        """False where the platform surely did nothing with it, so that another try may carry other content."""
        if self.reason is Reason.UNSUPPORTED:
            return False
        return self.counts or self.is_unknown or self.state is not DeliveryState.PENDING


def settle(
    counted: int, due_before: datetime, deadline: datetime, result: UploadResult | ConnectorError, now: datetime
) -> Settlement:
    """What becomes of a delivery after its try. `counted` are the counted tries before, `due_before` the due time it had."""
    match result:
        case Accepted(position=position):
            return Settlement(DeliveryState.ACCEPTED, Reason.DELIVERED, position=position)
        case AlreadyThere(code):
            return Settlement(DeliveryState.ACCEPTED, Reason.ALREADY_THERE, code=code)
        case Rejected(code, message):
            return Settlement(DeliveryState.REJECTED, Reason.REFUSED, code=code, message=message)
        case Later(until, code):
            due_at = max(until, now + FIRST_PAUSE)
            return Settlement(DeliveryState.PENDING, Reason.TOO_RECENT, due_at, code, counts=False)
        case Retry(code, message):
            return Settlement(DeliveryState.PENDING, Reason.RETRY, _next_try(counted, deadline, now), code, message)
        case NotProcessed(code):
            return Settlement(DeliveryState.PENDING, Reason.RETRY, due_before, code, counts=False)
        case TargetRefused(code=code, message=message):
            return Settlement(DeliveryState.PENDING, Reason.PAUSED, now + TARGET_PAUSE, code, message, counts=False)
        case Unsupported(code, message):
            return Settlement(DeliveryState.SKIPPED, Reason.UNSUPPORTED, code=code, message=message, counts=False)
        case ConnectorError():
            return _after_failure(counted, due_before, deadline, result, now)
        case _:
            assert_never(result)


def _after_failure(counted: int, due_before: datetime, deadline: datetime, error: ConnectorError, now: datetime) -> Settlement:
    code = error.code or type(error).__name__
    if error.effect is Effect.NONE:
        return Settlement(DeliveryState.PENDING, Reason.RETRY, due_before, code, error.message, counts=False)
    due_at = _next_try(counted, deadline, now)
    return Settlement(DeliveryState.PENDING, Reason.RETRY, due_at, code, error.message, is_unknown=True)


def _next_try(counted: int, deadline: datetime, now: datetime) -> datetime:
    doubled: timedelta = FIRST_PAUSE * (1 << min(counted, 20))
    return min(deadline, now + min(LONGEST_PAUSE, doubled))


def settle_verdict(result: VerdictResult, counted: int, deadline: datetime, now: datetime) -> Settlement:
    """What becomes of an accepted delivery when its late verdict comes."""
    match result:
        case Confirmed():
            return Settlement(DeliveryState.CONFIRMED, Reason.CONFIRMED, counts=False)
        case Unmatched(code):
            return Settlement(DeliveryState.UNMATCHED, Reason.UNMATCHED, code=code, counts=False)
        case AlreadyThere(code):
            return Settlement(DeliveryState.CONFIRMED, Reason.ALREADY_THERE, code=code, counts=False)
        case Rejected() | Later() | Retry() | TargetRefused():
            return settle(counted, now, deadline, result, now)
        case _:
            assert_never(result)


@dataclass(frozen=True, slots=True)
class Opening:
    """The first state of a new delivery."""

    state: DeliveryState
    reason: Reason
    due_at: datetime | None


def initial(
    *,
    occurred_at: datetime,
    start: datetime,
    is_live: bool,
    is_duplicate: bool,
    is_excluded: bool,
    now: datetime,
    deadline: datetime | None = None,
) -> Opening:
    """Where a new upload begins: owed now, or skipped for a reason that is known already.

    `deadline`: until when the platform would take it at all. What is found only after that was never ours to send in time.
    """
    skips: Mapping[Reason, bool] = {
        Reason.DUPLICATE: is_duplicate,
        Reason.EXCLUDED: is_excluded,
        Reason.BEFORE_START: occurred_at < start,
        Reason.WITHDRAWN: not is_live,
        Reason.TOO_OLD: deadline is not None and deadline <= now,
    }
    for reason, applies in skips.items():
        if applies:
            return Opening(DeliveryState.SKIPPED, reason, None)
    return Opening(DeliveryState.PENDING, Reason.NEW, max(now, occurred_at))
