"""`leadloop backfill SOURCE --since DATE [--send]`: reads the past of a CRM, or follows the server that does; then sends it."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.bootstrap.backfilling import BackfillRefused, BackfillState, told_date
from app.bootstrap.past_sending import PastPlan, PastSending, sentence_of
from app.bootstrap.rounds import CLOCK_IS_OFF
from app.bootstrap.services import Services
from app.bootstrap.serving import is_served
from app.connections.repository import SourceRow
from app.db.instants import optional_from_ms
from app.ingest.context import SourceContext
from app.ingest.poller import TURN, Pulled
from app.ingest.pull_lease import PULL_LEASE_MS, LeaseLost
from connectors.contract.errors import AuthenticationFailed, ConnectorError

FOLLOWS_EVERY_SECONDS = 1.0
TELLS_EVERY = timedelta(seconds=10)
MOST_FAILURES = 5
LONGEST_PAUSE = timedelta(minutes=10)
INTERRUPTED = 130
WAITS = f"this waits until it lets go, at most {PULL_LEASE_MS // 60_000} minutes after a kill"

Since = Annotated[str, typer.Option(help="Read what was modified since this day or instant: 2025-01-01, 2025-01-01T09:00:00Z.")]
Send = Annotated[bool, typer.Option("--send", help="Then show what of it could be sent, ask, and send it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Send without asking.")]
Restart = Annotated[bool, typer.Option("--restart", help="Give up a backfill that is under way or done, and begin anew.")]


@dataclass(frozen=True, slots=True)
class Order:
    """What was typed."""

    source: str
    since: str
    sends: bool
    is_agreed: bool
    restarts: bool

    @property
    def again(self) -> str:
        """The same command line, to go on."""
        return f"leadloop backfill {self.source} --since {self.since}" + (" --send" if self.sends else "")


def backfill_command(open_up: Callable[[], Awaitable[Services]]) -> Callable[..., None]:
    """The command, on services that `open_up` opens."""

    def backfill(
        source: Annotated[str, typer.Argument(help="The source's name.")],
        *,
        since: Since,
        send: Send = False,
        yes: Yes = False,
        restart: Restart = False,
    ) -> None:
        """Read the past of a CRM; can be stopped and goes on where it was. Nothing is sent without --send."""
        order = Order(source, since, send, yes, restart)
        try:
            code = asyncio.run(run_order(open_up, order))
        except KeyboardInterrupt:
            typer.echo(f"stopped; all that was read is kept. Go on with: {order.again}", err=True)
            code = INTERRUPTED
        raise typer.Exit(code)

    return backfill


async def run_order(open_up: Callable[[], Awaitable[Services]], order: Order) -> int:
    """Read, or follow the server that reads; then, where it was asked for, plan and send. The exit code."""
    since = instant_of(order.since)
    services = await open_up()
    try:
        if services.guard is not None and not await services.guard.is_in_time():
            raise BackfillRefused(CLOCK_IS_OFF)
        row, context = await services.backfills.source(order.source)
        asked = await services.backfills.ask(context, since, restarts=order.restarts)
        console = Console(highlight=False, markup=False)
        served = await is_served(services)
        _tell_plan(console, context, asked, is_served=served)
        if not asked.is_done:
            failure = await _Reading(services, row, console).to_the_end()
            if failure is not None:
                typer.echo(f"stuck: {failure}\nall that was read is kept. Go on with: {order.again}", err=True)
                return 1
        await _tell_summary(services, console, row, context, order)
        return await _send(services, console, context, since, order) if order.sends else 0
    except LeaseLost:
        typer.echo(f"another process writes for {order.source} now. Go on with: {order.again}", err=True)
        return 1
    finally:
        await services.close()


def instant_of(text: str) -> datetime:
    """A day as UTC midnight, or an instant with its zone."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)", text, re.ASCII):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BackfillRefused(f"--since {text} is no day; write it like 2025-01-01, or with its time and zone 2025-01-01T09:00:00Z")


def _tell_plan(console: Console, context: SourceContext, asked: BackfillState, *, is_served: bool) -> None:
    kinds = ", ".join(f"{one.kind}s" for one in asked.kinds)
    say = partial(console.print, soft_wrap=True)
    say(f"{context.name}: {kinds} modified since {told_date(asked.since)}, people before deals")
    if asked.is_done:
        done_at = max(one.done_at for one in asked.kinds if one.done_at is not None)
        say(f"read already, {done_at:%Y-%m-%d %H:%M} UTC; --restart reads it again")
    elif asked.total("pages"):
        say(f"goes on at {asked.share:.0%}: {asked.total('seen'):,} seen so far")
    if is_served and not asked.is_done:
        console.print(
            "the server that runs on this database reads it, in turns among its polls; this follows it and may be stopped"
        )
    if context.start > asked.since:
        say(f"entries before {told_date(context.start)} (the mapping's start) are known and reported, not sent")


