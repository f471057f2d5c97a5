"""Salesforce's own words for a failure (REST API Developer Guide, status codes and errors; November 2026)."""

from collections.abc import Mapping

from connectors.simulators.faults import Fault, FaultKind, answer, expired_token, lost_answers
from connectors.simulators.salesforce import errors
from connectors.simulators.salesforce.errors import (
    Refusal,
    dead_locator,
    expired_session,
    refusal,
    too_many_at_once,
    too_many_calls,
)

_MAINTENANCE = b"<html><head><title>Down For Maintenance</title></head><body>We are down for maintenance.</body></html>"
_HTML = {"Content-Type": "text/html; charset=UTF-8"}


def salesforce_faults() -> Mapping[str, Fault]:
    """Every kind of fault by name. `expired_token` is the session's end: renewed once, then a human has to look."""
    return {
        **lost_answers(),
        "throttled": _told(too_many_at_once()),
        "expired_token": expired_token(expired_session().body),
        "query_timeout": query_timeout(),
        "maintenance": maintenance(),
        "not_acceptable": not_acceptable(),
        "unknown_exception": _told(refusal(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1234567-1234 (42)")),
        "unknown_error": _told(refusal(400, "FLUX_CAPACITOR", "This has never been seen before.")),
    }


def day_is_used_up() -> Fault:
    """403 once the calls of 24 hours are used up, without a time of reset."""
    return _told(too_many_calls())


def query_timeout() -> Fault:
    """400 for a query that took too long: to be asked in smaller pieces."""
    return _told(errors.query_timeout())


def maintenance() -> Fault:
    """503 with a page of HTML."""
    return Fault(FaultKind.ANSWER, False, 503, _HTML, _MAINTENANCE)


def not_acceptable() -> Fault:
    """406 with HTML, seen in the field now and then."""
    return Fault(FaultKind.ANSWER, False, 406, _HTML, b"<html><body>Not Acceptable</body></html>")


def locator_is_dead() -> Fault:
    """400 for a `nextRecordsUrl`: the window has to be asked for anew."""
    return _told(dead_locator())


def row_is_locked() -> Fault:
    """400 for a write while somebody else holds the row."""
    return _told(refusal(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", []))


def _told(refused: Refusal) -> Fault:
    return answer(refused.status, refused.body)
