"""The loop that drains one destination: claim, decide, send, settle; no network inside a transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.connections import repository as connections
from app.connections.repository import Role
from app.db.ids import take_ids
from app.db.instants import to_ms
from app.db.session import Database
from app.dispatch.batching import batches, halves
from app.dispatch.model import Destinations, DrainSummary, MilestoneTerms, OpenDestination, Ready, SourceTerms
from app.dispatch.model import Terms as MappingTerms
from app.dispatch.people import candidates_of, sealed_identities
from app.leases.repository import acquire, release
from app.outbox import repository as outbox
from app.outbox.policy import Candidate, Owed, Send, Stop, Terms, Wait, decide, settle
from app.outbox.repository import Chosen, ClaimedRow
from app.outbox.states import DeliveryState, Reason
from connectors.contract.conversions import DeliveryKind, Identifier, Money, Target, UploadRow
from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, UnexpectedReply
from connectors.contract.results import Accepted, AlreadyThere, NotProcessed, Rejected, Retry, TargetRefused, UploadResult

log = structlog.get_logger()

LEASE = timedelta(minutes=10)
PAUSE_AFTER_FAILURE = timedelta(minutes=1)
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
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._opener = opener
        self._clock = clock
        self._holder = holder
        self._terms = terms

    async def drain(self, destination_id: int) -> DrainSummary:
        """Send what is due until nothing is; a failure of the whole call pauses the connection and ends the drain."""
        summary = DrainSummary()
        name = _lease(destination_id)
        async with self._database.read() as connection:
            if not await outbox.has_due(connection, destination_id, to_ms(self._clock())):
                return summary
        async with self._database.write() as connection:
            if not await self._hold(connection, name):
                summary.is_busy = True
                return summary
        try:
            destination = await self._destinations.open_destination(destination_id)
            while await self._round(destination, summary) and not summary.failure and not summary.is_busy:
                destination = await self._destinations.open_destination(destination_id)
        finally:
            async with self._database.write() as connection:
                await release(connection, name, self._holder)
        return summary

    async def _hold(self, connection: AsyncConnection, name: str) -> bool:
        """Take or renew the lease; False where another drainer took over, whose rows must not be touched."""
        now_ms = to_ms(self._clock())
        return await acquire(connection, name, self._holder, now_ms, int(LEASE.total_seconds() * 1000)) is not None

    async def _round(self, destination: OpenDestination, summary: DrainSummary) -> bool:
        """Claim once and send what may go; False where nothing was due."""
        now = self._clock()
        limits = destination.connector.limits
        async with self._database.write() as connection:
            if not await self._hold(connection, _lease(destination.id)):
                summary.is_busy = True
                return False
            claim_id = await take_ids(connection, 1)
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
        summary.waiting += sum(due is not None for _, _, _, due in waiting)
        summary.stopped += sum(due is None for _, _, _, due in waiting)
        size = min(limits.rows, destination.batch_rows or limits.usual_rows)
        work = batches(ready, most_rows=size, most_targets=limits.targets)
        while work and not summary.is_busy:
            batch = work.pop(0)
            if summary.failure:
                await self._give_back(batch)
                continue
            work[:0] = await self._send(destination, batch, summary)
        return bool(rows)

    async def _decide(
        self, connection: AsyncConnection, destination: OpenDestination, rows: Sequence[ClaimedRow], now: datetime
    ) -> tuple[list[Ready], list[Waiting]]:
        people = await candidates_of(connection, rows)
        sources = {source_id: await self._terms.terms_of(source_id) for source_id in {row.source_id for row in rows}}
        going: list[tuple[ClaimedRow, Candidate, str]] = []
        waiting: list[Waiting] = []
        for row in rows:
            decision = decide(_owed(row), people[row.id], _terms(row, destination, sources[row.source_id]), now)
            match decision:
                case Send(person, why):
                    going.append((row, person, why))
                case Wait(until, why):
                    waiting.append((row.id, DeliveryState.PENDING, why, until))
                case Stop(state, why):
                    waiting.append((row.id, state, why, None))
        wanted = {_identity(row, person) for row, person, _ in going} - {None}
        sealed = await sealed_identities(connection, sorted(one for one in wanted if one is not None))
        ready = []
        for row, person, why in going:
            payload = sealed.get(_identity(row, person) or 0)
            identifiers = {} if payload is None else _identifiers(self._opener.open(payload))
            ready.append(Ready(row, person, why, _content(row), identifiers, sources[row.source_id].kind))
        return ready, waiting

    async def _send(self, destination: OpenDestination, batch: list[Ready], summary: DrainSummary) -> list[list[Ready]]:
        """One request; what is left to send of it, split, where the platform processed nothing because of a neighbour."""
        now = self._clock()
        async with self._database.write() as connection:
            if not await self._hold(connection, _lease(destination.id)):
                log.warning("lease.lost", destination=destination.name, unsent=len(batch))
                summary.is_busy = True
                return []
            upload_id = await take_ids(connection, 1)
            await outbox.open_upload(connection, upload_id, destination.id, to_ms(now), len(batch))
            await outbox.freeze(connection, [_chosen(one) for one in batch], upload_id, to_ms(now + LEASE))
        summary.requests += 1
        results: Sequence[UploadResult]
        try:
            results = await destination.connector.upload([_upload_row(one) for one in batch], now)
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
        until: datetime | None = now + PAUSE_AFTER_FAILURE
        if isinstance(error, RateLimited) and error.retry_after is not None:
            until = now + error.retry_after
        if isinstance(error, AuthenticationFailed):
            until = None
        settled = [(one.row, settle(one.row.counted, one.row.due_before, one.row.deadline_at, error, now)) for one in batch]
        async with self._database.write() as connection:
            await outbox.close_upload(
                connection, upload_id, now_ms=to_ms(now), accepted=0, rejected=0, receipt=None, verdict_due_ms=None
            )
            await outbox.settle(connection, upload_id, settled, to_ms(now))
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
        by_claim: dict[int, list[Waiting]] = {}
        async with self._database.write() as connection:
            claim_id = await take_ids(connection, 1)
            await outbox.regroup(connection, [one.row.id for one in batch], claim_id)
            by_claim[claim_id] = [(one.row.id, DeliveryState.PENDING, Reason.PAUSED, one.row.due_before) for one in batch]
            await outbox.put_back(connection, claim_id, by_claim[claim_id], to_ms(now))


def _lease(destination_id: int) -> str:
    return f"drain:{destination_id}"


def _owed(row: ClaimedRow) -> Owed:
    money = Money(row.amount_micros, row.currency) if row.amount_micros is not None and row.currency else None
    return Owed(
        id=row.id,
        kind=DeliveryKind(row.kind),
        occurred_at=row.occurred_at,
        deadline_at=row.deadline_at,
        tries=row.tries,
        value_state=row.value_state,
        money=money,
        is_live=row.is_live,
        is_frozen=row.is_frozen,
        frozen_person=row.person_id if row.is_frozen else None,
        first_unknown_at=row.first_unknown_at,
    )


def _terms(row: ClaimedRow, destination: OpenDestination, source: SourceTerms) -> Terms:
    mapped = source.milestones.get((destination.name, row.milestone))
    own = mapped or MilestoneTerms()
    return Terms(
        limits=destination.connector.limits,
        prefer=own.prefer,
        send_when=own.send_when,
        minimum_micros=own.minimum_micros,
        is_mapped=mapped is not None,
        is_target_paused=row.target in destination.paused_targets,
        is_shadow=destination.is_shadow,
    )


def _identity(row: ClaimedRow, person: Candidate) -> int | None:
    return row.identity_id if row.is_frozen else person.identity_id


def _content(row: ClaimedRow) -> Money | None:
    """What is sent: frozen at the first try, the latest value before."""
    amount, currency = (row.sent_amount_micros, row.sent_currency) if row.is_frozen else (row.amount_micros, row.currency)
    return Money(amount, currency) if amount is not None and currency else None


def _identifiers(payload: bytes) -> dict[Identifier, str]:
    return {Identifier(name): value for name, value in orjson.loads(payload).items()}


def _chosen(one: Ready) -> Chosen:
    return Chosen(
        delivery_id=one.row.id,
        person_id=one.person.lead_id,
        person_why=one.why,
        identity_id=_identity(one.row, one.person),
        amount_micros=one.money.amount_micros if one.money else None,
        currency=one.money.currency if one.money else None,
    )


def _upload_row(one: Ready) -> UploadRow:
    return UploadRow(
        kind=DeliveryKind(one.row.kind),
        conversion_id=one.row.conversion_uid,
        milestone=one.row.milestone,
        target=Target.of(orjson.loads(one.row.target)),
        occurred_at=one.row.occurred_at,
        identifiers=one.identifiers,
        consent=one.person.consent,
        money=one.money,
        clicked_at=one.person.clicked_at,
        source_kind=one.source_kind,
    )
