"""Doors to reports: what leads cost and brought, and whether the books balance. Read only."""

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from app.api.examples_of_reports import BOOKS, CAMPAIGNS, FUNNEL
from app.api.house import house_of
from app.api.models import BooksReportQuery, ReportQuery
from app.api.problems import Problem, ProblemKind, invalid, responses
from app.bootstrap.names import unknown_names
from app.bootstrap.services import Services
from app.config import Mistake
from app.reports.books import BooksQuery, books
from app.reports.funnel import FunnelQuery, ReportRefused, campaigns, funnel
from app.reports.report_json import json_of

USUAL_DAYS = 90

doors = APIRouter(prefix="/v1/reports", tags=["reports"])
REFUSED = responses(ProblemKind.INVALID)


@doors.get(
    "/funnel",
    summary="What people became, and what each step cost",
    responses={200: {"content": {"application/json": {"example": FUNNEL}}}, **REFUSED},
)
async def funnel_door(request: Request, query: Annotated[ReportQuery, Query()]) -> dict[str, object]:
    """Counts of people by milestone, cost of each step, value of a lead, ROAS; amounts are decimal texts in major units."""
    services = house_of(request.app.state).open()
    asked = await _asked(services, query, query.by)
    try:
        return json_of(await funnel(services.database, asked))
    except ReportRefused as refused:
        raise Problem(ProblemKind.INVALID, str(refused)) from refused


@doors.get(
    "/campaigns",
    summary="The funnel by campaign",
    responses={200: {"content": {"application/json": {"example": CAMPAIGNS}}}, **REFUSED},
)
async def campaigns_door(request: Request, query: Annotated[ReportQuery, Query()]) -> dict[str, object]:
    """A row for each campaign (or platform, or dimension), most spend first; the rest is added up in one row."""
    services = house_of(request.app.state).open()
    asked = await _asked(services, query, query.by or "campaign")
    try:
        return json_of(await campaigns(services.database, asked))
    except ReportRefused as refused:
        raise Problem(ProblemKind.INVALID, str(refused)) from refused


@doors.get(
    "/books",
    summary="Do the books balance",
    responses={200: {"content": {"application/json": {"example": BOOKS}}}, **REFUSED},
)
async def books_door(request: Request, query: Annotated[BooksReportQuery, Query()]) -> dict[str, object]:
    """Every conversion found, where it stands at every destination and why; what does not balance; what platforms count
    otherwise than the CRM, as they could not be told of a correction.
    """  # noqa: D205 one paragraph for the contract's page
    services = house_of(request.app.state).open()
    await _check_names(services, query.source, query.destination)
    first, last = _days(services, query.since, query.until)
    try:
        return json_of(await books(services.database, BooksQuery(first, last, query.source, query.destination)))
    except ReportRefused as refused:
        raise Problem(ProblemKind.INVALID, str(refused)) from refused


async def _asked(services: Services, query: ReportQuery, by: str | None) -> FunnelQuery:
    await _check_names(services, query.source, None)
    first, last = _days(services, query.since, query.until)
    name, _, value = (query.dimension or "").partition("=")
    return FunnelQuery(
        since=first,
        until=last,
        base=query.base,
        by=by,
        platform=query.platform,
        campaign_id=query.campaign_id,
        dimension=(name, value) if query.dimension else None,
        source=query.source,
        currency=query.currency,
        most=query.limit,
    )


async def _check_names(services: Services, source: str | None, destination: str | None) -> None:
    mistakes = await unknown_names(services, source=source, destination=destination, place="query")
    if mistakes:
        raise invalid(mistakes)


def _days(services: Services, since: date | None, until: date | None) -> tuple[date, date]:
    """The last ninety days where nothing else is said, in UTC."""
    last = until or services.clock().date()
    first = since or last - timedelta(days=USUAL_DAYS)
    if last < first:
        raise invalid([Mistake("since", "lies after `until`; swap them")], "query")
    return first, last
