from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from app.mapping.checking import check_document, check_rename
from app.mapping.document import parse_document
from app.mapping.mistakes import DocumentInvalid, Mistake
from app.mapping.selection import selection_of
from connectors.contract.records import ObjectKind
from tests.unit.mapping.mapping_rig import DOCUMENT, SCHEMA, document

SETTINGS = {"meta": frozenset({"event_name"})}


def mistakes(**changes: Any) -> dict[str, Mistake]:
    with pytest.raises(DocumentInvalid) as caught:
        parse_document({**deepcopy(DOCUMENT), **changes})
    return {mistake.path: mistake for mistake in caught.value.mistakes}


def with_value(value: dict[str, Any]) -> list[dict[str, Any]]:
    milestones = deepcopy(DOCUMENT["milestones"])
    milestones[3]["value"] = value
    return list(milestones)


def test_an_unknown_key_is_named_with_its_place_and_the_nearest() -> None:
    """A key that is silently ignored is a setting that silently does nothing."""
    found = mistakes(milestones=[{**DOCUMENT["milestones"][0], "on_leaf": "keep"}])

    assert found["milestones[0].on_leaf"].nearest == "on_leave"
    assert "did you mean `on_leave`" in str(found["milestones[0].on_leaf"])


def test_a_model_that_is_not_there_is_told_with_those_that_are() -> None:
    """Accepting a model that we do not have would send wrong values without a word."""
    found = mistakes(milestones=with_value({"model": "guessed"}))

    assert "'average' or 'predicted'" in found["milestones[3].value.model"].message


def test_a_value_mode_that_is_not_there_is_named_with_those_that_are() -> None:
    """Falling back to another mode would send other values than were asked for."""
    assert "'absolute' or 'incremental'" in mistakes(value_mode="sums")["value_mode"].message


@pytest.mark.parametrize(
    "consent",
    [
        {},
        {"not_required": True},
        {"ad_personalization": {"field": "contact.x", "granted": "y"}},
        {"not_required": True, "because": "all signed", "on_withdrawal": "retract"},
    ],
)
def test_consent_must_be_said(consent: dict[str, Any]) -> None:
    """Forgetting consent must not mean sending without it."""
    assert "consent" in mistakes(consent=consent)


def test_consent_must_be_there() -> None:
    """The same for a document without the word."""
    with pytest.raises(DocumentInvalid) as caught:
        parse_document({name: value for name, value in DOCUMENT.items() if name != "consent"})

    assert [(one.path, one.message) for one in caught.value.mistakes] == [("consent", "is missing")]


@pytest.mark.parametrize("amount", ["fifty", -1, "NaN", "1e9", True])
def test_a_fixed_value_is_an_amount(amount: object) -> None:
    """What is no number would be sent as nothing at all."""
    assert "milestones[3].value" in mistakes(milestones=with_value({"model": "fixed", "amount": amount, "currency": "USD"}))


@pytest.mark.parametrize("data", [None, [], "x", 1, {}])
def test_what_is_no_document_is_a_mistake_and_no_exception(data: object) -> None:
    """The REST door takes anything."""
    with pytest.raises(DocumentInvalid) as caught:
        parse_document(data)
    assert caught.value.mistakes


def test_a_destination_names_milestones_that_exist_and_conditions_that_can_be_judged() -> None:
    """A wrong name sends nothing; a wrong condition would stop the engine at every record."""
    wrong = {"meta": {"leed": {"event_name": "Lead"}, "where": {"field": "contact.country"}}}
    found = mistakes(destinations=wrong)

    assert found["destinations.meta.leed"].nearest == "lead"
    assert "op" in found["destinations.meta.where"].message


def test_the_check_against_the_crm_names_every_mistake() -> None:
    """A property that does not exist never fires, and nobody would notice."""
    milestones = deepcopy(DOCUMENT["milestones"])
    milestones[3]["when"] = [{"object": "deal", "property": "dealstage", "pipeline": "default", "enters": ["wonn"]}]
    destinations = {
        "meta": {"lead": {"event_nam": "Lead"}, "where": {"field": "contact.contry", "op": "is_set"}},
        "mta": {"lead": {"event_name": "Lead"}},
    }
    changes = {"identity": {"email": "contact.emial"}, "milestones": milestones, "destinations": destinations}
    by = parse_document({**DOCUMENT, **changes})

    found = {one.path: one.nearest for one in check_document(by, SCHEMA, SETTINGS)}

    assert found == {
        "identity.email": "contact.email",
        "milestones[3].when[0].enters[0]": "won",
        "destinations.meta.where": "contact.country",
        "destinations.meta.lead.event_nam": "event_name",
        "destinations.meta.lead": None,
        "destinations.mta": "meta",
    }
    assert check_document(document(), SCHEMA, SETTINGS) == ()


