"""What is read of the company itself: settings, check and schema."""

import httpx
import pytest

from connectors.contract.errors import AuthenticationFailed, Unavailable, UnexpectedReply
from connectors.contract.findings import FindingStatus
from connectors.contract.records import ObjectKind
from connectors.contract.source import KeepsWebhooks, Paces, PropertyType, WritesBack
from connectors.crm.pipedrive.settings import HistoryMode, PipedriveSettings
from connectors.crm.pipedrive.source import PipedriveSource
from connectors.registry import SOURCES, WEBHOOKS, webhook_secrets
from tests.wire.pipedrive.described_company import ME, described_company
from tests.wire.pipedrive.fake_company import CONSENT, GCLID, NOW, TOKEN, Company, lead_id, refusal

OAUTH = {"client_id": "id", "client_secret": "secret", "refresh_token": "first"}


@pytest.fixture
def company() -> Company:
    return described_company()


async def test_describe_reads_what_a_mapping_needs(company: Company) -> None:
    """Types, options, order and probabilities decide values and what counts as forward; keys resolve to names."""
    schema = await company.source().describe()

    deal, person, lead = (schema.properties[kind] for kind in (ObjectKind.DEAL, ObjectKind.CONTACT, ObjectKind.LEAD))
    assert (schema.account_ref, schema.currency, schema.time_zone) == ("54235233", "EUR", "Europe/Berlin")
    assert (schema.currencies, schema.names_by_label) == (("EUR", "USD"), True)
    assert (deal[GCLID].label, deal[GCLID].is_custom, deal[GCLID].is_writable, deal[GCLID].max_length) == (
        "GCLID",
        True,
        True,
        65_000,
    )
    assert (deal["d" * 39 + "4"].max_length, deal["title"].is_writable) == (255, False)
    assert [(one.value, one.label) for one in deal[CONSENT].options] == [("11", "Yes"), ("12", "No")]
    assert (deal["value"].type, deal["value"].currency_property) == (PropertyType.MONEY, "currency")
    assert deal["c" * 39 + "3"].currency_property == "c" * 39 + "3.currency"
    assert f"{'c' * 39}3.currency" in deal
    assert f"{'e' * 39}5.country" in deal
    assert [one.value for one in deal["status"].options] == ["open", "won", "lost"]
    assert [one.value for one in deal["stage_id"].options] == ["1", "9", "3"]
    assert (deal["add_time"].type, deal["source_lead_id"].type) == (PropertyType.DATETIME, PropertyType.TEXT)
    assert (deal["stage_id"].has_history, lead["label_ids"].has_history) == (True, False)
    assert {"email", "phone", "postal_address.postal_code", "postal_address.country"} <= set(person)
    assert "emails" not in person
    assert [(one.value, one.label) for one in lead["label_ids"].options] == [(lead_id(90), "Hot")]
    assert schema.record_urls[ObjectKind.LEAD] == "https://acme.pipedrive.com/leads/inbox/{id}"
    assert schema.record_urls[ObjectKind.DEAL] == "https://acme.pipedrive.com/deal/{id}"


async def test_pipelines_come_with_their_stages_in_order(company: Company) -> None:
    """A pipeline without probabilities says 100 for every stage: that is no certainty of winning."""
    first, second = (await company.source().describe()).pipelines

    assert (first.id, first.kind, first.stage_property, first.is_archived) == ("1", ObjectKind.DEAL, "stage_id", False)
    assert [(one.id, one.probability) for one in first.stages] == [("1", 0.0), ("3", 0.6)]
    assert (second.is_archived, [(one.id, one.probability, one.is_archived) for one in second.stages]) == (
        True,
        [("9", None, True)],
    )


async def test_notices_name_what_the_company_lacks(company: Company) -> None:
    """Amounts in seats, leads without history and the cheap mode are known before a mapping is written."""
    plain = (await company.source().describe()).notices
    cheap = (await company.source(history="cheap").describe()).notices

    assert any("SEATS" in one and "EUR" not in one for one in plain)
    assert any("no history of leads" in one for one in plain)
    assert len(cheap) == len(plain) + 1


