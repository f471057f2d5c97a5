"""Doors to ad spend: stored day by day and campaign by campaign, listed."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request
from pydantic import BaseModel, Field

from app.access.keys import KeyRole
from app.api.examples_of_spend import SPEND_BODIES, SPEND_PAGE, SPEND_SAVED
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.models import SpendBody, SpendGiven, SpendQuery
from app.api.problems import OF_A_BODY, ProblemKind, invalid, responses
from app.bootstrap.spend_keeping import SpendItem
from app.config import Mistake
from app.reports.csv_table import CellWrong
from app.reports.cursors import read_words, write_cursor
from app.reports.spend_file import COLUMNS, SpendRow, spend_row
from app.reports.spend_repository import SpendFilter
from connectors.contract.conversions import MICROS

doors = APIRouter(prefix="/v1/spend", tags=["spend"])


class SpendView(BaseModel):
    """What one campaign cost on one day of its account."""

    platform: str
    campaign_id: str
    day: date
    cost: str = Field(description="A decimal text with at most six digits after the point")
    currency: str
    campaign_name: str | None
    clicks: int | None
    impressions: int | None
    destination: str | None = Field(description="Whose account reported it; null where it was stored here or by a file")
    read_at: datetime | None

    @classmethod
    def of(cls, one: SpendItem) -> "SpendView":
        """As it is shown."""
        cost = Decimal(one.cost.amount_micros) / MICROS
        return cls(
            platform=one.platform,
            campaign_id=one.campaign_id,
            day=one.day,
            cost=f"{cost:f}" if cost % Decimal("0.01") else f"{cost:.2f}",
            currency=one.cost.currency,
            campaign_name=one.campaign_name,
            clicks=one.clicks,
            impressions=one.impressions,
            destination=one.destination,
            read_at=one.read_at,
        )


class SpendPage(BaseModel):
    """A page of spend by platform, campaign and day; `next` is the cursor of the following one, None at the end."""

    items: Sequence[SpendView]
    next: str | None


class SpendSaved(BaseModel):
    """What a request stored."""

    rows: int
    first_day: date
    last_day: date


@doors.get(
    "",
    summary="List spend",
    responses={200: {"content": {"application/json": {"example": SPEND_PAGE}}}, **responses(ProblemKind.INVALID)},
)
async def list_door(request: Request, query: Annotated[SpendQuery, Query()]) -> SpendPage:
    """What campaigns cost, as their accounts reported it or somebody stored it."""
    wanted = SpendFilter(query.platform, query.campaign_id, query.since, query.until)
    after = None if query.cursor is None else read_words(query.cursor)
    found = await house_of(request.app.state).open().spend().list(wanted, after=after, limit=query.limit)
    going_on = write_cursor(found[-1].key) if len(found) == query.limit else None
    return SpendPage(items=[SpendView.of(one) for one in found], next=going_on)


@doors.put(
    "",
    dependencies=[Depends(needs(KeyRole.OPERATOR)), Depends(no_query)],
    summary="Store spend",
    responses={
        200: {"content": {"application/json": {"example": SPEND_SAVED}}},
        **responses(ProblemKind.FORBIDDEN, *OF_A_BODY),
    },
)
async def put_door(request: Request, body: Annotated[SpendBody, Body(openapi_examples=SPEND_BODIES)]) -> SpendSaved:
    """Store what no ad account reports, all rows or none; what stands for the same platform, campaign and day is replaced, and
    gives way to what the account reports later.
    """  # noqa: D205 one paragraph for the contract's page
    rows: dict[tuple[str, str, str], SpendRow] = {}
    mistakes: list[Mistake] = []
    for place, one in enumerate(body.rows):
        row, wrong = _row(place, one)
        mistakes += wrong
        if row is None:
            continue
        other = rows.setdefault(row.key, row)
        if other is not row:
            mistakes.append(Mistake(f"rows.{place}", f"this platform, campaign and day stand in `rows.{other.line}` already"))
    if mistakes:
        raise invalid(mistakes, "body")
    saved = await house_of(request.app.state).open().spend().save(list(rows.values()), actor=actor_of(request))
    return SpendSaved(rows=saved.rows, first_day=saved.first_day, last_day=saved.last_day)


def _row(place: int, given: SpendGiven) -> tuple[SpendRow | None, list[Mistake]]:
    """A row as a line of a file would give it, judged by the same rules."""
    cells: dict[str, object] = {}
    mistakes: list[Mistake] = []
    for name, read in COLUMNS.cells.items():
        value = getattr(given, name)
        try:
            cells[name] = read("" if value is None else str(value))
        except CellWrong as wrong:
            mistakes.append(Mistake(f"rows.{place}.{name}", str(wrong)))
    return (None, mistakes) if mistakes else (spend_row(place, cells), [])
