"""Corrections that a platform turns down, on both databases: no effect, a reason, the books' difference, and the way back."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, select

from app.db.bulk import insert_rows
from app.db.session import Database
from app.db.tables import destinations, leases, tries
from app.dispatch.dispatcher import Dispatcher
from app.dispatch.model import MilestoneTerms, OpenDestination, SourceTerms
from app.reports.books import BooksQuery, books
from app.secrets import Keyring
from connectors.contract.conversions import DeliveryKind, Money, UploadRow
from connectors.contract.records import RecordState
from connectors.contract.results import Accepted, Unsupported, UploadResult
from connectors.simulators.google import ADS_SCOPE, DATA_MANAGER_SCOPE
from tests.fingerprints import told
from tests.integration.ad_rig import DAY, NOW, AdWorld, ad_world
from tests.integration.recorder_rig import LIMITS, World, contact, deal, world_of
from tests.integration.test_dispatch import Fake, accept

SALE = "closed_revenue"
GONE = {"state": RecordState.DELETED, "people": None}


def allow(world: AdWorld, *, takes: bool) -> None:
    """Whether the platform takes corrections: by the scopes of the grant (Google), by the goals' kind (Microsoft)."""
    platform: Any = world.stage.platform  # type: ignore[attr-defined]  # these stages' own
    if world.stage.kind == "google":
        (token,) = platform.desk.tokens.values()
        scopes = (DATA_MANAGER_SCOPE, ADS_SCOPE) if takes else (DATA_MANAGER_SCOPE,)
        platform.add_token(token.value, token.accounts, token.expires_at, scopes)
        return
    for goal in platform.goals.values():
        goal.takes_adjustments = takes


async def tries_of(database: Database, delivery_id: int) -> list[tuple[str, str]]:
    async with database.read() as connection:
        rows = await connection.execute(select(tries.c.outcome, tries.c.code).where(tries.c.delivery_id == delivery_id))
        return [(row.outcome, row.code) for row in rows]


@pytest.mark.parametrize("kind", ["google", "microsoft"])
async def test_a_retraction_that_is_turned_down_ends_with_its_reason(database: Database, kind: str) -> None:
    """The platform goes on counting: the trace has its code, the books say by how much."""
    async with ad_world(database, kind) as world:
        for number in (1, 2):
            await world.owe(number, NOW - DAY, euros=50 * number)
        await world.drain_over(2 * DAY)
        allow(world, takes=False)
        await world.correct(2, "retract")

        await world.drain_over(5 * DAY)

        standing = (await world.found(seq=1))[2]
        assert (standing.state, standing.reason, standing.counted) == ("skipped", "unsupported", 0)
        assert standing.code
        assert await tries_of(database, 1002) == [("unsupported", standing.code)]
        assert (world.stage.counted(world.rows[2]), world.stage.value_of(world.rows[2])) == (1, Decimal(100))
        report = await books(database, BooksQuery())
        (difference,) = report.differences
        assert (difference.told, difference.true) == (1, 0)
        assert difference.overstated_micros == 100_000_000


@pytest.mark.parametrize("kind", ["google", "microsoft"])
async def test_uploads_go_on_where_corrections_are_turned_down(database: Database, kind: str) -> None:
    """A grant without the right to correct is no broken connection: nothing is paused, and later ones are asked again."""
    async with ad_world(database, kind) as world:
        for number in (1, 2):
            await world.owe(number, NOW - DAY)
        await world.drain_over(2 * DAY)
        allow(world, takes=False)
        await world.correct(1, "retract")
        await world.drain()
        await world.owe(3, NOW - DAY)
        allow(world, takes=True)
        await world.correct(2, "retract")

        await world.drain_over(3 * DAY)

        assert [world.stage.counted(world.rows[number]) for number in (1, 2, 3)] == [1, 0, 1]
        assert (await world.found())[3].state in ("accepted", "confirmed")
        async with database.read() as connection:
            assert await connection.scalar(select(destinations.c.pause_reason)) is None


