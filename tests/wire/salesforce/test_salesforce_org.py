"""describe, check and write-back: what a form needs, what an admin has to mend, what is written and how each is judged."""

import json
from typing import Any

import httpx
import pytest

from connectors.contract.errors import AuthenticationFailed, RequestRefused, Unavailable, UnexpectedReply
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import (
    ListsDeleted,
    NoteOutcome,
    Paces,
    PropertyType,
    ReadsAhead,
    StageSchema,
    StatusNote,
    WritesBack,
)
from connectors.crm.salesforce.source import SalesforceSource
from tests.wire.salesforce.fake_org import HOST, ORG, Org, org_id, refusal

ALL_KINDS = frozenset({ObjectKind.LEAD, ObjectKind.CONTACT, ObjectKind.DEAL})


def furnished(**more: Any) -> Org:
    """An org with stages, statuses and a currency that it tells."""
    org = Org(**more)
    org.fields["Organization"]["DefaultCurrencyIsoCode"] = "string"
    stages = [("Prospecting", False, False, 10), ("Won", True, True, 100), ("Lost", True, False, 0), ("Old", False, False, 20)]
    org.rows["OpportunityStage"] = {
        name: {"ApiName": name, "MasterLabel": f"The {name}", "SortOrder": place, "IsClosed": closed, "IsWon": won}
        | {"DefaultProbability": percent, "IsActive": name != "Old"}
        for place, (name, closed, won, percent) in enumerate(stages)
    }
    org.rows["LeadStatus"] = {
        name: {"ApiName": name, "MasterLabel": name, "SortOrder": place, "IsConverted": name == "Qualified"}
        for place, name in enumerate(("Open", "Qualified"))
    }
    told = org._organization()[ORG] | {"DefaultCurrencyIsoCode": "USD"}
    org._organization = lambda: {ORG: told}  # type: ignore[method-assign]
    return org


async def found(org: Org, kinds: frozenset[ObjectKind] = ALL_KINDS, **settings: str) -> dict[str, Finding]:
    return {finding.subject: finding for finding in await org.source(**settings).check(kinds)}


async def test_describe_holds_what_a_form_needs() -> None:
    """Everything comes in one composite, and the tracked fields in one more request."""
    org = furnished()

    schema = await org.source().describe()

    assert (schema.account_ref, schema.currency, schema.time_zone) == (ORG, "USD", "America/New_York")
    assert {(one.id, one.kind, one.stage_property) for one in schema.pipelines} == {
        ("Opportunity", ObjectKind.DEAL, "StageName"),
        ("Lead", ObjectKind.LEAD, "Status"),
    }
    assert schema.pipelines[0].stages == (
        StageSchema("Prospecting", "The Prospecting", 0.1),
        StageSchema("Won", "The Won", 1.0, is_won=True),
        StageSchema("Lost", "The Lost", 0.0, is_lost=True),
        StageSchema("Old", "The Old", 0.2, is_archived=True),
    )
    assert schema.record_urls[ObjectKind.DEAL] == f"{HOST}/lightning/r/Opportunity/{{id}}/view"
    assert schema.notices == ()
    assert sum(org.calls.values()) == 3


async def test_the_statuses_of_converted_leads_are_won() -> None:
    """So a first mapping finds what a qualified lead is, whatever the org calls it."""
    schema = await furnished().source().describe()

    (statuses,) = [one.stages for one in schema.pipelines if one.kind is ObjectKind.LEAD]
    assert [(one.id, one.is_won, one.is_lost) for one in statuses] == [("Open", False, False), ("Qualified", True, False)]


async def test_properties_have_type_history_and_currency() -> None:
    """Compound fields are left out, as their parts are fields of their own."""
    org = furnished()

    properties = (await org.source().describe()).properties

    deal, lead = properties[ObjectKind.DEAL], properties[ObjectKind.LEAD]
    assert (deal["Amount"].type, deal["Amount"].currency_property, deal["Amount"].has_history) == (PropertyType.MONEY, None, True)
    assert (deal["StageName"].type, deal["StageName"].has_history) == (PropertyType.ENUM, True)
    assert (deal["Type"].has_history, lead["Status"].has_history, lead["Email"].has_history) == (False, True, False)
    assert deal["Amount"].is_writable
    assert "BillingAddress" not in properties[ObjectKind.COMPANY]


