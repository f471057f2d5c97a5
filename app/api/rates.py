"""Doors to currency rates: stored day by day and pair by pair, listed."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request
from pydantic import BaseModel, Field

from app.access.keys import KeyRole
from app.api.examples_of_rates import RATE_BODIES, RATE_PAGE, SAVED
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.models import RateQuery, RatesBody
from app.api.problems import OF_A_BODY, ProblemKind, invalid, responses
from app.config import Mistake
from app.mapping.rates import MILLIONTHS, DatedRate
from app.reports.csv_table import CellWrong, currency_of
from app.reports.cursors import read_words, write_cursor
from app.reports.rates_file import rate_of

doors = APIRouter(prefix="/v1/rates", tags=["rates"])


class RateView(BaseModel):
    """What one of `base` cost in `quote` on a day (UTC)."""

    day: date
    base: str
    quote: str
    rate: str = Field(description="A decimal text with at most six digits after the point")

    @classmethod
    def of(cls, one: DatedRate) -> "RateView":
        """As it is shown."""
        return cls(day=one.day, base=one.base, quote=one.quote, rate=f"{(Decimal(one.rate) / MILLIONTHS).normalize():f}")


class RatePage(BaseModel):
    """A page of rates, newest day first; `next` is the cursor of the following one, None at the end."""

    items: Sequence[RateView]
    next: str | None


class RatesSaved(BaseModel):
    """What became of a request. `changed`: rates that are new or other than before."""

    rates: int
    changed: int


@doors.get(
    "",
    summary="List rates",
    responses={200: {"content": {"application/json": {"example": RATE_PAGE}}}, **responses(ProblemKind.INVALID)},
)
async def list_door(request: Request, query: Annotated[RateQuery, Query()]) -> RatePage:
    """The stored rates. A value is converted by the newest one within seven days before its day, also the other way round."""
    after = None if query.cursor is None else read_words(query.cursor)
    rates = house_of(request.app.state).open().rates()
    found = await rates.list(base=query.base, quote=query.quote, after=after, limit=query.limit)
    going_on = write_cursor(found[-1].key) if len(found) == query.limit else None
    return RatePage(items=[RateView.of(one) for one in found], next=going_on)


@doors.put(
    "",
    dependencies=[Depends(needs(KeyRole.OPERATOR)), Depends(no_query)],
    summary="Store rates",
    responses={
        200: {"content": {"application/json": {"example": SAVED}}},
        **responses(ProblemKind.FORBIDDEN, *OF_A_BODY),
    },
)
async def put_door(request: Request, body: Annotated[RatesBody, Body(openapi_examples=RATE_BODIES)]) -> RatesSaved:
    """Store rates, all or none; the same day and pair is replaced. Values that waited for one go at the next pull; what was
    valued already keeps the rate that it was valued with.
    """  # noqa: D205 one paragraph for the contract's page
    rates: dict[tuple[str, str, str], DatedRate] = {}
    mistakes: list[Mistake] = []
    for place, one in enumerate(body.rates):
        try:
            rate = DatedRate(one.day, currency_of(one.base), currency_of(one.quote), rate_of(one.rate))
        except CellWrong as wrong:
            mistakes.append(Mistake(f"rates.{place}", str(wrong)))
            continue
        if rate.base == rate.quote:
            mistakes.append(Mistake(f"rates.{place}.quote", "is the same currency as `base`"))
        elif rates.setdefault(rate.key, rate) != rate:
            mistakes.append(Mistake(f"rates.{place}", "the same day and pair stands above with another rate"))
    if mistakes:
        raise invalid(mistakes, "body")
    saved = await house_of(request.app.state).open().rates().save(list(rates.values()), actor=actor_of(request))
    return RatesSaved(rates=saved.rows, changed=saved.changed)
