"""What HubSpot means by an error answer: which limit was hit, which scope is missing, what is worth another try."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.contract.errors import (
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
)
from connectors.http.client import Clock
from connectors.http.reply import Reply, retry_after, vendor_message

MISSING_SCOPES = "MISSING_SCOPES"

_LOCKED = 423
_MIGRATING = 477
_SERVER_ERRORS = 500
_REQUEST_TIMEOUT = 408
_PAUSES = {"SECONDLY": timedelta(seconds=1), "TEN_SECONDLY_ROLLING": timedelta(seconds=10)}
_LOCK_PAUSE = timedelta(seconds=2)
# The day ends at midnight of the account; while its zone is not known, an hour never oversleeps that by much.
_DAILY_WITHOUT_ZONE = timedelta(hours=1)
_CORRELATION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SCOPE = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class ErrorReader:
    """Reads HubSpot's errors. `zone` is the account's, set once it is known: the daily quota ends at its midnight."""

    def __init__(self, clock: Clock) -> None:
        self.zone: ZoneInfo | None = None
        self._clock = clock

    def __call__(self, reply: Reply) -> ConnectorError | None:
        """The error of a reply; None leaves outages to the general reading."""
        body = reply.body if isinstance(reply.body, dict) else {}
        category = str(body.get("category") or "")
        answer = _answer(reply, body, category)
        away = retry_after(reply, self._clock())
        match reply.status:
            case 401 | 530:
                mend = "make a new access token and save it in the connection"
                return AuthenticationFailed(f"{answer}; {mend}", code=category or "INVALID_AUTHENTICATION", status=reply.status)
            case 403:
                return _forbidden(answer, body, category)
            case 429:
                policy = str(body.get("policyName") or "")
                return RateLimited(answer, retry_after=away or self._pause(policy), code=policy, status=reply.status)
            case 423:
                locked = max(away or _LOCK_PAUSE, _LOCK_PAUSE)
                return Unavailable(answer, effect=Effect.NONE, retry_after=locked, code=category, status=_LOCKED)
            case 477:
                return Unavailable(answer, effect=Effect.NONE, retry_after=away, code=category, status=_MIGRATING)
            case status if status >= _SERVER_ERRORS or status == _REQUEST_TIMEOUT:
                return None
            case _:
                return RequestRefused(answer, code=category, status=reply.status)

    def _pause(self, policy: str) -> timedelta | None:
        if policy != "DAILY":
            return _PAUSES.get(policy)
        if self.zone is None:
            return _DAILY_WITHOUT_ZONE
        now = self._clock()
        tomorrow = now.astimezone(self.zone).date() + timedelta(days=1)
        return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=self.zone) - now


def _answer(reply: Reply, body: Mapping[str, object], category: str) -> str:
    parts = [f"HubSpot answered {reply.status}"]
    if re.fullmatch(r"[A-Z_]+", category):
        parts[0] += f" {category}"
    if words := vendor_message(reply):
        parts.append(words)
    answer = ": ".join(parts)
    correlation = str(body.get("correlationId") or "")
    return f"{answer} (correlation {correlation})" if _CORRELATION.fullmatch(correlation) else answer


def _forbidden(answer: str, body: Mapping[str, object], category: str) -> AuthenticationFailed:
    if category == MISSING_SCOPES:
        scopes = ", ".join(missing_scopes(body)) or "the scopes that the README lists"
        return AuthenticationFailed(f"{answer}; grant the token {scopes}", code=MISSING_SCOPES, status=403)
    return AuthenticationFailed(f"{answer}; check the permissions of the token's creator", code=category, status=403)


def missing_scopes(body: Mapping[str, object]) -> list[str]:
    """The scopes that a 403 names."""
    found: list[str] = []
    errors = body.get("errors")
    for one in errors if isinstance(errors, list) else []:
        context = one.get("context") if isinstance(one, dict) else None
        named = context.get("requiredGranularScopes") if isinstance(context, dict) else None
        found += [scope for scope in named if _SCOPE.fullmatch(str(scope))] if isinstance(named, list) else []
    return found
