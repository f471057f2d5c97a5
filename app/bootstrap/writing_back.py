"""Write-back: tells the CRM what became of its records, where a source asks for it. It holds up nothing and pauses nothing."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import orjson
import structlog

from app.bootstrap.contexts import Contexts
from app.bootstrap.failures import place
from app.bootstrap.openers import Openers
from app.bootstrap.write_back_setting import NotedProperty, read_write_back
from app.connections import repository as connections
from app.connections.repository import SourceRow
from app.db.instants import to_ms
from app.db.session import Database
from app.ingest.context import SourceContext
from app.leases.repository import acquire, release
from app.mapping.document import MappingDocument
from app.outbox import note_repository as notes
from app.outbox.note_repository import Ended, NotedRecord, Touched, Written
from app.outbox.notes import Outcome, status_text, text_hash
from connectors.contract.errors import ConnectorError, RateLimited, Unavailable
from connectors.contract.records import ObjectKind
from connectors.contract.source import NoteOutcome, NoteResult, StatusNote, WritesBack

log = structlog.get_logger()

LEASE_MS = 5 * 60 * 1000
STRETCH = 500
FIRST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Lane:
    """A span of the conversions' instants that is gone through again and again, a few stretches at a turn."""

    name: str
    span: timedelta
    stretches: int


# What is new is told soon; what a late verdict or a replay changed is found by the long lane, which ends after the longest
# window of a platform (90 days).
LANES = (Lane("new", timedelta(days=3), 4), Lane("all", timedelta(days=120), 2))


@dataclass(slots=True)
class Progress:
    """How far a source has come: in each lane the conversion seen last (instant, id); after failures, when to go on.

    `noted` counts the notes of the UTC `day`.
    """

    after: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    failures: int = 0
    not_before: int = 0
    day: str = ""
    noted: int = 0

    @classmethod
    def of(cls, text: str | None) -> "Progress":
        """Read what `text` wrote; what cannot be read begins anew, which repeats nothing."""
        try:
            raw = orjson.loads(text or "{}")
            after = {str(name): None if at is None else (int(at[0]), int(at[1])) for name, at in raw.get("after", {}).items()}
            counts = (int(raw.get("failures", 0)), int(raw.get("not_before", 0)))
            return cls(after, *counts, str(raw.get("day", "")), int(raw.get("noted", 0)))
        except (ValueError, TypeError, AttributeError, LookupError):
            return cls()

    def text(self) -> str:
        """As it is stored."""
        return orjson.dumps(asdict(self)).decode()

    def left(self, now: datetime, most: int | None, batch: int) -> int:
        """How many notes the next call may have."""
        today = now.date().isoformat()
        if self.day != today:
            self.day, self.noted = today, 0
        return batch if most is None else min(batch, max(0, most - self.noted))

    def failed(self, now: datetime, retry_after: timedelta | None) -> None:
        """Each failure in a row doubles the pause."""
        pause: timedelta = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(self.failures, 10)))
        self.failures += 1
        self.not_before = to_ms(now + max(pause, retry_after or pause))


@dataclass(frozen=True, slots=True)
class _Desk:
    """A source that is written back to."""

    row: SourceRow
    context: SourceContext
    connector: WritesBack
    properties: tuple[NotedProperty, ...]
    most_a_day: int | None


@dataclass(frozen=True, slots=True)
class _Due:
    record_id: int
    note: StatusNote


