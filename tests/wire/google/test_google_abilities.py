"""What the Google Ads API is asked beside uploads: spend, conversion actions, the account's settings; and versions."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from connectors.ads.google.settings import GoogleSettings
from connectors.ads.google.versions import ADS, DATA_MANAGER, ads_sunset
from connectors.contract.conversions import Money, Target
from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, RequestRefused, UnexpectedReply
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.provisioning import PlannedTarget, Provision, WantedTarget
from connectors.contract.spend import CampaignSpend, SpendPage
from tests.wire.google.google_rig import NOW, ONE_HOST, SQL, WON, Google, ads_refused, ads_status, connected

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 21)
SEARCH = "/v26/customers/4812093377/googleAds:searchStream"
MUTATE = "/v26/customers/4812093377/conversionActions:mutate"


def spent(campaign: str = "111", day: str = "2026-11-03", **metrics: Any) -> dict[str, Any]:
    return {
        "campaign": {"resourceName": f"customers/1/campaigns/{campaign}", "id": campaign, "name": "Brand"},
        "segments": {"date": day},
        "metrics": {"costMicros": "1230000", "clicks": "4", "impressions": "200", **metrics},
        "customer": {"resourceName": "customers/1", "currencyCode": "EUR", "timeZone": "Europe/Madrid"},
    }


async def read(*answer: Any) -> SpendPage:
    async with connected(Google(answer), settings=ONE_HOST) as destination:
        page = await destination.spend(FIRST, LAST)
    assert isinstance(page, SpendPage)
    return page


async def test_spend_is_one_query_by_campaign_and_day() -> None:
    """Days are the account's and both ends count; a figure too many in the query fails all of it."""
    google = Google((200, [{"results": [spent()], "fieldMask": "campaign.id", "requestId": "r"}]))

    async with connected(google, settings=ONE_HOST) as destination:
        page = await destination.spend(FIRST, LAST)

    assert page == SpendPage(
        [CampaignSpend("111", date(2026, 11, 3), Money(1_230_000, "EUR"), "Brand", 4, 200)], None, "EUR", "Europe/Madrid"
    )
    (request,) = google.requests
    assert (request.method, request.url.path) == ("POST", SEARCH)
    assert request.headers["login-customer-id"] == "7701128856"
    assert google.bodies == [
        {
            "query": "SELECT campaign.id, campaign.name, segments.date, metrics.cost_micros, metrics.clicks, metrics.impressions,"
            " customer.currency_code, customer.time_zone FROM campaign"
            " WHERE segments.date BETWEEN '2026-11-01' AND '2026-11-21'"
        }
    ]


async def test_spend_over_several_chunks_is_one_page() -> None:
    """The answer is streamed as an array of chunks: whoever reads the first only loses most of the money."""
    chunks = [{"results": [spent("111"), spent("112")]}, {"fieldMask": "x"}, {"results": [spent("113")]}]

    page = await read(200, chunks)

    assert [one.campaign_id for one in page.rows] == ["111", "112", "113"]
    assert page.next is None


@pytest.mark.parametrize("answer", [[], [{}], [{"results": []}]])
async def test_no_spend_is_no_row_and_no_currency(answer: Any) -> None:
    """An account that ran nothing tells neither currency nor zone, and none is made up."""
    assert await read(200, answer) == SpendPage([], None, None, None)


async def test_zeros_that_are_left_out_are_zeros() -> None:
    """Google leaves out what is zero; a day without a click is no day without a row."""
    row = spent()
    row["metrics"] = {"impressions": "3"}

    page = await read(200, [{"results": [row]}])

    assert page.rows == [CampaignSpend("111", date(2026, 11, 3), Money(0, "EUR"), "Brand", 0, 3)]


async def test_a_renamed_campaign_keeps_its_id() -> None:
    """Names are the advertiser's and change; spend is kept by id, and one without a name still has its money."""
    renamed, nameless = spent(), spent("112")
    renamed["campaign"]["name"] = "Brand (old)"
    del nameless["campaign"]["name"]

    page = await read(200, [{"results": [renamed, nameless]}])

    assert [(one.campaign_id, one.campaign_name) for one in page.rows] == [("111", "Brand (old)"), ("112", None)]


async def test_a_restated_day_is_read_as_it_is_now() -> None:
    """Google takes invalid clicks back for days: the connector remembers nothing of an earlier answer."""
    google = Google((200, [{"results": [spent()]}]), (200, [{"results": [spent(costMicros="1000000")]}]))

    async with connected(google, settings=ONE_HOST) as destination:
        pages = [await destination.spend(FIRST, LAST) for _ in range(2)]

    costs = [page.rows[0].cost.amount_micros for page in pages if isinstance(page, SpendPage)]
    assert costs == [1_230_000, 1_000_000]


