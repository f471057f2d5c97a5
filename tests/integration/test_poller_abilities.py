"""What a pull asks of its store for a source, and what a source may do beyond reading: ahead, and at its own pace."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar

from app.db.session import Database
from app.ingest.cursors import REFETCHING, CursorMove, Sweep, cursors_of
from app.ingest.lookups import stored_of
from app.ingest.poller import Poller, Pulled
from connectors.contract.errors import AuthenticationFailed
from connectors.contract.findings import Finding
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection
from connectors.contract.source import Held, Page, SourceLimits, SourceSchema, Stored, Window
from tests.integration.joins_rig import crm_lead
from tests.integration.recorder_rig import LEASE, World, contact, day, deal, world_of
from tests.unit.mapping.mapping_rig import SCHEMA

PACE = timedelta(minutes=7)


@dataclass
class FakeCrm:
    """A CRM that gives one page a window, and remembers what it was asked."""

    kind: ClassVar[str] = "fake"
    limits: ClassVar[SourceLimits] = SourceLimits(page_rows=100, poll_every=timedelta(minutes=1))
    until: datetime
    pages: dict[ObjectKind, tuple[Record, ...]] = field(default_factory=dict)
    asked: list[Window] = field(default_factory=list)
    held: list[object] = field(default_factory=list)
    filters: list[bool] = field(default_factory=list)

    async def check(self, kinds: frozenset[ObjectKind] = frozenset()) -> Sequence[Finding]:
        """Nothing to find."""
        return ()

    async def describe(self) -> SourceSchema:
        """The rig's account."""
        return SCHEMA

    async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
        """One page."""
        self.asked.append(window)
        self.filters.append(window.kind in selection.objects and bool(selection.objects[window.kind].only_where_set))
        records = self.pages.get(window.kind, ())
        self.held.append(await stored.newest(window.kind, [record.ref.external_id for record in records]))
        yield Page(records, self.until, None, is_last=True, seen=len(records))

    async def fetch(self, refs: Sequence[RecordRef], selection: Selection, stored: Stored) -> Sequence[Record]:
        """What is in the pages."""
        return [record for page in self.pages.values() for record in page if record.ref in refs]


class AheadCrm(FakeCrm):
    """Reads ahead, and has a pace of its own."""

    ahead: Sequence[Window] = ()
    refuses: bool = False

    async def read_ahead(self, windows: Sequence[Window], selection: Selection) -> None:
        """Remember the windows."""
        self.ahead = tuple(windows)
        if self.refuses:
            raise AuthenticationFailed("no right to read one of them", status=403)

    def poll_every(self, kind: ObjectKind) -> timedelta:
        """Deals at once, others later."""
        return PACE if kind is ObjectKind.DEAL else 2 * PACE


async def _pull(world: World, crm: FakeCrm) -> Pulled:
    poller = Poller(world.database, world.recorder, "me", lambda: world.now)
    return await poller.pull(replace(world.source, id=2), crm)


async def test_windows_that_are_due_together_are_read_ahead(database: Database) -> None:
    """Salesforce takes the queries of all objects in one request of the day's budget."""
    world = await world_of(database)
    crm = AheadCrm(world.now)

    await _pull(world, crm)

    assert [window.kind for window in crm.ahead] == [ObjectKind.CONTACT, ObjectKind.DEAL]
    assert list(crm.ahead) == crm.asked


async def test_a_refused_read_ahead_keeps_no_window_from_being_read(database: Database) -> None:
    """One object without its permission must not stop the other."""
    world = await world_of(database)
    crm = AheadCrm(world.now, {ObjectKind.CONTACT: (contact("101"),)})
    crm.refuses = True

    told = await _failed(world, crm)

    assert "no right" in told
    assert len(crm.asked) == 2
    assert (await world.count())[1] == 1


async def _failed(world: World, crm: FakeCrm) -> str:
    try:
        await _pull(world, crm)
    except AuthenticationFailed as error:
        return error.message
    return ""


