from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.connections import repository as connections
from app.connections.repository import Role
from app.db.session import Database
from app.db.tables import destinations, target_pauses, tries
from app.dispatch.verdicts import VerdictCollector
from app.outbox.verdict_repository import accepted_under
from connectors.contract.conversions import UploadRow
from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, Unavailable, UnexpectedReply
from connectors.contract.results import Accepted, Rejected, TargetRefused, UploadResult, VerdictReply, Verdicts
from tests.integration.test_dispatch import TARGET, Late, World, accept, world_of

PAUSE = timedelta(minutes=5)
THROTTLED = RateLimited("slow down", retry_after=PAUSE, code="THROTTLED")


class Confirming(Late):
    """Takes everything, each upload under a receipt of its own; what it says later is set by the receipt, else confirmed."""

    def __init__(self, replies: Mapping[str, VerdictReply | Exception]) -> None:
        super().__init__(self.take)
        self.replies = dict(replies)
        self.asked: list[str] = []

    def take(self, rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        return [Accepted(str(len(self.sent) - 1), place) for place, _ in enumerate(rows)]

    async def verdict(self, receipt: str, sent: int, now: object) -> VerdictReply:
        self.asked.append(receipt)
        reply = self.replies.get(receipt, Verdicts())
        if isinstance(reply, Exception):
            raise reply
        return reply


async def accepted_rows(
    database: Database, replies: Mapping[str, VerdictReply | Exception], *, rows: int = 3, together: int = 1
) -> tuple[World, Confirming, VerdictCollector]:
    """Rows that were accepted half an hour ago, `together` of them under each receipt `0`, `1` and so on."""
    world = await world_of(database, accept, rows)
    platform = world.fake = Confirming(replies)
    world.batch_rows = together
    await world.drain()
    world.clock.now += timedelta(minutes=31)
    return world, platform, VerdictCollector(database, world, world.clock)


@pytest.mark.parametrize(
    "error",
    [AuthenticationFailed("not yours"), UnexpectedReply("garbage", effect=Effect.NONE), KeyError("status")],
    ids=["refused", "garbage", "fault of the connector"],
)
async def test_a_receipt_that_cannot_be_asked_for_does_not_hold_up_the_others(database: Database, error: Exception) -> None:
    """One receipt of an account of old must not keep every later upload unconfirmed, nor be asked for without end."""
    world, platform, collector = await accepted_rows(database, {"0": error})

    await collector.collect(1)
    await collector.collect(1)

    assert [row[0] for row in (await world.rows()).values()] == ["accepted", "confirmed", "confirmed"]
    assert platform.asked == ["0", "1", "2"]
    del platform.replies["0"]
    world.clock.now += timedelta(hours=1)
    await collector.collect(1)
    assert (await world.rows())["ll1"][0] == "confirmed"


@pytest.mark.parametrize("error", [THROTTLED, Unavailable("away", effect=Effect.NONE, retry_after=PAUSE)])
async def test_a_platform_that_asks_for_quiet_gets_it(database: Database, error: ConnectorError) -> None:
    """Asking on for fifty verdicts while throttled is how an account gets blocked."""
    world, platform, collector = await accepted_rows(database, {"0": error})

    await collector.collect(1)

    assert platform.asked == ["0"]
    async with database.read() as connection:
        until = await connection.scalar(select(destinations.c.paused_until))
    assert until == int((world.clock.now + PAUSE).timestamp() * 1000)
    await collector.collect(1)
    assert platform.asked == ["0", "1", "2"]


async def test_a_throttled_question_does_not_end_the_pause_of_refused_credentials(database: Database) -> None:
    """A pause until a check is clean would be over in a minute, and the next upload refused again."""
    _, _, collector = await accepted_rows(database, {"0": THROTTLED})
    async with database.write() as connection:
        await connections.pause(connection, Role.DESTINATION, 1, "AuthenticationFailed", None)

    await collector.collect(1)

    async with database.read() as connection:
        row = (await connection.execute(select(destinations.c.pause_reason, destinations.c.paused_until))).one()
    assert tuple(row) == ("AuthenticationFailed", None)


async def test_a_target_refused_late_is_paused_as_one_refused_at_once(database: Database) -> None:
    """Else every conversion of a wrong target is sent, accepted and refused again each hour."""
    world, _, collector = await accepted_rows(
        database, {"0": Verdicts({0: TargetRefused("Lead", "NO_SUCH_ACTION")})}, rows=2, together=2
    )

    await collector.collect(1)

    assert [row[:2] for row in (await world.rows()).values()] == [("pending", "paused"), ("confirmed", "confirmed")]
    async with database.read() as connection:
        paused = (await connection.execute(select(target_pauses.c.target, target_pauses.c.code))).one()
    assert tuple(paused) == (TARGET, "NO_SUCH_ACTION")


async def test_what_the_platform_says_of_a_row_refused_late_is_kept(database: Database) -> None:
    """A trace that shows a refusal without the platform's words cannot say what to mend."""
    _, _, collector = await accepted_rows(database, {"0": Verdicts({1: Rejected("BAD_VALUE", "too large")})}, rows=2, together=2)

    await collector.collect(1)

    async with database.read() as connection:
        kept = (
            await connection.execute(select(tries.c.delivery_id, tries.c.n, tries.c.outcome, tries.c.code, tries.c.message))
        ).all()
    assert [tuple(row) for row in kept] == [(2, 1, "refused", "BAD_VALUE", "too large")]


async def test_a_verdict_finds_its_rows_by_an_index(database: Database) -> None:
    """Ten million settled deliveries must not be read for each of the day's verdicts."""
    statement = accepted_under(7)
    async with database.read() as connection:
        compiled = str(statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
        bound = statement.compile(dialect=connection.dialect)
        if database.is_sqlite:
            values = tuple(bound.params[name] for name in bound.positiontup or ())
            plan = [str(row.detail) for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {bound}", values)]
        else:
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = [str(row[0]) for row in await connection.exec_driver_sql(f"EXPLAIN {compiled}")]

    assert any("ix_deliveries_upload_id" in line for line in plan), plan
