"""Points with a threshold, and fields of a person that no CRM has."""

from dataclasses import replace
from typing import Any

import pytest

from app.mapping.aggregate import Aggregate, ConversionState, Person
from app.mapping.checking import check_document
from app.mapping.condition_model import Condition
from app.mapping.conditions import holds
from app.mapping.derived import derived
from app.mapping.engine import derive
from app.mapping.mistakes import DocumentInvalid
from app.mapping.scopes import Scopes
from app.mapping.selection import selection_of
from connectors.contract.records import ObjectKind
from tests.unit.mapping.mapping_rig import DAY_0, FACTS, NO_RATES, SCHEMA, contact, day, document
from tests.unit.mapping.test_document import SETTINGS

SCORE = {
    "points": [
        {"field": "contact.country", "op": "in", "value": ["US", "CA"], "points": 20},
        {"field": "contact.score", "op": "gte", "value": 40, "points": 30},
        {"field": "person.is_free_mail", "op": "eq", "value": True, "points": -25},
    ],
    "threshold": 30,
}


def judged(condition: dict[str, Any], **fields: str) -> tuple[bool, str]:
    by = document()
    person = (replace(contact(), fields=fields),)
    scope = Scopes(Aggregate(Person(7, day(0), person), ()), by).of(by.milestones[0])[0]
    return holds(Condition.model_validate(condition), scope.look_at(person[0]), DAY_0)


@pytest.mark.parametrize(
    ("fields", "ok", "told"),
    [
        (
            {"country": "US", "score": "40"},
            True,
            "50 of 30 points (+20 contact.country in ['US', 'CA']; +30 contact.score gte 40)",
        ),
        ({"country": "US", "score": "39"}, False, "20 of 30 points (+20 contact.country in ['US', 'CA'])"),
        ({"score": "55"}, True, "30 of 30 points (+30 contact.score gte 40)"),
        ({"country": "CA", "score": "99", "email": "jo@gmail.com"}, False, "25 of 30 points"),
        ({"score": "much"}, False, "0 of 30 points (none holds)"),
    ],
)
def test_points_add_up_and_say_what_gave_them(fields: dict[str, str], ok: bool, told: str) -> None:  # noqa: FBT001 a parameter
    """Qualification is a sum in many companies; whoever asks why must see each part of it, and no value of a person."""
    found, text = judged(SCORE, **fields)

    assert found is ok
    assert text.startswith(told)
    assert "jo@" not in text


def test_points_may_stand_inside_other_conditions() -> None:
    """A score and a must."""
    both = {"all": [{"field": "contact.email", "op": "is_set"}, SCORE]}

    assert judged(both, country="US", score="40", email="jo@acme.example")[0]
    assert not judged(both, country="US", score="40")[0]
    assert judged({"not": SCORE}, country="DE")[0]


def test_a_lead_qualifies_when_its_points_reach_the_threshold_while_it_holds_the_stage() -> None:
    """The score comes later than the stage: the conversion has the stage's instant."""
    by = document({"qualified_lead": {"where": SCORE}})

    def qualified(score: str) -> list[ConversionState]:
        person = contact((1, "mql"), country="US", score=score)
        states = derive(Aggregate(Person(7, day(0), (person,)), ()), by, FACTS, NO_RATES)
        return [one for one in states if one.milestone == "qualified_lead"]

    assert qualified("10") == []
    (one,) = qualified("45")
    assert one.occurred_at == day(1)


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        ({"points": SCORE["points"]}, "threshold"),
        ({"threshold": 5, "field": "contact.score", "op": "is_set"}, "come together"),
        ({**SCORE, "threshold": 51}, "add up to 50 at most"),
        ({"points": [], "threshold": 0}, "points"),
        ({"points": [{"field": "contact.score", "op": "is_set"}], "threshold": 0}, "points"),
        ({"points": [{"field": "contact.score", "op": "is_set", "points": "ten"}], "threshold": 0}, "points"),
        ({**SCORE, "field": "contact.score", "op": "is_set"}, "exactly one"),
    ],
)
def test_points_that_make_no_sense_are_refused_with_their_place(condition: dict[str, Any], word: str) -> None:
    """A threshold that nobody reaches would qualify nobody, and nothing would say why."""
    with pytest.raises(DocumentInvalid, match=word) as told:
        document(exclude=[condition])

    assert "exclude[0]" in str(told.value)


@pytest.mark.parametrize(
    ("name", "emails", "phones", "region", "found"),
    [
        ("email_domain", ("no mail", " Jo@Acme.example "), (), None, "acme.example"),
        ("is_free_mail", ("jo@GMAIL.com",), (), None, "true"),
        ("is_free_mail", ("jo@acme.example",), (), None, "false"),
        ("is_free_mail", (), (), None, None),
        ("phone_country", (), ("+49 30 901820",), None, "DE"),
        ("phone_country", (), ("(415) 555-0137", "+44 20 7946 0018"), None, "GB"),
        ("phone_country", (), ("030 901820",), "DE", "DE"),
        ("phone_country", (), ("030 901820",), None, None),
        ("phone_country", (), ("call me",), "US", None),
        ("shoe_size", ("jo@acme.example",), (), None, None),
    ],
)
def test_what_is_read_from_e_mail_and_phone(
    name: str, emails: tuple[str, ...], phones: tuple[str, ...], region: str | None, found: str | None
) -> None:
    """Free mail and a foreign phone are what people disqualify by; no CRM has them as fields."""
    assert derived(name, emails, phones, region) == found


def test_derived_fields_are_read_of_the_person_whatever_the_record() -> None:
    """A deal's condition may ask for its person."""
    assert judged({"field": "person.phone_country", "op": "eq", "value": "GB"}, phone="020 7946 0018", country="gb")[0]
    assert not judged({"field": "person.is_free_mail", "op": "eq", "value": True}, email="jo@acme.example")[0]


def test_derived_fields_are_known_where_conditions_stand_and_nowhere_else() -> None:
    """They are asked of no CRM."""
    condition = {"field": "person.is_free_mail", "op": "eq", "value": True}
    by = document(exclude=[condition, SCORE])

    assert check_document(by, SCHEMA, SETTINGS) == ()
    assert {"email", "phone", "country", "score"} <= selection_of(by, SCHEMA).objects[ObjectKind.CONTACT].fields
    (mistake,) = check_document(document(exclude=[{**condition, "field": "person.is_freemail"}]), SCHEMA, SETTINGS)
    assert (mistake.path, mistake.nearest) == ("exclude[0]", "person.is_free_mail")
    wrong = document(dimensions={"free": "person.is_free_mail"})
    assert [one.path for one in check_document(wrong, SCHEMA, SETTINGS)] == ["dimensions.free"]
