"""SQL of deliveries, uploads and tries: claim, freeze, settle, put back. Bulk statements; never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    LABEL_STYLE_TABLENAME_PLUS_COL,
    BigInteger,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, insert_rows, is_sqlite, listed, lists, update_rows
from app.db.instants import from_ms, optional_from_ms, optional_ms, to_ms
from app.db.tables import conversions, deliveries, destinations, tries, uploads
from app.outbox.policy import Settlement
from app.outbox.states import DeliveryState, Reason
from connectors.contract.conversions import DeliveryKind

UPLOAD = DeliveryKind.UPLOAD.value


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A claimed delivery with its conversion. `sent_at`: the instant that is sent, frozen at the first try.

    `upload`: state and reason of the upload that a correction is about; `upload_sent_at`, `upload_identity_id`: how it was sent.
    """

    id: int
    source_id: int
    conversion_id: int
    conversion_uid: str
    milestone: str
    record_id: int
    lead_id: int | None
    scope_kind: str
    occurrence: int
    kind: str
    target: str
    occurred_at: datetime
    deadline_at: datetime
    due_before: datetime
    tries: int
    counted: int
    value_state: str
    amount_micros: int | None
    currency: str | None
    is_live: bool
    is_frozen: bool
    sent_amount_micros: int | None
    sent_currency: str | None
    identity_id: int | None
    person_id: int | None
    first_unknown_at: datetime | None
    unknown_tries: int = 0
    sent_at: datetime | None = None
    vendor_key: str | None = None
    most_together: int | None = None
    upload: tuple[DeliveryState, Reason] | None = None
    upload_sent_at: datetime | None = None
    upload_identity_id: int | None = None
    nominal_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was decided for a delivery that goes: target, person, identity and content, frozen at the first try.

    `upload_id`: the claim or upload under which it stands; where that has changed, another drainer has it.
    """

    delivery_id: int
    upload_id: int
    target: str
    person_id: int
    person_why: str
    identity_id: int | None
    amount_micros: int | None
    currency: str | None
    sent_at: datetime
    vendor_key: str | None = None


async def claim(
    connection: AsyncConnection, destination_id: int, *, now_ms: int, lease_end_ms: int, upload_id: int, limit: int
) -> list[ClaimedRow]:
    """Claim due deliveries, oldest first.

    A `sending` row that came due lost its holder: a try of unknown effect where its upload was opened, no try at all where the
    holder died before it came to this row.
    """
    given = {"destination_id": destination_id, "now": now_ms, "most": limit}
    claimed = list(await connection.execute(_DUE, given))
    if not claimed:
        return []
    found = {row.id: row.due_at for row in claimed}
    await _count_lost_tries(connection, [row for row in claimed if row.state == DeliveryState.SENDING.value], now_ms)
    await connection.execute(
        update(deliveries)
        .where(among(connection, deliveries.c.id, list(found)))
        .values(state=DeliveryState.SENDING.value, reason=Reason.SENT.value, due_at=lease_end_ms, upload_id=upload_id)
    )
    rows = await connection.execute(_claimed_rows(for_sqlite=is_sqlite(connection)), lists(connection, ids=list(found)))
    return [_claimed(dict(row), from_ms(found[row["deliveries_id"]])) for row in rows.mappings()]


async def rows_as_claimed(connection: AsyncConnection, ids: Sequence[int], now: datetime) -> list[ClaimedRow]:
    """These deliveries as a claim at this instant would read them; nothing is claimed."""
    rows = await connection.execute(_claimed_rows(for_sqlite=is_sqlite(connection)), lists(connection, ids=ids))
    return [_claimed(dict(row), now) for row in rows.mappings()]


# Statements of every claim are built once: building one costs more than running it.
_DUE = (
    select(deliveries.c.id, deliveries.c.due_at, deliveries.c.state, deliveries.c.upload_id, deliveries.c.tries)
    .where(
        deliveries.c.destination_id == bindparam("destination_id"),
        deliveries.c.due_at.is_not(None),
        deliveries.c.due_at <= bindparam("now"),
    )
    .order_by(deliveries.c.due_at)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)


@lru_cache
def _claimed_rows(*, for_sqlite: bool) -> Select[Any]:
    first = deliveries.alias("first")
    corrected = and_(
        deliveries.c.kind != UPLOAD,
        first.c.conversion_id == deliveries.c.conversion_id,
        first.c.destination_id == deliveries.c.destination_id,
        first.c.kind == UPLOAD,
    )
    return (
        select(
            deliveries,
            conversions,
            first.c.state.label("upload_state"),
            first.c.reason.label("upload_reason"),
            first.c.sent_at.label("upload_sent_at"),
            first.c.identity_id.label("upload_identity_id"),
        )
        .join(conversions, conversions.c.id == deliveries.c.conversion_id)
        .outerjoin(first, corrected)
        .where(listed(deliveries.c.id, "ids", for_sqlite=for_sqlite))
        .order_by(deliveries.c.id)
        .set_label_style(LABEL_STYLE_TABLENAME_PLUS_COL)
    )


async def _count_lost_tries(connection: AsyncConnection, lost: Sequence[Any], now_ms: int) -> None:
    """Rows whose upload was opened and never closed were tried when it began; others of a dead holder never left."""
    if not lost:
        return
    opened = await connection.execute(
        select(uploads.c.id, uploads.c.started_at).where(
            among(connection, uploads.c.id, sorted({row.upload_id for row in lost})), uploads.c.ended_at.is_(None)
        )
    )
    for upload in opened:
        tried = [row for row in lost if row.upload_id == upload.id]
        await connection.execute(
            update(deliveries)
            .where(among(connection, deliveries.c.id, [row.id for row in tried]))
            .values(
                first_unknown_at=func.coalesce(deliveries.c.first_unknown_at, upload.started_at),
                unknown_tries=deliveries.c.unknown_tries + 1,
                tries=deliveries.c.tries + 1,
                counted=deliveries.c.counted + 1,
            )
        )
        outcome = {"at": now_ms, "upload_id": upload.id, "outcome": Reason.UNKNOWN_EFFECT.value, "code": "worker_lost"}
        rows = [{"delivery_id": row.id, "n": row.tries + 1, **outcome} for row in tried]
        await insert_rows(connection, tries, rows, conflict=("delivery_id", "n"))


def _claimed(row: dict[str, object], due_before: datetime) -> ClaimedRow:
    def number(name: str) -> int:
        return int(str(row[name]))

    def optional(name: str) -> int | None:
        return None if row[name] is None else number(name)

    def words(name: str) -> str | None:
        return None if row[name] is None else str(row[name])

    return ClaimedRow(
        id=number("deliveries_id"),
        source_id=number("deliveries_source_id"),
        conversion_id=number("conversions_id"),
        conversion_uid=str(row["conversions_uid"]),
        milestone=str(row["conversions_milestone"]),
        record_id=number("conversions_record_id"),
        lead_id=optional("conversions_lead_id"),
        scope_kind=str(row["conversions_scope_kind"]),
        occurrence=number("conversions_occurrence"),
        kind=str(row["deliveries_kind"]),
        target=str(row["deliveries_target"]),
        occurred_at=from_ms(number("conversions_occurred_at")),
        deadline_at=from_ms(number("deliveries_deadline_at")),
        due_before=due_before,
        tries=number("deliveries_tries"),
        counted=number("deliveries_counted"),
        value_state=str(row["conversions_value_state"]),
        amount_micros=optional("conversions_amount_micros"),
        currency=words("conversions_currency"),
        is_live=bool(row["conversions_live"]),
        is_frozen=bool(row["deliveries_frozen"]),
        sent_amount_micros=optional("deliveries_sent_amount_micros"),
        sent_currency=words("deliveries_sent_currency"),
        identity_id=optional("deliveries_identity_id"),
        person_id=optional("deliveries_person_id"),
        first_unknown_at=optional_from_ms(optional("deliveries_first_unknown_at")),
        unknown_tries=number("deliveries_unknown_tries"),
        sent_at=optional_from_ms(optional("deliveries_sent_at")),
        vendor_key=words("deliveries_vendor_key"),
        most_together=optional("deliveries_most_together"),
        upload=None if (state := words("upload_state")) is None else (DeliveryState(state), Reason(str(row["upload_reason"]))),
        upload_sent_at=optional_from_ms(optional("upload_sent_at")),
        upload_identity_id=optional("upload_identity_id"),
        nominal_micros=optional("conversions_nominal_micros"),
    )


async def due_at_destinations(connection: AsyncConnection, now_ms: int) -> dict[int, tuple[bool, bool]]:
    """By destination: whether a delivery is due, and whether a late verdict is."""
    result = await connection.execute(_due_anywhere(), {"now": now_ms})
    return {row.id: (bool(row.delivery), bool(row.verdict)) for row in result}


@lru_cache
def _due_anywhere() -> Select[Any]:
    now = bindparam("now", type_=BigInteger)
    delivery = exists().where(
        deliveries.c.destination_id == destinations.c.id, deliveries.c.due_at.is_not(None), deliveries.c.due_at <= now
    )
    verdict = exists().where(
        uploads.c.destination_id == destinations.c.id, uploads.c.verdict_due_at.is_not(None), uploads.c.verdict_due_at <= now
    )
    return select(destinations.c.id, delivery.label("delivery"), verdict.label("verdict"))


async def open_upload(connection: AsyncConnection, upload_id: int, destination_id: int, now_ms: int, sent: int) -> None:
    """Write the upload's row."""
    row = {"id": upload_id, "destination_id": destination_id, "started_at": now_ms, "sent": sent}
    await insert_rows(connection, uploads, [row])


