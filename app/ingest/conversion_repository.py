"""SQL of conversions and valuations. Bulk statements only; never commits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row, among, insert_rows, update_rows
from app.db.instants import from_ms, optional_from_ms, optional_ms, to_ms
from app.db.tables import conversions, valuations
from app.mapping.aggregate import ConversionState, EndReason, ValueState
from connectors.contract.conversions import Money


@dataclass(frozen=True, slots=True)
class StoredConversion:
    """A row of `conversions`: its id, its value's number, and the state the engine knows."""

    id: int
    value_seq: int
    state: ConversionState


async def conversions_by(
    connection: AsyncConnection,
    source_id: int,
    *,
    lead_ids: Iterable[int] = (),
    record_ids: Iterable[int] = (),
    companies: Iterable[str] = (),
) -> dict[str, StoredConversion]:
    """Stored conversions of these leads, records and companies, by uid."""
    wanted = []
    for column, values in ((conversions.c.lead_id, list(lead_ids)), (conversions.c.record_id, list(record_ids))):
        if values:
            wanted.append(among(connection, column, values))
    keys = list(companies)
    if keys:
        wanted.append(and_(conversions.c.scope_kind == "company", among(connection, conversions.c.scope_key, keys)))
    if not wanted:
        return {}
    result = await connection.execute(
        select(conversions).where(conversions.c.source_id == source_id, or_(*wanted)).order_by(conversions.c.id)
    )
    return {row["uid"]: _stored(dict(row)) for row in result.mappings()}


def _stored(row: Mapping[str, object]) -> StoredConversion:
    values = dict(row)
    amount, currency = values["amount_micros"], values["currency"]
    state = ConversionState(
        uid=str(values["uid"]),
        milestone=str(values["milestone"]),
        scope_kind=str(values["scope_kind"]),
        scope_key=str(values["scope_key"]),
        occurrence=_integer(values["occurrence"]),
        record_id=_integer(values["record_id"]),
        lead_id=_optional(values["lead_id"]),
        occurred_at=from_ms(_integer(values["occurred_at"])),
        is_implied=bool(values["implied"]),
        is_live=bool(values["live"]),
        mapping_version=_integer(values["mapping_version"]),
        value_state=ValueState(str(values["value_state"])),
        money=Money(_integer(amount), str(currency)) if amount is not None else None,
        value_basis=str(values["value_basis"]),
        value_why=str(values["value_why"]),
        explain=str(values["explain"]),
        duplicate_of=None if values["duplicate_of"] is None else str(values["duplicate_of"]),
        ended_at=optional_from_ms(_optional(values["ended_at"])),
        ended_why=None if values["ended_why"] is None else EndReason(str(values["ended_why"])),
    )
    return StoredConversion(_integer(values["id"]), _integer(values["value_seq"]), state)


def _integer(value: object) -> int:
    return int(str(value))


def _optional(value: object) -> int | None:
    return None if value is None else _integer(value)


def row_of(conversion_id: int, source_id: int, state: ConversionState, value_seq: int) -> Row:
    """A row of `conversions` for this state."""
    return {
        "id": conversion_id,
        "uid": state.uid,
        "source_id": source_id,
        "milestone": state.milestone,
        "scope_kind": state.scope_kind,
        "scope_key": state.scope_key,
        "occurrence": state.occurrence,
        "record_id": state.record_id,
        "lead_id": state.lead_id,
        "occurred_at": to_ms(state.occurred_at),
        "implied": state.is_implied,
        "mapping_version": state.mapping_version,
        "amount_micros": state.money.amount_micros if state.money else None,
        "currency": state.money.currency if state.money else None,
        "value_state": state.value_state.value,
        "value_basis": state.value_basis,
        "value_why": state.value_why,
        "value_seq": value_seq,
        "duplicate_of": state.duplicate_of,
        "explain": state.explain,
        "ended_at": optional_ms(state.ended_at),
        "ended_why": state.ended_why.value if state.ended_why else None,
        "live": state.is_live,
    }


async def insert_conversions(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    """Add conversions; one that is there already stays."""
    return await insert_rows(connection, conversions, rows, conflict=("uid",))


async def update_conversions(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    """Write the changed columns of conversions by id; uid, scope and occurrence never change."""
    frozen = {"uid", "source_id", "milestone", "scope_kind", "scope_key", "occurrence", "mapping_version"}
    kept = [{name: value for name, value in row.items() if name not in frozen} for row in rows]
    return await update_rows(connection, conversions, kept, key=("id",))


async def insert_valuations(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    """Add valuations (seq 1 and up; seq 0 stands in `conversions`)."""
    return await insert_rows(connection, valuations, rows, conflict=("conversion_id", "seq"))
