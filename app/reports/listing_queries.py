"""SQL of lists: deliveries and runs by keyset. Each statement looks at a bounded number of rows, whatever the table holds."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, and_, literal_column, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among
from app.db.instants import to_ms
from app.db.tables import conversions, deliveries, destinations, runs, sources
from app.outbox.states import STOPPED_REASONS, DeliveryState

OWED = frozenset({DeliveryState.PENDING, DeliveryState.SENDING})
# Written out, so that both databases see that the partial index serves.
_IS_STOPPED: ColumnElement[bool] = literal_column(
    "deliveries.state IN ('rejected', 'expired', 'uncertain', 'skipped', 'shadowed')"
)

Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries; an empty field asks for all. `since`, `until`: when they came to be owed."""

    states: tuple[DeliveryState, ...] = ()
    reasons: tuple[str, ...] = ()
    code: str | None = None
    destination: str | None = None
    source: str | None = None
    milestone: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    settled_before: datetime | None = None

    @property
    def is_owed_only(self) -> bool:
        """True where only what waits is asked for: it is listed by due time, next first."""
        return bool(self.states) and set(self.states) <= OWED

    @property
    def is_exact(self) -> bool:
        """True where every candidate matches: nothing is asked that an index does not answer."""
        further = (self.code, self.source, self.milestone, self.since, self.until, self.settled_before)
        if any(one is not None for one in further):
            return False
        return self.is_stopped_only or not (self.states or self.reasons or self.destination)

    @property
    def is_stopped_only(self) -> bool:
        """True where the index of stopped deliveries serves."""
        return bool(self.states) and set(self.states) <= set(STOPPED_REASONS)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Keys of deliveries in list order, the id last in each; `is_cut` where the look ended before the list did."""

    keys: list[Key] = field(default_factory=list)
    is_cut: bool = False


async def candidates(connection: AsyncConnection, wanted: DeliveryFilter, after: Key | None, look: int) -> Candidates:
    """The next deliveries that may match, at most `look`. Its own filters are judged by `delivery_rows`."""
    if wanted.is_owed_only:
        found = await _owed(connection, await _destination_ids(connection, wanted.destination), after, look)
        return Candidates(sorted(found)[:look], len(found) >= look)
    if wanted.is_stopped_only:
        found = await _stopped(connection, wanted, after, look)
    else:
        statement = select(deliveries.c.id).order_by(deliveries.c.id.desc()).limit(look)
        if after is not None:
            statement = statement.where(deliveries.c.id < after[-1])
        found = [(row.id,) for row in await connection.execute(statement)]
    return Candidates(sorted(found, reverse=True)[:look], len(found) >= look)


async def _destination_ids(connection: AsyncConnection, name: str | None) -> list[int]:
    statement = select(destinations.c.id).order_by(destinations.c.id)
    if name is not None:
        statement = statement.where(destinations.c.name == name)
    return list((await connection.execute(statement)).scalars())


async def _owed(connection: AsyncConnection, destination_ids: Sequence[int], after: Key | None, look: int) -> list[Key]:
    found: list[Key] = []
    for destination_id in destination_ids:
        statement = (
            select(deliveries.c.due_at, deliveries.c.id)
            .where(deliveries.c.destination_id == destination_id, deliveries.c.due_at.is_not(None))
            .order_by(deliveries.c.due_at, deliveries.c.id)
            .limit(look)
        )
        if after is not None:
            due_at, last = after[0], after[-1]
            later = or_(deliveries.c.due_at > due_at, and_(deliveries.c.due_at == due_at, deliveries.c.id > last))
            statement = statement.where(deliveries.c.due_at >= due_at, later)
        found += [(row.due_at, row.id) for row in await connection.execute(statement)]
    return found


async def _stopped(connection: AsyncConnection, wanted: DeliveryFilter, after: Key | None, look: int) -> list[Key]:
    """One short range of the index for each destination, state and reason."""
    found: list[Key] = []
    pairs = [
        (state, reason)
        for state in dict.fromkeys(wanted.states)
        for reason in STOPPED_REASONS[state]
        if not wanted.reasons or reason in wanted.reasons
    ]
    for destination_id in await _destination_ids(connection, wanted.destination) if pairs else ():
        ranges = []
        for state, reason in pairs:
            one = select(deliveries.c.id).where(
                _IS_STOPPED,
                deliveries.c.destination_id == destination_id,
                deliveries.c.state == state.value,
                deliveries.c.reason == reason.value,
            )
            if after is not None:
                one = one.where(deliveries.c.id < after[-1])
            ranges.append(select(one.order_by(deliveries.c.id.desc()).limit(look).subquery().c.id))
        found += [(row.id,) for row in await connection.execute(union_all(*ranges))]
    return found


async def delivery_rows(connection: AsyncConnection, ids: Collection[int], wanted: DeliveryFilter) -> dict[int, RowMapping]:
    """Those of these deliveries that match, with their conversion's facts and the connections' names."""
    statement = (
        select(
            deliveries,
            conversions.c.uid,
            conversions.c.milestone,
            conversions.c.occurred_at,
            conversions.c.amount_micros,
            conversions.c.currency,
            destinations.c.name.label("destination"),
            sources.c.name.label("source"),
        )
        .join(conversions, conversions.c.id == deliveries.c.conversion_id)
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .join(sources, sources.c.id == deliveries.c.source_id)
        .where(among(connection, deliveries.c.id, list(ids)), *_conditions(wanted))
    )
    return {row["id"]: row for row in (await connection.execute(statement)).mappings()}


def _conditions(wanted: DeliveryFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.states:
        found.append(deliveries.c.state.in_([state.value for state in wanted.states]))
    if wanted.reasons:
        found.append(deliveries.c.reason.in_(wanted.reasons))
    for column, value in (
        (deliveries.c.code, wanted.code),
        (destinations.c.name, wanted.destination),
        (sources.c.name, wanted.source),
        (conversions.c.milestone, wanted.milestone),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.since is not None:
        found.append(deliveries.c.created_at >= to_ms(wanted.since))
    if wanted.until is not None:
        found.append(deliveries.c.created_at < to_ms(wanted.until))
    if wanted.settled_before is not None:
        found.append(deliveries.c.settled_at < to_ms(wanted.settled_before))
    return found


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs; None asks for all."""

    kind: str | None = None
    state: str | None = None
    source: str | None = None
    destination: str | None = None


async def run_rows(
    connection: AsyncConnection, wanted: RunFilter, before: int | None, look: int, limit: int
) -> tuple[list[RowMapping], int | None]:
    """Runs, newest first, among the next `look`; the last id looked at, None where the journal ended."""
    window = select(runs.c.id).order_by(runs.c.id.desc()).limit(look)
    if before is not None:
        window = window.where(runs.c.id < before)
    ids = list((await connection.execute(window)).scalars())
    statement = (
        select(runs, sources.c.name.label("source"), destinations.c.name.label("destination"))
        .join(sources, sources.c.id == runs.c.source_id, isouter=True)
        .join(destinations, destinations.c.id == runs.c.destination_id, isouter=True)
        .where(among(connection, runs.c.id, ids))
        .order_by(runs.c.id.desc())
        .limit(limit)
    )
    for column, value in (
        (runs.c.kind, wanted.kind),
        (runs.c.state, wanted.state),
        (sources.c.name, wanted.source),
        (destinations.c.name, wanted.destination),
    ):
        if value is not None:
            statement = statement.where(column == value)
    rows = list((await connection.execute(statement)).mappings())
    return rows, ids[-1] if len(ids) >= look else None
