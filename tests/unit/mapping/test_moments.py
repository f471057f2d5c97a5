"""Milestones by a condition alone: no stage says it, so that its instant must be found, kept, and taken back by facts only."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mapping.aggregate import ConversionState, EndReason
from app.mapping.document import MappingDocument
from app.mapping.mistakes import DocumentInvalid
from app.mapping.selection import selection_of
from connectors.contract.records import ObjectKind, RecordState
from tests.unit.mapping.mapping_rig import SCHEMA, contact, day, deal, document, flat, person, run

SCORED = {"field": "contact.score", "op": "gte", "value": 50}


def by(where: dict[str, Any] | None = None, kind: str = "contact", **more: Any) -> MappingDocument:
    """Qualified by a condition."""
    trigger = {"object": kind, "where": where or SCORED}
    return document({"qualified_lead": {"when": [trigger], **more}})


def qualified(answer: dict[str, list[ConversionState]]) -> list[tuple[int, float, bool]]:
    """Occurrence, day, whether it lives."""
    return [
        (one.occurrence, (one.occurred_at - day(0)).total_seconds() / 86400, one.is_live)
        for one in answer.get("qualified_lead", ())
        if not one.is_implied
    ]


def test_it_fires_once_when_the_condition_is_met() -> None:
    """At the record's last change, said to be approximate; which part of it was met is told."""
    before = run(person(contact(score="40")), by=by())
    after = run(person(contact(score="55")), by=by(), known=flat(before))

    assert qualified(before) == []
    assert qualified(after) == [(0, 90, True)]
    (one,) = after["qualified_lead"]
    assert "contact meets contact.score gte 50" in one.explain
    assert "approximate" in one.explain


def test_its_instant_stays_whatever_changes_later() -> None:
    """Each change of the record would move it, and with it what a platform is told."""
    first = run(person(contact(score="55")), by=by())
    later = replace(contact(score="70"), modified_at=day(99))

    assert qualified(run(person(later), by=by(), known=flat(first))) == [(0, 90, True)]


def test_becoming_false_later_does_nothing() -> None:
    """A lead that was qualified was: only a fact of the CRM takes that back."""
    first = run(person(contact(score="55")), by=by(on_leave="retract"))

    second = run(person(contact(score="10")), by=by(on_leave="retract"), known=flat(first))
    third = run(person(contact(score="80")), by=by(on_leave="retract"), known=flat(second))

    assert qualified(second) == qualified(third) == [(0, 90, True)]


def test_a_history_of_all_its_fields_makes_the_instant_exact() -> None:
    """The newest entry of what it reads, where the CRM tells of all of them."""
    where = {"field": "contact.lifecyclestage", "op": "in", "value": ["mql", "sql"]}
    held = contact((3, "lead"), (7, "mql"), lifecyclestage="mql")

    (one,) = run(person(held), by=by(where))["qualified_lead"]

    assert one.occurred_at == day(7)
    assert "approximate" not in one.explain


def test_a_field_without_history_makes_it_approximate() -> None:
    """The stage is months old, and the score of today is what was lacking."""
    where = {"all": [{"field": "contact.lifecyclestage", "op": "eq", "value": "mql"}, SCORED]}
    held = contact((7, "mql"), lifecyclestage="mql", score="60")

    assert qualified(run(person(held), by=by(where))) == [(0, 90, True)]


def test_dates_are_relative_to_the_entry() -> None:
    """Never to our clock: a later look must not answer otherwise."""
    where = {"field": "contact.score", "op": "after", "value": "-30d"}

    assert qualified(run(person(contact(score="2027-01-15")), by=by(where))) == [(0, 90, True)]
    assert qualified(run(person(contact(score="2026-11-15")), by=by(where))) == []


def test_a_deleted_record_is_taken_back_where_the_mapping_says_so_and_comes_back_as_it_was() -> None:
    """Deleted and restored is as if it never was deleted."""
    mapping = by(on_delete="retract")
    first = run(person(contact(score="55")), by=mapping)
    gone = run(person(contact(score="55", state=RecordState.DELETED)), by=mapping, known=flat(first))
    back = run(person(contact(score="55")), by=mapping, known=flat(gone))

    assert gone["qualified_lead"][0].ended_why is EndReason.DELETED
    assert qualified(back) == [(0, 90, True)]
    assert qualified(run(person(contact(score="55", state=RecordState.DELETED)), by=mapping)) == []


