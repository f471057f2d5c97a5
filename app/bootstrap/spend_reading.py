"""Reading what campaigns cost from the accounts themselves; a failure is told and pauses nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

import structlog

from app.bootstrap.failures import NameUnknown, place, told
from app.bootstrap.openers import Openers
from app.connections import repository as connections
from app.connections.repository import DestinationRow
from app.db.instants import from_ms, to_ms
from app.db.session import Database
from app.reports.platforms import Ability
from app.reports.spend_read_repository import (
    GatheredSpend,
    SpendOrigin,
    known_time_zone,
    note_spend_error,
    note_spend_read,
    rename_campaigns,
    replace_days,
)
from app.reports.spend_words import NO_ACCOUNT
from app.telemetry.scrub import scrub
from connectors.contract.conversions import Money
from connectors.contract.errors import ConnectorError, Effect, Unavailable, UnexpectedReply
from connectors.contract.spend import ReportsSpend, SpendPage

log = structlog.get_logger()

FIRST_READ = timedelta(days=90)
# Platforms correct the cost of past days, mostly within a week.
READ_AGAIN = timedelta(days=7)
MOST_POLLS = 30
LONGEST_WAIT = timedelta(minutes=1)
MOST_PAGES = 10_000
LONGEST_ERROR = 500
# Before an account has said its zone, its today is at least the day it is where the day begins last.
LAST_ZONE = timezone(timedelta(hours=-12))


class SpendOutcome(StrEnum):
    """`read`: all of it. `unable`: this kind of platform, or a pause, gives none. `no_account`: none is named. `failed`."""

    READ = "read"
    UNABLE = "unable"
    NO_ACCOUNT = "no_account"
    FAILED = "failed"


@dataclass(slots=True)
class SpendRead:
    """What reading one destination came to."""

    destination: str
    outcome: SpendOutcome
    message: str = ""
    rows: int = 0
    first: date | None = None
    last: date | None = None
    totals: dict[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """One line for a person."""
        if self.outcome is not SpendOutcome.READ:
            return f"{self.destination}: {'not read' if self.outcome is not SpendOutcome.FAILED else 'failed'}: {self.message}"
        amounts = [Money(micros, currency) for currency, micros in sorted(self.totals.items())]
        costs = ", ".join(f"{money.quantised():,} {money.currency}" for money in amounts)
        rows = f"{self.rows:,} row{'s' if self.rows != 1 else ''} of spend, {self.first} to {self.last}"
        return f"{self.destination}: {rows}{f': {costs}' if costs else ''}"


class _Stopping(Exception):
    """The process ends; what is left is read next time."""


class _NoAccount(Exception):
    """The settings name no account to read spend of; the message is the connector's."""


@dataclass(slots=True)
class _Course:
    """How one reading stands. `time_zone` is the account's word for it, None where it says none."""

    row: DestinationRow
    connector: ReportsSpend
    origin: SpendOrigin
    time_zone: str | None
    zone: tzinfo
    done: SpendRead
    is_answered: bool = False


