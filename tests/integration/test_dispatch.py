from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil, log2
from typing import ClassVar

import orjson
import pytest
from sqlalchemy import select, update

from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries, destinations, identities, leads, leases, records, tries
from app.dispatch.dispatcher import LEASE, Dispatcher
from app.dispatch.model import DrainSummary, MilestoneTerms, OpenDestination, SourceTerms
from app.dispatch.verdicts import VerdictCollector
from connectors.contract.conversions import Identifier, Target, UploadRow, bit_mask
from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.errors import Effect, Unavailable, UnexpectedReply
from connectors.contract.findings import Finding
from connectors.contract.results import Accepted, NotProcessed, Rejected, Unnamed, UploadResult, VerdictReply, Verdicts
from connectors.contract.versions import ApiVersion
from tests.fingerprints import told

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
IDENTIFIERS = {Identifier.EMAIL_SHA256: "aa"}
TARGET = orjson.dumps({"event_name": "Lead"}).decode()
Answer = Callable[[Sequence[UploadRow]], Sequence[UploadResult]]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Died(BaseException):
    """The process ends."""


class Fake:
    """A platform that answers as the test says and remembers what it was sent."""

    kind: ClassVar[str] = "fake"
    limits: ClassVar[DestinationLimits] = DestinationLimits(
        rows=1000,
        age_with_click=timedelta(days=90),
        age_without_click=timedelta(days=90),
        identifiers=frozenset(IDENTIFIERS),
        click_identifiers=frozenset(),
        sufficient=(frozenset(IDENTIFIERS),),
    )

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.sent: list[list[str]] = []

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        return ()

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        self.sent.append([row.conversion_id for row in rows])
        return self.answer(rows)

    def api_versions(self) -> Sequence[ApiVersion]:
        return ()


class World:
    """One destination `1`, the clock, and drainers of it."""

    def __init__(self, database: Database, fake: Fake) -> None:
        self.database, self.fake, self.clock = database, fake, Clock()
        self.batch_rows: int | None = None
        self.terms = MilestoneTerms()
        self.waits: list[float] = []

    async def open_destination(self, destination_id: int) -> OpenDestination:
        return OpenDestination(destination_id, "fake", self.fake, batch_rows=self.batch_rows)

    async def terms_of(self, source_id: int) -> SourceTerms:
        return SourceTerms("hubspot", {("fake", "lead"): self.terms})

    def open(self, sealed: bytes) -> bytes:
        return sealed

    async def drain(self, holder: str = "one") -> DrainSummary:
        return await Dispatcher(self.database, self, self, self.clock, holder, self, self.wait, fingerprint=told).drain(1)

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def rows(self) -> dict[str, tuple[str, str, int, int]]:
        """By conversion: state, reason, tries, counted tries."""
        query = select(conversions.c.uid, deliveries.c.state, deliveries.c.reason, deliveries.c.tries, deliveries.c.counted).join(
            conversions, conversions.c.id == deliveries.c.conversion_id
        )
        async with self.database.read() as connection:
            return {row[0]: (row[1], row[2], row[3], row[4]) for row in await connection.execute(query)}


async def world_of(database: Database, answer: Answer, count: int) -> World:
    """`count` leads, each with one conversion owed to the destination; its uid is `ll` and its number."""
    now, sealed = to_ms(NOW), orjson.dumps({str(name): value for name, value in IDENTIFIERS.items()})
    at = to_ms(NOW - timedelta(days=1))
    numbers = range(1, count + 1)
    async with database.write() as connection:
        named = {"id": 1, "name": "fake", "kind": "fake", "settings_sealed": b"", "created_at": now}
        await insert_rows(connection, destinations, [named])
        await insert_rows(
            connection,
            leads,
            [{"id": n, "source_id": 1, "identity_id": n, "consent": "granted,granted", "created_at": at} for n in numbers],
        )
        has = bit_mask(IDENTIFIERS)
        await insert_rows(connection, identities, [{"id": n, "lead_id": n, "has": has, "sealed": sealed} for n in numbers])
        record = {"source_id": 1, "object": "contact", "state": "live", "modified_at": at, "fields_sealed": b""}
        await insert_rows(connection, records, [{**record, "id": n, "external_id": str(n), "lead_id": n} for n in numbers])
        conversion = {
            "source_id": 1, "milestone": "lead", "scope_kind": "person", "occurrence": 0, "occurred_at": at,
            "implied": False, "mapping_version": 1, "value_state": "none", "live": True,
        }  # fmt: skip
        await insert_rows(
            connection,
            conversions,
            [{**conversion, "id": n, "uid": f"ll{n}", "scope_key": str(n), "record_id": n, "lead_id": n} for n in numbers],
        )
        delivery = {
            "source_id": 1, "destination_id": 1, "kind": "upload", "seq": 0, "state": "pending", "reason": "new",
            "due_at": at, "deadline_at": to_ms(NOW + timedelta(days=30)), "target": TARGET, "created_at": at,
        }  # fmt: skip
        await insert_rows(connection, deliveries, [{**delivery, "id": n, "conversion_id": n} for n in numbers])
    return World(database, Fake(answer))


