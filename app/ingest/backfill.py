"""Backfilling a source: records of the past are read turn by turn, under the lease of its polls, beside its poll cursors."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from http import HTTPStatus

from app.ingest import backfill_repository as repository
from app.ingest.backfill_repository import BackfillMove, BackfillRow
from app.ingest.context import SourceContext
from app.ingest.leased_reader import LeasedReader
from app.ingest.lookups import stored_of
from app.ingest.poller import TURN, Pulled, people_first, summed
from app.ingest.pull_lease import PullLease
from app.mapping.document import MappingDocument
from app.telemetry.scrub import scrub
from connectors.contract.errors import AuthenticationFailed, ConnectorError
from connectors.contract.records import ObjectKind
from connectors.contract.selection import Selection
from connectors.contract.source import CrmSource, Page, Stored

# At most so many pages in a turn, however fast the CRM answers: polls and uploads share its limits, and come first.
PAGES_A_TURN = 100
CONVERSIONS_A_BATCH = 500
LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """When a turn ends, after at least one page: by time, by pages, or where somebody wants to go first."""

    budget: timedelta = TURN
    pages: int = PAGES_A_TURN
    is_wanted_elsewhere: Callable[[], bool] = lambda: False


class Backfiller(LeasedReader):
    """Reads the past of a source. Raises the ConnectorError of the call that failed; committed pages stay."""

    async def turn(
        self, source: SourceContext, crm: CrmSource, alike: frozenset[ObjectKind], limits: TurnLimits = TurnLimits()
    ) -> Pulled:
        """Read on for one turn: people before deals, each page committed with its place; `has_more` where it is not done.

        `alike` are the kinds that every mapping so far read in the same way: of these a record that is stored in its version
        costs no further read. A kind that the CRM forbids (403) keeps no other from being read.
        """
        if self._is_stopping() or not await self._open(source):
            return Pulled()
        async with self.leased(source.id) as lease:
            if lease is None:
                return Pulled(is_busy=True)
            await self._follow_mapping(source)
            return await self._read(source, crm, alike, lease, limits)

    async def owe_past(
        self, source: SourceContext, since: datetime, after: tuple[int, int] | None, lease: PullLease
    ) -> tuple[int, tuple[int, int] | None]:
        """File what was never owed of a batch of conversions at or after `since`; how many deliveries, and where to go on."""
        async with self._database.read() as connection:
            past = await repository.past_conversions(connection, source.id, since, after, CONVERSIONS_A_BATCH)
        if not past.ids:
            return 0, None
        made = await self._recorder.owe_past(source, past.deals, past.others, frozenset(past.ids), self._clock(), lease)
        return made, past.next

    async def _open(self, source: SourceContext) -> list[BackfillRow]:
        async with self._database.read() as connection:
            rows = await repository.backfills_of(connection, source.id)
        return sorted((row for row in rows if not row.is_done), key=lambda row: people_first(row.kind))

    async def _follow_mapping(self, source: SourceContext) -> None:
        """A mapping that came since the backfill was asked for may read other kinds, or more of one."""
        async with self._database.write() as connection:
            rows = {row.kind: row for row in await repository.backfills_of(connection, source.id)}
            first = next(iter(rows.values()), None)
            if first is None or all(row.is_done for row in rows.values()):
                return
            wanted = reaches_of(source.document, source.selection)
            missing = {kind: reach for kind, reach in wanted.items() if kind not in rows}
            await repository.add_kinds(connection, source.id, first.run_id, missing, first.since, first.requested_at)
            await repository.drop_kinds(connection, source.id, first.run_id, rows.keys() - wanted.keys())
            for kind, row in rows.items():
                if kind in wanted and wanted[kind] != row.reach:
                    await repository.start_over(connection, row, wanted[kind])

    async def _read(
        self, source: SourceContext, crm: CrmSource, alike: frozenset[ObjectKind], lease: PullLease, limits: TurnLimits
    ) -> Pulled:
        until = self._clock() + limits.budget
        pulled, refused = Pulled(), None
        for row in await self._open(source):
            try:
                async with aclosing(self._pages(source, crm, row, lease, is_spared=row.kind in alike)) as pages:
                    async for one in pages:
                        pulled = summed(pulled, one)
                        is_over = pulled.pages >= limits.pages or self._clock() >= until or limits.is_wanted_elsewhere()
                        if self._is_stopping() or is_over:
                            return replace(pulled, has_more=bool(await self._open(source)))
            except ConnectorError as error:
                await self._note(row, error)
                if not isinstance(error, AuthenticationFailed) or error.status != HTTPStatus.FORBIDDEN:
                    raise
                refused = refused or error
        if refused is not None:
            raise refused
        return pulled

    async def _pages(
        self, source: SourceContext, crm: CrmSource, row: BackfillRow, lease: PullLease, *, is_spared: bool
    ) -> AsyncGenerator[Pulled, None]:
        """What each committed page of one kind did."""
        seen = _Seen(row.kind, stored_of(self._database, source.id, refetches=not is_spared), row.position)
        async for page in crm.changes(row.window, source.selection, seen.stored):
            move = BackfillMove(
                run_id=row.run_id,
                kind=row.kind,
                until=page.until,
                resume=page.resume,
                is_last=page.is_last,
                seen=page.seen,
                position=page.until if page.is_last else seen.after(page),
            )
            recorded = await self._recorder.record(source, page.records, self._clock(), lease, move=move)
            yield Pulled(recorded, 1, page.seen)

    async def _note(self, row: BackfillRow, error: ConnectorError) -> None:
        async with self._database.write() as connection:
            await repository.note_failure(connection, row.source_id, row.run_id, row.kind, scrub(error.message)[:LONGEST_ERROR])


class _Seen:
    """The lookups of a source, which tell in passing how far its pages have come: only rows say when they were modified."""

    def __init__(self, kind: ObjectKind, stored: Stored, position: datetime | None) -> None:
        self._kind = kind
        self._unchanged = stored.unchanged
        self._newest = position
        self.stored = replace(stored, unchanged=self._looking)

    async def _looking(self, kind: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
        if kind is self._kind:
            self._note(list(rows.values()))
        return await self._unchanged(kind, rows)

    def after(self, page: Page) -> datetime | None:
        """The newest modification of all pages so far, never past the window's end; None where none was told."""
        self._note([record.modified_at for record in page.records if record.ref.kind is self._kind])
        return None if self._newest is None else min(self._newest, page.until)

    def _note(self, instants: Sequence[datetime]) -> None:
        known = [*instants] if self._newest is None else [*instants, self._newest]
        self._newest = max(known, default=None)


def reaches_of(document: MappingDocument, selection: Selection) -> dict[ObjectKind, str]:
    """What is read of each kind and looked for in it, as a digest: where it differs, what is stored was not read for it."""
    looked_for = [f"{one.name}:{'|'.join(trigger.model_dump_json() for trigger in one.when)}" for one in document.milestones]
    found = {}
    for kind, chosen in selection.objects.items():
        asked_for = {one.name: getattr(chosen, one.name) for one in fields(chosen)}
        words = [f"{name}:{sorted(value) if isinstance(value, frozenset) else value}" for name, value in asked_for.items()]
        found[kind] = hashlib.sha256("\n".join([*words, *looked_for]).encode()).hexdigest()
    return found
