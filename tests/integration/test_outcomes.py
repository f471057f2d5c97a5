"""What became of leads, as the database counts it: the material of every learnt value."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.db.bulk import insert_rows
from app.db.session import Database
from app.db.tables import fx_rates
from app.ingest import learning
from app.ingest.learning import learn
from app.ingest.outcome_queries import Asked, Outcomes
from app.mapping.fits import Fit
from app.mapping.stages import StageBook
from connectors.contract.records import RecordState
from tests.integration.recorder_rig import World, contact, day, deal, world_of
from tests.unit.mapping.mapping_rig import SCHEMA

USD = 1_000_000
FIXED = {"model": "fixed", "amount": 20, "currency": "USD"}
PREDICTED = {"model": "predicted", "field": "deal.amount", "by": ["country"], "fallback": FIXED}
AVERAGE = {"model": "average", "by": ["country", "platform"], "fallback": FIXED}
ATTRIBUTION = {"platform": {"field": "contact.score", "map": {"g": "google"}}}
REACHED, PROPOSAL = (1.0, "qualified"), (2.0, "proposal")
DISQUALIFIED = {"name": "disqualified", "when": [{"object": "contact", "property": "lifecyclestage", "enters": ["customer"]}]}


async def world(database: Database, **milestones: dict[str, Any]) -> World:
    learnt = {"opportunity": {"value": PREDICTED}, "qualified_lead": {"value": AVERAGE}, **milestones}
    return await world_of(database, learnt, dimensions={"country": "contact.country"}, attribution=ATTRIBUTION)


async def tell(made: World, number: int, *steps: tuple[float, str], country: str = "US", **changes: Any) -> None:
    """A person who qualified on day 0.5, with a deal of these steps."""
    ref = str(1000 + number)
    fields = {name: changes.pop(name) for name in ("amount", "currency") if name in changes}
    person = contact(ref, (0.5, "mql"), email=f"p{number}@x.example", country=country, score=changes.pop("score", ""))
    await made.record(person, deal(str(2000 + number), *steps, people=(ref,), **fields, **changes))


async def outcomes(made: World, milestone: str, *names: str, now: float = 40) -> Counter[tuple[str, int]]:
    """By outcome and age, of all."""
    asked = Asked(
        source_id=1,
        names=names or (milestone,),
        won=("closed_revenue",),
        disqualified=("disqualified",),
        wins_by_deal=True,
        stages=StageBook.of(SCHEMA),
        since_ms=0,
        now_ms=int(day(now).timestamp() * 1000),
    )
    found: Counter[tuple[str, int]] = Counter()
    async with made.database.read() as connection:
        for _, course in await Outcomes(connection, asked).courses():
            found[course.outcome.value, course.age] += course.leads
    return found


async def fit_of(made: World, now: float = 40) -> Fit:
    async with made.database.read() as connection:
        return await learn(connection, made.source, day(now))


async def test_each_course_of_a_deal_is_told_by_its_end_and_age(database: Database) -> None:
    """Won and lost are ends; what is neither is open for as long as it lies there, and none of them is told twice."""
    made = await world(database)
    await tell(made, 1, REACHED, (4, "won"))
    await tell(made, 2, REACHED, (6, "lost"))
    await tell(made, 3, REACHED)
    await tell(made, 4, REACHED, (5, "lost"), (8, "proposal"), (11, "won"))  # lost for a while
    await tell(made, 5, REACHED, (5, "lost"), (8, "proposal"))  # taken up again, and open
    await tell(made, 6, REACHED, (9, "won"), (12, "lost"))  # won by mistake
    await tell(made, 7, (3, "won"))  # reached is only implied
    await tell(made, 8, REACHED)  # deleted: as late as it was touched
    await made.record(deal("2008", REACHED, people=("1008",), state=RecordState.DELETED))

    assert await outcomes(made, "opportunity") == {
        ("won", 3): 1,
        ("lost", 5): 1,
        ("open", 39): 2,
        ("won", 10): 1,
        ("lost", 11): 1,
        ("lost", 29): 1,
    }


async def test_a_person_is_won_by_any_deal_and_lost_with_all_of_them(database: Database) -> None:
    """One lost deal of two ends nothing for a person; a disqualified one has ended without any."""
    made = await world(database)
    await tell(made, 1, REACHED, (4, "won"))
    await tell(made, 2, REACHED, (6, "lost"))
    await tell(made, 3, REACHED, (20, "lost"))
    await made.record(deal("3001", REACHED, (7, "lost"), people=("1003",)))
    await tell(made, 4, REACHED, (20, "lost"))
    await made.record(deal("3002", REACHED, people=("1004",)))

    assert await outcomes(made, "qualified_lead") == {("won", 3): 1, ("lost", 5): 1, ("lost", 19): 1, ("open", 39): 1}


async def test_who_is_disqualified_is_lost(database: Database) -> None:
    """Most leads never get a deal: the milestone says that nothing will come of them."""
    made = await world_of(database)
    by = made.source.document
    milestone = type(by.milestones[0]).model_validate(DISQUALIFIED)
    made.source = replace(made.source, document=by.model_copy(update={"milestones": (*by.milestones, milestone)}))
    await made.record(contact("1001", (1, "mql"), (9.5, "customer"), email="p1@x.example"))
    await made.record(contact("1002", (1, "mql"), email="p2@x.example"))

    assert await outcomes(made, "qualified_lead") == {("lost", 8): 1, ("open", 39): 1}


async def test_a_milestone_that_is_taken_back_when_left_keeps_its_losers(database: Database) -> None:
    """Else only winners would be left of it, and every chance would be one."""
    made = await world(database, opportunity={"value": PREDICTED, "on_leave": "retract"})
    await tell(made, 1, REACHED, (4, "won"))
    await tell(made, 2, REACHED, (6, "lost"))
    await tell(made, 3, REACHED, (6, "new"))

    assert await outcomes(made, "opportunity") == {("won", 3): 1, ("lost", 5): 2}


async def test_duplicates_and_earlier_wins_are_not_counted(database: Database) -> None:
    """Two records of one person are one lead; and who was won before has not reached the milestone to be won."""
    made = await world(database)
    await made.record(contact("1001", (1, "mql"), email="p1@x.example"), contact("1002", (2, "mql"), email="p1@x.example"))
    await made.record(contact("1003", (9, "mql"), email="p3@x.example"), deal("2003", (3, "won"), people=("1003",)))

    assert await outcomes(made, "qualified_lead") == {("open", 39): 1}


async def test_figures_are_by_the_leads_segment(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Declared dimensions and the first touch; a segment of a few, or beyond the largest, is judged as the whole."""
    monkeypatch.setattr(learning, "MOST_SEGMENTS", 2)
    made = await world(database)
    for number in range(24):
        country, score = ("US", "g") if number < 12 else ("FR", "") if number < 20 else ("IT", "")
        steps = [REACHED, (5, "won")] if number % 4 == 0 else [REACHED, (9, "lost")]
        await tell(made, number, *steps, country=country, score=score, amount="300")

    fit = await fit_of(made)

    deals, people = fit.milestones["opportunity"], fit.milestones["qualified_lead"]
    assert (deals.whole.leads, deals.whole.won, deals.whole.lost, deals.whole.chance) == (24, 6, 18, Decimal("0.250000"))
    assert {name: (one.leads, one.won) for name, one in deals.segments.items()} == {("US",): (12, 3), ("FR",): (8, 2)}
    assert set(people.segments) == {("US", "google"), ("FR", "")}
    assert (deals.whole.average_micros, deals.whole.won_micros) == (75 * USD, 300 * USD)
    assert fit.mapping_version == 1


