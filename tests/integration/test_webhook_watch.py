"""Webhooks that fall silent are told, and subscriptions that a CRM took away are made again, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.bootstrap.subscriptions import Subscriptions
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import cursors, webhook_watch
from app.ingest.cursors import CursorMove, Sweep
from app.ingest.door import take_hints
from app.ingest.inbox import put_hints
from app.ingest.watch import count_untold
from app.reports.status import WebhookAddress, read_status
from connectors.contract.errors import RequestRefused
from connectors.contract.findings import FindingStatus
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.source import Hint, SubscriptionsKept
from connectors.crm.hubspot.source import HubSpotSource
from tests.api.conftest import logs
from tests.api.rig import PUBLIC, Rig, rig_on
from tests.integration.recorder_rig import LEASE, World, contact, world_of

__all__ = ["logs"]

CONTACT = ObjectKind.CONTACT
KINDS = frozenset({CONTACT})


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """A house with one source."""
    async with rig_on(tmp_path, database_url) as one:
        yield one


async def _hint(world: World, ref: str = "9") -> None:
    await take_hints(world.database, 1, "8812", KINDS, [Hint(RecordRef(CONTACT, ref), "8812")], world.now)


async def _poll(world: World, *page: Record, sweep: Sweep = Sweep.FAST, counts: bool = True) -> None:
    """Record what a poll found."""
    await world.hold()
    move = CursorMove(CONTACT, world.now, world.now, None, settled=True, sweep=sweep, reach="", counts_untold=counts)
    await world.recorder.record(world.source, page, world.now, LEASE, move=move)


def _changed(world: World, ref: str, minutes_ago: float) -> Record:
    at = world.now - timedelta(minutes=minutes_ago)
    return replace(contact(ref, created=0), modified_at=at)


async def _watch(database: Database) -> tuple[int, int, bool]:
    async with database.read() as connection:
        row = (await connection.execute(select(webhook_watch))).one()
    return row.found_by_poll, row.found_in_all, row.told_at is not None


async def test_changes_that_only_polls_find_are_told_after_an_hour(database: Database, logs: StringIO) -> None:
    """A CRM drops a subscription without a word: conversions then come late, and nobody looks."""
    world = await world_of(database)
    await _hint(world)
    told = []
    for number in range(4):
        world.now += timedelta(minutes=40)
        await _poll(world, _changed(world, str(200 + number), 5))
        told.append((await _watch(database))[2])
    await _poll(world, _changed(world, "300", 5))
    silent = await _watch(database)
    once = logs.getvalue().count("webhook.silent")

    await _hint(world)

    assert told == [False, False, True, True]
    assert (silent, once) == ((5, 5, True), 1)
    assert await _watch(database) == (0, 5, False)


async def test_what_a_webhook_may_still_tell_is_not_counted(database: Database) -> None:
    """A poll is often faster than a webhook; what is stored already, or has nothing new, says nothing."""
    world = await world_of(database)
    await _hint(world)
    await world.record(_changed(world, "101", 30))

    await _poll(world, _changed(world, "201", 1))
    await _poll(world, _changed(world, "101", 20))

    assert await _watch(database) == (0, 0, False)


async def test_a_source_that_never_got_a_webhook_is_not_watched(database: Database) -> None:
    """Webhooks are optional."""
    world = await world_of(database)

    await _poll(world, _changed(world, "201", 5))

    async with database.read() as connection:
        assert list(await connection.execute(select(webhook_watch))) == []


async def test_a_silence_is_in_the_status_and_in_the_check_and_keeps_nothing_from_working(rig: Rig) -> None:
    """Whoever looks must see it with the mend; polls go on, and a pause ends all the same."""
    contact_id = rig.person()
    await rig.deliver(rig.signed([rig.change(contact_id)]))
    quiet = await rig.client.get("/v1/status")
    async with rig.services.database.write() as connection:
        await connection.execute(update(webhook_watch).values(found_by_poll=4, found_since=0, told_at=1))

    status = await rig.client.get("/v1/status")
    findings = dict(await rig.services.check_all())["hubspot"]

    (before,), (after,) = quiet.json()["sources"], status.json()["sources"]
    assert (before["webhooks"]["events"], before["webhooks"]["message"]) == (1, None)
    assert after["webhooks"]["silent_since"] is not None
    assert "subscription" in after["webhooks"]["mend"]
    assert [one.subject for one in findings if one.status is FindingStatus.FAILED] == ["webhooks"]
    assert (await rig.services.sources())[0].pause_reason is None


async def test_a_poll_counts_only_in_its_fast_windows(rig: Rig) -> None:
    """A sweep finds what an index showed late, which no webhook missed."""
    first = rig.person()
    await rig.deliver(rig.signed([rig.change(first)]))
    await rig.services.tick(only_due=False)
    found = []
    for _ in range(2):
        rig.stage.clock.now += timedelta(minutes=5)
        rig.stage.portal.create("contacts", {"email": "b@example.com", "lifecyclestage": "lead"}, rig.stage.clock.now)
        rig.stage.clock.now += timedelta(minutes=4)
        await rig.services.tick()
        found.append((await _watch(rig.services.database))[0])

    assert found == [1, 2]


@dataclass
class Keeper:
    """Stands for a source that keeps its webhooks by API."""

    made: list[tuple[str, ...]]
    asked: list[tuple[str, frozenset[ObjectKind]]] = field(default_factory=list)

    async def keep(self, address: str, kinds: frozenset[ObjectKind]) -> SubscriptionsKept:
        """Make what is next in the list; refuse where there is nothing."""
        self.asked.append((address, kinds))
        if not self.made:
            raise RequestRefused("no right to manage webhooks", status=403)
        return SubscriptionsKept(made=self.made.pop(0))


async def test_subscriptions_are_kept_and_their_gap_is_polled(rig: Rig, logs: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed while there was no subscription is read at once; a refusal is told and pauses nothing."""
    keeper = Keeper([("contact.updated",), ()])

    async def keep(_self: object, address: str, kinds: frozenset[ObjectKind]) -> SubscriptionsKept:
        return await keeper.keep(address, kinds)

    monkeypatch.setattr(HubSpotSource, "keep_webhooks", keep, raising=False)
    await rig.services.tick(only_due=False)
    now = rig.stage.clock.now
    polls, statuses = [], []
    for _ in range(3):
        await rig.services.keep_webhooks(now)
        async with rig.services.database.read() as connection:
            polls.append(set(await connection.scalars(select(cursors.c.next_poll_at > to_ms(rig.stage.clock.now)))))
        await rig.services.tick()
        address = rig.services.webhook_address()
        statuses.append((await read_status(rig.services.database, rig.stage.clock.now, "test", address)).sources[0])

    assert [set(map(bool, one)) for one in polls] == [{False}, {True}, {True}]
    assert {address for address, _ in keeper.asked} == {f"{PUBLIC}{rig.hook_path}"}
    assert CONTACT in keeper.asked[0][1]
    assert logs.getvalue().count("webhook.subscribed") == 1
    errors = [one.webhooks.subscription_error for one in statuses if one.webhooks is not None]
    assert errors == [None, None, "no right to manage webhooks"]
    assert statuses[-1].pause is None


