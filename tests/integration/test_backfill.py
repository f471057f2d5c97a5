"""Backfilling turn by turn: nothing is skipped, nothing counted twice, polls keep their place, whoever dies wherever."""

import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from weakref import WeakSet

import pytest
from sqlalchemy import select, update

from app.db.session import Database
from app.db.tables import cursors, leases
from app.ingest import backfill_repository as repository
from app.ingest.backfill import Backfiller, TurnLimits, reaches_of
from app.ingest.backfill_repository import BackfillRow
from app.ingest.poller import Poller, Pulled
from app.ingest.pull_lease import LeaseLost
from connectors.contract.errors import AuthenticationFailed, Effect, Unavailable
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection
from connectors.contract.source import Page, Stored, Window
from tests.integration.recorder_rig import World, contact, day, deal, world_of
from tests.integration.test_turns import SECOND, SlowCrm

ALIKE = frozenset(ObjectKind)
SINCE = day(-300)
CONTACT, DEAL = ObjectKind.CONTACT, ObjectKind.DEAL
ONE_PAGE = TurnLimits(pages=1)
ALL = [*(f"contact {number}" for number in range(8)), "deal 0", "deal 1", "deal 2"]


@dataclass
class OldCrm(SlowCrm):
    """Eight pages of contacts and three of deals, of which it can fail, be killed, or be overtaken at any."""

    takes: timedelta = 4 * SECOND
    pages: dict[ObjectKind, int] = field(default_factory=lambda: {CONTACT: 8, DEAL: 3})
    first: int = 100
    fails_at: int | None = None
    error: Exception = field(default_factory=lambda: Unavailable("the CRM is down", effect=Effect.NONE))

    async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
        self.windows.append(window)
        self._judge(window.kind)
        until = window.until or self.now
        for number in range(int(window.resume or 0), self.pages[window.kind]):
            self.now += self.takes
            self.read.append(f"{window.kind} {number}")
            at = day(-200) + timedelta(days=10 * number)
            record = replace(_qualified(RecordRef(window.kind, f"{self.first + number}")), modified_at=at)
            unchanged = await stored.unchanged(window.kind, {record.ref.external_id: at})
            if self.fails_at is not None and len(self.read) >= self.fails_at:
                self.fails_at = None
                raise self.error
            is_last = number + 1 == self.pages[window.kind]
            yield Page(() if unchanged else (record,), until, None if is_last else str(number + 1), is_last, 1)


def _qualified(ref: RecordRef) -> Record:
    if ref.kind is DEAL:
        return deal(ref.external_id, (-250, "qualified"), people=())
    return contact(ref.external_id, (-250, "mql"))


def _backfiller(world: World, crm: SlowCrm, holder: str = "me") -> Backfiller:
    return Backfiller(world.database, world.recorder, holder, lambda: crm.now)


async def _ask(world: World, since: datetime = SINCE) -> None:
    source = world.source
    async with world.database.write() as connection:
        await repository.begin_backfill(connection, source.id, reaches_of(source.document, source.selection), since, day(40))


async def _rows(world: World) -> dict[ObjectKind, BackfillRow]:
    async with world.database.read() as connection:
        return {row.kind: row for row in await repository.backfills_of(connection, world.source.id)}


async def _to_the_end(world: World, crm: SlowCrm, limits: TurnLimits = ONE_PAGE, alike: frozenset[ObjectKind] = ALIKE) -> int:
    """Turn after turn; how many there were."""
    turns = 1
    while (await _backfiller(world, crm).turn(world.source, crm, alike, limits)).has_more:
        turns += 1
    return turns


async def _conversions(world: World) -> list[str]:
    found = [*await world.conversions("qualified_lead"), *await world.conversions("opportunity")]
    return sorted(f"{row['milestone']} {row['scope_key']}" for row in found)


async def test_people_are_read_before_deals_each_page_once_and_no_cursor_moves(database: Database) -> None:
    """A poll goes on where it was: what a backfill reads says nothing about what a poll has seen."""
    world, crm = await world_of(database), OldCrm()
    await _ask(world)

    turns = await _to_the_end(world, crm)

    assert (crm.read, turns) == (ALL, 11)
    assert len(await _conversions(world)) == 11
    async with database.read() as connection:
        assert list(await connection.scalars(select(cursors.c.object))) == []
    assert {window.since for window in crm.windows} == {SINCE}
    assert set(await world.owed("qualified_lead")) == {("upload", "skipped", "before_start")}


