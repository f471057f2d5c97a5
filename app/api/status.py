"""Doors to how things stand: the status, and the journal of runs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from app.api.examples import RUN_PAGE, STATUS
from app.api.gate import no_query
from app.api.house import house_of
from app.api.models import RunQuery
from app.api.problems import ProblemKind, invalid, responses
from app.bootstrap.names import unknown_names
from app.reports.listing import RunPage, list_runs
from app.reports.listing_queries import RunFilter
from app.reports.status import Status

doors = APIRouter(prefix="/v1", tags=["status"])


@doors.get(
    "/status",
    dependencies=[Depends(no_query)],
    summary="How things stand",
    responses={200: {"content": {"application/json": {"example": STATUS}}}, **responses(ProblemKind.INVALID)},
)
async def status_door(request: Request) -> Status:
    """Sources, destinations and jobs: what is paused and how to mend it, what waits, what failed."""
    return await house_of(request.app.state).open().status()


@doors.get(
    "/runs",
    summary="List runs",
    responses={200: {"content": {"application/json": {"example": RUN_PAGE}}}, **responses(ProblemKind.INVALID)},
)
async def runs_door(request: Request, query: Annotated[RunQuery, Query()]) -> RunPage:
    """Pulls, turns of backfills, drains and applies that did something or failed, newest first, of the last thirty days."""
    services = house_of(request.app.state).open()
    mistakes = await unknown_names(services, source=query.source, destination=query.destination, place="query")
    if mistakes:
        raise invalid(mistakes)
    wanted = RunFilter(kind=query.kind, state=query.state, source=query.source, destination=query.destination)
    return await list_runs(services.database, wanted, limit=query.limit, cursor=query.cursor)