@pytest.mark.parametrize(
    "broken",
    [
        {"campaign": {"name": "x"}},
        {"campaign": {"id": "abc"}},
        {"segments": {}},
        {"segments": {"date": "21/11/2026"}},
        {"metrics": {"costMicros": "1.5"}},
        {"metrics": {"costMicros": 1.5}},
        {"metrics": {"costMicros": "-5"}},
        {"customer": {}},
    ],
)
async def test_a_row_that_cannot_be_read_fails_the_report(broken: dict[str, Any]) -> None:
    """A row left out in silence would be money that was never spent."""
    with pytest.raises(UnexpectedReply) as caught:
        await read(200, [{"results": [{**spent(), **broken}]}])

    assert caught.value.effect is Effect.NONE


@pytest.mark.parametrize("answer", [{}, {"results": []}, None])
async def test_an_answer_without_chunks_is_no_report(answer: Any) -> None:
    """An empty object must not pass for a day on which nothing ran."""
    with pytest.raises(UnexpectedReply):
        await read(200, answer)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": ads_refused("OAUTH_TOKEN_EXPIRED", family="authenticationError")}, AuthenticationFailed),
        (403, [{"error": ads_refused("USER_PERMISSION_DENIED", family="authorizationError")}], AuthenticationFailed),
        (429, {"error": ads_refused("RESOURCE_EXHAUSTED", family="quotaError")}, RateLimited),
        (400, [{"error": ads_refused("UNRECOGNIZED_FIELD", family="queryError")}], RequestRefused),
        (404, {"error": ads_refused("UNSUPPORTED_VERSION", family="requestError")}, RequestRefused),
    ],
)
async def test_a_refused_report_says_why(status: int, body: Any, kind: type[ConnectorError]) -> None:
    """The code is what a person looks up; a stream's refusal may come inside of an array."""
    with pytest.raises(kind) as caught:
        await read(status, body)

    told = body[0] if isinstance(body, list) else body
    assert caught.value.code == next(iter(told["error"]["details"][0]["errors"][0]["errorCode"].values()))
    assert "jane" not in caught.value.message


def action(number: str, name: str = "Action", **changes: Any) -> dict[str, Any]:
    made = {
        "id": number,
        "name": name,
        "status": "ENABLED",
        "type": "UPLOAD_CLICKS",
        "clickThroughLookbackWindowDays": "90",
        "valueSettings": {"alwaysUseDefaultValue": False},
    }
    return {"conversionAction": {**made, **changes}}


def there(*actions: dict[str, Any]) -> tuple[int, Any]:
    return 200, [{"results": list(actions)}]


def wanted(milestone: str = "qualified_lead", target: str | None = None) -> WantedTarget:
    named = None if target is None else Target.of({"conversion_action": target})
    return WantedTarget(milestone, named, f"Leadloop: {milestone}")


def target(number: str) -> Target:
    return Target.of({"conversion_action": number})


async def provisioned(*answers: Any, ask: list[WantedTarget]) -> tuple[list[PlannedTarget], Google]:
    google = Google(*answers)
    async with connected(google, settings=ONE_HOST) as destination:
        return list(await destination.provision(ask)), google


async def test_the_conversion_actions_that_are_made() -> None:
    """Counting every conversion, ninety days after a click, each with the category that bidding knows."""
    results = [{"resourceName": f"customers/4812093377/conversionActions/{one}"} for one in (SQL, WON)]
    ask = [wanted("qualified_lead"), wanted("closed_revenue")]

    done, google = await provisioned(there(), (200, {"results": results}), ask=ask)

    assert [(one.action, one.target) for one in done] == [(Provision.CREATE, target(SQL)), (Provision.CREATE, target(WON))]
    assert [request.url.path for request in google.requests] == [SEARCH, MUTATE]
    assert google.bodies[1] == {
        "operations": [
            {
                "create": {
                    "name": f"Leadloop: {milestone}",
                    "type": "UPLOAD_CLICKS",
                    "status": "ENABLED",
                    "category": category,
                    "countingType": "MANY_PER_CLICK",
                    "clickThroughLookbackWindowDays": "90",
                    "valueSettings": {"defaultValue": 0, "alwaysUseDefaultValue": False},
                }
            }
            for milestone, category in (("qualified_lead", "QUALIFIED_LEAD"), ("closed_revenue", "PURCHASE"))
        ],
        "partialFailure": True,
    }


