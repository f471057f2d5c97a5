"""What the campaigns of the simulated accounts cost."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(slots=True)
class Spent:
    """One campaign on one day."""

    cost: Decimal
    clicks: int
    impressions: int


@dataclass(slots=True)
class Spending:
    """Campaigns by id, and their days by (account, campaign, day)."""

    campaigns: dict[str, str] = field(default_factory=dict)
    days: dict[tuple[str, str, date], Spent] = field(default_factory=dict)
