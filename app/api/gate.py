"""What every request passes first: its id, the key for /v1, the type and size of its body, and the net for what we missed."""

import re
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.keys import AdminKey, Admission
from app.api.house import House
from app.api.problems import LONGEST_PATH, Problem, ProblemKind, answer, invalid
from app.config import Mistake
from app.telemetry.scrub import scrub

log = structlog.get_logger()

REQUEST_ID = "x-request-id"
KEYED = "/v1/"
LARGEST_BODY = 1 << 20
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_MENDS = {
    Admission.CLOSED: "No key is set, so that nobody is let in: set LEADLOOP_API_KEY and start again.",
    Admission.MISSING: "Send the key as `Authorization: Bearer ...`; it is the text of LEADLOOP_API_KEY.",
    Admission.WRONG: "The key is wrong: it must be the text of LEADLOOP_API_KEY of the running service.",
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
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                limited = self._admit(scope, receive)
                await self._app(scope, limited, send_with_id)
            except Problem as problem:
                await answer(problem, request_id)(scope, receive, send_with_id)
            except Exception:
                log.exception("request.failed", method=scope["method"])
                if began:
                    raise
                unforeseen = Problem(ProblemKind.INTERNAL, "It is in the logs under this request id.")
                await answer(unforeseen, request_id)(scope, receive, send_with_id)

    def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Judge the key and the body's type and announced size; what is received then ends at the largest body."""
        if "\0" in scope["path"]:
            raise Problem(ProblemKind.NOT_FOUND, "No door has this address; /openapi.json lists them.")
        if not str(scope["path"]).startswith(KEYED):
            return receive
        headers = Headers(scope=scope)
        key = self._house.open().settings.api_key
        admission = AdminKey(None if key is None else key.get_secret_value()).admit(headers.get("authorization"))
        if admission is not Admission.ADMIN:
            raise Problem(ProblemKind.UNAUTHORIZED, _MENDS[admission], headers={"WWW-Authenticate": "Bearer"})
        if scope["method"] in WITH_BODY:
            _check_type(headers)
            check_announced_size(headers)
        return limited_receive(receive)


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


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


async def no_query(request: Request) -> None:
    """A door without query parameters: one that is sent would be ignored, and `?dry_run=true` must not be."""
    if request.query_params:
        names = sorted(set(request.query_params))
        raise invalid(
            [Mistake(scrub(f"query.{name}")[:LONGEST_PATH], "this address takes no query parameters") for name in names]
        )
