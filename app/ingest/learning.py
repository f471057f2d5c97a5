"""A source's history becomes a fit: what each milestone's leads came to, read from the database as counts."""

from collections import defaultdict
from datetime import date, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.instants import to_ms
from app.ingest.context import SourceContext
from app.ingest.outcome_queries import Asked, Outcomes, SalesRow
from app.mapping.document import DISQUALIFIED, WON, MappingDocument
from app.mapping.fits import Fit, MilestoneFit, Segment
from app.mapping.fitting import Course, Fitting, Sales
from app.mapping.rates import MILLIONTHS, Rates
from app.mapping.repository import load_rates
from app.mapping.value_model import ValueModel

# What is older says little of today's leads.
REACH = timedelta(days=730)
MOST_SEGMENTS = 500
EPOCH = date(1970, 1, 1)


async def learn(connection: AsyncConnection, source: SourceContext, now: datetime) -> Fit:
    """Fit every milestone whose value is learnt, from all that is known now."""
    home = source.facts.schema.currency
    currencies = {home, *(model.currency or home for model in source.document.learns.values())}
    rates = await load_rates(connection, currencies, (now - REACH).date())
    found = {
        name: await _milestone(connection, source, name, model, rates, now) for name, model in source.document.learns.items()
    }
    return Fit(now, source.facts.mapping_version, found)


async def _milestone(
    connection: AsyncConnection, source: SourceContext, name: str, model: ValueModel, rates: Rates, now: datetime
) -> MilestoneFit:
    document, home = source.document, source.facts.schema.currency
    won = document.named(WON)
    asked = Asked(
        source_id=source.id,
        names=_names(document, name),
        won=_names(document, WON),
        disqualified=_names(document, DISQUALIFIED),
        wins_by_deal=won is not None and won.once_per == "deal",
        stages=source.facts.stages,
        since_ms=to_ms(now - REACH),
        now_ms=to_ms(now),
        by=model.by,
        dimensions=frozenset(document.dimensions),
    )
    kept = await Outcomes(connection, asked).largest(MOST_SEGMENTS) if model.by else []
    outcomes, currency = Outcomes(connection, asked, kept), model.currency or home
    sales: dict[Segment | None, Sales] = defaultdict(Sales)
    unconverted = 0
    for row in await outcomes.sales(currency):
        told = _sales(row, currency, home, rates)
        sales[row.segment] += told
        unconverted += told.unvalued - row.unvalued
    courses: dict[Segment | None, list[Course]] = defaultdict(list)
    for segment, course in await outcomes.courses():
        courses[segment].append(course)
    everybody = [course for mine in courses.values() for course in mine]
    fitting = Fitting(model.by, currency, everybody, sum(sales.values(), Sales()), unconverted)
    for segment in kept:
        fitting.add(segment, courses[segment], sales[segment])
    return fitting.done()


def _sales(row: SalesRow, currency: str, home: str, rates: Rates) -> Sales:
    """In the fit's currency; what no rate converts has no amount."""
    rate: int | None = MILLIONTHS
    if row.sales and row.day is not None and row.currency is not None:
        rate = rates.through(EPOCH + timedelta(days=row.day), row.currency, currency, home)
    if rate is None:
        return Sales(0, 0, row.unvalued + row.sales)
    return Sales(row.micros * rate // MILLIONTHS, row.sales, row.unvalued)


def _names(document: MappingDocument, name: str) -> tuple[str, ...]:
    """The names under which conversions of a milestone are stored, also of one that the mapping has no more."""
    milestone = document.named(name)
    return (name,) if milestone is None or milestone.name != name else milestone.names
