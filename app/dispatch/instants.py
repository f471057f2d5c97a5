"""Where a platform has no field for our id, equal conversions are moved apart in time before their first try."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among
from app.db.tables import deliveries
from app.dispatch.model import Ready
from app.dispatch.rows import upload_row
from connectors.contract.conversions import DeliveryKind
from connectors.contract.destination import KnowsByContent

# So many free places are looked for at once; a crowd in one second takes several looks.
LOOK = 16
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Fingerprint = Callable[[str, str], bytes]


async def moved_apart(
    connection: AsyncConnection,
    destination_id: int,
    connector: KnowsByContent,
    rows: Sequence[Ready],
    fingerprint: Fingerprint,
) -> list[Ready]:
    """The same rows with the instants that are sent, and the keys by which they are told apart there, kept as fingerprints.

    A row that was frozen keeps what it has. `rows` are of one request, so this is asked before it is frozen.
    """
    step = connector.content_step
    found: dict[int, Ready] = {}
    waiting = [one for one in rows if one.row.kind == DeliveryKind.UPLOAD and not one.row.is_frozen]
    starts = {one.row.id: _cut(one.sent_at, step) for one in waiting}
    used: set[str] = set()
    while waiting:
        tried = {one.row.id: _places(connector, one, starts[one.row.id], fingerprint) for one in waiting}
        owners = await _owners(connection, destination_id, {key for places in tried.values() for key, _ in places})
        still = []
        for one in waiting:
            free = next(
                ((key, at) for key, at in tried[one.row.id] if key not in used and owners.get(key, one.row.id) == one.row.id),
                None,
            )
            if free is None:
                starts[one.row.id] += step * LOOK
                still.append(one)
                continue
            used.add(free[0])
            found[one.row.id] = replace(one, sent_at=free[1], vendor_key=free[0])
        waiting = still
    return [found.get(one.row.id, one) for one in rows]


def _places(connector: KnowsByContent, one: Ready, start: datetime, fingerprint: Fingerprint) -> list[tuple[str, datetime]]:
    """Keys and instants from `start` on."""
    instants = [start + connector.content_step * place for place in range(LOOK)]
    row = upload_row(one)
    keys = [fingerprint("content", connector.content_key(replace(row, occurred_at=at))).hex() for at in instants]
    return list(zip(keys, instants, strict=True))


async def _owners(connection: AsyncConnection, destination_id: int, keys: set[str]) -> dict[str, int]:
    query = select(deliveries.c.vendor_key, deliveries.c.id).where(
        deliveries.c.destination_id == destination_id, among(connection, deliveries.c.vendor_key, sorted(keys))
    )
    return {row.vendor_key: row.id for row in await connection.execute(query)}


def _cut(at: datetime, step: timedelta) -> datetime:
    return EPOCH + ((at.astimezone(UTC) - EPOCH) // step) * step
