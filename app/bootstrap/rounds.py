"""Rounds of work: what is due is read and sent, one connection after another; none that fails holds up the others."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from app.bootstrap.backfilling import Backfills
from app.bootstrap.bell import Bell
from app.bootstrap.contexts import Contexts
from app.bootstrap.failures import place, told
from app.bootstrap.journal import Journal
from app.bootstrap.openers import Openers
from app.bootstrap.reapplying import Reapplies
from app.config import ConnectionMode, ProcessRole, nearest
from app.connections import repository as connections
from app.connections.repository import DestinationRow, Role, SourceRow
from app.db.instants import optional_ms, to_ms
from app.db.session import Database
from app.dispatch.dispatcher import Dispatcher
from app.dispatch.model import DrainSummary
from app.dispatch.verdicts import VerdictCollector
from app.ingest.poller import TURN, Poller, Pulled
from app.ingest.pull_lease import LeaseLost
from app.leases.clock import ClockGuard
from app.outbox import repository as outbox
from app.outbox.pauses import CONNECTION_PAUSE, source_pause_until
from app.reports.status import REAUTH_MEND
from app.telemetry.metrics import Metrics
from connectors.contract.errors import NEEDS_REAUTH, ConnectorError

log = structlog.get_logger()

MOST_ROUNDS = 1000
BUSY_WAIT = timedelta(seconds=1)
MOST_WAITS = 10
CLOCK_IS_OFF = "this machine's clock differs from the database's by more than two seconds; set it (NTP)"


class SourceUnknown(Exception):
    """No source has the name that was asked for; the message has the nearest one."""


@dataclass(slots=True)
class SyncSummary:
    """What `sync` did, in numbers, and what is stuck."""

    records: int = 0
    conversions: int = 0
    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    requests: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_stuck(self) -> bool:
        """True where something needs a human."""
        return bool(self.problems)

    def tell(self, problem: str) -> None:
        """Note a problem, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def text(self) -> str:
        """For a terminal."""
        lines = [
            f"records read {self.records}, new conversions {self.conversions}",
            f"deliveries sent {self.sent}, accepted {self.accepted}, rejected {self.rejected}, requests {self.requests}",
        ]
        return "\n".join(lines + [f"stuck: {problem}" for problem in self.problems])


@dataclass(slots=True)
class _Course:
    """How a tick or a sync stands. `unread` sources are read whether due or not; `failed` ones get no second turn."""

    roles: Collection[ProcessRole] = tuple(ProcessRole)
    unread: set[int] = field(default_factory=set)
    failed: set[tuple[Role, int]] = field(default_factory=set)
    busy: list[str] = field(default_factory=list)
    has_moved: bool = False
    summary: SyncSummary = field(default_factory=SyncSummary)


