"""May it be tried again? The decision on a replay, pure: what is reopened, what counts as sent, what stays and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from app.outbox.states import REASON_SENTENCES, DeliveryState, Reason
from connectors.contract.conversions import DeliveryKind

# Reasons that a claim judges anew. The others were decided before the outbox, or are final.
JUDGED_AGAIN = frozenset(
    {Reason.NO_CONSENT, Reason.NO_IDENTIFIER, Reason.NO_VALUE, Reason.TOO_OLD, Reason.BELOW_MINIMUM, Reason.UNMAPPED}
)
REPLAYED_BY_FILTER = (DeliveryState.REJECTED, DeliveryState.EXPIRED, DeliveryState.SKIPPED, DeliveryState.SHADOWED)


class Resolution(StrEnum):
    """What a person decides of a delivery whose effect is unknown."""

    SEND_AGAIN = "send_again"
    COUNT_AS_SENT = "count_as_sent"


class Stays(StrEnum):
    """Why a delivery stays as it is."""

    SENT = "sent"
    OWED = "owed"
    UNKNOWN_EFFECT = "unknown_effect"
    NOT_UNCERTAIN = "not_uncertain"
    TOO_OLD = "too_old"
    BEFORE_START = "before_start"
    DUPLICATE = "duplicate"
    EXCLUDED = "excluded"
    ERASED = "erased"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    STILL_COUNTED = "still_counted"
    UNSUPPORTED = "unsupported"
    UNMAPPED = "unmapped"
    SHADOW = "shadow"
    UNKNOWN_ID = "unknown_id"


STAYS_SENTENCES: Mapping[Stays, str] = {
    Stays.SENT: "The platform has it; what was accepted is never sent again.",
    Stays.OWED: "It is waiting or being sent already; nothing is to do.",
    Stays.UNKNOWN_EFFECT: "A try got no answer and a repeat might count twice; name its id with a `resolution`.",
    Stays.NOT_UNCERTAIN: "A `resolution` decides only what was tried without an answer; leave it out for others.",
    Stays.TOO_OLD: "The platform no longer takes an event of its age.",
    Stays.BEFORE_START: REASON_SENTENCES[Reason.BEFORE_START],
    Stays.DUPLICATE: REASON_SENTENCES[Reason.DUPLICATE],
    Stays.EXCLUDED: "The mapping excludes it by a condition; a replay does not judge conditions anew.",
    Stays.ERASED: REASON_SENTENCES[Reason.ERASED],
    Stays.WITHDRAWN: "The CRM took it back.",
    Stays.SUPERSEDED: REASON_SENTENCES[Reason.SUPERSEDED],
    Stays.STILL_COUNTED: REASON_SENTENCES[Reason.STILL_COUNTED],
    Stays.UNSUPPORTED: REASON_SENTENCES[Reason.UNSUPPORTED],
    Stays.UNMAPPED: "The mapping names no target for this milestone at this destination; map it first.",
    Stays.SHADOW: "The destination is in shadow mode; set it to live first.",
    Stays.UNKNOWN_ID: "There is no delivery of this id.",
}


@dataclass(frozen=True, slots=True)
class Stopped:
    """A delivery as a replay finds it.

    `mapped_target` is the target that the active mapping names now, None where it names none. `latest_deadline` is what the
    platform's limits give today. `is_outdated`: a newer correction of the same conversion stands at this destination.
    """

    state: DeliveryState
    reason: str
    kind: DeliveryKind
    is_live: bool
    is_duplicate: bool
    is_frozen: bool
    is_outdated: bool
    has_unknown_try: bool
    target: str
    mapped_target: str | None
    latest_deadline: datetime
    is_shadow: bool


@dataclass(frozen=True, slots=True)
class Reopen:
    """It is owed again, at once; what it carried at its first try stays frozen."""

    deadline_at: datetime
    target: str


@dataclass(frozen=True, slots=True)
class CountAsSent:
    """It counts as accepted: a person knows that the platform has it."""


ReplayDecision = Reopen | CountAsSent | Stays


def judge(one: Stopped, resolution: Resolution | None, now: datetime) -> ReplayDecision:
    """Decide on one delivery."""
    may_be_there = one.state is DeliveryState.UNCERTAIN or (one.has_unknown_try and one.state in REPLAYED_BY_FILTER)
    if resolution is not None and not may_be_there:
        return Stays.NOT_UNCERTAIN
    match one.state:
        case DeliveryState.ACCEPTED | DeliveryState.CONFIRMED | DeliveryState.UNMATCHED:
            return Stays.SENT
        case DeliveryState.PENDING | DeliveryState.SENDING:
            return Stays.OWED
        case DeliveryState.SKIPPED if one.reason not in JUDGED_AGAIN:
            return Stays(one.reason)
        case DeliveryState.UNCERTAIN | DeliveryState.REJECTED | DeliveryState.EXPIRED:
            return _resolved(one, resolution, now) if may_be_there else _reopen(one, now)
        case DeliveryState.SHADOWED | DeliveryState.SKIPPED:
            return _resolved(one, resolution, now) if may_be_there else _reopen(one, now)
        case _:
            assert_never(one.state)


def judge_past(one: Stopped, now: datetime) -> Reopen | Stays:
    """Decide on one delivery from before the start, when a person asks for the past; all else is none of its business."""
    match one.state:
        case DeliveryState.SKIPPED if one.reason == Reason.BEFORE_START:
            return Stays.UNKNOWN_EFFECT if one.has_unknown_try else _reopen(one, now)
        case DeliveryState.SKIPPED if one.reason not in JUDGED_AGAIN:
            return Stays(one.reason)
        case DeliveryState.ACCEPTED | DeliveryState.CONFIRMED | DeliveryState.UNMATCHED:
            return Stays.SENT
        case _:
            return Stays.OWED


def _resolved(one: Stopped, resolution: Resolution | None, now: datetime) -> ReplayDecision:
    """What the platform may have is decided by a person only."""
    match resolution:
        case None:
            return Stays.UNKNOWN_EFFECT
        case Resolution.COUNT_AS_SENT:
            return CountAsSent()
        case Resolution.SEND_AGAIN:
            return _reopen(one, now)
        case _:
            assert_never(resolution)


def _reopen(one: Stopped, now: datetime) -> Reopen | Stays:
    barred: Mapping[Stays, bool] = {
        Stays.DUPLICATE: one.is_duplicate,
        Stays.WITHDRAWN: not one.is_live and one.kind is not DeliveryKind.RETRACT,
        Stays.SUPERSEDED: one.is_outdated and one.kind is not DeliveryKind.UPLOAD,
        Stays.TOO_OLD: now >= one.latest_deadline,
        Stays.UNMAPPED: one.mapped_target is None,
        Stays.SHADOW: one.is_shadow,
    }
    for why, applies in barred.items():
        if applies:
            return why
    keeps = one.is_frozen or one.kind is not DeliveryKind.UPLOAD
    return Reopen(one.latest_deadline, one.target if keeps else one.mapped_target or one.target)