async def test_sales_are_added_up_in_one_currency_and_what_cannot_be_is_counted(database: Database) -> None:
    """A sale in euros is none of the same number of dollars; without a rate it lowers no average."""
    made = await world(database)
    async with database.write() as connection:
        rate = {"day": date(2026, 11, 5).isoformat(), "base": "EUR", "quote": "USD", "rate_micros": 1_100_000, "version": 1}
        await insert_rows(connection, fx_rates, [rate])
    await tell(made, 1, REACHED, (5, "won"), amount="100", currency="EUR")
    await tell(made, 2, REACHED, (5, "won"), amount="210", currency="USD")
    await tell(made, 3, REACHED, (5, "won"), amount="777", currency="GBP")
    await tell(made, 4, REACHED, (5, "won"))
    await tell(made, 5, REACHED)

    found = (await fit_of(made)).milestones["opportunity"]

    assert (found.currency, found.unconverted, found.unvalued) == ("USD", 1, 1)
    assert found.whole.won_micros == 160 * USD
    assert found.whole.average_micros == 128 * USD


async def test_a_persons_sales_are_those_of_all_their_deals(database: Database) -> None:
    """What a lead brought is what the company bids for."""
    made = await world(database)
    await tell(made, 1, REACHED, (5, "won"), amount="100")
    await made.record(deal("3001", REACHED, (7, "won"), people=("1001",), amount="50"))
    await tell(made, 2, REACHED)

    found = (await fit_of(made)).milestones

    assert (found["qualified_lead"].whole.won, found["qualified_lead"].whole.average_micros) == (1, 75 * USD)
    assert (found["opportunity"].whole.won, found["opportunity"].whole.average_micros) == (2, 50 * USD)


async def test_old_leads_are_not_asked(database: Database) -> None:
    """What was sold years ago says little of today's leads."""
    made = await world(database)
    await tell(made, 1, REACHED, (5, "won"))

    late = (await fit_of(made, now=(learning.REACH + timedelta(days=3)).days)).milestones["opportunity"]

    assert (late.whole.leads, late.whole.chance) == (0, Decimal(0))
