"""SQL of conversions and valuations. Bulk statements only; never commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Select, and_, bindparam, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row, among, insert_rows, is_sqlite, listed, lists
from app.db.instants import optional_ms, to_ms
from app.db.tables import conversions, deliveries, identities, leads, records, settings, valuations
from app.mapping.aggregate import ConversionState, ValueState
from app.mapping.opening import conversion_state
from app.outbox.states import DeliveryState
from connectors.contract.conversions import DeliveryKind
from connectors.contract.records import ObjectKind


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A row of `deliveries`, as far as recording may change it or must know it. Instants are epoch milliseconds."""

    id: int
    conversion_id: int
    destination_id: int
    kind: str
    seq: int
    state: str
    reason: str
    target: str
    tries: int
    frozen: bool
    deadline_at: int
    created_at: int
    due_at: int | None = None
    settled_at: int | None = None
    sent_amount_micros: int | None = None
    sent_currency: str | None = None
    first_unknown_at: int | None = None

    @property
    def was_tried(self) -> bool:
        """True where a platform may have it, or is about to: claimed, sent with an effect, or nobody knows."""
        is_claimed = self.state == DeliveryState.SENDING.value
        return is_claimed or self.frozen or self.first_unknown_at is not None


@dataclass(frozen=True, slots=True)
class StoredConversion:
    """A row of `conversions`: its id, its value's number, the state the engine knows, and what is owed or was sent of it."""

    id: int
    value_seq: int
    state: ConversionState
    email_key: bytes | None = field(default=None, repr=False)
    deliveries: tuple[StoredDelivery, ...] = ()


_DELIVERY = {name: deliveries.c[name].label(f"delivery_{name}") for name in StoredDelivery.__slots__}


async def conversions_by(
    connection: AsyncConnection,
    source_id: int,
    *,
    lead_ids: Sequence[int] = (),
    record_ids: Sequence[int] = (),
    companies: Sequence[str] = (),
    email_keys: Sequence[bytes] = (),
) -> dict[str, StoredConversion]:
    """Stored conversions of these leads, records, companies and e-mails (as HMAC), by uid, each with its deliveries."""
    if not (lead_ids or record_ids or companies or email_keys):
        return {}
    given = lists(connection, lead_ids=lead_ids, record_ids=record_ids, companies=companies)
    query = _conversions_by(for_sqlite=is_sqlite(connection))
    result = await connection.execute(query, {**given, "source_id": source_id, "email_keys": list(email_keys)})
    found: dict[int, tuple[Mapping[str, object], list[StoredDelivery]]] = {}
    for row in result.mappings():
        _, owed = found.setdefault(row["id"], (dict(row), []))
        if row["delivery_id"] is not None:
            owed.append(StoredDelivery(**{name: row[f"delivery_{name}"] for name in StoredDelivery.__slots__}))
    return {str(row["uid"]): _stored(row, owed) for row, owed in found.values()}


@lru_cache
def _conversions_by(*, for_sqlite: bool) -> Select[Any]:
    """Built once: building it costs more than running it."""
    source_id = bindparam("source_id", type_=BigInteger)
    mates = select(leads.c.id).where(
        leads.c.source_id == source_id, listed(leads.c.email_hmac, "email_keys", for_sqlite=for_sqlite)
    )
    wanted = (
        listed(conversions.c.lead_id, "lead_ids", for_sqlite=for_sqlite),
        listed(conversions.c.record_id, "record_ids", for_sqlite=for_sqlite),
        and_(conversions.c.scope_kind == "company", listed(conversions.c.scope_key, "companies", for_sqlite=for_sqlite)),
        conversions.c.lead_id.in_(mates),
    )
    chosen = union(*(select(conversions.c.id).where(conversions.c.source_id == source_id, one) for one in wanted)).cte("chosen")
    return (
        select(conversions, leads.c.email_hmac, *_DELIVERY.values())
        .select_from(
            chosen.join(conversions, conversions.c.id == chosen.c.id)
            .outerjoin(leads, leads.c.id == conversions.c.lead_id)
            .outerjoin(deliveries, deliveries.c.conversion_id == conversions.c.id)
        )
        .order_by(conversions.c.id, deliveries.c.id)
    )


def _stored(values: Mapping[str, object], owed: Sequence[StoredDelivery]) -> StoredConversion:
    state = conversion_state(
        values,
        is_tried=any(one.kind == DeliveryKind.UPLOAD.value and one.was_tried for one in owed),
        is_withdrawn=any(one.kind == DeliveryKind.RETRACT.value and one.was_tried for one in owed),
    )
    email = values["email_hmac"]
    email_key = bytes(email) if isinstance(email, bytes | memoryview) else None
    return StoredConversion(int(str(values["id"])), int(str(values["value_seq"])), state, email_key, tuple(owed))


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
        "nominal_micros": state.nominal.amount_micros if state.nominal else None,
        "nominal_currency": state.nominal.currency if state.nominal else None,
    }


