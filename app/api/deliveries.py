"""Doors to deliveries: list them, replay them."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request

from app.access.keys import KeyRole
from app.api.examples import DELIVERY_PAGE, REPLAY_BODIES, REPLAY_REPORT
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.models import DeliveryQuery, ReplayBody, ReplayFilter
from app.api.problems import OF_A_BODY, ProblemKind, invalid, responses
from app.bootstrap.names import unknown_names
from app.bootstrap.replaying import ReplayOrder, ReplayRefused, ReplayReport, replay
from app.reports.listing import DeliveryPage, list_deliveries
from app.reports.listing_queries import DeliveryFilter

doors = APIRouter(prefix="/v1/deliveries", tags=["deliveries"])


@doors.get(
    "",
    summary="List deliveries",
    responses={200: {"content": {"application/json": {"example": DELIVERY_PAGE}}}, **responses(ProblemKind.INVALID)},
)
async def list_door(request: Request, query: Annotated[DeliveryQuery, Query()]) -> DeliveryPage:
    """Newest first; where only `pending` and `sending` are asked for, the next due first.

    A page looks at a bounded number of deliveries, so it may hold fewer rows than asked for: go on while `next` is there.
    """
    services = house_of(request.app.state).open()
    mistakes = await unknown_names(services, source=query.source, destination=query.destination, place="query")
    if mistakes:
        raise invalid(mistakes)
    wanted = DeliveryFilter(
        states=tuple(query.state),
        reasons=tuple(query.reason),
        code=query.code,
        destination=query.destination,
        source=query.source,
        milestone=query.milestone,
        since=query.since,
        until=query.until,
    )
    return await list_deliveries(services.database, wanted, limit=query.limit, cursor=query.cursor)


@doors.post(
    "/replay",
    dependencies=[Depends(needs(KeyRole.OPERATOR)), Depends(no_query)],
    summary="Try deliveries again",
    responses={
        200: {"content": {"application/json": {"example": REPLAY_REPORT}}},
        **responses(ProblemKind.FORBIDDEN, *OF_A_BODY),
    },
)
async def replay_door(request: Request, body: Annotated[ReplayBody, Body(openapi_examples=REPLAY_BODIES)]) -> ReplayReport:
    """Reopen what stopped: `rejected`, `expired`, `skipped` (what a claim judges anew) and `shadowed`, without a try of
    unknown effect. What was accepted is never sent again. An `uncertain` delivery needs a `resolution`: `send_again`
    risks that it counts twice, `count_as_sent` that it is not counted. `dry_run` changes nothing and tells the counts.
    """  # noqa: D205 one paragraph for the contract's page
    services = house_of(request.app.state).open()
    order = ReplayOrder(
        ids=tuple(body.ids or ()),
        wanted=None if body.filter is None else _filter(body.filter),
        resolution=body.resolution,
        is_dry_run=body.dry_run,
        limit=body.limit,
        cursor=body.cursor,
    )
    try:
        return await replay(services, order, actor=actor_of(request))
    except ReplayRefused as refused:
        raise invalid(refused.mistakes, "body") from refused


def _filter(given: ReplayFilter) -> DeliveryFilter:
    return DeliveryFilter(
        states=tuple(given.state),
        reasons=tuple(given.reason),
        code=given.code,
        destination=given.destination,
        source=given.source,
        milestone=given.milestone,
        settled_before=given.before,
    )
