"""Pipedrive's error answers in the words of the contract (pure). Everything not named here is read as for any vendor."""

from datetime import UTC, datetime, time, timedelta
from http import HTTPStatus

from connectors.contract.errors import AuthenticationFailed, ConnectorError, RateLimited, RequestRefused
from connectors.crm.pipedrive.budget import SPENT_HEADERS
from connectors.http.client import Reply
from connectors.http.reply import retry_after, vendor_code, vendor_message
from connectors.http.scrub import scrub

DAILY = "daily_tokens"
ABUSE = "abuse_block"
UNPAID = "payment_required"
NO_SCOPE = "scope"
WHERE_SCOPES_ARE = "in the app's registration (Developer Hub > OAuth & access scopes), then install the app again"

ABUSE_PAUSE = timedelta(minutes=30)
DAILY_RECHECK = timedelta(hours=1)
LONGEST_BURST = timedelta(seconds=60)
GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


def classify(reply: Reply, now: datetime) -> ConnectorError | None:
    """The error that an answer of status >= 400 means."""
    match reply.status:
        case 401:
            mend = "copy a new API token into the connection, or connect the app again"
            return AuthenticationFailed(f"{_sentence(reply)}; {mend}", code=code_of(reply), status=401)
        case 402:
            message = f"{_sentence(reply)}; the company's account is closed or unpaid: settle it with Pipedrive"
            return AuthenticationFailed(message, code=code_of(reply) or UNPAID, status=402)
        case 403:
            return _forbidden(reply, now)
        case 429:
            return _throttled(reply, now)
        case 501:
            return RequestRefused(_sentence(reply), code=code_of(reply), status=501)
        case status if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        case status:
            return RequestRefused(_sentence(reply), code=code_of(reply), status=status)


def is_scope_missing(error: ConnectorError) -> bool:
    """Whether a 403 speaks of the whole connection (a scope, a feature of the plan), not of one record."""
    return error.status == HTTPStatus.FORBIDDEN and (error.code == NO_SCOPE or error.code.startswith("feature_capping"))


def is_of_one_record(error: AuthenticationFailed) -> bool:
    """Whether a 403 to a read of one record says no more than that this user may not see it."""
    return error.status == HTTPStatus.FORBIDDEN and not is_scope_missing(error)


def until_midnight(now: datetime) -> timedelta:
    """How long until the day's tokens come back."""
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), UTC) - now


def code_of(reply: Reply) -> str:
    """Pipedrive's own code: its `code` where there is one (feature_capping_...), else its number."""
    found = reply.body.get("code") if isinstance(reply.body, dict) else None
    return found[:60] if isinstance(found, str) and found.isascii() and found.replace("_", "").isalnum() else vendor_code(reply)


def words_of(reply: Reply) -> str:
    """Pipedrive's own words, scrubbed: `error` says what is wrong, `error_info` mostly where to read on."""
    found = reply.body.get("error") if isinstance(reply.body, dict) else None
    return scrub(found) if isinstance(found, str) and found else vendor_message(reply)


def _forbidden(reply: Reply, now: datetime) -> ConnectorError:
    """As JSON: a right is missing. As a page: Cloudflare keeps us out, who asked on after 429s."""
    if isinstance(reply.body, str):
        away = max(retry_after(reply, now) or ABUSE_PAUSE, ABUSE_PAUSE)
        message = "Pipedrive's edge answered 403 with a page: it keeps this address out for a while after too many requests"
        return RateLimited(message, retry_after=away, code=ABUSE, status=403)
    code = code_of(reply)
    if "scope" in words_of(reply).lower() and not code.startswith("feature_capping"):
        code = NO_SCOPE
    mend = "use an admin's token that sees all records, and with OAuth add the scope " + WHERE_SCOPES_ARE
    if code.startswith("feature_capping"):
        mend = "the company's plan lacks the feature"
    return AuthenticationFailed(f"{_sentence(reply)}; {mend}", code=code, status=403)


def _throttled(reply: Reply, now: datetime) -> RateLimited:
    asked = retry_after(reply, now)
    if _is_day_spent(reply):
        wait = min(DAILY_RECHECK, until_midnight(now))
        message = f"{_sentence(reply)}; the company's API tokens of the day are spent, they come back at midnight UTC"
        return RateLimited(message, retry_after=wait, code=DAILY, status=429)
    return RateLimited(_sentence(reply), retry_after=asked or _window_left(reply), code=code_of(reply), status=429)


def _is_day_spent(reply: Reply) -> bool:
    """Told by the daily headers (not always there), by the words, or as the burst window has requests left."""
    if any(reply.headers.get(name, "").strip() == "0" for name in SPENT_HEADERS):
        return True
    words = reply.body if isinstance(reply.body, str) else words_of(reply)
    if "daily" in words.lower():
        return True
    left = reply.headers.get("x-ratelimit-remaining", "").strip()
    return "retry-after" not in reply.headers and left.isdigit() and int(left) > 0


def _window_left(reply: Reply) -> timedelta | None:
    """Seconds that are left of the two-second window."""
    try:
        seconds = float(reply.headers.get("x-ratelimit-reset", ""))
    except ValueError:
        return None
    return min(timedelta(seconds=seconds), LONGEST_BURST) if 0 <= seconds < LONGEST_BURST.total_seconds() * 60 else None


def _sentence(reply: Reply) -> str:
    words = words_of(reply)
    return f"Pipedrive answered {reply.status}" + (f": {words}" if words else "")
