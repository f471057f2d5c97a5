from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from sqlalchemy import event

from app.db.session import Database
from app.reports.funnel import Base, Funnel, FunnelQuery, ReportRefused, Steps, campaigns, funnel, metrics_of
from app.reports.funnel_model import StepCount
from connectors.contract.conversions import Money
from tests.integration.reports_rig import MICROS, Rig

NOVEMBER = FunnelQuery(since=date(2026, 11, 1), until=date(2026, 11, 30))
STEPS = Steps()


@pytest.fixture
async def rig(database: Database) -> Rig:
    rig = Rig(database)
    await rig.source()
    return rig


async def _fill(rig: Rig) -> None:
    """Google c1: three people, one of them twice by e-mail; Meta m1: one; one of nowhere; one created in October."""
    ann = await rig.lead("11-02", "google", "c1", email="ann", dimensions={"country": "US"})
    await rig.reach(ann, "lead", "11-02")
    await rig.reach(ann, "qualified_lead", "11-04")
    await rig.reach(ann, "opportunity", "11-06")
    await rig.reach(ann, "closed_revenue", "11-12", 500)
    await rig.reach(ann, "closed_revenue", "11-20", 300)
    again = await rig.lead("11-09", "meta", "m1", email="ann", dimensions={"country": "DE"})
    await rig.reach(again, "lead", "11-09", duplicate_of="ll1")
    await rig.reach(again, "opportunity", "11-10")
    bob = await rig.lead("11-03", "google", "c1", email="bob", dimensions={"country": "DE"})
    await rig.reach(bob, "lead", "11-03")
    await rig.reach(bob, "qualified_lead", "11-05", implied=True)
    await rig.reach(bob, "opportunity", "11-05")
    await rig.reach(bob, "closed_revenue", "11-07", 900, live=False, ended_why="left")
    eve = await rig.lead("11-30", "google", "c1")
    await rig.reach(eve, "lead", "11-30")
    await rig.reach(eve, "disqualified", "11-30")
    meg = await rig.lead("11-10", "meta", "m1", email="meg", dimensions={"country": "US"})
    await rig.reach(meg, "lead", "11-10")
    # Told as a share of what she is worth; her revenue is the whole.
    await rig.reach(meg, "closed_revenue", "11-30", 40, nominal_micros=100 * MICROS, nominal_currency="USD")
    lost = await rig.lead("11-11")
    await rig.reach(lost, "lead", "11-11")
    old = await rig.lead("10-31", "google", "c1", email="old")
    await rig.reach(old, "lead", "10-31")
    await rig.reach(old, "closed_revenue", "11-01", 7)
    await rig.spend("google", "c1", "11-01", 30)
    await rig.spend("google", "c1", "11-30", 60)
    await rig.spend("google", "c1", "12-01", 1000)
    await rig.spend("meta", "m1", "11-10", 40)
    await rig.spend("meta", "idle", "11-10", 5)


def _people(report: Funnel, milestone: str) -> dict[tuple[str | None, str | None], int]:
    return {(row.platform, row.campaign_id): row.count(milestone).people for row in report.rows}


async def test_each_person_counts_once_and_where_they_first_came_from(rig: Rig) -> None:
    """Ann filled in two forms with one e-mail: twice would halve the cost per lead and credit the wrong campaign."""
    await _fill(rig)
    report = await campaigns(rig.database, NOVEMBER)

    assert _people(report, "lead") == {("google", "c1"): 3, ("meta", "m1"): 1, ("meta", "idle"): 0, (None, None): 1}
    google = report.rows[0]
    assert google.count("opportunity") == StepCount(people=2)
    assert google.count("lead") == StepCount(people=3, duplicates=1)
    assert google.count("qualified_lead") == StepCount(people=2, implied=1)
    assert google.count("closed_revenue") == StepCount(people=1, ended=1)
    assert google.revenue.micros == 800 * MICROS
    assert report.total.count("lead").people == 5
    assert report.total.count("closed_revenue") == StepCount(people=2, ended=1)


