"""SQL of the sweep: how far it came. The row stands as long as there is something to do. Never commits."""

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.tables import settings

_NAME = "tombstone_sweep"


async def begin(connection: AsyncConnection) -> None:
    """Everything is to be gone through, from the start."""
    await insert_rows(connection, settings, [{"name": _NAME, "value": "0"}], conflict=("name",), update=("value",))


async def place(connection: AsyncConnection) -> int | None:
    """The last lead that was looked at; None where nothing is to be done."""
    value = await connection.scalar(select(settings.c.value).where(settings.c.name == _NAME).with_for_update())
    return None if value is None else int(value)


async def move(connection: AsyncConnection, lead_id: int | None) -> None:
    """Go on after this lead; None: done. The row was locked by `place`."""
    mine = settings.c.name == _NAME
    if lead_id is None:
        await connection.execute(delete(settings).where(mine))
    else:
        await connection.execute(update(settings).where(mine).values(value=str(lead_id)))
