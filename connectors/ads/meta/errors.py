"""Meta's error codes as data: what each one means for us, and its mend. Replies are read in refusals.py.

Codes: Meta's pages on Graph and Marketing API errors and rate limits, and subcodes seen with the Conversions API (2026-11).
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

# Meta names no Retry-After. Its score decays in 300 s; a block for abuse lasts longer.
THROTTLE_PAUSE = timedelta(minutes=5)
BLOCK_PAUSE = timedelta(hours=1)
LONGEST_PAUSE = timedelta(days=1)

INVALID_PARAMETER = 100
PERMISSIONS = range(200, 300)

Code = tuple[int, int | None]


class Meaning(StrEnum):
    """What a code says. Meta never says of which row.

    `row`: one event is refused for good. `retry`: a fault of Meta's that passes. `throttled`: too many calls. `blocked`: barred
    for a while. `token`: the token is refused. `app`: the app's secret proof or session. `permission`: a right or feature is
    missing. `dataset`: the id is wrong, or the token may not use it. `request`: an address or field of ours outside of events.
    `unknown`: not proven permanent.
    """

    ROW = "row"
    RETRY = "retry"
    THROTTLED = "throttled"
    BLOCKED = "blocked"
    TOKEN = "token"  # noqa: S105 a word
    APP = "app"
    PERMISSION = "permission"
    DATASET = "dataset"
    REQUEST = "request"
    UNKNOWN = "unknown"


# By (code, subcode); a subcode that is not listed takes the meaning of its code, which stands under None. Code 1 ("unknown
# error") is not here: where Meta calls it transient it passes, else one event may have caused it and must be found.
REFUSALS: Mapping[Code, Meaning] = {
    (2, None): Meaning.RETRY,
    (5000, None): Meaning.RETRY,
    (21009, None): Meaning.RETRY,
    (4, None): Meaning.THROTTLED,
    (17, None): Meaning.THROTTLED,
    (32, None): Meaning.THROTTLED,
    (613, None): Meaning.THROTTLED,
    (80000, None): Meaning.THROTTLED,
    (80003, None): Meaning.THROTTLED,
    (80004, None): Meaning.THROTTLED,
    (80014, None): Meaning.THROTTLED,
    (341, None): Meaning.BLOCKED,
    (368, None): Meaning.BLOCKED,
    (190, None): Meaning.TOKEN,
    (102, None): Meaning.APP,
    (104, None): Meaning.APP,
    (3, None): Meaning.PERMISSION,
    (10, None): Meaning.PERMISSION,
    (INVALID_PARAMETER, 33): Meaning.DATASET,
    # Old time, Purchase without value, too few customer keys, and other rules of event validation; every subcode of 100 that
    # is not listed is a row's too: halving finds it, and the subcode of an invalid lead id, for one, is not published.
    (INVALID_PARAMETER, None): Meaning.ROW,
    # The path or version is not served (seen, on no page).
    (2500, None): Meaning.REQUEST,
}

# In the tables, though they say nothing of what they mean: "unknown error", and a request that is too large.
WITHOUT_MEANING = frozenset({1, 413})

TOKEN_MEND = "make a new token in Events Manager (Settings, Conversions API) or for the system user, and put it into access_token"  # noqa: S105 no token
APP_MEND = "set app_secret to the secret of the app that made the token, as this app demands its proof; without one, leave it out"
PERMISSION_MEND = (
    "let the business's admin assign the dataset to the token's system user with the right to use events,"
    " or make the token in Events Manager (Settings, Conversions API)"
)
DATASET_MEND = (
    "check dataset_id (Events Manager, Settings), and that the token was made for this dataset or its system user has it"
)

MENDS: Mapping[str, str] = {
    "190/460": f"the password of the token's user was changed: {TOKEN_MEND}",
    "190/463": f"the token has expired: {TOKEN_MEND}",
}
_MENDS_BY_MEANING: Mapping[Meaning, str] = {
    Meaning.TOKEN: TOKEN_MEND,
    Meaning.APP: APP_MEND,
    Meaning.PERMISSION: PERMISSION_MEND,
    Meaning.DATASET: DATASET_MEND,
}


def refusal(code: int, subcode: int | None) -> Meaning:
    """What a code and subcode mean."""
    if code in PERMISSIONS:
        return Meaning.PERMISSION
    return REFUSALS.get((code, subcode)) or REFUSALS.get((code, None)) or Meaning.UNKNOWN


def meaning_of(text: str) -> Meaning:
    """What a code in our own spelling means; `unknown` where it is none of Meta's."""
    code, _, subcode = text.partition("/")
    if not code.isdigit():
        return Meaning.UNKNOWN
    return refusal(int(code), int(subcode) if subcode.isdigit() else None)


def mend_of(text: str) -> str:
    """What a person can do about a refused token, app, permission or dataset."""
    return MENDS.get(text) or _MENDS_BY_MEANING.get(meaning_of(text), DATASET_MEND)


def code_text(code: int, subcode: int | None) -> str:
    """`190/463`: a code as we store and show it."""
    return str(code) if subcode is None else f"{code}/{subcode}"
