"""The demo's ad campaigns and what they cost a day (made up, pure).

Who came through which campaign is drawn with weights by what the pipeline says became of the deal, so a campaign's quality is
an assumption of the demo; that deals were won or lost, when and for how much is not.
"""

import csv
import io
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from app.demo.draws import draw

GOOGLE = "google"
META = "meta"
CURRENCY = "USD"
LARGE_DEAL = 3_000
SPEND_HEADER = ("platform", "campaign_id", "day", "cost", "currency", "campaign_name", "clicks", "impressions")


class Outcome(StrEnum):
    """What became of a person in the pipeline."""

    NOBODY = "nobody"  # never had a deal
    OPEN = "open"
    LOST = "lost"
    WON = "won"
    WON_LARGE = "won_large"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign: what a lead of it costs on the whole, and how likely it is behind a person of each outcome."""

    platform: str
    id: str
    name: str
    cost_per_lead: int
    weights: Mapping[Outcome, float]

    @property
    def slug(self) -> str:
        """What stands in `utm_campaign`."""
        return "-".join(self.name.lower().replace(":", "").split())


def _weights(nobody: float, is_open: float, lost: float, won: float, won_large: float) -> Mapping[Outcome, float]:
    return dict(zip(Outcome, (nobody, is_open, lost, won, won_large), strict=True))


CAMPAIGNS = (
    Campaign(GOOGLE, "21400000011", "Performance Max: everyone", 19, _weights(60, 6, 12, 2, 0.5)),
    Campaign(GOOGLE, "21400000012", "Search: sales software", 62, _weights(24, 40, 38, 34, 24)),
    Campaign(GOOGLE, "21400000013", "Search: our name", 27, _weights(12, 24, 20, 30, 25)),
    Campaign(GOOGLE, "21400000014", "Search: enterprise pricing", 140, _weights(4, 20, 12, 32, 50)),
    Campaign(META, "120210000000000021", "Lead ads: free checklist", 11, _weights(66, 7, 14, 2, 0.5)),
    Campaign(META, "120210000000000022", "Lead ads: book a demo", 48, _weights(22, 44, 40, 46, 39)),
    Campaign(META, "120210000000000023", "Retargeting: pricing page", 90, _weights(12, 38, 26, 50, 60)),
)
_BY_ID = {one.id: one for one in CAMPAIGNS}


def _shares(platform: str, outcome: Outcome) -> Mapping[str, float]:
    weights = {one.id: one.weights[outcome] for one in CAMPAIGNS if one.platform == platform}
    return {key: weight / sum(weights.values()) for key, weight in weights.items()}


_SHARES = {(platform, outcome): _shares(platform, outcome) for platform in (GOOGLE, META) for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class SpendRow:
    """What a campaign cost on one day."""

    campaign: Campaign
    day: date
    cost_cents: int
    clicks: int
    impressions: int


def choose_campaign(luck: random.Random, platform: str, outcome: Outcome) -> Campaign:
    """The campaign that brought a person of this outcome."""
    by_id = _SHARES[platform, outcome]
    return _BY_ID[draw(luck, by_id) or next(iter(by_id))]


def spend_of(leads: Iterable[Campaign], *, seed: int, begins_at: datetime, ends_at: datetime) -> Sequence[SpendRow]:
    """Daily rows for every campaign, one campaign after the other; a campaign's total follows the leads that it brought."""
    counts = Counter(campaign.id for campaign in leads)
    days = [begins_at.date() + timedelta(days=number) for number in range((ends_at - begins_at).days)]
    rows: list[SpendRow] = []
    for campaign in CAMPAIGNS:
        luck = random.Random(f"{seed}:spend:{campaign.id}")
        shares = [luck.uniform(0.7, 1.3) * (0.6 if day.isoweekday() > 5 else 1.0) for day in days]
        total_cents = counts[campaign.id] * campaign.cost_per_lead * 100
        whole = sum(shares)
        for day, share in zip(days, shares, strict=True):
            cents = round(total_cents * share / whole)
            clicks = round(cents / 100 / campaign.cost_per_lead * luck.uniform(8, 14))
            rows.append(SpendRow(campaign, day, cents, clicks, round(clicks * luck.uniform(25, 60))))
    return rows


def spend_csv(rows: Iterable[SpendRow]) -> str:
    """The rows as the file that `leadloop spend import` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SPEND_HEADER)
    for row in rows:
        cost = f"{row.cost_cents // 100}.{row.cost_cents % 100:02d}"
        one = row.campaign
        writer.writerow((one.platform, one.id, row.day.isoformat(), cost, CURRENCY, one.name, row.clicks, row.impressions))
    return text.getvalue()