async def close_upload(
    connection: AsyncConnection,
    upload_id: int,
    *,
    now_ms: int,
    accepted: int,
    rejected: int,
    receipt: str | None,
    verdict_due_ms: int | None,
) -> None:
    """Write what came of the upload."""
    await connection.execute(
        update(uploads)
        .where(uploads.c.id == upload_id)
        .values(ended_at=now_ms, accepted=accepted, rejected=rejected, receipt=receipt, verdict_due_at=verdict_due_ms)
    )


# A row is still this drainer's: claimed, and under the claim or upload that it knows.
_MINE = "t.upload_id = x.\"_upload_id\" AND t.state = 'sending'"


async def freeze(connection: AsyncConnection, chosen: Sequence[Chosen], upload_id: int, lease_end_ms: int) -> set[int]:
    """Freeze content before the first try, and put every row under the upload that carries it and its lease.

    The rows that were still this drainer's: no other may be sent.
    """
    rows = [
        {
            "id": one.delivery_id,
            "target": one.target,
            "person_id": one.person_id,
            "person_why": one.person_why,
            "identity_id": one.identity_id,
            "sent_amount_micros": one.amount_micros,
            "sent_currency": one.currency,
            "sent_at": to_ms(one.sent_at),
            "vendor_key": one.vendor_key,
            "frozen": True,
            "upload_id": upload_id,
            "due_at": lease_end_ms,
            "_upload_id": one.upload_id,
        }
        for one in chosen
    ]
    ids = [one.delivery_id for one in chosen]
    if await update_rows(connection, deliveries, rows, key=("id",), where=_MINE) == len(ids):
        return set(ids)
    mine = await connection.scalars(
        select(deliveries.c.id).where(among(connection, deliveries.c.id, ids), deliveries.c.upload_id == upload_id)
    )
    return set(mine)