@dataclass(frozen=True, slots=True)
class SpendReading:
    """Reads each account that can tell its spend: the last week again, and what came since the last reading."""

    database: Database
    clock: Callable[[], datetime]
    openers: Openers
    stopping: asyncio.Event
    sleep: Callable[[float], Awaitable[None]]

    async def run(self, _now: datetime) -> None:
        """A job: read what every destination's account reports."""
        await self.read()

    async def read(self, name: str | None = None) -> Sequence[SpendRead]:
        """Read one destination, or all; NameUnknown where there is none of the name."""
        async with self.database.read() as connection:
            rows = await connections.list_destinations(connection)
        chosen = [row for row in rows if name in (None, row.name)]
        if name is not None and not chosen:
            raise NameUnknown("destination", name, [row.name for row in rows])
        return [await self._one(row) for row in chosen if not self.stopping.is_set()]

    async def _one(self, row: DestinationRow) -> SpendRead:
        done = SpendRead(row.name, SpendOutcome.READ)
        if Ability.SPEND not in self.openers.abilities(row.kind):
            return _ended(
                done, SpendOutcome.UNABLE, f"{row.kind} reports no spend here; import a file by `leadloop spend import`"
            )
        if row.is_paused(to_ms(self.clock())):
            why = row.pause_reason or "its mode says so"
            return _ended(done, SpendOutcome.UNABLE, f"the destination is paused: {why}; see `leadloop check`")
        try:
            await self._read(row, done)
        except _Stopping:
            return _ended(done, SpendOutcome.UNABLE, "the process ends; the next reading goes on")
        except _NoAccount as lacking:
            log.info("spend.not_read", destination=row.name, message=str(lacking))
            return await self._noted(row, done, SpendOutcome.NO_ACCOUNT, f"{NO_ACCOUNT}{lacking}")
        except Exception as error:  # noqa: BLE001 whatever is wrong with one account, the others are read, and uploads go on
            code = error.code if isinstance(error, ConnectorError) else place(error)
            log.warning("spend.failed", destination=row.name, error=type(error).__name__, code=code)
            return await self._noted(row, done, SpendOutcome.FAILED, told(error))
        log.info("spend.read", destination=row.name, rows=done.rows, first=str(done.first), last=str(done.last))
        return done

    async def _read(self, row: DestinationRow, done: SpendRead) -> None:
        connector = self.openers.stored_destination(row)
        if not isinstance(connector, ReportsSpend):
            raise _NoAccount(f"this connection of {row.kind} reports none")
        began_ms = to_ms(self.clock())
        async with self.database.read() as connection:
            time_zone = await known_time_zone(connection, row.id)
        origin = SpendOrigin(row.id, row.kind, began_ms)
        first = _first_day(row, _zone(time_zone), self.clock())
        course = _Course(row, connector, origin, time_zone, LAST_ZONE if time_zone is None else _zone(time_zone), done)
        done.first = first
        while first <= (today := self.clock().astimezone(course.zone).date()):
            last = min(first + timedelta(days=connector.spend_days - 1), today)
            await self._slice(course, first, last)
            done.last, first = last, last + timedelta(days=1)
        async with self.database.write() as connection:
            await rename_campaigns(connection, origin, today - READ_AGAIN)
            await note_spend_read(connection, row.id, began_ms)

    async def _slice(self, course: _Course, first: date, last: date) -> None:
        """Read some days whole, then put them in place in one transaction: a failure on the way leaves the old ones."""
        with closing(GatheredSpend()) as gathered:
            page: str | None = None
            for _ in range(MOST_PAGES):
                answer = await self._page(course, first, last, page)
                outside = [one.day for one in answer.rows if not first <= one.day <= last]
                if outside:
                    what = f"{course.row.kind} reports spend of {outside[0]}, asked for {first} to {last}"
                    raise UnexpectedReply(what, effect=Effect.NONE, code="spend_day")
                gathered.add(answer.rows)
                course.time_zone = answer.time_zone or course.time_zone
                if answer.next is None:
                    break
                page = answer.next
            else:
                what = f"{course.row.kind} reports spend of {first} to {last} without an end"
                raise UnexpectedReply(what, effect=Effect.NONE, code="spend_pages")
            course.zone = _zone(course.time_zone)
            async with self.database.write() as connection:
                await replace_days(connection, course.origin, first, last, gathered, course.time_zone)
            course.done.rows += gathered.count()
            for money in gathered.totals():
                course.done.totals[money.currency] = course.done.totals.get(money.currency, 0) + money.amount_micros

    async def _page(self, course: _Course, first: date, last: date, page: str | None) -> SpendPage:
        """One page, asked for until the platform has made its report."""
        for number in range(MOST_POLLS):
            if self.stopping.is_set():
                raise _Stopping
            try:
                answer = await course.connector.spend(first, last, page)
            except ValueError as error:
                # What a reply of the platform stumbles over is another ValueError, or comes after the first answer.
                if course.is_answered or type(error) is not ValueError:
                    raise
                raise _NoAccount(str(error)) from error
            course.is_answered = True
            if isinstance(answer, SpendPage):
                return answer
            page = answer.next
            if number < MOST_POLLS - 1:
                await self.sleep(min(answer.wait, LONGEST_WAIT).total_seconds())
        what = f"{course.row.kind} has not made its report of {first} to {last} after {MOST_POLLS} questions; it is asked again"
        raise Unavailable(f"{what} at the next reading", effect=Effect.NONE, code="spend_pending")

    async def _noted(self, row: DestinationRow, done: SpendRead, outcome: SpendOutcome, message: str) -> SpendRead:
        kept = scrub(message)[:LONGEST_ERROR]
        async with self.database.write() as connection:
            await note_spend_error(connection, row.id, kept)
        return _ended(done, outcome, kept)


def _ended(done: SpendRead, outcome: SpendOutcome, message: str) -> SpendRead:
    done.outcome, done.message = outcome, message
    return done


def _first_day(row: DestinationRow, zone: tzinfo, now: datetime) -> date:
    """A week before the last reading (its days may have been corrected since), the first time ninety days back."""
    if row.spend_read_at is None:
        return now.astimezone(zone).date() - FIRST_READ
    return from_ms(row.spend_read_at).astimezone(zone).date() - READ_AGAIN


def _zone(name: str | None) -> tzinfo:
    """UTC where there is none, or where the vendor's word is no IANA name that this machine knows."""
    try:
        return UTC if name is None else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC
