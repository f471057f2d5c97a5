"""A Pipedrive mapping may be written in words; it is stored by the CRM's own keys and ids."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from app.mapping.checking import check_document
from app.mapping.document import parse_document
from app.mapping.labels import canonical, property_named
from connectors.contract.records import ObjectKind
from connectors.contract.source import PipelineSchema, SourceSchema, StageSchema
from tests.unit.mapping.crm_schemas import CONSENT_KEY, GCLID_KEY, SOURCE_KEY, pipedrive_schema, prop

IN_WORDS: Mapping[str, Any] = {
    "identity": {"email": "contact.email", "gclid": ["deal.GCLID", "lead.gclid"], "default_country": "DE"},
    "attribution": {"platform": {"field": "deal.Lead source", "map": {"Ads": "google"}}},
    "dimensions": {"source": "deal.Lead source"},
    "consent": {"ad_user_data": {"field": "contact.consent to ADS", "granted": ["Yes, granted"]}, "where_required": ["EEA"]},
    "exclude": [{"all": [{"not": {"field": "deal.Lead source", "op": "in", "value": ["Ads", "31"]}}]}],
    "milestones": [
        {
            "name": "opportunity",
            "when": [{"object": "deal", "property": "Stage", "pipeline": "Sales", "enters": ["Proposal Made", "5"]}],
            "where": {"field": "deal.Lead source", "op": "eq", "value": "Trade fair"},
            "value": {"model": "weighted", "field": "deal.Value", "probability": "stage"},
        },
        {"name": "closed_revenue", "when": [{"object": "deal", "property": "Status", "enters": ["Won"]}]},
    ],
    "destinations": {"meta": {"closed_revenue": {"event_name": "Purchase"}, "where": {"field": "deal.value", "op": "is_set"}}},
}


def test_words_become_keys_everywhere() -> None:
    """Whatever part of the document names a property, a stage or an option."""
    found = canonical(IN_WORDS, pipedrive_schema())

    assert found.mistakes == ()
    assert found.data == {
        "identity": {"email": "contact.email", "gclid": [f"deal.{GCLID_KEY}", f"lead.{GCLID_KEY}"], "default_country": "DE"},
        "attribution": {"platform": {"field": f"deal.{SOURCE_KEY}", "map": {"32": "google"}}},
        "dimensions": {"source": f"deal.{SOURCE_KEY}"},
        "consent": {"ad_user_data": {"field": f"contact.{CONSENT_KEY}", "granted": ["2"]}, "where_required": ["EEA"]},
        "exclude": [{"all": [{"not": {"field": f"deal.{SOURCE_KEY}", "op": "in", "value": ["32", "31"]}}]}],
        "milestones": [
            {
                "name": "opportunity",
                "when": [{"object": "deal", "property": "stage_id", "pipeline": "1", "enters": ["4", "5"]}],
                "where": {"field": f"deal.{SOURCE_KEY}", "op": "eq", "value": "31"},
                "value": {"model": "weighted", "field": "deal.value", "probability": "stage"},
            },
            {"name": "closed_revenue", "when": [{"object": "deal", "property": "status", "enters": ["won"]}]},
        ],
        "destinations": {
            "meta": {"closed_revenue": {"event_name": "Purchase"}, "where": {"field": "deal.value", "op": "is_set"}}
        },
    }
    assert check_document(parse_document(found.data), pipedrive_schema(), {"meta": frozenset({"event_name"})}) == ()


def test_what_is_by_name_already_stays_as_it_is() -> None:
    """A stored document is put through again when it is applied again."""
    once = canonical(IN_WORDS, pipedrive_schema()).data

    assert canonical(once, pipedrive_schema()).data == once


def test_other_crms_know_no_labels() -> None:
    """In HubSpot a label may change any day; a mapping says names there."""
    schema = replace(pipedrive_schema(), names_by_label=False)

    assert canonical(IN_WORDS, schema).data == IN_WORDS
    assert property_named(schema, ObjectKind.DEAL, "GCLID") == ()


def _with(schema: SourceSchema, *properties: tuple[str, str]) -> SourceSchema:
    deal = {**schema.properties[ObjectKind.DEAL], **{name: prop(name, label) for name, label in properties}}
    return replace(schema, properties={**schema.properties, ObjectKind.DEAL: deal})


def test_a_label_of_two_fields_is_a_mistake_with_both() -> None:
    """To guess would read the wrong click id for ever."""
    schema = _with(pipedrive_schema(), ("ffff", "GCLID"))

    (mistake,) = canonical({"identity": {"gclid": "deal.GCLID"}}, schema).mistakes

    assert str(mistake) == (
        f"identity.gclid: `deal.GCLID` is the label of several properties: {GCLID_KEY}, ffff; use one of these names instead"
    )


def test_a_name_goes_before_a_label() -> None:
    """A custom field labelled `value` must not take the place of the deal's value."""
    schema = _with(pipedrive_schema(), ("ffff", "value"))

    assert canonical({"dimensions": {"v": "deal.value"}}, schema).data == {"dimensions": {"v": "deal.value"}}


def test_a_stage_of_two_pipelines_needs_its_pipeline() -> None:
    """`Qualified` of another pipeline may mean something else."""
    schema = pipedrive_schema()
    other = PipelineSchema("7", "Partners", ObjectKind.DEAL, "stage_id", (StageSchema("70", "Qualified"),))
    schema = replace(schema, pipelines=(*schema.pipelines, other))
    trigger = {"object": "deal", "property": "stage_id", "enters": ["Qualified"]}

    without = canonical({"milestones": [{"name": "a", "when": [trigger]}]}, schema)
    named = canonical({"milestones": [{"name": "a", "when": [{**trigger, "pipeline": "Partners"}]}]}, schema)

    assert [mistake.path for mistake in without.mistakes] == ["milestones[0].when[0].enters[0]"]
    assert "1, 70" in without.mistakes[0].message
    assert named.data["milestones"] == [{"name": "a", "when": [{**trigger, "pipeline": "7", "enters": ["70"]}]}]


def test_a_mistyped_label_is_told_with_the_nearest() -> None:
    """The nearest of forty hex digits would help nobody."""
    (mistake,) = canonical({"identity": {"gclid": ["deal.GCLDI"]}}, pipedrive_schema()).mistakes

    assert mistake.nearest == "deal.GCLID"


@pytest.mark.parametrize(
    "data",
    [
        {"identity": ["contact.email"], "milestones": {"a": 1}, "consent": None, "destinations": 3, "exclude": "x"},
        {"identity": {"email": 5, "phone": ["x", None]}, "attribution": {"platform": "x"}, "dimensions": []},
        {
            "milestones": [
                None,
                {"when": "x", "value": 4, "where": []},
                {"when": [{"object": "deal"}, {"object": 1, "property": 2}]},
            ]
        },
        {
            "exclude": [{"field": 7, "op": "eq", "value": {}}, {"all": 3, "not": None}],
            "destinations": {"a": {"where": 1}, "b": 2},
        },
    ],
)
def test_another_shape_is_left_for_the_check(data: Mapping[str, Any]) -> None:
    """Mistakes of form have their own messages; this must not fail before them."""
    assert canonical(data, pipedrive_schema()).data == data
