"""One pull of many is bounded: a backfill or a flood of hints holds up nothing, and is read on where it was left."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy import select

from app.db.session import Database
from app.db.tables import cursors, inbox
from app.ingest import leased_reader
from app.ingest.inbox import put_hints
from app.ingest.poller import Poller, Pulled
from app.ingest.pull_lease import PullLease, pull_lease
from app.leases.repository import release
from app.outbox.pauses import source_pause_until
from connectors.contract.errors import AuthenticationFailed
from connectors.contract.findings import Finding
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection
from connectors.contract.source import Page, SourceLimits, SourceSchema, Stored, Window
from tests.integration.recorder_rig import LEASE, World, contact, day, deal, world_of

TURN = timedelta(seconds=30)
SECOND = timedelta(seconds=1)


@dataclass
class SlowCrm:
    """A CRM whose every page takes a while; its windows hold so many pages of one record each."""

    kind: ClassVar[str] = "hubspot"
    limits: ClassVar[SourceLimits] = SourceLimits(page_rows=1, poll_every=timedelta(minutes=1))
    now: datetime = field(default_factory=lambda: day(40))
    takes: timedelta = 10 * SECOND
    pages: dict[ObjectKind, int] = field(default_factory=lambda: {ObjectKind.CONTACT: 8, ObjectKind.DEAL: 1})
    windows: list[Window] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)
    refuses: dict[ObjectKind, int] = field(default_factory=dict)

    async def check(self, kinds: frozenset[ObjectKind] = frozenset()) -> Sequence[Finding]:
        return ()

    async def describe(self) -> SourceSchema:
        return SourceSchema("1", "EUR", "UTC", {})

    async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
        del selection
        self.windows.append(window)
        self._judge(window.kind)
        until = window.until or self.now
        for number in range(int(window.resume or 0), self.pages[window.kind]):
            self.now += self.takes
            is_last = number + 1 == self.pages[window.kind]
            one = _record(RecordRef(window.kind, f"{100 + number}"))
            self.read.append(f"{window.kind} {number}")
            if await stored.unchanged(window.kind, {one.ref.external_id: one.modified_at}):
                self.spared.append(f"{window.kind} {number}")
            yield Page((one,), until, None if is_last else str(number + 1), is_last, 1)

    async def fetch(self, refs: Sequence[RecordRef], selection: Selection, stored: Stored) -> Sequence[Record]:
        del selection, stored
        self.now += self.takes
        for ref in refs:
            self._judge(ref.kind)
        self.read.append(f"{len(refs)} hints")
        return [_record(ref) for ref in refs]

    def _judge(self, kind: ObjectKind) -> None:
        if kind in self.refuses:
            raise AuthenticationFailed(f"no {kind}", code="MISSING_SCOPES", status=self.refuses[kind])


def _record(ref: RecordRef) -> Record:
    if ref.kind is ObjectKind.DEAL:
        return deal(ref.external_id, (1, "new"), people=())
    return contact(ref.external_id, (1, "lead"))


async def _pull(world: World, crm: SlowCrm, budget: timedelta | None = TURN) -> Pulled:
    poller = Poller(world.database, world.recorder, LEASE.holder, lambda: crm.now)
    return await poller.pull(world.source, crm, only_due=budget is not None, budget=budget)


async def _swept(world: World) -> tuple[int | None, int | None]:
    async with world.database.read() as connection:
        query = select(cursors.c.swept_at, cursors.c.deep_swept_at).where(cursors.c.object == "contact")
        row = (await connection.execute(query)).one()
    return row.swept_at, row.deep_swept_at


async def _flood(world: World, count: int) -> None:
    async with world.database.write() as connection:
        await put_hints(connection, 1, [RecordRef(ObjectKind.CONTACT, f"{5000 + one}") for one in range(count)], 0)


async def _waiting(world: World) -> int:
    async with world.database.read() as connection:
        return len(list(await connection.execute(select(inbox.c.seq))))


async def test_a_backfill_lets_the_other_kinds_read_and_goes_on_where_it_was(database: Database) -> None:
    """Three hundred thousand contacts must not stop deals and uploads for hours; no page is skipped, none is read twice."""
    world, crm = await world_of(database), SlowCrm()

    told = [await _pull(world, crm) for _ in range(3)]

    assert [one.has_more for one in told] == [True, True, False]
    contacts = [f"contact {number}" for number in range(8)]
    assert crm.read == [*contacts[:3], "deal 0", *contacts[3:6], *contacts[6:]]
    assert await world.count() == (8, 9)
    first, *others = [window for window in crm.windows if window.kind is ObjectKind.CONTACT]
    assert {(one.since, one.until) for one in others} == {(first.since, day(40))}


async def test_a_sweep_of_several_pulls_counts_as_that_sweep(database: Database) -> None:
    """A nightly sweep that takes longer than one turn would otherwise be due again for ever."""
    world, crm = await world_of(database), SlowCrm()
    for _ in range(3):
        await _pull(world, crm)
    first = await _swept(world)
    crm.now += timedelta(hours=25)

    began = crm.now
    while (await _pull(world, crm)).has_more:
        pass
    nightly = await _swept(world)
    crm.now += timedelta(minutes=40)
    later = crm.now
    while (await _pull(world, crm)).has_more:
        pass

    assert first == (_ms(day(40)), _ms(day(40)))
    assert nightly == (_ms(began), _ms(began))
    assert await _swept(world) == (_ms(later), _ms(began)), "the hour of every half hour, no night"


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


async def test_a_refetch_of_several_pulls_reads_every_record_anew(database: Database) -> None:
    """Records that are stored in their version lack the new field: the second turn must not spare them."""
    world, crm = await world_of(database), SlowCrm()
    await _pull(world, crm, budget=None)
    crm.spared.clear()
    chosen = world.source.selection.objects
    more = {kind: replace(one, fields=frozenset({*one.fields, "new_field"})) for kind, one in chosen.items()}
    world.source = replace(world.source, selection=replace(world.source.selection, objects=more))
    crm.now += timedelta(hours=1)

    turns = 1
    while (await _pull(world, crm)).has_more:
        turns += 1

    assert turns == 3
    assert crm.spared == []
    assert crm.read[-9:].count("deal 0") == 1
    assert len(set(crm.read[-9:])) == 9


async def test_a_flood_of_hints_lets_the_windows_read(database: Database) -> None:
    """An import in the CRM sends a webhook for each record: five batches a pull, then the windows have their turn."""
    world, crm = await world_of(database), SlowCrm(takes=SECOND)
    await _flood(world, 1300)

    first = await _pull(world, crm)

    assert first.has_more
    assert crm.read == [*["200 hints"] * 5, *(f"contact {number}" for number in range(8)), "deal 0"]
    assert await _waiting(world) == 300
    second = await _pull(world, crm)
    assert (second.has_more, await _waiting(world)) == (False, 0)


async def test_sync_reads_everything_to_its_end(database: Database) -> None:
    """Whoever types `leadloop sync` waits for all of it."""
    world, crm = await world_of(database), SlowCrm()
    await _flood(world, 1300)

    pulled = await _pull(world, crm, budget=None)

    assert not pulled.has_more
    assert pulled.seen == 1300 + 9
    assert await _waiting(world) == 0


async def test_a_page_that_takes_longer_than_the_lease_is_recorded(database: Database) -> None:
    """A slow CRM would otherwise be read for ever and never stored; nobody else read it meanwhile."""
    world, crm = await world_of(database), SlowCrm(takes=timedelta(minutes=6))

    await _pull(world, crm)

    assert crm.read == ["contact 0", "deal 0"]
    assert await world.count() == (1, 2)


async def test_what_another_process_read_meanwhile_is_not_read_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looking and holding the lease another may have read it all: its cursor would be set back under a newer fence."""
    world, crm = await world_of(database), SlowCrm()
    other = Poller(database, world.recorder, "two", lambda: crm.now)
    is_first = True

    def clock() -> datetime:
        return crm.now

    @asynccontextmanager
    async def late(*asked: Any) -> AsyncIterator[PullLease | None]:
        """It looked, and is overtaken before it takes the lease."""
        nonlocal is_first
        if is_first:
            is_first = False
            await _let_go(database)
            await other.pull(source, crm)
        async with pull_lease(*asked) as lease:
            yield lease

    source = world.source
    monkeypatch.setattr(leased_reader, "pull_lease", late)

    await Poller(database, world.recorder, LEASE.holder, clock).pull(source, crm, only_due=True)

    assert not is_first
    assert len(crm.read) == 9
    async with database.read() as connection:
        open_windows = list(await connection.scalars(select(cursors.c.object).where(cursors.c.window_end.is_not(None))))
    assert open_windows == []


async def _let_go(database: Database) -> None:
    async with database.write() as connection:
        await release(connection, LEASE.name, LEASE.holder)


async def test_a_kind_that_is_forbidden_keeps_no_other_from_being_read(database: Database) -> None:
    """One missing scope must not stop all revenue; it is told all the same, once the rest was read."""
    world, crm = await world_of(database), SlowCrm(refuses={ObjectKind.CONTACT: 403})
    await _flood(world, 3)

    with pytest.raises(AuthenticationFailed, match="no contact"):
        await _pull(world, crm)

    assert crm.read == ["deal 0"]
    assert await _waiting(world) == 3
    assert source_pause_until(AuthenticationFailed("", status=403), crm.now) == crm.now + timedelta(minutes=1)


async def test_a_token_that_is_refused_ends_the_pull(database: Database) -> None:
    """Nothing else will be answered; a vendor that is asked on and on with a dead token locks the account."""
    world, crm = await world_of(database), SlowCrm(refuses={ObjectKind.CONTACT: 401})

    with pytest.raises(AuthenticationFailed):
        await _pull(world, crm)

    assert [window.kind for window in crm.windows] == [ObjectKind.CONTACT]
    assert source_pause_until(AuthenticationFailed("", status=401), crm.now) is None
