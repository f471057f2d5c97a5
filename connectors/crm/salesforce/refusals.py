"""Salesforce's error answers in the words of the contract (pure): the API's, those inside a composite, the token endpoint's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from connectors.contract.errors import (
    NEEDS_REAUTH,
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
)
from connectors.crm.salesforce.settings import AuthFlow
from connectors.http.client import Reply
from connectors.http.reply import vendor_message

# The day's limit rolls: no instant at which it returns is told, and one more try costs one more request.
DAY_SPENT_WAIT = timedelta(minutes=30)
CONCURRENT_WAIT = timedelta(seconds=10)
LOGINS_WAIT = timedelta(minutes=60)

LIMIT_EXCEEDED = "REQUEST_LIMIT_EXCEEDED"
ID_LIMIT = "EXCEEDED_ID_LIMIT"
BEFORE_REPLICATION = "INVALID_REPLICATION_DATE"
LOCKED = "UNABLE_TO_LOCK_ROW"
VERSION_GONE = "VERSION_GONE"

TOO_LARGE = frozenset({"QUERY_TIMEOUT", "QUERY_TOO_COMPLICATED", "OPERATION_TOO_LARGE"})
# The schema is not what it was: fields come and go, rights too.
OBJECT_HIDDEN = "OBJECT_HIDDEN"
DRIFTED = frozenset({"INVALID_FIELD", "INVALID_TYPE", "MALFORMED_QUERY", OBJECT_HIDDEN})
GONE = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"})
# Passing states, whatever the status.
RETRYABLE = frozenset({LOCKED, "SERVER_UNAVAILABLE", "QUERY_TIMEOUT"})

_MENDS: Mapping[str, str] = {
    "API_DISABLED_FOR_ORG": "the edition has no API, or the user lacks `API Enabled`: add one or the other",
    "API_CURRENTLY_DISABLED": "the edition has no API for now: ask Salesforce, or add the API to the edition",
    "INSUFFICIENT_ACCESS": "give the integration user's permission set read access to the object",
    "INSUFFICIENT_ACCESS_OR_READONLY": "give the integration user's permission set access to the object",
    "FUNCTIONALITY_NOT_ENABLED": "switch the feature on in Setup, or take it out of the mapping",
    "INVALID_FIELD": "the field is gone or hidden: give the permission set read access to it, or take it out of the mapping",
    "INVALID_TYPE": "the object is hidden: give the integration user's permission set read access to it",
    "QUERY_TOO_COMPLICATED": "map fewer formula fields",
}
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,79}")
_NO_COLUMN = re.compile(r"No such column '(\w{1,80})' on (?:entity|sobject of type) '?(\w{1,80})")
_ERROR_ID = re.compile(r"ErrorId:?\s*(-?[\d-]{5,40}(?:\s?\(-?\d{1,20}\))?)", re.IGNORECASE)
_HTTP_FAILED = 400
_SERVER_FAILED = 500


def classify(reply: Reply) -> ConnectorError | None:
    """The error that an answer of status >= 400 means; None where it is read as for any vendor."""
    return _named(Refusal.of(reply.status, reply.body))


def error_within(status: int, body: object) -> ConnectorError:
    """The error that a refused part of a composite means."""
    refusal = Refusal.of(status, body)
    named = _named(refusal)
    if named is not None:
        return named
    return Unavailable(refusal.sentence, effect=Effect.NONE, code=refusal.code, status=status)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refused answer says. Outside the OAuth endpoint its body is a list of `{message, errorCode, fields}`."""

    status: int
    code: str
    words: str
    sentence: str

    @classmethod
    def of(cls, status: int, body: object) -> "Refusal":
        """From a status and a body of any form, a page of HTML as well."""
        first = body[0] if isinstance(body, list) and body else body
        raw = first if isinstance(first, Mapping) else {}
        found = raw.get("errorCode") or raw.get("statusCode") or raw.get("error")
        code = found if isinstance(found, str) and _CODE.fullmatch(found) else ""
        message = raw.get("message")
        column = _NO_COLUMN.search(message) if isinstance(message, str) else None
        words = f"{column[2]} has no field {column[1]}" if column else vendor_message(Reply(status, {}, body))
        said = ": ".join(one for one in (f"Salesforce answered {status} {code}".strip(), words) if one)
        number = _ERROR_ID.search(message) if isinstance(message, str) and status >= _SERVER_FAILED else None
        return cls(status, code, words, f"{said} (ErrorId {number[1]})" if number else said)


