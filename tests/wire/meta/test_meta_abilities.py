"""What Meta is asked beside plain uploads: spend page by page, the form of each row, test events on request; and versions."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from connectors.ads.meta.settings import MetaSettings
from connectors.ads.meta.versions import ADS_API, API, SUNSETS, sunset_of
from connectors.contract.conversions import Identifier, Money, Target, UploadRow
from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, UnexpectedReply
from connectors.contract.findings import FindingStatus
from connectors.contract.results import Accepted, Rejected
from connectors.contract.spend import CampaignSpend, SpendPage
from tests.wire.meta.meta_rig import DATASET, DIGEST, EMAIL, LEAD_ID, NOW, Meta, connected, error, received, row, settings_of

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 21)
ACCOUNT = {"id": "act_998877", "currency": "EUR", "timezone_name": "Europe/Madrid"}
SETTINGS = settings_of(ad_account_id="act_998877")
DAY = timedelta(days=1)


def spent(campaign: str = "111", day: str = "2026-11-03", **changes: Any) -> dict[str, Any]:
    made = {
        "account_currency": "EUR",
        "campaign_id": campaign,
        "campaign_name": "Brand",
        "spend": "5339.5",
        "impressions": "200",
        "clicks": "4",
        "date_start": day,
        "date_stop": day,
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def page_of(*rows: Any, after: str | None = None, is_last: bool = True) -> tuple[int, Any]:
    """An answer of Insights: the last page has a cursor too, but no address of another page."""
    paging: dict[str, Any] = {} if after is None else {"cursors": {"before": "b", "after": after}}
    return 200, {"data": list(rows), "paging": paging if is_last else {**paging, "next": "https://graph.facebook.com/x"}}


async def read(*answers: Any, page: str | None = None, settings: MetaSettings = SETTINGS) -> SpendPage:
    async with connected(Meta((200, ACCOUNT), *answers), settings) as destination:
        found = await destination.spend(FIRST, LAST, page)
    assert isinstance(found, SpendPage)
    return found


async def test_spend_is_asked_by_campaign_and_day() -> None:
    """Both ends count and are the account's days; another level or increment would add days or ads into one figure."""
    meta = Meta((200, ACCOUNT), page_of(spent()))

    async with connected(meta, SETTINGS) as destination:
        page = await destination.spend(FIRST, LAST)

    assert page == SpendPage(
        [CampaignSpend("111", date(2026, 11, 3), Money(5_339_500_000, "EUR"), "Brand", 4, 200)], None, "EUR", "Europe/Madrid"
    )
    account, insights = meta.requests
    assert (account.method, account.url.path, dict(account.url.params)) == (
        "GET",
        "/v26.0/act_998877",
        {"fields": "currency,timezone_name"},
    )
    assert (insights.method, insights.url.path) == ("GET", "/v26.0/act_998877/insights")
    assert dict(insights.url.params) == {
        "level": "campaign",
        "time_increment": "1",
        "time_range": '{"since":"2026-11-01","until":"2026-11-21"}',
        "fields": "account_currency,campaign_id,campaign_name,spend,impressions,clicks,date_start,date_stop",
        "limit": "500",
    }


async def test_spend_goes_from_page_to_page_by_the_cursor() -> None:
    """The address of the next page holds the token; the cursor alone is kept and asked with the same question."""
    meta = Meta(
        (200, ACCOUNT), page_of(spent("111"), after="QQ==", is_last=False), (200, ACCOUNT), page_of(spent("112"), after="Qg")
    )

    async with connected(meta, SETTINGS) as destination:
        first = await destination.spend(FIRST, LAST)
        second = await destination.spend(FIRST, LAST, first.next)

    assert isinstance(second, SpendPage)
    assert (first.next, second.next) == ("QQ==", None)
    questions = [dict(one.url.params) for one in meta.requests if one.url.path.endswith("/insights")]
    assert questions[1] == {**questions[0], "after": "QQ=="}
    assert [one.campaign_id for one in second.rows] == ["112"]


