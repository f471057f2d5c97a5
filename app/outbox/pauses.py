"""How long a failed call pauses its connection (pure)."""

from datetime import datetime, timedelta
from http import HTTPStatus

from connectors.contract.errors import AuthenticationFailed, ConnectorError, RateLimited, Unavailable

CONNECTION_PAUSE = timedelta(minutes=1)


def pause_until(error: ConnectorError, now: datetime) -> datetime | None:
    """How long a failed call pauses its connection: as the vendor asks, else a minute; None: until a check is clean."""
    if isinstance(error, AuthenticationFailed):
        return None
    asked = error.retry_after if isinstance(error, RateLimited | Unavailable) else None
    return now + (CONNECTION_PAUSE if asked is None else asked)


def source_pause_until(error: ConnectorError, now: datetime) -> datetime | None:
    """As `pause_until`, but where a source is forbidden something (403), what it may read is read on after a minute."""
    if isinstance(error, AuthenticationFailed) and error.status == HTTPStatus.FORBIDDEN:
        return now + CONNECTION_PAUSE
    return pause_until(error, now)
