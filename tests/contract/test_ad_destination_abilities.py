"""What connectors do beside uploading, where they can: corrections, late verdicts, spend, provisioning, check, test events."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from connectors.contract.conversions import DeliveryKind, Money, Target, UploadRow
from connectors.contract.destination import AdDestination, Adjusts, Confirms, SendsTestEvents
from connectors.contract.findings import FindingStatus
from connectors.contract.provisioning import Provision, Provisions, WantedTarget
from connectors.contract.results import Accepted, AlreadyThere, Rejected, Retry, Unsupported, Verdicts
from connectors.contract.spend import CampaignSpend, ReportsSpend, SpendPage, SpendPending
from tests.contract.ad_reading import DAY, able, connected, one_form, row, rows
from tests.contract.ad_stage import AdAbility, AdStage

FIRST, LAST = date(2026, 11, 12), date(2026, 11, 18)
MILESTONES = ("lead", "qualified_lead", "opportunity", "closed_revenue")


async def _recorded(ad: AdStage, destination: AdDestination, count: int) -> list[UploadRow]:
    """So many conversions, taken, processed and old enough to be corrected."""
    given = one_form(ad, destination, rows(ad, count))
    results = await destination.upload(given, ad.clock())
    assert [type(one) for one in results] == [Accepted] * count
    if AdAbility.VERDICTS in ad.abilities:
        ad.settle_verdicts()
    ad.clock.go_on(destination.limits.correction_after + timedelta(minutes=1))
    return given


@able(AdAbility.RESTATES)
async def test_a_restatement_replaces_the_value(ad: AdStage) -> None:
    """The deal's amount was edited: the same conversion, its new value, and never a second one."""
    async with connected(ad) as destination:
        assert isinstance(destination, Adjusts)
        given = await _recorded(ad, destination, 3)
        changed = [replace(one, kind=DeliveryKind.RESTATE, money=Money(70_000_000, ad.account_currency)) for one in given]

        results = await destination.adjust(changed[:2], ad.clock())

        assert [type(one) for one in results] == [Accepted, Accepted]
        if AdAbility.VERDICTS in ad.abilities:
            ad.settle_verdicts()
        assert [ad.value_of(one) for one in changed] == [Decimal(70), Decimal(70), Decimal(50)]
        assert ad.total_counted() == 3


@able(AdAbility.RETRACTS)
async def test_a_retraction_takes_it_back(ad: AdStage) -> None:
    """The deal was lost after all: count and value go, the others stay."""
    async with connected(ad) as destination:
        assert isinstance(destination, Adjusts)
        given = await _recorded(ad, destination, 3)
        gone = [replace(one, kind=DeliveryKind.RETRACT, money=None) for one in given[:2]]

        results = await destination.adjust(gone, ad.clock())
        ad.clock.go_on(timedelta(minutes=5))
        again = await destination.adjust(gone, ad.clock())

        assert [type(one) for one in results] == [Accepted, Accepted]
        assert {type(one) for one in again} <= {Accepted, AlreadyThere}
        assert ad.total_counted() == 1


async def test_what_cannot_be_corrected_says_so(ad: AdStage) -> None:
    """Limits and abilities must agree: core owes no correction that nobody can take."""
    async with connected(ad) as destination:
        limits = destination.limits

        assert isinstance(destination, Adjusts) == (limits.restates or limits.retracts)
        assert (AdAbility.RESTATES in ad.abilities) == limits.restates
        assert (AdAbility.RETRACTS in ad.abilities) == limits.retracts
        assert (AdAbility.VERDICTS in ad.abilities) == isinstance(destination, Confirms) == (limits.verdict_after is not None)


@able(AdAbility.RETRACTS)
async def test_a_correction_of_what_the_platform_never_had_counts_nothing(ad: AdStage) -> None:
    """A retraction of an unknown original must not become anything."""
    async with connected(ad) as destination:
        assert isinstance(destination, Adjusts)
        unknown = row(ad, kind=DeliveryKind.RETRACT, money=None, occurred_at=ad.clock() - 3 * DAY, clicked_at=None)

        (result,) = await destination.adjust([unknown], ad.clock())

        assert not isinstance(result, Rejected | Retry) or ad.total_counted() == 0
        assert ad.total_counted() == 0