@pytest.mark.parametrize(
    ("paging", "page"),
    [
        ({"next": "https://graph.facebook.com/x"}, None),
        ({"next": "https://graph.facebook.com/x", "cursors": {}}, None),
        ({"next": "https://graph.facebook.com/x", "cursors": {"after": "QQ"}}, "QQ"),
    ],
)
async def test_another_page_that_cannot_be_reached_fails_the_report(paging: Any, page: str | None) -> None:
    """Ending there would lose money in silence, and a cursor that leads back would read one page for ever."""
    with pytest.raises(UnexpectedReply) as caught:
        await read((200, {"data": [spent()], "paging": paging}), page=page)

    assert caught.value.effect is Effect.NONE


@pytest.mark.parametrize("answer", [{"data": []}, {"data": [], "paging": {}}])
async def test_no_spend_is_no_row(answer: Any) -> None:
    """Meta has no row for a day without delivery; the account's currency and zone are known all the same."""
    assert await read((200, answer)) == SpendPage([], None, "EUR", "Europe/Madrid")


@pytest.mark.parametrize(
    ("changes", "micros", "currency"),
    [
        ({"spend": "0.1"}, 100_000, "EUR"),
        ({"spend": "0"}, 0, "EUR"),
        ({"spend": None}, 0, "EUR"),
        ({"spend": "90071992547409.93"}, 90_071_992_547_409_930_000, "EUR"),
        ({"spend": "1500", "account_currency": "JPY"}, 1_500_000_000, "JPY"),
        ({"account_currency": None}, 5_339_500_000, "EUR"),
    ],
)
async def test_figures_come_as_text_in_major_units(changes: dict[str, Any], micros: int, currency: str) -> None:
    """By way of a float large ones would drift."""
    page = await read(page_of(spent(**changes)))

    assert page.rows[0].cost == Money(micros, currency)


@pytest.mark.parametrize(
    "broken",
    [
        {"campaign_id": None},
        {"date_start": "03/11/2026"},
        {"date_stop": "2026-11-04"},
        {"spend": "a lot"},
        {"spend": "NaN"},
        {"spend": "-1"},
    ],
)
async def test_a_row_that_cannot_be_read_fails_the_report(broken: dict[str, Any]) -> None:
    """A row left out in silence would be money that was never spent; one of two days would be booked on the first."""
    with pytest.raises(UnexpectedReply):
        await read(page_of(spent(**broken)))


async def test_a_renamed_campaign_keeps_its_id() -> None:
    """Names are the advertiser's and change."""
    page = await read(page_of(spent(campaign_name="Brand (old)"), spent("112", campaign_name=None)))

    assert [(one.campaign_id, one.campaign_name) for one in page.rows] == [("111", "Brand (old)"), ("112", None)]


async def test_a_restated_day_is_read_as_it_is_now() -> None:
    """Meta corrects days for weeks: the connector remembers nothing of an earlier answer."""
    meta = Meta((200, ACCOUNT), page_of(spent()), (200, ACCOUNT), page_of(spent(spend="1")))

    async with connected(meta, SETTINGS) as destination:
        pages = [await destination.spend(FIRST, LAST) for _ in range(2)]

    assert [page.rows[0].cost.amount_micros for page in pages if isinstance(page, SpendPage)] == [5_339_500_000, 1_000_000]


async def test_spend_without_an_ad_account_is_a_matter_of_settings() -> None:
    """The dataset names no ad account, and guessing one would show somebody else's money."""
    meta = Meta((200, ACCOUNT))

    async with connected(meta) as destination:
        with pytest.raises(ValueError, match="ad_account_id"):
            await destination.spend(FIRST, LAST)

    assert meta.requests == []


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, error(4, 1504022), RateLimited, "4/1504022"),
        (400, error(80000), RateLimited, "80000"),
        (400, error(190, 463), AuthenticationFailed, "190/463"),
        (403, error(200), AuthenticationFailed, "200"),
        (400, error(100, 33), AuthenticationFailed, "100/33"),
        (400, error(3018), ConnectorError, "3018"),
    ],
)
async def test_a_refused_report_says_why(status: int, body: Any, kind: type[ConnectorError], code: str) -> None:
    """The code is what a person looks up; a throttle tells the reader to wait."""
    with pytest.raises(kind) as caught:
        await read((status, body))

    assert caught.value.code == code


