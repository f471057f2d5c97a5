"""What campaigns cost, by a query of the Google Ads API: campaign and day, in the account's currency and zone."""

from datetime import date

from connectors.ads.google.ads_api import AdsApi, JsonObject
from connectors.contract.conversions import Money
from connectors.contract.errors import Effect, UnexpectedReply
from connectors.contract.spend import CampaignSpend, SpendPage
from connectors.upload.json_values import as_object, as_text, as_whole

# A query takes more; so many keep its answer small.
MOST_DAYS = 31

_SPEND = (
    "SELECT campaign.id, campaign.name, segments.date, metrics.cost_micros, metrics.clicks, metrics.impressions,"
    " customer.currency_code, customer.time_zone FROM campaign WHERE segments.date BETWEEN '{first}' AND '{last}'"
)


async def read_page(ads: AdsApi, first: date, last: date) -> SpendPage:
    """All rows of these days: the answer is streamed as one."""
    rows = await ads.rows(_SPEND.format(first=first.isoformat(), last=last.isoformat()))
    customer = as_object(rows[0].get("customer")) if rows else {}
    currency, zone = as_text(customer.get("currencyCode")), as_text(customer.get("timeZone"))
    return SpendPage([_row(one, currency) for one in rows], None, currency or None, zone or None)


def _row(row: JsonObject, currency: str) -> CampaignSpend:
    """int64 comes as text; a figure of zero may be left out."""
    campaign, metrics = as_object(row.get("campaign")), as_object(row.get("metrics"))
    campaign_id, cost = as_whole(campaign.get("id")), as_whole(metrics.get("costMicros", 0))
    try:
        day = date.fromisoformat(as_text(as_object(row.get("segments")).get("date")))
    except ValueError:
        raise _unreadable() from None
    if campaign_id is None or cost is None or not currency:
        raise _unreadable()
    return CampaignSpend(
        campaign_id=str(campaign_id),
        day=day,
        cost=Money(cost, currency),
        campaign_name=as_text(campaign.get("name")) or None,
        clicks=as_whole(metrics.get("clicks", 0)),
        impressions=as_whole(metrics.get("impressions", 0)),
    )


def _unreadable() -> UnexpectedReply:
    return UnexpectedReply("Google's report holds a row without campaign, day, cost or currency", effect=Effect.NONE)
