"""The loop that drains one destination: claim, decide, send, settle; no network inside a transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.connections import repository as connections
from app.connections.repository import Role
from app.db.ids import take_ids
from app.db.instants import to_ms
from app.db.session import Database
from app.dispatch.batching import batches, halves
from app.dispatch.model import Destinations, DrainSummary, OpenDestination, Ready
from app.dispatch.model import Terms as MappingTerms
from app.dispatch.people import candidates_of, sealed_identities
from app.dispatch.rows import chosen, content, identifiers, identity, owed, terms, upload_row
from app.leases.repository import acquire, release
from app.outbox import repository as outbox
from app.outbox.policy import Candidate, Send, Stop, Wait, decide, pause_until, settle
from app.outbox.repository import ClaimedRow
from app.outbox.states import DeliveryState, Reason
from connectors.contract.errors import ConnectorError, Effect, UnexpectedReply
from connectors.contract.results import Accepted, AlreadyThere, NotProcessed, Rejected, Retry, TargetRefused, UploadResult

log = structlog.get_logger()

LEASE = timedelta(minutes=10)
Waiting = tuple[int, DeliveryState, Reason, datetime | None]


class Opener(Protocol):
    """Opens what was sealed."""

    def open(self, sealed: bytes) -> bytes:
        """The plain bytes."""
        ...


class Dispatcher:
    """Drains destinations. One drainer per destination at a time (lease `drain:<id>`)."""

    def __init__(
        self,
        database: Database,
        destinations: Destinations,
        opener: Opener,
        clock: Callable[[], datetime],
        holder: str,
        terms: MappingTerms,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._opener = opener
        self._clock = clock
        self._holder = holder
        self._terms = terms
        self._is_stopping = is_stopping

    async def drain(self, destination_id: int) -> DrainSummary:
        """Send what is due until nothing is; a failure of the whole call pauses the connection and ends the drain."""
        summary = DrainSummary()
        try:
            while not self._is_stopping() and await self._round(
                await self._destinations.open_destination(destination_id), summary
            ):
                pass
        finally:
            if not summary.is_busy:
                async with self._database.write() as connection:
                    await release(connection, _lease(destination_id), self._holder)
        return summary

    async def _hold(self, connection: AsyncConnection, name: str) -> bool:
        """Take or renew the lease; False where another drainer took over, whose rows must not be touched."""
        now_ms = to_ms(self._clock())
        return await acquire(connection, name, self._holder, now_ms, int(LEASE.total_seconds() * 1000)) is not None

    async def _round(self, destination: OpenDestination, summary: DrainSummary) -> bool:
        """Claim once and send what may go; True where more may be due."""
        now = self._clock()
        limits = destination.connector.limits
        async with self._database.write() as connection:
            if not await self._hold(connection, _lease(destination.id)):
                summary.is_busy = True
                return False
            claim_id = await take_ids(connection, 2)
            rows = await outbox.claim(
                connection,
                destination.id,
                now_ms=to_ms(now),
                lease_end_ms=to_ms(now + LEASE),
                upload_id=claim_id,
                limit=limits.rows,
            )
            ready, waiting = await self._decide(connection, destination, rows, now)
            await outbox.put_back(connection, claim_id, waiting, to_ms(now))
            size = min(limits.rows, destination.batch_rows or limits.usual_rows)
            work = batches(ready, most_rows=size, most_targets=limits.targets)
            if work:
                await self._open_upload(connection, destination, claim_id + 1, work[0], now)
        summary.waiting += sum(due is not None for _, _, _, due in waiting)
        summary.stopped += sum(due is None for _, _, _, due in waiting)
        await self._work_off(destination, work, claim_id + 1, summary)
        return len(rows) == limits.rows and not summary.failure and not summary.is_busy

    async def _work_off(
        self, destination: OpenDestination, work: list[list[Ready]], first_upload_id: int, summary: DrainSummary
    ) -> None:
        """Send batch after batch; the first one's upload was opened with the claim."""
        upload_id: int | None = first_upload_id
        while work and not summary.is_busy:
            batch = work.pop(0)
            if summary.failure or (upload_id is None and self._is_stopping()):
                await self._give_back(batch)
                continue
            upload_id = upload_id or await self._begin(destination, batch, summary)
            if upload_id is not None:
                work[:0] = await self._send(destination, upload_id, batch, summary)
            upload_id = None

    async def _begin(self, destination: OpenDestination, batch: Sequence[Ready], summary: DrainSummary) -> int | None:
        """Open a further upload; None where another drainer took over."""
        async with self._database.write() as connection:
            if not await self._hold(connection, _lease(destination.id)):
                log.warning("lease.lost", destination=destination.name, unsent=len(batch))
                summary.is_busy = True
                return None
            upload_id = await take_ids(connection, 1)
            await self._open_upload(connection, destination, upload_id, batch, self._clock())
        return upload_id

    async def _open_upload(
        self, connection: AsyncConnection, destination: OpenDestination, upload_id: int, batch: Sequence[Ready], now: datetime
    ) -> None:
        """What is about to be sent is written first: the upload, and the frozen content of each row."""
        await outbox.open_upload(connection, upload_id, destination.id, to_ms(now), len(batch))
        await outbox.freeze(connection, [chosen(one) for one in batch], upload_id, to_ms(now + LEASE))

    async def _decide(
        self, connection: AsyncConnection, destination: OpenDestination, rows: Sequence[ClaimedRow], now: datetime
    ) -> tuple[list[Ready], list[Waiting]]:
        people = await candidates_of(connection, rows)
        sources = {source_id: await self._terms.terms_of(source_id) for source_id in {row.source_id for row in rows}}
        going: list[tuple[ClaimedRow, Candidate, str]] = []
        waiting: list[Waiting] = []
        for row in rows:
            decision = decide(owed(row), people[row.id], terms(row, destination, sources[row.source_id]), now)
            match decision:
                case Send(person, why):
                    going.append((row, person, why))
                case Wait(until, why):
                    waiting.append((row.id, DeliveryState.PENDING, why, until))
                case Stop(state, why):
                    waiting.append((row.id, state, why, None))
        wanted = {identity(row, person) for row, person, _ in going} - {None}
        sealed = await sealed_identities(connection, sorted(one for one in wanted if one is not None))
        ready = []
        for row, person, why in going:
            payload = sealed.get(identity(row, person) or 0)
            known = {} if payload is None else identifiers(self._opener.open(payload))
            ready.append(Ready(row, person, why, content(row), known, sources[row.source_id].kind))
        return ready, waiting

    async def _send(
        self, destination: OpenDestination, upload_id: int, batch: list[Ready], summary: DrainSummary
    ) -> list[list[Ready]]:
        """One request; what is left to send of it, split, where the platform processed nothing because of a neighbour."""
        summary.requests += 1
        results: Sequence[UploadResult]
        try:
            results = await destination.connector.upload([upload_row(one) for one in batch], self._clock())
            if len(results) != len(batch):
                raise UnexpectedReply(
                    f"{destination.name} answered {len(results)} results for {len(batch)} rows", effect=Effect.UNKNOWN
                )
        except ConnectorError as error:
            await self._failed(destination, upload_id, batch, error, summary)
            return []
        named = any(not isinstance(result, NotProcessed) for result in results)
        again = [one for one, result in zip(batch, results, strict=True) if isinstance(result, NotProcessed)]
        if len(again) == 1 and not named:
            code = next(result.code for result in results if isinstance(result, NotProcessed))
            results, again = [Retry(code or "not_processed")], []
        await self._settle(destination, upload_id, batch, results, summary)
        if not again:
            return []
        return [again] if named else halves(again)

    async def _settle(
        self,
        destination: OpenDestination,
        upload_id: int,
        batch: Sequence[Ready],
        results: Sequence[UploadResult],
        summary: DrainSummary,
    ) -> None:
        now = self._clock()
        pairs = [(one, result) for one, result in zip(batch, results, strict=True) if not isinstance(result, NotProcessed)]
        settled = [
            (one.row, settle(one.row.counted, one.row.due_before, one.row.deadline_at, result, now)) for one, result in pairs
        ]
        accepted = sum(isinstance(result, Accepted | AlreadyThere) for _, result in pairs)
        rejected = sum(isinstance(result, Rejected) for _, result in pairs)
        receipt = next((one.receipt for one in results if isinstance(one, Accepted) and one.receipt is not None), None)
        after = destination.connector.limits.verdict_after
        async with self._database.write() as connection:
            await outbox.close_upload(
                connection,
                upload_id,
                now_ms=to_ms(now),
                accepted=accepted,
                rejected=rejected,
                receipt=receipt,
                verdict_due_ms=to_ms(now + after) if receipt is not None and after is not None else None,
            )
            written = await outbox.settle(connection, upload_id, settled, to_ms(now))
            for one, result in pairs:
                if isinstance(result, TargetRefused):
                    await connections.pause_target(connection, destination.id, one.row.target, result.code, to_ms(now))
        if written < len(settled):
            log.warning("lease.lost", destination=destination.name, settled=written, sent=len(settled))
        summary.sent += len(pairs)
        summary.accepted += accepted
        summary.rejected += rejected

    async def _failed(
        self, destination: OpenDestination, upload_id: int, batch: Sequence[Ready], error: ConnectorError, summary: DrainSummary
    ) -> None:
        """The whole call failed: nothing is lost, the connection is paused as the failure says."""
        now = self._clock()
        until = pause_until(error, now)
        # A reply that does not add up may be one row's doing: until it is found, fewer go together each time.
        halved = max(1, len(batch) // 2) if isinstance(error, UnexpectedReply) and error.effect is Effect.UNKNOWN else None
        settled = [(one.row, settle(one.row.counted, one.row.due_before, one.row.deadline_at, error, now)) for one in batch]
        async with self._database.write() as connection:
            await outbox.close_upload(
                connection, upload_id, now_ms=to_ms(now), accepted=0, rejected=0, receipt=None, verdict_due_ms=None
            )
            await outbox.settle(connection, upload_id, settled, to_ms(now), most_together=halved)
            reason = error.code or type(error).__name__
            await connections.pause(connection, Role.DESTINATION, destination.id, reason, None if until is None else to_ms(until))
        log.warning(
            "upload.failed", destination=destination.name, code=error.code, effect=str(error.effect), message=error.message
        )
        summary.failure = error.message
        summary.paused_until = until

    async def _give_back(self, batch: Sequence[Ready]) -> None:
        """Rows that were claimed but not tried are pending as before."""
        now = self._clock()
        back: list[Waiting] = [(one.row.id, DeliveryState.PENDING, Reason.PAUSED, one.row.due_before) for one in batch]
        async with self._database.write() as connection:
            claim_id = await take_ids(connection, 1)
            await outbox.regroup(connection, [one.row.id for one in batch], claim_id)
            await outbox.put_back(connection, claim_id, back, to_ms(now))


def _lease(destination_id: int) -> str:
    return f"drain:{destination_id}"
