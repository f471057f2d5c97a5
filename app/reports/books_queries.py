"""SQL of the books: counts by milestone, destination and UTC day, from the conversions of a range of instants on.

Each statement walks `conversions (source_id, occurred_at)` over the range and looks deliveries up by their unique key, so the
cost follows the days asked for, not the deliveries stored.
"""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    RowMapping,
    and_,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import conversions, deliveries, destinations, mapping_versions, sources
from app.outbox.states import DeliveryState, Reason
from app.reports import account_queries
from app.reports.books_model import STATES
from app.reports.correction_queries import DELIVERED, OPEN, UPLOAD, newest, of_the_same
from app.reports.days import DAY_MS
from connectors.contract.conversions import DeliveryKind

Rows = Sequence[RowMapping]
Span = tuple[int | None, int | None]

# Written out, not bound: PostgreSQL must see that what is selected is what is grouped by.
_DAY = (conversions.c.occurred_at // literal_column(str(DAY_MS), BigInteger)).label("day")
_IS_OPEN = deliveries.c.state.in_(OPEN)
# A waiting row without a due time is never claimed; a settled one with a due time would be sent again.
_IS_STUCK = case((and_(_IS_OPEN, deliveries.c.due_at.is_(None)), 1), else_=0)
_IS_STILL_DUE = case((and_(~_IS_OPEN, deliveries.c.due_at.is_not(None)), 1), else_=0)


async def names(connection: AsyncConnection) -> tuple[dict[str, int], dict[str, int]]:
    """Ids of the sources and of the destinations by their names."""
    found = []
    for table in (sources, destinations):
        result = await connection.execute(select(table.c.name, table.c.id).order_by(table.c.id))
        found.append({row.name: row.id for row in result})
    return found[0], found[1]


async def documents(connection: AsyncConnection, source_id: int, versions: Sequence[int]) -> Rows:
    """version, is_active, document_json: of the active version and of these."""
    statement = select(mapping_versions.c.version, mapping_versions.c.is_active, mapping_versions.c.document_json).where(
        mapping_versions.c.source_id == source_id,
        or_(mapping_versions.c.is_active, mapping_versions.c.version.in_(versions)),
    )
    return (await connection.execute(statement)).mappings().all()


async def found(connection: AsyncConnection, source_id: int, span: Span) -> Rows:
    """milestone, day, found: every conversion, whatever is owed."""
    statement = (
        select(conversions.c.milestone, _DAY, func.count().label("found"))
        .where(*_in(source_id, span))
        .group_by(conversions.c.milestone, _DAY.element)
    )
    return (await connection.execute(statement)).mappings().all()


async def standing(connection: AsyncConnection, source_id: int, span: Span) -> Rows:
    """milestone, destination_id, day, kind, state, reason, rows, stuck, still_due: every delivery of these conversions."""
    columns = (deliveries.c.destination_id, deliveries.c.kind, deliveries.c.state, deliveries.c.reason)
    statement = (
        select(
            conversions.c.milestone,
            _DAY,
            *columns,
            func.count().label("rows"),
            func.sum(_IS_STUCK).label("stuck"),
            func.sum(_IS_STILL_DUE).label("still_due"),
        )
        .join(deliveries, deliveries.c.conversion_id == conversions.c.id)
        .where(*_in(source_id, span))
        .group_by(conversions.c.milestone, _DAY.element, *columns)
    )
    return (await connection.execute(statement)).mappings().all()


async def owing_nothing(connection: AsyncConnection, source_id: int, destination_id: int, span: Span) -> Rows:
    """milestone, day, implied, mapping_version, rows: conversions that have no upload at this destination."""
    statement = (
        select(
            conversions.c.milestone,
            _DAY,
            conversions.c.implied,
            conversions.c.mapping_version,
            func.count().label("rows"),
        )
        .where(*_in(source_id, span), ~_has_upload(destination_id))
        .group_by(conversions.c.milestone, _DAY.element, conversions.c.implied, conversions.c.mapping_version)
    )
    return (await connection.execute(statement)).mappings().all()


async def differences(connection: AsyncConnection, source_id: int, span: Span) -> Rows:
    """milestone, destination_id, currency, true_currency, conversions, told, true, told_micros, true_micros, where they differ.

    What a platform counts is what it took last: the newest correction that was delivered, else the upload.
    """
    corrected, last = deliveries.alias("corrected"), deliveries.alias("last")
    is_told = case((last.c.kind == DeliveryKind.RETRACT.value, 0), else_=1)
    told_micros = func.coalesce(case((last.c.id.is_(None), deliveries.c.sent_amount_micros), else_=last.c.sent_amount_micros), 0)
    told = case((is_told == 1, told_micros), else_=0)
    is_true = case((conversions.c.live, 1), else_=0)
    true = case((conversions.c.live, func.coalesce(conversions.c.amount_micros, 0)), else_=0)
    currency = func.coalesce(deliveries.c.sent_currency, conversions.c.currency)
    true_currency = case((conversions.c.live, func.coalesce(conversions.c.currency, deliveries.c.sent_currency)), else_=currency)
    statement = (
        select(
            conversions.c.milestone,
            deliveries.c.destination_id,
            currency.label("currency"),
            true_currency.label("true_currency"),
            func.count().label("conversions"),
            func.sum(is_told).label("told"),
            func.sum(is_true).label("true"),
            func.sum(told).label("told_micros"),
            func.sum(true).label("true_micros"),
        )
        .join(corrected, and_(corrected.c.conversion_id == conversions.c.id, corrected.c.kind != UPLOAD))
        .join(deliveries, and_(of_the_same(deliveries, corrected), deliveries.c.kind == UPLOAD))
        .outerjoin(last, and_(of_the_same(last, corrected), last.c.seq == newest(corrected, DELIVERED)))
        .where(*_in(source_id, span), deliveries.c.state.in_(DELIVERED))
        .where(corrected.c.seq == newest(corrected, STATES), corrected.c.state.not_in(OPEN))
        .where(or_(is_told != is_true, told != true, currency != true_currency))
        .group_by(conversions.c.milestone, deliveries.c.destination_id, currency, true_currency)
        .order_by(deliveries.c.destination_id, conversions.c.milestone, currency, true_currency)
    )
    return (await connection.execute(statement)).mappings().all()


async def still_counted(connection: AsyncConnection, source_id: int, span: Span) -> Rows:
    """The columns of `differences`, for repeats that were not sent as the platform still counts the time before."""
    statement = (
        select(
            conversions.c.milestone,
            deliveries.c.destination_id,
            conversions.c.currency.label("currency"),
            conversions.c.currency.label("true_currency"),
            func.count().label("conversions"),
            literal(0).label("told"),
            func.count().label("true"),
            literal(0).label("told_micros"),
            func.sum(func.coalesce(conversions.c.amount_micros, 0)).label("true_micros"),
        )
        .join(deliveries, and_(deliveries.c.conversion_id == conversions.c.id, deliveries.c.kind == UPLOAD))
        .where(*_in(source_id, span), conversions.c.live, conversions.c.occurrence > 0)
        .where(deliveries.c.state == DeliveryState.SKIPPED.value, deliveries.c.reason == Reason.STILL_COUNTED.value)
        .group_by(conversions.c.milestone, deliveries.c.destination_id, conversions.c.currency)
    )
    return (await connection.execute(statement)).mappings().all()


async def overstated(connection: AsyncConnection, source_id: int, span: Span) -> Rows:
    """destination_id, currency, leads, micros, mixed: what platforms were told beyond the worth of leads."""
    return await account_queries.overstated(connection, source_id, _in(source_id, span))


def _in(source_id: int, span: Span) -> list[ColumnElement[bool]]:
    since, until = span
    found_in = [conversions.c.source_id == source_id]
    if since is not None:
        found_in.append(conversions.c.occurred_at >= since)
    if until is not None:
        found_in.append(conversions.c.occurred_at < until)
    return found_in


def _has_upload(destination_id: int) -> ColumnElement[bool]:
    return (
        select(literal(1))
        .where(
            deliveries.c.conversion_id == conversions.c.id,
            deliveries.c.destination_id == destination_id,
            deliveries.c.kind == DeliveryKind.UPLOAD.value,
        )
        .exists()
    )
