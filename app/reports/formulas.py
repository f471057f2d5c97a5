"""What leads cost and what they are worth: exact ratios of counts and micros (pure).

Sums first, divisions last: a total is never the mean of its rows. A ratio without a denominator is None, never infinity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction

from connectors.contract.conversions import MICROS


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums of one group of leads: spend and revenue in micros of one currency, and how many people reached what."""

    spend: int = 0
    revenue: int = 0
    leads: int = 0
    qualified: int = 0
    opportunities: int = 0
    customers: int = 0
    disqualified: int = 0

    def __add__(self, other: "Figures") -> "Figures":
        """Add up groups."""
        return Figures(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(Figures)))


def ratio(part: int, whole: int) -> Fraction | None:
    """`part` of `whole`, exact; None where there is no whole."""
    return Fraction(part, whole) if whole else None


def cost_per_lead(figures: Figures) -> Fraction | None:
    """Micros of spend for each lead."""
    return ratio(figures.spend, figures.leads)


def cost_per_qualified_lead(figures: Figures) -> Fraction | None:
    """Micros of spend for each qualified lead."""
    return ratio(figures.spend, figures.qualified)


def cost_per_opportunity(figures: Figures) -> Fraction | None:
    """Micros of spend for each person who became an opportunity."""
    return ratio(figures.spend, figures.opportunities)


def cost_per_customer(figures: Figures) -> Fraction | None:
    """Micros of spend for each customer (CAC)."""
    return ratio(figures.spend, figures.customers)


def lead_value(figures: Figures) -> Fraction | None:
    """Micros of won revenue for each lead, won or not."""
    return ratio(figures.revenue, figures.leads)


def return_on_ad_spend(figures: Figures) -> Fraction | None:
    """Revenue for each unit of spend (ROAS); the same as lead value divided by cost per lead."""
    return ratio(figures.revenue, figures.spend)


def static_lead_value(value_of_customer: int, close_rate: Fraction) -> Fraction:
    """Micros that a lead is worth by a fixed value of a customer and a share of leads that buy, kept rational."""
    return value_of_customer * close_rate


def at_equal_spend(figures: Figures, spend: int) -> tuple[Fraction, Fraction] | None:
    """Leads, and micros of revenue, that another spend would have bought at the same rates."""
    share = ratio(spend, figures.spend)
    return None if share is None else (figures.leads * share, figures.revenue * share)


def cheaper_but_worse(before: Figures, after: Figures) -> tuple[str, ...]:
    """The costs that rose while cost per lead fell: more leads, fewer that matter. Empty where there is no such paradox."""
    if not _fell(cost_per_lead(before), cost_per_lead(after)):
        return ()
    later = {
        "cost per qualified lead": cost_per_qualified_lead,
        "cost per opportunity": cost_per_opportunity,
        "cost per customer": cost_per_customer,
    }
    return tuple(name for name, cost in later.items() if _fell(cost(after), cost(before)))


def _fell(before: Fraction | None, after: Fraction | None) -> bool:
    return before is not None and after is not None and after < before


def middle(low: int, high: int) -> Fraction:
    """The median from the two values in the middle (the same one twice where the count is odd)."""
    return Fraction(low + high, 2)


def converted(amounts: Sequence[tuple[int, int]]) -> int:
    """The sum in micros of amounts, each with its rate in millionths; rounded once, half to even."""
    exact = sum((Fraction(amount * rate, MICROS) for amount, rate in amounts), Fraction(0))
    return round(exact)


def rounded(value: Fraction, digits: int) -> Decimal:
    """A decimal of this many digits, half to even, straight from the exact ratio."""
    return Decimal(f"{round(value * 10**digits)}E-{digits}")