class Stubborn(Fake):
    """A platform that restates; `takes_back` says whether it retracts."""

    limits = LIMITS

    def __init__(self) -> None:
        super().__init__(accept)
        self.takes_back = False
        self.asked: list[tuple[str, str, Money | None]] = []

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        self.asked += [(str(row.kind), row.conversion_id, row.money) for row in rows]
        return await super().upload(rows, now)

    async def adjust(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        self.asked += [(str(row.kind), row.conversion_id, row.money) for row in rows]
        is_taken = self.takes_back or rows[0].kind is DeliveryKind.RESTATE
        return [Accepted() if is_taken else Unsupported("NO_RIGHT") for _ in rows]


class Loop:
    """A recorder and a dispatcher around one platform: what the CRM says is recorded, sent, and its outcome recorded on."""

    def __init__(self, world: World) -> None:
        self.world, self.platform = world, Stubborn()

    async def open_destination(self, destination_id: int) -> OpenDestination:
        return OpenDestination(destination_id, "meta", self.platform)

    async def terms_of(self, source_id: int) -> SourceTerms:
        return SourceTerms("hubspot", {("meta", SALE): MilestoneTerms()})

    async def drain(self) -> list[tuple[str, str, Money | None]]:
        """What the platform is asked, two days later."""
        self.world.now += timedelta(days=2)
        before = len(self.platform.asked)
        opener = Keyring([b"k" * 32])
        async with self.world.database.write() as connection:  # the recorder's rig holds every lease for ever
            await connection.execute(delete(leases).where(leases.c.name == "drain:1"))
        await Dispatcher(self.world.database, self, opener, lambda: self.world.now, "one", self, fingerprint=told).drain(1)
        return self.platform.asked[before:]


async def lost_for_good(database: Database) -> tuple[World, Loop, str]:
    """A sale of 5 that the platform has and cannot take back; its conversion's id."""
    world = await world_of(database, {SALE: {"value": {"model": "field", "field": "deal.amount"}}})
    loop = Loop(world)
    async with database.write() as connection:
        named = {"id": 1, "name": "meta", "kind": "fake", "settings_sealed": b"", "created_at": 0}
        await insert_rows(connection, destinations, [named])
    await world.record(contact("101", email="ann@example.com"), deal("202", (3, "won"), amount="5", currency="USD"))
    await loop.drain()
    await world.record(deal("202", **GONE))  # type: ignore[arg-type]  # by name
    await loop.drain()
    ((uid,),) = {(one["uid"],) for one in await world.conversions(SALE)}
    return world, loop, uid


async def test_a_deal_that_comes_back_after_a_refused_retraction_is_the_same_conversion(database: Database) -> None:
    """The platform still counts it under this id: a second occurrence beside it would count the deal twice."""
    world, loop, uid = await lost_for_good(database)
    assert [one[:2] for one in loop.platform.asked] == [("upload", uid), ("retract", uid)]
    assert (await world.owed(SALE))[1] == ("retract", "skipped", "unsupported")

    await world.record(deal("202", (3, "won"), amount="5", currency="USD", modified=31))

    assert [(one["uid"], one["occurrence"], one["live"]) for one in await world.conversions(SALE)] == [(uid, 0, True)]
    assert await loop.drain() == []
    assert (await world.owed(SALE))[0] == ("upload", "accepted", "delivered")


async def test_what_comes_back_with_another_amount_is_restated_under_its_id(database: Database) -> None:
    """It is there, with the old amount."""
    world, loop, uid = await lost_for_good(database)

    await world.record(deal("202", (3, "won"), amount="8", currency="USD", modified=31))

    assert await loop.drain() == [("restate", uid, Money(8_000_000, "USD"))]


async def test_what_is_lost_again_is_taken_back_once_the_right_is_granted(database: Database) -> None:
    """The first refusal had no effect and bars nothing."""
    world, loop, uid = await lost_for_good(database)
    await world.record(deal("202", (3, "won"), amount="5", currency="USD", modified=31))
    loop.platform.takes_back = True

    await world.record(deal("202", modified=32, **GONE))  # type: ignore[arg-type]  # by name

    assert [one[:2] for one in await loop.drain()] == [("retract", uid)]
    assert (await world.owed(SALE))[-1] == ("retract", "accepted", "delivered")
