"""What is read of the account itself: settings, check and schema."""

import json
from typing import Any

import httpx
import pytest

from connectors.contract.errors import AuthenticationFailed, Unavailable
from connectors.contract.findings import FindingStatus
from connectors.contract.records import ObjectKind
from connectors.contract.source import PropertyType
from connectors.crm.hubspot.settings import HubSpotSettings
from tests.wire.hubspot.fake_account import Account, refusal

DETAILS = "/account-info/2026-09/details"
USAGE = "/account-info/2026-09/api-usage/daily/private-apps"


def property_json(name: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "label": name.title(), "type": kind, "options": [], **more}


def option(value: str, order: int) -> dict[str, Any]:
    return {"value": value, "label": value.title(), "displayOrder": order}


def stage(stage_id: str, order: int, **metadata: str) -> dict[str, Any]:
    return {"id": stage_id, "label": stage_id.title(), "displayOrder": order, "metadata": metadata, "archived": False}


@pytest.fixture
def account() -> Account:
    found = Account()
    deal_properties = [
        property_json("amount", "number", showCurrencySymbol=True),
        property_json("amount_in_home_currency", "number"),
        property_json("arr", "number", showCurrencySymbol=True),
        property_json("hs_priority_score", "number", calculated=True),
        property_json("deal_currency_code", "enumeration"),
    ]
    contact_properties = [
        property_json("email"),
        property_json("phone", "string", fieldType="phonenumber"),
        property_json("ads_consent", "bool"),
        property_json("lifecyclestage", "enumeration", options=[option("mql", 2), option("other", -1), option("lead", 1)]),
    ]
    stages = [stage("won", 2, probability="1.0", isClosed="true"), stage("new", 0, probability="0.0", isClosed="false")]
    stages.append(stage("lost", 1, probability="0.0", isClosed="true"))
    found.metadata = {
        DETAILS: {"portalId": 62515, "companyCurrency": "EUR", "timeZone": "US/Eastern", "uiDomain": "app-eu1.hubspot.com"},
        USAGE: {"results": [{"name": "app", "usageLimit": 250000, "currentUsage": 240000}]},
        "/crm/properties/2026-09/deals": {"results": deal_properties},
        "/crm/properties/2026-09/contacts": {"results": contact_properties},
        "/crm/pipelines/2026-09/deals": {"results": [{"id": "p", "label": "Sales", "displayOrder": 0, "stages": stages}]},
        "/crm/associations/2026-09/deals/contacts/labels": {
            "results": [{"typeId": 3, "label": None}, {"typeId": 88, "label": "Decision maker"}]
        },
    }
    return found


async def test_describe_reads_what_a_mapping_needs(account: Account) -> None:
    """Types, order and won stages decide values and what counts as forward."""
    schema = await account.source().describe()

    deal, contact = schema.properties[ObjectKind.DEAL], schema.properties[ObjectKind.CONTACT]
    (pipeline,) = schema.pipelines
    assert (schema.account_ref, schema.currency, schema.time_zone) == ("62515", "EUR", "US/Eastern")
    assert [(deal[name].type, deal[name].currency_property) for name in ("amount", "arr", "amount_in_home_currency")] == [
        (PropertyType.MONEY, "deal_currency_code"),
        (PropertyType.MONEY, "deal_currency_code"),
        (PropertyType.MONEY, None),
    ]
    assert (deal["hs_priority_score"].type, deal["hs_priority_score"].has_history) == (PropertyType.NUMBER, False)
    assert [contact[name].type for name in ("email", "phone", "ads_consent")] == [
        PropertyType.TEXT,
        PropertyType.PHONE,
        PropertyType.BOOLEAN,
    ]
    assert [one.value for one in contact["lifecyclestage"].options] == ["lead", "mql", "other"]
    assert [(one.id, one.is_won, one.is_lost) for one in pipeline.stages] == [
        ("new", False, False),
        ("lost", False, True),
        ("won", True, False),
    ]
    assert (pipeline.kind, pipeline.stage_property) == (ObjectKind.DEAL, "dealstage")
    assert schema.person_labels == ("Decision maker",)
    assert schema.record_urls[ObjectKind.CONTACT] == "https://app-eu1.hubspot.com/contacts/62515/record/0-1/{id}"