def _named(refusal: Refusal) -> ConnectorError | None:
    sentence, code, status = refusal.sentence, refusal.code, refusal.status
    if code == LIMIT_EXCEEDED:
        return _limited(refusal)
    if code in RETRYABLE or status == 406:  # noqa: PLR2004 seen in the field, passing (singer-io/tap-salesforce 184)
        return Unavailable(sentence, effect=Effect.NONE, code=code, status=status)
    match status:
        case 401:
            message = f"{sentence}; Salesforce refuses a new token as well: check the app's policies, then connect again"
            return AuthenticationFailed(message, code=NEEDS_REAUTH, status=status)
        case 403:
            mend = _MENDS.get(code, "check the integration user's permissions, and that an admin has approved the app")
            return AuthenticationFailed(f"{sentence}; {mend}", code=code, status=status)
        case 410:
            message = f"{sentence}; this API version is retired: raise the setting `api_version`"
            return RequestRefused(message, code=code or VERSION_GONE, status=status)
        case 408 | 429:
            return None
        case _ if status >= _SERVER_FAILED or status < _HTTP_FAILED:
            return None
        case _:
            message = f"{sentence}; {_MENDS[code]}" if code in _MENDS else sentence
            return RequestRefused(message, code=code, status=status)


def _limited(refusal: Refusal) -> RateLimited:
    """The whole day is spent, or too many long requests run at once: Salesforce says it in the message only."""
    is_concurrent = "concurrent" in refusal.words.lower()
    wait = CONCURRENT_WAIT if is_concurrent else DAY_SPENT_WAIT
    mend = (
        ""
        if is_concurrent
        else "; the org's requests of the last 24 hours are spent: let other integrations ask less, or buy more"
    )
    return RateLimited(f"{refusal.sentence}{mend}", retry_after=wait, code=refusal.code, status=refusal.status)


def explained(error: AuthenticationFailed, flow: AuthFlow) -> ConnectorError:
    """A refusal of the token endpoint, with what to do about it."""
    if error.code == "login_rate_exceeded":
        return RateLimited(error.message, retry_after=LOGINS_WAIT, code=error.code, status=error.status)
    words = error.message.lower()
    code, mend = error.code, _TOKEN_MENDS.get(error.code, "")
    if "approved this consumer" in words:
        code = "user_not_approved"
        mend = (
            "pre-authorise the user: External Client App > Policies > Permitted Users, and assign its permission set to the user"
        )
    elif error.code == "unsupported_grant_type" or "not supported on this domain" in words:
        code = "unsupported_grant_type"
        mend = "use the My Domain host (https://acme.my.salesforce.com) as `instance_url`, and switch the flow on in the app"
    elif error.code == NEEDS_REAUTH:
        mend = _REAUTH_MENDS[flow]
    return AuthenticationFailed(f"{error.message}; {mend}" if mend else error.message, code=code, status=error.status)


_TOKEN_MENDS: Mapping[str, str] = {
    "invalid_client_id": "check `client_id`: it is the app's consumer key",
    "invalid_client": "check `client_id` and `client_secret`",
    "inactive_user": "activate the integration user, or choose another",
    "inactive_org": "the org is inactive: ask Salesforce",
    "bad_private_key": "check `private_key`: PEM text of the key whose certificate was uploaded to the app",
}
_REAUTH_MENDS: Mapping[AuthFlow, str] = {
    AuthFlow.CLIENT_CREDENTIALS: "set the app's Run As user for client credentials, and see that this user is active",
    AuthFlow.JWT: "check `username`, the certificate uploaded to the app, the user's IP ranges, and that the user is active",
    AuthFlow.REFRESH_TOKEN: "connect again and set the new `refresh_token`",
}
