"""The mapping's rules as a table: what happened in the CRM, day by day, and what counts.

A case reads `2 won` as "on day 2 the deal entered won", `1 c:mql` as the same of the contact. The answer lists the occurrences of
one milestone: `0@2` lives since day 2, `0@2 lost@4` was taken back, `implied 0@2` follows from a higher milestone.
"""

from dataclasses import replace
from typing import Any

import pytest

from app.mapping.aggregate import AccountFacts, Aggregate, ConversionState, Deal, KnownRecord, Person
from app.mapping.document import parse_document
from app.mapping.engine import derive
from app.mapping.mistakes import DocumentInvalid
from connectors.contract.records import Entry, ObjectKind, RecordRef, RecordState
from connectors.contract.source import Option, PropertySchema, PropertyType
from tests.unit.mapping.mapping_rig import (
    DAY_0,
    DOCUMENT,
    FACTS,
    NO_RATES,
    SCHEMA,
    contact,
    day,
    deal,
    document,
    flat,
    person,
    run,
)

RETRACT = {"on_leave": "retract"}
OPPORTUNITY_RETRACTS = {"opportunity": RETRACT}
QUALIFIED_RETRACTS = {"qualified_lead": RETRACT}
DISQUALIFIED = {"name": "disqualified", "when": [{"object": "contact", "property": "lifecyclestage", "enters": ["customer"]}]}


def happened(text: str) -> tuple[KnownRecord, list[Deal]]:
    """Read a case."""
    steps: dict[str, list[tuple[float, str]]] = {"c": [], "d": [], "e": []}
    for move in filter(None, (part.strip() for part in text.split(","))):
        at, _, what = move.partition(" ")
        who, _, value = what.rpartition(":")
        steps[who or "d"].append((float(at), "" if value == "-" else value))
    deals = [deal(*steps["d"], amount="10")] + ([deal(*steps["e"], id_=3, ref="303", amount="20")] if steps["e"] else [])
    return contact(*steps["c"]), deals


def told(states: tuple[ConversionState, ...], milestone: str) -> str:
    """Write an answer."""
    found = []
    for one in sorted(states, key=lambda state: (state.scope_key, state.occurrence)):
        if one.milestone != milestone:
            continue
        text = f"{'implied ' if one.is_implied else ''}{one.occurrence}@{(one.occurred_at - DAY_0).days}"
        if one.ended_at is not None:
            text += f" {one.ended_why}@{(one.ended_at - DAY_0).days}"
        found.append(text)
    return ", ".join(found)


