"""The ASGI app: which path leads to which endpoint, and the doors before it (token, payment, limits, scopes)."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from connectors.simulators.clocked import Clock, DateHeader
from connectors.simulators.pipedrive import history, hooks, leads, metadata, objects
from connectors.simulators.pipedrive.calls import Call, Endpoint
from connectors.simulators.pipedrive.company import Company
from connectors.simulators.pipedrive.errors import Json, Refusal, bad_request, out_of_support, refusal, scope_missing, unpaid

Reply = Callable[[Request], Awaitable[Response]]

V1 = ("/api/v1", "/v1")
V2 = ("/api/v2",)
_DEALS = ("deals:read", "deals:full")
_CONTACTS = ("contacts:read", "contacts:full")
_LEADS = ("leads:read", "leads:full")
_SETUP = (*_DEALS, "admin")
_DEAL_FIELDS = (*_SETUP, "deal-fields:full")
_CONTACT_FIELDS = (*_CONTACTS, "admin", "contact-fields:full")


@dataclass(frozen=True, slots=True)
class Door:
    """One endpoint: its cost in tokens and the scopes of which an OAuth token needs one (x-token-cost and security, OpenAPI)."""

    method: str
    version: tuple[str, ...]
    path: str
    cost: int
    scopes: tuple[str, ...]
    endpoint: Endpoint

    @property
    def name(self) -> str:
        """Its name in counters, for instance "GET v2/deals/{id}"."""
        return f"{self.method} {self.version[0].removeprefix('/api/')}{self.path}"


DOORS = (
    Door("GET", V2, "/deals", 10, _DEALS, objects.deals),
    Door("GET", V2, "/deals/archived", 20, _DEALS, objects.archived_deals),
    Door("GET", V2, "/deals/{id}", 1, _DEALS, objects.deal),
    Door("PATCH", V2, "/deals/{id}", 5, ("deals:full",), objects.patch_deal),
    Door("GET", V2, "/persons", 10, _CONTACTS, objects.persons),
    Door("GET", V2, "/persons/{id}", 1, _CONTACTS, objects.person),
    Door("PATCH", V2, "/persons/{id}", 5, ("contacts:full",), objects.patch_person),
    Door("GET", V2, "/organizations", 10, _CONTACTS, objects.organizations),
    Door("GET", V2, "/organizations/{id}", 1, _CONTACTS, objects.organization),
    Door("GET", V2, "/pipelines", 5, _SETUP, metadata.pipelines),
    Door("GET", V2, "/stages", 5, _SETUP, metadata.stages),
    Door("GET", V2, "/dealFields", 10, _DEAL_FIELDS, metadata.deal_fields),
    Door("POST", V2, "/dealFields", 5, ("admin", "deal-fields:full"), metadata.create_deal_field),
    Door("GET", V2, "/personFields", 10, _CONTACT_FIELDS, metadata.person_fields),
    Door("POST", V2, "/personFields", 5, ("admin", "contact-fields:full"), metadata.create_person_field),
    Door("GET", V2, "/organizationFields", 10, _CONTACT_FIELDS, metadata.organization_fields),
    Door("POST", V2, "/leads/{id}/convert/deal", 40, ("leads:full",), leads.convert),
    Door("GET", V2, "/leads/{id}/convert/status/{conversion_id}", 1, _LEADS, leads.conversion),
    Door("GET", V1, "/leads", 20, _LEADS, leads.leads),
    Door("GET", V1, "/leads/archived", 40, _LEADS, leads.archived_leads),
    Door("GET", V1, "/leads/{id}", 2, _LEADS, leads.lead),
    Door("PATCH", V1, "/leads/{id}", 10, ("leads:full",), leads.patch_lead),
    Door("GET", V1, "/leadFields", 20, (*_LEADS, "admin"), leads.lead_fields),
    Door("GET", V1, "/leadLabels", 10, _LEADS, leads.lead_labels),
    Door("GET", V1, "/leadSources", 2, _LEADS, leads.lead_sources),
    Door("GET", V1, "/webhooks", 10, ("admin",), hooks.webhooks),
    Door("POST", V1, "/webhooks", 10, ("admin",), hooks.create_webhook),
    Door("DELETE", V1, "/webhooks/{id}", 6, ("admin",), hooks.delete_webhook),
    Door("GET", V1, "/users/me", 2, ("base",), metadata.me),
    Door("GET", V1, "/users", 20, ("users:read",), metadata.users),
    Door("GET", V1, "/currencies", 20, ("base",), metadata.currencies),
    Door("GET", V1, "/deals/{id}/changelog", 20, ("recents:read",), history.deal_changelog),
    Door("GET", V1, "/persons/{id}/changelog", 20, ("recents:read",), history.person_changelog),
    Door("GET", V1, "/deals/{id}/participants", 10, _DEALS, history.participants),
)
# v1 twins of v2 endpoints (out of support since 2026-08-01), and recents, on which nobody may build.
RETIRED = [
    "deals",
    "deals/archived",
    "deals/{id}",
    "persons",
    "persons/{id}",
    "organizations",
    "organizations/{id}",
    "pipelines",
    "pipelines/{id}",
    "pipelines/{id}/deals",
    "stages",
    "stages/{id}",
    "stages/{id}/deals",
    "recents",
]


def create_pipedrive(company: Company, clock: Clock) -> Starlette:
    """The Pipedrive API over a company. Every reply's Date is the clock's (run uvicorn with `date_header=False`)."""
    gate = Gate(company, clock)
    routes = [Route(root + door.path, gate.behind(door), methods=[door.method]) for door in DOORS for root in door.version]
    routes += [Route(f"{root}/{path}", gate.retired) for path in RETIRED for root in V1]
    routes += [Route(path, gate.token, methods=["POST"]) for path in ("/oauth/token", "/oauth/token/")]
    routes += [Route("/oauth/revoke", gate.revoke, methods=["POST"])]
    app = Starlette(
        routes=routes, middleware=[Middleware(DateHeader, clock=clock)], exception_handlers={HTTPException: gate.lost}
    )
    app.router.redirect_slashes = False
    return app


class Gate:
    """What every call passes on its way to its endpoint, and how answers and refusals are written."""

    def __init__(self, company: Company, clock: Clock) -> None:
        self._company = company
        self._clock = clock

    def behind(self, door: Door) -> Reply:
        """The route's handler for a door."""

        async def reply(request: Request) -> Response:
            headers: dict[str, str] = {}
            try:
                answer = door.endpoint(await self._admitted(door, request, headers))
            except Refusal as refused:
                return self._refused(refused, headers)
            body = answer.body if self._company.shows_nulls else _without_nulls(answer.body)
            return JSONResponse(body, answer.status, headers)

        return reply

    async def token(self, request: Request) -> Response:
        """`POST /oauth/token`: the client by Basic, the grant by form."""
        return await self._oauth(
            "POST oauth/token", request, lambda form, login: self._company.access.granted(form, login, self._clock())
        )

    async def revoke(self, request: Request) -> Response:
        """`POST /oauth/revoke`."""
        return await self._oauth("POST oauth/revoke", request, self._company.access.revoked)

    async def retired(self, request: Request) -> Response:
        """A v1 endpoint that is out of support."""
        self._company.requests[f"{request.method} retired {request.url.path}"] += 1
        return self._refused(out_of_support(request.url.path), {})

    async def lost(self, _: Request, error: Exception) -> Response:
        """A path or method that is not served."""
        if isinstance(error, HTTPException) and error.status_code == 405:
            return self._refused(refusal(405, "Method not allowed"), {})
        return self._refused(refusal(404, "Unknown method ."), {})

    async def _admitted(self, door: Door, request: Request, headers: dict[str, str]) -> Call:
        """The call, once every door let it through; `headers` is filled with what goes with any answer."""
        company, now = self._company, self._clock()
        company.requests[door.name] += 1
        caller = company.access.caller(request.headers.get("x-api-token"), request.headers.get("authorization"), now)
        if not company.is_paid:
            raise unpaid()
        if company.has_limits:
            try:
                company.limits.admit(caller, door.cost, now)
            finally:
                headers |= company.limits.headers(caller, now)
        company.tokens_spent[door.name] += door.cost
        if caller.is_oauth and not company.scopes.intersection(door.scopes):
            raise scope_missing(door.scopes)
        company.store.catch_up(now)
        raw = await request.body()
        body = _json(raw) if raw else None
        return Call(company, caller, now, request.path_params, parse_qs(request.url.query, keep_blank_values=True), body)

    async def _oauth(self, name: str, request: Request, answer: Callable[[Mapping[str, str], str | None], Json]) -> Response:
        self._company.requests[name] += 1
        try:
            form = dict(parse_qsl((await request.body()).decode()))
            return JSONResponse(answer(form, request.headers.get("authorization")))
        except Refusal as refused:
            return self._refused(refused, {})

    @staticmethod
    def _refused(refused: Refusal, headers: dict[str, str]) -> Response:
        all_headers = {**headers, **refused.headers}
        if isinstance(refused.body, str):
            return HTMLResponse(refused.body, refused.status, all_headers)
        return JSONResponse(refused.body, refused.status, all_headers)


def _without_nulls(value: object) -> object:
    """The same with empty values left out, as the OpenAPI's schemas would have them."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_without_nulls(one) for one in value]
    return value


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        raise bad_request("Invalid JSON in the request body") from error
