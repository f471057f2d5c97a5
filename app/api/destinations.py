"""Doors to destinations: how each stands, and what its platform takes and can."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from app.api.examples_of_platforms import DESTINATION
from app.api.gate import no_query
from app.api.house import House, house_of
from app.api.problems import Problem, ProblemKind, responses
from app.config import nearest
from app.reports.destinations import DestinationList, DestinationView, list_destinations

doors = APIRouter(prefix="/v1/destinations", tags=["destinations"], dependencies=[Depends(no_query)])


@doors.get(
    "",
    summary="List destinations",
    responses={
        200: {"content": {"application/json": {"example": {"items": [DESTINATION]}}}},
        **responses(ProblemKind.INVALID),
    },
)
async def list_door(request: Request) -> DestinationList:
    """Every ad account by name: mode and pauses, limits as data, API versions with their last day, abilities."""
    return await _all(house_of(request.app.state))


@doors.get(
    "/{name}",
    summary="One destination",
    responses={
        200: {"content": {"application/json": {"example": DESTINATION}}},
        **responses(ProblemKind.NOT_FOUND, ProblemKind.INVALID),
    },
)
async def destination_door(
    request: Request,
    name: Annotated[
        str, Path(max_length=200, description="The destination's name", openapi_examples={"google": {"value": "google"}})
    ],
) -> DestinationView:
    """One ad account: mode and pauses, limits as data, API versions with their last day, abilities."""
    found = {one.name: one for one in (await _all(house_of(request.app.state))).items}
    if name not in found:
        meant = nearest(name, found)
        hint = f"did you mean {meant!r}?" if meant else "GET /v1/destinations lists them."
        raise Problem(ProblemKind.NOT_FOUND, f"No destination has this name; {hint}")
    return found[name]


async def _all(house: House) -> DestinationList:
    services = house.open()
    return await list_destinations(services.database, services.clock(), await services.platforms())
