from dataclasses import replace
from typing import Any

import pytest

from app.mapping.aggregate import Aggregate, Deal, EndReason, ValueState
from app.mapping.engine import derive
from app.mapping.ids import conversion_uid, smallest_ref
from app.mapping.rates import Rates
from connectors.contract.conversions import Money
from connectors.contract.records import RecordState
from tests.unit.mapping.mapping_rig import FACTS, NO_RATES, contact, day, deal, document, flat, person, run


def test_only_an_entry_from_outside_counts() -> None:
    """A move between two stages of one milestone is no second conversion."""
    answer = run(person(contact((1, "mql"), (2, "sql"), (3, "lead"), (4, "mql"))))

    assert [(one.occurrence, one.occurred_at) for one in answer["qualified_lead"]] == [(0, day(1))]


def test_every_entry_counts_each_entry_from_outside() -> None:
    """Repeated milestones take the CRM's own instant as their occurrence, so a replay finds the same ids."""
    by = document({"qualified_lead": {"repeat": "every_entry"}})
    answer = run(person(contact((1, "mql"), (2, "sql"), (3, "lead"), (4, "mql"))), by=by)

    assert [one.occurrence for one in answer["qualified_lead"]] == [int(day(at).timestamp() * 1000) for at in (1, 4)]
    assert len({one.uid for one in answer["qualified_lead"]}) == 2


def test_a_stage_of_the_same_name_in_another_pipeline_does_not_count() -> None:
    """`won` of the renewals is not revenue of the sales pipeline."""
    assert "closed_revenue" not in run(person(), deal((1, "won"), pipeline="renewals"))
    assert "closed_revenue" in run(person(), deal((1, "won"), pipeline=None))


def test_forward_never_leaves_but_backward_does() -> None:
    """Going on in the pipeline is success; only going back or losing takes a conversion back."""
    by = document({"opportunity": {"on_leave": "retract"}})

    forward = run(person(), deal((1, "qualified"), (2, "proposal"), (3, "won")), by=by)
    back = run(person(), deal((1, "qualified"), (2, "new")), by=by)

    assert forward["opportunity"][0].is_live
    assert (back["opportunity"][0].ended_why, back["opportunity"][0].ended_at) == (EndReason.LEFT, day(2))


@pytest.mark.parametrize(("stage", "why"), [("lost", EndReason.LOST), ("proposal", EndReason.LEFT), ("", EndReason.LEFT)])
def test_revenue_is_taken_back_and_may_come_again(stage: str, why: EndReason) -> None:
    """A won deal that is lost and won again is a new conversion: under the old id the platform would drop it."""
    ended = run(person(), deal((1, "won"), (2, stage), amount="100"))["closed_revenue"]
    again = run(person(), deal((1, "won"), (2, stage), (3, "won"), amount="100"), known=ended)["closed_revenue"]

    assert [(one.is_live, one.ended_why, one.ended_at) for one in ended] == [(False, why, day(2))]
    assert [(one.occurrence, one.is_live, one.occurred_at) for one in again] == [(0, False, day(1)), (1, True, day(3))]
    assert again[0] == ended[0]
    assert again[1].uid != again[0].uid


def test_a_milestone_that_keeps_survives_its_loss() -> None:
    """A qualified lead stays one, whatever becomes of the deal."""
    answer = run(person(), deal((1, "qualified"), (2, "lost")))

    assert answer["opportunity"][0].is_live


def test_deleted_revenue_ends_and_restored_revenue_lives() -> None:
    """A deal restored from the bin is as if never deleted: the same id, not a second sale."""
    gone = run(person(), deal((1, "won"), state=RecordState.DELETED))["closed_revenue"]
    back = run(person(), deal((1, "won")), known=gone)["closed_revenue"]

    assert gone[0].ended_why is EndReason.DELETED
    assert [(one.uid, one.is_live, one.ended_at) for one in back] == [(gone[0].uid, True, None)]


def test_an_implied_milestone_becomes_real_under_the_same_id() -> None:
    """A deal that jumps to won passed the stages before; finding them later must not count them twice."""
    implied = run(person(), deal((5, "won"), amount="100"))
    real = run(person(), deal((2, "qualified"), (5, "won"), amount="100"), known=flat(implied))

    before, after = implied["opportunity"][0], real["opportunity"][0]
    assert (before.is_implied, before.occurred_at) == (True, day(5))
    assert before.money == Money(20_000_000, "USD"), "the probability of the lowest stage of its own"
    assert (after.uid, after.is_implied, after.occurred_at) == (before.uid, False, day(2))
    assert len(real["opportunity"]) == 1
    assert implied["qualified_lead"][0].is_implied


