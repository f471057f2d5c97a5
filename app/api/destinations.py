"""Doors to destinations: how each stands, what its platform takes and can; made and changed by name, checked, paused."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request, Response

from app.access.keys import KeyRole
from app.api.connecting import OF_AN_ORDER, CheckView, Name, SettingsView, check_connection, not_found, put_connection
from app.api.etags import IfMatch, tag_of
from app.api.examples_of_platforms import (
    CHECK_BODIES,
    DESTINATION,
    DESTINATION_BODIES,
    DESTINATION_MODE_BODIES,
    DESTINATION_SETTINGS,
    TESTED,
)
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.models import CheckBody, ConnectionBody, DestinationModeBody
from app.api.problems import OF_A_BODY, ProblemKind, invalid, responses
from app.bootstrap.connecting import ConnectionShown, OrderRefused
from app.bootstrap.failures import NameUnknown
from app.bootstrap.services import Services
from app.connections.repository import Role
from app.reports.destinations import DestinationList, DestinationView, ShownSettings, list_destinations

MAY_CHANGE = Depends(needs(KeyRole.OPERATOR))

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
    services = house_of(request.app.state).open()
    return await _all(services, await services.connecting().shown(Role.DESTINATION))


@doors.get(
    "/{name}",
    summary="One destination",
    responses={
        200: {"content": {"application/json": {"example": DESTINATION}}},
        **responses(ProblemKind.NOT_FOUND, ProblemKind.INVALID),
    },
)
async def destination_door(request: Request, response: Response, name: Name) -> DestinationView:
    """One ad account: mode and pauses, settings without credentials, limits as data, API versions with their last day, abilities.
    Its ETag is what a change must name in `If-Match`.
    """  # noqa: D205 one paragraph for the contract's page
    services = house_of(request.app.state).open()
    shown = await services.connecting().shown(Role.DESTINATION)
    found = {one.name: one for one in (await _all(services, shown)).items}
    if name not in found or name not in shown:
        raise not_found(NameUnknown(str(Role.DESTINATION), name, found))
    response.headers["ETag"] = tag_of(shown[name].tag)
    return found[name]


@doors.put(
    "/{name}",
    dependencies=[Depends(needs(KeyRole.ADMIN))],
    summary="Make or change a destination",
    responses={
        200: {"content": {"application/json": {"example": DESTINATION_SETTINGS}}},
        201: {"description": "It is new", "content": {"application/json": {"example": DESTINATION_SETTINGS}}},
        **OF_AN_ORDER,
    },
)
async def put_door(
    request: Request,
    response: Response,
    name: Name,
    body: Annotated[ConnectionBody, Body(openapi_examples=DESTINATION_BODIES)],
    if_match: IfMatch = None,
) -> SettingsView:
    """Check the settings and store them sealed; nothing is sent by it. Then check the destination, and name it in a mapping.
    One that came from a config file then differs from it until the file's section changes.
    """  # noqa: D205 one paragraph for the contract's page
    return await put_connection(request, response, Role.DESTINATION, name, body, if_match)


@doors.post(
    "/{name}/mode",
    status_code=204,
    dependencies=[MAY_CHANGE],
    summary="Let a destination work, only show, or stand still",
    responses={**responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, *OF_A_BODY)},
)
async def mode_door(
    request: Request, name: Name, body: Annotated[DestinationModeBody, Body(openapi_examples=DESTINATION_MODE_BODIES)]
) -> None:
    """`shadow`: what would be sent is built, checked and kept as `shadowed`; going `live` later sends none of it, but a replay
    offers it. `paused`: what is owed waits. With `milestone` it holds for that milestone only.
    """  # noqa: D205 one paragraph for the contract's page
    connecting, actor = house_of(request.app.state).open().connecting(), actor_of(request)
    try:
        if body.milestone is None:
            await connecting.set_mode(Role.DESTINATION, name, body.mode, actor=actor)
        else:
            await connecting.set_milestone_mode(name, body.milestone, body.mode, actor=actor)
    except NameUnknown as unknown:
        raise not_found(unknown) from unknown
    except OrderRefused as refused:
        raise invalid(refused.mistakes, "body") from refused


@doors.post(
    "/{name}/check",
    dependencies=[MAY_CHANGE],
    summary="Check a destination",
    responses={
        200: {"content": {"application/json": {"example": TESTED}}},
        **responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, *OF_A_BODY),
    },
)
async def check_door(request: Request, name: Name, body: Annotated[CheckBody, Body(openapi_examples=CHECK_BODIES)]) -> CheckView:
    """Prove token, account and targets without counting a conversion; a clean check ends pauses. With `test_code` a test event is
    sent under it, which the platform shows on its test page and does not count.
    """  # noqa: D205 one paragraph for the contract's page
    return await check_connection(request, Role.DESTINATION, name, body.test_code)


async def _all(services: Services, shown: Mapping[str, ConnectionShown]) -> DestinationList:
    settings = {name: ShownSettings(one.settings, one.credentials) for name, one in shown.items()}
    return await list_destinations(services.database, services.clock(), await services.platforms(), settings)
