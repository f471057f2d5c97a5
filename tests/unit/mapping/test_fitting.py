"""Figures from what became of leads: chances that no young cohort and no small segment leads astray."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import accumulate, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.mapping import fitting
from app.mapping.fits import Figures, Fit, MilestoneFit, read_fit, write_fit
from app.mapping.fitting import PRIOR_LEADS, Course, Fitting, Outcome, Sales

USD = 1_000_000
QUANTUM = Decimal("0.000002")
WON, LOST, OPEN = Outcome.WON, Outcome.LOST, Outcome.OPEN

Told = tuple[str, Course]  # of one segment

COURSES = st.lists(
    st.tuples(st.sampled_from("abc"), st.builds(Course, st.integers(0, 40), st.sampled_from(Outcome), st.integers(1, 30))),
    max_size=25,
)


def fitted(told: Sequence[Told], unconverted: int = 0, **sales: Sales) -> MilestoneFit:
    """By a segment of one part."""
    revenue = sum(sales.values(), Sales())
    fitting_ = Fitting(("x",), "USD", [one for _, one in told], revenue, unconverted)
    for name in {segment for segment, _ in told}:
        fitting_.add((name,), [one for segment, one in told if segment == name], sales.get(name, Sales()))
    return fitting_.done()


def chance(*told: Told) -> Decimal:
    """Of all leads."""
    return fitted(told).whole.chance


def segments(told: Sequence[Told]) -> dict[str, Figures]:
    return {segment[0]: one for segment, one in fitted(told).segments.items()}


def course(age: int, outcome: Outcome, leads: int = 1, segment: str = "a") -> Told:
    return segment, Course(age, outcome, leads)


@given(COURSES)
def test_a_chance_is_one(courses: list[Told]) -> None:
    """A chance above one would tell platforms more than the deal is worth."""
    for found in (fitted(courses).whole, *segments(courses).values()):
        assert 0 <= found.chance <= 1
        assert found.chance == found.chance.quantize(Decimal("0.000001"))


@given(COURSES)
def test_the_share_that_is_won_never_falls_with_age(courses: list[Told]) -> None:
    """What was won by an age is won at each later one; and of won and lost together there is never more than one."""
    steps = fitting._steps(fitting._Curve.of(one for _, one in courses), {}, 0)
    won = list(accumulate(step.still_open * step.won for step in steps.values()))
    lost = sum(step.still_open * step.lost for step in steps.values())

    assert list(steps) == sorted(steps)
    assert all(one <= other for one, other in pairwise(won))
    assert not won or won[-1] + lost <= 1 + 1e-9


@given(COURSES)
def test_where_all_have_ended_the_chance_is_simply_the_share_won(courses: list[Told]) -> None:
    """An operator can check it by hand: the estimate must not be cleverer than the facts."""
    closed = [(segment, one) for segment, one in courses if one.outcome is not OPEN]
    assume(closed)
    leads = sum(one.leads for _, one in closed)
    won = sum(one.leads for _, one in closed if one.outcome is WON)
    share = Decimal(won) / leads

    assert abs(chance(*closed) - share) <= QUANTUM
    for name, found in segments(closed).items():
        own = [one for segment, one in closed if segment == name]
        of_segment = sum(one.leads for one in own if one.outcome is WON)
        drawn = (of_segment + PRIOR_LEADS * share) / (sum(one.leads for one in own) + PRIOR_LEADS)
        assert abs(found.chance - drawn) <= QUANTUM


@given(COURSES, st.integers(0, 40), st.integers(5, 30))
def test_a_loss_that_was_a_win_after_all_never_lowers_the_chance(courses: list[Told], age: int, leads: int) -> None:
    """More success must never look like less, in the whole and in its segment."""
    before, after = [*courses, course(age, LOST, leads)], [*courses, course(age, WON, leads)]

    assert chance(*after) >= chance(*before) - QUANTUM
    assert segments(after)["a"].chance >= segments(before)["a"].chance - QUANTUM


@given(COURSES, st.integers(1, 10_000))
def test_young_leads_that_are_open_change_nothing_that_happened_later(courses: list[Told], leads: int) -> None:
    """A good month of new leads must not make the old ones look worse: they had no time to be won."""
    older = [(segment, replace(one, age=one.age + 1)) for segment, one in courses]

    assert chance(*older, course(0, OPEN, leads)) == chance(*older)


def test_young_cohorts_do_not_bias_the_chance_down() -> None:
    """Won deals take 30 days, so the leads of the last weeks are all open: counted as not won they would make 30 % into 20 %."""
    old = [course(30, WON, 18), course(20, LOST, 42)]
    young = [course(age, OPEN, 10) for age in (3, 10, 17)]

    assert chance(*old, *young) == Decimal("0.300000")


def test_the_prior_draws_small_segments_to_the_whole_and_leaves_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five of five won is luck, five hundred of five hundred is not."""
    rest = [course(10, LOST, 800, "rest"), course(10, WON, 200, "rest")]
    small = [course(10, WON, 5, "small")]
    large = [course(10, WON, 500, "large")]

    drawn = segments([*rest, *small])["small"].chance
    assert Decimal("0.2") < drawn < Decimal("0.3")
    assert segments([*rest, *large])["large"].chance > Decimal("0.94")
    monkeypatch.setattr(fitting, "PRIOR_LEADS", 10**9)
    assert abs(segments([*rest, *small])["small"].chance - chance(*rest, *small)) <= QUANTUM
    monkeypatch.setattr(fitting, "PRIOR_LEADS", 0)
    assert segments([*rest, *small])["small"].chance == 1