def accept(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
    return [Accepted()] * len(rows)


@pytest.mark.parametrize("bad", [1, 500, 1000])
async def test_one_bad_row_costs_its_neighbours_a_few_requests_and_no_try(database: Database, bad: int) -> None:
    """A platform that refuses whole requests without naming the row must not stop everybody's conversions."""

    def answer(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        is_bad = any(row.conversion_id == f"ll{bad}" for row in rows)
        return [NotProcessed("garbage")] * len(rows) if is_bad else accept(rows)

    world = await world_of(database, answer, 1000)
    summary = await world.drain()

    found = await world.rows()
    assert found.pop(f"ll{bad}") == ("pending", "retry", 1, 1)
    assert set(found.values()) == {("accepted", "delivered", 1, 1)}
    assert summary.requests - 1 <= 2 * log2(1000) + 2
    async with database.read() as connection:
        assert [row.delivery_id for row in await connection.execute(select(tries.c.delivery_id))] == [bad]


async def test_a_named_bad_row_costs_one_more_request(database: Database) -> None:
    """Where the platform names the row there is nothing to search."""

    def answer(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        if all(row.conversion_id != "ll7" for row in rows):
            return accept(rows)
        return [Rejected("bad") if row.conversion_id == "ll7" else NotProcessed() for row in rows]

    world = await world_of(database, answer, 100)
    summary = await world.drain()

    found = await world.rows()
    assert found.pop("ll7") == ("rejected", "refused", 1, 1)
    assert set(found.values()) == {("accepted", "delivered", 1, 1)}
    assert summary.requests == 2


@pytest.mark.parametrize("answer", [lambda rows: accept(rows)[1:], lambda rows: [*accept(rows), Accepted()]])
async def test_a_reply_that_does_not_add_up_settles_nothing(database: Database, answer: Answer) -> None:
    """Results shifted by one row would mark the wrong conversions as delivered."""
    world = await world_of(database, answer, 3)
    summary = await world.drain()

    assert set((await world.rows()).values()) == {("pending", "retry", 1, 1)}
    assert (summary.accepted, len(world.fake.sent), bool(summary.failure)) == (0, 1, True)
    world.clock.now += timedelta(hours=1)
    await world.drain()
    assert {row[:2] for row in (await world.rows()).values()} == {("uncertain", "unknown_effect")}
    assert len(world.fake.sent) == 1, "without a dedup window a try of unknown effect is never repeated"


async def test_a_failure_without_effect_costs_no_try(database: Database) -> None:
    """An outage of a week must not use up the tries of what waits."""

    def answer(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        raise Unavailable("no route", effect=Effect.NONE)

    world = await world_of(database, answer, 3)
    await world.drain()
    assert {(row[0], row[3]) for row in (await world.rows()).values()} == {("pending", 0)}

    world.fake.answer = accept
    assert (await world.drain()).accepted == 3


@pytest.mark.parametrize(("window", "states"), [(None, {"uncertain"}), (timedelta(days=7), {"accepted"})])
async def test_a_lease_that_ran_out_while_sending_is_a_try_of_unknown_effect(
    database: Database, window: timedelta | None, states: set[str]
) -> None:
    """A process that dies after sending leaves conversions that may be counted already."""

    def die(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        raise Died

    world = await world_of(database, die, 3)
    limits = Fake.limits
    world.fake.limits = DestinationLimits(  # type: ignore[misc]  # this fake's own
        **{name: getattr(limits, name) for name in limits.__slots__ if name != "dedup_window"}, dedup_window=window
    )
    with pytest.raises(Died):
        await world.drain()
    world.fake.answer = accept
    assert (await world.drain("two")).sent == 0, "not before the lease has run out"

    world.clock.now += LEASE + timedelta(seconds=1)
    await world.drain("two")

    found = await world.rows()
    assert {row[0] for row in found.values()} == states
    assert {row[3] for row in found.values()} == {1 if window is None else 2}


async def test_a_row_that_a_dead_drainer_never_came_to_is_no_try(database: Database) -> None:
    """Claimed together, sent in two requests: who died during the first says nothing about the rows of the second."""

    def die(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        raise Died

    world = await world_of(database, die, 4)
    world.batch_rows = 2
    with pytest.raises(Died):
        await world.drain()

    world.fake.answer = accept
    world.clock.now += LEASE + timedelta(seconds=1)
    await world.drain("two")

    found = await world.rows()
    assert [row[0] for row in found.values()] == ["uncertain", "uncertain", "accepted", "accepted"]
    assert found["ll3"] == ("accepted", "delivered", 1, 1)


async def test_a_drainer_that_lost_its_lease_sends_nothing_more(database: Database) -> None:
    """Two drainers with the same rows would send every conversion twice."""
    world = await world_of(database, accept, 4)

    def slow(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        world.clock.now += LEASE + timedelta(minutes=1)
        return [NotProcessed()] * len(rows)

    world.fake.answer = slow
    original = Dispatcher._settle

    async def taken_over(self: Dispatcher, *given: object, learns: bool) -> None:
        await original(self, *given, learns=learns)  # type: ignore[arg-type]  # as it was called
        until = to_ms(world.clock.now + LEASE)
        async with database.write() as connection:
            await connection.execute(update(leases).values(holder="two", until=until))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatcher, "_settle", taken_over)
        summary = await world.drain()

    assert summary.is_busy
    assert len(world.fake.sent) == 1


async def test_a_second_drainer_waits_its_turn(database: Database) -> None:
    """One drainer per destination at a time."""
    world = await world_of(database, accept, 1)
    async with database.write() as connection:
        held = {"name": "drain:1", "holder": "two", "fence": 1, "until": to_ms(NOW + LEASE)}
        await insert_rows(connection, leases, [held])

    assert (await world.drain()).is_busy
    assert world.fake.sent == []


class Late(Fake):
    """A platform that takes everything and says later how many failed, but not which."""

    limits: ClassVar[DestinationLimits] = DestinationLimits(
        **{name: getattr(Fake.limits, name) for name in Fake.limits.__slots__ if name not in ("verdict_after", "dedup_window")},
        verdict_after=timedelta(minutes=30),
        dedup_window=FOREVER,
    )

    async def verdict(self, receipt: str, sent: int, now: datetime) -> VerdictReply:
        rows = self.sent[int(receipt)]
        assert len(rows) == sent
        return Unnamed(1, "BAD_ROW") if "ll7" in rows else Verdicts()


async def test_a_late_failure_that_names_no_row_is_cornered_in_halves(database: Database) -> None:
    """Neighbours of a row that fails late must not circle with it until their windows close."""
    world = await world_of(database, accept, 100)
    late = world.fake = Late(lambda rows: [Accepted(str(len(late.sent) - 1), place) for place, _ in enumerate(rows)])
    collector = VerdictCollector(database, world, world.clock)

    for _ in range(20):
        await world.drain()
        world.clock.now += timedelta(hours=12)
        await collector.collect(1)

    found = await world.rows()
    assert found.pop("ll7")[0] == "rejected"
    assert {row[0] for row in found.values()} == {"confirmed"}
    assert len(late.sent) <= 2 * ceil(log2(100)) + 1


async def test_a_row_that_spoils_every_reply_is_cornered_too(database: Database) -> None:
    """A platform that drops one row and tells only a smaller count must not keep its neighbours uncertain."""

    def answer(rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        if any(row.conversion_id == "ll7" for row in rows):
            raise UnexpectedReply("took fewer than were sent", effect=Effect.UNKNOWN)
        return accept(rows)

    world = await world_of(database, answer, 100)
    world.fake = Late(answer)

    for _ in range(12):
        await world.drain()
        world.clock.now += timedelta(hours=3)

    found = await world.rows()
    assert found.pop("ll7")[0] == "pending"
    assert {row[0] for row in found.values()} == {"accepted"}
