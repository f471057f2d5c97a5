"""Why a lead has no conversion of a milestone: what is told must be what the engine judged by."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mapping.aggregate import Aggregate, ConversionState, Deal, KnownRecord, Person
from app.mapping.condition_model import Condition
from app.mapping.conditions import checks_of, holds
from app.mapping.document import MappingDocument
from app.mapping.engine import derive
from app.mapping.explaining import UNREACHED_SENTENCES, Explainer, Missing, Unreached
from app.mapping.people import split_field
from connectors.contract.records import ObjectKind, RecordRef
from tests.unit.mapping.mapping_rig import FACTS, NO_RATES, contact, day, deal, document, stages

FIELDS = ("contact.country", "contact.score", "deal.amount")
VALUES = ("US", "40", "", "2026-11-02")

_COMPARISON: dict[str, st.SearchStrategy[Any]] = {
    "field": st.sampled_from(FIELDS),
    "op": st.sampled_from(["eq", "ne", "in", "gte", "lt", "contains", "is_empty", "is_set", "before", "within_days"]),
    "value": st.sampled_from(["US", "40", 40, "-3d", 5, "2026-11-05"]),
}
_LEAF: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(_COMPARISON)
_SCORED = st.fixed_dictionaries({**_COMPARISON, "points": st.integers(-5, 9)})
_POINTS: st.SearchStrategy[dict[str, Any]] = st.lists(_SCORED, min_size=1, max_size=3).map(
    lambda rules: {"points": rules, "threshold": sum(one["points"] for one in rules if one["points"] > 0) // 2}
)
CONDITIONS = st.recursive(
    st.one_of(_LEAF, _POINTS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=5,
)


def _judged(condition: Condition, told: dict[str, bool], path: str = "") -> bool:
    """The condition by nothing but the comparisons that were told."""

    def at(inner: str) -> str:
        return f"{path}.{inner}" if path else inner

    if condition.all is not None:
        return all(_judged(part, told, at(f"all[{place}]")) for place, part in enumerate(condition.all))
    if condition.any is not None:
        return any(_judged(part, told, at(f"any[{place}]")) for place, part in enumerate(condition.any))
    if condition.not_ is not None:
        return not _judged(condition.not_, told, at("not"))
    if condition.points is not None:
        given_points = sum(rule.points for place, rule in enumerate(condition.points) if told[at(f"points[{place}]")])
        return given_points >= (condition.threshold or 0)
    return told[path]


@settings(max_examples=300, deadline=None)
@given(CONDITIONS, st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES)), st.integers(0, 9))
def test_what_is_told_of_a_condition_is_what_decides_it(data: dict[str, Any], values: dict[str, str], at: int) -> None:
    """A trace that names another comparison than the one that failed sends its reader to mend the wrong field."""
    condition = Condition.model_validate(data)
    fields = {split_field(name): value for name, value in values.items()}

    def look(kind: str, name: str) -> str | None:
        return fields.get((kind, name))

    told = {one.path: one.holds for one in checks_of(condition, look, day(at))}

    assert _judged(condition, told) == holds(condition, look, day(at))[0]


_STEP = st.one_of(
    st.tuples(st.just(0), st.sampled_from(["subscriber", "mql", "sql", ""])),
    st.tuples(st.integers(1, 2), st.sampled_from(["new", "qualified", "proposal", "won", "lost"])),
)


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[Aggregate, MappingDocument]:
    steps = draw(st.lists(_STEP, max_size=8))
    fields: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["country", "score"]), st.sampled_from(VALUES)))
    changes: dict[str, dict[str, Any]] = {
        name: {
            "implied": draw(st.sampled_from(["ignore", "report", "send"])),
            "on_leave": draw(st.sampled_from(["keep", "retract"])),
            **({"where": where} if (where := draw(st.one_of(st.none(), CONDITIONS))) else {}),
        }
        for name in ("lead", "qualified_lead", "opportunity", "closed_revenue")
    }
    changes["closed_revenue"]["repeat"] = draw(st.sampled_from(["first_only", "every_entry"]))
    changes["opportunity"]["once_per"] = draw(st.sampled_from(["person", "deal"]))
    if draw(st.booleans()):
        changes["qualified_lead"]["when"] = [{"object": "contact", "where": draw(CONDITIONS)}]
    made = [contact(id_=1, ref="101", **fields), *(deal(id_=id_, ref=f"{id_}02", amount="40").record for id_ in (2, 3))]
    nothing_new: frozenset[Any] = frozenset()
    records = [replace(one, entries=_entries(one, place, steps), fresh=nothing_new) for place, one in enumerate(made)]
    count = draw(st.integers(0, 2))
    deals = tuple(Deal(record) for record in records[1 : 1 + count])
    return Aggregate(Person(7, day(0), (records[0],)), deals), document(changes)


def _entries(record: KnownRecord, place: int, steps: Sequence[tuple[int, str]]) -> tuple[Any, ...]:
    mine = [(float(at), value) for at, (who, value) in enumerate(steps) if who == place]
    return stages(record.ref.kind, mine)


@settings(max_examples=150, deadline=None)
@given(_worlds())
def test_every_milestone_has_a_conversion_or_one_reason_why_not(world: tuple[Aggregate, MappingDocument]) -> None:
    """Asked why a lead was not sent, silence is the worst answer, and a wrong one the second worst."""
    aggregate, by = world
    made = derive(aggregate, by, FACTS, NO_RATES)

    unjudged = list(Explainer(aggregate, by, FACTS).missing())
    judged = list(Explainer(replace(aggregate, conversions=made), by, FACTS).missing())

    assert {one.milestone for one in made} == {one.milestone for one in unjudged if one.why is Unreached.NOT_APPLIED}
    assert all(one.why is not Unreached.NOT_APPLIED for one in judged)
    assert {one.milestone for one in made} | {one.milestone for one in judged} == {one.name for one in by.milestones}
    assert all(not _all_hold(one, by) for one in judged if one.why is Unreached.CONDITION)


def _all_hold(missing: Missing, by: MappingDocument) -> bool:
    milestone = by.named(missing.milestone)
    assert milestone is not None
    where = milestone.when[0].where if missing.entered_at is None else milestone.where
    assert where is not None
    return _judged(where, {one.path: one.holds for one in missing.checks})


def _explained(
    by: MappingDocument, person: KnownRecord, *deals: Deal, made: Sequence[ConversionState] = (), **more: Any
) -> dict[str, Missing]:
    held = [replace(one, record=replace(one.record, fresh=frozenset())) for one in deals]
    aggregate = Aggregate(Person(7, day(0), (replace(person, fresh=frozenset()),)), tuple(held), tuple(made))
    return {one.milestone: one for one in Explainer(aggregate, by, FACTS, **more).missing()}


SCORED = {"field": "contact.score", "op": "gte", "value": 40}
FROM_US = {"field": "contact.country", "op": "eq", "value": "US"}


def test_the_comparison_that_fails_is_named_and_an_empty_field_is_called_so() -> None:
    """What an operator mends is a field: which, and whether it is wrong or not there."""
    by = document({"qualified_lead": {"where": {"all": [FROM_US, SCORED]}}})

    found = _explained(by, contact((1, "mql"), country="US"))["qualified_lead"]

    assert (found.why, found.ref, found.entered_at) == (Unreached.CONDITION, RecordRef(ObjectKind.CONTACT, "101"), day(1))
    assert [(one.path, one.text, one.holds, one.note) for one in found.checks] == [
        ("all[0]", "contact.country eq US", True, ""),
        ("all[1]", "contact.score gte 40", False, "the field is empty"),
    ]
    assert found.detail == "contact.lifecyclestage entered mql; contact.score gte 40"


@pytest.mark.parametrize(
    ("why", "changes", "steps", "fields"),
    [
        (Unreached.NOT_ENTERED, {}, [(1, "subscriber")], {}),
        (Unreached.LEFT_TOO_EARLY, {"qualified_lead": {"where": SCORED}}, [(1, "mql"), (2, "subscriber")], {"score": "50"}),
        (Unreached.CONDITION, {"qualified_lead": {"when": [{"object": "contact", "where": SCORED}]}}, [], {"score": "1"}),
        (Unreached.NOT_APPLIED, {}, [(1, "mql")], {}),
    ],
)
def test_a_persons_milestone_says_why_it_is_missing(
    why: Unreached, changes: dict[str, Any], steps: list[tuple[float, str]], fields: dict[str, Any]
) -> None:
    """Each of these has another remedy."""
    found = _explained(document(changes), contact(*steps, **fields))["qualified_lead"]

    assert found.why is why


def test_what_is_looked_for_stands_in_the_mappings_words() -> None:
    """A property with a typing error shows itself only beside what was looked for."""
    found = _explained(document(), contact(), deal((1, "new"), id_=2))

    assert found["opportunity"].detail == "waited for: deal.dealstage enters qualified, proposal in default"
    assert found["qualified_lead"].detail == "waited for: contact.lifecyclestage enters mql, sql"


def test_a_milestone_of_deals_says_that_there_is_no_deal_or_whose_it_is() -> None:
    """A contact beside the decision maker asks for a deal that counts for somebody else."""
    alone = _explained(document(), contact())
    beside = _explained(document(), contact(), of_others=[(RecordRef(ObjectKind.DEAL, "9"), "contact:77")])

    assert (alone["opportunity"].why, alone["opportunity"].detail) == (Unreached.NO_RECORD, "it is made by a deal")
    assert (beside["opportunity"].why, beside["opportunity"].detail) == (Unreached.OTHER_PERSON, "it counts for contact:77")
    assert beside["qualified_lead"].why is Unreached.NOT_ENTERED


def test_a_milestone_that_is_not_implied_says_so() -> None:
    """A deal that jumped to won makes nobody qualified where the mapping ignores it."""
    found = _explained(document({"opportunity": {"implied": "ignore"}}), contact(), deal((1, "won"), id_=2))

    assert found["opportunity"].why is Unreached.NOT_IMPLIED
    assert found["opportunity"].detail == "deal.dealstage entered won"


def test_what_excludes_a_conversion_is_told_for_each_destination() -> None:
    """An excluded delivery without the comparison that did it is a riddle."""
    by = document(
        exclude=[{"field": "contact.score", "op": "lt", "value": 10}],
        destinations={"meta": {"lead": {"event_name": "Lead"}, "where": FROM_US}},
    )
    person = contact(country="DE", score="3")
    made = derive(Aggregate(Person(7, day(0), (person,))), by, FACTS, NO_RATES)
    explainer = Explainer(Aggregate(Person(7, day(0), (person,)), conversions=made), by, FACTS)

    found = explainer.exclusions(made[0])

    assert {name: [(one.text, one.holds) for one in checks] for name, checks in found.items()} == {
        "meta": [("contact.country eq US", False)],
        "": [("contact.score lt 10", True)],
    }


def test_every_reason_has_a_sentence_that_says_what_to_do() -> None:
    """A code alone sends a person to the source code."""
    assert set(UNREACHED_SENTENCES) == set(Unreached)
    assert all(text.count(". ") >= 1 and text.endswith(".") for text in UNREACHED_SENTENCES.values())
