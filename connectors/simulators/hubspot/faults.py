"""HubSpot's own words for a failure (developers.hubspot.com, error handling and usage guidelines, November 2026)."""

from collections.abc import Mapping

from connectors.simulators.faults import Fault, answer, expired_token, lost_answers, too_many_requests
from connectors.simulators.hubspot.errors import Refusal, rate_limited, refusal, unauthenticated

_CORRELATION_ID = "6b1f8a52-1c0e-4b9d-9d0f-5f2f0d8f8a11"


def hubspot_faults(retry_after: int = 11) -> Mapping[str, Fault]:
    """Every kind of fault by name. `expired_token` stops a source until a human has checked it."""
    return {
        **lost_answers(),
        "throttled": _told(rate_limited("TEN_SECONDLY_ROLLING")),
        "throttled_retry_after": too_many_requests(retry_after, _body(rate_limited("SECONDLY"))),
        "expired_token": expired_token(_body(unauthenticated("EXPIRED_AUTHENTICATION"))),
        "unknown_error": _told(refusal(400, "FLUX_CAPACITOR", "This has never been seen before.")),
    }


def day_is_used_up() -> Fault:
    """429 of the daily limit: nothing more until midnight in the account's zone."""
    return _told(rate_limited("DAILY"))


def _told(refused: Refusal) -> Fault:
    return answer(refused.status, _body(refused), {"X-HubSpot-Correlation-Id": _CORRELATION_ID})


def _body(refused: Refusal) -> Mapping[str, object]:
    body = refused.body if isinstance(refused.body, dict) else {"message": refused.body}
    return {**body, "correlationId": _CORRELATION_ID}
