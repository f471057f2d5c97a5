"""Hints that records may have changed: coalesced by record, deleted only at the sequence number that was read."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row, delete_rows, insert_rows, update_rows
from app.db.ids import take_ids
from app.db.tables import inbox
from connectors.contract.records import ObjectKind, RecordRef

_KEY = ("source_id", "object", "external_id")


@dataclass(frozen=True, slots=True)
class NewHint:
    """A record that may have changed. `merged_into`: it was merged, as its webhook alone tells. `erases`: forget the person."""

    ref: RecordRef
    merged_into: RecordRef | None = None
    erases: bool = False


@dataclass(frozen=True, slots=True)
class WaitingHint:
    """A hint as it was read; `seq` says which version of it."""

    ref: RecordRef
    seq: int
    merged_into: RecordRef | None = None
    erases: bool = False


async def put_hints(connection: AsyncConnection, source_id: int, refs: Sequence[RecordRef], now_ms: int) -> int:
    """Remember these records; a hint that is waiting already gets a newer sequence number."""
    return await put_marked_hints(connection, source_id, [NewHint(ref) for ref in refs], now_ms)


async def put_marked_hints(connection: AsyncConnection, source_id: int, hints: Sequence[NewHint], now_ms: int) -> int:
    """Remember these records with their marks; what a waiting hint was marked with stays."""
    by_ref: dict[RecordRef, NewHint] = {}
    for hint in hints:
        before = by_ref.get(hint.ref, hint)
        by_ref[hint.ref] = NewHint(hint.ref, hint.merged_into or before.merged_into, hint.erases or before.erases)
    if not by_ref:
        return 0
    first = await take_ids(connection, len(by_ref))
    rows = [
        {
            **_key(source_id, ref),
            "hint_at": now_ms,
            "seq": first + place,
            "merged_into": _text(by_ref[ref].merged_into),
            "erases": by_ref[ref].erases,
        }
        for place, ref in enumerate(sorted(by_ref))
    ]
    # All rows are locked here, in one order for every writer; only then are those marked that waited already.
    written = await insert_rows(connection, inbox, rows, conflict=_KEY, update=("seq",))
    merged = [{**_key(source_id, one.ref), "merged_into": _text(one.merged_into)} for one in by_ref.values() if one.merged_into]
    erased = [{**_key(source_id, one.ref), "erases": True} for one in by_ref.values() if one.erases]
    await update_rows(connection, inbox, merged, key=_KEY)
    await update_rows(connection, inbox, erased, key=_KEY)
    return written


_OLDEST = (
    select(inbox.c.object, inbox.c.external_id, inbox.c.seq, inbox.c.merged_into, inbox.c.erases)
    .where(inbox.c.source_id == bindparam("source_id"))
    .order_by(inbox.c.hint_at, inbox.c.seq)
    .limit(bindparam("most", type_=Integer))
)
_ERASING = _OLDEST.where(inbox.c.erases)


async def waiting_hints(connection: AsyncConnection, source_id: int, limit: int) -> list[WaitingHint]:
    """The oldest hints of a source."""
    return await _hints(connection, _OLDEST, source_id, limit)


async def erasing_hints(connection: AsyncConnection, source_id: int, limit: int) -> list[WaitingHint]:
    """The oldest hints of a source by which people are to be forgotten."""
    return await _hints(connection, _ERASING, source_id, limit)


async def _hints(
    connection: AsyncConnection, query: Select[tuple[str, str, int, str | None, bool]], source_id: int, limit: int
) -> list[WaitingHint]:
    result = await connection.execute(query, {"source_id": source_id, "most": limit})
    return [
        WaitingHint(RecordRef(ObjectKind(row.object), row.external_id), row.seq, _ref(row.merged_into), bool(row.erases))
        for row in result
    ]


def _key(source_id: int, ref: RecordRef) -> Row:
    return {"source_id": source_id, "object": ref.kind.value, "external_id": ref.external_id}


def _text(ref: RecordRef | None) -> str | None:
    return None if ref is None else f"{ref.kind.value}:{ref.external_id}"


def _ref(text: str | None) -> RecordRef | None:
    if text is None:
        return None
    kind, _, external_id = text.partition(":")
    return RecordRef(ObjectKind(kind), external_id)


async def done_with(connection: AsyncConnection, source_id: int, hints: Sequence[WaitingHint]) -> None:
    """Delete hints that were fetched, each only at the sequence number that was read."""
    in_order = sorted(hints, key=lambda hint: hint.ref)  # as `put_marked_hints` locks them
    await delete_rows(connection, inbox, [{**_key(source_id, hint.ref), "seq": hint.seq} for hint in in_order])