@dataclass(frozen=True, slots=True)
class Rounds:
    """Gives each source and each destination its turn."""

    database: Database
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts
    poller: Poller
    dispatcher: Dispatcher
    verdicts: VerdictCollector
    backfills: Backfills
    reapplies: Reapplies
    journal: Journal
    bell: Bell
    stopping: asyncio.Event
    guard: ClockGuard | None
    sleep: Callable[[float], Awaitable[None]]
    metrics: Metrics

    async def tick(self, *, only_due: bool, source: str | None, roles: Collection[ProcessRole]) -> SyncSummary:
        """One round: pull what is due (`scheduler`), send what is owed and ask for late verdicts (`worker`)."""
        course = _Course(roles)
        if await self._is_in_time(course):
            rows = await self._sources(source)
            course.unread = set() if only_due else {row.id for row in rows}
            await self._round(rows, course)
            if ProcessRole.SCHEDULER in roles:
                await self._backfill_turn(rows, course)
                await self._reapply_turn(rows, course)
        return course.summary

    async def sync(self, source: str | None = None) -> SyncSummary:
        """Read everything, then go on until nothing is due now; what stands still is told."""
        course = _Course()
        rows = await self._named(source)
        if not await self._is_in_time(course):
            return course.summary
        course.unread = {row.id for row in rows}
        for row in rows:
            if row.mode is ConnectionMode.PAUSED:
                course.summary.tell(f"{row.name} is paused by its mode and was not read; set it to live")
        await self._until_nothing_is_due(source, course)
        for name in course.busy:
            course.summary.tell(f"{name}: another process works on it now; what is left is its to do, or run this again")
        await self._tell_paused_targets(course)
        return course.summary

    async def pull(self, row: SourceRow, *, only_due: bool) -> Pulled:
        """Pull one source; a failed call pauses it as the failure says."""
        context = await self.contexts.of_source(row)
        if context is None:
            return Pulled()
        crm = self.openers.stored_source(row)
        try:
            pulled = await self.poller.pull(context, crm, only_due=only_due, budget=TURN if only_due else None)
        except ConnectorError as error:
            log.warning("source.paused", source=row.name, code=error.code, message=error.message)
            await self._pause(Role.SOURCE, row.id, error.code or type(error).__name__, source_pause_until(error, self.clock()))
            raise
        if pulled.has_more:
            self.bell.ring()
        return pulled

    async def _until_nothing_is_due(self, source: str | None, course: _Course) -> None:
        waits = 0
        for _ in range(MOST_ROUNDS):
            course.has_moved = False
            course.busy.clear()
            await self._round(await self._sources(source), course)
            if course.has_moved:
                continue
            if not course.busy or waits == MOST_WAITS:
                return
            waits += 1
            await self.sleep(BUSY_WAIT.total_seconds())
        course.summary.tell(f"something was still due after {MOST_ROUNDS} rounds; run this again")

    async def _round(self, sources: Iterable[SourceRow], course: _Course) -> None:
        now_ms = to_ms(self.clock())
        for row in sources if ProcessRole.SCHEDULER in course.roles else ():
            stands = row.mode is ConnectionMode.PAUSED or (row.id not in course.unread and row.is_paused(now_ms))
            if (Role.SOURCE, row.id) in course.failed:
                continue
            await (self._stand(row, course) if stands else self._source_turn(row, course))
        if ProcessRole.WORKER not in course.roles:
            return
        now_ms = to_ms(self.clock())  # reading took its time, and what it found is due since then
        async with self.database.read() as connection:
            destinations = await connections.list_destinations(connection)
            due = await outbox.due_at_destinations(connection, now_ms)
        for destination in destinations:
            if (Role.DESTINATION, destination.id) in course.failed:
                continue
            if destination.is_paused(now_ms):
                why = destination.pause_reason or "its mode says so"
                course.summary.tell(f"{destination.name} is paused: {REAUTH_MEND if why == NEEDS_REAUTH else why}")
            else:
                await self._destination_turn(destination, *due.get(destination.id, (False, False)), course)

    async def _source_turn(self, row: SourceRow, course: _Course) -> None:
        try:
            pulled = await self.journal.of_pull(row.id, self.pull(row, only_due=row.id not in course.unread))
        except Exception as error:  # noqa: BLE001 whatever is wrong with one connection, the others have their turn
            await self._failed(Role.SOURCE, row, error, course)
            return
        if pulled.is_busy:
            course.busy.append(row.name)
            return
        course.unread.discard(row.id)
        course.has_moved |= pulled.pages > 0
        course.summary.records += pulled.recorded.records
        course.summary.conversions += pulled.recorded.new_conversions

    async def _stand(self, row: SourceRow, course: _Course) -> None:
        """A source that stands still: who asked to be forgotten is, and what needs a person is told."""
        try:
            course.has_moved |= await self.poller.erase(row.id, row.name)
        except Exception as error:  # noqa: BLE001 as above
            await self._failed(Role.SOURCE, row, error, course)
        if row.pause_reason == NEEDS_REAUTH and row.mode is not ConnectionMode.PAUSED:
            course.summary.tell(f"{row.name} is paused: {REAUTH_MEND}")

    async def _backfill_turn(self, sources: Iterable[SourceRow], course: _Course) -> None:
        """After all that is due: one turn of the backfill that waited longest for one; the next tick comes at once."""
        waiting = {source_id: place for place, source_id in enumerate(await self.backfills.waiting())}
        now_ms = to_ms(self.clock())
        able = [row for row in sources if row.id in waiting and not row.is_paused(now_ms)]
        able = [row for row in able if (Role.SOURCE, row.id) not in course.failed]
        if not able or self.stopping.is_set():
            return
        row = min(able, key=lambda one: waiting[one.id])
        try:
            pulled = await self.backfills.turn(row)
        except Exception as error:  # noqa: BLE001 as above
            await self._failed(Role.SOURCE, row, error, course)
            return
        course.has_moved |= pulled.pages > 0
        course.summary.records += pulled.recorded.records
        course.summary.conversions += pulled.recorded.new_conversions
        if pulled.has_more or len(able) > 1:
            self.bell.ring()

    async def _reapply_turn(self, sources: Iterable[SourceRow], course: _Course) -> None:
        """One turn of the reapply that was asked for first. No CRM is asked, so that a source that stands still has its turn."""
        by_id = {row.id: row for row in sources if (Role.SOURCE, row.id) not in course.failed}
        waiting = [one for one in await self.reapplies.waiting() if one.source_id in by_id]
        if not waiting or self.stopping.is_set():
            return
        row = by_id[waiting[0].source_id]
        try:
            pulled = await self.reapplies.turn(row, waiting[0])
        except Exception as error:  # noqa: BLE001 as above
            await self._failed(Role.SOURCE, row, error, course)
            return
        course.has_moved |= pulled.pages > 0
        course.summary.conversions += pulled.recorded.new_conversions
        if pulled.has_more or len(waiting) > 1:
            self.bell.ring()

    async def _destination_turn(self, row: DestinationRow, has_delivery: bool, has_verdict: bool, course: _Course) -> None:  # noqa: FBT001 as the outbox says it
        try:
            if has_delivery:
                self._count(row, await self.journal.of_drain(row.id, self.dispatcher.drain(row.id)), course)
        except Exception as error:  # noqa: BLE001 as above
            await self._failed(Role.DESTINATION, row, error, course)
        try:
            if has_verdict and not self.stopping.is_set():
                course.has_moved |= await self.journal.of_verdicts(row.id, self.verdicts.collect(row.id)) > 0
        except Exception as error:  # noqa: BLE001 as above
            await self._failed(Role.DESTINATION, row, error, course)

    def _count(self, row: DestinationRow, drained: DrainSummary, course: _Course) -> None:
        self.metrics.on_drained(
            row.name, accepted=drained.accepted, rejected=drained.rejected, waiting=drained.waiting, stopped=drained.stopped
        )
        if drained.is_busy:
            course.busy.append(row.name)
        if drained.failure:
            course.failed.add((Role.DESTINATION, row.id))
            course.summary.tell(f"{row.name}: {drained.failure}")
        course.has_moved |= drained.requests + drained.stopped + drained.waiting > 0
        course.summary.sent += drained.sent
        course.summary.accepted += drained.accepted
        course.summary.rejected += drained.rejected
        course.summary.requests += drained.requests

    async def _failed(self, role: Role, row: SourceRow | DestinationRow, error: Exception, course: _Course) -> None:
        """Tell it. What is no failed call is tried again in a minute, as is an outage: nothing says that it will last."""
        course.failed.add((role, row.id))
        mend = f"; {REAUTH_MEND}" if isinstance(error, ConnectorError) and error.code == NEEDS_REAUTH else ""
        course.summary.tell(f"{row.name}: {told(error)}{mend}")
        if isinstance(error, ConnectorError):
            return  # logged, and paused as it says
        kind = type(error).__name__
        log.error("turn.failed", **{str(role): row.name}, error=kind, at=place(error))
        if isinstance(error, LeaseLost):
            return  # another process goes on with it
        try:
            await self._pause(role, row.id, kind, self.clock() + CONNECTION_PAUSE)
        except Exception as failure:  # noqa: BLE001 a pause that cannot be written must not stop the others
            log.error("pause.failed", **{str(role): row.name}, error=type(failure).__name__, at=place(failure))  # noqa: TRY400 the trace of a statement quotes its values

    async def _pause(self, role: Role, connection_id: int, reason: str, until: datetime | None) -> None:
        async with self.database.write() as connection:
            await connections.pause(connection, role, connection_id, reason, optional_ms(until))

    async def _tell_paused_targets(self, course: _Course) -> None:
        async with self.database.read() as connection:
            names = {row.id: row.name for row in await connections.list_destinations(connection)}
            pauses = await connections.target_pauses_of(connection, list(names))
        for destination_id, paused in pauses.items():
            for pause in paused:
                mend = "run `leadloop check` and follow what it says"
                course.summary.tell(f"{names[destination_id]}: target {pause.target} is paused: {pause.code}; {mend}")

    async def _is_in_time(self, course: _Course) -> bool:
        if self.guard is None or await self.guard.is_in_time():
            return True
        course.summary.tell(CLOCK_IS_OFF)
        return False

    async def _named(self, source: str | None) -> list[SourceRow]:
        rows = await self._sources(source)
        if source is not None and not rows:
            meant = nearest(source, [row.name for row in await self._sources(None)])
            raise SourceUnknown(f"no source is named {source!r}" + (f" (did you mean {meant!r}?)" if meant else ""))
        return rows

    async def _sources(self, source: str | None) -> list[SourceRow]:
        async with self.database.read() as connection:
            return [row for row in await connections.list_sources(connection) if source in (None, row.name)]