async def test_costs_and_values_by_campaign_and_in_total(rig: Rig) -> None:
    """The totals divide sums; spend outside the period and people created outside it do not count."""
    await _fill(rig)
    report = await campaigns(rig.database, NOVEMBER)

    google = metrics_of(report.rows[0], STEPS)
    assert google.cost_per_lead == 30 * MICROS
    assert google.cost_per_qualified_lead == 45 * MICROS
    assert google.cost_per_customer == 90 * MICROS
    assert google.lead_value == Fraction(800 * MICROS, 3)
    assert google.roas == Fraction(80, 9)
    assert (google.disqualified_rate, google.close_rate) == (Fraction(1, 3), Fraction(1, 3))
    total = metrics_of(report.total, STEPS)
    assert (report.total.spend, report.total.revenue) == (
        replace(report.total.revenue, micros=135 * MICROS),
        report.total.revenue,
    )
    assert total.cost_per_lead == Fraction(135 * MICROS, 5)
    assert total.roas == Fraction(900, 135)
    assert report.rows[0].days_to_customer == 10
    assert report.total.days_to_customer == 15
    assert (report.rows[0].name, report.rows[0].clicks, report.rows[0].impressions) == ("Name of c1", 20, 200)


async def test_spend_without_leads_is_shown_without_a_ratio(rig: Rig) -> None:
    """Money burnt on nobody is the first thing to see; divided by nobody it is no number."""
    await _fill(rig)
    report = await campaigns(rig.database, NOVEMBER)

    idle = next(row for row in report.rows if row.campaign_id == "idle")
    assert idle.spend is not None
    assert idle.spend.micros == 5 * MICROS
    assert metrics_of(idle, STEPS).cost_per_lead is None
    stranger = next(row for row in report.rows if row.platform is None)
    assert metrics_of(stranger, STEPS).cost_per_lead is None, "unknown, not free"
    assert metrics_of(stranger, STEPS).roas is None
    assert any("1 of 5 leads are not attributed" in note for note in report.notes)


async def test_the_whole_equals_the_total_of_any_breakdown(rig: Rig) -> None:
    """Two screens with different totals would be believed by nobody."""
    await _fill(rig)
    whole = await funnel(rig.database, NOVEMBER)

    assert whole.rows == ()
    for by in ("campaign", "platform", "dimension:country"):
        for most in (1, 2, 50):
            total = (await funnel(rig.database, replace(NOVEMBER, by=by, most=most))).total
            assert total == replace(whole.total, name=None), (by, most)


async def test_the_period_base_counts_by_the_milestones_instant(rig: Rig) -> None:
    """What happened this month, whoever it happened to: October's lead who bought in November is in."""
    await _fill(rig)
    report = await funnel(rig.database, replace(NOVEMBER, base=Base.PERIOD, until=date(2026, 11, 11)))

    assert {name: count.people for name, count in report.total.counts.items()} == {
        "lead": 4, "qualified_lead": 2, "opportunity": 2, "closed_revenue": 1,
    }  # fmt: skip
    assert report.total.revenue.micros == 7 * MICROS
    assert "whenever they were created" in report.sentence
    by_campaign = await campaigns(rig.database, replace(NOVEMBER, base=Base.PERIOD))
    assert _people(by_campaign, "closed_revenue") == {
        ("google", "c1"): 2, ("meta", "m1"): 1, ("meta", "idle"): 0, (None, None): 0,
    }  # fmt: skip
    assert by_campaign.rows[0].count("opportunity").people == 2, "Ann's second deal is hers, of Google"


async def test_filters_narrow_people_and_spend_alike(rig: Rig) -> None:
    """A cost of all over the leads of one campaign would be nonsense."""
    await _fill(rig)
    meta = await funnel(rig.database, replace(NOVEMBER, platform="meta"))
    idle = await funnel(rig.database, replace(NOVEMBER, platform="meta", campaign_id="idle"))
    german = await funnel(rig.database, replace(NOVEMBER, dimension=("country", "DE")))

    assert (meta.total.count("lead").people, meta.total.spend) == (1, replace(meta.total.revenue, micros=45 * MICROS))
    assert (idle.total.count("lead").people, metrics_of(idle.total, STEPS).cost_per_lead) == (0, None)
    assert (german.total.count("lead").people, german.total.spend) == (1, None)
    assert "Spend is not known by country: no costs are shown." in german.notes
    hostile = await funnel(rig.database, replace(NOVEMBER, dimension=("c\"o'u%ntry", "'; DROP TABLE leads")))
    assert hostile.total.counts == {}


async def test_a_dimension_divides_people_but_not_costs(rig: Rig) -> None:
    """No platform says what its Germans cost; the total still does."""
    await _fill(rig)
    report = await funnel(rig.database, replace(NOVEMBER, by="dimension:country"))

    assert {row.value: (row.count("lead").people, row.spend) for row in report.rows} == {
        "US": (2, None), "DE": (1, None), None: (2, None),
    }  # fmt: skip
    assert report.total.spend is not None
    assert report.total.spend.micros == 135 * MICROS


