"""TikTok's error codes as data: what each one means for us, and its mend. Replies are read in refusals.py.

Codes: the Business API's return codes as others implement them, and TikTok's help pages (2026-11). They stand in the body of a
200.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

SUCCESS = 0
PARTIAL = 20001


class Meaning(StrEnum):
    """What a code says.

    `row`: one event is refused for good. `retry`: passes. `throttled`: too many calls. `token`: the token is refused. `access`:
    a role, a scope or an object that the token does not reach. `undecided`: some were taken, and nobody says which.
    `unknown`: not proven permanent.
    """

    ROW = "row"
    RETRY = "retry"
    THROTTLED = "throttled"
    TOKEN = "token"  # noqa: S105 a word
    ACCESS = "access"
    UNDECIDED = "undecided"
    UNKNOWN = "unknown"


CODES: Mapping[int, Meaning] = {
    PARTIAL: Meaning.UNDECIDED,
    40000: Meaning.ROW,
    40002: Meaning.ROW,
    40700: Meaning.ROW,
    40001: Meaning.ACCESS,
    40007: Meaning.ACCESS,
    40300: Meaning.ACCESS,
    40301: Meaning.ACCESS,
    40016: Meaning.THROTTLED,
    40100: Meaning.THROTTLED,
    40133: Meaning.THROTTLED,
    **dict.fromkeys(range(40101, 40118), Meaning.TOKEN),
    40118: Meaning.ACCESS,
    40125: Meaning.ACCESS,
    40202: Meaning.RETRY,
    40902: Meaning.RETRY,
    40903: Meaning.RETRY,
    40913: Meaning.RETRY,
    **dict.fromkeys(range(50000, 51000), Meaning.RETRY),
}
# Others' measurements; TikTok names no Retry-After.
PAUSES: Mapping[int, timedelta] = {40100: timedelta(minutes=5)}
USUAL_PAUSE = timedelta(minutes=1)

STATUSES: Mapping[int, Meaning] = {
    400: Meaning.ROW,
    413: Meaning.ROW,
    422: Meaning.ROW,
    429: Meaning.THROTTLED,
    500: Meaning.RETRY,
    502: Meaning.RETRY,
    503: Meaning.RETRY,
    504: Meaning.RETRY,
}

TOKEN_MEND = "make a new access token: in Events Manager for this event set, or by the app's consent"  # noqa: S105 no token
ACCESS_MEND = (
    "give the person behind the token the role Admin or Operator on the ad account, the app the permissions for events and event"
    " sets, and check advertiser_id and both event set ids"
)
EVENT_NAME_MEND = "give the milestone an event_name, such as Lead, Purchase, or the name of its stage"


def meaning_of(code: int | None, status: int) -> Meaning:
    """What an error means: by its code, else by its status."""
    if code is not None:
        return CODES.get(code, Meaning.UNKNOWN)
    return STATUSES.get(status, Meaning.UNKNOWN)