@pytest.mark.parametrize(
    ("milestone", "category"),
    [
        ("lead", "IMPORTED_LEAD"),
        ("qualified_lead", "QUALIFIED_LEAD"),
        ("opportunity", "CONVERTED_LEAD"),
        ("closed_revenue", "PURCHASE"),
        ("demo_booked", "DEFAULT"),
    ],
)
async def test_the_category_of_a_milestone(milestone: str, category: str) -> None:
    """A category that Google does not know fails the creation; a milestone of the operator's own has none."""
    async with connected(Google(there()), settings=ONE_HOST) as destination:
        (planned,) = await destination.plan([wanted(milestone)])

    assert (planned.action, planned.target) == (Provision.CREATE, None)
    assert category in planned.message


@pytest.mark.parametrize(
    ("found", "named", "action_is", "word"),
    [
        ([action(SQL, "Leadloop: qualified_lead")], None, Provision.KEEP, ""),
        ([action(SQL, "Sales")], "Sales", Provision.KEEP, ""),
        ([action(SQL, "Other")], SQL, Provision.KEEP, ""),
        ([action(SQL, clickThroughLookbackWindowDays="30")], SQL, Provision.KEEP, "30 days"),
        ([action(WON)], SQL, Provision.BLOCKED, SQL),
        ([], SQL, Provision.BLOCKED, SQL),
        ([action(SQL, status="HIDDEN")], SQL, Provision.BLOCKED, "hidden"),
        ([action(SQL, "Leadloop: qualified_lead", status="HIDDEN")], None, Provision.BLOCKED, "hidden"),
        ([action(SQL, "Leadloop: qualified_lead", status="REMOVED")], None, Provision.CREATE, "6 hours"),
        ([], "Sales", Provision.CREATE, "`Sales`"),
    ],
)
async def test_what_is_there_is_found_by_number_or_name(
    found: list[Any], named: str | None, action_is: Provision, word: str
) -> None:
    """A second action of one milestone would split what bidding learns; a number that is gone is a person's matter."""
    google = Google(there(*found))

    async with connected(google, settings=ONE_HOST) as destination:
        (planned,) = await destination.plan([wanted(target=named)])

    assert planned.action is action_is
    assert word in planned.message
    assert planned.target == (target(SQL) if action_is is Provision.KEEP or "hidden" in planned.message else None)
    assert [request.url.path for request in google.requests] == [SEARCH]


async def test_nothing_missing_makes_nothing() -> None:
    """A second run must ask and change nothing."""
    done, google = await provisioned(there(action(SQL, "Leadloop: qualified_lead")), ask=[wanted()])

    assert [one.action for one in done] == [Provision.KEEP]
    assert [request.url.path for request in google.requests] == [SEARCH]


async def test_a_taken_name_blocks_its_milestone_alone() -> None:
    """An action of another kind has the name: Google's words say so, and the others are made."""
    answer = {
        "partialFailureError": ads_status(("DUPLICATE_NAME", 0), family="conversionActionError"),
        "results": [{}, {"resourceName": f"customers/4812093377/conversionActions/{WON}"}],
    }

    done, _ = await provisioned(there(), (200, answer), ask=[wanted(), wanted("closed_revenue")])

    assert [one.action for one in done] == [Provision.BLOCKED, Provision.CREATE]
    assert "DUPLICATE_NAME" in done[0].message
    assert "jane" not in done[0].message
    assert [one.target for one in done] == [None, target(WON)]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ((200, {"partialFailureError": ads_status(("MUTATE_NOT_ALLOWED", None)), "results": []}), "MUTATE_NOT_ALLOWED"),
        ((200, {"results": []}), "no id"),
        ((200, {"results": [{}]}), "no id"),
        ((400, {"error": ads_refused("DUPLICATE_NAME", 0)}), "DUPLICATE_NAME"),
    ],
)
async def test_what_was_not_made_is_not_claimed(answer: Any, word: str) -> None:
    """A mapping that names an action which is not there would stop the milestone on its first conversion."""
    done, _ = await provisioned(there(), answer, ask=[wanted()])

    assert [(one.action, one.target) for one in done] == [(Provision.BLOCKED, None)]
    assert word in done[0].message


OK, UNPROVEN = FindingStatus.OK, FindingStatus.UNPROVEN
TARGETS = {"qualified_lead": target(SQL)}


def customer(**changes: Any) -> tuple[int, Any]:
    tracking = {"acceptedCustomerDataTerms": True, "effectiveEnablementSetting": "ON", **changes.pop("tracking", {})}
    row = {"customer": {"id": "4812093377", "autoTaggingEnabled": True, "conversionTrackingSetting": tracking, **changes}}
    return 200, [{"results": [row]}]


