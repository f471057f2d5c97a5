"""Replay: try deliveries again, or let a person decide what a try of unknown effect came to. Bounded batches, audited."""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.repository import add_audit
from app.bootstrap.names import unknown_names
from app.bootstrap.services import Services
from app.config import ConnectionMode, Mistake
from app.connections.repository import DestinationRow
from app.db.instants import to_ms
from app.outbox import replay_repository as outbox
from app.outbox.replay import REPLAYED_BY_FILTER, STAYS_SENTENCES, CountAsSent, Reopen, Resolution, Stays, Stopped, judge
from app.outbox.replay_repository import StoppedRow
from app.outbox.states import DeliveryState
from app.reports import listing_queries as queries
from app.reports.cursors import read_cursor, write_cursor
from app.reports.listing_queries import DeliveryFilter, Key
from connectors.contract.conversions import DeliveryKind

BATCH = 1000
MOST_EXAMINED = 50_000

# (source id, destination id, milestone) -> the target that the active mapping names.
Targets = Mapping[tuple[int, int, str], str]
Shadowed = AbstractSet[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """What to replay: these ids, or what matches the filter. `resolution` decides uncertain deliveries, by ids only."""

    ids: tuple[int, ...] = ()
    wanted: DeliveryFilter | None = None
    resolution: Resolution | None = None
    is_dry_run: bool = False
    limit: int = MOST_EXAMINED
    cursor: str | None = None


class ReplayRefused(Exception):
    """An order that cannot be carried out; nothing was changed. `mistakes` have paths like `filter.state`."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Stayed:
    """How many stay as they are, and why."""

    why: str
    sentence: str
    count: int


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay did, or (`dry_run`) would do. With `next` there is more: give it as the `cursor` of the next call."""

    dry_run: bool
    examined: int
    reopened: int
    counted_as_sent: int
    stayed: Sequence[Stayed]
    next: str | None = None

    def text(self) -> str:
        """For a terminal."""
        would = "would be " if self.dry_run else ""
        lines = [
            f"{self.examined} looked at",
            f"{self.reopened} {would}owed again" + ("" if self.dry_run else "; `serve` or `sync` sends them"),
        ]
        if self.counted_as_sent:
            lines.append(f"{self.counted_as_sent} {would}counted as sent")
        return "\n".join([*lines, *(f"{one.count} stay ({one.why}): {one.sentence}" for one in self.stayed)])


@dataclass(slots=True)
class _Tally:
    examined: int = 0
    reopened: int = 0
    counted: int = 0
    stayed: Counter[Stays] = field(default_factory=Counter)


async def replay(services: Services, order: ReplayOrder, *, actor: str) -> ReplayReport:
    """Run a replay batch by batch, each in its own transaction with its line in the audit log; then ring the bell.

    ReplayRefused where the order names what is not there or not in reach.
    """
    mistakes = [*_order_mistakes(order), *await _name_mistakes(services, order)]
    if mistakes:
        raise ReplayRefused(mistakes)
    services.contexts.forget()  # what another process changed a moment ago counts for a person's order
    work = _Work(services, order, actor, *await _mapped(services))
    going_on: Key | None = None
    if order.wanted is None:
        for start in range(0, len(order.ids), BATCH):
            await work.batch(order.ids[start : start + BATCH])
    else:
        going_on = await work.by_filter(order.wanted, None if order.cursor is None else read_cursor(order.cursor, 1))
    tally = work.tally
    if tally.reopened and not order.is_dry_run:
        services.bell.ring()
    return ReplayReport(
        dry_run=order.is_dry_run,
        examined=tally.examined,
        reopened=tally.reopened,
        counted_as_sent=tally.counted,
        stayed=[Stayed(why.value, STAYS_SENTENCES[why], count) for why, count in sorted(tally.stayed.items())],
        next=None if going_on is None else write_cursor(going_on),
    )


async def replay_all(services: Services, order: ReplayOrder, *, actor: str) -> ReplayReport:
    """Call after call until nothing is left to look at, as one report."""
    whole = await replay(services, order, actor=actor)
    while whole.next is not None:
        one = await replay(services, replace(order, cursor=whole.next), actor=actor)
        stayed = Counter({stay.why: stay.count for stay in whole.stayed}) + Counter({stay.why: stay.count for stay in one.stayed})
        whole = ReplayReport(
            dry_run=one.dry_run,
            examined=whole.examined + one.examined,
            reopened=whole.reopened + one.reopened,
            counted_as_sent=whole.counted_as_sent + one.counted_as_sent,
            stayed=[Stayed(why, STAYS_SENTENCES[Stays(why)], count) for why, count in sorted(stayed.items())],
            next=one.next,
        )
    return whole


def _order_mistakes(order: ReplayOrder) -> list[Mistake]:
    if bool(order.ids) == (order.wanted is not None):
        return [Mistake("", "give either ids or a filter with at least a state")]
    if order.resolution is not None and not order.ids:
        return [Mistake("resolution", "is a decision on single deliveries: name their ids")]
    states = order.wanted.states if order.wanted is not None else ()
    if order.wanted is not None and not states:
        return [Mistake("filter.state", f"is needed: one or more of {', '.join(REPLAYED_BY_FILTER)}")]
    if DeliveryState.UNCERTAIN in states:
        return [Mistake("filter.state", "`uncertain` deliveries are decided one by one: name their ids and a resolution")]
    wrong = next((state for state in states if state not in REPLAYED_BY_FILTER), None)
    if wrong is None:
        return []
    return [Mistake("filter.state", f"`{wrong}` is not replayed; there are {', '.join(REPLAYED_BY_FILTER)}")]


async def _name_mistakes(services: Services, order: ReplayOrder) -> list[Mistake]:
    """A mistyped name must not look like an empty list."""
    if order.wanted is None:
        return []
    return await unknown_names(services, source=order.wanted.source, destination=order.wanted.destination, place="filter")


async def _mapped(services: Services) -> tuple[Targets, Shadowed]:
    """By source, destination and milestone, the target; and which of them are only shown."""
    targets: dict[tuple[int, int, str], str] = {}
    shadowed: set[tuple[int, int, str]] = set()
    for row in await services.sources():
        context = await services.contexts.of_source(row)
        for terms in context.destinations if context is not None else ():
            targets |= {(row.id, terms.id, name): target for name, target in terms.targets.items()}
            shadowed |= {(row.id, terms.id, name) for name in terms.shadowed}
    return targets, shadowed


class _Work:
    """One replay on its way."""

    def __init__(self, services: Services, order: ReplayOrder, actor: str, targets: Targets, shadowed: Shadowed) -> None:
        self._shadowed = shadowed
        self.tally = _Tally()
        self._services = services
        self._order = order
        self._actor = actor
        self._targets = targets
        self._destinations: dict[int, DestinationRow] = {}

    async def by_filter(self, wanted: DeliveryFilter, after: Key | None) -> Key | None:
        """Go through what matches, newest first; the key to go on from where the limit of this call was reached."""
        while self.tally.examined < self._order.limit:
            look = min(BATCH, self._order.limit - self.tally.examined)
            async with self._services.database.read_long() as connection:
                found = await queries.candidates(connection, wanted, after, look)
                rows = await queries.delivery_rows(connection, [key[-1] for key in found.keys], wanted)
            await self.batch([key[-1] for key in found.keys if key[-1] in rows], examined=len(found.keys))
            if not found.is_cut:
                return None
            after = found.keys[-1]
        return after

    async def batch(self, ids: Sequence[int], *, examined: int | None = None) -> None:
        """Judge and change a batch, all of it or nothing."""
        self.tally.examined += len(ids) if examined is None else examined
        self._destinations = {row.id: row for row in await self._services.destinations()}
        now = self._services.clock()
        database = self._services.database
        if self._order.is_dry_run:
            async with database.read_long() as connection:
                await self._judge(await outbox.stopped_rows(connection, ids, lock=False), ids, now, None)
        else:
            async with database.write() as connection:
                await self._judge(await outbox.stopped_rows(connection, ids, lock=True), ids, now, connection)

    async def _judge(
        self, rows: Sequence[StoppedRow], ids: Sequence[int], now: datetime, connection: AsyncConnection | None
    ) -> None:
        opened: list[tuple[StoppedRow, Reopen]] = []
        counted: list[int] = []
        self.tally.stayed[Stays.UNKNOWN_ID] += len(set(ids)) - len(rows)
        for row in rows:
            decision = judge(self._stopped(row), self._order.resolution, now)
            match decision:
                case Reopen():
                    opened.append((row, decision))
                case CountAsSent():
                    counted.append(row.id)
                case Stays():
                    self.tally.stayed[decision] += 1
        self.tally.stayed = +self.tally.stayed
        self.tally.reopened += len(opened)
        self.tally.counted += len(counted)
        if connection is not None and (opened or counted):
            await outbox.reopen(connection, opened, to_ms(now))
            await outbox.count_as_sent(connection, counted, to_ms(now))
            await self._note(connection, opened, counted, now)

    def _stopped(self, row: StoppedRow) -> Stopped:
        destination = self._destinations[row.destination_id]
        deadline = row.deadline_at
        if row.kind == DeliveryKind.UPLOAD.value:
            deadline = row.occurred_at + self._services.openers.limits(destination.kind).longest_age
        return row.as_stopped(
            mapped_target=self._targets.get((row.source_id, row.destination_id, row.milestone)),
            latest_deadline=deadline,
            is_shadow=destination.mode is ConnectionMode.SHADOW
            or (row.source_id, row.destination_id, row.milestone) in self._shadowed,
        )

    async def _note(
        self, connection: AsyncConnection, opened: Sequence[tuple[StoppedRow, Reopen]], counted: Sequence[int], now: datetime
    ) -> None:
        """Uncertain deliveries are named one by one: their fate was a person's decision."""
        detail: dict[str, object] = {"reopened": len(opened), "counted_as_sent": len(counted)}
        if self._order.resolution is not None:
            detail |= {"resolution": self._order.resolution.value, "ids": [*(row.id for row, _ in opened), *counted]}
        subject = "ids" if self._order.wanted is None else _subject(self._order.wanted)
        await add_audit(
            connection, actor=self._actor, action="deliveries.replayed", subject=subject, detail=detail, now_ms=to_ms(now)
        )


def _subject(wanted: DeliveryFilter) -> str:
    """The filter as text, for the audit log."""
    parts = {
        "state": list(wanted.states),
        "reason": list(wanted.reasons),
        "code": wanted.code,
        "destination": wanted.destination,
        "source": wanted.source,
        "milestone": wanted.milestone,
        "before": wanted.settled_before,
    }
    return orjson.dumps({name: value for name, value in parts.items() if value}, option=orjson.OPT_SORT_KEYS).decode()
