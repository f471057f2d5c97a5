"""Doors to sources: made and changed by name, checked, paused, read at once."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request, Response
from pydantic import BaseModel

from app.access.keys import KeyRole
from app.api.connecting import (
    OF_AN_ORDER,
    UNKNOWN,
    CheckView,
    Name,
    SettingsView,
    check_connection,
    not_found,
    put_connection,
    show_connection,
)
from app.api.etags import IfMatch
from app.api.examples_of_sources import CHECK, MODE_BODIES, SOURCE, SOURCE_BODIES
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.models import ConnectionBody, ModeBody
from app.api.problems import OF_A_BODY, OF_NO_BODY, ProblemKind, responses
from app.bootstrap.failures import NameUnknown
from app.connections.repository import Role

doors = APIRouter(prefix="/v1/sources", tags=["sources"])

MAY_EDIT = Depends(needs(KeyRole.ADMIN))
MAY_CHANGE = Depends(needs(KeyRole.OPERATOR))
BARE = Depends(no_query)


class SourceList(BaseModel):
    """All sources by name."""

    items: Sequence[SettingsView]


@doors.get(
    "",
    dependencies=[BARE],
    summary="List sources",
    responses={200: {"content": {"application/json": {"example": {"items": [SOURCE]}}}}, **responses(ProblemKind.INVALID)},
)
async def list_door(request: Request) -> SourceList:
    """Every CRM account by name with its settings, without credentials; how each stands is at /v1/status."""
    shown = await house_of(request.app.state).open().connecting().shown(Role.SOURCE)
    return SourceList(items=[SettingsView.of(name, one) for name, one in shown.items()])


@doors.get(
    "/{name}",
    dependencies=[BARE],
    summary="One source",
    responses={200: {"content": {"application/json": {"example": SOURCE}}}, **UNKNOWN},
)
async def source_door(request: Request, response: Response, name: Name) -> SettingsView:
    """One CRM account. Its ETag is what a change must name in `If-Match`."""
    return await show_connection(request, response, Role.SOURCE, name)


@doors.put(
    "/{name}",
    dependencies=[MAY_EDIT, BARE],
    summary="Make or change a source",
    responses={
        200: {"content": {"application/json": {"example": SOURCE}}},
        201: {"description": "It is new", "content": {"application/json": {"example": SOURCE}}},
        **OF_AN_ORDER,
    },
)
async def put_door(
    request: Request,
    response: Response,
    name: Name,
    body: Annotated[ConnectionBody, Body(openapi_examples=SOURCE_BODIES)],
    if_match: IfMatch = None,
) -> SettingsView:
    """Check the settings, ask the CRM which account they belong to, and store them sealed. The credentials of another account
    than its records' are refused. A source that came from a config file then differs from it until the file's section changes.
    """  # noqa: D205 one paragraph for the contract's page
    return await put_connection(request, response, Role.SOURCE, name, body, if_match)


@doors.post(
    "/{name}/mode",
    status_code=204,
    dependencies=[MAY_CHANGE, BARE],
    summary="Let a source work, or stand still",
    responses={**responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, *OF_A_BODY)},
)
async def mode_door(request: Request, name: Name, body: Annotated[ModeBody, Body(openapi_examples=MODE_BODIES)]) -> None:
    """`paused`: it is neither read nor are its hints fetched; what changes meanwhile is read once it is `live` again."""
    try:
        await house_of(request.app.state).open().connecting().set_mode(Role.SOURCE, name, body.mode, actor=actor_of(request))
    except NameUnknown as unknown:
        raise not_found(unknown) from unknown


@doors.post(
    "/{name}/check",
    dependencies=[MAY_CHANGE, BARE],
    summary="Check a source",
    responses={
        200: {"content": {"application/json": {"example": CHECK}}},
        **responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, *OF_NO_BODY),
    },
)
async def check_door(request: Request, name: Name) -> CheckView:
    """Prove credentials, scopes and objects against the CRM. A clean check ends a pause."""
    return await check_connection(request, Role.SOURCE, name)


@doors.post(
    "/{name}/sync",
    status_code=202,
    response_class=Response,
    dependencies=[MAY_CHANGE, BARE],
    summary="Read a source now",
    responses={
        202: {"description": "It is read next"},
        **responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, *OF_NO_BODY),
    },
)
async def sync_door(request: Request, name: Name) -> Response:
    """Do not wait for its next poll; /v1/runs tells what came of it, and the ad platforms are told at once."""
    try:
        await house_of(request.app.state).open().connecting().poll_now(name)
    except NameUnknown as unknown:
        raise not_found(unknown) from unknown
    return Response(status_code=202)
