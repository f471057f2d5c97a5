"""Values that are learnt from our own history: what a document may say, and what the engine makes of a fit."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mapping.accounts import Account, settle_account
from app.mapping.aggregate import Aggregate, ConversionState, Deal, Person, ValueState
from app.mapping.checking import check_document
from app.mapping.document import MappingDocument, parse_document
from app.mapping.engine import derive
from app.mapping.fits import Figures, Fit, MilestoneFit, Segment
from app.mapping.labels import canonical
from app.mapping.mistakes import DocumentInvalid, Mistake
from app.mapping.rates import Rates
from app.mapping.selection import selection_of
from connectors.contract.conversions import Money
from connectors.contract.records import ObjectKind
from tests.unit.mapping.mapping_rig import DOCUMENT, FACTS, NO_RATES, SCHEMA, contact, day, deal, document, person
from tests.unit.mapping.test_document import SETTINGS

USD = 1_000_000
FIXED = {"model": "fixed", "amount": 20, "currency": "USD"}
AVERAGE = {"model": "average", "by": ["country"], "fallback": FIXED}
PREDICTED = {"model": "predicted", "field": "deal.amount", "by": ["country"], "fallback": FIXED}
QUALIFIED = (2.0, "qualified")


def by_history(value: dict[str, Any], milestone: str = "opportunity", **changes: Any) -> MappingDocument:
    return document({milestone: {"value": value}}, dimensions={"country": "contact.country", "kind": "deal.dealstage"}, **changes)


def fit(version: int = 3, milestone: str = "opportunity", **changes: Any) -> Fit:
    whole = Figures(400, 100, 200, Decimal("0.300000"), 250 * USD, 1000 * USD)
    parts: dict[Segment, Figures] = {("US",): Figures(150, 90, 40, Decimal("0.600000"), 800 * USD, 2000 * USD)}
    found = replace(MilestoneFit(("country",), "USD", whole, parts), **changes)
    return Fit(datetime(2026, 11, 20, 3, tzinfo=UTC), 1, {milestone: found}, version)


def reach(
    by: MappingDocument,
    known_fit: Fit | None,
    *,
    country: str = "US",
    amount: str = "",
    known: tuple[ConversionState, ...] = (),
    renews: bool = False,
    milestone: str = "opportunity",
    rates: Rates = NO_RATES,
) -> ConversionState:
    who, about = person(contact((1, "mql"), country=country)), deal(QUALIFIED, amount=amount)
    states = derive(Aggregate(who, (about,), known), by, FACTS, rates, fit=known_fit, renews_values=renews)
    return next(one for one in states if one.milestone == milestone)


def mistakes(value: dict[str, Any], milestone: str = "opportunity", **changes: Any) -> dict[str, Mistake]:
    with pytest.raises(DocumentInvalid) as caught:
        by_history(value, milestone, **changes)
    return {one.path: one for one in caught.value.mistakes}


# The document -------------------------------------------------------------------------------------------------------------


def test_a_fallback_is_needed_and_is_no_learnt_model_itself() -> None:
    """Before there is history, and wherever it is thin, a conversion must have some value."""
    assert "needs a `fallback`" in mistakes({"model": "average"})["milestones[2].value"].message
    nested = mistakes({**AVERAGE, "fallback": AVERAGE})
    assert "'fixed', 'field' or 'weighted'" in nested["milestones[2].value.fallback.model"].message
    assert "fixed value needs" in mistakes({**AVERAGE, "fallback": {"model": "fixed"}})["milestones[2].value.fallback"].message


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({**FIXED, "by": ["country"]}, "go with the models"),
        ({**FIXED, "fallback": FIXED}, "go with the models"),
        ({**PREDICTED, "probability": "stage"}, "do not go with `predicted`"),
        ({**PREDICTED, "if_missing": "skip"}, "do not go with `predicted`"),
        ({**AVERAGE, "amount": "5"}, "do not go with `average`"),
        ({**AVERAGE, "field": "deal.amount"}, "does not go with `average`"),
        ({**AVERAGE, "by": ["country", "country"]}, "twice"),
    ],
)
def test_what_a_model_does_not_read_is_refused(value: dict[str, Any], word: str) -> None:
    """A key that is silently ignored is a setting that silently does nothing."""
    assert word in mistakes(value)["milestones[2].value"].message


def test_an_unknown_dimension_is_named_with_the_nearest() -> None:
    """A segment by a word that means nothing would be one segment of all."""
    found = mistakes({**AVERAGE, "by": ["platform", "contry"]})["milestones[2].value.by[1]"]

    assert (found.nearest, "no dimension has this name" in found.message) == ("country", True)


def test_a_segment_must_be_known_when_the_milestone_is_reached() -> None:
    """Only who got a deal has a deal's dimension: everybody else would be predicted to win nothing, and new leads with them."""
    assert "only who got one" in mistakes({**AVERAGE, "by": ["kind"]}, "qualified_lead")["milestones[1].value.by[0]"].message
    assert by_history({**AVERAGE, "by": ["kind"]}).learns["opportunity"].by == ("kind",)


