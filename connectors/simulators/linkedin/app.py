"""The ASGI face of the simulated LinkedIn."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.simulators.clocked import Clock, http_date
from connectors.simulators.linkedin import events, reports
from connectors.simulators.linkedin.errors import ApiError
from connectors.simulators.linkedin.platform import LinkedInPlatform

Answer = tuple[int, Any, dict[str, str]]
_RULE_FIELDS = frozenset(
    [
        "name",
        "account",
        "conversionMethod",
        "type",
        "postClickAttributionWindowSize",
        "viewThroughAttributionWindowSize",
        "attributionType",
        "enabled",
    ]
)


def create_linkedin(platform: LinkedInPlatform, clock: Clock) -> Starlette:
    """The token endpoint and `/rest/...` of one platform on one clock."""

    async def token(request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        try:
            return JSONResponse(platform.grant(form, clock()))
        except ApiError as error:
            return JSONResponse({"error": error.code, "error_description": error.message}, error.status)

    def door(name: str, answer: Callable[[Request, Any, datetime], Answer]) -> Callable[[Request], Any]:
        async def serve(request: Request) -> Response:
            now = clock()
            platform.calls[name] += 1
            try:
                body = await request.json() if await request.body() else None
                _admit(platform, request, now)
                status, told, headers = answer(request, body, now)
            except ApiError as error:
                status, told, headers = error.status, error.body(), error.headers
            except ValueError:
                status, told, headers = 400, {"status": 400, "message": "The body cannot be read"}, {}
            headers = {**headers, "date": http_date(now), "x-li-uuid": f"uuid-{platform.calls.total()}"}
            return Response(status_code=status, headers=headers) if told is None else JSONResponse(told, status, headers)

        return serve

    def send(request: Request, body: Any, now: datetime) -> Answer:
        platform.bodies.append((request.url.path, body if isinstance(body, dict) else {}))
        return _send(platform, request, body, now)

    def rules(request: Request, body: Any, _: datetime) -> Answer:
        return _create_rule(platform, body) if request.method == "POST" else (200, reports.rules(platform, _query(request)), {})

    def rule(request: Request, body: Any, _: datetime) -> Answer:
        return _rule(platform, request, body)

    return Starlette(
        routes=[
            Route("/oauth/v2/accessToken", token, methods=["POST"]),
            Route("/rest/conversionEvents", door("events", send), methods=["POST"]),
            Route("/rest/conversions", door("rules", rules), methods=["GET", "POST"]),
            Route("/rest/conversions/{rule}", door("rule", rule), methods=["GET", "POST"]),
            Route("/rest/adAccounts", door("accounts", lambda q, _b, _n: (200, reports.accounts(platform, _query(q)), {}))),
            Route(
                "/rest/adAccounts/{account}/adCampaigns",
                door("campaigns", lambda q, _b, _n: (200, reports.campaigns(platform, _query(q)), {})),
            ),
            Route("/rest/adAnalytics", door("analytics", lambda q, _b, _n: (200, reports.analytics(platform, _query(q)), {}))),
        ]
    )


def _admit(platform: LinkedInPlatform, request: Request, now: datetime) -> None:
    version = request.headers.get("linkedin-version")
    if version is None:
        raise ApiError(400, "A version must be present", "VERSION_MISSING", headers={"X-Restli-Gateway-Error": "true"})
    if version not in platform.versions:
        raise ApiError(426, f"Requested version {version} is not active", "NONEXISTENT_VERSION")
    if request.headers.get("x-restli-protocol-version") != "2.0.0":
        raise ApiError(400, "Rest.li protocol version 2.0.0 is needed")
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    platform.admit(bearer.strip() if kind.lower() == "bearer" else "", now)


def _send(platform: LinkedInPlatform, request: Request, body: Any, now: datetime) -> Answer:
    is_batch = request.headers.get("x-restli-method", "").upper() == "BATCH_CREATE"
    if is_batch and not (isinstance(body, dict) and set(body) == {"elements"} and isinstance(body["elements"], list)):
        raise ApiError(400, "A batch holds elements")
    rows = body["elements"] if is_batch else [body]
    for row in rows:
        error = platform.plain_faults.get(str(row.get("eventId", "")) if isinstance(row, dict) else "")
        if error is not None:
            raise error
    taken = events.take(platform, rows, now)
    for one in taken:
        platform.ledger.take(one)
    if not is_batch:
        return 201, None, {}
    return 200, {"elements": [{"status": 201} for _ in taken]}, {}


def _create_rule(platform: LinkedInPlatform, body: Any) -> Answer:
    if not isinstance(body, dict) or body.get("account") != platform.urn or not body.get("name"):
        raise ApiError(400, "A rule needs a name and an account of yours")
    unknown = sorted(set(body) - _RULE_FIELDS)
    if unknown:
        raise ApiError(422, f"ERROR :: /{unknown[0]} :: unrecognized field found but not allowed\n")
    windows = {1, 7, 30, 90} | ({365} if body["type"] in {"PURCHASE", "LEAD", "QUALIFIED_LEAD", "ADD_TO_CART"} else set())
    if body.get("postClickAttributionWindowSize", 30) not in windows:
        raise ApiError(422, "ERROR :: /postClickAttributionWindowSize :: is not allowed for this type\n")
    rule = str(max([*map(int, platform.rules), 7712000]) + 1)
    platform.add_rule(rule, body["name"], method=body["conversionMethod"], kind=body["type"])
    platform.rules[rule].update(body)
    return 201, {"id": int(rule)}, {"x-restli-id": rule}


def _rule(platform: LinkedInPlatform, request: Request, body: Any) -> Answer:
    rule = platform.rules.get(request.path_params["rule"])
    if rule is None or _query(request).get("account") != platform.urn:
        raise ApiError(404, "Could not find the conversion")
    if request.method == "GET":
        return 200, rule, {}
    if request.headers.get("x-restli-method", "").upper() != "PARTIAL_UPDATE":
        raise ApiError(400, "PARTIAL_UPDATE is needed")
    changes = body["patch"]["$set"]
    if not set(changes) <= _RULE_FIELDS:
        raise ApiError(422, "ERROR :: /patch :: unrecognized field found but not allowed\n")
    rule.update(changes)
    return 204, None, {}


def _query(request: Request) -> dict[str, str]:
    """Names and raw values, unescaped once after they were told apart: a URN's colons must come escaped."""
    pairs = (part.partition("=") for part in request.url.query.split("&") if part)
    return {name: value if re.match(r"\(|List\(", value) else unquote(value) for name, _, value in pairs}
