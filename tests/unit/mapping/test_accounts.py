"""One account per lead: what its conversions carry together is never more than what the lead is worth."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from app.mapping.accounts import Account, Settled, settle_account
from app.mapping.aggregate import Aggregate, ConversionState, Deal, Person, ValueState
from app.mapping.document import MappingDocument
from app.mapping.engine import derive
from app.mapping.rates import Rates
from connectors.contract.conversions import Money
from tests.unit.mapping.mapping_rig import FACTS, NO_RATES, contact, deal, document, person

USD = 1_000_000


def incremental(milestones: dict[str, dict[str, Any]] | None = None) -> MappingDocument:
    return document(milestones, value_mode="incremental")


class Lead:
    """A lead over time: each reading is judged on what was stored before."""

    def __init__(self, by: MappingDocument | None = None, rates: Rates = NO_RATES) -> None:
        self.by = by or incremental()
        self.rates = rates
        self.known: dict[str, ConversionState] = {}
        self.settled = Settled()

    def read(self, who: Person | None, *deals: Deal, renews: bool = False) -> dict[str, Money | None]:
        """What each live conversion carries, by milestone (and deal, where there are more)."""
        aggregate = Aggregate(who, deals, tuple(self.known.values()))
        states = {one.uid: one for one in derive(aggregate, self.by, FACTS, self.rates, renews_values=renews)}
        account = Account.of(aggregate)
        mine = [one for one in states.values() if account.holds(one)]
        self.settled = settle_account(account, mine, self.known, self.by, self.rates, "USD")
        self.known = states | {one.uid: one for one in self.settled.changed}
        return {name(one): one.money for one in self.known.values() if one.is_live}

    @property
    def worth(self) -> int | None:
        """In whole units."""
        return None if self.settled.worth is None else self.settled.worth.amount_micros // USD

    def why(self, milestone: str) -> str:
        return next(one.value_why for one in self.known.values() if one.milestone == milestone and one.is_live)


def name(one: ConversionState) -> str:
    return one.milestone if one.scope_key in ("101", "202") else f"{one.milestone} {one.scope_key}"


def usd(*amounts: int | None) -> list[Money | None]:
    return [None if amount is None else Money(amount * USD, "USD") for amount in amounts]


def some(told: dict[str, Money | None], *names: str) -> Sequence[Money | None]:
    return [told[one] for one in names]


MQL, QUALIFIED, PROPOSAL, WON = (1, "mql"), (2, "qualified"), (3, "proposal"), (4, "won")


def test_each_step_adds_what_the_lead_is_worth_more() -> None:
    """Bidding adds up what it is told: 50, then 200 of 1,000, then won must make 1,000 and not 1,250."""
    lead = Lead()

    assert some(lead.read(person(contact(MQL))), "qualified_lead") == usd(50)
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, amount="1000"))
    assert some(told, "qualified_lead", "opportunity") == usd(50, 150)
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))
    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, 150, 800)
    assert lead.worth == 1000
    said = "deal.amount in USD; it carries 800.00 USD: the lead is worth 1000.00 USD, of which 200.00 USD is carried by others"
    assert lead.why("closed_revenue") == said


def test_all_at_once_shares_as_step_by_step_does() -> None:
    """A backfill reads a won deal with its past: its early milestones must not swallow the whole worth."""
    told = Lead().read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))

    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, 150, 800)


def test_reading_the_same_again_changes_nothing() -> None:
    """Every poll judges again; a share is settled once."""
    lead = Lead()
    lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))
    before = dict(lead.known)
    lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))

    assert lead.known == before


def test_a_smaller_amount_is_taken_from_the_highest_milestone_backwards() -> None:
    """The newest conversion can still be corrected; the oldest may be past the platform's window. Below 0 nothing goes."""
    lead = Lead()
    lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))

    assert list(lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="700")).values()) == usd(None, 50, 150, 500)
    assert "300.00 USD less than before: the lead is worth 700.00 USD now" in lead.why("closed_revenue")
    assert list(lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="120")).values()) == usd(None, 50, 70, 0)
    assert list(lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="30")).values()) == usd(None, 50, 0, 0)
    assert lead.worth == 50


def test_a_larger_amount_is_told_with_the_highest_milestone() -> None:
    """An up-sell that nobody is told of makes the best customers look like the rest."""
    lead = Lead()
    lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1500"))

    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, 150, 1300)


def test_deals_add_up_beside_the_person() -> None:
    """Two deals of one lead are worth both, and the qualification is part of them, not beside them."""
    lead = Lead()
    lead.read(person(contact(MQL)), deal(QUALIFIED, amount="1000"))
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, amount="1000"), deal(WON, id_=3, ref="33", amount="400"))

    assert some(told, "qualified_lead", "opportunity", "closed_revenue 33") == usd(50, 150, 400)
    assert lead.worth == 600


def test_a_lost_deal_gives_its_worth_back() -> None:
    """The opportunity happened and stays counted; what it promised is gone, and the next deal starts from what is left."""
    lead = Lead()
    lead.read(person(contact(MQL)), deal(QUALIFIED, amount="1000"))
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, (5, "lost"), amount="1000"))

    assert some(told, "qualified_lead", "opportunity") == usd(50, 0)
    assert lead.worth == 50


def test_what_ends_frees_what_it_carried() -> None:
    """A won deal that is taken back is told back whole; the steps before it stay as they were told."""
    lead = Lead()
    lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON, (5, "qualified"), amount="1000"))

    assert told == {"lead": None, "qualified_lead": usd(50)[0], "opportunity": usd(150)[0]}
    assert lead.worth == 200


