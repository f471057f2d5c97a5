"""The loop that drains one destination: claim, decide, send, settle; no network inside a transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from app.dispatch.earlier import earlier_of
from app.dispatch.instants import Fingerprint, moved_apart
from app.dispatch.model import Destinations, DrainSummary, OpenDestination, Ready, SourceTerms
from app.dispatch.model import Terms as MappingTerms
from app.dispatch.people import candidates_of, sealed_identities, with_survivors
from app.dispatch.rows import chosen, identifiers, identity, made_ready, owed, terms, upload_row
from app.dispatch.sizing import Size
from app.leases.repository import acquire, release, renew
from app.outbox import repository as outbox
from app.outbox.code_repository import count_unknown
from app.outbox.pauses import pause_until
from app.outbox.policy import Candidate, Send, Stop, Wait, decide, settle
from app.outbox.repository import ClaimedRow
from app.outbox.states import DeliveryState, Reason
from connectors.contract.conversions import DeliveryKind
from connectors.contract.destination import Adjusts, KnowsByContent
from connectors.contract.errors import ConnectorError, Effect, UnexpectedReply
from connectors.contract.results import (
    Accepted,
    AlreadyThere,
    NotProcessed,
    Rejected,
    Retry,
    TargetRefused,
    Unsupported,
    UploadResult,
)

log = structlog.get_logger()

LEASE = timedelta(minutes=10)
LEASE_MS = int(LEASE.total_seconds() * 1000)
REPEATED_AFTER_SECONDS = (1, 2, 4, 8, 16)
UNREADABLE_PAUSE = timedelta(hours=1)
Waiting = tuple[ClaimedRow, DeliveryState, Reason, datetime | None]


class Opener(Protocol):
    """Opens what was sealed."""

    def open(self, sealed: bytes) -> bytes:
        """The plain bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """A drainer's turn: the fence of the lease under which it claimed, what came of the drain, how many rows go together."""

    destination: OpenDestination
    fence: int
    summary: DrainSummary
    size: Size


@dataclass(slots=True)
class Batch:
    """Rows of one request. `is_part`: of a request that was refused, so that it says nothing of a good size."""

    rows: list[Ready]
    is_part: bool = False