async def test_without_a_public_address_nothing_is_subscribed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of a laptop is of no use to a CRM."""
    keeper = Keeper([])
    monkeypatch.setattr(HubSpotSource, "keep_webhooks", keeper.keep, raising=False)
    services = rig.services
    subscriptions = Subscriptions(services.database, services.clock, services.openers, services.contexts, services.bell)

    await subscriptions.keep(WebhookAddress(None, frozenset({"hubspot"})))

    assert keeper.asked == []


async def test_a_new_stage_is_known_without_a_restart(rig: Rig) -> None:
    """The schema is read again by a clean check and once a day, and is written only where it changed."""
    (before,) = await rig.services.sources()
    rig.stage.clock.now += timedelta(hours=1)
    await rig.services.check_all()
    (same,) = await rig.services.sources()
    rig.stage.portal.define_property("contacts", "brand_new")

    await rig.services.describe_sources(rig.stage.clock.now)

    (after,) = await rig.services.sources()
    assert (same.schema_json, same.described_at) == (before.schema_json, before.described_at)
    assert "brand_new" in (after.schema_json or "")
    assert after.described_at == to_ms(rig.stage.clock.now)


async def test_a_webhook_and_a_poll_of_one_record_wait_for_each_other_in_one_order(database: Database) -> None:
    """Both note a hint and the watch: the other way round each would hold what the other waits for, and one would fail."""
    world = await world_of(database)
    await _hint(world)
    async with database.write() as connection:
        await put_hints(connection, 1, [RecordRef(CONTACT, "9")], to_ms(world.now))
        knocking = asyncio.create_task(_hint(world))
        await asyncio.sleep(1)
        await count_untold(connection, 1, 1, to_ms(world.now))

    await asyncio.wait_for(knocking, 10)

    assert (await _watch(database))[:2] == (0, 1)