async def test_describe_tells_what_is_the_customers_own_and_what_may_be_written(account: Account) -> None:
    """A form offers a status property only where a write is taken, and drafts a mapping from the customer's own names."""
    account.metadata["/crm/properties/2026-09/contacts"] = {
        "results": [
            property_json("email", hubspotDefined=True, modificationMetadata={"readOnlyValue": False}),
            property_json("hs_object_id", hubspotDefined=True, modificationMetadata={"readOnlyValue": True}),
            property_json("leadloop_status", hubspotDefined=False, modificationMetadata={"readOnlyValue": False}),
            property_json("score_of_ours", hubspotDefined=False, calculated=True),
            property_json("untold", modificationMetadata={"readOnlyDefinition": False, "archivable": True}),
            property_json("silent"),
        ]
    }

    found = (await account.source().describe()).properties[ObjectKind.CONTACT]

    assert {name: (one.is_custom, one.is_writable) for name, one in found.items()} == {
        "email": (False, True),
        "hs_object_id": (False, False),
        "leadloop_status": (True, True),
        "score_of_ours": (True, False),
        "untold": (True, True),
        "silent": (False, True),
    }


@pytest.mark.parametrize(
    ("additional", "currencies"),
    [(["USD", "EUR", "GBP"], ("EUR", "USD", "GBP")), ([], ("EUR",)), (None, ("EUR",)), ([None, 5, "USD"], ("EUR", "USD"))],
)
async def test_the_accounts_own_currency_stands_first(account: Account, additional: object, currencies: tuple[str, ...]) -> None:
    """A draft of a mapping values in the account's own currency."""
    account.metadata[DETAILS]["additionalCurrencies"] = additional

    assert (await account.source().describe()).currencies == currencies


async def test_a_stage_that_was_archived_keeps_its_name(account: Account) -> None:
    """It still stands in histories, and whoever traces a conversion wants its label."""
    (pipeline,) = account.metadata["/crm/pipelines/2026-09/deals"]["results"]
    pipeline["stages"].append({**stage("old", 3, probability="0.2", isClosed="false"), "archived": True})

    (described,) = (await account.source().describe()).pipelines

    assert [(one.id, one.label, one.is_archived) for one in described.stages][-1] == ("old", "Old", True)


async def test_what_an_account_does_not_have_is_left_out(account: Account) -> None:
    """Leads need Sales Hub Professional; without it everything else still works."""
    account.on_request = lambda request: refusal(403, "MISSING_SCOPES") if "/leads" in request.url.path else None

    schema = await account.source().describe()

    assert set(schema.properties) == {ObjectKind.CONTACT, ObjectKind.DEAL}
    assert len(schema.notices) == 2
    assert "crm.objects.leads.read" in "".join(schema.notices)


async def test_describe_needs_the_scopes_of_deals(account: Account) -> None:
    """An empty schema would make every mapping wrong."""
    account.on_request = lambda request: refusal(403, "MISSING_SCOPES") if "/properties/" in request.url.path else None

    with pytest.raises(AuthenticationFailed):
        await account.source().describe()


async def test_check_names_each_missing_scope_and_the_quota(account: Account) -> None:
    """The page shows what to do, not that something is wrong."""

    def refuse(request: httpx.Request) -> httpx.Response | None:
        path = request.url.path
        if "/deals/search" in path or "/leads/search" in path:
            return refusal(403, "MISSING_SCOPES")
        return None

    account.on_request = refuse
    findings = {one.subject: one for one in await account.source().check()}

    assert {subject: one.status.value for subject, one in findings.items()} == {
        "token": "ok",
        "account": "ok",
        "scope:crm.objects.contacts.read": "ok",
        "scope:crm.objects.deals.read": "failed",
        "scope:crm.objects.leads.read": "unproven",
        "scope:crm.objects.companies.read": "ok",
        "scope:crm.schemas.contacts.read": "ok",
        "scope:crm.schemas.deals.read": "ok",
        "quota": "unproven",
    }
    assert "crm.objects.deals.read" in findings["scope:crm.objects.deals.read"].mend
    assert "240,000 of 250,000" in findings["quota"].message


