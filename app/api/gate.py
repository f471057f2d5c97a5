"""What every request passes first: its id, the key, the body's type and size, and the net for what we missed.

Which role a door needs stands beside it (`needs`), and whoever called is told to the door (`actor_of`).
"""

import re
import uuid
from collections.abc import Awaitable, Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.keys import Admission, Caller, KeyRole
from app.api.house import House
from app.api.problems import LONGEST_PATH, Problem, ProblemKind, answer, invalid
from app.config import Mistake
from app.telemetry.scrub import scrub

log = structlog.get_logger()

REQUEST_ID = "x-request-id"
KEYED = "/v1/"
CONTRACT = "/openapi.json"
METRICS = "/metrics"
LARGEST_BODY = 1 << 20
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_MENDS = {
    Admission.CLOSED: "No key is set, so that nobody is let in: set LEADLOOP_API_KEY and start again.",
    Admission.MISSING: "Send a key as `Authorization: Bearer ...`: the text of LEADLOOP_API_KEY, or one that was made by it.",
    Admission.WRONG: "The key is wrong: it is not the text of LEADLOOP_API_KEY of the running service, nor one that it made"
    " and that still holds.",
}


class Gate:
    """The outermost layer. A failure that nobody foresaw is logged and answered 500 without internals."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app = app
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        began = False

        async def send_with_id(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                self._count(scope, message["status"])
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                limited = await self._admit(scope, receive)
                await self._app(scope, limited, send_with_id)
            except Problem as problem:
                await answer(problem, request_id)(scope, receive, send_with_id)
            except Exception:
                log.exception("request.failed", method=scope["method"])
                if began:
                    raise
                unforeseen = Problem(ProblemKind.INTERNAL, "It is in the logs under this request id.")
                await answer(unforeseen, request_id)(scope, receive, send_with_id)

    def _is_keyed(self, path: str) -> bool:
        if path == METRICS:
            return not self._house.open().settings.metrics_open
        return path.startswith(KEYED) or path == CONTRACT

    def _count(self, scope: Scope, status: int) -> None:
        """By the template of the path that a door has: what was called may hold anything."""
        if self._house.services is not None:
            route = scope.get("route")
            self._house.services.metrics.on_answered(_method(scope), getattr(route, "path", "none"), status)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Judge the key and the body's type and announced size; what is received then ends at the largest body."""
        if "\0" in scope["path"]:
            raise Problem(ProblemKind.NOT_FOUND, "No door has this address; /openapi.json lists them.")
        if not self._is_keyed(str(scope["path"])):
            return receive
        headers = Headers(scope=scope)
        admitted = await self._house.open().keys().admit(headers.get("authorization"))
        if not isinstance(admitted, Caller):
            raise Problem(ProblemKind.UNAUTHORIZED, _MENDS[admitted], headers={"WWW-Authenticate": "Bearer"})
        scope["state"]["caller"] = admitted
        if scope["method"] in WITH_BODY and _has_body(headers):
            _check_type(headers)
            check_announced_size(headers)
        return limited_receive(receive)


def _method(scope: Scope) -> str:
    return str(scope["method"]) if scope["method"] in METHODS else "other"


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _has_body(headers: Headers) -> bool:
    """False where none is announced: some doors take none."""
    return headers.get("content-length", "0").strip() != "0" or "transfer-encoding" in headers


def _check_type(headers: Headers) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(ProblemKind.UNSUPPORTED_MEDIA_TYPE, "Send JSON with the header `Content-Type: application/json`.")


def check_announced_size(headers: Headers) -> None:
    """Problem where the body is announced as too large: nothing of it is read then."""
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > LARGEST_BODY:
        raise _too_large()


def limited_receive(receive: Receive) -> Receive:
    """`receive` that raises a Problem as soon as more than the largest body has come."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > LARGEST_BODY:
                raise _too_large()
        return message

    return limited


def _too_large() -> Problem:
    return Problem(ProblemKind.TOO_LARGE, f"A body may have at most {LARGEST_BODY} bytes; send it in parts.")


def needs(role: KeyRole) -> Callable[[Request], Awaitable[None]]:
    """A dependency of a door: the caller's key has at least this role. It is judged before the body is."""

    async def judge(request: Request) -> None:
        caller = caller_of(request)
        if not caller.role.may(role):
            detail = f"This key is a {caller.role}'s; the door needs a key of the role {role}, which an admin makes."
            raise Problem(ProblemKind.FORBIDDEN, detail)

    return judge


def caller_of(request: Request) -> Caller:
    """Whose key the gate let in."""
    caller = request.scope["state"]["caller"]
    assert isinstance(caller, Caller)  # noqa: S101 the gate put it there for every keyed door
    return caller


def actor_of(request: Request) -> str:
    """Who called, as the audit log names them."""
    return caller_of(request).name


async def no_query(request: Request) -> None:
    """A door without query parameters: one that is sent would be ignored, and `?dry_run=true` must not be."""
    if request.query_params:
        names = sorted(set(request.query_params))
        raise invalid(
            [Mistake(scrub(f"query.{name}")[:LONGEST_PATH], "this address takes no query parameters") for name in names]
        )
