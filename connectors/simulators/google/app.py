"""The ASGI face of the simulated Data Manager API and token endpoint."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.simulators.clocked import Clock, DateHeader
from connectors.simulators.google.ads_app import ads_routes
from connectors.simulators.google.oauth import DATA_MANAGER_SCOPE, AccessToken, OAuthRefusal
from connectors.simulators.google.platform import GooglePlatform
from connectors.simulators.google.refusals import DOMAIN, Json, JsonObject, Refusal, Violation, denied, invalid, unauthenticated
from connectors.simulators.google.schema import NotJson, read_json

_METHOD = "google.ads.datamanager.v1.IngestionService"


class Endpoint(StrEnum):
    """The keys of `GooglePlatform.calls`."""

    INGEST = "events:ingest"
    STATUS = "requestStatus:retrieve"
    TOKEN = "token"


def create_google(platform: GooglePlatform, clock: Clock) -> Starlette:
    """The Data Manager API and `/token` of one platform on one clock."""

    async def ingest(request: Request) -> Response:
        raw = await request.body()

        def answer(request_id: str, token: AccessToken, now: datetime) -> JsonObject:
            body = _json_body(request, raw)
            if isinstance(body, dict) and not body.get("validateOnly"):
                platform.bodies.append((request.url.path, body))
            return platform.ingest(body, token, request_id, now)

        return _serve(platform, clock(), request, Endpoint.INGEST, answer)

    async def status(request: Request) -> Response:
        def answer(_: str, token: AccessToken, now: datetime) -> JsonObject:
            unknown = sorted(set(request.query_params) - {"requestId"})
            if unknown:
                text = f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot bind query parameter.'
                raise invalid(Violation("", text, "INVALID_ARGUMENT"))
            return platform.status(request.query_params.get("requestId", ""), token, now)

        return _serve(platform, clock(), request, Endpoint.STATUS, answer)

    async def token(request: Request) -> Response:
        platform.calls[Endpoint.TOKEN] += 1
        return _token(platform, await request.body(), clock())

    routes = [
        Route("/v1/events:ingest", ingest, methods=["POST"]),
        Route("/v1/requestStatus:retrieve", status, methods=["GET"]),
        Route("/token", token, methods=["POST"]),
        *ads_routes(platform, clock),
    ]
    return Starlette(routes=routes, middleware=[Middleware(DateHeader, clock=clock)])


def _serve(
    platform: GooglePlatform,
    now: datetime,
    request: Request,
    endpoint: Endpoint,
    answer: Callable[[str, AccessToken, datetime], JsonObject],
) -> Response:
    platform.calls[endpoint] += 1
    request_id = platform.new_request_id()
    try:
        token = _admit(platform, request, now)
        return JSONResponse(answer(request_id, token, now))
    except Refusal as refusal:
        wait = refusal.retry_after_seconds
        headers = {"retry-after": str(wait)} if wait is not None else {}
        if refusal.http_status == 401:
            headers["www-authenticate"] = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
        body = refusal.as_json(request_id, platform.behaviour.path_style)
        return JSONResponse(body, status_code=refusal.http_status, headers=headers)


def _admit(platform: GooglePlatform, request: Request, now: datetime) -> AccessToken:
    """The caller's token, or why this call is not even looked at."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not value:
        raise unauthenticated("CREDENTIALS_MISSING")
    token = platform.desk.find(value.strip(), now)
    if token is None:
        raise unauthenticated("ACCESS_TOKEN_EXPIRED")
    if not platform.behaviour.is_service_enabled:
        activation = f"https://console.developers.google.com/apis/api/{DOMAIN}/overview?project=1"
        message = "Data Manager API has not been used in project 1 before or it is disabled."
        raise denied(message, "SERVICE_DISABLED", service=DOMAIN, activationUrl=activation)
    if DATA_MANAGER_SCOPE not in token.scopes:
        message = "Request had insufficient authentication scopes."
        raise denied(message, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", service=DOMAIN, method=_METHOD)
    platform.quota.spend(now)
    return token


def _json_body(request: Request, raw: bytes) -> Json:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media_type == "application/json":
            return read_json(raw)
    except NotJson:
        pass
    raise Refusal(400, "INVALID_ARGUMENT", "Invalid JSON payload received.", "INVALID_ARGUMENT")


def _token(platform: GooglePlatform, raw: bytes, now: datetime) -> Response:
    form = {key: values[0] for key, values in parse_qs(raw.decode(errors="replace")).items()}
    try:
        return JSONResponse(platform.desk.exchange(form, now))
    except OAuthRefusal as refusal:
        body = {"error": refusal.error, "error_description": refusal.description}
        return JSONResponse(body, status_code=refusal.http_status)