async def test_an_org_with_several_currencies_names_its_own_first() -> None:
    """`CurrencyIsoCode` is there only with multi-currency on; asking for it elsewhere is refused."""
    org = furnished()
    org.fields["CurrencyType"] = {"IsoCode": "string", "IsCorporate": "boolean"}
    org.fields["Opportunity"]["CurrencyIsoCode"] = "picklist"
    org.rows["CurrencyType"] = {code: {"IsoCode": code, "IsCorporate": code == "EUR"} for code in ("CHF", "EUR", "USD")}

    schema = await org.source(currency="GBP").describe()

    assert (schema.currency, schema.currencies) == ("EUR", ("EUR", "CHF", "USD"))
    assert schema.properties[ObjectKind.DEAL]["Amount"].currency_property == "CurrencyIsoCode"


async def test_a_currency_that_nobody_tells_is_asked_for() -> None:
    """A single-currency org may not say it; a guess would send wrong money."""
    org = Org()

    with pytest.raises(RequestRefused, match="`currency`"):
        await org.source().describe()

    assert (await org.source(currency="CHF").describe()).currencies == ("CHF",)
    assert (await found(org))["currency"].status is FindingStatus.FAILED


async def test_a_setting_that_contradicts_the_org_is_a_finding() -> None:
    """Every amount would be sent in money that nobody paid."""
    finding = (await found(furnished(), currency="EUR"))["currency"]

    assert finding.status is FindingStatus.FAILED
    assert all(word in finding.message for word in ("EUR", "USD"))


async def test_what_the_org_lacks_is_noted_with_how_to_get_it() -> None:
    """History off, objects hidden: the form says so before somebody maps them."""
    org = furnished(tracked=set())
    for name in ("Account", "OpportunityContactRole"):
        del org.fields[name]

    schema = await org.source().describe()

    assert ObjectKind.COMPANY not in schema.properties
    notices = " ".join(schema.notices)
    assert all(word in notices for word in ("Account", "Set History Tracking", "OpportunityContactRole"))
    assert not schema.properties[ObjectKind.LEAD]["Status"].has_history


async def test_nothing_counts_as_tracked_where_the_tooling_api_is_closed() -> None:
    """An integration user often may not ask it; that a history could name a field does not prove its tracking."""
    org = furnished()
    org.choices["LeadHistory"] = ["Status", "created"]
    org.on_request = lambda request: refusal(403, "INSUFFICIENT_ACCESS") if "tooling" in request.url.path else None

    schema = await org.source().describe()

    assert not schema.properties[ObjectKind.LEAD]["Status"].has_history


async def test_check_of_a_sound_org_finds_nothing_to_mend() -> None:
    """And counts nothing: a count of a big table takes minutes."""
    org = furnished()

    findings = await found(org)

    assert {finding.status for finding in findings.values()} == {FindingStatus.OK}
    assert findings["account"].message == f"org {ORG}, America/New_York"
    assert "18 of 100,000" in findings["budget"].message
    assert not any("count" in query.lower() for query in org.queries)
    assert sum(org.calls.values()) == 5


async def test_check_says_that_a_version_is_missing() -> None:
    """The pin is verified once, not at the first poll."""
    findings = await found(Org(versions=("58.0", "66.0")))

    assert findings["version"].status is FindingStatus.FAILED
    assert "v66.0" in findings["version"].message
    assert "api_version" in findings["version"].mend


async def test_check_warns_of_a_history_that_is_not_tracked() -> None:
    """Its changes are approximate until an admin ticks a box."""
    finding = (await found(furnished(tracked=set())))["history:Lead.Status"]

    assert finding.status is FindingStatus.UNPROVEN
    assert "Set History Tracking" in finding.mend