@dataclass(frozen=True, slots=True)
class WriteBacks:
    """Gives each source that asks for write-back its turn."""

    database: Database
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts
    holder: str
    stopping: asyncio.Event

    async def run(self, _now: datetime) -> None:
        """A job: a turn for every source."""
        await self.turn()

    async def turn(self, source: str | None = None) -> None:
        """A turn for one source or all; a failure is logged and tried again after a growing pause."""
        async with self.database.read() as connection:
            rows = [row for row in await connections.list_sources(connection) if source in (None, row.name)]
        for row in rows:
            try:
                desk = await self._desk(row)
                if desk is not None:
                    await self._leased(desk)
            except Exception as error:  # noqa: BLE001 write-back must hold up nothing, and the other sources have their turn
                log.error("write_back.failed", source=row.name, error=type(error).__name__, at=place(error))  # noqa: TRY400 the trace of a statement quotes its values

    async def _desk(self, row: SourceRow) -> _Desk | None:
        if row.is_paused(to_ms(self.clock())):
            return None
        text = self.openers.write_back_of(row)
        context = await self.contexts.of_source(row) if text else None
        if context is None:
            return None
        connector = self.openers.stored_source(row)
        read = read_write_back(text, context.facts.schema, context.selection)
        for mistake in read.mistakes:  # the CRM, or what is read of it, has changed since it was applied
            log.warning("write_back.refused", source=row.name, message=mistake.message)
        if not read.properties or not isinstance(connector, WritesBack):
            return None
        return _Desk(row, context, connector, read.properties, type(connector).limits.notes_a_day)

    async def _leased(self, desk: _Desk) -> None:
        lease = f"write_back:{desk.row.name}"
        if not await self._hold(lease):
            return
        try:
            async with self.database.read() as connection:
                progress = Progress.of(await notes.load_progress(connection, desk.row.id))
            if progress.not_before <= to_ms(self.clock()):
                await self._turn(desk, progress, lease)
        finally:
            async with self.database.write() as connection:
                await release(connection, lease, self.holder)

    async def _hold(self, lease: str) -> bool:
        async with self.database.write() as connection:
            return await acquire(connection, lease, self.holder, to_ms(self.clock()), LEASE_MS) is not None

    async def _turn(self, desk: _Desk, progress: Progress, lease: str) -> None:
        try:
            for lane in LANES:
                await self._along(desk, lane, progress, lease)
            progress.failures, progress.not_before = 0, 0
        except Exception as error:  # noqa: BLE001 as above
            retry_after = error.retry_after if isinstance(error, RateLimited | Unavailable) else None
            progress.failed(self.clock(), retry_after)
            said = error.message if isinstance(error, ConnectorError) else f"{type(error).__name__} at {place(error)}"
            log.warning("write_back.failed", source=desk.row.name, failures=progress.failures, message=said)
        async with self.database.write() as connection:
            await notes.save_progress(connection, desk.row.id, progress.text())

    async def _along(self, desk: _Desk, lane: Lane, progress: Progress, lease: str) -> None:
        for _ in range(lane.stretches):
            if self.stopping.is_set() or not await self._hold(lease):
                return
            since_ms = to_ms(self.clock() - lane.span)
            async with self.database.read() as connection:
                seen = await notes.stretch(connection, desk.row.id, since_ms, progress.after.get(lane.name), STRETCH)
            if not await self._tell(desk, seen, progress, lease):
                return
            is_end = len(seen) < STRETCH
            progress.after[lane.name] = None if is_end else (seen[-1].occurred_at, seen[-1].id)
            if is_end:
                return

    async def _tell(self, desk: _Desk, seen: Sequence[Touched], progress: Progress, lease: str) -> bool:
        """Write what changed of these conversions' records, in batches, each noted before the next; False where cut short."""
        if not seen:
            return True
        lead_ids = {one.lead_id for one in seen if one.lead_id is not None}
        record_ids = sorted({one.record_id for one in seen})
        async with self.database.read() as connection:
            records = await notes.records_of(connection, sorted(lead_ids), record_ids)
            # Each lead is read whole: a part of it in one stretch and another in the next would be two texts in turn, for ever.
            lead_ids |= {one.lead_id for one in records if one.lead_id is not None}
            ended = await notes.outcomes_of(connection, sorted(lead_ids), record_ids)
            written = await notes.written_of(connection, [one.id for one in records])
        due = list(_due(desk, records, ended, written))
        while due:
            most = progress.left(self.clock(), desk.most_a_day, desk.connector.most_notes)
            if most == 0 or self.stopping.is_set() or not await self._hold(lease):
                return False
            batch, due = due[:most], due[most:]
            progress.noted += len(batch)
            results = await desk.connector.write_back([one.note for one in batch])
            await self._keep(desk, batch, results)
        return True

    async def _keep(self, desk: _Desk, batch: Sequence[_Due], results: Sequence[NoteResult]) -> None:
        if len(results) != len(batch):
            raise ValueError("the connector gave another number of results than notes")
        now_ms = to_ms(self.clock())
        rows = [
            {
                "source_id": desk.row.id,
                "record_id": one.record_id,
                "property": one.note.property,
                "text_hash": text_hash(one.note.text),
                "written_at": now_ms,
                "outcome": result.outcome.value,
                "refused_code": result.code or None,
            }
            for one, result in zip(batch, results, strict=True)
        ]
        async with self.database.write() as connection:
            await notes.save_written(connection, rows)
        counts = {str(each): sum(result.outcome is each for result in results) for each in NoteOutcome}
        log.info("write_back.done", source=desk.row.name, **counts)


def _due(
    desk: _Desk, records: Sequence[NotedRecord], ended: Sequence[Ended], written: Mapping[tuple[int, str], Written]
) -> Iterator[_Due]:
    """The notes whose text differs from the one tried last; none for records that are gone."""
    of_record: dict[int, list[Outcome]] = defaultdict(list)
    of_lead: dict[int, list[Outcome]] = defaultdict(list)
    for one in ended:
        of_record[one.record_id].append(one.outcome)
        if one.lead_id is not None:
            of_lead[one.lead_id].append(one.outcome)
    rank = _rank_in(desk.context.document)
    for record in records:
        # A person's page tells of all that the person did, a deal's page of the deal.
        is_person = record.ref.kind is not ObjectKind.DEAL
        outcomes = of_lead[record.lead_id] if is_person and record.lead_id is not None else of_record[record.id]
        for target in desk.properties:
            known = written.get((record.id, target.name))
            if target.kind is not record.ref.kind or (known is not None and known.is_gone):
                continue
            text = status_text(outcomes, rank, target.longest)
            if text and (known is None or known.text_hash != text_hash(text)):
                yield _Due(record.id, StatusNote(record.ref, target.name, text))


def _rank_in(document: MappingDocument) -> Callable[[str], int]:
    """The rank of a milestone, under its old name too; `disqualified` has none."""

    def rank(name: str) -> int:
        found = document.named(name)
        return -1 if found is None or found.name == "disqualified" else document.rank(found.name)

    return rank
