"""Pulling a source: due windows and waiting hints are read from the CRM and recorded page by page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

import structlog

from app.db.instants import from_ms
from app.ingest import conversion_repository as conversions
from app.ingest.context import SourceContext
from app.ingest.cursors import REFETCHING, CursorMove, CursorRow, Sweep, cursors_of, next_window, note_deletions_listed
from app.ingest.inbox import WaitingHint, erasing_hints, waiting_hints
from app.ingest.leased_reader import LeasedReader
from app.ingest.lookups import stored_of
from app.ingest.pull_lease import PullLease
from app.ingest.recorder import Recorded
from connectors.contract.errors import AuthenticationFailed
from connectors.contract.records import ObjectKind, Record, RecordRef, RecordState
from connectors.contract.selection import Selection
from connectors.contract.source import CrmSource, ListsDeleted, Paces, ReadsAhead, Window

log = structlog.get_logger()

HINTS_A_FETCH = 200
BATCHES_OF_HINTS = 5
# How long one pull of many reads, so that neither a backfill nor a flood of hints holds up other sources and uploads.
TURN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull did. `is_busy`: another process reads this source now. `has_more`: it ended before all was read."""

    recorded: Recorded = field(default_factory=Recorded)
    pages: int = 0
    seen: int = 0
    is_busy: bool = False
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class _Due:
    """What one pull has to do. `has_new_rates`: values that wait for a rate were last looked at with other rates than these."""

    hints: list[WaitingHint]
    windows: list[tuple[ObjectKind, CursorRow | None]]
    listings: list[CursorRow]
    has_new_rates: bool

    def __bool__(self) -> bool:
        """True where there is anything."""
        return bool(self.hints or self.windows or self.listings or self.has_new_rates)


@dataclass(frozen=True, slots=True)
class _Opening:
    """A window as it is read in this pull. `refetches`: its records are read anew, stored or not.

    `counts_untold`: webhooks came before, so what it finds long after its change is counted. `leaves_out_none`: the nightly
    sweep also reads what the selection lets a search leave out, as a property may have been emptied.
    """

    window: Window
    sweep: Sweep
    reach: str
    refetches: bool
    counts_untold: bool
    leaves_out_none: bool