async def checked(*answers: Any, settings: GoogleSettings = ONE_HOST) -> tuple[dict[str, Finding], Google]:
    """What a check finds by the Google Ads API, after a clean validation."""
    google = Google((200, {}), *answers)
    async with connected(google, settings=settings) as destination:
        found = {one.subject: one for one in await destination.check(TARGETS)}
    return {
        subject: one for subject, one in found.items() if subject not in ("token", "account", "target:qualified_lead")
    }, google


async def test_check_of_an_account_that_is_set_well() -> None:
    """One clean finding and nothing to read twice."""
    found, _ = await checked(customer(), there(action(SQL)))

    assert {subject: one.status for subject, one in found.items()} == {"ads_api": OK}


@pytest.mark.parametrize(
    ("of_account", "of_action", "subject", "word"),
    [
        ({"autoTaggingEnabled": False}, {}, "auto_tagging", "auto-tagging"),
        ({"tracking": {"acceptedCustomerDataTerms": False}}, {}, "customer_data_terms", "terms"),
        ({"tracking": {"effectiveEnablementSetting": "OFF"}}, {}, "enhanced_conversions", "enhanced conversions"),
        ({}, {"clickThroughLookbackWindowDays": "30"}, "action:qualified_lead", "90 days"),
        ({}, {"valueSettings": {"alwaysUseDefaultValue": True}}, "action:qualified_lead", "different values"),
    ],
)
async def test_check_tells_what_costs_conversions_in_silence(of_account: Any, of_action: Any, subject: str, word: str) -> None:
    """Google takes every event of such an account; that they come to nothing is told by nobody else."""
    found, _ = await checked(customer(**of_account), there(action(SQL, **of_action)))

    assert {name: one.status for name, one in found.items()} == {"ads_api": OK, subject: UNPROVEN}
    assert word in found[subject].mend


@pytest.mark.parametrize(
    ("version", "name", "on"),
    [
        ("v25", "enhanced_conversions_for_leads_enabled", {"enhancedConversionsForLeadsEnabled": True}),
        ("v26", "effective_enablement_setting", {"effectiveEnablementSetting": "ON"}),
        ("v27", "effective_enablement_setting", {"effectiveEnablementSetting": "ON"}),
    ],
)
async def test_each_version_is_asked_for_the_switch_by_its_own_name(version: str, name: str, on: dict[str, Any]) -> None:
    """v26 renamed it; a version refuses the other's name, and the whole check would call a good grant unproven."""
    tracking = {"acceptedCustomerDataTerms": True, **on}
    answer = (200, [{"results": [{"customer": {"autoTaggingEnabled": True, "conversionTrackingSetting": tracking}}]}])

    found, google = await checked(answer, there(action(SQL)), settings=replace(ONE_HOST, ads_api_version=version))

    assert {subject: one.status for subject, one in found.items()} == {"ads_api": OK}
    assert f"conversion_tracking_setting.{name} FROM" in google.bodies[1]["query"]
    assert google.requests[1].url.path.startswith(f"/{version}/")


async def test_check_of_a_grant_that_does_not_reach_fails_nothing() -> None:
    """Uploads go on without it; a failed finding would keep the connection paused."""
    found, _ = await checked((403, {"error": ads_refused("USER_PERMISSION_DENIED", family="authorizationError")}))

    assert {subject: one.status for subject, one in found.items()} == {"ads_api": UNPROVEN}
    assert "auth/adwords" in found["ads_api"].mend


async def test_check_does_not_ask_on_with_a_dead_token() -> None:
    """The same refusal twice tells nobody more."""
    google = Google((401, {}))
    async with connected(google, settings=ONE_HOST) as destination:
        found = [one.subject for one in await destination.check(TARGETS)]

    assert "ads_api" not in found
    assert len(google.requests) == 1


async def test_versions_and_their_last_days() -> None:
    """A version of the Google Ads API lives about a year; retractions and spend end with it, uploads do not."""
    async with connected(Google((200, {})), settings=replace(ONE_HOST, ads_api_version="v22")) as destination:
        versions = {one.api: one for one in destination.api_versions()}

    assert (versions[DATA_MANAGER].version, versions[DATA_MANAGER].sunset) == ("v1", None)
    assert versions[ADS].version == "v22"
    assert versions[ADS].is_over(NOW.date())
    assert [ads_sunset(one) for one in ("v23", "v26", "v99", "vnext")] == [None] * 4
    sunset = ads_sunset("v21")
    assert sunset is not None
    assert replace(versions[ADS], sunset=NOW.date() + timedelta(days=60)).warns(NOW.date())
    assert not replace(versions[ADS], sunset=NOW.date() + timedelta(days=61)).warns(NOW.date())
