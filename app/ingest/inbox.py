"""Hints that records may have changed: coalesced by record, deleted only at the sequence number that was read."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import delete_rows, insert_rows
from app.db.ids import take_ids
from app.db.tables import inbox
from connectors.contract.records import ObjectKind, RecordRef


@dataclass(frozen=True, slots=True)
class WaitingHint:
    """A hint as it was read; `seq` says which version of it."""

    ref: RecordRef
    seq: int


async def put_hints(connection: AsyncConnection, source_id: int, refs: Sequence[RecordRef], now_ms: int) -> int:
    """Remember these records; a hint that is waiting already gets a newer sequence number."""
    unique = sorted(set(refs))
    if not unique:
        return 0
    first = await take_ids(connection, len(unique))
    rows = [
        {
            "source_id": source_id,
            "object": ref.kind.value,
            "external_id": ref.external_id,
            "hint_at": now_ms,
            "seq": first + place,
        }
        for place, ref in enumerate(unique)
    ]
    return await insert_rows(connection, inbox, rows, conflict=("source_id", "object", "external_id"), update=("seq",))


_OLDEST = (
    select(inbox.c.object, inbox.c.external_id, inbox.c.seq)
    .where(inbox.c.source_id == bindparam("source_id"))
    .order_by(inbox.c.hint_at, inbox.c.seq)
    .limit(bindparam("most", type_=Integer))
)


async def waiting_hints(connection: AsyncConnection, source_id: int, limit: int) -> list[WaitingHint]:
    """The oldest hints of a source."""
    result = await connection.execute(_OLDEST, {"source_id": source_id, "most": limit})
    return [WaitingHint(RecordRef(ObjectKind(row.object), row.external_id), row.seq) for row in result]


async def done_with(connection: AsyncConnection, source_id: int, hints: Sequence[WaitingHint]) -> None:
    """Delete hints that were fetched, each only at the sequence number that was read."""
    rows = [
        {"source_id": source_id, "object": hint.ref.kind.value, "external_id": hint.ref.external_id, "seq": hint.seq}
        for hint in hints
    ]
    await delete_rows(connection, inbox, rows)