async def test_a_refused_kind_that_the_mapping_reads_is_a_failure(account: Account) -> None:
    """A check that calls it clean would end a pause that the next poll brings back."""
    account.on_request = lambda request: refusal(403, "MISSING_SCOPES") if "/leads/search" in request.url.path else None

    needed = {one.subject: one for one in await account.source().check(frozenset({ObjectKind.LEAD}))}
    unread = {one.subject: one for one in await account.source().check(frozenset({ObjectKind.DEAL}))}

    scope = "scope:crm.objects.leads.read"
    assert (needed[scope].status, unread[scope].status) == (FindingStatus.FAILED, FindingStatus.UNPROVEN)
    assert "crm.objects.leads.read" in needed[scope].mend


@pytest.mark.parametrize("status", [401, 530])
async def test_a_refused_token_is_a_finding(account: Account, status: int) -> None:
    """A truncated token answers 530 from the edge; check raises for neither."""
    account.on_request = lambda _request: httpx.Response(status)

    (finding,) = await account.source().check()

    assert (finding.subject, finding.status) == ("token", FindingStatus.FAILED)
    assert "pat-na1-test" not in f"{finding.message} {finding.mend}"


async def test_an_outage_is_no_finding(account: Account) -> None:
    """A token is not wrong because HubSpot is down."""
    account.on_request = lambda _request: httpx.Response(503)

    with pytest.raises(Unavailable):
        await account.source().check()


async def test_the_zone_learnt_by_describe_ends_the_day(account: Account) -> None:
    """Known zone, known midnight."""
    source = account.source()
    await source.describe()
    account.on_request = lambda _request: httpx.Response(429, json={"policyName": "DAILY"})

    with pytest.raises(Exception, match="429") as caught:
        await source.describe()

    assert caught.value.retry_after.total_seconds() == 17 * 3600  # type: ignore[attr-defined]  # a RateLimited


def test_settings_name_the_key_that_is_wrong() -> None:
    """The message goes to a page: the key, never the value."""
    with pytest.raises(ValueError, match="access_token"):
        HubSpotSettings.from_mapping({})
    with pytest.raises(ValueError, match="acces_token") as caught:
        HubSpotSettings.from_mapping({"acces_token": "pat-secret"})
    with pytest.raises(ValueError, match="searches_per_second"):
        HubSpotSettings.from_mapping({"access_token": "x", "searches_per_second": "0"})

    assert "pat-secret" not in str(caught.value)


def test_settings_are_read_and_kept_out_of_the_repr() -> None:
    """A repr ends in a log."""
    settings = HubSpotSettings.from_mapping({"access_token": "pat-secret", "webhook_secrets": "one, two\nthree"})

    assert settings.webhook_secrets == ("one", "two", "three")
    assert settings.api_version == "2026-09"
    assert not any(secret in repr(settings) for secret in ("pat-secret", "two"))


async def test_another_api_version_changes_every_path(account: Account) -> None:
    """Ops can pin a release or move on without waiting for us."""
    settings = HubSpotSettings.from_mapping({"access_token": "x", "api_version": "2027-03"})
    from connectors.crm.hubspot.source import HubSpotSource  # noqa: PLC0415 only here

    client = httpx.AsyncClient(transport=httpx.MockTransport(account.answer))
    await HubSpotSource(client, settings, lambda: account.now, sleep=account.sleep).check()

    assert {path for path in account.calls if "2027-03" not in path} == set()
    assert json.dumps(sorted(account.calls)).count("2027-03") == len(account.calls)