async def test_check_asks_for_no_history_of_leads_that_nobody_maps() -> None:
    """A mapping of deals alone is complete without them."""
    findings = await found(furnished(tracked=set()), frozenset({ObjectKind.DEAL, ObjectKind.CONTACT}))

    assert "history:Lead.Status" not in findings


@pytest.mark.parametrize(
    ("kinds", "status"), [(ALL_KINDS, FindingStatus.FAILED), (frozenset({ObjectKind.DEAL}), FindingStatus.UNPROVEN)]
)
async def test_check_names_hidden_objects_and_fields(kinds: frozenset[ObjectKind], status: FindingStatus) -> None:
    """Field-level security takes fields away in silence."""
    org = furnished()
    del org.fields["Lead"]
    del org.fields["Opportunity"]["Amount"]

    findings = await found(org, kinds)

    assert (findings["object:Lead"].status, findings["field:Opportunity.Amount"].status) == (status, FindingStatus.FAILED)
    assert "Permission Sets" in findings["object:Lead"].mend


@pytest.mark.parametrize(
    ("left", "status"), [(0, FindingStatus.FAILED), (19_999, FindingStatus.UNPROVEN), (20_001, FindingStatus.OK)]
)
async def test_check_tells_of_the_days_requests(left: int, status: FindingStatus) -> None:
    """They are shared with all that the customer has connected."""
    org = furnished()
    answer = {"DailyApiRequests": {"Max": 100_000, "Remaining": left}}
    org.on_request = lambda request: httpx.Response(200, json=answer) if request.url.path.endswith("/limits") else None

    assert (await found(org))["budget"].status is status


@pytest.mark.parametrize("body", [{}, {"DailyApiRequests": None}, {"DailyApiRequests": {"Max": "x", "Remaining": 1}}])
async def test_limits_that_cannot_be_read_are_no_failure(body: Any) -> None:
    """They are said for comfort."""
    org = furnished()
    org.on_request = lambda request: httpx.Response(200, json=body) if request.url.path.endswith("/limits") else None

    assert "budget" not in await found(org)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, json={"error": "invalid_client_id", "error_description": "client identifier invalid"}),
        httpx.Response(200, text="<html>"),
    ],
)
async def test_a_refused_token_is_a_finding(answer: httpx.Response) -> None:
    """A check raises nothing for a refusal."""
    org = Org()
    org.on_request = lambda request: answer if "token" in request.url.path else None

    findings = await found(org)

    assert [(one.subject, one.status) for one in findings.values()] == [("token", FindingStatus.FAILED)]
    assert findings["token"].mend


async def test_an_org_that_cannot_be_read_is_a_finding() -> None:
    """The user has a token and no rights."""
    org = Org()
    org.on_request = lambda request: refusal(403, "API_DISABLED_FOR_ORG", "no") if "composite" in request.url.path else None

    finding = (await found(org))["account"]

    assert finding.status is FindingStatus.FAILED
    assert "API Enabled" in finding.mend


def noted(number: int, text: str = "accepted", name: str = "AdSync_Status__c") -> StatusNote:
    return StatusNote(RecordRef(ObjectKind.DEAL, org_id("Opportunity", number)), name, text)


def answering(*results: Any, status: int = 200) -> tuple[Org, SalesforceSource, list[httpx.Request]]:
    org, seen = Org(), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PATCH":
            return None
        seen.append(request)
        return httpx.Response(status, json=list(results))

    org.on_request = answer
    return org, org.source(), seen


def failed(code: str, message: str = "words") -> dict[str, Any]:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}