class _Refusals:
    """Where the CRM forbids one kind (a missing scope), the others are read all the same; the first such error is told last."""

    def __init__(self) -> None:
        self._first: AuthenticationFailed | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep a refusal of what is read inside the block."""
        try:
            yield
        except AuthenticationFailed as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            self._first = self._first or error

    def tell(self) -> None:
        """Raise what was kept."""
        if self._first is not None:
            raise self._first


class _Listing(CrmSource, ListsDeleted, Protocol):
    """A source that lists what was deleted."""


class Poller(LeasedReader):
    """Reads one source under its lease. Raises the ConnectorError of the call that failed; committed pages stay.

    A kind that the CRM forbids (403) keeps no other from being read.
    """

    async def pull(
        self, source: SourceContext, crm: CrmSource, *, only_due: bool = False, budget: timedelta | None = None
    ) -> Pulled:
        """Read the hints, then the windows of the selection's objects: all of them, or only those whose poll has come.

        What the CRM lists as deleted is read last, once a day a kind, so that a merge is known before its loser is missed.
        With a budget the pull ends about then: after five batches of hints, and each window after the page that passes it,
        at least one; the next pull goes on there. Without one all is read to its end. A process that stops ends it too.
        """
        # A first look without the lease: an idle pull only reads. What is done is read again under it.
        if self._is_stopping() or not await self._due(source, crm, only_due=only_due):
            return Pulled()
        async with self.leased(source.id) as lease:
            if lease is None:
                return Pulled(is_busy=True)
            due = await self._due(source, crm, only_due=only_due)
            return await self._read(source, crm, due, lease, budget)

    async def _due(self, source: SourceContext, crm: CrmSource, *, only_due: bool) -> _Due:
        async with self._database.read() as connection:
            cursors = await cursors_of(connection, source.id)
            hints = await waiting_hints(connection, source.id, HINTS_A_FETCH)
            version = source.rates.version
            has_new_rates = version != 0 and await conversions.rates_valued_with(connection, source.id) != version
        now = self._clock()
        windows = [
            (kind, row)
            for kind in sorted(source.selection.objects, key=people_first)
            if (row := cursors.get(kind)) is None or not only_due or row.is_due(now)
        ]
        rows = [row for kind, row in cursors.items() if kind in source.selection.objects]
        listings = [row for row in rows if row.has_deletions_due(crm.limits, now)] if isinstance(crm, ListsDeleted) else []
        return _Due(hints, windows, listings, has_new_rates)

    async def _read(self, source: SourceContext, crm: CrmSource, due: _Due, lease: PullLease, budget: timedelta | None) -> Pulled:
        until = None if budget is None else self._clock() + budget
        refusals = _Refusals()
        pulled = await self._revalue(source, lease) if due.has_new_rates else Pulled()
        with refusals.kept():
            most = None if budget is None else BATCHES_OF_HINTS
            pulled = summed(pulled, await self._hints(source, crm, due.hints, lease, most))
        pulled = summed(pulled, await self._windows(source, crm, due, lease, until, refusals))
        if isinstance(crm, ListsDeleted) and not pulled.has_more:
            for row in due.listings:
                with refusals.kept():
                    pulled = summed(pulled, await self._deletions(source, crm, row, lease))
        refusals.tell()
        return pulled

    async def _revalue(self, source: SourceContext, lease: PullLease) -> Pulled:
        """When rates have come: value what waits for them, batch after batch.

        Asked under the lease: a replica that knows older rates than the last one notes its own, and the next makes it good.
        """
        pulled = Pulled()
        after: int | None = 0
        while after is not None:
            recorded, after = await self._recorder.revalue(source, self._clock(), lease, after=after)
            pulled = summed(pulled, Pulled(recorded))
        return pulled

    async def _windows(
        self,
        source: SourceContext,
        crm: CrmSource,
        due: _Due,
        lease: PullLease,
        until: datetime | None,
        refusals: _Refusals,
    ) -> Pulled:
        """Read each window; where the source can, their first pages come in one request."""
        pulled = Pulled()
        now = self._clock()
        openings = [_opening(source, crm, kind, row, now) for kind, row in due.windows]
        if isinstance(crm, ReadsAhead) and len(openings) > 1 and not self._is_stopping():
            with refusals.kept():
                await crm.read_ahead([opening.window for opening in openings], source.selection)
        for opening in openings:
            if not self._is_stopping():
                with refusals.kept():
                    pulled = summed(pulled, await self._window(source, crm, opening, lease, until))
        return pulled

    async def _window(
        self, source: SourceContext, crm: CrmSource, opening: _Opening, lease: PullLease, until: datetime | None
    ) -> Pulled:
        window = opening.window
        pulled = Pulled()
        stored = stored_of(self._database, source.id, refetches=opening.refetches)
        selection = _with_all(source.selection, window.kind) if opening.leaves_out_none else source.selection
        async for page in crm.changes(window, selection, stored):
            now = self._clock()
            move = CursorMove(
                kind=window.kind,
                window_start=window.since,
                window_end=page.until,
                resume=page.resume,
                settled=page.is_last,
                sweep=opening.sweep,
                reach=REFETCHING + opening.reach if opening.refetches and not page.is_last else opening.reach,
                counts_untold=opening.counts_untold,
                next_poll_at=now + _poll_every(crm, window.kind) if page.is_last else None,
            )
            recorded = await self._recorder.record(source, page.records, now, lease, move=move)
            pulled = summed(pulled, Pulled(recorded, 1, page.seen))
            if not page.is_last and (self._is_stopping() or (until is not None and self._clock() >= until)):
                return replace(pulled, has_more=True)
        return pulled

    async def _hints(
        self, source: SourceContext, crm: CrmSource, hints: list[WaitingHint], lease: PullLease, most: int | None
    ) -> Pulled:
        pulled = Pulled()
        while hints:
            if self._is_stopping() or (most is not None and pulled.pages >= most):
                return replace(pulled, has_more=True)
            erasing = [hint for hint in hints if hint.erases]
            if erasing:
                await self._erase(source.id, source.name, erasing, lease)
            others = [hint for hint in hints if not hint.erases]
            records = await self._told_by(source, crm, others)
            recorded = await self._recorder.record(source, records, self._clock(), lease, hints=others)
            pulled = summed(pulled, Pulled(recorded, 1, len(hints)))
            if len(hints) < HINTS_A_FETCH:
                break
            async with self._database.read() as connection:
                hints = await waiting_hints(connection, source.id, HINTS_A_FETCH)
        return pulled

    async def _told_by(self, source: SourceContext, crm: CrmSource, hints: Sequence[WaitingHint]) -> list[Record]:
        """What became of the hinted records. What was merged is no more to be fetched: its survivor is."""
        merged = [hint for hint in hints if hint.merged_into is not None]
        refs = [hint.ref if hint.merged_into is None else hint.merged_into for hint in hints]
        wanted = [ref for ref in dict.fromkeys(refs) if ref.kind in source.selection.objects]
        stored = stored_of(self._database, source.id, refetches=False)
        records = list(await crm.fetch(wanted, source.selection, stored)) if wanted else []
        now = self._clock()
        lost = (Record(hint.ref, now, state=RecordState.MERGED, merged_into=hint.merged_into) for hint in merged)
        return [*records, *lost]

    async def erase(self, source_id: int, name: str) -> bool:
        """Forget the people for whom that was asked, without asking the CRM; True where somebody was to forget."""
        async with self._database.read() as connection:
            hints = await erasing_hints(connection, source_id, HINTS_A_FETCH)
        if not hints:
            return False
        async with self.leased(source_id) as lease:
            if lease is not None:
                await self._erase(source_id, name, hints, lease)
        return lease is not None

    async def _erase(self, source_id: int, name: str, hints: Sequence[WaitingHint], lease: PullLease) -> None:
        erased = await self._recorder.erase(source_id, hints, self._clock(), lease)
        log.info("person.erased", source=name, people=len(hints), records=erased.records, deliveries=erased.deliveries)

    async def _deletions(self, source: SourceContext, crm: _Listing, row: CursorRow, lease: PullLease) -> Pulled:
        """Fetch what is listed as deleted and live here; cut off, the listing starts over at the next pull, harmlessly."""
        began_at = self._clock()
        listed_at = row.deletions_listed_at
        since = None if listed_at is None else from_ms(listed_at) - crm.limits.deep_overlap
        stored = stored_of(self._database, source.id, refetches=False)
        pulled = Pulled()
        async for page in crm.deleted(row.kind, since):
            live = await stored.known(row.kind, [ref.external_id for ref in page]) if page else frozenset()
            refs = [RecordRef(row.kind, one) for one in sorted(live)]
            records = await crm.fetch(refs, source.selection, stored) if refs else ()
            # An empty page too: the lease is renewed with it.
            recorded = await self._recorder.record(source, records, self._clock(), lease)
            pulled = summed(pulled, Pulled(recorded, 1, len(page)))
            if self._is_stopping():
                return pulled
        async with self._database.write() as connection:
            await note_deletions_listed(connection, source.id, row.kind, lease.fence, began_at)
        return pulled


def people_first(kind: ObjectKind) -> int:
    """Contacts before deals, so that a deal finds its people stored."""
    return (ObjectKind.COMPANY, ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL).index(kind)


def _opening(source: SourceContext, crm: CrmSource, kind: ObjectKind, row: CursorRow | None, now: datetime) -> _Opening:
    reach, unfiltered = _reach(source, kind)
    if row is not None and row.reach in (unfiltered, REFETCHING + unfiltered):
        row = replace(row, reach=row.reach.replace(unfiltered, reach))  # all was read, so fewer need no reading again
    window, sweep = next_window(row, kind, crm.limits, source.document.history, reach, now)
    refetches = row is not None and row.reach != reach
    counts = row is not None and row.last_hint_at is not None and sweep is Sweep.FAST and not refetches
    is_nightly = row is not None and row.settled_to > 0 and sweep is Sweep.DEEP and not refetches
    return _Opening(window, sweep, reach, refetches, counts, is_nightly)


def _with_all(selection: Selection, kind: ObjectKind) -> Selection:
    """The same, with no record of the kind left out."""
    chosen = replace(selection.objects[kind], only_where_set=frozenset(), or_on_deals=False)
    return Selection({**selection.objects, kind: chosen})


def _poll_every(crm: CrmSource, kind: ObjectKind) -> timedelta:
    return crm.poll_every(kind) if isinstance(crm, Paces) else crm.limits.poll_every


def _reach(source: SourceContext, kind: ObjectKind) -> tuple[str, str]:
    """What is read of this kind, as text, and the same where no record is left out: where it changes, history is read again."""
    chosen = source.selection.objects[kind]
    all_of = "|".join((*sorted(chosen.fields), "#", *sorted(chosen.history_properties), "#", str(source.document.history)))
    if not chosen.only_where_set and not chosen.or_on_deals:
        return all_of, all_of
    return "|".join((all_of, "#", *sorted(chosen.only_where_set), "deals" if chosen.or_on_deals else "")), all_of


def summed(one: Pulled, other: Pulled) -> Pulled:
    """Two stretches of reading as one."""
    return Pulled(
        one.recorded + other.recorded,
        one.pages + other.pages,
        one.seen + other.seen,
        one.is_busy or other.is_busy,
        one.has_more or other.has_more,
    )