CASES = [
    # Leaving: forward and into higher milestones never leaves; back, empty and lost do.
    ("closed_revenue", "2 won", {}, "0@2"),
    ("closed_revenue", "2 won, 4 lost", {}, "0@2 lost@4"),
    ("closed_revenue", "2 won, 4 proposal", {}, "0@2 left@4"),
    ("closed_revenue", "2 won, 4 -", {}, "0@2 left@4"),
    ("closed_revenue", "2 won, 4 lost, 6 won", {}, "0@2 lost@4, 1@6"),
    ("closed_revenue", "2 won, 4 lost, 6 won, 7 new, 9 won", {}, "0@2 lost@4, 1@6 left@7, 2@9"),
    ("opportunity", "1 qualified, 2 proposal, 3 won", OPPORTUNITY_RETRACTS, "0@1"),
    ("opportunity", "1 qualified, 2 proposal, 3 qualified", OPPORTUNITY_RETRACTS, "0@1"),
    ("opportunity", "1 qualified, 2 new", OPPORTUNITY_RETRACTS, "0@1 left@2"),
    ("opportunity", "1 qualified, 2 new", {}, "0@1"),
    ("opportunity", "1 qualified, 2 won, 3 new", OPPORTUNITY_RETRACTS, "0@1 left@3"),
    # Implied: with the entry that implied it, taken back with it, and again only after a later entry.
    ("opportunity", "3 won", {}, "implied 0@3"),
    ("opportunity", "3 won, 5 lost", OPPORTUNITY_RETRACTS, "implied 0@3 lost@5"),
    ("opportunity", "3 won, 5 lost, 7 won", OPPORTUNITY_RETRACTS, "implied 0@3 lost@5, implied 1@7"),
    ("opportunity", "3 won, 5 proposal", OPPORTUNITY_RETRACTS, "0@5"),
    ("opportunity", "1 qualified, 2 new, 4 won", OPPORTUNITY_RETRACTS, "0@1 left@2, implied 1@4"),
    ("opportunity", "1 qualified, 3 won", OPPORTUNITY_RETRACTS, "0@1"),
    ("opportunity", "3 won, 5 lost", {}, "implied 0@3"),
    ("qualified_lead", "3 won", {}, "implied 0@3"),
    ("qualified_lead", "3 won", {"qualified_lead": {"implied": "ignore"}}, ""),
    ("qualified_lead", "3 won, 5 c:mql", {}, "0@5"),
    ("qualified_lead", "1 c:mql, 3 won, 4 c:subscriber", QUALIFIED_RETRACTS, "0@1 left@4"),
    ("qualified_lead", "1 c:mql, 3 c:subscriber, 4 won", QUALIFIED_RETRACTS, "0@1 left@3, implied 1@4"),
    # Counted by: a person once for all deals, each deal for itself.
    ("closed_revenue", "2 won, 3 e:won", {}, "0@2, 0@3"),
    ("closed_revenue", "2 won, 3 e:won", {"closed_revenue": {"once_per": "person"}}, "0@2"),
    ("closed_revenue", "2 won, 3 e:won, 4 lost", {"closed_revenue": {"once_per": "person"}}, "0@2"),
    ("closed_revenue", "2 won, 3 e:won, 4 lost, 5 e:lost", {"closed_revenue": {"once_per": "person"}}, "0@2 lost@5"),
    ("closed_revenue", "2 won, 3 lost, 4 e:won", {"closed_revenue": {"once_per": "person"}}, "0@2 lost@3, 1@4"),
    # Two values in one instant are read in the pipeline's order.
    ("closed_revenue", "2 won, 2 proposal", {}, "0@2"),
]


@pytest.mark.parametrize(("milestone", "case", "changes", "answer"), CASES)
def test_what_counts(milestone: str, case: str, changes: dict[str, Any], answer: str) -> None:
    """Each line is a question that marketing operations asks about its pipeline."""
    who, deals = happened(case)

    states = derive(Aggregate(Person(7, day(0), (who,)), tuple(deals)), document(changes), FACTS, NO_RATES)

    assert told(states, milestone) == answer


EDITS = [
    # What was counted under one rule is not counted again under the other, and a rule's change merges nothing.
    ("closed_revenue", "2 won, 3 e:won", {"once_per": "deal"}, {"once_per": "person"}, "0@2, 0@3"),
    ("closed_revenue", "2 won, 3 e:won, 5 e:lost", {"once_per": "deal"}, {"once_per": "person"}, "0@2, 0@3 lost@5"),
    ("closed_revenue", "2 won", {"once_per": "person"}, {"once_per": "deal"}, "0@2"),
    ("closed_revenue", "2 won", {"once_per": "person"}, {"once_per": "company"}, "0@2"),
    ("qualified_lead", "1 c:mql", {}, {"repeat": "every_entry"}, "0@1"),
    ("qualified_lead", "1 c:mql, 3 c:lead", {"repeat": "every_entry"}, {}, "{1}@1"),
    ("qualified_lead", "1 c:mql, 3 c:lead, 5 c:sql", {"repeat": "every_entry"}, {}, "{1}@1, {5}@5"),
    ("qualified_lead", "3 won", {}, {"repeat": "every_entry"}, "implied 0@3"),
    ("closed_revenue", "2 won", {}, {"on_leave": "keep"}, "0@2"),
    ("closed_revenue", "2 won, 4 lost", {}, {"on_leave": "keep"}, "0@2 lost@4"),
]


