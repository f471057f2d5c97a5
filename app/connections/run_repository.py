"""SQL of the journal of runs: one row for each pull, drain or apply that did something or failed. Never commits."""

from collections.abc import Mapping

import orjson
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.ids import take_ids
from app.db.tables import runs

MOST_DROPPED = 500


async def add_run(
    connection: AsyncConnection,
    *,
    kind: str,
    source_id: int | None,
    destination_id: int | None,
    started_ms: int,
    ended_ms: int,
    counts: Mapping[str, int],
    error: str | None,
) -> None:
    """Write a run that has ended."""
    row = {
        "id": await take_ids(connection, 1),
        "kind": kind,
        "source_id": source_id,
        "destination_id": destination_id,
        "state": "done" if error is None else "failed",
        "started_at": started_ms,
        "ended_at": ended_ms,
        "counts_json": orjson.dumps(dict(counts)).decode(),
        "error": error,
    }
    await insert_rows(connection, runs, [row])


async def drop_runs(connection: AsyncConnection, before_ms: int) -> None:
    """Forget runs that are older, at most a few hundred at once."""
    old = select(runs.c.id).where(runs.c.started_at < before_ms).order_by(runs.c.started_at).limit(MOST_DROPPED)
    await connection.execute(delete(runs).where(runs.c.id.in_(old)))
