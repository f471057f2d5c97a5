"""Deletions whose webhook was lost: found by the daily listing, on both databases, once and harmlessly repeated."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import pytest
from sqlalchemy import select, update

from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import cursors
from app.ingest.cursors import note_deletions_listed
from app.ingest.poller import Poller, Pulled
from connectors.contract.records import ObjectKind, RecordRef
from connectors.crm.hubspot.source import HubSpotSettings, HubSpotSource
from connectors.simulators.hubspot import Portal, Stage, create_hubspot
from tests.integration.recorder_rig import LEASE, World, day, world_of

HOUR = timedelta(hours=1)
FIRST_PULL = day(40)
STAGES = [Stage("new", "New", 0.1), Stage("won", "Won", 1.0), Stage("lost", "Lost", 0.0)]
ACCEPTED = ("upload", "accepted", "delivered")


class Killed(Exception):
    """The process ends here."""


class MortalSource(HubSpotSource):
    """Ends the process at a page of the listing, where it is told to."""

    dies_at_page: int | None = None

    async def deleted(self, kind: ObjectKind, since: datetime | None) -> AsyncIterator[Sequence[RecordRef]]:
        page = 0
        async for refs in super().deleted(kind, since):
            page += 1
            if page == self.dies_at_page:
                raise Killed
            yield refs


@dataclass
class Account:
    """A HubSpot account that sends no webhooks, pulled as the service does."""

    world: World
    portal: Portal = field(default_factory=lambda: Portal(has_limits=False))
    now: datetime = FIRST_PULL
    crm: MortalSource = field(init=False)

    def __post_init__(self) -> None:
        self.portal.define_pipeline("deals", "default", STAGES)
        self.portal.define_property("contacts", "score")
        self.portal.define_property("deals", "currency")
        client = httpx.AsyncClient(transport=httpx.ASGITransport(create_hubspot(self.portal, lambda: self.now)))
        settings = HubSpotSettings.from_mapping({"access_token": self.portal.tokens[0]})
        self.crm = MortalSource(client, settings, lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def sell(self, *, at: datetime = FIRST_PULL - timedelta(days=2)) -> str:
        """A won deal."""
        return self.portal.create("deals", {"dealstage": "won", "amount": "5"}, at)

    async def pull(self, after: timedelta = timedelta(0)) -> Pulled:
        """What a tick does, some time later."""
        self.now = self.world.now = self.now + after
        poller = Poller(self.world.database, self.world.recorder, LEASE.holder, lambda: self.now)
        return await poller.pull(self.world.source, self.crm, only_due=True)

    @property
    def listings(self) -> int:
        return self.portal.requests["list deals"]


async def account_of(database: Database) -> Account:
    return Account(await world_of(database))


async def test_the_revenue_of_a_deal_that_was_deleted_without_a_webhook_is_taken_back_within_a_day(database: Database) -> None:
    """Bidding would go on learning from a sale that never was: archiving moves no modification time, so no poll shows it."""
    account = await account_of(database)
    kept, gone = account.sell(), account.sell()
    await account.pull()
    await account.world.settle()
    account.portal.archive("deals", gone, account.now + HOUR)

    for _ in range(4):
        await account.pull(6 * HOUR)

    assert await account.world.facts("closed_revenue") == [(kept, True, None), (gone, False, "deleted")]
    assert await account.world.owed("closed_revenue", kept) == [ACCEPTED]
    assert await account.world.owed("closed_revenue", gone) == [ACCEPTED, ("retract", "pending", "new")]


async def test_a_deal_that_was_deleted_and_restored_between_two_listings_stays(database: Database) -> None:
    """As if never deleted: nothing may be retracted that the CRM shows."""
    account = await account_of(database)
    deal = account.sell()
    await account.pull()
    await account.world.settle()
    account.portal.archive("deals", deal, account.now + HOUR)
    account.portal.restore("deals", deal, account.now + 2 * HOUR)

    for _ in range(5):
        await account.pull(6 * HOUR)

    assert account.listings == 1
    assert await account.world.facts("closed_revenue") == [(deal, True, None)]
    assert await account.world.owed("closed_revenue") == [ACCEPTED]


async def test_a_deal_that_is_restored_after_its_deletion_was_found_is_owed_no_retraction(database: Database) -> None:
    """A restore moves the modification time, so the next poll shows it."""
    account = await account_of(database)
    deal = account.sell()
    await account.pull()
    await account.world.settle()
    account.portal.archive("deals", deal, account.now + HOUR)
    await account.pull(25 * HOUR)
    found = await account.world.facts("closed_revenue")

    account.portal.restore("deals", deal, account.now + HOUR)
    await account.pull(2 * HOUR)

    assert found == [(deal, False, "deleted")]
    assert await account.world.facts("closed_revenue") == [(deal, True, None)]
    assert await account.world.owed("closed_revenue") == [ACCEPTED, ("retract", "skipped", "superseded")]


async def test_the_bin_is_listed_a_day_after_the_first_pull_and_then_once_a_day(database: Database) -> None:
    """Nothing that was deleted before the first pull was ever stored; between listings a tick costs what it did."""
    account = await account_of(database)
    told: list[int] = []

    for _ in range(17):
        await account.pull(timedelta(0) if not told else 3 * HOUR)
        told.append(account.listings)

    assert told == [0] * 8 + [1] * 8 + [2]


async def test_a_tick_between_two_polls_costs_two_reads_and_no_request(database: Database) -> None:
    """Ticks come every second: what is not due must cost a look at cursors and hints (on SQLite readers are not counted)."""
    account = await account_of(database)
    await account.pull()
    asked = account.portal.requests.total()

    with account.world.counting() as told:
        await account.pull(timedelta(minutes=1))

    assert account.portal.requests.total() == asked
    assert len(told) <= 2
    assert all(statement.startswith("SELECT") for statement in told)


async def test_strangers_in_the_bin_cost_no_read_and_are_not_stored(database: Database) -> None:
    """Whatever else the account throws away is none of ours."""
    account = await account_of(database)
    account.sell()
    await account.pull()
    for stranger in [account.portal.create("deals", {"dealstage": "new"}, account.now) for _ in range(120)]:
        account.portal.archive("deals", stranger, account.now)
    reads = account.portal.requests["batch_read deals"]

    pulled = await account.pull(24 * HOUR)

    assert (account.listings, account.portal.requests["batch_read deals"]) == (2, reads)
    assert (pulled.seen - 120, pulled.recorded.records) == (1, 0)  # the deep sweep sees the sold one, unchanged
    assert (await account.world.count())[1] == 1


async def test_a_listing_that_is_cut_off_starts_over_and_takes_nothing_back_twice(database: Database) -> None:
    """A kill in the middle: what was recorded stays, what was not is found by the next pull."""
    account = await account_of(database)
    first = account.sell()
    strangers = [account.portal.create("deals", {"dealstage": "new"}, FIRST_PULL) for _ in range(150)]
    for stranger in strangers:
        account.portal.archive("deals", stranger, FIRST_PULL)
    last = account.sell()
    await account.pull()
    await account.world.settle()
    for deal in (first, last):
        account.portal.archive("deals", deal, account.now + HOUR)
    account.crm.dies_at_page = 2

    with pytest.raises(Killed):
        await account.pull(24 * HOUR)
    halfway = await account.world.facts("closed_revenue")
    account.crm.dies_at_page = None
    await account.pull(timedelta(minutes=6))

    assert halfway == [(first, False, "deleted"), (last, True, None)]
    assert await account.world.facts("closed_revenue") == [(first, False, "deleted"), (last, False, "deleted")]
    assert await account.world.owed("closed_revenue", first) == [ACCEPTED, ("retract", "pending", "new")]
    assert await account.world.owed("closed_revenue", last) == [ACCEPTED, ("retract", "pending", "new")]


async def test_a_source_that_was_pulled_before_there_were_listings_is_listed_at_once(database: Database) -> None:
    """It may hold revenue of deals that were deleted long ago."""
    account = await account_of(database)
    await account.pull()
    async with database.write() as connection:
        await connection.execute(update(cursors).values(deletions_listed_at=None))

    await account.pull(timedelta(minutes=1))
    await account.pull(timedelta(minutes=1))

    async with database.read() as connection:
        listed = set(await connection.scalars(select(cursors.c.deletions_listed_at)))
    assert account.listings == 1
    assert None not in listed


async def test_a_reader_that_was_overtaken_does_not_say_that_it_listed(database: Database) -> None:
    """Its successor may still be reading: the day would pass without a listing."""
    account = await account_of(database)
    await account.pull()

    async with database.write() as connection:
        await connection.execute(update(cursors).values(fence=LEASE.fence + 1))
        await note_deletions_listed(connection, 1, ObjectKind.DEAL, LEASE.fence, day(50))

    async with database.read() as connection:
        assert set(await connection.scalars(select(cursors.c.deletions_listed_at))) == {to_ms(FIRST_PULL)}