async def settle(
    connection: AsyncConnection,
    upload_id: int,
    settled: Sequence[tuple[ClaimedRow, Settlement]],
    now_ms: int,
    *,
    most_together: int | None = None,
) -> int:
    """Write states fenced by the upload's id, and tries that were not accepted; fewer rows than given: a lost lease.

    `most_together`: rows that go again share a request with at most so many.
    """
    rows = []
    trials = []
    started_ms = now_ms
    if any(outcome.is_unknown for _, outcome in settled):
        started_ms = await connection.scalar(select(uploads.c.started_at).where(uploads.c.id == upload_id)) or now_ms
    for row, outcome in settled:
        unknown = row.first_unknown_at
        rows.append(
            {
                "id": row.id,
                "state": outcome.state.value,
                "reason": outcome.reason.value,
                "code": outcome.code or None,
                "due_at": optional_ms(outcome.due_at),
                "tries": row.tries + 1,
                "counted": row.counted + outcome.counts,
                "frozen": row.is_frozen or outcome.had_effect,
                "first_unknown_at": optional_ms(unknown) if unknown or not outcome.is_unknown else started_ms,
                "unknown_tries": row.unknown_tries + outcome.is_unknown,
                "position": outcome.position,
                "most_together": most_together or row.most_together,
                "settled_at": None if outcome.due_at is not None else now_ms,
                "_upload_id": upload_id,
            }
        )
        if outcome.state is not DeliveryState.ACCEPTED:
            trials.append(
                {
                    "delivery_id": row.id,
                    "n": row.tries + 1,
                    "at": now_ms,
                    "upload_id": upload_id,
                    "outcome": outcome.reason.value,
                    "code": outcome.code or None,
                    "message": outcome.message or None,
                }
            )
    await insert_rows(connection, tries, trials, conflict=("delivery_id", "n"))
    return await update_rows(connection, deliveries, rows, key=("id",), where='t.upload_id = x."_upload_id"')


async def put_back(
    connection: AsyncConnection,
    upload_id: int,
    decided: Sequence[tuple[ClaimedRow, DeliveryState, Reason, datetime | None]],
    now_ms: int,
) -> int:
    """Rows that do not go after all: they wait, or are skipped, without a try; what was not frozen before is not now."""
    rows = [
        {
            "id": row.id,
            "state": state.value,
            "reason": reason.value,
            "due_at": optional_ms(due_at),
            "frozen": row.is_frozen,
            "settled_at": None if due_at is not None else now_ms,
            "_upload_id": upload_id,
        }
        for row, state, reason, due_at in decided
    ]
    return await update_rows(connection, deliveries, rows, key=("id",), where=_MINE)
