"""Late verdicts: asked for when they are due, with growing pauses, and written once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from app.connections import repository as connections
from app.connections.repository import Role
from app.db.instants import optional_ms, to_ms
from app.db.session import Database
from app.dispatch.model import Destinations, OpenDestination
from app.outbox import verdict_repository as outbox
from app.outbox.code_repository import count_unknown
from app.outbox.pauses import pause_until
from app.outbox.policy import settle_verdict
from app.outbox.verdict_repository import DueVerdict
from connectors.contract.destination import Confirms
from connectors.contract.errors import ConnectorError, Effect, RateLimited, Unavailable, UnexpectedReply
from connectors.contract.results import (
    Confirmed,
    Rejected,
    Retry,
    StillProcessing,
    TargetRefused,
    Unnamed,
    VerdictLost,
    VerdictReply,
    VerdictResult,
    Verdicts,
)

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
        """Ask for every due verdict; how many uploads got one. One that cannot be had is asked for later, the others now."""
        destination = await self._destinations.open_destination(destination_id)
        if not isinstance(destination.connector, Confirms):
            return 0
        async with self._database.read() as connection:
            due = await outbox.due_verdicts(connection, destination_id, to_ms(self._clock()), MOST_AT_ONCE)
        settled = 0
        for upload in due:
            try:
                reply = await destination.connector.verdict(upload.receipt, upload.sent, self._clock())
            except (RateLimited, Unavailable) as error:
                await self._failed(destination, upload, error)
                break
            except ConnectorError as error:
                await self._failed(destination, upload, error)
            except Exception as error:  # noqa: BLE001 a connector's fault over one receipt; its text may quote what came
                name = type(error).__name__
                failure = UnexpectedReply(f"the connector failed with {name}", effect=Effect.NONE, code=name)
                await self._failed(destination, upload, failure)
            else:
                settled += await self._write(destination, upload, reply)
        return settled

    async def _failed(self, destination: OpenDestination, upload: DueVerdict, error: ConnectorError) -> None:
        """Asked again with growing pauses. What concerns the whole platform pauses the connection.

        A refusal may concern this receipt alone (another account's, a permission to read only): whether the credentials still
        serve, the next upload finds out.
        """
        now = self._clock()
        async with self._database.write() as connection:
            await outbox.ask_again(connection, upload.id, to_ms(now + _pause(destination, upload)))
            if isinstance(error, RateLimited | Unavailable):
                reason, until = error.code or type(error).__name__, pause_until(error, now)
                await connections.pause(connection, Role.DESTINATION, destination.id, reason, optional_ms(until))
        log.warning("verdict.failed", destination=destination.name, code=error.code, message=error.message)

    async def _write(self, destination: OpenDestination, upload: DueVerdict, reply: VerdictReply) -> int:
        now = self._clock()
        async with self._database.write() as connection:
            if isinstance(reply, StillProcessing):
                await outbox.ask_again(connection, upload.id, to_ms(now + _pause(destination, upload)))
                return 0
            await outbox.ask_again(connection, upload.id, None)
            if isinstance(reply, VerdictLost):
                log.warning("verdict.lost", destination=destination.name, code=reply.code)
                return 0
            rows = await outbox.accepted_of(connection, upload.id)
            results = [(row, _result(reply, row.position, upload.sent)) for row in rows]
            outcomes = [(row, settle_verdict(result, row.counted, row.deadline_at, now)) for row, result in results]
            halved = max(1, upload.sent // 2) if isinstance(reply, Unnamed) else None
            await outbox.settle_verdicts(connection, upload.id, outcomes, to_ms(now), most_together=halved)
            unknown = [result.code for _, result in results if isinstance(result, Retry) and not result.is_known]
            await count_unknown(connection, destination.id, unknown, to_ms(now))
            for row, result in results:
                if isinstance(result, TargetRefused):
                    await connections.pause_target(connection, destination.id, row.target, result.code, to_ms(now))
        if unknown:
            log.error("code.unknown", destination=destination.name, codes=sorted(set(unknown)), rows=len(unknown))
        return 1


def _pause(destination: OpenDestination, upload: DueVerdict) -> timedelta:
    after = destination.connector.limits.verdict_after or LONGEST_PAUSE
    doubled: timedelta = after * (1 << min(upload.asked + 1, 20))
    return min(LONGEST_PAUSE, doubled)


def _result(reply: Verdicts | Unnamed, position: int, sent: int) -> VerdictResult:
    """The verdict on one row. Where the platform names no row, all go again in halves, and a row alone is the one meant."""
    match reply:
        case Verdicts(by_position):
            return by_position.get(position, Confirmed())
        case Unnamed(code=code) if sent == 1:
            return Rejected(code)
        case Unnamed(code=code):
            return Retry(code)
        case _:
            assert_never(reply)
