"""Prints what a learnt value is worth: fitted on the demo's first ten months, judged by what came of the last four.

The deals are the demo's real ones, the fitting is the product's, and it knows of each deal only what had happened by its day. The
account is no segment: in this data only deals that are open at the end lack one, so that it would tell the end.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import sqrt

from app.demo.pipeline import DATA_BEGINS, DATA_ENDS, Opportunity, read_opportunities
from app.mapping.fits import Figures, Fit, KeptFigures, kept_of
from app.mapping.fitting import Course, Fitting, Outcome, Sales
from app.mapping.value_model import AVERAGE, PREDICTED, ValueModel
from connectors.contract.conversions import MICROS

MILESTONE, CURRENCY = "opportunity", "USD"
FITTED_AT = datetime(2017, 9, 1, tzinfo=UTC)
# The chance that the demo's HubSpot gives to the stage: what `weighted` takes.
STAGE_CHANCE = Decimal("0.4")
GROUPS = 10
FALLBACK = {"model": "fixed", "amount": "0", "currency": CURRENCY}


@dataclass(frozen=True, slots=True)
class Told:
    """A deal with what each model tells of it on its first day."""

    deal: Opportunity
    chance: Decimal
    values: dict[str, Decimal]


def test_what_a_learnt_value_is_worth() -> None:
    """By product, as the demo's mapping declares it; the amount is the list price, as it stands on a deal's first day."""
    deals = [deal for deal in read_opportunities(DATA_ENDS) if deal.engaged_on is not None]
    before = [deal for deal in deals if _day(deal) < FITTED_AT]
    after = [deal for deal in deals if _day(deal) >= FITTED_AT]
    fit = _fit(before, FITTED_AT)
    told = [_told(fit, deal) for deal in after]
    lines = [*_of_all(before, after), "", *_calibration(told), "", *_errors(told)]
    sys.stdout.write("\n" + "\n".join(lines) + "\n")


def _fit(deals: Sequence[Opportunity], now: datetime) -> Fit:
    """What the product would store."""
    fitting = Fitting(("product",), CURRENCY, _courses(deals, now), _sales(deals, now))
    by_product: dict[str, list[Opportunity]] = defaultdict(list)
    for deal in deals:
        by_product[deal.product].append(deal)
    for product, mine in by_product.items():
        fitting.add((product,), _courses(mine, now), _sales(mine, now))
    return Fit(now, 1, {MILESTONE: fitting.done()}, 1)


def _told(fit: Fit, deal: Opportunity) -> Told:
    average, predicted = (_kept(fit, model, deal) for model in (AVERAGE, PREDICTED))
    chance, price = Decimal(predicted.chance or 0), Decimal(deal.list_price)
    values = {
        "predicted": chance * price,
        "weighted": STAGE_CHANCE * price,
        "average": Decimal(average.micros or 0) / MICROS,
    }
    return Told(deal, chance, values)


def _kept(fit: Fit, model: str, deal: Opportunity) -> KeptFigures:
    field = {"field": "deal.amount"} if model == PREDICTED else {}
    chosen = ValueModel.model_validate({"model": model, "by": ["product"], "fallback": FALLBACK, **field})
    kept = kept_of(fit, MILESTONE, chosen, (deal.product,), CURRENCY)
    assert isinstance(kept, KeptFigures), kept
    return kept


# What is known by a day ---------------------------------------------------------------------------------------------------


def _end(deal: Opportunity, now: datetime) -> tuple[int, Outcome]:
    """Age and outcome, as far as they were known then."""
    if deal.closed_on is None or deal.closed_on >= now:
        return (now - _day(deal)).days, Outcome.OPEN
    return (deal.closed_on - _day(deal)).days, Outcome.WON if deal.is_won else Outcome.LOST


def _courses(deals: Iterable[Opportunity], now: datetime) -> list[Course]:
    counted = Counter(_end(deal, now) for deal in deals)
    return [Course(age, outcome, leads) for (age, outcome), leads in counted.items()]


def _sales(deals: Iterable[Opportunity], now: datetime) -> Sales:
    won = [deal.close_value for deal in deals if _end(deal, now)[1] is Outcome.WON]
    return Sales(sum(won) * MICROS, len(won))


def _observed(deals: Sequence[Opportunity], now: datetime) -> Figures:
    """What came of them by then, those that are open still as the product counts them: as having had no time."""
    return Fitting((), CURRENCY, _courses(deals, now), _sales(deals, now)).done().whole


def _day(deal: Opportunity) -> datetime:
    assert deal.engaged_on is not None
    return deal.engaged_on


# Tables -------------------------------------------------------------------------------------------------------------------


def _of_all(before: Sequence[Opportunity], after: Sequence[Opportunity]) -> list[str]:
    known, came = _observed(before, FITTED_AT), _observed(after, DATA_ENDS)
    by_hand = f"won / all said {known.won / known.leads:.1%}, won / ended {known.won / (known.won + known.lost):.1%}"
    return [
        f"fitted on {_counted(known)} by then: {DATA_BEGINS:%Y-%m-%d} to {FITTED_AT:%Y-%m-%d}",
        f"judged on {_counted(came)} at the end: to {DATA_ENDS:%Y-%m-%d}",
        f"chance of all: {known.chance:.1%} predicted; by hand, {by_hand} then",
    ]


def _counted(one: Figures) -> str:
    return f"{one.leads:,} deals, {one.won:,} won, {one.lost:,} lost, {one.leads - one.won - one.lost:,} open"


def _calibration(told: Sequence[Told]) -> list[str]:
    """Of each tenth: the share won by the end of the data, and the share that will be, were the open ones to go on as others."""
    ranked = sorted(told, key=lambda one: (one.chance, one.deal.id))
    tenths = [ranked[len(ranked) * place // GROUPS : len(ranked) * (place + 1) // GROUPS] for place in range(GROUPS)]
    lines = [f"{'decile':>6} {'deals':>6} {'predicted':>11} {'won so far':>11} {'observed':>10} {'std. error':>11}"]
    lines += [f"{place:>6} {_tenth(mine)}" for place, mine in enumerate(tenths, 1)]
    return [*lines, f"{'all':>6} {_tenth(ranked)}"]


def _tenth(mine: Sequence[Told]) -> str:
    predicted = sum((one.chance for one in mine), Decimal()) / len(mine)
    came = _observed([one.deal for one in mine], DATA_ENDS)
    observed = float(came.chance)
    error = sqrt(observed * (1 - observed) / len(mine))
    return f"{len(mine):>6,} {predicted:>11.1%} {came.won / came.leads:>11.1%} {observed:>10.1%} {error:>11.1%}"


def _errors(told: Sequence[Told]) -> list[str]:
    ended = [one for one in told if one.deal.closed_on is not None]
    heads = f"{'told / won':>12} {'mean abs.':>10} {'root m. sq.':>12}"
    rows = [f"{model:10} {_error(told, model)} {_error(ended, model)}" for model in ("average", "weighted", "predicted")]
    return [f"{'USD a deal':10} {'all, open ones as 0':>36} {'only ended ones':>36}", f"{'':10} {heads} {heads}", *rows]


def _error(told: Sequence[Told], model: str) -> str:
    misses = [float(one.values[model]) - one.deal.close_value for one in told]
    share = float(sum((one.values[model] for one in told), Decimal())) / sum(one.deal.close_value for one in told)
    absolute = sum(map(abs, misses)) / len(misses)
    squared = sqrt(sum(miss * miss for miss in misses) / len(misses))
    return f"{share:>12.1%} {absolute:>10,.0f} {squared:>12,.0f}"