def test_there_must_be_something_to_learn() -> None:
    """What was won is known when it is won; and without that milestone nothing is ever known."""
    assert mistakes(AVERAGE, "closed_revenue")["milestones[3].value.model"].nearest == "field"
    without = [one for one in DOCUMENT["milestones"] if one["name"] != "closed_revenue"]
    without[2] = {**without[2], "value": {**AVERAGE, "by": []}}
    with pytest.raises(DocumentInvalid, match="`closed_revenue`, and there is none"):
        parse_document({**deepcopy(DOCUMENT), "milestones": without, "destinations": {}})


def test_fields_of_a_fallback_are_read_checked_and_named_like_others() -> None:
    """A field that is not read is empty, and every fallback would wait for ever."""
    value = {**AVERAGE, "fallback": {"model": "weighted", "field": "deal.amount", "probability": "contact.score"}}
    wrong = {**PREDICTED, "field": "deal.amont", "fallback": {"model": "field", "field": "deal.amout"}}
    by_label = {**PREDICTED, "field": "deal.Amount", "fallback": {"model": "field", "field": "deal.Amount"}}
    amount = replace(SCHEMA.properties[ObjectKind.DEAL]["amount"], label="Amount")
    deals = {**SCHEMA.properties[ObjectKind.DEAL], "amount": amount}
    labelled = replace(SCHEMA, names_by_label=True, properties={**SCHEMA.properties, ObjectKind.DEAL: deals})

    objects = selection_of(by_history(value), SCHEMA).objects
    found = {one.path: one.nearest for one in check_document(by_history(wrong), SCHEMA, SETTINGS)}
    named = canonical({"milestones": [{"name": "x", "value": by_label}]}, labelled)

    assert {"amount", "currency"} <= objects[ObjectKind.DEAL].fields
    assert "score" in objects[ObjectKind.CONTACT].fields
    assert found == {"milestones[2].value.field": "deal.amount", "milestones[2].value.fallback.field": "deal.amount"}
    assert named.data["milestones"][0]["value"] == {  # type: ignore[index]  # a document
        **PREDICTED,
        "fallback": {"model": "field", "field": "deal.amount"},
    }
    assert named.mistakes == ()


# Values -------------------------------------------------------------------------------------------------------------------


def test_the_fallback_stands_in_where_history_does_not_suffice_and_says_so() -> None:
    """A value must never be missing only because there is no history, and nobody may take the fallback for a prediction."""
    few = fit(whole=Figures(12, 2, 1, Decimal("0.2"), USD, USD))

    none = reach(by_history(AVERAGE), None)
    told = {one.value_why for one in (reach(by_history(AVERAGE), few), reach(by_history(AVERAGE), fit(by=("platform",))))}

    assert (none.money, none.value_why) == (Money(20 * USD, "USD"), "no fit yet: the fallback of `average`, fixed at 20 USD")
    assert told == {
        "too few cases: 12 leads, 2 won, of at least 50 and 10 (fit 3): the fallback of `average`, fixed at 20 USD",
        "no fit yet (fit 3 was made for another mapping): the fallback of `average`, fixed at 20 USD",
    }


def test_an_average_is_the_segments_or_the_wholes_and_says_whose() -> None:
    """The trace must show from how many leads a value comes, and which fit knew them."""
    own, others = reach(by_history(AVERAGE), fit()), reach(by_history(AVERAGE), fit(), country="FR")

    assert own.money == Money(800 * USD, "USD")
    assert own.value_why == "average: won revenue per lead of 150 leads of country=US (fit 3 of 2026-11-20)"
    assert (others.money, others.value_why) == (
        Money(250 * USD, "USD"),
        "average: won revenue per lead of 400 leads (fit 3 of 2026-11-20)",
    )


def test_a_prediction_is_the_chance_times_the_crms_amount_and_follows_it() -> None:
    """The chance is frozen as a stage's probability is; an amount that sales edit is a restatement."""
    by = by_history(PREDICTED)
    first = reach(by, fit(), amount="1000")
    later = reach(by, fit(4), amount="3000", known=(first,))
    emptied = reach(by, fit(4), amount="", known=(later,))

    said = "predicted: deal.amount in USD times 60.0%, the chance to win of 150 leads of country=US (fit 3 of 2026-11-20)"
    assert (first.money, first.value_why) == (Money(600 * USD, "USD"), said)
    assert (later.money, later.value_why) == (Money(1800 * USD, "USD"), said)
    assert emptied.money == Money(1800 * USD, "USD")


def test_without_an_amount_a_prediction_takes_the_usual_one_until_there_is_one() -> None:
    """Most opportunities have no amount on their first day, when bidding needs the value."""
    by = by_history(PREDICTED)
    first = reach(by, fit())
    later = reach(by, fit(), amount="100", known=(first,))

    assert first.money == Money(1200 * USD, "USD")
    assert "deal.amount is empty or no amount: the average won amount of 2000.00 USD times 60.0%" in first.value_why
    assert later.money == Money(60 * USD, "USD")


