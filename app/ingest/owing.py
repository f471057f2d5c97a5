"""New and changed conversions become deliveries owed, in the recording transaction."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row
from app.db.ids import take_ids
from app.db.instants import optional_ms, to_ms
from app.ingest.context import DestinationTerms, SourceContext
from app.ingest.difference import Difference
from app.mapping.aggregate import ConversionState
from app.outbox import repository as outbox
from app.outbox.policy import initial
from app.outbox.states import DeliveryState, Reason
from connectors.contract.conversions import DeliveryKind


@dataclass(slots=True)
class OwedNow:
    """How many deliveries were made, and whose bell to ring."""

    deliveries: int = 0
    destinations: set[int] = field(default_factory=set)


async def owe(
    connection: AsyncConnection,
    source: SourceContext,
    found: Difference,
    ids: Mapping[str, int],
    now: datetime,
    *,
    woken_leads: Iterable[int],
    woken_records: Iterable[int],
) -> OwedNow:
    """Enqueue uploads of new (or now real) conversions, corrections of changed ones, and wake what waited for them."""
    owed = OwedNow()
    rows: list[Row] = []
    fresh = [*found.new, *(state for _, state in found.made_real)]
    for state in fresh:
        if state.is_implied and _implied_mode(source, state.milestone) != "send":
            continue
        rows += [
            _row(source, terms, state, ids[state.uid], now) for terms in source.destinations if state.milestone in terms.targets
        ]
    if rows:
        first = await take_ids(connection, len(rows))
        rows = [{**row, "id": first + place} for place, row in enumerate(rows)]
        await outbox.enqueue(connection, rows)
    owed.deliveries = len(rows)
    owed.destinations = {int(str(row["destination_id"])) for row in rows if row["due_at"] is not None}
    ended = {before.id for before, _ in found.ended}
    if ended:
        await outbox.withdraw(connection, sorted(ended), to_ms(now))
        await _correct(connection, source, ended, DeliveryKind.RETRACT, now)
    revalued = {before.id for before, state in found.revalued if state.is_live and state.money is not None} - ended
    if revalued:
        await _correct(connection, source, revalued, DeliveryKind.RESTATE, now)
    await outbox.wake(connection, list(woken_leads), list(woken_records), to_ms(now))
    return owed


def _implied_mode(source: SourceContext, name: str) -> str:
    return next((one.implied for one in source.document.milestones if one.name == name), "report")


def _row(source: SourceContext, terms: DestinationTerms, state: ConversionState, conversion_id: int, now: datetime) -> Row:
    opening = initial(
        occurred_at=state.occurred_at,
        start=max(source.start, terms.owed_from or source.start),
        is_live=state.is_live,
        is_duplicate=state.duplicate_of is not None,
        is_excluded=bool(state.excluded) or terms.name in state.excluded_for,
        now=now,
    )
    return {
        "id": 0,
        "source_id": source.id,
        "conversion_id": conversion_id,
        "destination_id": terms.id,
        "kind": DeliveryKind.UPLOAD.value,
        "seq": 0,
        "state": opening.state.value,
        "reason": opening.reason.value,
        "due_at": optional_ms(opening.due_at),
        "deadline_at": to_ms(state.occurred_at + terms.limits.age_with_click),
        "target": terms.targets[state.milestone],
        "created_at": to_ms(now),
        "settled_at": None if opening.due_at is not None else to_ms(now),
    }


async def _correct(
    connection: AsyncConnection, source: SourceContext, conversion_ids: set[int], kind: DeliveryKind, now: datetime
) -> None:
    """Corrections go only to destinations that recorded the upload; at most one untried stands, a newer replaces it."""
    for terms in source.destinations:
        able = terms.limits.restates if kind is DeliveryKind.RESTATE else terms.limits.retracts
        sent = await outbox.sent_uploads(connection, terms.id, sorted(conversion_ids))
        await outbox.supersede(connection, [row.conversion_id for row in sent], terms.id, to_ms(now))
        rows: list[Row] = []
        for row in sent:
            due = max(now, row.settled_at + terms.limits.correction_after)
            rows.append(
                {
                    "id": 0,
                    "source_id": source.id,
                    "conversion_id": row.conversion_id,
                    "destination_id": terms.id,
                    "kind": kind.value,
                    "seq": row.next_seq,
                    "state": (DeliveryState.PENDING if able else DeliveryState.SKIPPED).value,
                    "reason": (Reason.NEW if able else Reason.UNSUPPORTED).value,
                    "due_at": to_ms(due) if able else None,
                    "deadline_at": to_ms(row.settled_at + terms.limits.correction_within),
                    "target": row.target,
                    "created_at": to_ms(now),
                    "settled_at": None if able else to_ms(now),
                }
            )
        if rows:
            first = await take_ids(connection, len(rows))
            await outbox.enqueue(connection, [{**row, "id": first + place} for place, row in enumerate(rows)])
