from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reports.formulas import (
    Figures,
    at_equal_spend,
    cheaper_but_worse,
    converted,
    cost_per_customer,
    cost_per_lead,
    cost_per_opportunity,
    cost_per_qualified_lead,
    lead_value,
    middle,
    return_on_ad_spend,
    rounded,
    static_lead_value,
)

MICROS = 1_000_000
A = Figures(spend=800 * MICROS, revenue=800 * MICROS, leads=200)
B = Figures(spend=900 * MICROS, revenue=2000 * MICROS, leads=100)
FIRST = Figures(spend=1000 * MICROS, leads=100, qualified=20, customers=5)
SECOND = Figures(spend=1000 * MICROS, leads=200, qualified=16, customers=4)

counts = st.integers(0, 10**9)
figures = st.builds(Figures, counts, counts, counts, counts, counts, counts, counts)


def _money(value: Fraction | None, digits: int = 4) -> Decimal:
    assert value is not None
    return rounded(value / MICROS, digits)


def _plain(value: Fraction | None, digits: int) -> Decimal:
    assert value is not None
    return rounded(value, digits)


def test_the_ad_set_of_cheap_leads() -> None:
    """T1: 200 leads at 4 that bring 800: the spend comes back once, the profit is nothing."""
    assert _money(cost_per_lead(A)) == 4
    assert _money(lead_value(A)) == 4
    assert return_on_ad_spend(A) == 1
    assert A.revenue - A.spend == 0


def test_the_ad_set_of_dear_leads() -> None:
    """T2: 100 leads at 9 that bring 2,000; 2.2 is how the stored 2.22... is shown."""
    assert _money(cost_per_lead(B)) == 9
    assert _money(lead_value(B)) == 20
    assert return_on_ad_spend(B) == Fraction(20, 9)
    assert _plain(return_on_ad_spend(B), 2) == Decimal("2.22")
    assert _plain(return_on_ad_spend(B), 1) == Decimal("2.2")


def test_more_revenue_with_half_the_leads() -> None:
    """T3: 2.5 times the revenue of the other, with half its leads."""
    assert Fraction(B.revenue, A.revenue) == Fraction(5, 2)
    assert Fraction(B.leads, A.leads) == Fraction(1, 2)


@given(figures)
def test_return_on_ad_spend_is_lead_value_by_cost_per_lead(one: Figures) -> None:
    """T4: the identity must hold exactly, or two numbers on one screen contradict each other."""
    cost, value, back = cost_per_lead(one), lead_value(one), return_on_ad_spend(one)
    if cost and value is not None:
        assert back == value / cost


def test_the_verdict_stays_at_equal_spend() -> None:
    """T5: 900 against 800 is no equal comparison; at 800 the dear leads still bring more."""
    scaled = at_equal_spend(B, A.spend)
    assert scaled is not None
    leads, revenue = scaled
    assert rounded(leads, 2) == Decimal("88.89")
    assert _money(revenue, 2) == Decimal("1777.78")
    assert revenue > A.revenue
    assert at_equal_spend(Figures(leads=3), 100) is None


def test_a_total_sums_first_and_divides_after() -> None:
    """T6: the mean of the rows (6.50, 12.00, 1.61) would be wrong."""
    total = A + B

    assert (total.spend, total.leads, total.revenue) == (1700 * MICROS, 300, 2800 * MICROS)
    assert _money(cost_per_lead(total)) == Decimal("5.6667")
    assert _money(lead_value(total)) == Decimal("9.3333")
    assert _plain(return_on_ad_spend(total), 4) == Decimal("1.6471")


def test_a_static_value_is_value_by_close_rate() -> None:
    """T7: 500 for each closed lead and one in ten closes."""
    assert _money(static_lead_value(500 * MICROS, Fraction(10, 100)), 2) == Decimal("50.00")


def test_cost_and_value_rank_the_other_way_round() -> None:
    """T8: by cost per lead A wins, by lead value B; a report that shows one of them decides wrongly."""
    named = {"A": A, "B": B}

    assert min(named, key=lambda name: cost_per_lead(named[name]) or Fraction(0)) == "A"
    assert max(named, key=lambda name: lead_value(named[name]) or Fraction(0)) == "B"


def test_cheaper_leads_that_make_dearer_customers_raise_an_alert() -> None:
    """T9: cost per lead halves, and each customer costs a quarter more."""
    assert [_money(cost_per_lead(one), 2) for one in (FIRST, SECOND)] == [Decimal("10.00"), Decimal("5.00")]
    assert [_money(cost_per_qualified_lead(one), 2) for one in (FIRST, SECOND)] == [Decimal("50.00"), Decimal("62.50")]
    assert [_money(cost_per_customer(one), 2) for one in (FIRST, SECOND)] == [Decimal("200.00"), Decimal("250.00")]
    assert cheaper_but_worse(FIRST, SECOND) == ("cost per qualified lead", "cost per customer")
    assert cheaper_but_worse(SECOND, FIRST) == ()
    assert cheaper_but_worse(FIRST, Figures()) == ()


def test_rates_stay_rational() -> None:
    """T10: one in six of 3,000 is 500; with a rate rounded to 16.67 % it would be 500.10."""
    assert _money(static_lead_value(3000 * MICROS, Fraction(1, 6)), 2) == Decimal("500.00")
    assert _money(static_lead_value(3000 * MICROS, Fraction("0.1667")), 2) == Decimal("500.10")


@pytest.mark.parametrize("formula", [cost_per_lead, cost_per_qualified_lead, cost_per_opportunity, cost_per_customer, lead_value])
def test_nothing_is_divided_by_nobody(formula: object) -> None:
    """Spend without leads has no cost per lead: neither infinity nor zero."""
    assert formula(Figures(spend=5, revenue=5)) is None  # type: ignore[operator]  # each is a formula
    assert return_on_ad_spend(Figures(revenue=5)) is None


@given(st.lists(figures, max_size=5))
def test_order_of_adding_does_not_matter(many: list[Figures]) -> None:
    """A total row must be the same whatever the rows are sorted by."""
    assert sum(many, Figures()) == sum(reversed(many), Figures())


def test_foreign_amounts_are_rounded_once() -> None:
    """Rounding each day would let a year drift."""
    assert converted([(1, 1_500_000), (1, 1_500_000)]) == 3
    assert converted([(10 * MICROS, 1_084_300)]) == 10_843_000
    assert converted([]) == 0


def test_a_median_and_roundings_are_exact() -> None:
    """Half to even, straight from the ratio, however large."""
    assert middle(3, 4) == Fraction(7, 2)
    assert rounded(Fraction(5, 2), 0) == 2
    assert rounded(Fraction(10**30 + 1, 2), 0) == Decimal(5 * 10**29)
    assert str(rounded(Fraction(1, 3), 2)) == "0.33"
    assert str(rounded(Fraction(0), 2)) == "0.00"
