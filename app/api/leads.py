"""Doors to leads: why was this one (not) sent, and where is it."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from app.api.examples import FIND_BODIES, FOUND, TRACE
from app.api.gate import no_query
from app.api.house import house_of
from app.api.models import FindBody, TraceQuery
from app.api.problems import OF_A_BODY, Problem, ProblemKind, invalid, responses
from app.api.trace_view import TraceView
from app.bootstrap.finding import Clue, FoundLead, find
from app.bootstrap.names import unknown_names
from app.reports.trace import RefAmbiguous, as_json, trace

doors = APIRouter(prefix="/v1/leads", tags=["leads"])


@doors.get(
    "/{ref}/trace",
    summary="Why was this lead (not) sent",
    responses={
        200: {"model": TraceView, "content": {"application/json": {"example": TRACE}}},
        **responses(ProblemKind.NOT_FOUND, ProblemKind.AMBIGUOUS, ProblemKind.INVALID),
    },
)
async def trace_door(
    request: Request,
    ref: Annotated[
        str,
        Path(
            max_length=200,
            description="`contact:123`, `deal:9`, a lead's id or a conversion's id",
            openapi_examples={"record": {"value": "contact:123"}, "conversion": {"value": "llaaaaaaaaaaaaaaaaaaaaaaaaaa"}},
        ),
    ],
    query: Annotated[TraceQuery, Query()],
) -> Response:
    """Everything stored about one lead, without a single personal value: records, entries, conversions, deliveries, tries."""
    services = house_of(request.app.state).open()
    try:
        found = await trace(services.database, services.keyring, ref, services.clock(), query.source)
    except RefAmbiguous as ambiguous:
        names = ", ".join(ambiguous.sources)
        detail = f"Several sources know this ref: add `?source=` with one of {names}."
        raise Problem(ProblemKind.AMBIGUOUS, detail) from ambiguous
    if found is not None:
        return Response(orjson.dumps(as_json(found)), media_type="application/json")
    mistakes = await unknown_names(services, source=query.source, destination=None, place="query")
    if mistakes:
        raise invalid(mistakes)
    raise Problem(
        ProblemKind.NOT_FOUND,
        "No source knows this ref. Give `contact:123`, `lead:...`, `deal:9`, a lead's id or a conversion's id; "
        "POST /v1/leads/find looks by e-mail or phone. A record that makes no milestone is not stored.",
    )


@doors.post(
    "/find",
    dependencies=[Depends(no_query)],
    summary="Find a lead",
    responses={200: {"content": {"application/json": {"example": FOUND}}}, **responses(*OF_A_BODY)},
)
async def find_door(request: Request, body: Annotated[FindBody, Body(openapi_examples=FIND_BODIES)]) -> list[FoundLead]:
    """By a CRM ref, the id that a platform shows, an e-mail or a phone; at most twenty, each with the path of its trace."""
    services = house_of(request.app.state).open()
    mistakes = await unknown_names(services, source=body.source, destination=None, place="body")
    if mistakes:
        raise invalid(mistakes)
    clue = Clue(
        source=body.source,
        ref=body.ref,
        email=body.email,
        phone=body.phone,
        country=None if body.country is None else body.country.upper(),
        platform_id=body.platform_id,
    )
    return list(await find(services, clue))