def test_an_implied_value_that_was_missing_comes_later() -> None:
    """With `implied: send` a value that waited once must not wait until the deadline."""
    waiting = run(person(), deal((5, "won")))
    filled = run(person(), deal((5, "won"), amount="100"), known=flat(waiting))

    assert waiting["opportunity"][0].value_state is ValueState.WAIT
    assert filled["opportunity"][0].money == Money(20_000_000, "USD")


def test_implied_milestones_can_be_ignored() -> None:
    """Who reports only what the CRM says gets no invented milestones."""
    by = document({"opportunity": {"implied": "ignore"}})
    assert "opportunity" not in run(person(), deal((5, "won")), by=by)


def test_a_person_counts_once_and_each_deal_for_itself() -> None:
    """Two deals of one person are one lead and two sales."""
    answer = run(person(), deal((1, "won")), deal((2, "won"), id_=3, ref="303"))

    assert len(answer["lead"]) == len(answer["qualified_lead"]) == 1
    assert {one.scope_key for one in answer["closed_revenue"]} == {"202", "303"}
    assert {one.lead_id for one in answer["closed_revenue"]} == {7}


def test_revenue_once_per_person_counts_one_of_two_deals() -> None:
    """`once_per` is the mapping's to say, and a value is that of the deal which counted."""
    by = document({"closed_revenue": {"once_per": "person"}})
    answer = run(person(), deal((2, "won"), amount="9"), deal((1, "won"), id_=3, ref="303", amount="70"), by=by)

    assert [(one.scope_kind, one.money) for one in answer["closed_revenue"]] == [("person", Money(70_000_000, "USD"))]


def test_a_condition_reads_the_deal_that_entered() -> None:
    """A big deal beside a small one must not let the small one through."""
    where = {"field": "deal.amount", "op": "gte", "value": 1000}
    by = document({"closed_revenue": {"once_per": "person", "where": where}})

    answer = run(person(), deal((1, "new"), amount="5000"), deal((1, "won"), id_=3, ref="303", amount="7"), by=by)

    assert "closed_revenue" not in answer


def test_a_deal_without_people_counts_for_itself() -> None:
    """The person may be associated later: the sale is kept until then."""
    answer = run(None, deal((1, "won")))

    assert (answer["closed_revenue"][0].scope_kind, answer["closed_revenue"][0].lead_id) == ("deal", None)


def test_a_deal_without_people_implies_nobody_s_milestones() -> None:
    """Filed under the deal they would stand beside the person's own as soon as the person comes: one lead, counted twice."""
    alone = run(None, deal((1, "won")))

    found = run(person(), deal((1, "won")), known=flat(alone))

    assert set(alone) == {"opportunity", "closed_revenue"}
    assert [(one.scope_kind, one.is_implied) for one in found["lead"]] == [("person", False)]
    assert [(one.scope_kind, one.is_implied) for one in found["qualified_lead"]] == [("person", True)]


def test_what_a_deal_counted_alone_becomes_its_person_s() -> None:
    """Once per person: the conversion that a platform may have goes on under its id when the person comes."""
    by = document({"closed_revenue": {"once_per": "person"}})
    alone = run(None, deal((1, "won")), by=by)

    found = run(person(), deal((1, "won")), by=by, known=flat(alone))["closed_revenue"]

    assert [(one.uid, one.lead_id) for one in found] == [(alone["closed_revenue"][0].uid, 7)]


@pytest.mark.parametrize(("own", "lives"), [(1, "303"), (3, "202")])
def test_a_person_who_comes_with_a_sale_of_their_own_keeps_the_earlier(own: int, lives: str) -> None:
    """Once per person is once, whether the deal or its person was known first."""
    by = document({"closed_revenue": {"once_per": "person"}})
    alone = run(None, deal((2, "won")), by=by)["closed_revenue"]
    mine = run(person(), deal((own, "won"), id_=3, ref="303"), by=by)
    both = deal((2, "won")), deal((own, "won"), id_=3, ref="303")

    found = run(person(), *both, by=by, known=[*alone, *flat(mine)])

    ends = {one.record_id: one.ended_why for one in found["closed_revenue"]}
    ids = {"202": 2, "303": 3}
    assert ends == {number: None if key == lives else EndReason.DUPLICATE_AFTER_MERGE for key, number in ids.items()}
    again = run(person(), *both, by=by, known=flat(found))
    assert flat(again) == flat(found)


