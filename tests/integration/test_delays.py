"""The usual delay of a funnel comes from what is stored, and a mapping whose platforms forget sooner is warned of."""

from pathlib import Path

import pytest
from sqlalchemy import update

from app.bootstrap.unwise import unwise_in
from app.db.tables import conversions, leads
from app.mapping.delay_queries import delays_of
from app.mapping.document import parse_document
from app.mapping.warnings import LEAST_LEADS
from tests.api.rig import rig_on

DAY_MS = 86_400_000


@pytest.mark.parametrize(("days", "warned"), [(91, ["destinations.google.qualified_lead"]), (30, [])])
async def test_a_slow_funnel_is_warned_of(tmp_path: Path, database_url: str, days: int, warned: list[str]) -> None:
    """The click may be ninety days old at Google: of a funnel that takes longer, half would be too late for ever."""
    async with rig_on(tmp_path, database_url) as rig:
        for number in range(LEAST_LEADS):
            rig.person(email=f"p{number}@example.com", lifecyclestage="salesqualifiedlead")
        await rig.services.tick()
        active = await rig.services.mapping_versions().active("hubspot")
        (row,) = await rig.services.sources()
        async with rig.services.database.write() as connection:
            await connection.execute(update(leads).values(clicked_at=leads.c.created_at))
            moved = leads.c.created_at + days * DAY_MS
            at = {"occurred_at": moved}
            qualified = conversions.c.milestone == "qualified_lead"
            statement = update(conversions).where(qualified, leads.c.id == conversions.c.lead_id).values(**at)
            await connection.execute(statement)
        assert active is not None

        async with rig.services.database.read() as connection:
            delays = await delays_of(connection, row.id)
            found = await unwise_in(connection, rig.services.openers, row.id, parse_document(dict(active.document)))

        assert (delays["qualified_lead"].median.days, delays["qualified_lead"].leads) == (days, LEAST_LEADS)
        assert delays["lead"].median.days == 0
        assert [one.path for one in found if "too late" in one.message] == warned