class _Reading:
    """Reads turn by turn, or watches the server do it, with a bar on a terminal and plain lines elsewhere."""

    def __init__(self, services: Services, row: SourceRow, console: Console) -> None:
        self._services = services
        self._row = row
        self._console = console
        self._failures = 0
        self._pages = -1
        self._has_told_busy = False

    async def to_the_end(self) -> str | None:
        """Until all is read: None, or why it is stuck."""
        with _Shown(self._console) as shown:
            while True:
                state = await self._services.backfills.state(self._row.id)
                if state is None:
                    return "the backfill was taken back"
                shown.show(state, self._services.clock())
                if state.is_done:
                    return None
                failure = await self._step(state, shown)
                if failure is not None:
                    return failure

    async def _step(self, state: BackfillState, shown: "_Shown") -> str | None:
        if state.total("pages") != self._pages:
            self._pages, self._failures = state.total("pages"), 0
        if await is_served(self._services):
            return await self._follow(state)
        try:
            pulled = await self._turn(shown)
        except LeaseLost:  # another process took over, or a new backfill was asked for
            await self._services.sleep(FOLLOWS_EVERY_SECONDS)
            return None
        except ConnectorError as error:
            self._failures += 1
            return error.message if isinstance(error, AuthenticationFailed) else await self._wait_out(error.message)
        if pulled.is_busy:
            self._tell_busy()
            await self._services.sleep(FOLLOWS_EVERY_SECONDS)
        return None

    def _tell_busy(self) -> None:
        """Once: a process that was killed keeps its lease for minutes, in which nothing is seen to move."""
        if not self._has_told_busy:
            self._has_told_busy = True
            self._console.print(f"another process reads {self._row.name} now, or was killed as it did; {WAITS}", soft_wrap=True)

    async def _turn(self, shown: "_Shown") -> Pulled:
        """A turn of this process, seen while it runs; who stops the command stops it before its next page."""
        turn = asyncio.create_task(self._services.backfills.turn(self._row, budget=TURN))
        try:
            while not (await asyncio.wait({turn}, timeout=FOLLOWS_EVERY_SECONDS))[0]:
                state = await self._services.backfills.state(self._row.id)
                if state is not None:
                    shown.show(state, self._services.clock())
        finally:
            turn.cancel()
            await asyncio.wait({turn})
        return turn.result()

    async def _follow(self, state: BackfillState) -> str | None:
        source, until = await self._pause()
        if source is not None and until is None:
            return f"{source}; run `leadloop check` and follow what it says"
        await self._services.sleep(FOLLOWS_EVERY_SECONDS)
        if state.error is None:
            self._failures = 0
            return None
        self._failures += 1
        is_stuck = self._failures * FOLLOWS_EVERY_SECONDS > LONGEST_PAUSE.total_seconds()
        return state.error if is_stuck else None

    async def _wait_out(self, message: str) -> str | None:
        """After a failed call: wait for the pause that it asked for, where it is short and does not come again and again."""
        reason, until = await self._pause()
        now = self._services.clock()
        if (reason is not None and until is None) or self._failures >= MOST_FAILURES:
            return message
        pause = timedelta(0) if until is None else until - now
        if pause > LONGEST_PAUSE:
            return f"{message}; it may go on after {until:%Y-%m-%d %H:%M} UTC"
        await self._services.sleep(max(pause.total_seconds(), 0.0))
        return None

    async def _pause(self) -> tuple[str | None, datetime | None]:
        row = next((one for one in await self._services.sources() if one.id == self._row.id), None)
        if row is None:
            return "the source is gone", None
        if row.pause_reason is None:
            return None, None
        return f"{row.name} is paused: {row.pause_reason}", optional_from_ms(row.paused_until)


class _Shown:
    """What is seen of the progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told_at: datetime | None = None
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, state: BackfillState, now: datetime) -> None:
        """The present state: at once on a terminal, now and then elsewhere."""
        text = _line(state)
        if self._bar is not None:
            self._bar.update(self._task, completed=state.share, description=text)
        elif self._told_at is None or now - self._told_at >= TELLS_EVERY or state.is_done:
            self._told_at = now
            self._console.print(f"{state.share:4.0%} {text}", soft_wrap=True)
            sys.stdout.flush()


def _line(state: BackfillState) -> str:
    where = state.at
    place = f" at {where.position:%Y-%m-%d}" if where.position is not None and not state.is_done else ""
    failed = f"; {state.error}" if state.error else ""
    counts = f"{state.total('pages'):,} pages, {state.total('seen'):,} seen, {state.total('conversions'):,} conversions found"
    return f"{where.kind}s{place}: {counts}{failed}"


async def _tell_summary(services: Services, console: Console, row: SourceRow, context: SourceContext, order: Order) -> None:
    state = await services.backfills.state(row.id)
    if state is None:
        return
    for one in state.kinds:
        console.print(f"{one.kind}s: {one.seen:,} seen, {one.records:,} read and stored, {one.conversions:,} new conversions")
    if context.start > state.since and not order.sends:
        console.print("nothing from before the start was sent; --send shows what could be")


async def _send(services: Services, console: Console, context: SourceContext, since: datetime, order: Order) -> int:
    past = PastSending(services, context, since, "cli")
    plan = await past.plan()
    if not plan.total:
        console.print("nothing from before the start waits to be sent")
        return 0
    console.print(_plan_table(plan))
    if not plan.owable:
        console.print("none of it can be sent")
        return 0
    question = f"Owe {plan.owable:,} deliveries to the ad platforms now? What they accept cannot be taken back by Leadloop."
    if not order.is_agreed and not (sys.stdin.isatty() and typer.confirm(question)):
        console.print(f"nothing was sent; say it with: {order.again} --yes", soft_wrap=True)
        return 0
    opened, stayed = await past.send()
    console.print(f"{opened:,} owed; `serve` or `sync` sends them, and judges each anew")
    for why, count in sorted(stayed.items()):
        console.print(f"{count:,} stay ({why}): {sentence_of(why)}", soft_wrap=True)
    return 0


def _plan_table(plan: PastPlan) -> Table:
    table = Table(title=f"From {told_date(plan.since)} on, not sent as it was before the start", title_justify="left")
    for name, justify in (("destination", "left"), ("deliveries", "right"), ("what", "left"), ("why", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for destination, counts in sorted(plan.by_destination.items()):
        for outcome, count in sorted(counts.items(), key=lambda one: (one[0] != "sendable", one[0])):
            table.add_row(destination, f"{count:,}", outcome, sentence_of(outcome))
    return table
