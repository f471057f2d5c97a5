"""A process that is told to stop ends its turn after the page or batch under way; what it did not send is free."""

from collections import Counter

from sqlalchemy import select

from app.db.session import Database
from app.db.tables import leases
from app.dispatch.dispatcher import Dispatcher
from app.ingest.poller import Poller
from connectors.contract.records import ObjectKind
from tests.fingerprints import told
from tests.integration.delivery_rig import owed_to_google
from tests.integration.recorder_rig import LEASE, world_of
from tests.integration.test_turns import SlowCrm


async def test_a_stopping_dispatcher_sends_no_further_batch_and_keeps_no_claim(database: Database) -> None:
    """Rows that stay claimed by a process that is gone wait for minutes, and then count as a try of unknown effect."""
    async with owed_to_google(database, 5) as (owed, platform):
        owed.batch_rows = 2
        drainer = Dispatcher(
            database, owed, owed, owed.clock, "one", owed, fingerprint=told, is_stopping=lambda: len(platform.received()) > 0
        )

        summary = await drainer.drain(1)
        again = await drainer.drain(1)

        assert (summary.sent, again.sent, again.requests) == (2, 0, 0)
        assert Counter(one.state for one in (await owed.found()).values()) == {"accepted": 2, "pending": 3}
        assert await _held(database) == []
        assert (await owed.drain()).sent == 3


async def test_a_stopping_poller_reads_no_further_page_and_goes_on_later(database: Database) -> None:
    """A backfill takes hours and a deployment must not wait for it, nor begin it anew."""
    world, crm = await world_of(database), SlowCrm()
    is_stopping = False
    poller = Poller(
        database, world.recorder, LEASE.holder, lambda: crm.now, is_stopping=lambda: is_stopping or len(crm.read) == 2
    )

    await poller.pull(world.source, crm)
    assert crm.read == ["contact 0", "contact 1"]
    assert await _held(database) == []
    is_stopping = True
    await poller.pull(world.source, crm)
    assert len(crm.read) == 2, "nothing is begun"

    await Poller(database, world.recorder, "two", lambda: crm.now).pull(world.source, crm)
    assert crm.read == [*(f"contact {number}" for number in range(crm.pages[ObjectKind.CONTACT])), "deal 0"]


async def _held(database: Database) -> list[str]:
    async with database.read() as connection:
        return list(await connection.scalars(select(leases.c.name).where(leases.c.holder != "")))
