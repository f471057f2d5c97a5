"""What campaigns cost, by Insights: pages of campaigns by day, in the ad account's currency and zone."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation

import orjson

from connectors.ads.meta.settings import MetaSettings
from connectors.contract.conversions import MICROS, Money
from connectors.contract.errors import Effect, UnexpectedReply
from connectors.contract.spend import CampaignSpend, SpendPage
from connectors.upload.json_values import as_list, as_object, as_text, as_whole

# A question takes more; so many keep it quick.
MOST_DAYS = 31
PAGE_ROWS = 500

_FIELDS = "account_currency,campaign_id,campaign_name,spend,impressions,clicks,date_start,date_stop"

Ask = Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, object]]]


async def read_page(ask: Ask, settings: MetaSettings, first: date, last: date, page: str | None) -> SpendPage:
    """The page after the cursor `page` (None: the first)."""
    if not settings.ad_account_id:
        raise ValueError("set ad_account_id to read what campaigns cost")
    account = await ask(f"/act_{settings.ad_account_id}", {"fields": "currency,timezone_name"})
    span = orjson.dumps({"since": first.isoformat(), "until": last.isoformat()}).decode()
    asked = {"level": "campaign", "time_increment": "1", "time_range": span, "fields": _FIELDS, "limit": str(PAGE_ROWS)}
    answer = await ask(f"/act_{settings.ad_account_id}/insights", {**asked, "after": page} if page else asked)
    currency, zone = as_text(account.get("currency")), as_text(account.get("timezone_name"))
    rows = [_row(one, currency) for one in as_list(answer.get("data"))]
    return SpendPage(rows, _next(as_object(answer.get("paging")), page), currency or None, zone or None)


def _next(paging: Mapping[str, object], page: str | None) -> str | None:
    """The cursor of the page after; the last page has one too, but no address of another page."""
    if not paging.get("next"):
        return None
    after = as_text(as_object(paging.get("cursors")).get("after"))
    if not after or after == page:
        raise UnexpectedReply("Meta's report has another page and no cursor that leads there", effect=Effect.NONE)
    return after


def _row(element: object, account_currency: str) -> CampaignSpend:
    """Figures come as text."""
    row = as_object(element)
    campaign, currency = as_text(row.get("campaign_id")), as_text(row.get("account_currency")) or account_currency
    try:
        day, cost = date.fromisoformat(as_text(row.get("date_start"))), Decimal(str(row.get("spend") or "0"))
    except (ValueError, InvalidOperation):
        raise _unreadable() from None
    if not campaign or not currency or row.get("date_stop") != row.get("date_start") or not cost.is_finite() or cost < 0:
        raise _unreadable()
    return CampaignSpend(
        campaign_id=campaign,
        day=day,
        cost=Money(round(cost * MICROS), currency),
        campaign_name=as_text(row.get("campaign_name")) or None,
        clicks=as_whole(row.get("clicks")),
        impressions=as_whole(row.get("impressions")),
    )


def _unreadable() -> UnexpectedReply:
    return UnexpectedReply("Meta's report holds a row without campaign, day or cost that can be read", effect=Effect.NONE)
