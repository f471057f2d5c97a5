"""Microsoft's error codes as data: what each one means for us, and its mend. Replies are read in refusals.py.

Codes: the error reference of the Campaign Management API and its packages (msads 13.0.30.1, 2026-10).
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

# Sliding minute of a user and customer; Microsoft names no Retry-After.
RATE_PAUSE = timedelta(seconds=60)
BULK_PAUSE = timedelta(minutes=15)
GOAL_TOO_NEW = timedelta(hours=2)
TOO_EARLY = timedelta(hours=1)
TOKEN_EXPIRED = 109


class Meaning(StrEnum):
    """What a code says.

    `row`: refused for good. `later`: not yet. `retry`: passes. `throttled`: too many calls. `target`: the goal is wrong or
    cannot do it. `token`: the token is refused. `access`: the account, a role, the developer token, a pilot. `request`: a
    fault of ours in the request. `size`: too much in it. `unsupported`: the goal takes no such correction. `unknown`: not
    proven permanent.
    """

    ROW = "row"
    LATER = "later"
    RETRY = "retry"
    THROTTLED = "throttled"
    TARGET = "target"
    TOKEN = "token"  # noqa: S105 a word
    ACCESS = "access"
    REQUEST = "request"
    SIZE = "size"
    UNSUPPORTED = "unsupported"
    UNKNOWN = "unknown"


CODES: Mapping[int, Meaning] = {
    # Of a row.
    5600: Meaning.REQUEST,
    5601: Meaning.SIZE,
    5602: Meaning.ROW,
    5603: Meaning.ROW,
    5604: Meaning.ROW,
    5605: Meaning.TARGET,
    5606: Meaning.TARGET,
    5607: Meaning.ROW,
    5608: Meaning.ROW,
    5609: Meaning.ROW,
    5610: Meaning.ROW,
    5611: Meaning.ROW,
    5612: Meaning.RETRY,
    5613: Meaning.ACCESS,
    5614: Meaning.ROW,
    5615: Meaning.LATER,
    5616: Meaning.ROW,
    5617: Meaning.ROW,
    5618: Meaning.ROW,
    5619: Meaning.ROW,
    5620: Meaning.ROW,
    5621: Meaning.ROW,
    5622: Meaning.LATER,
    5623: Meaning.ROW,
    5624: Meaning.ROW,
    5625: Meaning.ROW,
    5626: Meaning.ROW,
    5627: Meaning.UNSUPPORTED,
    # Of the whole call.
    0: Meaning.RETRY,
    100: Meaning.REQUEST,
    105: Meaning.TOKEN,
    106: Meaning.ACCESS,
    109: Meaning.TOKEN,
    117: Meaning.THROTTLED,
    123: Meaning.ACCESS,
    207: Meaning.THROTTLED,
    2004: Meaning.LATER,
    4204: Meaning.THROTTLED,
}
PAUSES: Mapping[int, timedelta] = {4204: BULK_PAUSE}
DELAYS: Mapping[int, timedelta] = {5615: GOAL_TOO_NEW, 5622: TOO_EARLY, 2004: TOO_EARLY}

TOKEN_MEND = "connect again: a person with access to the ad account grants the app msads.manage"  # noqa: S105 no token
ACCESS_MEND = (
    "check account_id, customer_id and developer_token (a production token), and give the person who connected access to the"
    " ad account"
)
GOAL_MEND = "name an offline conversion goal of this account exactly: `leadloop destinations provision` makes one"


def meaning_of(code: int) -> Meaning:
    """What a code means."""
    return CODES.get(code, Meaning.UNKNOWN)