@able(AdAbility.VERDICTS)
async def test_late_verdicts_come_by_position(ad: AdStage) -> None:
    """What was accepted is not yet recorded; the receipt tells later which were."""
    async with connected(ad) as destination:
        assert isinstance(destination, Confirms)
        given = one_form(ad, destination, rows(ad, 4))
        results = await destination.upload(given, ad.clock())
        receipt = next(one.receipt for one in results if isinstance(one, Accepted))
        assert receipt is not None
        ad.settle_verdicts()

        reply = await destination.verdict(receipt, 4, ad.clock())

        assert reply == Verdicts({})


async def _spend(ad: AdStage, destination: ReportsSpend, first: date = FIRST, last: date = LAST) -> list[SpendPage]:
    pages: list[SpendPage] = []
    page: str | None = None
    for _ in range(60):
        answer = await destination.spend(first, last, page)
        if isinstance(answer, SpendPending):
            ad.clock.go_on(answer.wait)
        else:
            pages.append(answer)
        page = answer.next
        if page is None:
            return pages
    raise AssertionError("the report does not end")


def _keyed(pages: list[SpendPage]) -> dict[tuple[str, date], CampaignSpend]:
    found = {(one.campaign_id, one.day): one for page in pages for one in page.rows}
    assert len(found) == sum(len(page.rows) for page in pages), "each campaign and day once"
    return found


def _spent(ad: AdStage, campaigns: int = 3) -> None:
    for campaign in range(campaigns):
        for day in range(7):
            cost = Decimal(f"{10 + campaign}.{day}5")
            name = f'Search, "brand" {campaign} ü'
            ad.add_spend(str(900 + campaign), name, FIRST + timedelta(days=day), cost, clicks=day, impressions=100 * day)


@able(AdAbility.SPEND)
async def test_spend_read_twice_gives_the_same_rows(ad: AdStage) -> None:
    """Cost, clicks and impressions by campaign and day, in the account's currency and zone, over several pages."""
    _spent(ad, 200)
    async with connected(ad) as destination:
        assert isinstance(destination, ReportsSpend)

        first, second = await _spend(ad, destination), await _spend(ad, destination)

        assert _keyed(first) == _keyed(second)
        assert len(_keyed(first)) == 200 * 7
        one = _keyed(first)["901", FIRST + timedelta(days=2)]
        assert one.cost == Money(11_250_000, ad.account_currency)
        assert (one.clicks, one.impressions, one.campaign_name) == (2, 200, 'Search, "brand" 1 ü')
        assert {page.currency for page in first} <= {ad.account_currency, None}
        assert {page.time_zone for page in first if page.rows} == {ad.account_zone}


@able(AdAbility.SPEND)
async def test_spend_of_more_days_than_a_question_takes(ad: AdStage) -> None:
    """A question takes so many days; the first reading goes further back."""
    ad.add_spend("900", "Search", LAST - timedelta(days=80), Decimal("1.50"), clicks=1, impressions=5)
    ad.add_spend("900", "Search", LAST, Decimal("2.50"), clicks=1, impressions=5)
    async with connected(ad) as destination:
        assert isinstance(destination, ReportsSpend)
        days = destination.spend_days
        found: dict[tuple[str, date], CampaignSpend] = {}
        first = LAST - timedelta(days=89)
        while first <= LAST:
            last = min(LAST, first + timedelta(days=days - 1))
            found |= _keyed(await _spend(ad, destination, first, last))
            first = last + timedelta(days=1)

        assert sorted(one.cost.amount_micros for one in found.values()) == [1_500_000, 2_500_000]


@able(AdAbility.SPEND)
async def test_a_renamed_campaign_keeps_its_id_and_a_restated_day_is_replaced(ad: AdStage) -> None:
    """Platforms correct the last days, to nothing at all sometimes; names change, ids do not."""
    _spent(ad)
    async with connected(ad) as destination:
        assert isinstance(destination, ReportsSpend)
        before = _keyed(await _spend(ad, destination))
        ad.rename_campaign("901", "Renamed")
        ad.add_spend("901", "Renamed", LAST, Decimal("3.25"), clicks=1, impressions=9)
        ad.drop_spend("902", LAST)

        after = _keyed(await _spend(ad, destination))

        assert set(before) - set(after) == {("902", LAST)}
        assert after["901", LAST].cost.amount_micros == 3_250_000
        assert after["901", LAST].campaign_name == "Renamed"


@able(AdAbility.SPEND)
async def test_no_spend_is_no_row(ad: AdStage) -> None:
    """An account that ran nothing is no error."""
    async with connected(ad) as destination:
        assert isinstance(destination, ReportsSpend)
        assert _keyed(await _spend(ad, destination)) == {}


