"""What a refused call to the Google Ads API says (pure). Its errors are families of codes, in a shape of their own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from connectors.ads.google.errors import ACCOUNT_MEND, DAY_QUOTA_PAUSE, MINUTE_QUOTA_PAUSE, TOKEN_MEND
from connectors.contract.errors import AuthenticationFailed, ConnectorError, RateLimited
from connectors.http.reply import Reply, retry_after
from connectors.http.scrub import scrub
from connectors.upload.json_values import as_list, as_object, as_text, as_whole

_CODE = re.compile(r"[A-Za-z0-9_]{1,100}")
_DURATION = re.compile(r"(\d{1,6})(?:\.\d+)?s")
# Quotas that last for hours.
LONG_QUOTAS = frozenset({"EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION"})
QUOTAS = frozenset(
    {
        "RESOURCE_EXHAUSTED",
        "RESOURCE_TEMPORARILY_EXHAUSTED",
        "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION",
        *LONG_QUOTAS,
    }
)


@dataclass(frozen=True, slots=True)
class AdsError:
    """One error of the Google Ads API: its code, and the row that it names."""

    code: str
    message: str
    index: int | None = None


def ads_errors(body: object) -> Sequence[AdsError]:
    """The errors of a GoogleAdsFailure, of a refused call or of `partialFailureError`."""
    first = body[0] if isinstance(body, list) and body else body
    told = as_object(first)
    place = as_object(told.get("partialFailureError")) or as_object(told.get("error"))
    found = [
        _ads_error(as_object(error))
        for detail in map(as_object, as_list(place.get("details")))
        for error in as_list(detail.get("errors"))
    ]
    if found or not place:
        return found
    reasons = [code_of(as_object(detail).get("reason")) for detail in as_list(place.get("details"))]
    code = next((one for one in reasons if one), "") or code_of(place.get("status")) or str(place.get("code", ""))
    return [AdsError(code, scrub(as_text(place.get("message"))))]


def read_ads_fault(body: object) -> tuple[str, str]:
    """Code and words of the first error, "" where the reply holds none."""
    errors = ads_errors(body)
    return (errors[0].code, errors[0].message) if errors else ("", "")


def _ads_error(error: Mapping[str, object]) -> AdsError:
    """`errorCode` has one key, the family; the row is the first path element with an index."""
    code = next((code_of(one) for one in as_object(error.get("errorCode")).values()), "")
    elements = map(as_object, as_list(as_object(error.get("location")).get("fieldPathElements")))
    index = next((as_whole(one.get("index")) for one in elements if "index" in one), None)
    return AdsError(code, scrub(as_text(error.get("message"))), index)


def ads_failure_of(reply: Reply, now: datetime) -> ConnectorError | None:
    """The failure of the whole call that a 401, 403 or 429 means; None leaves the reply to its reader."""
    code, message = read_ads_fault(reply.body)
    said = f"Google Ads: {code} {message}".strip()
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS or code in QUOTAS:
        pause = retry_after(reply, now) or _asked(reply.body) or (DAY_QUOTA_PAUSE if code in LONG_QUOTAS else MINUTE_QUOTA_PAUSE)
        return RateLimited(said, retry_after=pause, code=code or "RESOURCE_EXHAUSTED", status=reply.status)
    if reply.status == HTTPStatus.UNAUTHORIZED:
        return AuthenticationFailed(f"{said}; {TOKEN_MEND}", code=code or "UNAUTHENTICATED", status=reply.status)
    if reply.status == HTTPStatus.FORBIDDEN:
        return AuthenticationFailed(f"{said}; {ACCOUNT_MEND}", code=code or "PERMISSION_DENIED", status=reply.status)
    return None


def _asked(body: object) -> timedelta | None:
    """`retryDelay` of the quota's details."""
    error = as_object(as_object(body).get("error"))
    for detail in map(as_object, as_list(error.get("details"))):
        for one in map(as_object, as_list(detail.get("errors"))):
            delay = as_text(as_object(as_object(one.get("details")).get("quotaErrorDetails")).get("retryDelay"))
            match = _DURATION.fullmatch(delay)
            if match:
                return timedelta(seconds=int(match.group(1)))
    return None


def code_of(value: object) -> str:
    """A code as Google spells them; anything else is no code and is not passed on."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else ""
