"""Lists for people: deliveries and runs, page by page, with opaque cursors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from sqlalchemy import RowMapping

from app.db.instants import from_ms, optional_from_ms
from app.db.session import Database
from app.outbox.states import SENTENCES
from app.reports import listing_queries as queries
from app.reports.cursors import read_cursor, write_cursor
from app.reports.listing_queries import DeliveryFilter, Key, RunFilter
from connectors.contract.conversions import Money

LOOK = 2000


@dataclass(frozen=True, slots=True)
class Amount:
    """Money as a person writes it."""

    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class DeliveryItem:
    """One delivery in a list. `value`: what was sent, or would be; `trace`: the path of its lead's trace."""

    id: int
    conversion_id: str
    milestone: str
    source: str
    destination: str
    kind: str
    seq: int
    state: str
    reason: str
    sentence: str
    code: str | None
    target: Mapping[str, str]
    tries: int
    value: Amount | None
    occurred_at: datetime
    created_at: datetime
    due_at: datetime | None
    deadline_at: datetime
    settled_at: datetime | None
    trace: str


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """A page; `next` is the cursor of the following one, None at the end. A page may hold less than was asked for."""

    items: Sequence[DeliveryItem]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class RunItem:
    """One pull, drain or apply that did something or failed."""

    id: int
    kind: str
    source: str | None
    destination: str | None
    state: str
    started_at: datetime
    ended_at: datetime | None
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page; see DeliveryPage."""

    items: Sequence[RunItem]
    next: str | None = None


async def list_deliveries(database: Database, wanted: DeliveryFilter, *, limit: int, cursor: str | None) -> DeliveryPage:
    """Deliveries, newest first; where only what waits is asked for, the next due first. CursorInvalid for a foreign cursor."""
    parts = 2 if wanted.is_owed_only else 1
    after = None if cursor is None else read_cursor(cursor, parts)
    async with database.read_long() as connection:
        found = await queries.candidates(connection, wanted, after, limit + 1 if wanted.is_exact else LOOK)
        rows = await queries.delivery_rows(connection, [key[-1] for key in found.keys], wanted)
    matching = [key for key in found.keys if key[-1] in rows]
    going_on: Key | None = found.keys[-1] if found.is_cut else None
    if len(matching) > limit:
        matching, going_on = matching[:limit], matching[limit - 1]
    items = [_delivery(rows[key[-1]]) for key in matching]
    return DeliveryPage(items, None if going_on is None else write_cursor(going_on))


async def list_runs(database: Database, wanted: RunFilter, *, limit: int, cursor: str | None) -> RunPage:
    """The journal, newest first."""
    before = None if cursor is None else read_cursor(cursor, 1)[0]
    async with database.read_long() as connection:
        rows, last = await queries.run_rows(connection, wanted, before, LOOK, limit + 1)
    if len(rows) > limit:
        rows, last = rows[:limit], rows[limit - 1]["id"]
    return RunPage([_run(row) for row in rows], None if last is None else write_cursor((last,)))


def _delivery(row: RowMapping) -> DeliveryItem:
    amount, currency = row["amount_micros"], row["currency"]
    if row["frozen"]:
        amount, currency = row["sent_amount_micros"], row["sent_currency"]
    return DeliveryItem(
        id=row["id"],
        conversion_id=row["uid"],
        milestone=row["milestone"],
        source=row["source"],
        destination=row["destination"],
        kind=row["kind"],
        seq=row["seq"],
        state=row["state"],
        reason=row["reason"],
        sentence=SENTENCES.get(row["reason"], ""),
        code=row["code"],
        target=orjson.loads(row["target"]),
        tries=row["tries"],
        value=None if amount is None or currency is None else Amount(str(Money(amount, currency).quantised()), currency),
        occurred_at=from_ms(row["occurred_at"]),
        created_at=from_ms(row["created_at"]),
        due_at=optional_from_ms(row["due_at"]),
        deadline_at=from_ms(row["deadline_at"]),
        settled_at=optional_from_ms(row["settled_at"]),
        trace=f"/v1/leads/{row['uid']}/trace?source={row['source']}",
    )


def _run(row: RowMapping) -> RunItem:
    return RunItem(
        id=row["id"],
        kind=row["kind"],
        source=row["source"],
        destination=row["destination"],
        state=row["state"],
        started_at=from_ms(row["started_at"]),
        ended_at=optional_from_ms(row["ended_at"]),
        counts=orjson.loads(row["counts_json"]),
        error=row["error"],
    )
