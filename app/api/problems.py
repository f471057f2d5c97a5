"""Errors as `application/problem+json` (RFC 9457): one list of kinds, one shape, no internals and no value that was sent."""

import re
from collections.abc import Mapping, Sequence
from enum import Enum

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from app.config import Mistake, nearest
from app.reports.cursors import CursorInvalid
from app.telemetry.scrub import scrub

MEDIA_TYPE = "application/problem+json"
LONGEST_PATH = 100
_QUOTED = re.compile(r"'([^']*)'")


class ProblemKind(Enum):
    """Stable type, HTTP status and title."""

    UNAUTHORIZED = ("unauthorized", 401, "A key is needed")
    FORBIDDEN = ("forbidden", 403, "The key may not do this")
    WEBHOOK_REFUSED = ("webhook-refused", 401, "The webhook is not believed")
    WEBHOOK_FOREIGN = ("webhook-foreign", 403, "The webhook is of another account")
    NOT_FOUND = ("not-found", 404, "There is nothing here")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The method does not fit this address")
    PRECONDITION_FAILED = ("precondition-failed", 412, "It has changed meanwhile")
    PRECONDITION_REQUIRED = ("precondition-required", 428, "Say what you have seen")
    CONFLICT = ("conflict", 409, "It cannot be done as things stand")
    AMBIGUOUS = ("ambiguous", 409, "More than one fits")
    TOO_LARGE = ("too-large", 413, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "The body's type is not taken")
    MALFORMED = ("malformed", 400, "The body cannot be read")
    INVALID = ("invalid", 422, "The request is not valid")
    INTERNAL = ("internal", 500, "Something went wrong on our side")
    UPSTREAM = ("upstream", 502, "A vendor did not answer as it should")
    NOT_READY = ("not-ready", 503, "The service is not ready")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.type = f"/problems/{slug}"
        self.status = status
        self.title = title


class Problem(Exception):
    """An answer other than success; `detail` says what, which, and what to do."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        faults: Sequence[Mistake] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = dict(headers or {})


class FaultBody(BaseModel):
    """One thing that is wrong with the request."""

    path: str = Field(description="Where: `query.limit`, `body.filter.state`")
    message: str = Field(description="What is wrong and what to do")
    nearest: str | None = Field(default=None, description="What was probably meant")


class ProblemBody(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "/problems/invalid",
                "title": "The request is not valid",
                "status": 422,
                "detail": "1 mistake, see `errors`.",
                "request_id": "5f0c0a5be9de4dd4",
                "errors": [{"path": "query.state", "message": "Input should be 'rejected' ...", "nearest": "rejected"}],
            }
        }
    )

    type: str = Field(description="A stable, relative URI")
    title: str
    status: int
    detail: str
    request_id: str | None = Field(default=None, description="As in the header X-Request-Id and in the logs")
    errors: list[FaultBody] | None = None


def invalid(mistakes: Sequence[Mistake], place: str = "") -> Problem:
    """A request with mistakes; `place` is put before each path."""
    many = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    faults = [Mistake(".".join(part for part in (place, one.path) if part), one.message, one.nearest) for one in mistakes]
    return Problem(ProblemKind.INVALID, f"{many}, see `errors`.", faults)


def sentence(error: Exception) -> str:
    """What an error of ours says, as the detail of a problem."""
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def responses(*kinds: ProblemKind) -> dict[int | str, dict[str, object]]:
    """The OpenAPI responses of these problems."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemBody"}}
    return {kind.status: {"description": kind.title, "content": {MEDIA_TYPE: schema}} for kind in kinds}


OF_A_BODY = (ProblemKind.INVALID, ProblemKind.MALFORMED, ProblemKind.TOO_LARGE, ProblemKind.UNSUPPORTED_MEDIA_TYPE)
# Of a door without a body: one that is sent all the same is judged by the gate.
OF_NO_BODY = (ProblemKind.INVALID, ProblemKind.TOO_LARGE, ProblemKind.UNSUPPORTED_MEDIA_TYPE)


def answer(problem: Problem, request_id: str | None) -> Response:
    """The problem as a response."""
    body: dict[str, object] = {
        "type": problem.kind.type,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "request_id": request_id,
    }
    if problem.faults:
        body["errors"] = [
            {"path": fault.path, "message": fault.message} | ({"nearest": fault.nearest} if fault.nearest else {})
            for fault in problem.faults
        ]
    return Response(orjson.dumps(body), problem.kind.status, media_type=MEDIA_TYPE, headers=problem.headers)


def add_handlers(app: FastAPI, known_names: Sequence[str]) -> None:
    """Have every refusal of FastAPI and of the doors answered as a problem; `known_names` are meant by misspelt ones."""

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101 it is registered for this type
        return answer(error, request_id_of(request))

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 it is registered for this type
        return answer(_invalid(error, known_names), request_id_of(request))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 it is registered for this type
        problem = _http(error)
        if problem.kind is ProblemKind.METHOD_NOT_ALLOWED:
            problem.headers["Allow"] = ", ".join(_methods_here(app, request))
        return answer(problem, request_id_of(request))

    async def on_cursor(request: Request, _error: Exception) -> Response:
        fault = Mistake("cursor", "is none of this list; take it from `next` of the page before, with the same filters")
        return answer(invalid([fault]), request_id_of(request))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(CursorInvalid, on_cursor)


def request_id_of(request: Request) -> str | None:
    """The id that the outermost layer gave to a request."""
    found = request.scope.get("state", {}).get("request_id")
    return None if found is None else str(found)


def _methods_here(app: FastAPI, request: Request) -> Sequence[str]:
    """What all doors of this address take: the router itself names only those of the first."""
    here = [route for route in app.routes if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in here for method in route.methods or ()})


def _http(error: HTTPException) -> Problem:
    if isinstance(error.__cause__, Problem):
        return error.__cause__  # raised while the body was read, and wrapped by FastAPI
    by_status = {404: ProblemKind.NOT_FOUND, 405: ProblemKind.METHOD_NOT_ALLOWED, 400: ProblemKind.MALFORMED}
    kind = by_status.get(error.status_code, ProblemKind.INTERNAL)
    detail = {
        ProblemKind.NOT_FOUND: "No door has this address; /openapi.json lists them.",
        ProblemKind.METHOD_NOT_ALLOWED: "Another method is wanted here; see the header Allow.",
        ProblemKind.MALFORMED: "The body cannot be read as JSON in UTF-8.",
    }.get(kind, "The request could not be answered.")
    return Problem(kind, detail, headers=error.headers)


def _invalid(error: RequestValidationError, known_names: Sequence[str]) -> Problem:
    malformed = next((one for one in error.errors() if one["type"] == "json_invalid"), None)
    if malformed is not None:
        place = malformed["loc"][-1]
        return Problem(ProblemKind.MALFORMED, f"The body is no JSON: it breaks off at character {place}.")
    return invalid([_fault(one, known_names) for one in error.errors()])


def _fault(error: Mapping[str, object], known_names: Sequence[str]) -> Mistake:
    """The place and the message, without the value that was sent: it may be somebody's e-mail."""
    places = error["loc"] if isinstance(error["loc"], tuple) else ()
    path = scrub(".".join(str(place) for place in places))[:LONGEST_PATH]
    given = error.get("input")
    if error["type"] == "extra_forbidden":
        return Mistake(path, "is not known here", nearest(str(places[-1]), known_names) if places else None)
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in ("enum", "literal_error") and isinstance(given, str):
        return Mistake(path, message, nearest(given, _QUOTED.findall(message)))
    return Mistake(path, message)
