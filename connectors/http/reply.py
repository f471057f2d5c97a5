"""One exchange over the wire: httpx's replies and errors in the words of the contract. Knows no vendor and no policy."""

import asyncio
import email.utils
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import orjson

from connectors.contract.errors import ConnectorError, Effect, RequestRefused, Unavailable, UnexpectedReply
from connectors.http.scrub import scrub

READ_TIMEOUT = httpx.Timeout(connect=10, read=30, write=30, pool=10)
SEND_TIMEOUT = httpx.Timeout(connect=10, read=90, write=60, pool=10)
# httpx counts its read timeout from byte to byte; this one ends a reply that trickles.
LONGEST_EXCHANGE = timedelta(minutes=3)
LONGEST_RETRY_AFTER = timedelta(days=7)

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_NOT_BUILT = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError)
_MESSAGE_KEYS = ("message", "error_description", "error_info", "error", "title", "detail")
_CODE_KEYS = ("errorCode", "error_subcode", "status", "code", "category", "error")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Header names are lower case; `date` is the server's clock.

    `body` is parsed JSON, None where empty, a str where it is not JSON. `effect` is what is known of the request's
    effect, should the body turn out not to be what the vendor documents.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: object = field(repr=False)
    date: datetime | None = None
    effect: Effect = Effect.UNKNOWN

    def json_object(self) -> Mapping[str, object]:
        """The body as a JSON object; raises UnexpectedReply where it is none."""
        if isinstance(self.body, dict):
            return self.body
        raise UnexpectedReply(f"The reply with status {self.status} is no JSON object", effect=self.effect, status=self.status)


async def exchange(client: httpx.AsyncClient, request: httpx.Request, *, what: str, effect: Effect) -> Reply:
    """Send one request and read its whole reply; redirects are not followed.

    `what` names the request in messages ("HubSpot POST /crm/{id}"). `effect` is what is known once the request may have
    left: NONE for a request that only reads. Raises Unavailable, RequestRefused, UnexpectedReply.
    """
    try:
        async with asyncio.timeout(LONGEST_EXCHANGE.total_seconds()):
            response = await client.send(request, follow_redirects=False, auth=None)
    except _NOT_BUILT as error:
        raise refused(what, error) from None
    except _NOT_SENT as error:
        raise Unavailable(f"{what}: no connection ({_name(error)})", effect=Effect.NONE) from error
    except httpx.DecodingError as error:
        raise UnexpectedReply(f"{what}: the reply cannot be decoded", effect=effect) from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise Unavailable(f"{what}: the answer was lost ({_name(error)})", effect=effect) from error
    return _read(response, effect)


def build(client: httpx.AsyncClient, what: str, method: str, url: str, **parts: object) -> httpx.Request:
    """The request as httpx sends it; raises RequestRefused where URL, headers or parameters cannot be put on the wire."""
    try:
        request = client.build_request(method, url, **parts)  # type: ignore[arg-type]  # httpx names each part itself
    except (*_NOT_BUILT, ValueError) as error:
        raise refused(what, error) from None
    if any(_UNPRINTABLE.search(value) for value in request.headers.values()):
        raise refused(what, ValueError())
    return request


def refused(what: str, error: Exception) -> ConnectorError:
    """The request never left; the cause is named without its text, which may hold a token."""
    return RequestRefused(f"{what}: the request cannot be built ({_name(error)}); check base_url and credentials")


def retry_after(reply: Reply, now: datetime) -> timedelta | None:
    """How long the Retry-After header asks to stay away (seconds or an HTTP date); None where it says nothing usable."""
    text = reply.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until = http_date(text)
        if until is None:
            return None
        seconds = (until - (reply.date or now)).total_seconds()
    if not math.isfinite(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), LONGEST_RETRY_AFTER.total_seconds()))


def http_date(text: str) -> datetime | None:
    """An HTTP date as aware UTC, None where it is none."""
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def vendor_message(reply: Reply) -> str:
    """The vendor's own words in the usual places of an error body, scrubbed; "" where none are found."""
    for place in _error_objects(reply.body):
        for key in _MESSAGE_KEYS:
            text = place.get(key)
            if isinstance(text, str) and text:
                return scrub(text)
    return ""


def vendor_code(reply: Reply) -> str:
    """The vendor's own error code in the usual places of an error body; "" where none is found."""
    for place in _error_objects(reply.body):
        for key in _CODE_KEYS:
            code = place.get(key)
            if isinstance(code, int) and not isinstance(code, bool) and key != "status":
                return str(code)
            if isinstance(code, str) and code and code != "error":
                return scrub(code, 60)
    return ""


def _read(response: httpx.Response, effect: Effect) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    content = response.content
    body: object
    try:
        body = orjson.loads(content) if content.strip() else None
    except orjson.JSONDecodeError:
        body = content.decode("utf-8", errors="replace")
    known = Effect.NONE if response.is_client_error else effect
    return Reply(response.status_code, headers, body, http_date(headers.get("date", "")), known)


def _error_objects(body: object) -> list[Mapping[str, object]]:
    """The objects of an error body that may hold message and code, innermost first."""
    found: list[Mapping[str, object]] = []
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return found
    for key in ("error", "errors", "Errors", "OperationErrors"):
        inner = first.get(key)
        inner = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(inner, dict):
            found.append(inner)
    return [*found, first]


def _name(error: Exception) -> str:
    return type(error).__name__
