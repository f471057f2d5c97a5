"""HubSpot's error answers in the words of the contract (pure). Everything not named here is read as for any vendor."""

import re
from datetime import datetime, time, timedelta, tzinfo

from connectors.contract.errors import (
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
)
from connectors.http.client import Reply
from connectors.http.reply import retry_after, vendor_message

DAILY = "DAILY"
MISSING_SCOPES = "MISSING_SCOPES"
OBJECT_NOT_FOUND = "OBJECT_NOT_FOUND"
# Details of a refusal that lie in the property, so that every record meets them.
PROPERTY_FAULTS = ("PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE")
WHERE_SCOPES_ARE = (
    "in HubSpot under Development > Keys > Service keys (or on the app's own Scopes page; an OAuth app is then installed again)"
)

# HubSpot documents these waits for a policy; a Retry-After is not promised.
POLICY_WAITS = {"SECONDLY": timedelta(seconds=1), "TEN_SECONDLY_ROLLING": timedelta(seconds=10)}
LOCKED_WAIT = timedelta(seconds=2)

_SCOPE = re.compile(r"[a-z][a-z0-9_.-]{2,80}")
_CORRELATION_ID = re.compile(r"[0-9A-Za-z-]{6,64}")
_CODE = re.compile(r"[A-Za-z0-9_.]{1,80}")


def classify(reply: Reply, zone: tzinfo, now: datetime) -> ConnectorError | None:
    """The error that an answer of status >= 400 means; `zone` is the account's, in whose midnight daily quotas end."""
    match reply.status:
        case 403 if code_of(reply) == MISSING_SCOPES:
            return missing_scopes(reply)
        case 401 | 403 | 530:
            mend = "make a new token (an OAuth app: connect again) or give its creator the rights, then update the connection"
            return AuthenticationFailed(f"{_sentence(reply)}; {mend}", code=code_of(reply), status=reply.status)
        case 423:
            locked = retry_after(reply, now) or LOCKED_WAIT
            return Unavailable(_sentence(reply), effect=Effect.NONE, retry_after=locked, code=code_of(reply), status=423)
        case 429:
            policy = _word(reply, "policyName") or code_of(reply)
            wait = _wait(policy, zone, now, retry_after(reply, now))
            return RateLimited(_sentence(reply), retry_after=wait, code=policy, status=429)
        case 477:
            wait = retry_after(reply, now)
            message = f"{_sentence(reply)}; HubSpot is moving this account"
            return Unavailable(message, effect=Effect.NONE, retry_after=wait, code=code_of(reply), status=477)
        case status if status == 408 or status >= 500:  # noqa: PLR2004 timeouts and outages are alike for all vendors
            return None
        case status:
            detail = detail_of(reply.body)
            message = _sentence(reply) + (f" [{detail}]" if detail else "")
            return RequestRefused(message, code=code_of(reply), status=status)


def code_of(reply: Reply) -> str:
    """The category of HubSpot's error body; "" where there is none."""
    return _word(reply, "category") or _word(reply, "errorType")


def detail_of(body: object) -> str:
    """The code of the first single error in HubSpot's error body, else its sub-category; "" where there is none."""
    if not isinstance(body, dict):
        return ""
    listed = body.get("errors")
    first = listed[0] if isinstance(listed, list) and listed else None
    found = (first.get("code") if isinstance(first, dict) else None) or body.get("subCategory")
    return found if isinstance(found, str) and _CODE.fullmatch(found) else ""


def missing_scopes(reply: Reply) -> AuthenticationFailed:
    """Names the scopes that HubSpot asks for, and where to add them."""
    scopes = sorted(set(_scopes(reply.body)))
    named = ", ".join(scopes) if scopes else "a scope that HubSpot does not name"
    message = f"HubSpot refuses for want of scopes: {named}; add them {WHERE_SCOPES_ARE}{_correlation(reply)}"
    return AuthenticationFailed(message, code=MISSING_SCOPES, status=reply.status)


def _scopes(body: object) -> list[str]:
    """Every scope name under a key that speaks of scopes, wherever HubSpot puts it in the body."""
    found: list[str] = []
    match body:
        case dict():
            for key, value in body.items():
                if "scope" in str(key).lower() and isinstance(value, list):
                    found += [one for one in value if isinstance(one, str) and _SCOPE.fullmatch(one)]
                else:
                    found += _scopes(value)
        case list():
            for value in body:
                found += _scopes(value)
        case _:
            pass
    return found


def _wait(policy: str, zone: tzinfo, now: datetime, asked: timedelta | None) -> timedelta | None:
    if policy == DAILY:
        return _until_midnight(now, zone)
    return asked or POLICY_WAITS.get(policy)


def _until_midnight(now: datetime, zone: tzinfo) -> timedelta:
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time(), zone)
    return midnight.astimezone(now.tzinfo) - now


def _sentence(reply: Reply) -> str:
    words = vendor_message(reply)
    return f"HubSpot answered {reply.status}" + (f": {words}" if words else "") + _correlation(reply)


def _correlation(reply: Reply) -> str:
    """HubSpot's support asks for it; it names a request, not a person."""
    found = reply.body.get("correlationId") if isinstance(reply.body, dict) else None
    return f" (correlationId {found})" if isinstance(found, str) and _CORRELATION_ID.fullmatch(found) else ""


def _word(reply: Reply, key: str) -> str:
    found = reply.body.get(key) if isinstance(reply.body, dict) else None
    return found if isinstance(found, str) and _CODE.fullmatch(found) else ""