async def test_progress_is_told_in_pages_rows_conversions_and_time(database: Database) -> None:
    """Whoever waits for hours wants to know how far it is."""
    world, crm = await world_of(database), OldCrm()
    await _ask(world)
    backfiller = _backfiller(world, crm)

    for _ in range(4):
        await backfiller.turn(world.source, crm, ALIKE, ONE_PAGE)

    row = (await _rows(world))[CONTACT]
    assert (row.pages, row.seen, row.records, row.conversions, row.is_done) == (4, 4, 4, 8, False)
    assert row.position == day(-170)
    assert row.share(crm.now) == pytest.approx(130 / 340)
    await _to_the_end(world, crm)
    assert {one.share(crm.now) for one in (await _rows(world)).values()} == {1.0}


async def test_a_failure_at_any_page_neither_skips_nor_repeats(database: Database) -> None:
    """The page that was under way is read again, the committed ones are not, and the result is as if nothing had been."""
    world = await world_of(database)
    for nth in range(1, len(ALL) + 1):
        crm = OldCrm(first=1000 * nth, fails_at=nth)
        await _ask(world)

        with pytest.raises(Unavailable):
            await _to_the_end(world, crm)
        told = {row.error for row in (await _rows(world)).values()} - {None}
        await _to_the_end(world, crm)

        assert told == {"the CRM is down"}
        assert crm.read == [*ALL[:nth], *ALL[nth - 1 :]]
        assert len(await _conversions(world)) == len(ALL) * nth
        assert {row.error for row in (await _rows(world)).values()} == {None}


async def test_a_turn_ends_by_time_by_pages_or_where_somebody_wants_to_go_first(database: Database) -> None:
    """Polls, webhooks and uploads must not wait for the past; and a turn always gets on by a page."""
    world, crm = await world_of(database), OldCrm()
    await _ask(world)
    backfiller = _backfiller(world, crm)

    by_time = await backfiller.turn(world.source, crm, ALIKE, TurnLimits(budget=10 * SECOND))
    by_pages = await backfiller.turn(world.source, crm, ALIKE, TurnLimits(pages=2))
    by_bell = await backfiller.turn(world.source, crm, ALIKE, TurnLimits(is_wanted_elsewhere=lambda: True))

    assert [(one.pages, one.has_more) for one in (by_time, by_pages, by_bell)] == [(3, True), (2, True), (1, True)]


async def test_the_poll_and_the_backfill_never_read_at_once(database: Database) -> None:
    """One writer a source: two would take each other's conversions for new."""
    world, crm = await world_of(database), OldCrm()
    await _ask(world)
    other = _backfiller(world, crm, "two")

    while_held = await other.turn(world.source, crm, ALIKE)
    await _let_go(database)
    async with other.leased(world.source.id) as lease:
        poll = await Poller(database, world.recorder, "me", lambda: crm.now).pull(world.source, crm)

    assert while_held == Pulled(is_busy=True)
    assert lease is not None
    assert poll.is_busy
    assert crm.read == []


async def test_a_dead_holder_is_waited_for_and_then_followed(database: Database) -> None:
    """After a SIGKILL nobody lets go: the lease runs out, and the next process goes on after the last committed page."""
    world, crm = await world_of(database), OldCrm()
    await _ask(world)
    await _backfiller(world, crm).turn(world.source, crm, ALIKE, TurnLimits(pages=5))
    await _hold(database, "dead", crm.now + timedelta(minutes=5))

    busy = await _backfiller(world, crm, "two").turn(world.source, crm, ALIKE)
    crm.now += timedelta(minutes=6)
    await _backfiller(world, crm, "two").turn(world.source, crm, ALIKE)

    assert busy.is_busy
    assert crm.read == ALL
    assert len(await _conversions(world)) == 11


async def test_what_is_stored_in_its_version_costs_no_further_read(database: Database) -> None:
    """Polls have read it whole; the past is what was never stored. Where the mapping once read less, all is read again."""
    world, crm = await world_of(database), OldCrm()
    await _ask(world)
    await _to_the_end(world, crm)
    first = (await _rows(world))[CONTACT]

    await _ask(world, day(-290))
    await _to_the_end(world, crm)
    spared = (await _rows(world))[CONTACT]
    await _ask(world, day(-280))
    await _to_the_end(world, crm, alike=frozenset())
    again = (await _rows(world))[CONTACT]

    assert [(one.seen, one.records) for one in (first, spared, again)] == [(8, 8), (8, 0), (8, 8)]
    assert len(await _conversions(world)) == 11


