"""What a funnel report asks and answers: values, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from fractions import Fraction

from app.reports import formulas
from app.reports.formulas import Figures
from connectors.contract.conversions import Money

MOST_ROWS = 50


class Base(StrEnum):
    """Which people a report counts.

    `cohort`: the people whose CRM creation lies in the period, with all that became of them until now. What costs per step
    should use. `period`: whoever reached a milestone in the period, whenever they were created.
    """

    COHORT = "cohort"
    PERIOD = "period"


class ReportRefused(Exception):
    """The report cannot be made as asked; the message says why and what to ask instead."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Which milestone stands for which step of the funnel."""

    lead: str = "lead"
    qualified: str = "qualified_lead"
    opportunity: str = "opportunity"
    customer: str = "closed_revenue"
    disqualified: str = "disqualified"


@dataclass(frozen=True, slots=True)
class FunnelQuery:
    """A period in UTC days, both included (None: open), a base, filters, and what to break down by.

    `by` is `campaign`, `platform`, `dimension:NAME`, or None for the whole only. `dimension` is a name and a value.
    `currency` is that of the report; without it: the one in which most spend stands.
    """

    since: date | None = None
    until: date | None = None
    base: Base = Base.COHORT
    by: str | None = None
    platform: str | None = None
    campaign_id: str | None = None
    dimension: tuple[str, str] | None = None
    source: str | None = None
    currency: str | None = None
    steps: Steps = Steps()
    most: int = MOST_ROWS


@dataclass(frozen=True, slots=True)
class StepCount:
    """How many people reached a milestone; of these implied; and besides, ended (retracted, lost) and duplicate ones."""

    people: int = 0
    implied: int = 0
    ended: int = 0
    duplicates: int = 0

    def __add__(self, other: "StepCount") -> "StepCount":
        """Add up groups."""
        return StepCount(
            self.people + other.people,
            self.implied + other.implied,
            self.ended + other.ended,
            self.duplicates + other.duplicates,
        )


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum in the report's currency, and what could not be converted into it: never silently added."""

    micros: int = 0
    foreign: tuple[Money, ...] = ()

    def __add__(self, other: "Amount") -> "Amount":
        """Add up groups, currency by currency."""
        sums: dict[str, int] = {}
        for money in (*self.foreign, *other.foreign):
            sums[money.currency] = sums.get(money.currency, 0) + money.amount_micros
        return Amount(self.micros + other.micros, tuple(Money(micros, currency) for currency, micros in sorted(sums.items())))

    @property
    def is_whole(self) -> bool:
        """True where everything stands in one currency."""
        return not self.foreign


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One group of people. `spend` is None where no spend can belong to it (a dimension knows no cost).

    `platform` and `campaign_id` None: not attributed. `value` is the dimension's. `unvalued`: won without an amount.
    """

    platform: str | None = None
    campaign_id: str | None = None
    name: str | None = None
    value: str | None = None
    is_rest: bool = False
    counts: Mapping[str, StepCount] = field(default_factory=dict)
    spend: Amount | None = Amount()
    revenue: Amount = Amount()
    clicks: int = 0
    impressions: int = 0
    unvalued: int = 0
    days_to_customer: Fraction | None = None

    def count(self, milestone: str) -> StepCount:
        """The count of a milestone, zeros where nobody reached it."""
        return self.counts.get(milestone, StepCount())


@dataclass(frozen=True, slots=True)
class Metrics:
    """The ratios of a row; None where there is no number. Costs and values are in micros."""

    cost_per_lead: Fraction | None
    cost_per_qualified_lead: Fraction | None
    cost_per_opportunity: Fraction | None
    cost_per_customer: Fraction | None
    lead_value: Fraction | None
    roas: Fraction | None
    qualified_rate: Fraction | None
    opportunity_rate: Fraction | None
    customer_rate: Fraction | None
    close_rate: Fraction | None
    disqualified_rate: Fraction | None


def figures_of(row: FunnelRow, steps: Steps) -> Figures:
    """The sums of a row as the formulas take them."""
    return Figures(
        spend=0 if row.spend is None else row.spend.micros,
        revenue=row.revenue.micros,
        leads=row.count(steps.lead).people,
        qualified=row.count(steps.qualified).people,
        opportunities=row.count(steps.opportunity).people,
        customers=row.count(steps.customer).people,
        disqualified=row.count(steps.disqualified).people,
    )


def metrics_of(row: FunnelRow, steps: Steps) -> Metrics:
    """All ratios of a row; those of money only where the money stands in one currency and is known."""
    sums = figures_of(row, steps)
    is_cost_known = row.spend is not None and row.spend.is_whole
    is_revenue_known = row.revenue.is_whole
    return Metrics(
        cost_per_lead=formulas.cost_per_lead(sums) if is_cost_known else None,
        cost_per_qualified_lead=formulas.cost_per_qualified_lead(sums) if is_cost_known else None,
        cost_per_opportunity=formulas.cost_per_opportunity(sums) if is_cost_known else None,
        cost_per_customer=formulas.cost_per_customer(sums) if is_cost_known else None,
        lead_value=formulas.lead_value(sums) if is_revenue_known else None,
        roas=formulas.return_on_ad_spend(sums) if is_cost_known and is_revenue_known else None,
        qualified_rate=formulas.ratio(sums.qualified, sums.leads),
        opportunity_rate=formulas.ratio(sums.opportunities, sums.qualified),
        customer_rate=formulas.ratio(sums.customers, sums.opportunities),
        close_rate=formulas.ratio(sums.customers, sums.leads),
        disqualified_rate=formulas.ratio(sums.disqualified, sums.leads),
    )


@dataclass(frozen=True, slots=True)
class Funnel:
    """A report: rows, largest spend first (empty without `by`), their total, and what a reader must know."""

    query: FunnelQuery
    currency: str | None
    rows: tuple[FunnelRow, ...]
    total: FunnelRow
    sentence: str
    notes: tuple[str, ...] = ()