def test_every_field_that_the_document_reads_is_selected() -> None:
    """A field that is not read is always empty: the condition on it would exclude everybody."""
    where = {"field": "contact.score", "op": "gte", "value": 40}
    chosen = selection_of(document(destinations={"meta": {"lead": {"event_name": "L"}, "where": where}}), SCHEMA)

    assert {"email", "phone", "country", "score", "lifecyclestage"} <= chosen.objects[ObjectKind.CONTACT].fields
    assert {"amount", "currency", "dealstage"} <= chosen.objects[ObjectKind.DEAL].fields


def test_defaults_follow_the_milestone() -> None:
    """Sales count by deal and are taken back; leads count by person and stay."""
    by = {one.name: one for one in document().milestones}

    assert (by["lead"].once_per, by["opportunity"].once_per) == ("person", "deal")
    assert (by["opportunity"].on_leave, by["closed_revenue"].on_leave, by["closed_revenue"].on_delete) == (
        "keep",
        "retract",
        "retract",
    )


def test_a_milestone_that_takes_a_gone_one_s_trigger_must_say_that_it_was_renamed() -> None:
    """Under another name every sale has another id: the platforms would count them all again."""
    milestones = deepcopy(DOCUMENT["milestones"])
    milestones[3]["name"] = "sale"
    targets = {"meta": {"sale": {"event_name": "Purchase"}}}
    silent = parse_document({**DOCUMENT, "milestones": milestones, "destinations": targets})
    milestones = deepcopy(milestones)
    milestones[3]["renamed_from"] = "closed_revenue"
    told = parse_document({**DOCUMENT, "milestones": milestones, "destinations": targets})

    found = check_rename(document(), silent)

    assert [(one.path, one.nearest) for one in found] == [("milestones[3].renamed_from", "closed_revenue")]
    assert check_rename(document(), told) == ()
    assert check_rename(document(), document({"lead": {"when": [{"object": "deal", "created": True}]}})) == ()


def test_renamed_from_names_what_is_gone() -> None:
    """Two milestones that share their conversions would fight over them."""
    milestones = deepcopy(DOCUMENT["milestones"])
    milestones[3]["renamed_from"] = "lead"

    with pytest.raises(DocumentInvalid, match="still there"):
        parse_document({**DOCUMENT, "milestones": milestones})


def test_every_entry_needs_a_history() -> None:
    """Without one the entries between two polls are unknown, and repeats would be invented."""
    contacts = dict(SCHEMA.properties[ObjectKind.CONTACT])
    contacts["lifecyclestage"] = replace(contacts["lifecyclestage"], has_history=False)
    schema = replace(SCHEMA, properties={**SCHEMA.properties, ObjectKind.CONTACT: contacts})
    by = document({"qualified_lead": {"repeat": "every_entry"}})

    assert [one.path for one in check_document(by, schema, SETTINGS)] == ["milestones[1].when[0].property"]
    assert check_document(by, SCHEMA, SETTINGS) == ()


def test_the_person_s_domain_can_be_named_in_conditions_only() -> None:
    """It is no property of the CRM, so it identifies nobody."""
    condition = {"field": "person.email_domain", "op": "eq", "value": "x.example"}

    assert check_document(document(exclude=[condition]), SCHEMA, SETTINGS) == ()
    wrong = document(identity={"email": "person.email_domain"})
    assert [one.path for one in check_document(wrong, SCHEMA, SETTINGS)] == ["identity.email"]


def test_contacts_are_filtered_where_none_counts_by_its_creation() -> None:
    """A contact changes with every e-mail that is opened: only those that can matter are searched for."""
    by_stage = document({"lead": {"when": [{"object": "contact", "property": "lifecyclestage", "enters": ["lead"]}]}})
    deals_only = document(
        {
            "lead": {"when": [{"object": "deal", "created": True}]},
            "qualified_lead": {"when": [{"object": "deal", "property": "dealstage", "enters": ["qualified"]}]},
        }
    )

    found = [selection_of(one, SCHEMA).objects[ObjectKind.CONTACT] for one in (by_stage, deals_only, document())]

    assert [(one.only_where_set, one.or_on_deals) for one in found] == [
        (frozenset({"lifecyclestage"}), True),
        (frozenset(), True),
        (frozenset(), False),
    ]


def test_contacts_of_crm_leads_are_read_whatever_they_hold() -> None:
    """No search knows which contacts have a CRM lead, and their consent must stay fresh."""
    triggers = [{"object": "lead", "created": True}, {"object": "contact", "property": "lifecyclestage", "enters": ["lead"]}]

    chosen = selection_of(document({"lead": {"when": triggers}}), SCHEMA).objects

    assert not chosen[ObjectKind.CONTACT].only_where_set
    assert not chosen[ObjectKind.CONTACT].or_on_deals
    assert chosen[ObjectKind.LEAD].with_people
