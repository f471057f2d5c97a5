"""Delivery states and the one list of reason codes, each with a sentence that says what happened and what to do."""

from collections.abc import Mapping
from enum import StrEnum


class DeliveryState(StrEnum):
    """Where a delivery stands.

    `pending`: owed; leaves by a claim, its deadline, or a decision to skip. `sending`: claimed under a lease; leaves by settle,
    or by the lease's end as a try of unknown effect. `accepted`: taken; leaves only by a late verdict. `confirmed`, `unmatched`:
    the late verdict; final. `rejected`: refused for good; replay may reopen it. `expired`: its deadline passed while owed.
    `uncertain`: a try of unknown effect that may not be repeated; leaves when a person says "send again" or "count as sent".
    `shadowed`: on purpose not sent; leaves by replay.
    `skipped`: we decided not to; leaves by replay, or by a granted consent inside the window.
    """

    PENDING = "pending"
    SENDING = "sending"
    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    UNMATCHED = "unmatched"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNCERTAIN = "uncertain"
    SHADOWED = "shadowed"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why a delivery is in its state."""

    NEW = "new"
    VALUE = "value"
    PERSON = "person"
    RATE = "rate"
    TOO_RECENT = "too_recent"
    PAUSED = "paused"
    RETRY = "retry"
    UPLOAD = "upload"
    SENT = "sent"
    DELIVERED = "delivered"
    ALREADY_THERE = "already_there"
    COUNTED_AS_SENT = "counted_as_sent"
    CONFIRMED = "confirmed"
    UNMATCHED = "unmatched"
    REFUSED = "refused"
    DEADLINE = "deadline"
    UNKNOWN_EFFECT = "unknown_effect"
    SHADOW = "shadow"
    NO_CONSENT = "no_consent"
    NO_IDENTIFIER = "no_identifier"
    NO_VALUE = "no_value"
    TOO_OLD = "too_old"
    BELOW_MINIMUM = "below_minimum"
    UNSUPPORTED = "unsupported"
    ERASED = "erased"
    DUPLICATE = "duplicate"
    BEFORE_START = "before_start"
    UNMAPPED = "unmapped"
    EXCLUDED = "excluded"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    EARLIER = "earlier"
    STILL_COUNTED = "still_counted"


REASON_SENTENCES: Mapping[Reason, str] = {
    Reason.NEW: "It is due and goes with the next upload.",
    Reason.VALUE: "Its value is missing in the CRM; it goes once the field is filled. Fill it, or set `if_missing`.",
    Reason.PERSON: "The deal has nobody on it yet; it goes once a contact is associated.",
    Reason.RATE: "No currency rate is known near its date; import rates.",
    Reason.TOO_RECENT: "The click is too recent for the platform; it goes by itself later.",
    Reason.PAUSED: "The connection, this milestone or its target there is paused; see `leadloop check`, or set the mode.",
    Reason.RETRY: "The platform failed or throttled; it is tried again with growing pauses.",
    Reason.UPLOAD: "It corrects an upload that the platform has not confirmed yet; it goes once that is recorded.",
    Reason.SENT: "It is on its way.",
    Reason.DELIVERED: "The platform took it.",
    Reason.ALREADY_THERE: "The platform had it already; it is counted once.",
    Reason.COUNTED_AS_SENT: "Its effect was unknown; a person decided that it counts as sent.",
    Reason.CONFIRMED: "The platform recorded it.",
    Reason.UNMATCHED: "The platform found no ad interaction of this person; nothing is to do.",
    Reason.REFUSED: "The platform refuses it for good; see its code.",
    Reason.DEADLINE: "Its window closed before it could be sent; this is our failure, see the tries.",
    Reason.UNKNOWN_EFFECT: "A try got no answer and a repeat might count twice; decide: send again, or count as sent.",
    Reason.SHADOW: "The connection, or this milestone there, is in shadow mode: built and checked, on purpose not sent.",
    Reason.NO_CONSENT: "The person has not granted what the mapping demands; it goes by itself if granted in time.",
    Reason.NO_IDENTIFIER: "The person has no identifier that this platform takes; map more identity fields.",
    Reason.NO_VALUE: "It has no value and the mapping says to skip then.",
    Reason.TOO_OLD: "The event or its click is older than the platform takes.",
    Reason.BELOW_MINIMUM: "Its value is below the mapping's minimum.",
    Reason.UNSUPPORTED: "The platform cannot take this correction, or has no conversion to correct.",
    Reason.ERASED: "The person was forgotten.",
    Reason.DUPLICATE: "Another record of the same e-mail counts instead.",
    Reason.BEFORE_START: "It happened before the mapping's start; send it with an explicit backfill.",
    Reason.UNMAPPED: "The mapping names no target for this milestone at this destination any more.",
    Reason.EXCLUDED: "The mapping excludes it by a condition.",
    Reason.WITHDRAWN: "The CRM took it back before it was sent.",
    Reason.SUPERSEDED: "A newer correction replaces it.",
    Reason.EARLIER: "It happened before and was taken back; it goes once the platform has taken the earlier one back.",
    Reason.STILL_COUNTED: "The platform still counts the earlier time, which it could not take back; again would count twice.",
}

# With which reasons a delivery stops, by state: what is listed and replayed by index.
STOPPED_REASONS: Mapping[DeliveryState, tuple[Reason, ...]] = {
    DeliveryState.REJECTED: (Reason.REFUSED,),
    DeliveryState.EXPIRED: (Reason.DEADLINE,),
    DeliveryState.UNCERTAIN: (Reason.UNKNOWN_EFFECT,),
    DeliveryState.SHADOWED: (Reason.SHADOW,),
    DeliveryState.SKIPPED: (
        Reason.NO_CONSENT,
        Reason.NO_IDENTIFIER,
        Reason.NO_VALUE,
        Reason.TOO_OLD,
        Reason.BELOW_MINIMUM,
        Reason.UNSUPPORTED,
        Reason.ERASED,
        Reason.DUPLICATE,
        Reason.BEFORE_START,
        Reason.UNMAPPED,
        Reason.EXCLUDED,
        Reason.WITHDRAWN,
        Reason.SUPERSEDED,
        Reason.STILL_COUNTED,
    ),
}