@pytest.mark.parametrize(("milestone", "case", "before", "after", "answer"), EDITS)
def test_an_edited_mapping_counts_nothing_again(
    milestone: str, case: str, before: dict[str, Any], after: dict[str, Any], answer: str
) -> None:
    """Ops change a rule at noon; every conversion of last year must be the same at one."""
    who, deals = happened(case)
    person = Person(7, day(0), (who,))
    known = derive(Aggregate(person, tuple(deals)), document({milestone: before}), FACTS, NO_RATES)

    states = derive(Aggregate(person, tuple(deals), known), document({milestone: after}), FACTS, NO_RATES)

    wanted = answer
    for at in (1, 5):
        wanted = wanted.replace(f"{{{at}}}", str(int(day(at).timestamp() * 1000)))
    assert told(states, milestone) == wanted


CUT = [
    # The CRM shows less history than was read once: what was counted, or ended, stays so.
    ("1 won", "4 won", "0@1"),
    ("2 won, 5 lost", "4 won", "0@2 lost@5"),
    ("2 won, 5 lost", "7 won", "0@2 lost@5, 1@7"),
]


@pytest.mark.parametrize(("case", "shown", "answer"), CUT)
def test_a_history_that_was_cut_counts_nothing_again(case: str, shown: str, answer: str) -> None:
    """CRMs keep the last twenty values, or the last two years."""
    who, deals = happened(case)
    person = Person(7, day(0), (who,))
    known = derive(Aggregate(person, tuple(deals)), document(), FACTS, NO_RATES)

    states = derive(Aggregate(person, tuple(happened(shown)[1]), known), document(), FACTS, NO_RATES)

    assert told(states, "closed_revenue") == answer


def test_an_implied_conversion_becomes_real_under_every_entry_too() -> None:
    """The rule changed between the deal's jump and the contact's own stage: one conversion, not two."""
    who, deals = happened("3 won, 5 c:mql")
    before = contact()
    known = derive(Aggregate(Person(7, day(0), (before,)), tuple(deals)), document(), FACTS, NO_RATES)

    by = document({"qualified_lead": {"repeat": "every_entry"}})
    states = derive(Aggregate(Person(7, day(0), (who,)), tuple(deals), known), by, FACTS, NO_RATES)

    assert told(states, "qualified_lead") == "0@5"


DISQUALIFYING = [
    ("1 c:mql, 3 c:customer", {}, "0@1"),
    ("1 c:mql, 3 c:customer", QUALIFIED_RETRACTS, "0@1 left@3"),
    ("1 c:customer, 3 c:mql", QUALIFIED_RETRACTS, "0@3"),
    ("3 c:customer", {}, ""),
]


@pytest.mark.parametrize(("case", "changes", "answer"), DISQUALIFYING)
@pytest.mark.parametrize("place", [1, 2, 4])
def test_disqualified_has_no_rank(case: str, changes: dict[str, Any], answer: str, place: int) -> None:
    """Wherever it stands in the list it implies nothing, and into it is never forward."""
    who, deals = happened(case)
    milestones = [{**one, **changes.get(one["name"], {})} for one in DOCUMENT["milestones"]]
    milestones.insert(place, DISQUALIFIED)
    by = parse_document({**DOCUMENT, "milestones": milestones})

    states = derive(Aggregate(Person(7, day(0), (who,)), tuple(deals)), by, FACTS, NO_RATES)

    assert told(states, "qualified_lead") == answer
    assert not [one for one in states if one.milestone == "disqualified" and one.is_implied]


def _status(*steps: tuple[float, str], **fields: str) -> Deal:
    entries = tuple(Entry("status", value, day(at)) for at, value in steps)
    record = KnownRecord(2, RecordRef(ObjectKind.DEAL, "202"), RecordState.LIVE, day(90), day(0), fields, entries)
    return Deal(record)


