"""LinkedIn's errors as data: what each one means for us, and its mend. Replies are read in refusals.py.

Codes: pages on the Conversions API and on API errors, and messages measured by others on the live API (2026-11). Where LinkedIn
writes no code but words, the words are the key.
"""

from collections.abc import Mapping
from enum import StrEnum


class Meaning(StrEnum):
    """What an error says of what it is about.

    `row`: one event is refused for good. `target`: the conversion rule is wrong. `token`: the token is refused. `access`: the
    account, a role or a scope. `version`: the version is switched off or missing. `throttled`: a limit. `retry`: passes.
    `size`: too much in the request. `unknown`: not proven permanent.
    """

    ROW = "row"
    TARGET = "target"
    TOKEN = "token"  # noqa: S105 a word
    ACCESS = "access"
    VERSION = "version"
    THROTTLED = "throttled"
    RETRY = "retry"
    SIZE = "size"
    UNKNOWN = "unknown"


TIME_INVALID = "INVALID_CONVERSION_TIME_FIELD_VALUE"
IDENTIFIERS_INVALID = "INVALID_USER_IDENTIFICATION_FIELD_VALUE"
WRONG_METHOD = "RULE_METHOD"
BAD_RULE = "RULE_INVALID"
NO_ACCOUNT = "NO_AD_ACCOUNTS"
FIELD_INVALID = "FIELD_INVALID"

CODES: Mapping[str, Meaning] = {
    "VERSION_MISSING": Meaning.VERSION,
    WRONG_METHOD: Meaning.TARGET,
    BAD_RULE: Meaning.TARGET,
    NO_ACCOUNT: Meaning.TARGET,
    TIME_INVALID: Meaning.ROW,
    IDENTIFIERS_INVALID: Meaning.ROW,
    FIELD_INVALID: Meaning.ROW,
    "EMPTY_ACCESS_TOKEN": Meaning.TOKEN,
    "INVALID_ACCESS_TOKEN": Meaning.TOKEN,
    "REVOKED_ACCESS_TOKEN": Meaning.TOKEN,
    "65600": Meaning.TOKEN,
    "65601": Meaning.TOKEN,
    "USER_NOT_AUTHORIZED": Meaning.ACCESS,
    "ACCESS_DENIED": Meaning.ACCESS,
}
# Words in a message that name what is wrong where there is no code.
WORDS: Mapping[str, str] = {
    "method should be conversions_api": WRONG_METHOD,
    "no ad accounts found": NO_ACCOUNT,
    "llapartnerconversion": BAD_RULE,
    "conversion urn": BAD_RULE,
}
STATUSES: Mapping[int, Meaning] = {
    401: Meaning.TOKEN,
    403: Meaning.ACCESS,
    404: Meaning.TARGET,
    408: Meaning.RETRY,
    411: Meaning.SIZE,
    413: Meaning.SIZE,
    414: Meaning.SIZE,
    422: Meaning.ROW,
    423: Meaning.RETRY,
    426: Meaning.VERSION,
    429: Meaning.THROTTLED,
    500: Meaning.RETRY,
    502: Meaning.RETRY,
    503: Meaning.RETRY,
    504: Meaning.RETRY,
}

TOKEN_MEND = "connect again: with a new token of Campaign Manager, or the app's consent with rw_conversions"  # noqa: S105 no token
ACCESS_MEND = (
    "give the member behind the token a role on the ad account (account, campaign or creative manager, or billing admin), and the"
    " app the product Conversions API"
)
RULE_MEND = "choose a rule of this ad account that was made for the Conversions API: `leadloop destinations provision` makes one"


def meaning_of(code: str, status: int) -> Meaning:
    """What an error means: by its code, else by its status."""
    return CODES.get(code) or STATUSES.get(status, Meaning.UNKNOWN)
