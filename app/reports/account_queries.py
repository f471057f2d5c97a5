"""SQL of overstatement: what each platform was told of a lead beyond the lead's worth, where leads have accounts.

Only accounts with a conversion in the range are looked at, each of them whole: a lead's worth knows no days.
"""

from collections.abc import Sequence

from sqlalchemy import CTE, ColumnElement, RowMapping, Subquery, and_, case, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import accounts, conversions, deliveries, records
from app.reports.correction_queries import DELIVERED, OPEN, UPLOAD, newest, of_the_same
from connectors.contract.conversions import DeliveryKind

# A deal that has nobody stands for itself; one that was merged away is told with the deal that it is now.
_ACCOUNT = func.coalesce(conversions.c.lead_id, records.c.merged_into, conversions.c.record_id)


async def overstated(connection: AsyncConnection, source_id: int, within: Sequence[ColumnElement[bool]]) -> Sequence[RowMapping]:
    """destination_id, currency, leads, micros, mixed: by how much platforms were told too much, and of how many leads.

    `mixed`: leads of whom a platform was told in several currencies, or in another than their account's: they are not added up.
    """
    chosen = (
        select(accounts.c.id)
        .select_from(conversions.join(records, records.c.id == conversions.c.record_id).join(accounts, accounts.c.id == _ACCOUNT))
        .where(*within, accounts.c.source_id == source_id)
        .distinct()
        .cte("chosen")
    )
    each = _each(source_id, chosen)
    is_mixed = func.max(case((each.c.told_currency != each.c.currency, 1), else_=0))
    told = (
        select(
            each.c.destination_id,
            each.c.currency,
            is_mixed.label("is_mixed"),
            (func.sum(each.c.micros) - each.c.worth_micros).label("excess"),
        )
        .group_by(each.c.id, each.c.destination_id, each.c.currency, each.c.worth_micros)
        .subquery("told")
    )
    is_over = and_(told.c.is_mixed == 0, told.c.excess > 0)
    statement = (
        select(
            told.c.destination_id,
            told.c.currency,
            func.sum(case((is_over, 1), else_=0)).label("leads"),
            func.sum(case((is_over, told.c.excess), else_=0)).label("micros"),
            func.sum(told.c.is_mixed).label("mixed"),
        )
        .group_by(told.c.destination_id, told.c.currency)
        .order_by(told.c.destination_id, told.c.currency)
    )
    return (await connection.execute(statement)).mappings().all()


_LAST = deliveries.alias("last")
# A correction that is still to be made counts as made: what cannot be told is what is overstated.
TOLD = (*DELIVERED, *OPEN)


def _each(source_id: int, chosen: CTE) -> Subquery:
    """What each conversion of these accounts was told with, by destination, beside what its account is worth."""
    wanted = select(chosen.c.id)
    merged = select(records.c.id).where(records.c.merged_into.in_(wanted))
    mine = union(
        select(conversions.c.id).where(conversions.c.lead_id.in_(wanted)),
        select(conversions.c.id).where(conversions.c.lead_id.is_(None), conversions.c.record_id.in_(wanted)),
        select(conversions.c.id).where(conversions.c.lead_id.is_(None), conversions.c.record_id.in_(merged)),
    ).cte("mine")
    return (
        select(
            accounts.c.id,
            deliveries.c.destination_id,
            accounts.c.currency,
            accounts.c.worth_micros,
            _told().label("micros"),
            _told_currency().label("told_currency"),
        )
        .select_from(
            mine.join(conversions, conversions.c.id == mine.c.id)
            .join(records, records.c.id == conversions.c.record_id)
            .join(accounts, accounts.c.id == _ACCOUNT)
            .join(deliveries, and_(deliveries.c.conversion_id == conversions.c.id, deliveries.c.kind == UPLOAD))
            .outerjoin(_LAST, and_(of_the_same(_LAST, deliveries), _LAST.c.seq == newest(deliveries, TOLD)))
        )
        .where(conversions.c.source_id == source_id, deliveries.c.state.in_(DELIVERED))
        .subquery("each")
    )


def _told() -> ColumnElement[int]:
    is_open = _LAST.c.state.in_(OPEN)
    return func.coalesce(
        case(
            (_LAST.c.id.is_(None), deliveries.c.sent_amount_micros),
            (_LAST.c.kind == DeliveryKind.RETRACT.value, 0),
            (is_open, conversions.c.amount_micros),
            else_=_LAST.c.sent_amount_micros,
        ),
        0,
    )


def _told_currency() -> ColumnElement[str]:
    """None where nothing was told."""
    return case(
        (_LAST.c.id.is_(None), deliveries.c.sent_currency),
        (_LAST.c.kind == DeliveryKind.RETRACT.value, None),
        (_LAST.c.state.in_(OPEN), conversions.c.currency),
        else_=_LAST.c.sent_currency,
    )
