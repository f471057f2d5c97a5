"""SQL of late verdicts: which uploads to ask about, and what came of their rows. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Select, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows, update_rows
from app.db.instants import from_ms, optional_ms
from app.db.tables import deliveries, tries, uploads
from app.outbox.policy import Settlement
from app.outbox.states import DeliveryState

_TAKEN = frozenset({DeliveryState.CONFIRMED, DeliveryState.UNMATCHED})


@dataclass(frozen=True, slots=True)
class DueVerdict:
    """An upload whose late verdict may be asked for. `sent` are the rows that the platform accepted."""

    id: int
    receipt: str = field(repr=False)
    sent: int
    asked: int


@dataclass(frozen=True, slots=True)
class AcceptedRow:
    """A delivery that waits for its late verdict: its place under the upload, its target, its tries."""

    id: int
    position: int
    target: str
    tries: int
    counted: int
    has_unknown_try: bool
    deadline_at: datetime

    @property
    def is_held_otherwise(self) -> bool:
        """True where a try besides the accepted one had an effect or may have: what was sent then stays frozen."""
        return self.has_unknown_try or self.counted > 1


async def due_verdicts(connection: AsyncConnection, destination_id: int, now_ms: int, limit: int) -> list[DueVerdict]:
    """Uploads whose verdict may be there by now."""
    result = await connection.execute(
        select(uploads.c.id, uploads.c.receipt, uploads.c.accepted, uploads.c.verdict_asked)
        .where(
            uploads.c.destination_id == destination_id, uploads.c.verdict_due_at.is_not(None), uploads.c.verdict_due_at <= now_ms
        )
        .order_by(uploads.c.verdict_due_at)
        .limit(limit)
    )
    return [DueVerdict(row.id, row.receipt, row.accepted or 0, row.verdict_asked) for row in result]


async def accepted_of(connection: AsyncConnection, upload_id: int) -> list[AcceptedRow]:
    """The deliveries still accepted under an upload."""
    result = await connection.execute(accepted_under(upload_id))
    return [
        AcceptedRow(
            id=row.id,
            position=row.position,
            target=row.target,
            tries=row.tries,
            counted=row.counted,
            has_unknown_try=row.first_unknown_at is not None,
            deadline_at=from_ms(row.deadline_at),
        )
        for row in result
    ]


def accepted_under(upload_id: int) -> Select[tuple[int, int, str, int, int, int | None, int]]:
    """The statement of `accepted_of`. It repeats the partial index's condition: SQLite cannot conclude it from a parameter."""
    return select(
        deliveries.c.id,
        deliveries.c.position,
        deliveries.c.target,
        deliveries.c.tries,
        deliveries.c.counted,
        deliveries.c.first_unknown_at,
        deliveries.c.deadline_at,
    ).where(
        deliveries.c.upload_id == upload_id,
        deliveries.c.state == DeliveryState.ACCEPTED.value,
        text("deliveries.state IN ('sending', 'accepted')"),
        deliveries.c.position.is_not(None),
    )


async def settle_verdicts(
    connection: AsyncConnection,
    upload_id: int,
    settled: Sequence[tuple[AcceptedRow, Settlement]],
    now_ms: int,
    *,
    most_together: int | None = None,
) -> None:
    """Write late verdicts, fenced by the upload, and what was refused as the outcome of the try that it was about.

    Rows that go again share a request with at most `most_together`.
    """
    rows = [
        {
            "id": row.id,
            "state": outcome.state.value,
            "reason": outcome.reason.value,
            "code": outcome.code or None,
            "due_at": optional_ms(outcome.due_at),
            "counted": row.counted + outcome.counts,
            "frozen": outcome.had_effect or row.is_held_otherwise,
            "most_together": most_together,
            "settled_at": None if outcome.due_at is not None else now_ms,
            "_upload_id": upload_id,
        }
        for row, outcome in settled
    ]
    trials = [
        {
            "delivery_id": row.id,
            "n": row.tries,
            "at": now_ms,
            "upload_id": upload_id,
            "outcome": outcome.reason.value,
            "code": outcome.code or None,
            "message": outcome.message or None,
        }
        for row, outcome in settled
        if outcome.state not in _TAKEN
    ]
    await insert_rows(connection, tries, trials, conflict=("delivery_id", "n"))
    await update_rows(connection, deliveries, rows, key=("id",), where="t.upload_id = x.\"_upload_id\" AND t.state = 'accepted'")


async def ask_again(connection: AsyncConnection, upload_id: int, due_ms: int | None) -> None:
    """When to ask for the verdict again; None: never."""
    await connection.execute(
        update(uploads).where(uploads.c.id == upload_id).values(verdict_due_at=due_ms, verdict_asked=uploads.c.verdict_asked + 1)
    )
