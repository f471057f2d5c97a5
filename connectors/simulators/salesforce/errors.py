"""Salesforce's error answers: arrays of code and message, but objects at the token endpoint."""

Json = dict[str, object]


class Refusal(Exception):
    """An answer other than the one asked for."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def refusal(status: int, code: str, message: str, fields: list[str] | None = None) -> Refusal:
    """A refusal with the usual array; `fields` where single fields are to blame."""
    return Refusal(status, [{"message": message, "errorCode": code, **({} if fields is None else {"fields": fields})}])


def grant_refusal(error: str, description: str, status: int = 400) -> Refusal:
    """What the token endpoint refuses with."""
    return Refusal(status, {"error": error, "error_description": description})


def expired_session() -> Refusal:
    """401 for a session that ended or never was."""
    return refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")


def malformed(message: str) -> Refusal:
    """400 MALFORMED_QUERY."""
    return refusal(400, "MALFORMED_QUERY", message)


def no_such_column(name: str, entity: str) -> Refusal:
    """400 INVALID_FIELD of a query, the same for a field that is hidden and one that never was."""
    hint = "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name."
    message = (
        f"\nSELECT {name} FROM {entity}\n       ^\nERROR at Row:1:Column:8\nNo such column '{name}' on entity '{entity}'. {hint}"
    )
    return refusal(400, "INVALID_FIELD", message)


def no_such_type(name: str) -> Refusal:
    """400 INVALID_TYPE of a query."""
    return refusal(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")


def not_found(message: str = "The requested resource does not exist") -> Refusal:
    """404 NOT_FOUND."""
    return refusal(404, "NOT_FOUND", message)


def too_many_calls() -> Refusal:
    """403 once the calls of 24 hours are used up; neither Retry-After nor a time of reset."""
    return refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")


def too_many_at_once() -> Refusal:
    """403 while too many long requests run at the same time."""
    return refusal(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")


def api_disabled() -> Refusal:
    """403 of an edition without API."""
    return refusal(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner")


def query_timeout() -> Refusal:
    """400 for a query that took too long: to be asked in smaller pieces."""
    return refusal(400, "QUERY_TIMEOUT", "Your query request was running for too long.")


def dead_locator() -> Refusal:
    """400 for a `nextRecordsUrl` that has died."""
    return refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
