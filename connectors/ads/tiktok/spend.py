"""What campaigns cost, by the integrated report: pages of campaigns by day, in the account's currency and zone."""

from datetime import date
from decimal import Decimal, InvalidOperation

from connectors.ads.tiktok.api import Api
from connectors.ads.tiktok.settings import TikTokSettings
from connectors.contract.conversions import MICROS, Money
from connectors.contract.errors import Effect, UnexpectedReply
from connectors.contract.spend import CampaignSpend, SpendPage
from connectors.upload.json_values import as_list, as_object, as_text, as_whole

# With days as a dimension (report page).
MOST_DAYS = 30
PAGE_ROWS = 1000

_METRICS = '["spend","impressions","clicks","campaign_name"]'


async def read_page(api: Api, settings: TikTokSettings, first: date, last: date, page: str | None) -> SpendPage:
    """Page `page` (None: the first) of these days."""
    account = await _account(api, settings)
    currency, zone = as_text(account.get("currency")), as_text(account.get("timezone")) or None
    number = int(page or "1")
    data = await api.read(
        "/report/integrated/get/",
        {
            "advertiser_id": settings.advertiser_id,
            "service_type": "AUCTION",
            "report_type": "BASIC",
            "data_level": "AUCTION_CAMPAIGN",
            "dimensions": '["campaign_id","stat_time_day"]',
            "metrics": _METRICS,
            "start_date": first.isoformat(),
            "end_date": last.isoformat(),
            "filtering": '[{"field_name":"campaign_status","filter_type":"IN","filter_value":"[\\"STATUS_ALL\\"]"}]',
            "page": number,
            "page_size": PAGE_ROWS,
        },
    )
    rows = [_row(one, currency) for one in as_list(data.get("list"))]
    pages = as_whole(as_object(data.get("page_info")).get("total_page")) or 1
    return SpendPage(rows, str(number + 1) if number < pages else None, currency, zone)


async def _account(api: Api, settings: TikTokSettings) -> dict[str, object]:
    fields = '["advertiser_id","currency","timezone","name"]'
    data = await api.read("/advertiser/info/", {"advertiser_ids": f'["{settings.advertiser_id}"]', "fields": fields})
    account = next((as_object(one) for one in as_list(data.get("list"))), {})
    if not as_text(account.get("currency")):
        raise UnexpectedReply(f"TikTok tells no currency of ad account {settings.advertiser_id}", effect=Effect.NONE)
    return dict(account)


def _row(element: object, currency: str) -> CampaignSpend:
    row = as_object(element)
    dimensions, metrics = as_object(row.get("dimensions")), as_object(row.get("metrics"))
    campaign = str(dimensions.get("campaign_id") or "")
    try:
        day = date.fromisoformat(as_text(dimensions.get("stat_time_day"))[:10])
        cost = Decimal(str(metrics.get("spend") or "0"))
    except (ValueError, InvalidOperation):
        raise _unreadable() from None
    if not campaign or not cost.is_finite() or cost < 0:
        raise _unreadable()
    return CampaignSpend(
        campaign_id=campaign,
        day=day,
        cost=Money(round(cost * MICROS), currency),
        campaign_name=as_text(metrics.get("campaign_name")) or None,
        clicks=as_whole(metrics.get("clicks")),
        impressions=as_whole(metrics.get("impressions")),
    )


def _unreadable() -> UnexpectedReply:
    return UnexpectedReply("TikTok's report holds a row without a campaign, day or cost that can be read", effect=Effect.NONE)
