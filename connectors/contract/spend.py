"""What campaigns cost, as an ad account reports it: by campaign and day of the account's own calendar."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar, Protocol, runtime_checkable

from connectors.contract.conversions import Money


@dataclass(frozen=True, slots=True)
class CampaignSpend:
    """One campaign on one day. `day` is the account's; a day on which nothing ran has no row."""

    campaign_id: str
    day: date
    cost: Money
    campaign_name: str | None = None
    clicks: int | None = None
    impressions: int | None = None


@dataclass(frozen=True, slots=True)
class SpendPage:
    """Some rows, each (campaign, day) once over all pages. `next` asks for the page after, None on the last.

    `time_zone` (IANA, as the vendor writes it) and `currency` are the account's, None where the vendor does not say.
    """

    rows: Sequence[CampaignSpend]
    next: str | None = None
    currency: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True)
class SpendPending:
    """The platform is still making its report: ask again with `next` after `wait`."""

    next: str
    wait: timedelta


@runtime_checkable
class ReportsSpend(Protocol):
    """Reads what campaigns cost. `spend_days`: the most days of one question."""

    spend_days: ClassVar[int]

    async def spend(self, first: date, last: date, page: str | None = None) -> SpendPage | SpendPending:
        """One page of the days `first` to `last`, both included; `page` is what the answer before called `next`.

        Raises ConnectorError where the call failed, ValueError where the settings name no account to read spend of.
        """
        ...
