"""The simulated ad account: what its campaigns cost, and the Insights that tell it, paged by cursor."""

import base64
import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from connectors.simulators.meta.errors import JsonObject, invalid, no_such_object

KEPT = timedelta(days=37 * 31)
FIELDS = frozenset(
    {
        "account_id",
        "account_currency",
        "campaign_id",
        "campaign_name",
        "spend",
        "impressions",
        "clicks",
        "date_start",
        "date_stop",
    }
)


@dataclass(slots=True)
class Spent:
    """One campaign on one day."""

    cost: Decimal
    clicks: int
    impressions: int


@dataclass(slots=True)
class AdAccount:
    """Campaigns by id, and their days."""

    id: str = "0"
    currency: str = "USD"
    time_zone: str = "America/Los_Angeles"
    campaigns: dict[str, str] = field(default_factory=dict)
    days: dict[tuple[str, date], Spent] = field(default_factory=dict)

    def describe(self, account: str, fields: str) -> JsonObject:
        """The asked fields."""
        self._own(account)
        known: JsonObject = {"id": f"act_{self.id}", "currency": self.currency, "timezone_name": self.time_zone, "name": "Ads"}
        asked = fields.split(",") if fields else ["id"]
        if not set(asked) <= set(known):
            raise invalid("(#100) Tried accessing nonexisting field")
        return {name: known[name] for name in dict.fromkeys([*asked, "id"])}

    def insights(self, account: str, query: dict[str, str], now: datetime) -> JsonObject:
        """Campaigns by day; a day without delivery has no row."""
        self._own(account)
        if query.get("level") != "campaign" or query.get("time_increment") != "1":
            raise invalid("Invalid parameter: level or time_increment")
        fields = query.get("fields", "").split(",")
        if not set(fields) <= FIELDS:
            raise invalid("(#100) field is not valid for fields param")
        span = json.loads(query["time_range"])
        first, last = date.fromisoformat(span["since"]), date.fromisoformat(span["until"])
        if first < (now - KEPT).date() or last < first:
            raise invalid("(#3018) The start date of the time range cannot be beyond 37 months from the current date")
        limit, start = int(query.get("limit", "25")), _start(query.get("after", ""))
        found = [(key, one) for key, one in sorted(self.days.items()) if first <= key[1] <= last]
        rows = [self._row(campaign, day, one, fields) for (campaign, day), one in found[start : start + limit]]
        answer: JsonObject = {"data": list(rows)}
        if rows:
            paging: JsonObject = {"cursors": {"before": _cursor(start), "after": _cursor(start + len(rows))}}
            if start + len(rows) < len(found):
                paging["next"] = "https://graph.facebook.com/next"
            answer["paging"] = paging
        return answer

    def _own(self, account: str) -> None:
        if account != f"act_{self.id}":
            raise no_such_object(account, "get")

    def _row(self, campaign: str, day: date, spent: Spent, fields: list[str]) -> JsonObject:
        known: JsonObject = {
            "account_id": self.id,
            "account_currency": self.currency,
            "campaign_id": campaign,
            "campaign_name": self.campaigns[campaign],
            "spend": str(spent.cost),
            "impressions": str(spent.impressions),
            "clicks": str(spent.clicks),
            "date_start": day.isoformat(),
            "date_stop": day.isoformat(),
        }
        return {name: known[name] for name in fields}


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(str(place).encode()).decode()


def _start(cursor: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor)) if cursor else 0
    except ValueError:
        raise invalid("Invalid parameter: after") from None