def test_a_newer_fit_restates_nothing_unless_a_person_asks() -> None:
    """Fits come every night: each would restate every conversion that a platform still takes corrections of."""
    newer = fit(4, whole=Figures(900, 100, 200, Decimal("0.1"), 9 * USD, USD), segments={})
    for value, asked_for in ((AVERAGE, 9 * USD), (PREDICTED, USD // 10)):
        first = reach(by_history(value), fit())

        assert reach(by_history(value), newer, known=(first,)) == first
        assert reach(by_history(value), newer, known=(first,), renews=True).money == Money(asked_for, "USD")


FIGURES = st.builds(
    Figures,
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6).map(lambda one: Decimal(one) / 10**6),
    st.none() | st.integers(0, 10**12),
    st.none() | st.integers(0, 10**12),
)
FITS = st.none() | st.builds(
    lambda version, whole, own: fit(version, whole=whole, segments={("US",): own}), st.integers(1, 99), FIGURES, FIGURES
)


@given(st.sampled_from([AVERAGE, PREDICTED]), FITS, FITS, st.sampled_from(["", "0", "1000", "77.25"]))
def test_no_newer_fit_changes_the_money_of_a_conversion(
    value: dict[str, Any], one: Fit | None, other: Fit | None, amount: str
) -> None:
    """Whatever was learnt first, or was not, and whatever is learnt afterwards: only the CRM changes what was told."""
    first = reach(by_history(value), one, amount=amount)

    assert reach(by_history(value), other, amount=amount, known=(first,)) == first
    assert first.money is None or first.money.amount_micros >= 0


def test_the_fallback_stays_until_a_person_asks() -> None:
    """What was sent by the fallback is not corrected by the first fit either."""
    by = by_history(AVERAGE)
    first = reach(by, None)

    assert reach(by, fit(), known=(first,)) == first
    assert reach(by, fit(), known=(first,), renews=True).money == Money(800 * USD, "USD")


def test_a_fallback_by_a_field_waits_for_it_as_the_field_does() -> None:
    """It is a value model as any other, with its own word for what is missing and its frozen probability."""
    weighted = {"model": "weighted", "field": "deal.amount", "probability": "stage"}
    by = by_history({**PREDICTED, "fallback": weighted})
    first = reach(by, None)
    later = reach(by, fit(), amount="1000", known=(first,))

    assert (first.value_state, first.money) == (ValueState.WAIT, None)
    assert (later.money, later.value_why) == (
        Money(200 * USD, "USD"),
        "no fit yet: the fallback of `predicted`, deal.amount in USD times 0.2",
    )


def test_amounts_of_another_currency_are_converted_like_those_of_a_field() -> None:
    """A prediction in the mapping's currency must not mix it with the deal's."""
    by = by_history({**PREDICTED, "currency": "EUR"})
    rates = Rates({(day(2).date(), "USD", "EUR"): 900_000}, 1)

    waiting = reach(by, fit(currency="EUR"), amount="1000")
    told = reach(by, fit(currency="EUR"), amount="1000", rates=rates)

    assert waiting.value_state is ValueState.RATE
    assert told.money == Money(540 * USD, "EUR")


def test_segments_by_platform_are_those_of_the_first_touch() -> None:
    """Attribution is frozen: a second click must not move a lead to another segment."""
    by = by_history({**AVERAGE, "by": ["platform"]}, "qualified_lead")
    parts = {("google",): Figures(150, 90, 40, Decimal("0.6"), 800 * USD, 2000 * USD)}
    known = fit(milestone="qualified_lead", by=("platform",), segments=parts)
    who = Person(7, day(0), (contact((1, "mql")),), platform="google")

    states = derive(Aggregate(who), by, FACTS, NO_RATES, fit=known)

    (one,) = [one for one in states if one.milestone == "qualified_lead"]
    assert one.money == Money(800 * USD, "USD")


def test_an_account_shares_learnt_values_like_others() -> None:
    """In incremental mode the conversions of a lead never carry more than it is worth."""
    by = by_history(PREDICTED, value_mode="incremental")
    who, about = person(contact((1, "mql"), country="US")), deal(QUALIFIED, (3, "won"), amount="1000")

    def carried(*deals: Deal) -> dict[str, Money | None]:
        aggregate = Aggregate(who, deals)
        states = derive(aggregate, by, FACTS, NO_RATES, fit=fit())
        settled = settle_account(Account.of(aggregate), states, {}, by, NO_RATES, "USD")
        return {one.milestone: one.money for one in settled.changed}

    assert carried(deal(QUALIFIED, amount="1000"))["opportunity"] == Money(550 * USD, "USD")
    assert sum(money.amount_micros for money in carried(about).values() if money) == 1000 * USD
