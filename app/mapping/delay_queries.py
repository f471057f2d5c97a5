"""SQL of a funnel's usual delay: how long after their first touch people came to each milestone. Never commits."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import conversions, leads
from app.mapping.warnings import Delay

# The newest conversions tell what is usual now; more of them would tell nothing else.
MOST_CONVERSIONS = 20_000


async def delays_of(connection: AsyncConnection, source_id: int) -> Mapping[str, Delay]:
    """By milestone, of the newest conversions; a first touch is the click, or where none is known the person's creation."""
    newest = (
        select(conversions.c.milestone, conversions.c.occurred_at, conversions.c.lead_id)
        .where(conversions.c.source_id == source_id, conversions.c.live, conversions.c.lead_id.is_not(None))
        .order_by(conversions.c.occurred_at.desc())
        .limit(MOST_CONVERSIONS)
        .subquery()
    )
    touched_at = func.coalesce(leads.c.clicked_at, leads.c.created_at)
    rows = await connection.execute(
        select(newest.c.milestone, newest.c.occurred_at - touched_at).join(leads, leads.c.id == newest.c.lead_id)
    )
    found: dict[str, list[int]] = defaultdict(list)
    for milestone, delay_ms in rows:
        found[milestone].append(max(0, int(delay_ms)))
    return {name: Delay(timedelta(milliseconds=median(delays)), len(delays)) for name, delays in found.items()}
