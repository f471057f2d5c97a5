"""Spend over REST: stored and listed. What the ad accounts themselves report is read by `spend_reading`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from app.db.instants import optional_from_ms
from app.db.session import Database
from app.reports.spend import SpendImported, save_spend
from app.reports.spend_file import SpendRow
from app.reports.spend_repository import SpendFilter, list_spend
from connectors.contract.conversions import Money

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class SpendItem:
    """What one campaign cost on one day. `destination`: whose account reported it, None where it was imported."""

    platform: str
    campaign_id: str
    day: date
    campaign_name: str | None
    cost: Money
    clicks: int | None
    impressions: int | None
    destination: str | None
    read_at: datetime | None

    @property
    def key(self) -> Key:
        """What makes it one row."""
        return self.platform, self.campaign_id, self.day.isoformat()


@dataclass(frozen=True, slots=True)
class SpendKeeping:
    """Keeps what campaigns cost."""

    database: Database
    clock: Callable[[], datetime]

    async def save(self, rows: Sequence[SpendRow], *, actor: str) -> SpendImported:
        """Store rows, all or none; what stood for the same platform, campaign and day gives way."""
        return await save_spend(self.database, rows, actor=actor, now=self.clock())

    async def list(self, wanted: SpendFilter, *, after: Key | None, limit: int) -> Sequence[SpendItem]:
        """By platform, campaign and day; `after` is the key of the last row of the page before."""
        async with self.database.read_long() as connection:
            rows = await list_spend(connection, wanted, after, limit)
        return [
            SpendItem(
                platform=row["platform"],
                campaign_id=row["campaign_id"],
                day=date.fromisoformat(row["day"]),
                campaign_name=row["campaign_name"],
                cost=Money(row["cost_micros"], row["currency"]),
                clicks=row["clicks"],
                impressions=row["impressions"],
                destination=row["destination"],
                read_at=optional_from_ms(row["read_at"]),
            )
            for row in rows
        ]