async def test_reports_have_a_version_of_their_own() -> None:
    """Reports follow a shorter calendar than the Conversions API."""
    meta = Meta((200, ACCOUNT), page_of(), (200, received(1)))

    async with connected(meta, replace(SETTINGS, ads_api_version="v27.0")) as destination:
        await destination.spend(FIRST, LAST)
        await destination.upload([row()], NOW)
        versions = {one.api: one.version for one in destination.api_versions()}

    assert [one.url.path.split("/")[1] for one in meta.requests] == ["v27.0", "v27.0", "v26.0"]
    assert versions == {API: "v26.0", ADS_API: "v27.0"}


async def test_the_last_days_of_versions() -> None:
    """An operator hears of it sixty days before; a version older than all that are listed is off already."""
    async with connected(Meta((200, {})), replace(SETTINGS, api_version="v21.0", ads_api_version="v19.0")) as destination:
        of = {one.api: one for one in destination.api_versions()}

    assert of[API].sunset == date(2027, 1, 21)
    assert (of[API].warns(date(2026, 11, 21)), of[API].warns(date(2026, 11, 22))) == (False, True)
    assert of[ADS_API].is_over(NOW.date())
    assert [sunset_of(one) for one in ("v26.0", "v99.0")] == [None, None]
    assert list(SUNSETS.values()) == sorted(SUNSETS.values())


async def sent(one: UploadRow, **settings: str) -> Any:
    """The event that a row becomes, None where it is refused here."""
    meta = Meta((200, received(1)))
    async with connected(meta, settings_of(**settings)) as destination:
        (result,) = await destination.upload([one], NOW)
    assert isinstance(result, Accepted) == bool(meta.requests)
    assert isinstance(result, Accepted | Rejected)
    return meta.bodies[0]["data"][0] if meta.bodies else None


@pytest.mark.parametrize(
    ("identifiers", "settings", "source", "days"),
    [
        (LEAD_ID, {}, "system_generated", 7),
        ({**LEAD_ID, **EMAIL}, {"without_lead_id": "other"}, "system_generated", 7),
        (EMAIL, {}, "physical_store", 62),
        ({Identifier.FBC: "fb.1.1795345820402.IwAR2F4abc"}, {}, "physical_store", 62),
        ({**EMAIL, Identifier.META_LEAD_ID: "12"}, {}, "physical_store", 62),
        (EMAIL, {"without_lead_id": "crm"}, "system_generated", 7),
        (EMAIL, {"without_lead_id": "other"}, "system_generated", 7),
    ],
)
async def test_the_form_and_its_age_are_each_row_s(identifiers: Any, settings: Any, source: str, days: int) -> None:
    """A lead of Meta's own form belongs to its CRM integration, 7 days; any other is an offline event, 62 days."""
    young = row(identifiers=identifiers, occurred_at=NOW - timedelta(days=days) + timedelta(minutes=3))
    old = row(identifiers=identifiers, occurred_at=NOW - timedelta(days=days) - timedelta(minutes=3))

    event = await sent(young, **settings)

    assert event["action_source"] == source
    assert await sent(old, **settings) is None


@pytest.mark.parametrize(
    ("identifiers", "settings", "custom"),
    [
        (LEAD_ID, {}, {"event_source": "crm", "lead_event_source": "HubSpot"}),
        (EMAIL, {"without_lead_id": "crm"}, {"event_source": "crm", "lead_event_source": "HubSpot"}),
        (EMAIL, {}, {"order_id": "ll00000000000000000000000007"}),
        (EMAIL, {"without_lead_id": "other"}, {}),
    ],
)
async def test_what_marks_a_form(identifiers: Any, settings: Any, custom: Mapping[str, str]) -> None:
    """Meta tells copies of an offline event apart by `order_id` and not by `event_id`; it is the conversion's id as well."""
    event = await sent(row(7, identifiers=identifiers, money=Money(42_000_000, "EUR")), **settings)

    assert event["custom_data"] == {**custom, "value": 42.0, "currency": "EUR"}
    assert event["event_id"] == "ll00000000000000000000000007"


