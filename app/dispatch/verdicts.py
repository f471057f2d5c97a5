"""Late verdicts: asked for when they are due, with growing pauses, and written once."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from app.db.instants import to_ms
from app.db.session import Database
from app.dispatch.model import Destinations, OpenDestination
from app.outbox import verdict_repository as outbox
from app.outbox.policy import settle_verdict
from app.outbox.verdict_repository import DueVerdict
from connectors.contract.destination import Confirms
from connectors.contract.errors import ConnectorError
from connectors.contract.results import Confirmed, Retry, StillProcessing, VerdictLost, VerdictReply, Verdicts

log = structlog.get_logger()

MOST_AT_ONCE = 50
LONGEST_PAUSE = timedelta(hours=24)


class VerdictCollector:
    """Asks platforms that confirm late what became of accepted rows."""

    def __init__(self, database: Database, destinations: Destinations, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._destinations = destinations
        self._clock = clock

    async def collect(self, destination_id: int) -> int:
        """Ask for every due verdict; how many uploads got one. A failed call leaves the rest for the next time."""
        destination = await self._destinations.open_destination(destination_id)
        if not isinstance(destination.connector, Confirms):
            return 0
        async with self._database.read() as connection:
            due = await outbox.due_verdicts(connection, destination_id, to_ms(self._clock()), MOST_AT_ONCE)
        settled = 0
        for upload in due:
            try:
                reply = await destination.connector.verdict(upload.receipt, upload.sent, self._clock())
            except ConnectorError as error:
                log.warning("verdict.failed", destination=destination.name, code=error.code, message=error.message)
                return settled
            settled += await self._write(destination, upload, reply)
        return settled

    async def _write(self, destination: OpenDestination, upload: DueVerdict, reply: VerdictReply) -> int:
        now = self._clock()
        after = destination.connector.limits.verdict_after or LONGEST_PAUSE
        async with self._database.write() as connection:
            if isinstance(reply, StillProcessing):
                doubled: timedelta = after * (1 << min(upload.asked + 1, 20))
                await outbox.ask_again(connection, upload.id, to_ms(now + min(LONGEST_PAUSE, doubled)))
                return 0
            await outbox.ask_again(connection, upload.id, None)
            if isinstance(reply, VerdictLost):
                log.warning("verdict.lost", destination=destination.name, code=reply.code)
                return 0
            rows = await outbox.accepted_of(connection, upload.id)
            outcomes = []
            for delivery_id, position, counted, deadline in rows:
                result = reply.by_position.get(position, Confirmed()) if isinstance(reply, Verdicts) else Retry(reply.code)
                outcomes.append((delivery_id, settle_verdict(result, counted, deadline, now)))
            await outbox.settle_verdicts(connection, upload.id, outcomes, to_ms(now))
        return 1