@pytest.mark.parametrize("path", ["v2/dealFields", "v2/personFields"])
async def test_an_empty_catalogue_is_an_error(company: Company, path: str) -> None:
    """A version switch once gave none, and every mapping was wrong (complaint 4)."""
    company.metadata[path] = []

    with pytest.raises(UnexpectedReply, match="lists no field"):
        await company.source().describe()


async def test_leads_that_are_switched_off_are_left_out(company: Company) -> None:
    """Everything else still works."""
    company.on_request = lambda request: refusal(403, "no leads") if "/lead" in request.url.path else None

    assert set((await company.source().describe()).properties) == {ObjectKind.DEAL, ObjectKind.CONTACT}


async def test_describe_needs_deals(company: Company) -> None:
    """An empty schema would make every mapping wrong."""
    company.on_request = lambda request: refusal(403, "Scope and URL mismatch") if "Fields" in request.url.path else None

    with pytest.raises(AuthenticationFailed):
        await company.source().describe()


async def test_check_proves_every_right(company: Company) -> None:
    """One finding each, all of them good."""
    company.deal(1, NOW)

    findings = await company.source(webhook_secrets="leadloop:word", daily_tokens="60000").check()

    assert {one.subject: one.status.value for one in findings} == {
        "token": "ok",
        "account": "ok",
        "rights": "ok",
        "scope:deals:read": "ok",
        "scope:contacts:read": "ok",
        "scope:leads:read": "ok",
        "scope:recents:read": "ok",
        "webhooks": "ok",
        "quota": "ok",
    }
    assert company.spent <= 75


async def test_check_warns_of_a_user_who_sees_a_part(company: Company) -> None:
    """Rows are missing without a word (complaint 11)."""
    company.metadata["v1/users/me"] = ME | {"access": [{"app": "sales", "admin": False}, {"app": "global", "admin": True}]}

    findings = {one.subject: one for one in await company.source().check()}

    assert findings["rights"].status is FindingStatus.UNPROVEN
    assert "admin" in findings["rights"].mend


async def test_check_names_each_missing_scope(company: Company) -> None:
    """The page shows what to do, not that something is wrong."""
    company.deal(1, NOW)
    refused = ("changelog", "/v1/leads", "/v1/webhooks")
    company.on_request = lambda request: (
        refusal(403, "Scope and URL mismatch") if any(one in request.url.path for one in refused) else None
    )
    source = company.source(webhook_secrets="leadloop:word")

    findings = {one.subject: one for one in await source.check(frozenset({ObjectKind.DEAL}))}
    with_leads = {one.subject: one for one in await source.check(frozenset({ObjectKind.LEAD}))}

    assert findings["scope:recents:read"].status is FindingStatus.FAILED
    assert "recents:read" in findings["scope:recents:read"].mend
    assert (findings["scope:leads:read"].status, with_leads["scope:leads:read"].status) == (
        FindingStatus.UNPROVEN,
        FindingStatus.FAILED,
    )
    assert findings["webhooks"].status is FindingStatus.UNPROVEN


@pytest.mark.parametrize(("status", "subject"), [(401, "token"), (402, "account"), (403, "account"), (404, "account")])
async def test_a_refused_token_is_a_finding(company: Company, status: int, subject: str) -> None:
    """Check raises for no refusal, and tells no token."""
    company.on_request = lambda _request: refusal(status, "unauthorized access")

    (finding,) = await company.source().check()

    assert (finding.subject, finding.status) == (subject, FindingStatus.FAILED)
    assert TOKEN not in f"{finding.message} {finding.mend}"


async def test_an_outage_is_no_finding(company: Company) -> None:
    """A token is not wrong because Pipedrive is down."""
    company.on_request = lambda _request: httpx.Response(503)

    with pytest.raises(Unavailable):
        await company.source().check()