async def test_notes_are_written_together_and_judged_one_by_one() -> None:
    """A validation rule of one record must not keep the others from being written."""
    results = ({"id": "x", "success": True, "errors": []}, failed("CANNOT_UPDATE_CONVERTED_LEAD"), failed("ENTITY_IS_DELETED"))
    more = (failed("FIELD_CUSTOM_VALIDATION_EXCEPTION", "ask jane@example.com"), failed("NOT_FOUND"), {"success": False})
    _, source, seen = answering(*results, *more)

    written = await source.write_back([noted(number) for number in range(6)])

    assert [(one.outcome, one.code) for one in written] == [
        (NoteOutcome.WRITTEN, ""),
        (NoteOutcome.REFUSED, "CANNOT_UPDATE_CONVERTED_LEAD"),
        (NoteOutcome.GONE, "ENTITY_IS_DELETED"),
        (NoteOutcome.REFUSED, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        (NoteOutcome.GONE, "NOT_FOUND"),
        (NoteOutcome.REFUSED, ""),
    ]
    assert "jane" not in written[3].message
    (request,) = seen
    assert request.url.path == "/services/data/v67.0/composite/sobjects"
    assert (request.headers["sforce-call-options"], request.headers["sforce-auto-assign"]) == ("client=leadloop", "FALSE")
    body = json.loads(request.content)
    assert body["allOrNone"] is False
    assert body["records"][0] == {
        "attributes": {"type": "Opportunity"},
        "id": org_id("Opportunity", 0),
        "AdSync_Status__c": "accepted",
    }


async def test_a_record_with_several_notes_is_written_once() -> None:
    """The same id twice in one call is refused."""
    _, source, seen = answering({"success": True}, {"success": True})

    written = await source.write_back([noted(1, "old"), noted(2), noted(1, "new"), noted(1, "x", "Other__c")])

    assert [one.outcome for one in written] == [NoteOutcome.WRITTEN] * 4
    records = json.loads(seen[0].content)["records"]
    assert [record.get("AdSync_Status__c") for record in records] == ["new", "accepted"]


async def test_notes_of_one_object_stand_together() -> None:
    """Salesforce refuses a request in which the objects take turns more than ten times."""
    kinds = [ObjectKind.LEAD, ObjectKind.DEAL, ObjectKind.CONTACT] * 20
    notes = [StatusNote(RecordRef(kind, org_id("Lead", number)), "S__c", "accepted") for number, kind in enumerate(kinds)]
    answers = [{"success": True}] * 20 + [failed("STRING_TOO_LONG")] * 20 + [{"success": True}] * 20
    _, source, seen = answering(*answers)

    written = await source.write_back(notes)

    types = [one["attributes"]["type"] for one in json.loads(seen[0].content)["records"]]
    assert types == ["Contact"] * 20 + ["Opportunity"] * 20 + ["Lead"] * 20
    assert [one.outcome for one in written] == [NoteOutcome.WRITTEN, NoteOutcome.REFUSED, NoteOutcome.WRITTEN] * 20


async def test_a_locked_record_is_written_later() -> None:
    """It passes; writing the others again is harmless."""
    _, source, _ = answering({"success": True}, failed("UNABLE_TO_LOCK_ROW"))

    with pytest.raises(Unavailable):
        await source.write_back([noted(1), noted(2)])


@pytest.mark.parametrize(
    "results", [(), ({"success": True},), ({"success": True}, {}), ({"success": True}, 7), ({"success": "x"},) * 2]
)
async def test_an_answer_that_does_not_add_up_settles_nothing(results: tuple[Any, ...]) -> None:
    """A result taken for another's would mark what was never written."""
    _, source, _ = answering(*results)

    with pytest.raises(UnexpectedReply):
        await source.write_back([noted(1), noted(2)])


async def test_nothing_to_write_costs_nothing() -> None:
    """And a refused permission is told as such."""
    org, source, _ = answering()
    org.on_request = lambda request: refusal(403, "INSUFFICIENT_ACCESS_OR_READONLY") if request.method == "PATCH" else None

    assert await source.write_back([]) == ()
    with pytest.raises(AuthenticationFailed):
        await source.write_back([noted(1)])


def test_the_source_has_the_optional_abilities() -> None:
    """The service looks for them by protocol; a name that is misspelt would be silence."""
    source = Org().source()

    assert all(isinstance(source, ability) for ability in (ListsDeleted, ReadsAhead, Paces, WritesBack))
    assert source.most_notes == 200
