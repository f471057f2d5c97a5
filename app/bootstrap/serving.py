"""Whether a server runs on the same database: what it can do is left to it."""

from datetime import timedelta

from app.bootstrap.services import Services
from app.db.instants import to_ms
from app.db.lock import AlreadyServed, sqlite_lock
from app.leases.repository import is_held_by_other, ran_since

SERVING_TICKS = ("tick", "tick.scheduler")
# A server takes a turn every ten seconds, after the one before; a turn of much work takes a minute.
LIVES_FOR = timedelta(seconds=45)


async def is_served(services: Services) -> bool:
    """True where another process pulls sources: it takes its turns, and on SQLite has the file's lock."""
    if services.database.is_sqlite and not _is_locked(services.settings.database_url):
        return False
    now_ms = to_ms(services.clock())
    async with services.database.read() as connection:
        if await ran_since(connection, SERVING_TICKS, now_ms - int(LIVES_FOR.total_seconds() * 1000)):
            return True
        return await is_held_by_other(connection, [f"job:{name}" for name in SERVING_TICKS], services.holder, now_ms)


def _is_locked(url: str) -> bool:
    try:
        with sqlite_lock(url):
            return False
    except AlreadyServed:
        return True