async def test_a_source_sets_the_pace_of_its_polls(database: Database) -> None:
    """What Pipedrive lets one spend is known only when its plan was read."""
    world = await world_of(database)

    await _pull(world, AheadCrm(world.now))

    async with database.read() as connection:
        rows = await cursors_of(connection, 2)
    due = {kind: row.next_poll_at for kind, row in rows.items()}
    now_ms = int(world.now.timestamp() * 1000)
    assert due == {ObjectKind.DEAL: now_ms + 7 * 60_000, ObjectKind.CONTACT: now_ms + 14 * 60_000}


async def test_a_source_is_told_the_newest_entries_in_one_statement(database: Database) -> None:
    """A history costs a request a deal where it is not known that the stage is the stored one."""
    world = await world_of(database)
    await world.record(deal("202", (2, "new"), (9, "won")), deal("203", (3, "lost")), crm_lead("202", (4, "Open"), people=("1",)))
    stored = stored_of(database, 1, refetches=False)

    found = await stored.newest(ObjectKind.DEAL, ["202", "203", "204"])

    assert found == {"202": {"dealstage": Held("won", day(9))}, "203": {"dealstage": Held("lost", day(3))}}
    assert await stored_of(database, 1, refetches=True).newest(ObjectKind.DEAL, ["202"]) == {}


async def test_fewer_contacts_need_no_reading_again_and_more_do(database: Database) -> None:
    """An upgrade that leaves contacts out must not read the whole CRM again; a mapping that wants more of them must."""
    world = await world_of(database)
    crm = FakeCrm(world.now)
    await _pull(world, crm)
    objects = world.source.selection.objects
    fewer = replace(objects[ObjectKind.CONTACT], only_where_set=frozenset({"lifecyclestage"}), or_on_deals=True)
    whole = objects[ObjectKind.CONTACT]

    starts = []
    for chosen in (fewer, fewer, whole):
        world.source = replace(world.source, selection=Selection({**objects, ObjectKind.CONTACT: chosen}))
        crm.asked.clear()
        await _pull(world, crm)
        starts.append(next(window.since for window in crm.asked if window.kind is ObjectKind.CONTACT))

    history = world.now - world.source.document.history
    assert [start > history for start in starts] == [True, True, False]


async def test_the_nightly_sweep_leaves_no_contact_out(database: Database) -> None:
    """A property that was emptied is no longer set, so the filtered polls miss that it was left."""
    world = await world_of(database)
    crm = FakeCrm(world.now)
    objects = world.source.selection.objects
    fewer = replace(objects[ObjectKind.CONTACT], only_where_set=frozenset({"lifecyclestage"}), or_on_deals=True)
    world.source = replace(world.source, selection=Selection({ObjectKind.CONTACT: fewer}))

    for hours in (0, 1, 23, 1):
        world.now += timedelta(hours=hours)
        crm.until = world.now
        await _pull(world, crm)

    assert crm.filters == [True, True, False, True]


async def test_a_start_over_that_was_cut_off_stays_one_where_contacts_are_filtered(database: Database) -> None:
    """The mark of a start over stands before the reach, filtered or not."""
    world = await world_of(database)
    crm = FakeCrm(world.now)
    await _pull(world, crm)
    async with database.read() as connection:
        reach = (await cursors_of(connection, 2))[ObjectKind.CONTACT].reach
    move = CursorMove(
        ObjectKind.CONTACT, day(0), day(40), "x", settled=False, sweep=Sweep.DEEP, reach=f"{REFETCHING}{reach}", next_poll_at=None
    )
    await world.recorder.record(replace(world.source, id=2), (), world.now, LEASE, move=move)
    objects = {**world.source.selection.objects}
    objects[ObjectKind.CONTACT] = replace(objects[ObjectKind.CONTACT], or_on_deals=True)
    world.source = replace(world.source, selection=Selection(objects))
    crm.pages[ObjectKind.CONTACT] = (contact("101", (2, "mql")),)

    await _pull(world, crm)

    assert crm.asked[-2].resume == "x"
    assert crm.held[-2] == {}
