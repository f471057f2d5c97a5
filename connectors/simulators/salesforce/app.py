"""The ASGI app: the token endpoint, the gate before every call (versions, session, limits) and the way to endpoints."""

import base64
import binascii
import json
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.simulators.clocked import Clock, http_date
from connectors.simulators.salesforce import composite, objects, queries, writes
from connectors.simulators.salesforce.calls import Answer, Call
from connectors.simulators.salesforce.errors import Refusal, api_disabled, expired_session, not_found, refusal
from connectors.simulators.salesforce.queries import Locators, entity_of
from connectors.simulators.salesforce.records import USER_ID
from connectors.simulators.salesforce.sessions import SHARED_HOSTS

if TYPE_CHECKING:
    from connectors.simulators.salesforce.org import Org

LONGEST_URI = 16_384
RETIRED_BELOW = 31.0
_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE"]


def create_salesforce(org: "Org", clock: Clock) -> Starlette:
    """The Salesforce API over an org. Every reply's Date is the clock's (run uvicorn with `date_header=False`)."""
    gate = Gate(org, clock)
    routes = [
        Route("/services/oauth2/token", gate.token, methods=["POST"]),
        Route("/services/oauth2/userinfo", gate.user_info, methods=["GET"]),
        Route("/services/data{slash:path}", gate.data, methods=_METHODS),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


class Gate:
    """What every call passes on its way, and how answers and refusals are written."""

    def __init__(self, org: "Org", clock: Clock) -> None:
        self._org = org
        self._clock = clock
        self._router = Router(org.locators)

    async def token(self, request: Request) -> Response:
        """`POST /services/oauth2/token`: its form comes in the body, the client's keys perhaps by Basic."""
        self._org.requests["token"] += 1
        now, base_url = self._clock(), _base_url(request)
        try:
            form = dict(parse_qsl((await request.body()).decode()))
            reply = self._org.sessions.granted(form, _basic(request), base_url, now)
        except (Refusal, UnicodeDecodeError) as error:
            refused = error if isinstance(error, Refusal) else Refusal(400, {"error": "invalid_request"})
            return self._written(Answer(refused.body, refused.status), now)
        is_shared = urlsplit(base_url).hostname in SHARED_HOSTS
        instance_url = self._org.instance_url or (self._org.my_domain if is_shared else base_url)
        return self._written(Answer({**reply, "instance_url": instance_url}), now)

    async def user_info(self, request: Request) -> Response:
        """`GET /services/oauth2/userinfo`: who the session is and to which org it belongs."""
        self._org.requests["userinfo"] += 1
        now = self._clock()
        try:
            self._org.sessions.admit(request.headers.get("authorization"), now)
        except Refusal:
            return self._written(Answer({"error": "Bad_OAuth_Token"}, 403), now)
        about = {"user_id": USER_ID, "organization_id": self._org.org_id, "preferred_username": self._org.app.run_as}
        return self._written(Answer({**about, "zoneinfo": self._org.time_zone, "active": True}), now)

    async def data(self, request: Request) -> Response:
        """Everything under `/services/data`; the list of versions needs no session."""
        now = self._clock()
        path = [one for one in request.path_params["slash"].split("/") if one]
        if not path:
            self._org.requests["versions"] += 1
            return self._written(Answer([_version(one) for one in self._org.versions]), now)
        body = await request.body()
        try:
            answer = self._answered(request, path, body, now)
        except Refusal as refused:
            answer = Answer(refused.body, refused.status)
        headers = {**answer.headers, "Sforce-Limit-Info": self._org.limits.header(now)}
        return self._written(Answer(answer.body, answer.status, headers), now)

    def _answered(self, request: Request, path: list[str], body: bytes, now: datetime) -> Answer:
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = dict(parse_qsl(request.url.query, keep_blank_values=True))
        call = Call(self._org, now, request.method, path[0].removeprefix("v"), tuple(path[1:]), query, headers)
        self._org.requests[name_of(call)] += 1
        if len(str(request.url.path)) + len(request.url.query) > LONGEST_URI:
            raise refusal(414, "URI_TOO_LONG", "The URI is too long")
        self._check_version(path[0])
        if urlsplit(_base_url(request)).hostname in SHARED_HOSTS:
            raise expired_session()
        self._org.sessions.admit(headers.get("authorization"), now)
        if not self._org.is_api_enabled:
            raise api_disabled()
        self._org.limits.admit(now)
        self._org.settle(now)
        with_body = Call(self._org, now, call.method, call.version, call.path, query, headers, _json(body))
        return self._router.answer(with_body)

    def _check_version(self, segment: str) -> None:
        version = segment.removeprefix("v")
        if version in self._org.versions:
            return
        if version.replace(".", "", 1).isdigit() and float(version) < RETIRED_BELOW:
            raise refusal(410, "GONE", "This API version is retired.")
        raise not_found()

    def _written(self, answer: Answer, now: datetime) -> Response:
        headers = {**answer.headers, "Date": http_date(now)}
        if answer.body is None:
            return Response(status_code=answer.status, headers=headers)
        return JSONResponse(answer.body, answer.status, headers)


class Router:
    """From a path to its endpoint, for whole calls and for parts of composite ones."""

    def __init__(self, locators: Locators) -> None:
        self._locators = locators

    def answer(self, call: Call) -> Answer:
        """Answer, or raise a Refusal."""
        match call.method, call.path:
            case "POST", ("composite",):
                return composite.composite(call, self.part)
            case "POST", ("composite", "batch"):
                return composite.batch(call, self.part)
            case _:
                return self._single(call)

    def part(self, call: Call) -> Answer:
        """Answer a part of a composite call."""
        if call.version not in call.org.versions:
            raise not_found()
        if not call.is_trial or call.method == "GET":
            call.org.subrequests[name_of(call)] += 1
        return self._single(call)

    def _single(self, call: Call) -> Answer:
        match call.method, call.path:
            case "GET", ("query",) | ("tooling", "query"):
                return queries.run(call, self._locators, with_deleted=False)
            case "GET", ("queryAll",):
                return queries.run(call, self._locators, with_deleted=True)
            case "GET", ("query" | "queryAll", _):
                return queries.more(call, self._locators)
            case "PATCH", ("composite", "sobjects"):
                return writes.update_many(call)
            case "GET", ():
                return Answer({name: f"{call.root}/{name}" for name in ("sobjects", "query", "queryAll", "limits", "composite")})
            case "GET", ("limits",):
                return objects.limits(call)
            case "GET", ("ui-api", "object-info", _, "picklist-values", _, _):
                return objects.picklist_values(call)
            case _, ("sobjects", *rest):
                return _of_object(call, rest)
            case _, ("query" | "queryAll" | "limits", *_):
                raise refusal(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed. Allowed are GET")
            case _:
                raise not_found()


def _of_object(call: Call, rest: list[str]) -> Answer:
    match call.method, rest:
        case "GET", []:
            return objects.list_objects(call)
        case "GET", [_, "describe"]:
            return objects.describe(call)
        case "GET", [_, "updated"]:
            return objects.updated(call)
        case "GET", [_, "deleted"]:
            return objects.deleted(call)
        case "GET", [_, _]:
            return objects.read_record(call)
        case "PATCH", [_, _]:
            return writes.update(call)
        case "POST", [_]:
            return writes.create(call)
        case _:
            raise refusal(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed")


def name_of(call: Call) -> str:
    """How a call is counted: "query Lead", "query_more", "describe Lead", "update Lead", "composite", "limits" ..."""
    match call.path:
        case ("query" | "queryAll",):
            return f"{call.path[0]} {entity_of(call.query.get('q', ''))}".strip()
        case ("query" | "queryAll", _):
            return "query_more"
        case ("tooling", "query"):
            return f"tooling {entity_of(call.query.get('q', ''))}".strip()
        case ("composite", "batch"):
            return "composite_batch"
        case ("composite", "sobjects"):
            return "update_many"
        case ("sobjects", name, "describe" | "updated" | "deleted" as what):
            return f"{what} {name}"
        case ("sobjects", name, *_):
            return f"{ {'GET': 'get', 'PATCH': 'update', 'POST': 'create'}.get(call.method, call.method) } {name}"
        case ("ui-api", *_):
            return "picklist_values"
        case _:
            return call.path[0] if call.path else "resources"


def _version(version: str) -> dict[str, str]:
    labels = {"65.0": "Winter '26", "66.0": "Spring '26", "67.0": "Summer '26", "68.0": "Winter '27"}
    return {"label": labels.get(version, version), "url": f"/services/data/v{version}", "version": version}


def _base_url(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret


def _json(body: bytes) -> object:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError as error:
        raise refusal(400, "JSON_PARSER_ERROR", "The HTTP entity body is not valid JSON") from error
