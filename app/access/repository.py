"""SQL of the audit log. Takes the caller's connection; never commits."""

from collections.abc import Mapping

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.ids import take_ids
from app.db.tables import audit


async def add_audit(
    connection: AsyncConnection, *, actor: str, action: str, subject: str, detail: Mapping[str, object], now_ms: int
) -> None:
    """Write one line: who did what to what. `detail` holds no secret and nothing personal."""
    row = {
        "id": await take_ids(connection, 1),
        "at": now_ms,
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail_json": orjson.dumps(dict(detail), option=orjson.OPT_SORT_KEYS).decode(),
    }
    await insert_rows(connection, audit, [row])