def test_a_status_of_lost_is_lost() -> None:
    """Pipedrive keeps won and lost beside the stages; a sale that turns lost there must be taken back."""
    options = tuple(Option(value, value.title()) for value in ("open", "won", "lost", "deleted"))
    status = PropertySchema("status", "Status", PropertyType.ENUM, options)
    deals = {**SCHEMA.properties[ObjectKind.DEAL], "status": status}
    properties = {**SCHEMA.properties, ObjectKind.DEAL: deals}
    facts = AccountFacts("pipedrive", replace(SCHEMA, properties=properties), 1)
    by = document({"closed_revenue": {"when": [{"object": "deal", "property": "status", "enters": ["won"]}]}})

    def answer(*steps: tuple[float, str], amount: str = "5") -> ConversionState:
        aggregate = Aggregate(Person(7, day(0), (contact(),)), (_status(*steps, amount=amount),))
        return next(one for one in derive(aggregate, by, facts, NO_RATES) if one.milestone == "closed_revenue")

    assert answer((1, "open"), (2, "won")).is_live
    assert str(answer((2, "won"), (4, "lost")).ended_why) == "lost"
    assert str(answer((2, "won"), (4, "open")).ended_why) == "left"
    assert answer((2, "won"), amount="0").money is None, "Pipedrive shows an empty value as 0"


def test_a_deal_lost_by_its_status_leaves_its_stage_s_milestone() -> None:
    """The stage of a lost Pipedrive deal does not move: lost is lost, whichever property says so."""
    by = document(OPPORTUNITY_RETRACTS)
    record = deal((1, "qualified"), amount="5").record
    lost = (*record.entries, Entry("status", "lost", day(3)))
    aggregate = Aggregate(None, (Deal(replace(record, entries=lost)),))

    assert told(derive(aggregate, by, FACTS, NO_RATES), "opportunity") == "0@1 lost@3"


def test_the_domain_of_an_e_mail_excludes_colleagues() -> None:
    """Our own people fill in forms all day; ads must not learn from them."""
    field = {"field": "person.email_domain", "op": "in", "value": ["ours.example"]}
    by = document(exclude=[field])

    def lead(email: str) -> ConversionState:
        return derive(Aggregate(Person(7, day(0), (contact(email=email),))), by, FACTS, NO_RATES)[0]

    assert lead(" Jo@Ours.example ").excluded
    assert not lead("jo@theirs.example").excluded


@pytest.mark.parametrize(
    "changes",
    [
        {"destinations": {"meta": {"send_when": "sometimes"}}},
        {"destinations": {"meta": {"minimum_value": "a lot"}}},
        {"minimum_value": "a lot"},
    ],
)
def test_what_is_not_there_is_refused_with_its_place(changes: dict[str, Any]) -> None:
    """What would silently do nothing must be told when the document is applied."""
    with pytest.raises(DocumentInvalid) as caught:
        document(**changes)

    assert next(iter(changes)) in str(caught.value)


def test_applying_another_way_of_leaving_twice_makes_nothing_more() -> None:
    """Versions that keep and that retract take turns: what lives from a later entry stands for the earlier run, too."""
    changed = {
        "when": [{"object": "deal", "property": "dealstage", "pipeline": "default", "enters": ["new"]}],
        "implied": "report",
    }
    keeping, taking = (document({"opportunity": {**changed, "on_leave": on_leave}}) for on_leave in ("keep", "retract"))
    early, late = deal((9, "won"), (10, "qualified")), deal((9, "won"), (10, "qualified"), (20, "new"))
    known = flat(run(person(contact()), early, by=taking))
    known = flat(run(person(contact()), late, by=keeping, known=known))

    once = flat(run(person(contact()), late, by=taking, known=known))
    twice = flat(run(person(contact()), late, by=taking, known=once))

    assert {one.uid for one in twice} == {one.uid for one in once}
