"""Reports of a played pipeline: the books balance, and the funnel counts what a plain loop over the tables counts."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from app.db.tables import conversions, deliveries, leads
from app.demo.play import open_play
from app.reports.books import BooksQuery, books
from app.reports.funnel import FunnelQuery, funnel
from tests.stages import stage_of

ENDS_AT = datetime(2026, 11, 24, tzinfo=UTC)


async def test_the_books_of_a_played_pipeline_balance(tmp_path: Path, database_url: str) -> None:
    """P12 on what the pipeline itself wrote: nothing missing, doubled or stuck; and everybody counted once."""
    stage = stage_of(days=10, most_deals=25, ends_at=ENDS_AT)
    async with AsyncExitStack() as stack:
        play = await open_play(stage, database_url, tmp_path, stack)
        await play.run(ENDS_AT)
        database = play.services.database
        found = await books(database, BooksQuery())
        whole = await funnel(database, FunnelQuery())
        async with database.read() as connection:
            uploads = await connection.scalar(select(func.count()).where(deliveries.c.kind == "upload"))
            people = {row.id: row.email_hmac or row.id for row in await connection.execute(select(leads))}
            counted = [row for row in await connection.execute(select(conversions)) if row.live and row.duplicate_of is None]

    assert found.imbalances == ()
    assert uploads
    assert sum(row.accounted for row in found.rows) == sum(row.found for row in found.rows) >= uploads
    reached = {(row.milestone, people.get(row.lead_id, -row.record_id)) for row in counted}
    for milestone in ("lead", "qualified_lead", "opportunity", "closed_revenue"):
        assert whole.total.count(milestone).people == sum(one == milestone for one, _ in reached) > 0
    won = [row.amount_micros or 0 for row in counted if row.milestone == "closed_revenue"]
    assert whole.total.revenue.micros == sum(won) > 0