async def test_what_is_beyond_the_largest_goes_into_one_row(rig: Rig) -> None:
    """A thousand stray campaign ids must not make a page of a thousand rows, nor vanish from the sums."""
    await _fill(rig)
    for number in range(20):
        lead = await rig.lead("11-15", "google", f"stray{number:02}")
        await rig.reach(lead, "lead", "11-15")
    report = await campaigns(rig.database, replace(NOVEMBER, most=2))

    assert [(row.campaign_id, row.is_rest) for row in report.rows] == [("c1", False), ("m1", False), (None, True)]
    assert report.rows[-1].count("lead").people == 21
    assert report.total.count("lead").people == 25


async def test_a_deal_without_people_is_not_forgotten(rig: Rig) -> None:
    """Its revenue is real; it belongs to the day the deal was created and to no campaign."""
    for number, created in ((1, "11-05"), (2, "10-05"), (3, None)):
        await rig.record(number, created)
        await rig.reach(None, "closed_revenue", "11-20", 10, record_id=number)
    whole = await funnel(rig.database, NOVEMBER)
    by_campaign = await campaigns(rig.database, NOVEMBER)

    assert (whole.total.count("closed_revenue").people, whole.total.revenue.micros) == (2, 20 * MICROS)
    assert _people(by_campaign, "closed_revenue") == {(None, None): 2}
    period = await campaigns(rig.database, replace(NOVEMBER, base=Base.PERIOD))
    assert _people(period, "closed_revenue") == {(None, None): 3}
    assert (await funnel(rig.database, replace(NOVEMBER, platform="google"))).total.counts == {}


async def test_a_deal_won_before_anybody_was_on_it_is_its_persons(rig: Rig) -> None:
    """The contact is often associated a day later; counted as a stranger and again as a person it would be two leads."""
    lead = await rig.lead("11-03", "google", "c1")
    other = await rig.lead("11-02", "meta", "m1")
    await rig.reach(lead, "lead", "11-03")
    await rig.record(5, "11-05")
    await rig.reach(None, "lead", "11-20", record_id=5, implied=True)
    await rig.reach(None, "closed_revenue", "11-20", 10, record_id=5)
    await rig.put_on(5, other)
    await rig.put_on(5, lead, is_primary=True)

    for base in Base:
        report = await campaigns(rig.database, replace(NOVEMBER, base=base))
        assert _people(report, "lead")["google", "c1"] == 1
        assert _people(report, "closed_revenue")["google", "c1"] == 1
        assert report.total.count("lead") == StepCount(people=1)
        assert report.total.revenue.micros == 10 * MICROS
    filtered = await funnel(rig.database, replace(NOVEMBER, platform="google"))
    assert filtered.total.revenue.micros == 10 * MICROS


async def test_foreign_money_is_converted_by_its_own_day(rig: Rig) -> None:
    """The rate of the day, at most seven days old, as the mapping does; rounded once."""
    lead = await rig.lead("11-10", "google", "c1")
    await rig.reach(lead, "closed_revenue", "11-20", 100, currency="EUR")
    await rig.reach(lead, "closed_revenue", "11-21", 100, currency="EUR")
    await rig.rate("11-13", "EUR", "USD", 1_100_000)
    await rig.rate("11-21", "EUR", "USD", 1_200_000)
    await rig.spend("google", "c1", "11-10", 50)
    await rig.spend("google", "c1", "11-12", 0)
    await rig.spend("google", "c1", "11-11", 5000, currency="JPY")
    await rig.rate("11-11", "JPY", "USD", 6_500)
    report = await campaigns(rig.database, NOVEMBER)

    assert report.currency == "USD"
    assert report.total.revenue.micros == 230 * MICROS
    assert report.total.spend is not None
    assert report.total.spend.micros == int(82.5 * MICROS)
    assert metrics_of(report.rows[0], STEPS).roas == Fraction(2300, 825)
    assert report.notes == ()