async def test_a_mapping_that_asks_for_more_meanwhile_is_read_from_the_beginning(database: Database) -> None:
    """What was read before lacks the new field; where it asks for less, the kind is left out."""
    world, crm = await world_of(database), OldCrm()
    await _ask(world)
    await _backfiller(world, crm).turn(world.source, crm, ALIKE, TurnLimits(pages=5))
    chosen = world.source.selection.objects
    more = {CONTACT: replace(chosen[CONTACT], fields=chosen[CONTACT].fields | {"new_field"})}
    world.source = replace(world.source, selection=Selection(more))

    await _to_the_end(world, crm, alike=frozenset())

    assert crm.read == [*ALL[:5], *ALL[:8]]
    assert set(await _rows(world)) == {CONTACT}


async def test_a_kind_that_is_forbidden_keeps_no_other_from_being_read(database: Database) -> None:
    """One missing scope must not stop all revenue; it is told, and read once it is granted."""
    world, crm = await world_of(database), OldCrm(refuses={CONTACT: 403})
    await _ask(world)

    with pytest.raises(AuthenticationFailed, match="no contact"):
        await _backfiller(world, crm).turn(world.source, crm, ALIKE)
    rows = await _rows(world)
    crm.refuses.clear()
    await _to_the_end(world, crm)

    assert (rows[DEAL].is_done, rows[CONTACT].error) == (True, "no contact")
    assert sorted(crm.read) == sorted(ALL)


async def test_a_page_of_a_backfill_that_was_given_up_is_not_written(database: Database) -> None:
    """Somebody asked for another date while a page was under way: its place must not become the new one's."""
    world = await world_of(database)

    class Overtaken(OldCrm):
        async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
            async for page in super().changes(window, selection, stored):
                if window.since == SINCE:
                    await _ask(world, day(-100))
                yield page

    crm = Overtaken()
    await _ask(world)

    with pytest.raises(LeaseLost):
        await _backfiller(world, crm).turn(world.source, crm, ALIKE)
    rows = await _rows(world)

    assert {(row.since, row.pages, row.resume) for row in rows.values()} == {(day(-100), 0, None)}
    assert await _conversions(world) == []


async def test_a_page_of_a_holder_that_was_overtaken_is_not_written(database: Database) -> None:
    """A process that slept through its lease must not set the newer one's place back."""
    world = await world_of(database)

    class Sleepy(OldCrm):
        async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
            async for page in super().changes(window, selection, stored):
                if len(self.read) == 3:
                    await _let_go(database)
                    await _hold(database, "two", self.now + timedelta(minutes=5))
                yield page

    crm = Sleepy()
    await _ask(world)

    with pytest.raises(LeaseLost):
        await _backfiller(world, crm).turn(world.source, crm, ALIKE)

    assert (await _rows(world))[CONTACT].pages == 2


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_memory_holds_a_page_however_many_there_are(database: Database) -> None:
    """Three hundred thousand deals must fit where one page does."""
    world, alive, most = await world_of(database), WeakSet[Held](), 0

    class Endless(OldCrm):
        async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
            nonlocal most
            async for page in super().changes(window, selection, stored):
                (one,) = page.records
                held = Held(one.fields)
                alive.add(held)
                yield replace(page, records=(replace(one, fields=held),))
                del held
                gc.collect()
                most = max(most, len(alive))

    crm = Endless(takes=timedelta(0), pages={CONTACT: 5, DEAL: 5})
    await _ask(world)

    await _backfiller(world, crm).turn(world.source, crm, frozenset())

    assert len(crm.read) == 10
    assert most <= 2


class Held(dict[str, str | None]):
    """Fields of which one can see whether anybody holds them still."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # each is itself


async def _let_go(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(update(leases).values(until=0, holder=""))


async def _hold(database: Database, holder: str, until: datetime) -> None:
    milliseconds = round(until.timestamp() * 1000)
    async with database.write() as connection:
        await connection.execute(update(leases).values(holder=holder, fence=leases.c.fence + 1, until=milliseconds))