def test_a_segment_too_young_to_tell_what_happens_late_has_the_wholes_late_hazards() -> None:
    """A campaign of last month has lost some and won none yet: it is no campaign that never wins."""
    whole = [course(5, LOST, 300, "old"), course(40, WON, 300, "old")]
    young = [course(5, LOST, 30, "young"), course(10, OPEN, 30, "young")]

    assert Decimal("0.45") < segments([*whole, *young])["young"].chance < Decimal("0.55")


def test_a_segment_of_a_few_has_no_figures_of_its_own() -> None:
    """They would hardly differ from the whole's, and a segment of one lead tells of one person."""
    assert set(segments([course(1, WON, 4, "few"), course(1, LOST, 5, "more")])) == {"more"}


def test_averages_are_by_lead_and_by_sale_and_drawn_to_the_whole() -> None:
    """Money is integer micros; a sale without an amount counts as a usual one, so that it lowers no average."""
    courses = [course(1, WON, 30, "a"), course(1, LOST, 70, "a"), course(1, WON, 10, "b"), course(1, LOST, 90, "b")]
    sales = {"a": Sales(27_000 * USD, 27, 3), "b": Sales(40_000 * USD, 10)}
    found = fitted(courses, 2, **sales)

    priced = 67_000 * 40 / 37
    assert found.whole.average_micros == pytest.approx(priced / 200 * USD, abs=1)
    assert found.whole.won_micros == pytest.approx(priced / 40 * USD, abs=1)
    average, sale = found.segments["a",].average_micros, found.segments["a",].won_micros
    assert average == pytest.approx((30_000 + 50 * priced / 200) / 150 * USD, abs=2)
    assert sale == pytest.approx((30_000 + 3 * priced / 40) / 33 * USD, abs=2)
    assert (found.unconverted, found.unvalued) == (2, 1)


def test_without_any_amount_there_is_no_average() -> None:
    """An average of 0 would say that nothing is worth anything."""
    found = fitted([course(1, WON, 9)], a=Sales(0, 0, 9))

    assert (found.whole.average_micros, found.whole.won_micros) == (None, None)
    assert found.segments["a",].won_micros is None


@given(COURSES, st.integers(0, 10**15), st.integers(1, 50))
def test_a_fit_is_the_same_after_json(courses: list[Told], micros: int, sales: int) -> None:
    """What is stored is what values."""
    one = fitted(courses, 1, a=Sales(micros, sales, 2))
    fit = Fit(datetime(2026, 11, 20, tzinfo=UTC), 4, {"opportunity": one, "lead": replace(one, by=())}, 9)

    assert read_fit(write_fit(fit), version=9, mapping_version=4, fitted_at=fit.fitted_at) == fit
