"""Puts the doors into an application: gate, problems, routers, and the contract's security scheme."""

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from app.api import (
    deliveries,
    destinations,
    keys,
    leads,
    mappings,
    metrics,
    people,
    previews,
    rates,
    reports,
    source_past,
    source_schema,
    sources,
    spend,
    status,
    values,
    webhooks,
)
from app.api.contract import finish_contract
from app.api.gate import Gate
from app.api.health import Ready, health_doors
from app.api.house import House
from app.api.models import KNOWN_NAMES
from app.api.problems import ProblemKind, add_handlers, responses

KEY = HTTPBearer(
    auto_error=False, scheme_name="api_key", description="The text of LEADLOOP_API_KEY, or a key that was made at /v1/keys"
)


def assemble(app: FastAPI, house: House, is_ready: Ready, *, is_served: bool = True) -> None:
    """Open the doors; the gate has judged the key before a door is reached, the dependency tells it to the contract.

    A process that does not serve the API (`is_served`) answers only whether it is well, and with its metrics.
    """
    app.state.house = house
    add_handlers(app, KNOWN_NAMES)
    app.include_router(health_doors(is_ready))
    keyed = responses(ProblemKind.UNAUTHORIZED, ProblemKind.NOT_READY)
    app.include_router(metrics.doors, dependencies=[Depends(KEY)], responses=keyed)
    if is_served:
        app.include_router(webhooks.doors)
        rooms = (
            status, sources, source_schema, source_past, destinations, mappings, previews, values,
            deliveries, leads, people, reports, rates, spend, keys,
        )  # fmt: skip
        for room in rooms:
            app.include_router(room.doors, dependencies=[Depends(KEY)], responses=keyed)
    app.add_middleware(Gate, house=house)
    finish_contract(app)
