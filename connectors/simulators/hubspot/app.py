"""The ASGI app: which path leads to which endpoint, and the doors before it (version, token, limits, scopes)."""

import json
import random
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs, parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from connectors.simulators.clocked import Clock, DateHeader
from connectors.simulators.hubspot import metadata, objects, relations, writes
from connectors.simulators.hubspot.calls import Call, Endpoint
from connectors.simulators.hubspot.catalogue import (
    object_type_of,
    scopes_to_define,
    scopes_to_describe,
    scopes_to_read,
    scopes_to_write,
)
from connectors.simulators.hubspot.errors import Json, Refusal, invalid, missing_scopes, refusal, unknown_path
from connectors.simulators.hubspot.portal import Portal
from connectors.simulators.hubspot.search import Searcher

VERSIONS = frozenset({"2025-09", "2026-03", "2026-09"})
LONGEST_URL = 15_000

Reply = Callable[[Request], Awaitable[Response]]
Scopes = Callable[[list[str]], list[str]]  # names of object types -> scopes, all needed


@dataclass(frozen=True, slots=True)
class Door:
    """One endpoint: its dated path (with `{version}`), older paths that behave alike, and the scopes it takes."""

    name: str
    method: str
    paths: tuple[str, ...]
    endpoint: Endpoint
    scopes: Scopes = lambda _: []
    is_search: bool = False


def create_hubspot(portal: Portal, clock: Clock) -> Starlette:
    """The HubSpot API over a portal. Every reply's Date is the clock's (run uvicorn with `date_header=False`)."""
    gate = Gate(portal, clock)
    routes = [Route(path, gate.behind(door), methods=[door.method]) for door in _doors(portal) for path in door.paths]
    routes += [
        Route(path, gate.token, methods=["POST"]) for path in ("/oauth/v1/token", "/oauth/v3/token", "/oauth/{version}/token")
    ]
    app = Starlette(
        routes=routes, middleware=[Middleware(DateHeader, clock=clock)], exception_handlers={HTTPException: gate.lost}
    )
    app.router.redirect_slashes = False
    return app


class Gate:
    """What every call passes on its way to its endpoint, and how answers and refusals are written."""

    def __init__(self, portal: Portal, clock: Clock) -> None:
        self._portal = portal
        self._clock = clock
        self._random = random.Random(portal.portal_id)

    def behind(self, door: Door) -> Reply:
        """The route's handler for a door."""

        async def reply(request: Request) -> Response:
            headers: dict[str, str] = {}
            try:
                answer = door.endpoint(await self._admitted(door, request, headers))
            except Refusal as refused:
                return self._refused(refused, headers)
            return JSONResponse(answer.body, answer.status, headers)

        return reply

    async def token(self, request: Request) -> Response:
        """`POST /oauth/.../token`: needs no token; its form comes in the body only."""
        self._portal.requests["oauth_token"] += 1
        form = dict(parse_qsl((await request.body()).decode()))
        try:
            _check_version(request)
            if request.url.query:
                raise invalid("Parameters of this endpoint belong into the body")
            return JSONResponse(self._portal.access.refresh(form, self._clock()))
        except Refusal as refused:
            return self._refused(refused, {})

    async def lost(self, _: Request, error: Exception) -> Response:
        """A path or method that is not served."""
        if isinstance(error, HTTPException) and error.status_code == 405:
            return self._refused(refusal(405, "METHOD_NOT_ALLOWED", "HTTP 405 Method Not Allowed"), {})
        return self._refused(unknown_path(), {})

    async def _admitted(self, door: Door, request: Request, headers: dict[str, str]) -> Call:
        """The call, once every door let it through; `headers` is filled with what goes with any answer."""
        portal, now = self._portal, self._clock()
        types = _object_types(request)
        portal.requests[f"{door.name} {'/'.join(types)}".strip()] += 1
        _check_version(request)
        url = request.url.path + "?" + request.url.query
        if len(url) > LONGEST_URL:
            raise Refusal(414, "URI Too Long")
        caller = portal.access.caller(request.headers.get("authorization"), now)
        try:
            if portal.has_limits:
                portal.limits.admit(caller, now, is_search=door.is_search)
        finally:
            if not door.is_search:
                headers |= portal.limits.headers(caller, now)
        lacking = [scope for scope in door.scopes(types) if scope not in portal.granted]
        if lacking:
            raise missing_scopes(lacking)
        body = _json(await request.body()) if door.method in {"POST", "PATCH"} else None
        return Call(portal, now, request.path_params, parse_qs(request.url.query), body, url)

    def _refused(self, refused: Refusal, headers: dict[str, str]) -> Response:
        all_headers = {**headers, **refused.headers}
        if isinstance(refused.body, str):
            return PlainTextResponse(refused.body, refused.status, all_headers)
        correlation = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        body: Json = {**refused.body, "correlationId": correlation}
        return JSONResponse(body, refused.status, {**all_headers, "X-HubSpot-Correlation-Id": correlation})