async def test_money_without_a_rate_is_never_added(rig: Rig) -> None:
    """100 EUR and 50 USD are not 150 of anything: what cannot be converted stands apart, and ratios that need it are none."""
    lead = await rig.lead("11-10", "google", "c1")
    await rig.reach(lead, "lead", "11-10")
    await rig.reach(lead, "closed_revenue", "11-20", 100, currency="EUR")
    await rig.reach(lead, "closed_revenue", "11-20", 10)
    await rig.rate("11-12", "EUR", "USD", 1_100_000)
    await rig.spend("google", "c1", "11-10", 50)
    report = await campaigns(rig.database, NOVEMBER)

    assert (report.total.revenue.micros, report.total.revenue.foreign) == (10 * MICROS, (Money(100 * MICROS, "EUR"),))
    found = metrics_of(report.rows[0], STEPS)
    assert found.cost_per_lead == 50 * MICROS
    assert found.lead_value is None
    assert found.roas is None
    assert any("100.00 EUR of revenue stand apart" in note for note in report.notes)
    in_euro = await funnel(rig.database, replace(NOVEMBER, currency="EUR"))
    assert in_euro.total.revenue.micros == 100 * MICROS
    assert in_euro.total.spend is not None
    assert in_euro.total.spend.foreign == (Money(50 * MICROS, "USD"),)


async def test_a_win_without_an_amount_is_told(rig: Rig) -> None:
    """Revenue that is too small for a reason must say so."""
    lead = await rig.lead("11-10")
    await rig.reach(lead, "closed_revenue", "11-20")
    report = await funnel(rig.database, NOVEMBER)

    assert (report.total.unvalued, report.total.revenue.micros, report.currency) == (1, 0, None)
    assert any("1 won without an amount" in note for note in report.notes)


async def test_a_cheaper_lead_that_makes_a_dearer_customer_is_told(rig: Rig) -> None:
    """The one mistake that this product is for; only by period, as a young cohort has not had its time."""
    for day, leads in (("11-05", 2), ("11-15", 8)):
        people = [await rig.lead(day, "google", "c1") for _ in range(leads)]
        for person in people:
            await rig.reach(person, "lead", day)
        await rig.spend("google", "c1", day, 100 if day == "11-05" else 200)
        await rig.reach(people[0], "closed_revenue", day, 10)
    later = FunnelQuery(since=date(2026, 11, 11), until=date(2026, 11, 20), base=Base.PERIOD)

    assert (await funnel(rig.database, later)).notes[0].endswith("but cost per customer rose.")
    assert (await funnel(rig.database, replace(later, base=Base.COHORT))).notes == ()


async def test_a_source_filter_withholds_what_is_not_known_by_source(rig: Rig) -> None:
    """Two CRMs share one ad account's spend."""
    await _fill(rig)
    assert (await funnel(rig.database, replace(NOVEMBER, source="crm"))).total.spend is not None
    await rig.source(2, "other")
    other = await funnel(rig.database, replace(NOVEMBER, source="other"))

    assert (other.total.counts, other.total.spend) == ({}, None)
    assert "Spend is not known by source: no costs are shown." in other.notes


async def test_steps_can_be_named(rig: Rig) -> None:
    """One firm's qualified lead is another's sales-accepted one."""
    lead = await rig.lead("11-10")
    await rig.reach(lead, "inquiry", "11-10")
    await rig.reach(lead, "sale", "11-11", 5)
    steps = Steps(lead="inquiry", customer="sale")
    report = await funnel(rig.database, replace(NOVEMBER, steps=steps))

    assert metrics_of(report.total, steps).lead_value == 5 * MICROS
    assert report.total.days_to_customer == 1


@pytest.mark.parametrize(
    ("query", "word"),
    [
        (FunnelQuery(by="colour"), "dimension:NAME"),
        (FunnelQuery(by="dimension:"), "dimension:NAME"),
        (FunnelQuery(since=date(2026, 11, 2), until=date(2026, 11, 1)), "swap"),
        (FunnelQuery(most=0), "1 to"),
        (FunnelQuery(source="absent"), "known are: crm"),
    ],
)
async def test_a_question_without_sense_is_refused_with_the_mend(rig: Rig, query: FunnelQuery, word: str) -> None:
    """An empty report would be taken for an answer."""
    with pytest.raises(ReportRefused, match=word):
        await funnel(rig.database, query)


async def test_a_report_costs_a_constant_number_of_statements(rig: Rig) -> None:
    """Not one more for each campaign or lead, and none that writes."""
    await _fill(rig)
    statements: list[str] = []
    event.listen(rig.database._reader.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    await campaigns(rig.database, NOVEMBER)
    first = len(statements)
    for number in range(10):
        await rig.reach(await rig.lead("11-20", "google", f"c{number}"), "lead", "11-20")
    statements.clear()
    await campaigns(rig.database, NOVEMBER)

    assert len(statements) == first <= 10
    assert not [one for one in statements if not one.lstrip().startswith(("SELECT", "WITH", "SET TRANSACTION", "BEGIN"))]
