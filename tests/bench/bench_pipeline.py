"""What the pipeline does in a second, on both databases: `make bench` prints it. Compare with the floor in DATA.md."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

import pytest
from sqlalchemy import text

from app.db.session import Database
from app.dispatch.dispatcher import Dispatcher
from app.dispatch.model import DrainSummary, MilestoneTerms, OpenDestination, SourceTerms
from app.secrets import Keyring
from connectors.contract.conversions import Target, UploadRow
from connectors.contract.destination import DestinationLimits
from connectors.contract.findings import Finding
from connectors.contract.results import Accepted, UploadResult
from connectors.contract.versions import ApiVersion
from tests.fingerprints import told
from tests.integration.recorder_rig import LIMITS, World, contact, deal, world_of

PAGES = 10
SETTLED = 300_000


class Platform:
    """A platform that takes everything at once."""

    kind: ClassVar[str] = "fake"
    limits: ClassVar[DestinationLimits] = LIMITS

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        return ()

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        return [Accepted()] * len(rows)

    def api_versions(self) -> Sequence[ApiVersion]:
        return ()


class Desk:
    """Opens the platform and knows the mapping, as far as a drain asks."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    async def open_destination(self, destination_id: int) -> OpenDestination:
        return OpenDestination(destination_id, self.name, Platform())

    async def terms_of(self, source_id: int) -> SourceTerms:
        return SourceTerms("hubspot", {(self.name, one.name): MilestoneTerms() for one in self.world.source.document.milestones})


def _say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}", end="")  # noqa: T201 a bench talks to a person


def _page(number: int) -> list[object]:
    people = range(500 * number, 500 * number + 500)
    contacts = [contact(str(1_000_000 + n), (n / 1e4, "mql"), email=f"{n}@people.example", modified=30 + n / 1e6) for n in people]
    deals = [
        deal(str(5_000_000 + n), (n / 1e4, "won"), people=(str(1_000_000 + n),), amount="5", modified=30 + n / 1e6)
        for n in people
    ]
    return [*contacts, *deals]


async def test_records_and_deliveries_a_second(
    database: Database, database_kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many changes a second are recorded, and how many deliveries go out."""
    world = await world_of(database)
    started = time.perf_counter()
    for number in range(PAGES):
        await world.record(*_page(number))  # type: ignore[arg-type]  # contacts and deals are records
    recorded = PAGES * 1000 / (time.perf_counter() - started)

    desk = Desk(world, world.source.destinations[0].name)
    drained, seconds = await _drain(world, desk, lambda: world.now + timedelta(hours=1))

    _say(capsys, f"{database_kind:>10}: {recorded:7,.0f} changes/s recorded, {drained.sent / seconds:7,.0f} deliveries/s sent")
    assert drained.sent > PAGES * 500


async def test_a_claim_costs_the_same_beside_what_is_settled(
    database: Database, database_kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten million settled deliveries must not slow the next one down."""
    world = await world_of(database)
    await world.record(*_page(0))  # type: ignore[arg-type]  # contacts and deals are records
    desk = Desk(world, world.source.destinations[0].name)
    alone, alone_seconds = await _drain(world, desk, lambda: world.now + timedelta(hours=1))
    async with database.write() as connection:
        numbers = (
            "SELECT value AS n FROM json_each(:all)" if database_kind == "sqlite" else "SELECT generate_series(1, :most) AS n"
        )
        given = {"all": str(list(range(SETTLED)))} if database_kind == "sqlite" else {"most": SETTLED}
        await connection.execute(
            text(
                "INSERT INTO deliveries (id, source_id, conversion_id, destination_id, kind, seq, state, reason, deadline_at, "
                "tries, counted, target, frozen, created_at, settled_at) SELECT 900000000 + n, 1, 900000000 + n, 1, 'upload', 0, "
                f"'accepted', 'delivered', 0, 1, 1, '{{}}', TRUE, 0, 0 FROM ({numbers}) AS numbers"
            ),
            given,
        )
    await world.record(*_page(1))  # type: ignore[arg-type]  # contacts and deals are records
    beside, beside_seconds = await _drain(world, desk, lambda: world.now + timedelta(hours=1))

    assert beside.sent == alone.sent > 0
    _say(
        capsys,
        f"{database_kind:>10}: {alone.sent / alone_seconds:7,.0f} deliveries/s alone, "
        f"{beside.sent / beside_seconds:7,.0f} beside {SETTLED:,} settled ones",
    )


async def _drain(world: World, desk: Desk, clock: Callable[[], datetime]) -> tuple[DrainSummary, float]:
    keyring = Keyring([b"k" * 32])
    async with world.database.write() as connection:  # the rig holds every lease when it records
        await connection.execute(text("UPDATE leases SET until = 0 WHERE name LIKE 'drain:%'"))
    started = time.perf_counter()
    drained = await Dispatcher(world.database, desk, keyring, clock, "bench", desk, fingerprint=told).drain(1)
    return drained, time.perf_counter() - started