class Dispatcher:
    """Drains destinations. One drainer per destination at a time (lease `drain:<id>`)."""

    def __init__(  # noqa: PLR0913 each is a seam of its own
        self,
        database: Database,
        destinations: Destinations,
        opener: Opener,
        clock: Callable[[], datetime],
        holder: str,
        terms: MappingTerms,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        fingerprint: Fingerprint,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._opener = opener
        self._clock = clock
        self._holder = holder
        self._terms = terms
        self._sleep = sleep
        self._fingerprint = fingerprint
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

    async def _round(self, destination: OpenDestination, summary: DrainSummary) -> bool:
        """Claim once and send what may go; True where more may be due."""
        now = self._clock()
        limits = destination.connector.limits
        async with self._database.write() as connection:
            fence = await acquire(connection, _lease(destination.id), self._holder, to_ms(now), LEASE_MS)
            if fence is None:
                summary.is_busy = True
                return False
            size = Size.of(limits.rows, destination.batch_rows, destination.adaptive_rows, destination.clean_requests)
            turn = Turn(destination, fence, summary, size)
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
            going = [replace(one, upload_id=claim_id) for one in ready]
            work = [Batch(rows) for rows in batches(going, most_rows=size.rows, most_targets=limits.targets)]
            opened = Batch([])
            if work:
                opened.rows = await self._open_upload(connection, destination, claim_id + 1, work.pop(0).rows, now)
        summary.waiting += sum(due is not None for _, _, _, due in waiting)
        summary.stopped += sum(due is None for _, _, _, due in waiting)
        await self._work_off(turn, opened, work)
        return len(rows) == limits.rows and not summary.failure and not summary.is_busy

    async def _work_off(self, turn: Turn, opened: Batch, work: list[Batch]) -> None:
        """Send batch after batch; the first one's upload was opened with the claim."""
        while (opened.rows or work) and not turn.summary.is_busy:
            if opened.rows:
                work[:0] = await self._send(turn, opened)
                opened = Batch([])
            elif turn.summary.failure or self._is_stopping():
                await self._give_back(turn, work.pop(0).rows)
            else:
                batch = work.pop(0)
                opened = Batch(await self._begin(turn, batch.rows), batch.is_part)

    async def _holds(self, connection: AsyncConnection, turn: Turn, unsent: int) -> bool:
        """Renew this turn's very lease; False where it ran out or another drainer took over, whose rows must not be touched."""
        lease, now_ms = _lease(turn.destination.id), to_ms(self._clock())
        if await renew(connection, lease, self._holder, turn.fence, now_ms, LEASE_MS):
            return True
        log.warning("lease.lost", destination=turn.destination.name, unsent=unsent)
        turn.summary.is_busy = True
        return False

    async def _begin(self, turn: Turn, batch: Sequence[Ready]) -> list[Ready]:
        """Open a further upload: the rows that it carries, none where another drainer took over."""
        async with self._database.write() as connection:
            if not await self._holds(connection, turn, len(batch)):
                return []
            upload_id = await take_ids(connection, 1)
            return await self._open_upload(connection, turn.destination, upload_id, batch, self._clock())

    async def _open_upload(
        self, connection: AsyncConnection, destination: OpenDestination, upload_id: int, batch: Sequence[Ready], now: datetime
    ) -> list[Ready]:
        """What is about to be sent is written first: the upload, and the frozen content of each row that is still ours."""
        if isinstance(destination.connector, KnowsByContent):
            batch = await moved_apart(connection, destination.id, destination.connector, batch, self._fingerprint)
        ours = await outbox.freeze(connection, [chosen(one) for one in batch], upload_id, to_ms(now + LEASE))
        carried = [replace(one, upload_id=upload_id) for one in batch if one.row.id in ours]
        if carried:
            await outbox.open_upload(connection, upload_id, destination.id, to_ms(now), len(carried))
        return carried

    async def _decide(
        self, connection: AsyncConnection, destination: OpenDestination, rows: Sequence[ClaimedRow], now: datetime
    ) -> tuple[list[Ready], list[Waiting]]:
        rows = await with_survivors(connection, rows)
        people = await candidates_of(connection, destination.id, rows)
        earlier = await earlier_of(connection, rows)
        sources = {source_id: await self._terms.terms_of(source_id) for source_id in {row.source_id for row in rows}}
        going: list[tuple[ClaimedRow, Candidate, str]] = []
        waiting: list[Waiting] = []
        for row in rows:
            decision = decide(
                owed(row, earlier.get(row.id)), people[row.id], terms(row, destination, sources[row.source_id]), now
            )
            match decision:
                case Send(person, why):
                    going.append((row, person, why))
                case Wait(until, why):
                    waiting.append((row, DeliveryState.PENDING, why, until))
                case Stop(state, why):
                    waiting.append((row, state, why, None))
        ready, unreadable = await self._opened(connection, destination, going, sources)
        if unreadable:
            log.error("identity.unreadable", destination=destination.name, rows=len(unreadable))
        until = now + UNREADABLE_PAUSE
        waiting += [(row, DeliveryState.PENDING, Reason.RETRY, min(until, row.deadline_at)) for row in unreadable]
        return ready, waiting

    async def _opened(
        self,
        connection: AsyncConnection,
        destination: OpenDestination,
        going: Sequence[tuple[ClaimedRow, Candidate, str]],
        sources: Mapping[int, SourceTerms],
    ) -> tuple[list[Ready], list[ClaimedRow]]:
        """What goes, with its identifiers; and rows whose identity cannot be opened, of which one must not stop the others."""
        wanted = {identity(row, person) for row, person, _ in going} - {None}
        sealed = await sealed_identities(connection, sorted(one for one in wanted if one is not None))
        ready, unreadable = [], []
        for row, person, why in going:
            payload = sealed.get(identity(row, person) or 0)
            try:
                known = {} if payload is None else identifiers(self._opener.open(payload))
            except Exception:  # noqa: BLE001 whatever is wrong with it, it is this row's alone
                unreadable.append(row)
                continue
            ready.append(made_ready(row, person, why, known, destination, sources[row.source_id]))
        return ready, unreadable

    async def _send(self, turn: Turn, sent: Batch) -> list[Batch]:
        """One request; what is left to send of it, split, where the platform processed nothing because of a neighbour."""
        destination, batch = turn.destination, sent.rows
        turn.summary.requests += 1
        results: Sequence[UploadResult]
        try:
            results = await self._upload(destination, batch)
        except ConnectorError as error:
            await self._failed(turn, batch, error)
            return []
        named = any(not isinstance(result, NotProcessed) for result in results)
        again = [one for one, result in zip(batch, results, strict=True) if isinstance(result, NotProcessed)]
        if len(again) == 1 and not named:
            code = next(result.code for result in results if isinstance(result, NotProcessed))
            results, again = [Retry(code or "not_processed")], []
        await self._settle(turn, batch, results, learns=not sent.is_part)
        if not again:
            return []
        return [Batch(rows, is_part=True) for rows in ([again] if named else halves(again))]

    async def _upload(self, destination: OpenDestination, batch: Sequence[Ready]) -> Sequence[UploadResult]:
        """Exactly one result for each row, or a ConnectorError, whatever the connector does."""
        rows, connector = [upload_row(one) for one in batch], destination.connector
        try:
            if rows[0].kind is DeliveryKind.UPLOAD:
                results = await connector.upload(rows, self._clock())
            elif isinstance(connector, Adjusts):
                results = await connector.adjust(rows, self._clock())
            else:
                results = [Unsupported("correction_unsupported")] * len(rows)
        except ConnectorError:
            raise
        except Exception as error:
            # Its text may quote what was sent: the type alone is told.
            name = type(error).__name__
            raise UnexpectedReply(f"the connector failed with {name}", effect=Effect.UNKNOWN, code=name) from error
        if len(results) != len(batch):
            message = f"{destination.name} answered {len(results)} results for {len(batch)} rows"
            raise UnexpectedReply(message, effect=Effect.UNKNOWN)
        return results

    async def _settle(self, turn: Turn, batch: Sequence[Ready], results: Sequence[UploadResult], *, learns: bool) -> None:
        destination, summary, upload_id, now = turn.destination, turn.summary, batch[0].upload_id, self._clock()
        pairs = [(one, result) for one, result in zip(batch, results, strict=True) if not isinstance(result, NotProcessed)]
        settled = [
            (one.row, settle(one.row.counted, one.row.due_before, one.row.deadline_at, result, now)) for one, result in pairs
        ]
        accepted = sum(isinstance(result, Accepted | AlreadyThere) for _, result in pairs)
        rejected = sum(isinstance(result, Rejected) for _, result in pairs)
        receipt = next((one.receipt for one in results if isinstance(one, Accepted) and one.receipt is not None), None)
        after = destination.connector.limits.verdict_after
        unknown = [result.code for _, result in pairs if isinstance(result, Retry) and not result.is_known]
        has_learnt = learns and turn.size.learn(results)

        async def write(connection: AsyncConnection) -> int:
            await outbox.close_upload(
                connection,
                upload_id,
                now_ms=to_ms(now),
                accepted=accepted,
                rejected=rejected,
                receipt=receipt,
                verdict_due_ms=to_ms(now + after) if receipt is not None and after is not None else None,
            )
            for one, result in pairs:
                if isinstance(result, TargetRefused):
                    await connections.pause_target(connection, destination.id, one.target, result.code, to_ms(now))
            if has_learnt:
                await connections.set_adaptive_rows(connection, destination.id, turn.size.adaptive, turn.size.clean)
            await count_unknown(connection, destination.id, unknown, to_ms(now))
            return await outbox.settle(connection, upload_id, settled, to_ms(now))

        if unknown:
            log.error("code.unknown", destination=destination.name, codes=sorted(set(unknown)), rows=len(unknown))
        self._note_lost(turn, await self._surely(write), len(settled))
        summary.sent += len(pairs)
        summary.accepted += accepted
        summary.rejected += rejected

    async def _failed(self, turn: Turn, batch: Sequence[Ready], error: ConnectorError) -> None:
        """The whole call failed: nothing is lost, the connection is paused as the failure says."""
        destination, upload_id, now = turn.destination, batch[0].upload_id, self._clock()
        until = pause_until(error, now)
        # A reply that does not add up may be one row's doing: until it is found, fewer go together each time.
        halved = max(1, len(batch) // 2) if isinstance(error, UnexpectedReply) and error.effect is Effect.UNKNOWN else None
        settled = [(one.row, settle(one.row.counted, one.row.due_before, one.row.deadline_at, error, now)) for one in batch]

        async def write(connection: AsyncConnection) -> int:
            await outbox.close_upload(
                connection, upload_id, now_ms=to_ms(now), accepted=0, rejected=0, receipt=None, verdict_due_ms=None
            )
            reason = error.code or type(error).__name__
            await connections.pause(connection, Role.DESTINATION, destination.id, reason, None if until is None else to_ms(until))
            return await outbox.settle(connection, upload_id, settled, to_ms(now), most_together=halved)

        written = await self._surely(write)
        log.warning(
            "upload.failed", destination=destination.name, code=error.code, effect=str(error.effect), message=error.message
        )
        self._note_lost(turn, written, len(settled))
        turn.summary.failure = error.message
        turn.summary.paused_until = until

    async def _surely(self, write: Callable[[AsyncConnection], Awaitable[int]]) -> int:
        """Write what the platform did: nobody can ask it again. A transaction that failed is repeated, as it is fenced."""
        for seconds in REPEATED_AFTER_SECONDS:
            try:
                async with self._database.write() as connection:
                    return await write(connection)
            except Exception as error:  # noqa: BLE001 a busy file, a server that fails over: each driver says it its own way
                log.warning("settle.repeated", error=type(error).__name__, seconds=seconds)
                await self._sleep(seconds)
        async with self._database.write() as connection:
            return await write(connection)

    def _note_lost(self, turn: Turn, settled: int, sent: int) -> None:
        """Rows that could not be settled are another drainer's by now: so is all the rest."""
        if settled < sent:
            log.warning("lease.lost", destination=turn.destination.name, settled=settled, sent=sent)
            turn.summary.is_busy = True

    async def _give_back(self, turn: Turn, batch: Sequence[Ready]) -> None:
        """Rows that were claimed but not tried are pending as before."""
        back: list[Waiting] = [(one.row, DeliveryState.PENDING, Reason.PAUSED, one.row.due_before) for one in batch]
        async with self._database.write() as connection:
            if await self._holds(connection, turn, len(batch)):
                await outbox.put_back(connection, batch[0].upload_id, back, to_ms(self._clock()))


def _lease(destination_id: int) -> str:
    return f"drain:{destination_id}"
