"""What campaigns cost, by adAnalytics: one question for some days, cut so that LinkedIn's silent limit is never met."""

from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

from connectors.ads.linkedin.api import Api, escaped
from connectors.ads.linkedin.settings import LinkedInSettings
from connectors.contract.conversions import MICROS, Money
from connectors.contract.errors import Effect, UnexpectedReply
from connectors.contract.spend import CampaignSpend, SpendPage
from connectors.upload.json_values import as_list, as_object, as_text, as_whole

MOST_DAYS = 30
# A reply is cut without a word here (others' measurements).
MOST_ROWS = 15_000
TIME_ZONE = "UTC"
CAMPAIGN_URN = "urn:li:sponsoredCampaign:"

_FIELDS = "pivotValues,dateRange,costInLocalCurrency,impressions,clicks"


async def read_page(api: Api, settings: LinkedInSettings, first: date, last: date, page: str | None) -> SpendPage:
    """The days from `page` (an ISO day; None: `first`) on, as many as fit into one question, and where the next begins."""
    account = await api.account(settings.account_id)
    if account is None:
        raise UnexpectedReply(f"LinkedIn shows no ad account {settings.account_id}", effect=Effect.NONE)
    currency = as_text(account.get("currency"))
    names = {
        str(one.get("id", "")).rpartition(":")[2]: as_text(one.get("name")) async for one in api.campaigns(settings.account_id)
    }
    start = first if page is None else date.fromisoformat(page)
    end = min(last, start + timedelta(days=max(1, min(MOST_DAYS, (MOST_ROWS - 1) // max(1, len(names)))) - 1))
    query = (
        f"q=analytics&pivot=CAMPAIGN&timeGranularity=DAILY&dateRange=(start:{_day(start)},end:{_day(end)})"
        f"&accounts=List({escaped(settings.account_urn)})&fields={_FIELDS}"
    )
    elements = as_list((await api.read(f"/rest/adAnalytics?{query}")).get("elements"))
    if len(elements) >= MOST_ROWS:
        raise UnexpectedReply(f"LinkedIn cut its report of {start} to {end}", effect=Effect.NONE, code="report_cut")
    rows = [_row(element, currency, names) for element in elements]
    following = None if end >= last else (end + timedelta(days=1)).isoformat()
    return SpendPage(rows, following, currency, TIME_ZONE)


def _row(element: object, currency: str, names: dict[str, str]) -> CampaignSpend:
    row = as_object(element)
    campaign = next((as_text(one) for one in as_list(row.get("pivotValues"))), "").removeprefix(CAMPAIGN_URN)
    start = as_object(as_object(row.get("dateRange")).get("start"))
    parts = [as_whole(start.get(name)) for name in ("year", "month", "day")]
    try:
        day = date(*(part or 0 for part in parts))
        cost = Decimal(str(row.get("costInLocalCurrency") or "0"))
    except (ValueError, InvalidOperation):
        raise _unreadable("a day or a cost") from None
    if not campaign or not cost.is_finite() or cost < 0:
        raise _unreadable("a campaign or a cost")
    return CampaignSpend(
        campaign_id=campaign,
        day=day,
        cost=Money(round(cost * MICROS), currency),
        campaign_name=names.get(campaign) or None,
        clicks=as_whole(row.get("clicks")),
        impressions=as_whole(row.get("impressions")),
    )


def _day(day: date) -> str:
    return f"(year:{day.year},month:{day.month},day:{day.day})"


def _unreadable(what: str) -> UnexpectedReply:
    return UnexpectedReply(f"LinkedIn's report holds a row without {what} that can be read", effect=Effect.NONE)
