"""The ASGI face of the simulated Conversions API."""

import json
from collections.abc import Callable
from datetime import datetime
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.simulators.clocked import Clock, http_date
from connectors.simulators.meta.errors import GraphError, Json, JsonObject, invalid
from connectors.simulators.meta.platform import MetaPlatform

_ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def create_meta(platform: MetaPlatform, clock: Clock) -> Starlette:
    """`POST /{version}/{dataset}/events`, `GET /{version}/{dataset}` and its quality report, of one platform on one clock."""

    async def send(request: Request) -> Response:
        raw = await request.body()

        def answer(now: datetime) -> JsonObject:
            body = _body(request, raw)
            platform.bodies.append((request.url.path, body))
            token = platform.admit(*_credentials(request, body), now)
            return platform.send(request.path_params["dataset"], body, token, now)

        return _serve(platform, clock(), request, "events", answer)

    async def describe(request: Request) -> Response:
        def answer(now: datetime) -> JsonObject:
            token = platform.admit(*_credentials(request, {}), now)
            named, fields = request.path_params["dataset"], request.query_params.get("fields", "")
            return (
                platform.ad_account.describe(named, fields)
                if named.startswith("act_")
                else platform.describe(named, fields, token)
            )

        return _serve(platform, clock(), request, "dataset", answer)

    async def quality(request: Request) -> Response:
        def answer(now: datetime) -> JsonObject:
            token = platform.admit(*_credentials(request, {}), now)
            return platform.quality(request.query_params.get("dataset_id", ""), token)

        return _serve(platform, clock(), request, "quality", answer)

    async def insights(request: Request) -> Response:
        def answer(now: datetime) -> JsonObject:
            platform.admit(*_credentials(request, {}), now)
            try:
                return platform.ad_account.insights(request.path_params["dataset"], dict(request.query_params), now)
            except (KeyError, ValueError, TypeError):
                raise invalid("Invalid parameter") from None

        return _serve(platform, clock(), request, "insights", answer)

    async def nowhere(request: Request) -> Response:
        def answer(_: datetime) -> JsonObject:
            raise GraphError("Unknown path components", 2500)

        return _serve(platform, clock(), request, "unknown", answer)

    return Starlette(
        routes=[
            Route("/{version}/{dataset}/events", send, methods=["POST"]),
            Route("/{version}/dataset_quality", quality, methods=["GET"]),
            Route("/{version}/{dataset}/insights", insights, methods=["GET"]),
            Route("/{version}/{dataset}", describe, methods=["GET"]),
            Route("/{path:path}", nowhere, methods=_ANY),
        ]
    )


def _serve(
    platform: MetaPlatform, now: datetime, request: Request, endpoint: str, answer: Callable[[datetime], JsonObject]
) -> Response:
    platform.calls[endpoint] += 1
    trace_id = platform.new_trace_id()
    try:
        _check_version(platform, request)
        told, status = answer(now), 200
        if endpoint == "events":
            told["fbtrace_id"] = trace_id
    except GraphError as error:
        told, status = error.as_json(trace_id), error.http_status
    used = platform.throttle.used_percent()
    headers = {
        "date": http_date(now),
        "x-fb-trace-id": trace_id,
        "x-app-usage": json.dumps({"call_count": used, "total_time": used // 2, "total_cputime": used // 2}),
        "x-business-use-case-usage": json.dumps(platform.usage(now)),
    }
    return JSONResponse(told, status_code=status, headers=headers)


def _check_version(platform: MetaPlatform, request: Request) -> None:
    version = request.path_params.get("version")
    if version is not None and version not in platform.versions:
        raise GraphError("Unknown path components: this version is not served", 2500)


def _body(request: Request, raw: bytes) -> JsonObject:
    """The parameters, from JSON or a form whose `data` is a JSON list."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media_type == "application/x-www-form-urlencoded":
            body: Json = {key: values[0] for key, values in parse_qs(raw.decode()).items()}
        else:
            body = json.loads(raw)
        if isinstance(body, dict) and isinstance(body.get("data"), str):
            body["data"] = json.loads(str(body["data"]))
    except ValueError:
        raise invalid("Invalid parameter: the body can't be read") from None
    if not isinstance(body, dict):
        raise invalid("Invalid parameter: the body is no object")
    return body


def _credentials(request: Request, body: JsonObject) -> tuple[str, str]:
    """Token and proof: the token as bearer header, query parameter or body parameter."""
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    query = request.query_params
    token = bearer.strip() if kind.lower() == "bearer" else query.get("access_token") or body.get("access_token") or ""
    proof = query.get("appsecret_proof") or body.get("appsecret_proof") or ""
    return str(token), str(proof)
