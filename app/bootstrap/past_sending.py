"""Sending the past: what stands before the start is planned, and made owed on a person's word. Bounded batches, audited."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.repository import add_audit
from app.bootstrap.backfilling import BackfillRefused, told_date
from app.bootstrap.foreseeing import SENDABLE, WAITS, foresee
from app.bootstrap.services import Services
from app.db.instants import to_ms
from app.dispatch.model import OpenDestination, SourceTerms
from app.ingest.context import SourceContext
from app.ingest.pull_lease import PULL_LEASE_MS, LeaseLost, PullLease, SourceBusy, waited_lease
from app.leases.repository import renew
from app.outbox import replay_repository as outbox
from app.outbox.replay import STAYS_SENTENCES, Reopen, Stays, Stopped, judge_past
from app.outbox.replay_repository import StoppedRow
from app.outbox.states import REASON_SENTENCES, Reason

BATCH = 500
SENTENCES: Mapping[str, str] = {
    SENDABLE: "goes once you say so",
    WAITS: "is owed once you say so, and goes when its value, rate or person is known",
}

Tally = dict[str, Counter[str]]


@dataclass(frozen=True, slots=True)
class PastPlan:
    """By destination: how many of the past would go, and why the others would not."""

    since: datetime
    by_destination: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def owable(self) -> int:
        """How many would be owed."""
        return sum(counts.get(SENDABLE, 0) + counts.get(WAITS, 0) for counts in self.by_destination.values())

    @property
    def total(self) -> int:
        """How many were looked at."""
        return sum(sum(counts.values()) for counts in self.by_destination.values())


def sentence_of(outcome: str) -> str:
    """What an outcome of a plan means."""
    if outcome in SENTENCES:
        return SENTENCES[outcome]
    if outcome in set(Stays):
        return STAYS_SENTENCES[Stays(outcome)]
    return REASON_SENTENCES[Reason(outcome)]


class PastSending:
    """The past of one source, from an instant on."""

    def __init__(self, services: Services, source: SourceContext, since: datetime, actor: str) -> None:
        self._services = services
        self._source = source
        self._since = since
        self._actor = actor
        # Its own: a poll of this very process must be kept out, and not be let go of.
        self._holder = f"{services.holder}:{uuid.uuid4().hex[:8]}"
        self._targets = {(one.id, name): text for one in source.destinations for name, text in one.targets.items()}

    async def plan(self) -> PastPlan:
        """What would go, by the very decision that a claim takes. What was never owed is filed first, and sends nothing."""
        await self._file()
        destinations = {one.id: await self._services.openers.open_destination(one.id) for one in self._source.destinations}
        source_terms = await self._services.contexts.terms_of(self._source.id)
        tally: Tally = {one.name: Counter() for one in self._source.destinations}
        now, after = self._services.clock(), None
        while True:
            async with self._services.database.read_long() as connection:
                ids, after = await self._next(connection, after, now)
                await self._foresee(connection, ids, destinations, source_terms, tally, now)
            if after is None:
                return PastPlan(self._since, tally)

    async def send(self) -> tuple[int, Mapping[str, int]]:
        """Make owed what may be; batch by batch, so that what was cut off goes on when it is asked for again.

        How many, and why the others stay. Each batch leaves a line in the audit log.
        """
        opened, stayed = 0, Counter[str]()
        now, after = self._services.clock(), None
        while True:  # the lease is let go after each batch, so that polls come in between
            async with self._leased() as lease, self._services.database.write() as connection:
                await self._hold(connection, lease)
                ids, after = await self._next(connection, after, now)
                opened += await self._reopen(connection, ids, stayed)
            self._services.bell.ring()
            if after is None:
                return opened, dict(+stayed)

    async def _file(self) -> None:
        after: tuple[int, int] | None = None
        while True:
            async with self._leased() as lease:
                _, after = await self._services.backfills.backfiller.owe_past(self._source, self._since, after, lease)
            if after is None:
                return

    async def _next(
        self, connection: AsyncConnection, after: tuple[int, int] | None, now: datetime
    ) -> tuple[list[int], tuple[int, int] | None]:
        return await outbox.past_uploads(connection, self._source.id, to_ms(self._since), to_ms(now), after, BATCH)

    async def _foresee(
        self,
        connection: AsyncConnection,
        ids: Sequence[int],
        destinations: Mapping[int, OpenDestination],
        source_terms: SourceTerms,
        tally: Tally,
        now: datetime,
    ) -> None:
        going: dict[int, tuple[int, Reopen]] = {}
        for row in await outbox.stopped_rows(connection, ids, lock=False):
            if row.destination_id not in destinations:
                continue  # the mapping does not name it any more
            decision = judge_past(self._stopped(row), now)
            if isinstance(decision, Reopen):
                going[row.id] = (row.destination_id, decision)
            elif isinstance(decision, Stays):
                tally[destinations[row.destination_id].name][decision.value] += 1
        wanted = {key: destination_id for key, (destination_id, _) in going.items()}
        deadlines = {key: reopened.deadline_at for key, (_, reopened) in going.items()}
        for one in await foresee(connection, wanted, destinations, source_terms, now, deadlines):
            tally[one.destination.name][one.outcome] += 1

    async def _reopen(self, connection: AsyncConnection, ids: Sequence[int], stayed: Counter[str]) -> int:
        now = self._services.clock()
        opened: list[tuple[StoppedRow, Reopen]] = []
        for row in await outbox.stopped_rows(connection, ids, lock=True):
            decision = judge_past(self._stopped(row), now)
            if isinstance(decision, Reopen):
                opened.append((row, decision))
            elif isinstance(decision, Stays):
                stayed[decision.value] += 1
        if not opened:
            return 0
        await outbox.reopen(connection, opened, to_ms(now))
        await add_audit(
            connection,
            actor=self._actor,
            action="past.sent",
            subject=self._source.name,
            detail={"since": told_date(self._since), "reopened": len(opened)},
            now_ms=to_ms(now),
        )
        return len(opened)

    def _stopped(self, row: StoppedRow) -> Stopped:
        place = next((one for one in self._source.destinations if one.id == row.destination_id), None)
        deadline = row.deadline_at if place is None else row.occurred_at + place.limits.longest_age
        return row.as_stopped(
            mapped_target=self._targets.get((row.destination_id, row.milestone)),
            latest_deadline=deadline,
            is_shadow=place is not None and row.milestone in place.shadowed,
        )

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[PullLease]:
        """The source's lease, waited for: whoever reads it now lets go after its turn."""
        services = self._services
        try:
            async with waited_lease(services.database, self._source.id, self._holder, services.clock, asyncio.sleep) as lease:
                yield lease
        except SourceBusy as busy:
            raise BackfillRefused(f"another process reads {self._source.name} all the time; try again later") from busy

    async def _hold(self, connection: AsyncConnection, lease: PullLease) -> None:
        now_ms = to_ms(self._services.clock())
        if not await renew(connection, lease.name, lease.holder, lease.fence, now_ms, PULL_LEASE_MS):
            raise LeaseLost(lease.name)
