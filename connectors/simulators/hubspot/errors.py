"""HubSpot's error answers: a status with the documented body. Anything an endpoint refuses is raised as `Refusal`."""

from collections.abc import Mapping

Json = dict[str, object]

_SCOPE_PAGE = "https://developers.hubspot.com/scopes"


class Refusal(Exception):
    """An answer other than the one asked for. `body` lacks the correlationId, which the app adds; text is no JSON."""

    def __init__(self, status: int, body: Json | str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def refusal(status: int, category: str, message: str, **more: object) -> Refusal:
    """A refusal with HubSpot's usual body."""
    return Refusal(status, {"status": "error", "message": message, "category": category, **more})


def invalid(message: str, code: str | None = None, **context: list[str]) -> Refusal:
    """400 VALIDATION_ERROR; `code` and `context` go into the list of single errors."""
    single: Json = {"message": message, **({"code": code} if code else {}), **({"context": context} if context else {})}
    return refusal(400, "VALIDATION_ERROR", message, errors=[single])


def not_found(message: str = "resource not found") -> Refusal:
    """404 OBJECT_NOT_FOUND."""
    return refusal(404, "OBJECT_NOT_FOUND", message)


def unknown_path() -> Refusal:
    """404 for a path or a version that HubSpot does not serve."""
    return Refusal(404, {"status": "error", "message": "Unable to find a route for this path."})


def unauthenticated(category: str) -> Refusal:
    """401, for `INVALID_AUTHENTICATION` or `EXPIRED_AUTHENTICATION`."""
    message = {
        "INVALID_AUTHENTICATION": "Authentication credentials not found. This API supports OAuth 2.0 authentication.",
        "EXPIRED_AUTHENTICATION": "The OAuth token used to make this call is expired.",
    }[category]
    return refusal(401, category, message)


def missing_scopes(scopes: list[str]) -> Refusal:
    """403 MISSING_SCOPES naming the scopes of which one is needed."""
    return refusal(
        403,
        "MISSING_SCOPES",
        "This app hasn't been granted all required scopes to make this call.",
        errors=[{"message": "One or more of the following scopes are required.", "context": {"requiredGranularScopes": scopes}}],
        links={"scopes": _SCOPE_PAGE},
    )


def rate_limited(policy: str) -> Refusal:
    """429; `policy` is `SECONDLY`, `TEN_SECONDLY_ROLLING` or `DAILY`. HubSpot promises no Retry-After."""
    limit = {"SECONDLY": "secondly", "TEN_SECONDLY_ROLLING": "ten_secondly_rolling", "DAILY": "daily"}[policy]
    return Refusal(
        429,
        {"status": "error", "message": f"You have reached your {limit} limit.", "errorType": "RATE_LIMIT", "policyName": policy},
    )


def edge_refusal() -> Refusal:
    """530 from the edge, for a malformed or truncated token; its body is no JSON."""
    return Refusal(530, "error code: 1016")
