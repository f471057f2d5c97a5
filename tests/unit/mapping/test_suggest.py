"""A first mapping is drafted from what the CRM says of itself, and says nothing that the CRM does not."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from app.mapping.checking import check_document
from app.mapping.document import parse_document
from app.mapping.mistakes import DocumentInvalid
from app.mapping.suggest import Suggestion, suggest
from app.mapping.suggest_text import as_yaml
from app.mapping.suggest_words import consent_fields, granted_values, is_disqualified, is_qualified, named, words
from connectors.contract.records import ObjectKind
from connectors.contract.source import PipelineSchema, PropertyType, SourceSchema, StageSchema
from tests.unit.mapping.crm_schemas import CONSENT_KEY, GCLID_KEY, by_name, pipedrive_schema, prop, salesforce_schema

DESTINATIONS = {"google": "google", "meta": "meta", "ms": "microsoft"}
TARGETS = {
    "google": frozenset({"conversion_action"}),
    "meta": frozenset({"event_name"}),
    "ms": frozenset({"conversion_name"}),
}
NOT_NEEDED = {"not_required": True, "because": "a test"}


def _document(suggestion: Suggestion) -> Mapping[str, Any]:
    return suggestion.document


def _milestone(suggestion: Suggestion, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(one for one in _document(suggestion)["milestones"] if one["name"] == name)
    return found


@pytest.mark.parametrize(("kind", "schema"), [("salesforce", salesforce_schema()), ("pipedrive", pipedrive_schema())])
def test_a_suggestion_can_be_activated_with_no_edit_but_consent(kind: str, schema: SourceSchema) -> None:
    """An operator must be able to start from it, on any CRM."""
    suggestion = suggest(kind, schema, DESTINATIONS)

    document = parse_document({**suggestion.document, "consent": NOT_NEEDED})

    assert check_document(document, schema, TARGETS) == ()


def test_without_a_consent_field_nothing_can_be_activated_unread() -> None:
    """Nothing may leave because a draft was applied as it was; the refusal says what to write."""
    suggestion = suggest("salesforce", salesforce_schema(), DESTINATIONS)

    with pytest.raises(DocumentInvalid, match="consent: name the field that grants `ad_user_data`, or say `not_required"):
        parse_document(suggestion.document)

    assert suggestion.needs_consent
    assert "MUST BE EDITED" in as_yaml("crm", suggestion)


def test_salesforce_stages_and_statuses() -> None:
    """Milestones follow won, chance and name: an inactive stage, an early one and a lead that is out are none of them."""
    suggestion = suggest("salesforce", salesforce_schema(), DESTINATIONS)

    assert _milestone(suggestion, "lead")["when"] == [{"object": "lead", "created": True}]
    assert _milestone(suggestion, "qualified_lead")["when"] == [
        {"object": "lead", "property": "Status", "enters": ["Closed - Converted"]}
    ]
    assert _milestone(suggestion, "opportunity")["when"][0]["enters"] == [
        "Value Proposition", "Id. Decision Makers", "Proposal/Price Quote", "Negotiation/Review"
    ]  # fmt: skip
    assert _milestone(suggestion, "closed_revenue")["when"][0]["enters"] == ["Closed Won"]
    assert _milestone(suggestion, "disqualified")["when"][0]["enters"] == ["Closed - Not Converted", "Unqualified"]
    assert _milestone(suggestion, "opportunity")["value"]["model"] == "weighted"
    assert _milestone(suggestion, "closed_revenue")["value"] == {"model": "field", "field": "deal.Amount"}


def test_lead_statuses_may_come_as_a_pipeline() -> None:
    """A connector may tell Lead.Status by stages, of which the converted one is won, whatever it is called."""
    schema = salesforce_schema()
    stages = (StageSchema("New", "New"), StageSchema("Handed over", "Handed over", is_won=True))
    leads = PipelineSchema("Status", "Lead status", ObjectKind.LEAD, "Status", stages)

    suggestion = suggest("salesforce", _with_pipelines(schema, leads), {})

    assert _milestone(suggestion, "qualified_lead")["when"] == [
        {"object": "lead", "property": "Status", "pipeline": "Status", "enters": ["Handed over"]}
    ]


def _with_pipelines(schema: SourceSchema, *more: PipelineSchema) -> SourceSchema:
    return SourceSchema("a", "USD", "UTC", schema.properties, (*schema.pipelines, *more))


def test_salesforce_click_ids_are_read_from_the_lead_first() -> None:
    """Custom fields are not copied to the contact unless an admin mapped them; a mark of an upload is no click id."""
    identity = _document(suggest("salesforce", salesforce_schema(), {}))["identity"]

    assert identity["gclid"] == ["lead.GCLID__c", "deal.GoogleClickId__c"]
    assert identity["phone"] == ["lead.MobilePhone", "contact.MobilePhone", "lead.Phone"]
    assert identity["postal_code"] == ["lead.PostalCode", "contact.MailingPostalCode"]
    assert identity["default_country"] == "US"


def test_an_email_opt_out_is_no_consent_to_ads() -> None:
    """Sending people to ad platforms because they did not unsubscribe from a newsletter is a leak."""
    fields = by_name(
        prop("HasOptedOutOfEmail", "Email Opt Out", PropertyType.BOOLEAN),
        prop("marketing_consent", "Marketing e-mail consent", PropertyType.BOOLEAN),
        prop("newsletter_opt_in", "Newsletter opt-in", PropertyType.BOOLEAN),
        prop("ads_opt_out", "Opt out of ads", PropertyType.BOOLEAN),
        prop("ad_consent_date", "Ad consent date", PropertyType.DATE),
        prop("hs_legal_basis", "Legal basis", PropertyType.ENUM),
    )
    schema = SourceSchema("a", "USD", "UTC", {ObjectKind.CONTACT: fields})

    usual, special = consent_fields(tuple(named(schema, (ObjectKind.CONTACT,))))

    assert (usual, special) == ((), ())


def test_consent_by_purpose() -> None:
    """Two fields for two purposes are both used; where there is one it stands for both."""
    fields = by_name(
        prop("marketing_opt_in", "Marketing opt-in", PropertyType.BOOLEAN),
        prop("ad_user_data", "Ad user data", PropertyType.ENUM, ("g", "Granted"), ("d", "Denied")),
        prop("ad_personalization", "Ad personalization", PropertyType.ENUM, ("g", "Granted"), ("d", "Not granted")),
    )
    schema = SourceSchema("a", "USD", "UTC", {ObjectKind.CONTACT: fields})

    consent = _document(suggest("hubspot", schema, {}))["consent"]

    assert consent == {
        "ad_user_data": {"field": "contact.ad_user_data", "granted": ["g"]},
        "ad_personalization": {"field": "contact.ad_personalization", "granted": ["g"]},
    }


@pytest.mark.parametrize(
    ("options", "granted"),
    [
        ([("1", "No"), ("2", "Yes")], ("2",)),
        ([("yes", "Nein"), ("a", "Ja")], ("a",)),
        ([("in", "In progress"), ("x", "Opted in"), ("y", "Opted out"), ("z", "Opt-in pending")], ("x",)),
        ([("red", "Red"), ("blue", "Blue")], ()),
    ],
)
def test_which_options_grant(options: list[tuple[str, str]], granted: tuple[str, ...]) -> None:
    """An id says nothing, a label does; what neither grants nor denies is not taken for a yes."""
    assert granted_values(prop("c", "Ad consent", PropertyType.ENUM, *options)) == granted


@pytest.mark.parametrize("with_chances", [False, True])
def test_pipedrive_stages_and_status(with_chances: bool) -> None:  # noqa: FBT001 a table
    """Won is a status; chances are spread evenly over the stages or 100 % in each, so the second half of the pipeline counts."""
    suggestion = suggest("pipedrive", pipedrive_schema(with_chances=with_chances), DESTINATIONS)

    assert _milestone(suggestion, "lead")["when"] == [
        {"object": "contact", "created": True},
        {"object": "lead", "created": True},
    ]
    assert _milestone(suggestion, "qualified_lead")["when"] == [
        {"object": "deal", "property": "stage_id", "pipeline": "1", "enters": ["1"]}
    ]
    assert _milestone(suggestion, "opportunity")["when"] == [
        {"object": "deal", "property": "stage_id", "pipeline": "1", "enters": ["3", "4", "5"]}
    ]
    assert ("value" in _milestone(suggestion, "opportunity")) is with_chances
    assert _milestone(suggestion, "closed_revenue")["when"] == [{"object": "deal", "property": "status", "enters": ["won"]}]


def test_pipedrive_custom_fields_are_known_by_their_labels() -> None:
    """Their names are 40 hex digits; the comment says what they are."""
    suggestion = suggest("pipedrive", pipedrive_schema(with_chances=True), DESTINATIONS)
    document = _document(suggestion)

    assert document["identity"]["gclid"] == [f"deal.{GCLID_KEY}", f"lead.{GCLID_KEY}"]
    assert document["consent"]["ad_user_data"] == {"field": f"contact.{CONSENT_KEY}", "granted": ["2"]}
    assert document["identity"]["default_country"] == "DE"
    assert _milestone(suggestion, "opportunity")["value"]["probability"] == "stage"
    assert f"[deal.{GCLID_KEY}, lead.{GCLID_KEY}]  # GCLID, GCLID" in as_yaml("crm", suggestion)


def test_targets_that_only_the_operator_knows_are_null() -> None:
    """A made-up conversion action would be refused by Google; null sends nothing and can be activated."""
    destinations = _document(suggest("pipedrive", pipedrive_schema(), DESTINATIONS))["destinations"]

    assert set(destinations["google"].values()) == {None} == set(destinations["ms"].values())
    assert destinations["meta"]["closed_revenue"] == {"event_name": "Purchase"}
    assert "disqualified" not in destinations["meta"]


def test_events_of_tiktok_are_proposed_and_what_can_be_made_is_said() -> None:
    """Names of events are free; for ids and goals the operator is told the command that makes them."""
    kinds = {"tt": "tiktok", "ads": "linkedin", "other": "unheard_of"}
    suggestion = suggest("pipedrive", pipedrive_schema(), kinds)
    destinations = _document(suggestion)["destinations"]

    assert destinations["tt"]["qualified_lead"] == {"event_name": "QualifiedLead"}
    assert {tuple(one) for one in destinations["tt"].values()} == {("event_name",)}
    assert set(destinations["ads"].values()) == {None} == set(destinations["other"].values())
    assert "leadloop destinations provision ads`" in as_yaml("crm", suggestion)
    assert "provision" not in suggestion.reasons["destinations.other"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("GoogleClickId__c", "google click id"),
        ("hs_google_click_id", "google click id"),
        ("Google Click ID", "google click id"),
        ("li_fat_id", "li fat id"),
        ("hs", "hs"),
        ("", ""),
    ],
)
def test_names_and_labels_are_read_as_words(text: str, plain: str) -> None:
    """Every CRM writes the same name in its own manner."""
    assert words(text) == plain


@pytest.mark.parametrize(
    ("text", "qualified", "disqualified"),
    [
        ("Marketing Qualified Lead", True, False),
        ("salesqualifiedlead", True, False),
        ("SQL", True, False),
        ("Unqualified", False, True),
        ("Not qualified", False, True),
        ("Pre-qualified", False, False),
        ("To be qualified", False, False),
        ("Qualification", False, False),
        ("Closed - Converted", True, False),
        ("Closed - Not Converted", False, True),
        ("Junk Lead", False, True),
        ("Connected", False, False),
    ],
)
def test_which_statuses_are_qualified(text: str, qualified: bool, disqualified: bool) -> None:  # noqa: FBT001 a table
    """Bidding learns from these: an unqualified lead reported as qualified teaches the wrong thing."""
    assert (is_qualified(text), is_disqualified(text)) == (qualified, disqualified)


def test_the_text_reads_back_as_the_document_whatever_the_vendor_says() -> None:
    """A label with a line break, a stage called `no`, an emoji: none may change what the file means."""
    stages = (
        StageSchema("no", "Lead in\n      injected: true", 0.1),
        StageSchema("# 7: [x]", "Proposal \U0001f680 \x85\u2028end", 0.5),
        StageSchema("\U0001f680", "Demo", 0.7),
        StageSchema("won", "Won", 1.0, is_won=True),
    )
    pipeline = PipelineSchema("a: b", "Sales #1", ObjectKind.DEAL, "dealstage", stages)
    deal = by_name(prop("dealstage"), prop("amount", "Amount", PropertyType.MONEY))
    schema = SourceSchema(
        "a", "USD", "UTC", {ObjectKind.CONTACT: by_name(prop("email")), ObjectKind.DEAL: deal}, (pipeline,), notices=("x\ny: z",)
    )
    suggestion = suggest("hubspot", schema, {"my-google": "google"})

    text = f"mappings:\n{as_yaml('crm.eu-1', suggestion)}"

    assert yaml.safe_load(text) == {"mappings": {"crm.eu-1": _plain(suggestion.document)}}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def test_an_account_that_shows_nothing_gives_no_milestone() -> None:
    """Where a token may read nothing there is nothing to suggest, and no trigger is made up."""
    suggestion = suggest("hubspot", SourceSchema("a", "EUR", "UTC", {}), {})

    assert _document(suggestion)["milestones"] == []
    assert _document(suggestion)["identity"] == {}
