"""The call failed: the tree of errors, each with what is known of its effect.

ConnectorError
 |- AuthenticationFailed   credentials or permissions refused: pause the connection, ask a human
 |- RateLimited            throttled: `retry_after` says until when, where it is known
 |- Unavailable            outage, timeout, 5xx, no connection
 |- RequestRefused         the platform refuses the request as a whole, for a reason that is ours to mend
 |- UnexpectedReply        garbage, or a reply that does not add up
"""

from datetime import timedelta
from enum import StrEnum

# The code of an AuthenticationFailed that only a person mends, by connecting again.
NEEDS_REAUTH = "needs_reauth"


class Effect(StrEnum):
    """Whether the platform may have acted on the request. Connect errors, 401, 429, 4xx: none. Lost answers: unknown."""

    NONE = "none"
    UNKNOWN = "unknown"


class ConnectorError(Exception):
    """A call to a vendor failed. The message says what, which and what to do; it holds no personal data and no token."""

    def __init__(self, message: str, *, effect: Effect, code: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.effect = effect
        self.code = code
        self.status = status


class AuthenticationFailed(ConnectorError):
    """The vendor refuses the credentials, a scope or a permission."""

    def __init__(self, message: str, *, code: str = "", status: int | None = None) -> None:
        super().__init__(message, effect=Effect.NONE, code=code, status=status)


class RateLimited(ConnectorError):
    """The vendor throttles. `retry_after` is how long to stay away, None where it did not say."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None, code: str = "", status: int | None = None) -> None:
        super().__init__(message, effect=Effect.NONE, code=code, status=status)
        self.retry_after = retry_after


class Unavailable(ConnectorError):
    """The vendor cannot be reached or is failing. `retry_after` is how long it asks to stay away, None where unknown."""

    def __init__(
        self,
        message: str,
        *,
        effect: Effect,
        retry_after: timedelta | None = None,
        code: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(message, effect=effect, code=code, status=status)
        self.retry_after = retry_after


class RequestRefused(ConnectorError):
    """The vendor refuses the request as a whole; repeating it unchanged is useless."""

    def __init__(self, message: str, *, code: str = "", status: int | None = None) -> None:
        super().__init__(message, effect=Effect.NONE, code=code, status=status)


class UnexpectedReply(ConnectorError):
    """The reply is not what the vendor documents."""
