from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from app.db.session import Database
from app.db.tables import conversions, deliveries, target_pauses
from app.dispatch.model import MilestoneTerms
from app.dispatch.verdicts import VerdictCollector
from connectors.contract.conversions import Money, UploadRow
from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, Unavailable
from connectors.contract.results import Accepted, Later, NotProcessed, Retry, TargetRefused, UploadResult, VerdictReply, Verdicts
from tests.integration.test_dispatch import NOW, TARGET, Late, World, accept, world_of

ONE, TWO = Money(1_000_000, "EUR"), Money(2_000_000, "EUR")
NO_ANSWER = Unavailable("no answer", effect=Effect.UNKNOWN)


class Keeps(Late):
    """A platform that remembers with which value each conversion came; its first answer is given, then it takes all."""

    def __init__(self, first: UploadResult | ConnectorError) -> None:
        super().__init__(accept)
        self.first: UploadResult | ConnectorError | None = first
        self.values: list[Mapping[str, Money | None]] = []

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        self.values.append({row.conversion_id: row.money for row in rows})
        first, self.first = self.first, None
        if isinstance(first, ConnectorError):
            raise first
        return [first if first is not None else Accepted()] * len(rows)

    async def verdict(self, receipt: str, sent: int, now: datetime) -> VerdictReply:
        return Verdicts({0: TargetRefused("Lead", "NO_SUCH_ACTION")})


async def worth(database: Database, money: Money) -> None:
    """What the CRM says now."""
    async with database.write() as connection:
        values = {"amount_micros": money.amount_micros, "currency": money.currency, "value_state": "ready"}
        await connection.execute(update(conversions).values(**values))


async def keeping(database: Database, first: UploadResult | ConnectorError, rows: int = 1) -> tuple[World, Keeps]:
    """Conversions worth ONE, at a platform that answers the first request so."""
    world = await world_of(database, accept, rows)
    platform = world.fake = Keeps(first)
    await worth(database, ONE)
    return world, platform


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (AuthenticationFailed("token"), TWO),
        (RateLimited("slow"), TWO),
        (TargetRefused("Lead", "NO_SUCH_ACTION"), TWO),
        (Later(NOW + timedelta(hours=1), "TOO_RECENT"), TWO),
        (Retry("INTERNAL"), ONE),
        (NO_ANSWER, ONE),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, Money) else "",
)
async def test_only_a_try_that_may_have_had_an_effect_freezes_what_is_sent(
    database: Database, first: UploadResult | ConnectorError, second: Money
) -> None:
    """A repeat must equal what the platform may have; where it has nothing, an old value would need a correction at once."""
    world, platform = await keeping(database, first)
    await world.drain()

    await worth(database, TWO)
    world.clock.now += timedelta(hours=2)
    await world.drain()

    assert [values["ll1"] for values in platform.values] == [ONE, second]


async def test_what_was_given_back_after_a_refused_request_is_not_frozen(database: Database) -> None:
    """Half of a refused request goes again, fails, and the other half is put back as it was: untried."""
    world, platform = await keeping(database, NotProcessed("garbage"), rows=2)
    pausing = platform.upload

    async def then_down(rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        if len(platform.values) == 1:
            platform.first = RateLimited("slow")
        return await pausing(rows, now)

    platform.upload = then_down  # type: ignore[method-assign]  # this fake's own
    await world.drain()

    async with database.read() as connection:
        assert list(await connection.scalars(select(deliveries.c.frozen))) == [False, False]


async def test_a_row_whose_target_is_refused_late_carries_what_is_true_when_it_goes_again(database: Database) -> None:
    """The platform recorded nothing; days may pass until the target is mended."""
    world, platform = await keeping(database, Accepted("0", 0))
    await world.drain()
    world.clock.now += timedelta(hours=1)
    await VerdictCollector(database, world, world.clock).collect(1)

    await worth(database, TWO)
    world.clock.now += timedelta(hours=2)
    await world.drain()

    assert [values["ll1"] for values in platform.values] == [ONE, TWO]


async def test_what_a_wrong_target_refused_goes_to_the_mended_one(database: Database) -> None:
    """The mapping was wrong when the conversions were owed; mending it must be enough, for what was tried and what was not."""
    wrong, right = '{"event_name":"Leed"}', '{"event_name":"Lead"}'
    world = await world_of(database, accept, 2)
    world.batch_rows = 1

    def answer(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        name = rows[0].target.get("event_name") or ""
        return accept(rows) if name == "Lead" else [TargetRefused(name, "NO_SUCH_EVENT")]

    world.fake.answer, world.terms = answer, MilestoneTerms(target=wrong)
    await world.drain()

    async with database.read() as connection:
        assert list(await connection.scalars(select(target_pauses.c.target))) == [wrong]
    world.terms = MilestoneTerms(target=right)
    world.clock.now += timedelta(hours=2)
    await world.drain()

    assert {row[0] for row in (await world.rows()).values()} == {"accepted"}
    async with database.read() as connection:
        assert set(await connection.scalars(select(deliveries.c.target))) == {right}


async def test_what_may_have_gone_to_a_target_is_repeated_at_that_target(database: Database) -> None:
    """Under another target the platform would count the same conversion once more."""
    world, platform = await keeping(database, NO_ANSWER)
    await world.drain()

    world.terms = MilestoneTerms(target='{"event_name":"Other"}')
    world.clock.now += timedelta(hours=2)
    await world.drain()

    assert len(platform.values) == 2
    async with database.read() as connection:
        assert list(await connection.scalars(select(deliveries.c.target))) == [TARGET]
