"""HttpClient: reads are repeated, uploads are sent once; every reply is judged the same way for all vendors.

Vendors add their own reading of an error through `classify`. Tokens live in auth.py, the wire in reply.py.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import httpx
import orjson

from connectors.contract.errors import (
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
    UnexpectedReply,
)
from connectors.http.auth import Auth
from connectors.http.rate_limit import RateLimits
from connectors.http.reply import (
    READ_TIMEOUT,
    SEND_TIMEOUT,
    Reply,
    build,
    exchange,
    retry_after,
    vendor_code,
    vendor_message,
)
from connectors.http.retry import Clock, Sleep, retry_read

__all__ = ["Classify", "Clock", "Hooks", "HttpClient", "Params", "Reply", "RequestSeen", "Sleep", "path_template"]

# The vendor's own reading of a reply with status >= 400; None leaves it to the general reading.
Classify = Callable[[Reply], ConnectorError | None]
Params = Mapping[str, str | int | Sequence[str]]

_OUTCOMES: tuple[tuple[type[ConnectorError], str], ...] = (
    (AuthenticationFailed, "authentication_failed"),
    (RateLimited, "rate_limited"),
    (Unavailable, "unavailable"),
    (RequestRefused, "request_refused"),
    (UnexpectedReply, "unexpected_reply"),
)
_VERSION = re.compile(r"v\d+(\.\d+)*|\d{4}-\d{2}")


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One request, for metrics. `path` has its ids replaced by {id} and no query. `status` is None without a reply.

    `outcome`: ok, rejected (a 4xx handed to the vendor's code), authentication_failed, rate_limited, unavailable,
    request_refused, unexpected_reply.
    """

    vendor: str
    method: str
    path: str
    status: int | None
    outcome: str
    seconds: float
    budget: str


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who wants to hear of requests. A hook must not raise."""

    on_request: Callable[[RequestSeen], None] | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    params: Params | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    budget: str
    is_read: bool

    @property
    def effect(self) -> Effect:
        return Effect.NONE if self.is_read else Effect.UNKNOWN


class HttpClient:
    """One vendor account over HTTP. Holds no token: `auth` gives the headers of each request."""

    def __init__(  # noqa: PLR0913 each is a seam of its own
        self,
        client: httpx.AsyncClient,
        *,
        vendor: str,
        base_url: str | Callable[[], str],
        auth: Auth,
        classify: Classify | None = None,
        rate_limits: RateLimits | None = None,
        hooks: Hooks = Hooks(),
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        is_stale_token: Callable[[Reply], bool] | None = None,
        is_readers: Callable[[Reply], bool] | None = None,
    ) -> None:
        """`base_url` is asked for each request, after the token is known, where it is a function.

        `is_stale_token` names replies other than 401 that mean an expired token (none of them has any effect), `is_readers`
        refusals that concern single rows or targets, whatever their status: they are handed to the vendor's code.
        """
        self._client = client
        self._vendor = vendor
        self._base_url = base_url if callable(base_url) else lambda: base_url
        self._auth = auth
        self._classify = classify
        self._rate_limits = rate_limits
        self._hooks = hooks
        self._clock = clock
        self._sleep = sleep
        self._is_stale_token = is_stale_token
        self._is_readers = is_readers

    async def read(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        budget: str = "general",
    ) -> Reply:
        """Ask something that may safely be asked again: up to four tries within 60 s; raises the last error."""
        call = self._call(method, path, params=params, json=json, form=form, headers=headers, budget=budget)
        return await retry_read(lambda: self._try(call), clock=self._clock, sleep=self._sleep)

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        budget: str = "general",
    ) -> Reply:
        """Upload: one try, and a second one only where a refused token could be renewed."""
        call = self._call(method, path, params=params, json=json, form=None, headers=headers, budget=budget, is_read=False)
        return await self._try(call)

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Params | None,
        json: object,
        form: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        budget: str,
        is_read: bool = True,
    ) -> _Call:
        if not path.startswith("/"):
            raise ValueError("a path starts with a slash; the host is base_url's")
        all_headers = {"accept": "application/json", "user-agent": "leadloop"}
        content: bytes | None = None
        if json is not None:
            content = self._json(json, method, path)
            all_headers["content-type"] = "application/json"
        elif form is not None:
            content = str(httpx.QueryParams(form)).encode()
            all_headers["content-type"] = "application/x-www-form-urlencoded"
        all_headers.update({name.lower(): value for name, value in (headers or {}).items()})
        return _Call(method, path, params, all_headers, content, budget, is_read)

    def _json(self, json: object, method: str, path: str) -> bytes:
        try:
            return orjson.dumps(json)
        except orjson.JSONEncodeError:
            what = self._what(method, path)
            raise RequestRefused(f"{what}: the request cannot be written as JSON") from None

    async def _try(self, call: _Call) -> Reply:
        """One exchange, and a second one where the first found the token refused and the token could be renewed."""
        used = await self._auth.headers()
        reply, problem = await self._exchange(call, used)
        if self._is_token_refused(reply) and await self._auth.refresh(used):
            reply, problem = await self._exchange(call, await self._auth.headers())
        if problem is not None:
            raise problem
        return reply

    def _is_token_refused(self, reply: Reply) -> bool:
        if reply.status == httpx.codes.UNAUTHORIZED:
            return True
        return self._is_stale_token is not None and self._is_stale_token(reply)

    async def _exchange(self, call: _Call, auth_headers: Mapping[str, str]) -> tuple[Reply, ConnectorError | None]:
        """Send once and judge the reply; raises where there is no reply."""
        if self._rate_limits is not None:
            await self._rate_limits.acquire(call.budget)
        what = self._what(call.method, call.path)
        request = build(
            self._client,
            what,
            call.method,
            self._base_url().rstrip("/") + call.path,
            params=call.params,
            content=call.content,
            headers={**call.headers, **auth_headers},
            timeout=READ_TIMEOUT if call.is_read else SEND_TIMEOUT,
        )
        started = self._clock()
        try:
            reply = await exchange(self._client, request, what=what, effect=call.effect)
        except ConnectorError as error:
            self._tell(call, None, error, started)
            raise
        problem = self._judge(call, reply)
        self._tell(call, reply, problem, started)
        return reply, problem

    def _judge(self, call: _Call, reply: Reply) -> ConnectorError | None:
        """The error that this reply means, None where its reader shall have it."""
        if reply.status >= httpx.codes.BAD_REQUEST and self._classify is not None:
            error = self._classify(reply)
            if error is not None:
                return error
        if reply.status >= httpx.codes.BAD_REQUEST and self._is_readers is not None and self._is_readers(reply):
            return None
        words = vendor_message(reply)
        answer = f"{self._what(call.method, call.path)}: answered {reply.status}" + (f": {words}" if words else "")
        code = vendor_code(reply)
        match reply.status:
            case 401 | 403:
                mend = "check the connection's credentials and permissions"
                return AuthenticationFailed(f"{answer}; {mend}", code=code, status=reply.status)
            case 429:
                away = retry_after(reply, self._clock())
                return RateLimited(answer, retry_after=away, code=code, status=reply.status)
            case status if status == httpx.codes.REQUEST_TIMEOUT or status >= httpx.codes.INTERNAL_SERVER_ERROR:
                away = retry_after(reply, self._clock())
                return Unavailable(answer, effect=Effect.UNKNOWN, retry_after=away, code=code, status=status)
            case status if status < httpx.codes.OK or httpx.codes.MULTIPLE_CHOICES <= status < httpx.codes.BAD_REQUEST:
                return UnexpectedReply(f"{answer}, a redirect", effect=reply.effect, status=status)
            case status if status < httpx.codes.BAD_REQUEST and isinstance(reply.body, str):
                return UnexpectedReply(f"{answer} with a body that is no JSON", effect=reply.effect, status=status)
            case _:
                return None

    def _what(self, method: str, path: str) -> str:
        return f"{self._vendor} {method} {path_template(path)}"

    def _tell(self, call: _Call, reply: Reply | None, problem: ConnectorError | None, started: datetime) -> None:
        if self._hooks.on_request is None:
            return
        status = reply.status if reply else problem.status if problem else None
        seconds = (self._clock() - started).total_seconds()
        path = path_template(call.path)
        seen = RequestSeen(self._vendor, call.method, path, status, _outcome(status, problem), seconds, call.budget)
        self._hooks.on_request(seen)


def path_template(path: str) -> str:
    """The path without its query, each part that holds an id replaced by {id}; versions stay (v26.0, 2026-03)."""
    return "/".join(_without_id(part) for part in re.split(r"[?#]", path, maxsplit=1)[0].split("/"))


def _without_id(part: str) -> str:
    name, colon, action = part.partition(":")
    if _VERSION.fullmatch(part) or not re.search(r"[\d@%]", part):
        return part
    is_action = bool(colon) and re.search(r"[\d@%:]", action) is None
    if is_action and re.search(r"[\d@%]", name):
        return "{id}" + colon + action
    return "{id}"


def _outcome(status: int | None, problem: ConnectorError | None) -> str:
    for kind, outcome in _OUTCOMES:
        if isinstance(problem, kind):
            return outcome
    return "rejected" if status is not None and status >= httpx.codes.BAD_REQUEST else "ok"
