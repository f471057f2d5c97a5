"""Backfills as a use case: asked for by a person, read turn by turn by whoever has the lease, followed by all others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from app.bootstrap.bell import Bell
from app.bootstrap.contexts import Contexts
from app.bootstrap.journal import BACKFILL, Journal
from app.bootstrap.openers import Openers
from app.config import ConnectionMode, nearest
from app.connections import repository as connections
from app.connections.repository import Role, SourceRow
from app.db.instants import optional_ms
from app.db.session import Database
from app.ingest import backfill_repository as repository
from app.ingest.backfill import Backfiller, TurnLimits, reaches_of
from app.ingest.backfill_repository import BackfillRow
from app.ingest.context import SourceContext
from app.ingest.poller import Pulled, people_first
from app.outbox.pauses import source_pause_until
from connectors.contract.errors import ConnectorError
from connectors.contract.records import ObjectKind

log = structlog.get_logger()

OLDEST = datetime.fromisoformat("1990-01-01T00:00:00+00:00")


class BackfillRefused(Exception):
    """An order that cannot be carried out; nothing was changed."""


@dataclass(frozen=True, slots=True)
class BackfillState:
    """How a source's backfill stands, people before deals. `share`: how much of its time was read, 0 to 1."""

    since: datetime
    kinds: Sequence[BackfillRow]
    share: float

    @property
    def is_done(self) -> bool:
        """True where all was read."""
        return all(one.is_done for one in self.kinds)

    @property
    def error(self) -> str | None:
        """Why something stands still."""
        return next((one.error for one in self.kinds if one.error and not one.is_done), None)

    @property
    def at(self) -> BackfillRow:
        """The kind that is being read, the last one where all was."""
        return next((one for one in self.kinds if not one.is_done), self.kinds[-1])

    def total(self, name: str) -> int:
        """Pages, seen rows, records or conversions of all kinds together."""
        return sum(getattr(one, name) for one in self.kinds)


def state_of(rows: Sequence[BackfillRow], now: datetime) -> BackfillState | None:
    """The rows of one source as one state, None without any."""
    if not rows:
        return None
    kinds = sorted(rows, key=lambda row: people_first(row.kind))
    return BackfillState(kinds[0].since, kinds, sum(row.share(now) for row in kinds) / len(kinds))


@dataclass(frozen=True, slots=True)
class Backfills:
    """Asks for backfills, reads them turn by turn, and tells how they stand."""

    database: Database
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts
    backfiller: Backfiller
    journal: Journal
    bell: Bell

    async def source(self, name: str) -> tuple[SourceRow, SourceContext]:
        """A source that can be backfilled; BackfillRefused says why one cannot."""
        async with self.database.read() as connection:
            rows = {row.name: row for row in await connections.list_sources(connection)}
        row = rows.get(name)
        if row is None:
            meant = nearest(name, list(rows))
            raise BackfillRefused(f"no source is named {name!r}" + (f" (did you mean {meant!r}?)" if meant else ""))
        if row.mode is ConnectionMode.PAUSED:
            raise BackfillRefused(f"{name} is paused by its mode; set it to live first")
        if row.pause_reason is not None and row.paused_until is None:
            raise BackfillRefused(f"{name} is paused: {row.pause_reason}; run `leadloop check` and follow what it says")
        context = await self.contexts.of_source(row)
        if context is None:
            raise BackfillRefused(f"{name} has no active mapping, which says what to read; apply one first")
        return row, context

    async def ask(self, context: SourceContext, since: datetime, *, restarts: bool = False) -> BackfillState:
        """Ask for a backfill, or go on with the one of this date; a new one where the mapping reads more since.

        BackfillRefused where one of another date is under way, unless `restarts`.
        """
        now = self.clock()
        if since > now:
            raise BackfillRefused(f"{since:%Y-%m-%d} is in the future: a backfill reads what was")
        if since < OLDEST:
            raise BackfillRefused(f"{since:%Y-%m-%d} is before every CRM; name a day from {OLDEST:%Y} on")
        reaches = reaches_of(context.document, context.selection)
        async with self.database.write() as connection:
            before = state_of(await repository.backfills_of(connection, context.id), now)
            if before is not None and not restarts:
                if before.since != since and not before.is_done:
                    raise BackfillRefused(
                        f"a backfill of {context.name} since {told_date(before.since)} is under way ({before.share:.0%}); "
                        f"finish it with --since {told_date(before.since)}, or give it up with --restart"
                    )
                is_same = {one.kind: one.reach for one in before.kinds} == reaches
                if before.since == since and (is_same or not before.is_done):
                    return before
            await repository.begin_backfill(connection, context.id, reaches, since, now)
            asked = state_of(await repository.backfills_of(connection, context.id), now)
        self.bell.ring()
        if asked is None:
            raise BackfillRefused(f"the mapping of {context.name} reads nothing")
        return asked

    async def state(self, source_id: int) -> BackfillState | None:
        """How the newest backfill of a source stands, None where there never was one."""
        async with self.database.read() as connection:
            return state_of(await repository.backfills_of(connection, source_id), self.clock())

    async def waiting(self) -> Sequence[int]:
        """The sources of which a backfill is under way, the one first whose last page is longest ago."""
        async with self.database.read() as connection:
            return await repository.sources_with_open_backfills(connection)

    async def turn(self, row: SourceRow, *, budget: timedelta | None = None) -> Pulled:
        """One turn of a source's backfill, noted in the journal; a failed call pauses the source as the failure says."""
        return await self.journal.of_pull(row.id, self._turn(row, budget), kind=BACKFILL)

    async def _turn(self, row: SourceRow, budget: timedelta | None) -> Pulled:
        context = await self.contexts.of_source(row)
        if context is None:
            return Pulled()
        alike: frozenset[ObjectKind] = await self.contexts.kinds_read_alike(context)
        usual = TurnLimits(is_wanted_elsewhere=lambda: self.bell.is_rung)
        limits = usual if budget is None else TurnLimits(budget=budget)
        try:
            pulled = await self.backfiller.turn(context, self.openers.stored_source(row), alike, limits)
        except ConnectorError as error:
            log.warning("source.paused", source=row.name, code=error.code, message=error.message)
            until = optional_ms(source_pause_until(error, self.clock()))
            async with self.database.write() as connection:
                await connections.pause(connection, Role.SOURCE, row.id, error.code or type(error).__name__, until)
            raise
        if pulled.pages and not pulled.has_more:
            log.info("backfill.done", source=row.name)
        return pulled


def told_date(at: datetime) -> str:
    """A date as it is given on the command line: with its time where it has one."""
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0) else at.isoformat()