def test_a_deal_that_is_lost_ends_what_its_condition_made() -> None:
    """Lost is a fact, and nothing brings it back but a later entry, which a condition has not."""
    where = {"field": "deal.amount", "op": "gte", "value": 1000}
    mapping = document({"opportunity": {"when": [{"object": "deal", "where": where}], "on_leave": "retract"}})
    first = run(person(), deal((1, "new"), amount="5000"), by=mapping)
    lost = run(person(), deal((1, "new"), (95, "lost"), amount="5000"), by=mapping, known=flat(first))
    again = run(person(), deal((1, "new"), (95, "lost"), amount="9000"), by=mapping, known=flat(lost))

    assert [(one.scope_kind, one.is_live) for one in first["opportunity"]] == [("deal", True)]
    assert [(one.is_live, one.ended_why) for one in lost["opportunity"]] == [(False, EndReason.LOST)]
    assert [(one.occurrence, one.is_live) for one in again["opportunity"]] == [(0, False)]


def test_each_deal_is_judged_by_its_own_fields() -> None:
    """Of two deals of one person only the large one is an opportunity."""
    where = {"field": "deal.amount", "op": "gte", "value": 1000}
    mapping = document({"opportunity": {"when": [{"object": "deal", "where": where}]}})

    found = run(person(), deal(amount="5000"), deal(id_=3, ref="33", amount="50"), by=mapping)

    assert [one.scope_key for one in found["opportunity"]] == ["202"]


def test_what_entered_by_an_entry_does_not_fire_again() -> None:
    """Several triggers: any of them, and each record once."""
    enters = {"object": "contact", "property": "lifecyclestage", "enters": ["mql"]}
    mapping = document({"qualified_lead": {"when": [enters, {"object": "contact", "where": SCORED}]}})

    assert qualified(run(person(contact((5, "mql"), score="80")), by=mapping)) == [(0, 5, True)]
    assert qualified(run(person(contact(score="80")), by=mapping)) == [(0, 90, True)]


def test_it_implies_what_is_before_it() -> None:
    """As any trigger does; and keeps the instant."""
    first = run(person(contact(score="55", created=None)), by=by())
    second = run(person(replace(contact(score="99", created=None), modified_at=day(120))), by=by(), known=flat(first))

    for answer in (first, second):
        assert [(one.is_implied, one.occurred_at) for one in answer["lead"]] == [(True, day(90))]


def test_a_record_known_by_its_name_only_meets_nothing() -> None:
    """Nothing is known of it, so that emptiness says nothing."""
    assert qualified(run(person(contact()), by=by({"field": "contact.score", "op": "is_empty"}))) == []


def test_only_what_it_reads_is_asked_for_and_no_history_of_it() -> None:
    """Entries are kept in clear: a field that merely is judged has none."""
    chosen = selection_of(by(), SCHEMA).objects[ObjectKind.CONTACT]

    assert "score" in chosen.fields
    assert "score" not in chosen.history_properties
    assert not chosen.only_where_set


@pytest.mark.parametrize(
    ("trigger", "more", "told"),
    [
        ({"object": "contact", "where": SCORED, "created": True}, {}, "one of"),
        ({"object": "contact", "where": SCORED, "property": "lifecyclestage", "enters": ["mql"]}, {}, "one of"),
        ({"object": "company", "where": {"field": "company.size", "op": "is_set"}}, {}, "companies"),
        ({"object": "contact", "where": SCORED, "enters": ["mql"]}, {}, "go with a property"),
        ({"object": "contact", "where": SCORED}, {"repeat": "every_entry"}, "every_entry"),
        ({"object": "contact"}, {}, "one of"),
    ],
)
def test_what_cannot_be_meant_is_refused(trigger: dict[str, Any], more: dict[str, Any], told: str) -> None:
    """Each with its reason."""
    with pytest.raises(DocumentInvalid, match=told):
        document({"qualified_lead": {"when": [trigger], **more}})


_CHANGES = st.lists(st.tuples(st.sampled_from(["score", "stage", "delete", "restore"]), st.integers(0, 99)), max_size=8)


@settings(max_examples=150, deadline=None)
@given(_CHANGES, st.sampled_from(["keep", "retract"]), st.sampled_from(["keep", "retract"]))
def test_it_counts_once_and_never_moves(changes: list[tuple[str, int]], on_leave: str, on_delete: str) -> None:
    """Whatever happens to the record, and however often it is looked at."""
    mapping = by(on_leave=on_leave, on_delete=on_delete)
    held, instants = contact(score="0"), set()
    known: tuple[ConversionState, ...] = ()
    for number, (what, score) in enumerate(changes):
        state = {"delete": RecordState.DELETED, "restore": RecordState.LIVE}.get(what, held.state)
        fields = {**held.fields, "score": str(score)} if what == "score" else held.fields
        held = replace(held, state=state, fields=fields, modified_at=day(90 + number))
        known = flat(run(person(held), by=mapping, known=known))
        assert set(known) == set(flat(run(person(held), by=mapping, known=known)))
        made = [one for one in known if one.milestone == "qualified_lead"]
        instants |= {one.occurred_at for one in made}
        assert len(made) <= 1

    assert len(instants) <= 1
