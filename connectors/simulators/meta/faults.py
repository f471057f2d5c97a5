"""Meta's own words for a failure (Graph API, handle errors; marketing API rate limiting; November 2026)."""

from collections.abc import Mapping

from connectors.simulators.faults import Fault, answer, expired_token, lost_answers, too_many_requests
from connectors.simulators.meta.errors import GraphError, JsonObject

_TRACE_ID = "AbC3dEfGhIj4kLmNoPqRsTu"


def meta_faults(retry_after: int = 60) -> Mapping[str, Fault]:
    """Every kind of fault by name. Meta throttles with 400 and a code, seldom with 429."""
    too_many = GraphError("There have been too many calls to this account.", 80004)
    return {
        **lost_answers(),
        "throttled": answer(400, _body(too_many)),
        "throttled_retry_after": too_many_requests(retry_after, _body(too_many)),
        "transient": answer(500, _body(GraphError("An unexpected error has occurred.", 2, is_transient=True))),
        "expired_token": expired_token(_body(GraphError("Error validating access token: Session has expired.", 190, 463))),
        "unknown_error": answer(400, _body(GraphError("This has never been seen before.", 987654))),
    }


def _body(error: GraphError) -> JsonObject:
    return error.as_json(_TRACE_ID)
