"""Pipedrive's own words for a failure (pipedrive.readme.io, rate limiting and HTTP status codes, November 2026)."""

from collections.abc import Mapping

from connectors.simulators.faults import Fault, FaultKind, answer, expired_token, lost_answers
from connectors.simulators.pipedrive.errors import Refusal, blocked, burst_spent, day_spent, refusal, unauthorized, unpaid


def pipedrive_faults(seconds_left: int = 1) -> Mapping[str, Fault]:
    """Faults that pass by themselves or by a refresh, by name. `expired_token` stops a source that has no refresh token."""
    return {
        **lost_answers(),
        "throttled": told(burst_spent(seconds_left)),
        "expired_token": expired_token(unauthorized().body),
        "unknown_error": told(refusal(400, "Flux capacitor", "Never seen before.", code="ERR_FLUX_CAPACITOR")),
    }


def day_is_used_up() -> Fault:
    """429 of the daily token budget: nothing more until midnight."""
    return told(day_spent())


def is_blocked() -> Fault:
    """403 with Cloudflare's page, for half an hour."""
    return told(blocked())


def is_unpaid() -> Fault:
    """402 of a company that is closed or has not paid."""
    return told(unpaid())


def told(refused: Refusal) -> Fault:
    """A refusal as a fault."""
    if isinstance(refused.body, str):
        headers = {"Content-Type": "text/html; charset=utf-8", **refused.headers}
        return Fault(FaultKind.ANSWER, status=refused.status, headers=headers, body=refused.body.encode())
    return answer(refused.status, refused.body, refused.headers)