def _doors(portal: Portal) -> Iterable[Door]:
    records = "/crm/objects/{version}/{object_type}", "/crm/v3/objects/{object_type}"
    links = "/crm/associations/{version}/{from_type}/{to_type}", "/crm/v4/associations/{from_type}/{to_type}"
    pipelines = "/crm/pipelines/{version}/{object_type}", "/crm/v3/pipelines/{object_type}"
    properties = "/crm/properties/{version}/{object_type}", "/crm/v3/properties/{object_type}"
    owners = "/crm/owners/{version}", "/crm/v3/owners"
    account = "/account-info/v3", "/account-info/{version}"

    def get(name: str, paths: tuple[str, ...], rest: str, endpoint: Endpoint, scopes: Scopes = lambda _: []) -> Door:
        return Door(name, "GET", tuple(path + rest for path in paths), endpoint, scopes)

    def post(name: str, paths: tuple[str, ...], rest: str, endpoint: Endpoint, scopes: Scopes = scopes_to_read) -> Door:
        return Door(name, "POST", tuple(path + rest for path in paths), endpoint, scopes, rest == "/search")

    def describe(types: list[str]) -> list[str]:
        return [scope for one in types for scope in scopes_to_describe(one)]

    def of_owners(_: list[str]) -> list[str]:
        return ["crm.objects.owners.read"]

    return (
        post("search", records, "/search", Searcher(portal)),
        post("batch_read", records, "/batch/read", objects.batch_read),
        post("batch_update", records, "/batch/update", writes.batch_update, scopes_to_write),
        Door("update", "PATCH", tuple(path + "/{record_id}" for path in records), writes.update_record, scopes_to_write),
        get("list", records, "", objects.list_records, scopes_to_read),
        get("get", records, "/{record_id}", objects.read_record, scopes_to_read),
        post("associations", links, "/batch/read", relations.batch_read),
        get("labels", links, "/labels", relations.labels, scopes_to_read),
        get(
            "associations_of",
            ("/crm/v4/objects/{object_type}/{record_id}/associations/{to_type}",),
            "",
            relations.read_one,
            scopes_to_read,
        ),
        get("pipelines", pipelines, "", metadata.pipelines, describe),
        get("pipeline", pipelines, "/{pipeline_id}", metadata.pipeline, describe),
        get("stages", pipelines, "/{pipeline_id}/stages", metadata.stages, describe),
        get("properties", properties, "", metadata.properties, describe),
        get("property", properties, "/{name}", metadata.property_, describe),
        post("create_property", properties, "", writes.create_property, scopes_to_define),
        post("create_group", properties, "/groups", writes.create_group, scopes_to_define),
        get("owners", owners, "", metadata.owners, of_owners),
        get("owners", owners, "/", metadata.owners, of_owners),
        get("account_details", account, "/details", metadata.account_details),
        get("api_usage", account, "/api-usage/daily/private-apps", metadata.api_usage),
    )


def _object_types(request: Request) -> list[str]:
    """The object types that a path names, by their plural where they are known."""
    segments = [request.path_params[name] for name in ("object_type", "from_type", "to_type") if name in request.path_params]
    kinds = [(object_type_of(segment), segment) for segment in segments]
    return [kind.name if kind else segment for kind, segment in kinds]


def _check_version(request: Request) -> None:
    if request.path_params.get("version", "2026-09") not in VERSIONS:
        raise unknown_path()


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        raise refusal(400, "VALIDATION_ERROR", "Invalid input JSON on line 1, column 1") from error
