"""Who may take leases: only a process whose clock agrees with the database's, as leases are compared by time."""

from collections.abc import Callable
from datetime import datetime

import structlog

from app.db.instants import to_ms
from app.db.session import Database

log = structlog.get_logger()

MOST_CLOCK_SKEW_MS = 2000


class ClockGuard:
    """Compares this process's clock with the database server's (on SQLite it is the same machine's)."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def is_in_time(self) -> bool:
        """True where leases may be taken; a clock that is off is logged with its distance."""
        theirs = await self._database.clock_ms()
        if theirs is None:
            return True
        ahead_ms = to_ms(self._clock()) - theirs
        if abs(ahead_ms) <= MOST_CLOCK_SKEW_MS:
            return True
        log.warning("clock.differs", ahead_ms=ahead_ms, most_ms=MOST_CLOCK_SKEW_MS)
        return False
