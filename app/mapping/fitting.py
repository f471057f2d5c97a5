"""From what became of leads to figures: chances by age with won and lost as competing ends, drawn to the whole (pure).

The chance is the Aalen-Johansen estimate. A segment is judged as if `PRIOR_LEADS` leads with the whole's course were added to
it: with closed cohorts that is the mean of a Beta distribution around the whole's chance, (won + k p) / (leads + k); where a
segment is too young to tell what happens late, the whole's late hazards tell it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from app.mapping.fits import LEAST_OF_A_SEGMENT, MILLIONTHS, Figures, MilestoneFit, Segment

# So many leads of the whole are added to each segment. At 50 leads the standard error of a chance is 3 to 7 points, about as
# far as segments usually lie apart: from there on a segment's own history says more than the whole's.
PRIOR_LEADS = 50
# Amounts lie further apart than chances (a price list has factors of fifty), so a few sales of a segment's own say more.
PRIOR_SALES = 3


class Outcome(StrEnum):
    """What became of a lead, as far as it is known: neither of the two ends while it is `open`."""

    WON = "won"
    LOST = "lost"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Course:
    """So many leads met one outcome at one age: in days since they reached the milestone, until now where open."""

    age: int
    outcome: Outcome
    leads: int


@dataclass(frozen=True, slots=True)
class Sales:
    """Won revenue in the fit's currency. `sales` without `unvalued` ones, which have no (usable) amount."""

    micros: int = 0
    sales: int = 0
    unvalued: int = 0

    def __add__(self, other: "Sales") -> "Sales":
        """Together."""
        return Sales(self.micros + other.micros, self.sales + other.sales, self.unvalued + other.unvalued)


@dataclass(slots=True)
class _Curve:
    """Ends and disappearances by age."""

    won: dict[int, float] = field(default_factory=dict)
    lost: dict[int, float] = field(default_factory=dict)
    open: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, courses: Iterable[Course]) -> "_Curve":
        curve = cls()
        for course in courses:
            by_age: dict[int, float] = getattr(curve, course.outcome.value)
            by_age[course.age] = by_age.get(course.age, 0) + course.leads
        return curve

    def total(self, outcome: Outcome) -> int:
        by_age: dict[int, float] = getattr(self, outcome.value)
        return round(sum(by_age.values()))

    @property
    def leads(self) -> int:
        return sum(map(self.total, Outcome))


@dataclass(frozen=True, slots=True)
class _Step:
    """At an age: the shares of those still open that are won and lost, and how many of one lead are still open before it."""

    won: float
    lost: float
    still_open: float

    @property
    def left(self) -> float:
        """How many of one lead are still open after it."""
        return self.still_open * max(0.0, 1.0 - self.won - self.lost)


class Fitting:
    """One milestone's figures in the making: of all its leads first, then segment after segment."""

    def __init__(self, by: Segment, currency: str, courses: Iterable[Course], sales: Sales, unconverted: int = 0) -> None:
        curve = _Curve.of(courses)
        self._prior = _steps(curve, {}, 0)
        whole = _figures(curve, _chance(self._prior), sales, None)
        self._found = MilestoneFit(by, currency, whole, {}, unconverted, max(0, sales.unvalued - unconverted))
        self._segments: dict[Segment, Figures] = {}

    def add(self, segment: Segment, courses: Iterable[Course], sales: Sales) -> None:
        """Judge a segment; one of a few leads has no figures of its own."""
        curve = _Curve.of(courses)
        if curve.leads >= LEAST_OF_A_SEGMENT:
            chance = _chance(_steps(curve, self._prior, PRIOR_LEADS))
            self._segments[segment] = _figures(curve, chance, sales, self._found.whole)

    def done(self) -> MilestoneFit:
        """What was found."""
        return replace(self._found, segments=dict(sorted(self._segments.items())))


def _steps(curve: _Curve, prior: Mapping[int, _Step], strength: float) -> dict[int, _Step]:
    """What happens at each age at which something does, with `strength` leads of the prior's course among them."""
    at_risk, still_open = float(curve.leads), 1.0
    of_prior = strength if prior else 0.0
    steps: dict[int, _Step] = {}
    for age in sorted(curve.won.keys() | curve.lost.keys() | curve.open.keys() | prior.keys()):
        won, lost = curve.won.get(age, 0.0), curve.lost.get(age, 0.0)
        exposed, before = at_risk + of_prior, prior.get(age)
        ends_won, ends_lost = won, lost
        if before is not None:
            ends_won, ends_lost = won + of_prior * before.won, lost + of_prior * before.lost
            of_prior = strength * before.left
        if exposed > 0 and (ends_won or ends_lost):
            steps[age] = _Step(ends_won / exposed, ends_lost / exposed, still_open)
            still_open = steps[age].left
        at_risk -= won + lost + curve.open.get(age, 0.0)
    return steps


def _chance(steps: Mapping[int, _Step]) -> Decimal:
    """That a lead comes to be won, as far as ages reach; who is open still at the oldest age counts as never won."""
    share = sum(step.still_open * step.won for step in steps.values())
    return Decimal(min(1.0, max(0.0, share))).quantize(MILLIONTHS)


def _figures(curve: _Curve, chance: Decimal, sales: Sales, whole: Figures | None) -> Figures:
    leads, won = curve.leads, curve.total(Outcome.WON)
    # A sale without an amount counts as one of the usual amount.
    revenue = _divided(sales.micros * (sales.sales + sales.unvalued), sales.sales)
    average = won_micros = None
    if whole is None and revenue is not None:
        average, won_micros = _divided(revenue, leads), _divided(revenue, won)
    elif whole is not None and whole.average_micros is not None and whole.won_micros is not None:
        own = won * whole.won_micros if revenue is None else revenue
        average = _divided(own + PRIOR_LEADS * whole.average_micros, leads + PRIOR_LEADS)
        won_micros = _divided(own + PRIOR_SALES * whole.won_micros, won + PRIOR_SALES)
    return Figures(leads, won, curve.total(Outcome.LOST), chance, average, won_micros)


def _divided(micros: int, by: int) -> int | None:
    return (2 * micros + by) // (2 * by) if by else None
