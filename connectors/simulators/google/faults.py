"""Google's own words for a failure (Data Manager API, understand API errors; google.rpc.Status; November 2026)."""

from collections.abc import Mapping

from connectors.simulators.faults import Fault, answer, expired_token, lost_answers, too_many_requests
from connectors.simulators.google.refusals import JsonObject, PathStyle, Refusal, exhausted, unauthenticated

_REQUEST_ID = "t-a8Qm1Jc2dLx0"


def google_faults(retry_after: int = 17) -> Mapping[str, Fault]:
    """Every kind of fault by name; 503 and 500 also in Google's JSON, which says less than its HTML does."""
    return {
        **lost_answers(),
        "throttled": answer(429, _body(exhausted("IngestionRequestsPerMinutePerProject", None))),
        "throttled_retry_after": too_many_requests(
            retry_after, _body(exhausted("IngestionRequestsPerMinutePerProject", retry_after))
        ),
        "expired_token": expired_token(_body(unauthenticated("ACCESS_TOKEN_EXPIRED"))),
        "unavailable": answer(503, _body(Refusal(503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE"))),
        "unknown_error": answer(
            400, _body(Refusal(400, "FLUX_CAPACITOR", "This has never been seen before.", "FLUX_CAPACITOR_OVERLOADED"))
        ),
    }


def _body(refusal: Refusal) -> JsonObject:
    return refusal.as_json(_REQUEST_ID, PathStyle.PLAIN)