@pytest.mark.parametrize("identifiers", [LEAD_ID, EMAIL])
async def test_limited_data_use_goes_with_each_form(identifiers: Any) -> None:
    """A state's law asks nothing of the form; country and state go together or Meta refuses the batch."""
    limited = {"data_processing_options": "LDU", "data_processing_options_state": "1005"}
    names = ("data_processing_options", "data_processing_options_country", "data_processing_options_state")

    event, free = await sent(row(identifiers=identifiers), **limited), await sent(row(identifiers=identifiers))

    assert [event[name] for name in names] == [["LDU"], 1, 1005]
    assert not set(names) & set(free)


async def test_usage_of_a_refused_upload_is_heeded_too() -> None:
    """The allowance is used up by refusals as well: the search for a bad row sends most requests."""
    usage = {"X-Business-Use-Case-Usage": json.dumps({"1": [{"call_count": 95}]})}
    meta = Meta((400, error(100, 2804050)), headers=usage)

    async with connected(meta) as destination:
        await destination.upload([row(1), row(2)], NOW)
        with pytest.raises(RateLimited) as caught:
            await destination.upload([row(1)], NOW)

    assert (len(meta.requests), caught.value.effect, caught.value.retry_after) == (1, Effect.NONE, timedelta(minutes=5))


TARGETS = {"lead": Target.of({"event_name": "Lead"}), "won": Target.of({"event_name": "Purchase"})}


async def test_a_test_event_goes_under_its_code() -> None:
    """One event of nobody's for each milestone, in one request of its own; a Purchase has the value that Meta demands."""
    meta = Meta((200, received(2)))

    async with connected(meta) as destination:
        findings = await destination.send_test_event("TEST12345", TARGETS)

    assert {one.subject: one.status for one in findings} == dict.fromkeys(("test_event:lead", "test_event:won"), FindingStatus.OK)
    (body,) = meta.bodies
    assert meta.requests[0].url.path == f"/v26.0/{DATASET}/events"
    assert body["test_event_code"] == "TEST12345"
    assert [one["event_name"] for one in body["data"]] == ["Lead", "Purchase"]
    assert all(one["user_data"] != {"em": [DIGEST]} and list(one["user_data"]) == ["em"] for one in body["data"])
    assert [one["custom_data"].get("value") for one in body["data"]] == [None, 0.0]


@pytest.mark.parametrize("code", ["", "  "])
async def test_without_a_code_no_event_of_nobody_s_is_sent(code: str) -> None:
    """It would be a real event, which nobody can delete."""
    meta = Meta((200, received(2)))

    async with connected(meta) as destination:
        findings = await destination.send_test_event(code, TARGETS)

    assert [one.status for one in findings] == [FindingStatus.FAILED]
    assert findings[0].mend
    assert meta.requests == []


@pytest.mark.parametrize("answer", [(400, error(100, 2804050)), (400, error(190)), (200, received(0)), (503, {})])
async def test_a_test_event_that_is_refused_is_a_finding(answer: Any) -> None:
    """A check raises nothing and claims nothing."""
    async with connected(Meta(answer)) as destination:
        findings = await destination.send_test_event("TEST12345", TARGETS)

    assert {one.status for one in findings} == {FindingStatus.FAILED}
    assert all(one.mend for one in findings)


async def test_uploads_and_checks_never_carry_a_test_code() -> None:
    """With it every conversion would be a test event: no setting can do that."""
    meta = Meta((200, {**ACCOUNT, **received(1)}))

    async with connected(meta) as destination:
        await destination.check(TARGETS)
        await destination.send_test_event("TEST12345", {"lead": TARGETS["lead"]})
        await destination.upload([row()], NOW)

    assert [body.get("test_event_code") for body in meta.bodies] == ["TEST12345", None]
    with pytest.raises(ValueError, match="test_event_code"):
        settings_of(test_event_code="TEST12345")