def test_implied_milestones_that_are_only_reported_carry_nothing_until_they_are_real() -> None:
    """Nobody is told of them, so nothing may be missing from what is told instead."""
    lead = Lead()
    told = lead.read(person(contact()), deal(WON, amount="1000"))

    assert some(told, "opportunity", "closed_revenue") == usd(None, 1000)
    assert "carries nothing" in lead.why("opportunity")
    told = lead.read(person(contact()), deal(QUALIFIED, WON, amount="1000"))
    assert some(told, "opportunity", "closed_revenue") == usd(0, 1000)


def test_implied_milestones_that_are_sent_carry_their_share() -> None:
    """Where the mapping sends them, they are steps like others."""
    by = incremental({"opportunity": {"implied": "send"}, "qualified_lead": {"implied": "send"}})
    told = Lead(by).read(person(contact()), deal(WON, amount="1000"))

    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, 150, 800)


def test_a_missing_amount_waits_and_settles_when_it_comes() -> None:
    """What is not known yet is no 0, and takes nothing from others."""
    lead = Lead()
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON))

    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, None, None)
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))
    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, 150, 800)


def test_a_person_who_comes_to_a_deal_brings_one_account() -> None:
    """A deal that had nobody carried its own worth; with its person's it would be told twice."""
    lead = Lead()
    lead.read(None, deal(QUALIFIED, amount="1000"))
    assert lead.worth == 200
    other = Lead()
    other.read(person(contact(MQL)))
    lead.known |= other.known
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, amount="1000"))

    assert some(told, "qualified_lead", "opportunity") == usd(50, 150)


def test_another_mode_restates_nothing_by_itself() -> None:
    """A conversion keeps the mode that made it: what was told stays told, and what comes later takes account of it."""
    lead = Lead(document())
    lead.read(person(contact(MQL)), deal(QUALIFIED, amount="1000"))
    lead.by = incremental()
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, amount="1000"))
    assert some(told, "qualified_lead", "opportunity") == usd(50, 200)

    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))
    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, 200, 750)
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="700"))
    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, 140, 510)


def test_back_to_absolute_shares_follow_their_own_value_alone() -> None:
    """Nothing is told anew by the switch, yet a corrected amount still is."""
    lead = Lead()
    lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))
    lead.by = document()
    assert list(lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000")).values()) == usd(None, 50, 150, 800)

    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="900"))
    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, 130, 700)


def test_renewed_values_change_the_mode_of_what_is_stored() -> None:
    """`reapply --restate` is the one act by which a mapping changes what was told."""
    lead = Lead(document())
    lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"))
    lead.by = incremental()
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"), renews=True)
    assert sum(one.amount_micros for one in told.values() if one is not None) == 1000 * USD

    lead.by = document()
    told = lead.read(person(contact(MQL)), deal(QUALIFIED, WON, amount="1000"), renews=True)
    assert some(told, "qualified_lead", "opportunity", "closed_revenue") == usd(50, 200, 1000)


DAY_4 = date(2026, 11, 5)


def test_the_account_is_kept_in_the_currency_of_the_newest_deal() -> None:
    """A lead with a dollar qualification and a euro deal is worth euros, by the rate of each day."""
    rates = Rates({(DAY_4, "EUR", "USD"): 1_250_000, (date(2026, 11, 2), "EUR", "USD"): 1_250_000}, 1)
    lead = Lead(rates=rates)
    lead.read(person(contact(MQL)))
    told = lead.read(person(contact(MQL)), deal(WON, amount="1000", currency="EUR"))

    assert told["closed_revenue"] == Money(960 * USD, "EUR")
    assert lead.settled.worth == Money(1000 * USD, "EUR")


def test_a_missing_rate_holds_up_what_is_new_and_moves_nothing_else() -> None:
    """Adding dollars to euros as if they were one would tell a wrong number for ever."""
    lead = Lead()
    lead.read(person(contact(MQL)))
    told = lead.read(person(contact(MQL)), deal(WON, amount="1000", currency="EUR"))

    assert some(told, "qualified_lead", "closed_revenue") == usd(50, None)
    won = next(one for one in lead.known.values() if one.milestone == "closed_revenue")
    assert won.value_state is ValueState.RATE
    assert "no rate from USD to EUR" in won.value_why
    lead.rates = Rates({(date(2026, 11, 2), "USD", "EUR"): 800_000}, 1)
    told = lead.read(person(contact(MQL)), deal(WON, amount="1000", currency="EUR"))
    assert told["closed_revenue"] == Money(960 * USD, "EUR")


def test_a_rate_is_remembered() -> None:
    """The rates of a day come late or are mended; a share that was told must not move by that."""
    lead = Lead(rates=Rates({(date(2026, 11, 2), "USD", "EUR"): 800_000}, 1))
    lead.read(person(contact(MQL)))
    lead.read(person(contact(MQL)), deal(WON, amount="1000", currency="EUR"))
    before = dict(lead.known)
    lead.rates = Rates({(date(2026, 11, 2), "USD", "EUR"): 900_000}, 2)
    lead.read(person(contact(MQL)), deal(WON, amount="1000", currency="EUR"))

    assert lead.known == before


def test_conversions_of_somebody_else_are_of_no_account() -> None:
    """A colleague's conversion of the company is read beside the lead's; it is the colleague's worth."""
    lead = Lead()
    lead.read(person(contact(MQL)))
    mine = next(iter(lead.known.values()))
    account = Account.of(Aggregate(person(contact(MQL)), ()))

    assert account.holds(mine)
    assert not account.holds(replace(mine, lead_id=8))
