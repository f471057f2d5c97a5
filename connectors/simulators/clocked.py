"""A simulated vendor dates its answers by the clock it was given (run uvicorn with `date_header=False`)."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Clock = Callable[[], datetime]


def http_date(now: datetime) -> str:
    """An instant as a Date header."""
    return format_datetime(now.astimezone(UTC), usegmt=True)


class DateHeader:
    """Middleware that gives every reply the Date of the injected clock."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Date"] = http_date(self._clock())
            await send(message)

        await self._app(scope, receive, dated)
