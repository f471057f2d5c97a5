"""The data set's opportunities, read from `data/` and moved in time so that they end today. Nothing here is made up."""

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data"
DATA_BEGINS = datetime(2016, 10, 20, tzinfo=UTC)
DATA_ENDS = datetime(2018, 1, 1, tzinfo=UTC)
WHOLE_DAYS = (DATA_ENDS - DATA_BEGINS).days
# The one product that the pipeline spells otherwise than the price list.
MISSPELT = {"GTXPro": "GTX Pro"}


@dataclass(frozen=True, slots=True)
class Opportunity:
    """One row of the pipeline on the demo's calendar. Days are UTC midnights, None where the row has none.

    `account` is empty on many rows; `close_value` is 0 where nothing was won; `list_price` is the product's.
    """

    id: str
    product: str
    account: str
    list_price: int
    engaged_on: datetime | None
    closed_on: datetime | None
    is_won: bool
    close_value: int


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def read_opportunities(ends_at: datetime) -> Iterator[Opportunity]:
    """All rows in the file's order, the data set's last day moved to the day before `ends_at` (a UTC midnight)."""
    shift = ends_at - DATA_ENDS
    prices = {row["product"]: int(row["sales_price"]) for row in _rows("products.csv")}
    for row in _rows("sales_pipeline.csv"):
        product = MISSPELT.get(row["product"], row["product"])
        yield Opportunity(
            id=row["opportunity_id"],
            product=product,
            account=row["account"],
            list_price=prices[product],
            engaged_on=_day(row["engage_date"], shift),
            closed_on=_day(row["close_date"], shift),
            is_won=row["deal_stage"] == "Won",
            close_value=int(row["close_value"] or 0),
        )


def alive_after(begins_at: datetime, ends_at: datetime) -> list[Opportunity]:
    """Those with something to tell after `begins_at`; the rows without days count always."""
    return [
        one for one in read_opportunities(ends_at) if one.engaged_on is None or (one.closed_on or one.engaged_on) >= begins_at
    ]


def in_order(rows: Iterable[Opportunity], seed: int) -> list[Opportunity]:
    """In an order fixed by the seed, whatever other rows there are."""
    return sorted(rows, key=lambda one: hashlib.sha256(f"{seed}:{one.id}".encode()).digest())


def _day(text: str, shift: timedelta) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) + shift if text else None
