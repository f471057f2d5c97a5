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


# What happened, and what to do.
REASON_SENTENCES: Mapping[Reason, str] = {
    Reason.NEW: "It is owed and due. Nothing is to do: it goes with the next upload.",
    Reason.VALUE: "Its value is missing in the CRM. Fill the field and it goes, or say in `if_missing` what to do without.",
    Reason.PERSON: "The deal has nobody on it yet. Associate a contact and it goes.",
    Reason.RATE: "No currency rate is known near its date. Import rates: `leadloop rates import`.",
    Reason.TOO_RECENT: "The click is too recent for the platform. Nothing is to do: it goes by itself later.",
    Reason.PAUSED: "The connection, this milestone or its target there is paused. See `leadloop check`, or set the mode.",
    Reason.RETRY: "The platform failed or throttled. Nothing is to do: it is tried again with growing pauses.",
    Reason.UPLOAD: "It corrects an upload that the platform has not confirmed yet. It goes once that is recorded.",
    Reason.EARLIER: "It happened before and was taken back. Nothing is to do: it goes once the platform has taken the earlier one"
    " back.",
    Reason.SENT: "It is on its way. Nothing is to do: the answer, or its absence, decides.",
    Reason.DELIVERED: "The platform took it. Nothing is to do.",
    Reason.ALREADY_THERE: "The platform had it already, and it is counted once. Nothing is to do.",
    Reason.COUNTED_AS_SENT: "Its effect was unknown, and a person decided that it counts as sent. Nothing is to do.",
    Reason.CONFIRMED: "The platform recorded it. Nothing is to do.",
    Reason.UNMATCHED: "The platform found no ad interaction of this person. Nothing is to do; more identifiers match more.",
    Reason.REFUSED: "The platform refuses it for good, see its code. Mend what the code names, then replay it.",
    Reason.DEADLINE: "Its window closed before it could be sent, which is our failure. See the tries for what stood in the way.",
    Reason.UNKNOWN_EFFECT: "A try got no answer, and a repeat might count twice. Decide: replay with `send_again`, or with"
    " `count_as_sent`.",
    Reason.SHADOW: "The connection, or this milestone there, is in shadow mode: built and checked, on purpose not sent. Set the"
    " mode to live; replay offers what was shadowed.",
    Reason.NO_CONSENT: "The person has not granted what the mapping demands. Granted in time, it goes by itself.",
    Reason.NO_IDENTIFIER: "The person has no identifier that this platform takes. Map more identity fields; filled in time, it"
    " goes by itself.",
    Reason.NO_VALUE: "It has no value, and the mapping says to skip it then. Fill the field and replay it, or say `if_missing`.",
    Reason.TOO_OLD: "The event or its click is older than the platform takes. Nothing can be done for this one.",
    Reason.BELOW_MINIMUM: "Its value is below the mapping's minimum. Nothing is to do, or lower `minimum_value` and replay it.",
    Reason.UNSUPPORTED: "The platform cannot take this correction, or has no conversion to correct. Nothing can be done; `report"
    " books` shows the difference.",
    Reason.ERASED: "The person was forgotten. Nothing is to do, and nothing of them will be sent.",
    Reason.DUPLICATE: "Another record of the same e-mail counts instead. Nothing is to do; merge the records in the CRM.",
    Reason.BEFORE_START: "It happened before the mapping's start. Send it with an explicit `backfill --since DATE --send`.",
    Reason.UNMAPPED: "The mapping names no target for this milestone at this destination any more. Name one and replay it.",
    Reason.EXCLUDED: "The mapping excludes it by a condition, see the comparisons. Nothing is to do, or change the condition.",
    Reason.WITHDRAWN: "The CRM took it back before it was sent. Nothing is to do: another entry makes another conversion.",
    Reason.SUPERSEDED: "A newer correction replaces it. Nothing is to do.",
    Reason.STILL_COUNTED: "The platform still counts the earlier time, which it could not take back; again would count twice."
    " Nothing is to do.",
}
SENTENCES: Mapping[str, str] = {reason.value: text for reason, text in REASON_SENTENCES.items()}

# With which reasons a delivery stands in a state.
STATE_REASONS: Mapping[DeliveryState, tuple[Reason, ...]] = {
    DeliveryState.PENDING: (
        Reason.NEW,
        Reason.VALUE,
        Reason.PERSON,
        Reason.RATE,
        Reason.TOO_RECENT,
        Reason.PAUSED,
        Reason.RETRY,
        Reason.UPLOAD,
        Reason.EARLIER,
    ),
    DeliveryState.SENDING: (Reason.SENT,),
    DeliveryState.ACCEPTED: (Reason.DELIVERED, Reason.ALREADY_THERE, Reason.COUNTED_AS_SENT),
    DeliveryState.CONFIRMED: (Reason.CONFIRMED, Reason.ALREADY_THERE),
    DeliveryState.UNMATCHED: (Reason.UNMATCHED,),
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

# With which reasons a delivery stops, by state: what is listed and replayed by index.
STOPPED_REASONS: Mapping[DeliveryState, tuple[Reason, ...]] = {
    state: STATE_REASONS[state]
    for state in (
        DeliveryState.REJECTED,
        DeliveryState.EXPIRED,
        DeliveryState.UNCERTAIN,
        DeliveryState.SHADOWED,
        DeliveryState.SKIPPED,
    )
}