_CHANGES = (
    "record_id", "lead_id", "occurred_at", "implied", "amount_micros", "currency", "value_state", "value_basis", "value_why",
    "value_seq", "duplicate_of", "explain", "ended_at", "ended_why", "live",
    "nominal_micros", "nominal_currency",
)  # fmt: skip


async def write_conversions(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    """Add new conversions and write the changed columns of known ones; uid, scope, occurrence and version never change."""
    return await insert_rows(
        connection, conversions, rows, conflict=("uid",), update=_CHANGES, where="excluded.id = conversions.id"
    )


async def insert_valuations(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    """Add valuations (seq 1 and up; seq 0 stands in `conversions`)."""
    return await insert_rows(connection, valuations, rows, conflict=("conversion_id", "seq"))


async def uploads_sent_for(connection: AsyncConnection, conversion_ids: Sequence[int], lead_ids: Sequence[int]) -> dict[int, int]:
    """By upload of these conversions: the lead for whom it was sent, where it is one of these."""
    if not conversion_ids or not lead_ids:
        return {}
    person = func.coalesce(identities.c.lead_id, deliveries.c.person_id)
    result = await connection.execute(
        select(deliveries.c.id, person.label("lead_id"))
        .outerjoin(identities, identities.c.id == deliveries.c.identity_id)
        .where(among(connection, deliveries.c.conversion_id, conversion_ids), deliveries.c.kind == DeliveryKind.UPLOAD.value)
        .where(among(connection, person, lead_ids))
    )
    return {row.id: row.lead_id for row in result}


async def write_deliveries(connection: AsyncConnection, source_id: int, rows: Sequence[StoredDelivery]) -> int:
    """Add deliveries, and change the state of those that are not being sent at this moment."""
    values = [
        {"source_id": source_id, **{name: getattr(one, name) for name in StoredDelivery.__slots__ if name not in _SENT}}
        for one in rows
    ]
    return await insert_rows(
        connection,
        deliveries,
        values,
        conflict=("conversion_id", "destination_id", "kind", "seq"),
        update=("state", "reason", "due_at", "deadline_at", "settled_at"),
        where="deliveries.state IN ('pending', 'skipped') AND deliveries.tries = excluded.tries",
    )


async def hold(connection: AsyncConnection, conversion_ids: Sequence[int]) -> None:
    """Keep the deliveries of these conversions from being claimed until the commit; who claims them now is waited for."""
    mine = among(connection, deliveries.c.conversion_id, conversion_ids)
    await connection.execute(select(deliveries.c.id).where(mine).order_by(deliveries.c.id).with_for_update())


_SENT = frozenset({"sent_amount_micros", "sent_currency"})


@dataclass(frozen=True, slots=True)
class WaitingForRate:
    """The records of conversions whose value waits for a currency rate; `last` is the last conversion's id, None: no more."""

    deals: set[int]
    others: set[int]
    last: int | None


async def waiting_for_rate(connection: AsyncConnection, source_id: int, *, after: int, limit: int) -> WaitingForRate:
    """The next `limit` conversions by id that wait for a rate."""
    result = await connection.execute(
        select(conversions.c.id, conversions.c.record_id, records.c.object)
        .join(records, records.c.id == conversions.c.record_id)
        .where(
            conversions.c.source_id == source_id,
            conversions.c.value_state == ValueState.RATE.value,
            conversions.c.live,
            conversions.c.id > after,
        )
        .order_by(conversions.c.id)
        .limit(limit)
    )
    rows = list(result)
    deals = {row.record_id for row in rows if row.object == ObjectKind.DEAL.value}
    last = rows[-1].id if len(rows) == limit else None
    return WaitingForRate(deals, {row.record_id for row in rows} - deals, last)


async def rates_valued_with(connection: AsyncConnection, source_id: int) -> int:
    """The version of the rates with which this source's waiting values were last looked at."""
    value = await connection.scalar(select(settings.c.value).where(settings.c.name == _valued_with(source_id)))
    return int(value or 0)


async def note_rates_valued_with(connection: AsyncConnection, source_id: int, version: int) -> None:
    """Every waiting value was looked at with these rates."""
    row = {"name": _valued_with(source_id), "value": str(version)}
    await insert_rows(connection, settings, [row], conflict=("name",), update=("value",))


def _valued_with(source_id: int) -> str:
    return f"rates_valued_with:{source_id}"