async def test_check_tells_of_cheap_readings_and_of_little_left(company: Company) -> None:
    """History that was not read is no secret."""
    source = company.source()
    source.budget.note_cheap_read()
    cheap = {one.subject: one for one in await source.check()}
    company.headers = {"x-daily-ratelimit-token-limit": "30000", "x-daily-ratelimit-token-remaining": "100"}
    little = {one.subject: one for one in await source.check()}

    assert "without their changelog" in cheap["quota"].message
    assert "100 of the company's 30,000" in little["quota"].message


def test_settings_name_the_key_that_is_wrong() -> None:
    """The message goes to a page: the key, never the value."""
    ill: list[tuple[dict[str, str], str]] = [
        ({}, "api_token"),
        ({"api_token": " "}, "api_token"),
        ({"api_token": "x", "client_id": "y"}, "client_id"),
        ({"client_id": "y", "client_secret": "z"}, "refresh_token"),
        ({"api_token": "x", "colour": "red"}, "colour"),
        ({"api_token": "x", "company_domain": "a b"}, "company_domain"),
        ({"api_token": "x", "webhook_secrets": "hush"}, "webhook_secrets"),
        ({"api_token": "x", "daily_tokens": "many"}, "daily_tokens"),
        ({"api_token": "x", "daily_share": "101"}, "daily_share"),
        ({"api_token": "x", "history": "some"}, "history"),
        ({"api_token": "x", "requests_per_2_seconds": "1"}, "requests_per_2_seconds"),
    ]
    for values, key in ill:
        with pytest.raises(ValueError, match=key) as caught:
            PipedriveSettings.from_mapping(values)
        assert "hush" not in str(caught.value)


def test_settings_are_read_as_they_are_written() -> None:
    """Defaults are the smallest plan's."""
    plain = PipedriveSettings.from_mapping({"api_token": "x"})
    full = PipedriveSettings.from_mapping(
        {
            **OAUTH,
            "company_domain": "https://acme.pipedrive.com/",
            "webhook_secrets": "a:b, c:d",
            "daily_tokens": "150_000",
            "daily_share": "10%",
            "history": "Exact",
        }
    )

    assert (plain.host, plain.requests_per_2_seconds, plain.daily_share) == ("https://api.pipedrive.com", 20, 0.25)
    assert (full.host, full.requests_per_2_seconds, full.daily_share) == ("https://acme.pipedrive.com", 80, 0.1)
    assert (full.webhook_secrets, full.daily_tokens, full.history) == (("a:b", "c:d"), 150_000, HistoryMode.EXACT)
    assert webhook_secrets({"webhook_secrets": "a:b, c:d"}) == full.webhook_secrets
    replaced = PipedriveSettings.from_mapping({**OAUTH, "base_url": "http://localhost:9/pipedrive/"})
    assert (replaced.host, replaced.token_url) == ("http://localhost:9/pipedrive", "http://localhost:9/pipedrive/oauth/token")


def test_secrets_stay_out_of_the_repr() -> None:
    """Settings get into logs."""
    found = PipedriveSettings.from_mapping(
        {**OAUTH, "client_secret": "hush1", "refresh_token": "hush2", "webhook_secrets": "u:hush3"}
    )

    assert "hush" not in repr(found)


def test_the_registry_knows_pipedrive_and_its_abilities() -> None:
    """The service looks for abilities by protocol."""
    assert SOURCES["pipedrive"] is PipedriveSource
    assert "pipedrive" in WEBHOOKS
    for ability in (Paces, KeepsWebhooks, WritesBack):
        assert isinstance(Company().source(), ability)


async def test_a_bigger_budget_polls_faster(company: Company) -> None:
    """The interval follows from tokens and their price, never under five minutes."""
    minutes = {
        tokens: company.source(daily_tokens=tokens).poll_every(ObjectKind.DEAL).total_seconds() / 60
        for tokens in ("3000", "30000", "60000", "1000000")
    }

    assert 13 < minutes["30000"] < 15
    assert minutes["3000"] > 120
    assert minutes["60000"] < minutes["30000"]
    assert minutes["1000000"] == 5