def _wanted(targets: dict[str, Target] | None = None) -> list[WantedTarget]:
    return [
        WantedTarget(one, (targets or {}).get(one), f"Leadloop: {one}", takes_value=one == "closed_revenue", currency=None)
        for one in MILESTONES
    ]


@able(AdAbility.PROVISIONS)
async def test_provisioning_makes_what_is_missing_once(ad: AdStage) -> None:
    """The plan changes nothing; a second run finds everything; what was made takes conversions."""
    async with connected(ad) as destination:
        assert isinstance(destination, Provisions)
        before = ad.targets_there()

        planned = await destination.plan(_wanted())
        assert [one.action for one in planned] == [Provision.CREATE] * 4
        assert ad.targets_there() == before
        done = await destination.provision(_wanted())
        assert ad.targets_there() == before + 4
        again = await destination.provision(_wanted())

        assert [one.action for one in again] == [Provision.KEEP] * 4
        assert ad.targets_there() == before + 4
        assert [one.target for one in done] == [one.target for one in again]
        named = {one.milestone: one.target for one in done if one.target is not None}
        assert len(named) == 4
        assert [one.action for one in await destination.plan(_wanted(named))] == [Provision.KEEP] * 4
        ad.clock.go_on(DAY)
        given = row(ad, target=named["lead"])
        assert isinstance((await destination.upload([given], ad.clock()))[0], Accepted)


@able(AdAbility.PROVISIONS)
async def test_targets_that_exist_are_kept(ad: AdStage) -> None:
    """What the operator made is not made again."""
    async with connected(ad) as destination:
        assert isinstance(destination, Provisions)
        wanted = [replace(one, target=ad.target(one.milestone)) for one in _wanted()]

        planned = await destination.plan(wanted)

        assert {one.action for one in planned} <= {Provision.KEEP, Provision.CHANGE}
        assert [one.target for one in planned] == [one.target for one in wanted]


async def test_a_check_tells_token_account_and_targets_apart_and_counts_nothing(ad: AdStage) -> None:
    """Each with its own finding; what cannot be proven without counting is said to be unproven."""
    async with connected(ad) as destination:
        targets = {"qualified_lead": ad.target("qualified_lead"), "wrong": ad.wrong_target()}

        findings = {one.subject: one for one in await destination.check(targets)}

        assert findings["token"].status in (FindingStatus.OK, FindingStatus.UNPROVEN)
        assert findings["account"].status in (FindingStatus.OK, FindingStatus.UNPROVEN)
        assert findings["target:qualified_lead"].status is not FindingStatus.FAILED
        assert findings["target:wrong"].status is FindingStatus.FAILED
        assert findings["target:wrong"].mend
        assert not [one for one in findings.values() if one.status is FindingStatus.FAILED and one.subject != "target:wrong"]
        assert ad.total_counted() == 0


@pytest.mark.parametrize("which", ["expired_token", "refused"])
async def test_a_check_never_raises(ad: AdStage, which: str) -> None:
    """Whatever the platform answers is a finding with its mend."""
    async with connected(ad) as destination:
        ad.plan.always(getattr(ad.faults, which))

        findings = await destination.check({"qualified_lead": ad.target("qualified_lead")})

        failed = [one for one in findings if one.status is FindingStatus.FAILED]
        assert failed
        assert all(one.mend for one in failed)
        assert not any(one.status is FindingStatus.OK and one.subject.startswith("target:") for one in findings)


@able(AdAbility.TEST_EVENTS)
async def test_a_test_event_is_sent_on_request_only(ad: AdStage) -> None:
    """It goes under the platform's code and is counted nowhere."""
    async with connected(ad) as destination:
        assert isinstance(destination, SendsTestEvents)
        await destination.check({"lead": ad.target("lead")})
        before = ad.requests()

        findings = await destination.send_test_event("TEST12345", {"lead": ad.target("lead")})

        assert ad.requests() == before + 1
        assert "TEST12345" in str(ad.bodies()[-1])
        assert {one.status for one in findings} == {FindingStatus.OK}
        assert ad.total_counted() == 0


async def test_versions_are_told(ad: AdStage) -> None:
    """An operator hears of a sunset sixty days before."""
    async with connected(ad) as destination:
        versions = destination.api_versions()

        assert versions
        assert all(one.api and one.version for one in versions)
        assert not any(one.is_over(date(2026, 11, 26)) for one in versions)


async def test_unsupported_is_no_rejection() -> None:
    """The upload stays counted: the correction alone is not taken."""
    assert not isinstance(Unsupported("code"), Rejected)