def test_after_a_merge_the_later_conversion_ends() -> None:
    """Two records were one person all along: the platform must not keep both."""
    one = run(person(contact((2, "mql"))))["qualified_lead"]
    other = run(person(contact((1, "mql"), id_=9, ref="109"), lead_id=8))["qualified_lead"]
    known = [replace(state, lead_id=7) for state in (*one, *other)]

    merged = run(person(contact((1, "mql"), (2, "mql"), aliases=("109",))), known=known)["qualified_lead"]

    states = {state.uid: state for state in merged}
    assert states[other[0].uid].is_live
    assert (states[one[0].uid].is_live, states[one[0].uid].ended_why) == (False, EndReason.DUPLICATE_AFTER_MERGE)
    assert len(states) == 2


def test_the_survivor_of_a_merge_can_still_be_taken_back() -> None:
    """A duplicate beside it must not hide the sale that counts from its own loss."""
    one = run(person(), deal((2, "won")))["closed_revenue"]
    other = run(person(), deal((1, "won"), id_=3, ref="303"))["closed_revenue"]
    merged = deal((1, "won"), aliases=("303",))
    known = run(person(), merged, known=[*one, *other])["closed_revenue"]

    lost = run(person(), deal((1, "won"), (9, "lost"), aliases=("303",)), known=known)["closed_revenue"]

    assert {state.uid: state.ended_why for state in lost} == {
        other[0].uid: EndReason.LOST,
        one[0].uid: EndReason.DUPLICATE_AFTER_MERGE,
    }


def test_a_condition_fires_once_with_the_entry_s_instant_and_never_takes_back() -> None:
    """A score that comes late counts from the entry; one that falls later undoes nothing."""
    by = document({"qualified_lead": {"where": {"field": "contact.score", "op": "gte", "value": 40}}})

    early = run(person(contact((1, "mql"), score="10")), by=by)
    fired = run(person(contact((1, "mql"), score="40")), by=by)
    fallen = run(person(contact((1, "mql"), score="10")), by=by, known=flat(fired))

    assert "qualified_lead" not in early
    assert fired["qualified_lead"][0].occurred_at == day(1)
    assert fallen["qualified_lead"] == fired["qualified_lead"]


def test_created_needs_a_creation() -> None:
    """A lead's instant is the CRM's own."""
    assert run(person(contact(created=3)))["lead"][0].occurred_at == day(3)
    assert "lead" not in run(person(contact(created=None)))


def test_an_exclusion_is_recorded_not_hidden() -> None:
    """Reports need the conversion; only the sending is off, with its reason."""
    field = {"field": "contact.email", "op": "ends_with", "value": "@ours.example"}
    destinations = {"meta": {"lead": {"event_name": "Lead"}, "where": {"field": "contact.country", "op": "eq", "value": "US"}}}
    by = document(exclude=[field], destinations=destinations)

    ours = run(person(contact(email="a@ours.example")), by=by)["lead"][0]
    theirs = run(person(contact(email="a@x.example", country="CA")), by=by)["lead"][0]

    assert "ends_with" in ours.excluded
    assert (theirs.excluded, theirs.excluded_for) == ("", frozenset({"meta"}))


@pytest.mark.parametrize(
    ("if_missing", "state", "money"),
    [
        ("wait", ValueState.WAIT, None),
        ("skip", ValueState.SKIP, None),
        ("send_without", ValueState.WITHOUT, None),
        ({"amount": 12.5}, ValueState.READY, Money(12_500_000, "USD")),
    ],
)
@pytest.mark.parametrize("amount", ["", "a lot", "-5", "NaN", "1e99"])
def test_a_missing_value_does_what_the_mapping_says(
    if_missing: object, state: ValueState, money: Money | None, amount: str
) -> None:
    """What is no amount is missing: a guess would teach the platform a wrong price."""
    by = document({"closed_revenue": {"value": {"model": "field", "field": "deal.amount", "if_missing": if_missing}}})
    sale = run(person(), deal((1, "won"), amount=amount), by=by)["closed_revenue"][0]

    assert (sale.value_state, sale.money) == (state, money)


