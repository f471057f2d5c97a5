"""SQL of what reports look up beside their facts: sources and currency rates."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import fx_rates, sources
from app.mapping.rates import OLDEST


async def source_ids(connection: AsyncConnection) -> dict[str, int]:
    """The sources by name."""
    result = await connection.execute(select(sources.c.name, sources.c.id).order_by(sources.c.id))
    return {row.name: row.id for row in result}


async def rates_into(
    connection: AsyncConnection, currency: str, bases: Sequence[str], since: date, until: date
) -> Sequence[RowMapping]:
    """Stored rates from these currencies into another, of the days asked for and as long before as a rate may be old."""
    statement = select(fx_rates).where(
        fx_rates.c.quote == currency,
        fx_rates.c.base.in_(bases),
        fx_rates.c.day >= (since - OLDEST).isoformat(),
        fx_rates.c.day <= until.isoformat(),
    )
    return (await connection.execute(statement)).mappings().all()