def test_values_follow_the_field_in_its_currency() -> None:
    """The deal's own currency counts before the account's, and a later change is seen."""
    sale = run(person(), deal((1, "won"), amount="100.25", currency="eur"))["closed_revenue"]
    changed = run(person(), deal((1, "won"), amount="90", currency="eur"), known=sale)["closed_revenue"]
    emptied = run(person(), deal((1, "won")), known=changed)["closed_revenue"]

    assert sale[0].money == Money(100_250_000, "EUR")
    assert changed[0].money == Money(90_000_000, "EUR")
    assert emptied[0].money == Money(90_000_000, "EUR"), "a known value does not vanish"


def test_conversion_takes_the_rate_of_the_day_or_waits() -> None:
    """A rate of another month would misstate revenue; none at all must not send the wrong currency."""
    model = {"model": "field", "field": "deal.amount", "currency": "USD"}
    by = document({"closed_revenue": {"value": model}})
    won = deal((10, "won"), amount="100", currency="EUR")
    near, far = Rates({(day(4).date(), "EUR", "USD"): 1_100_000}), Rates({(day(1).date(), "EUR", "USD"): 1_100_000})

    assert run(person(), won, by=by, rates=near)["closed_revenue"][0].money == Money(110_000_000, "USD")
    assert run(person(), won, by=by, rates=far)["closed_revenue"][0].value_state is ValueState.RATE


def test_the_value_model_is_frozen_against_a_newer_document() -> None:
    """A new mapping version restates nothing by itself."""
    first = run(person(contact((1, "mql"))))["qualified_lead"]
    newer = document({"qualified_lead": {"value": {"model": "fixed", "amount": 999, "currency": "USD"}}})

    again = run(person(contact((1, "mql"))), by=newer, known=first)["qualified_lead"]

    assert again == first
    assert again[0].money == Money(50_000_000, "USD")


def test_weighted_takes_the_probability_of_the_stage_entered_and_keeps_it() -> None:
    """The chance at that time belongs to the conversion, whatever stage came after."""
    first = run(person(), deal((1, "proposal"), amount="100"))["opportunity"]
    later = run(person(), deal((1, "proposal"), (2, "won"), amount="200"), known=first)["opportunity"]

    assert first[0].money == Money(50_000_000, "USD")
    assert later[0].money == Money(100_000_000, "USD")


def test_nothing_disappears_because_history_was_cut() -> None:
    """Only a positive fact of the CRM takes a conversion back."""
    known = flat(run(person(contact((1, "mql"))), deal((1, "qualified"), (2, "won"), amount="5")))

    cut = flat(run(person(contact(created=None)), deal(amount="5"), known=known))

    assert {one.uid for one in cut if one.is_live} == {one.uid for one in known}


def test_the_id_is_what_it_was_for_ever() -> None:
    """Another id for the same fact would count every conversion of every customer again."""
    uid = conversion_uid("8812", "deal", "202", "closed_revenue", 0)

    assert uid == run(person(), deal((1, "won")))["closed_revenue"][0].uid
    assert uid == "lldwuyiqsqrpv3hrlumsp7udav66"
    assert smallest_ref(["1000", "99", "98"]) == "98"


def test_what_a_deal_implies_at_the_instant_of_a_stage_that_was_left_stays_implied() -> None:
    """A reapply counted the implied one, and the next one took it for the entry that no version had judged: it ended by that."""
    nothing_new: frozenset[Any] = frozenset()
    who = replace(contact((1, "mql"), (2, "subscriber"), country="DE"), fresh=nothing_new)
    won = replace(deal((1, "qualified"), id_=3).record, fresh=nothing_new)
    where = {"field": "contact.country", "op": "eq", "value": "DE"}
    by = document({"qualified_lead": {"where": where, "on_leave": "retract"}})
    first = derive(Aggregate(person(who), (Deal(won),)), by, FACTS, NO_RATES)

    again = derive(Aggregate(person(who), (Deal(won),), first), by, FACTS, NO_RATES)

    assert set(again) == set(first)
    assert [(one.is_implied, one.is_live) for one in first if one.milestone == "qualified_lead"] == [(True, True)]
