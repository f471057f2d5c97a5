"""Spend that accounts report: read whole, read again while it is corrected, and never at the cost of the uploads."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.bootstrap.failures import NameUnknown
from app.bootstrap.services import Services, open_services
from app.bootstrap.spend_reading import MOST_POLLS, SpendOutcome, SpendRead
from app.config import ConnectionMode, Settings
from app.connections import repository as connections
from app.connections.repository import DestinationRow, Role
from app.connections.settings import seal_settings
from app.db.tables import spend
from app.reports.spend import import_spend
from connectors import registry
from connectors.contract.errors import AuthenticationFailed, Effect, Unavailable
from tests.fake_ads import KIND, FakeAccount, bare_platform, fake_platform

NOW = datetime(2026, 11, 26, 10, tzinfo=UTC)
TODAY = NOW.date()
AT = datetime(2026, 11, 24, tzinfo=UTC)
HEADER = "platform,campaign_id,day,cost,currency,campaign_name\n"


class Clock:
    """A clock that is set, and that moves on while somebody sleeps."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@dataclass
class Rig:
    """Services with one destination of the fake kind, whose account is at hand."""

    services: Services
    account: FakeAccount
    clock: Clock

    async def read(self) -> SpendRead:
        (one,) = await self.services.spend_reading().read("ads")
        return one

    async def row(self) -> DestinationRow:
        (one,) = await self.services.destinations()
        return one

    async def stored(self) -> dict[tuple[str, int], tuple[int, str | None]]:
        """Cost and name by campaign and how many days ago."""
        async with self.services.database.read() as connection:
            found = await connection.execute(select(spend))
            return {
                (row.campaign_id, (TODAY - date.fromisoformat(row.day)).days): (row.cost_micros, row.campaign_name)
                for row in found
            }


@pytest.fixture
async def rig(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    account, clock = FakeAccount(), Clock()
    monkeypatch.setattr(registry, "DESTINATIONS", {KIND: fake_platform(account)})
    settings = Settings(database_url=database_url, secret_key=SecretStr("a secret key for tests"))
    services = await open_services(settings, clock=clock, environ={}, sleep=clock.sleep)
    async with services.database.write() as connection:
        await connections.upsert_destination(connection, "ads", KIND, seal_settings(services.keyring, {}), None, 0)
    yield Rig(services, account, clock)
    await services.close()


def _ago(days: int) -> date:
    return TODAY - timedelta(days=days)


async def test_the_first_reading_goes_ninety_days_back_page_by_page(rig: Rig) -> None:
    """The day somebody connects an account, the quarter's costs must be there, whole, in the account's own money and days."""
    for days in (0, 1, 29, 30, 31, 89, 90, 91):
        rig.account.cost("c1", _ago(days), 1_000_000 + days)
        rig.account.cost("c2", _ago(days), 2_000_000)

    told = await rig.read()

    assert (told.outcome, told.rows) == (SpendOutcome.READ, 14)
    assert told.text() == "ads: 14 rows of spend, 2026-08-28 to 2026-11-26: 21.00 EUR"
    assert set(await rig.stored()) == {(name, days) for name in ("c1", "c2") for days in (0, 1, 29, 30, 31, 89, 90)}
    async with rig.services.database.read() as connection:
        rows = (await connection.execute(select(spend))).all()
    destination = await rig.row()
    assert {(row.platform, row.currency, row.time_zone, row.destination_id) for row in rows} == {
        (KIND, "EUR", "Europe/Berlin", destination.id)
    }
    assert {(row.clicks, row.impressions) for row in rows} == {(3, 30)}
    assert max((last - first).days + 1 for first, last, _ in rig.account.asked) == rig.account.days
    assert (destination.spend_read_at, destination.spend_error) == (int(NOW.timestamp() * 1000), None)


async def test_the_last_week_is_read_again_and_replaced_whole(rig: Rig) -> None:
    """Platforms correct clicks they found to be fraud: what the account no longer reports must cost nothing here either."""
    for days in (2, 20):
        rig.account.cost("c1", _ago(days), 5_000_000)
        rig.account.cost("c2", _ago(days), 7_000_000)
    await rig.read()
    rig.account.asked.clear()
    rig.account.spend.pop(("c2", _ago(2)))
    rig.account.spend.pop(("c2", _ago(20)))
    rig.account.cost("c1", _ago(2), 4_000_000)
    rig.account.cost("c1", _ago(7), 1)

    await rig.read()

    assert {key: cost for key, (cost, _) in (await rig.stored()).items()} == {
        ("c1", 2): 4_000_000,
        ("c1", 7): 1,
        ("c1", 20): 5_000_000,
        ("c2", 20): 7_000_000,
    }
    assert {first for first, _, _ in rig.account.asked} == {_ago(7)}


async def test_what_was_missed_since_the_last_reading_is_read(rig: Rig) -> None:
    """A token that was dead for a month must leave no hole in the costs."""
    await rig.read()
    rig.clock.now = NOW + timedelta(days=40)
    rig.account.asked.clear()

    await rig.read()

    asked = {(first, last) for first, last, _ in rig.account.asked}
    assert min(first for first, _ in asked) == _ago(7)
    assert max(last for _, last in asked) == TODAY + timedelta(days=40)


async def test_a_failure_halfway_leaves_the_days_as_they_were(rig: Rig) -> None:
    """Half a day would halve its cost; the old figures stay until the new ones are whole, and the next reading mends it."""
    for name in ("c1", "c2", "c3"):
        rig.account.cost(name, _ago(1), 1_000_000)
    await rig.read()
    before = await rig.stored()
    for name in ("c1", "c2", "c3"):
        rig.account.cost(name, _ago(1), 9_000_000)

    def fails(_first: date, _last: date, page: str | None) -> None:
        if page is not None:
            raise Unavailable("the platform is away", effect=Effect.NONE)

    rig.account.fails = fails
    told = await rig.read()

    assert (told.outcome, told.message) == (SpendOutcome.FAILED, "the platform is away")
    assert await rig.stored() == before
    row = await rig.row()
    assert (row.spend_read_at, row.spend_error) == (int(NOW.timestamp() * 1000), "the platform is away")

    rig.account.fails = lambda *_: None
    await rig.read()
    assert {cost for cost, _ in (await rig.stored()).values()} == {9_000_000}
    assert (await rig.row()).spend_error is None


async def test_slices_that_were_read_stay_when_a_later_one_fails(rig: Rig) -> None:
    """An account of a quarter is long to read: what is there is there, and reading is not done before it all is."""
    rig.account.cost("c1", _ago(80), 1_000_000)

    def fails(_first: date, last: date, _page: str | None) -> None:
        if last > _ago(40):
            raise Unavailable("away", effect=Effect.NONE)

    rig.account.fails = fails
    await rig.read()

    assert set(await rig.stored()) == {("c1", 80)}
    assert (await rig.row()).spend_read_at is None


async def test_a_refusal_of_spend_does_not_pause_the_uploads(rig: Rig) -> None:
    """A token that may upload and not report is a usual token: conversions must go on."""

    def fails(*_: object) -> None:
        raise AuthenticationFailed("the token lacks r_ads_reporting", code="ACCESS_DENIED")

    rig.account.fails = fails
    await rig.services.spend_reading().run(NOW)

    row = await rig.row()
    assert not row.is_paused(int(NOW.timestamp() * 1000))
    assert row.spend_error == "the token lacks r_ads_reporting"


async def test_no_account_named_is_no_failure(rig: Rig) -> None:
    """Whoever wants no spend read must not be told every morning that something is broken."""

    def fails(*_: object) -> None:
        raise ValueError("set `ad_account_id`")

    rig.account.fails = fails
    told = await rig.read()

    assert told.outcome is SpendOutcome.NO_ACCOUNT
    assert "set `ad_account_id`" in told.text()


async def test_a_reply_that_cannot_be_read_is_a_failure(rig: Rig) -> None:
    """A mistake of the code on the second page must not be told as a missing setting."""
    for number in range(3):
        rig.account.cost(f"c{number}", _ago(1), 1)

    def fails(_first: date, _last: date, page: str | None) -> None:
        if page is not None:
            raise ValueError("not a day")

    rig.account.fails = fails
    assert (await rig.read()).outcome is SpendOutcome.FAILED


async def test_a_report_in_the_making_is_waited_for(rig: Rig) -> None:
    """TikTok and Microsoft make reports first; the wait is theirs to say."""
    rig.account.pending, rig.account.wait = 3, timedelta(seconds=7)
    rig.account.cost("c1", _ago(0), 1)

    told = await rig.read()

    assert (told.outcome, told.rows, rig.clock.slept) == (SpendOutcome.READ, 1, [7.0, 7.0, 7.0])


async def test_a_report_that_is_never_made_is_given_up_until_the_next_time(rig: Rig) -> None:
    """A platform that hangs must not hold up the job, nor be asked for ever."""
    rig.account.pending, rig.account.wait = 10_000, timedelta(hours=2)

    told = await rig.read()

    assert (told.outcome, len(rig.account.asked), len(rig.clock.slept)) == (SpendOutcome.FAILED, MOST_POLLS, MOST_POLLS - 1)
    assert max(rig.clock.slept) == 60
    assert "has not made its report" in ((await rig.row()).spend_error or "")


async def test_a_renamed_campaign_has_one_name(rig: Rig) -> None:
    """A report of last quarter must show the campaign under the name that people know it by today."""
    for days in (0, 40):
        rig.account.cost("c1", _ago(days), 1, name="Old")
        rig.account.cost("c2", _ago(days), 1, name="Same")
    await rig.read()
    rig.account.cost("c1", _ago(0), 1, name="New\x00 name")

    await rig.read()

    names = {key: name for key, (_, name) in (await rig.stored()).items()}
    assert names == {("c1", 0): "New  name", ("c1", 40): "New  name", ("c2", 0): "Same", ("c2", 40): "Same"}


async def test_the_last_days_are_those_of_the_account(rig: Rig) -> None:
    """In Auckland it is tomorrow already: its day of today belongs to the costs of today."""
    rig.account.zone = "Pacific/Auckland"
    rig.account.cost("c1", _ago(-1), 1)
    rig.clock.now = NOW + timedelta(hours=4)

    told = await rig.read()

    assert (told.last, set(await rig.stored())) == (_ago(-1), {("c1", -1)})


@pytest.mark.parametrize("zone", [None, "(GMT+01:00) Somewhere"])
async def test_a_zone_that_nobody_knows_is_taken_for_utc(rig: Rig, zone: str | None) -> None:
    """Some platforms write zones in their own words."""
    rig.account.zone = zone
    rig.account.cost("c1", _ago(0), 1)

    assert (await rig.read()).last == TODAY
    assert (await rig.read()).last == TODAY


async def test_what_a_file_said_gives_way_to_what_the_account_reports(rig: Rig, tmp_path: Path) -> None:
    """Whoever imported files first and connects the account later must not pay twice in the report; nor the other way round."""
    file = tmp_path / "spend.csv"
    file.write_text(f"{HEADER}fake,c1,{_ago(3)},9,USD,File\nfake,other,{_ago(3)},2,USD,File\ngoogle,c1,{_ago(3)},3,USD,File\n")
    rig.account.cost("c1", _ago(3), 5_000_000, name="Account")
    await import_spend(rig.services.database, file, actor="test", now=AT)
    await rig.read()

    async def costs() -> dict[tuple[str, str], tuple[int, bool]]:
        async with rig.services.database.read() as connection:
            rows = await connection.execute(select(spend))
            return {(row.platform, row.campaign_id): (row.cost_micros, row.destination_id is not None) for row in rows}

    read = await costs()
    await import_spend(rig.services.database, file, actor="test", now=AT)
    imported = await costs()
    await rig.read()

    others = {("fake", "other"): (2_000_000, False), ("google", "c1"): (3_000_000, False)}
    assert read == {("fake", "c1"): (5_000_000, True), **others}
    assert imported == {("fake", "c1"): (9_000_000, False), **others}
    assert await costs() == read


async def test_a_day_that_nobody_asked_for_is_refused(rig: Rig) -> None:
    """Days outside of the slice would be counted beside what stands there."""
    account = rig.account
    account.cost("c1", _ago(3), 1)
    await rig.read()

    def fails(first: date, _last: date, _page: str | None) -> None:
        account.spend["c1", first] = ("n", 1, 1)
        account.spend["c9", first - timedelta(days=1)] = ("n", 1, 1)

    fake = type(rig.services.openers.stored_destination(await rig.row()))
    plain = fake.spend  # type: ignore[attr-defined]  # the fake has the ability

    async def wider(self: object, first: date, last: date, page: str | None = None) -> object:
        return await plain(self, first - timedelta(days=1), last, page)

    account.fails = fails
    fake.spend = wider  # type: ignore[attr-defined]  # as above
    told = await rig.read()

    assert (told.outcome, "reports spend of" in told.message) == (SpendOutcome.FAILED, True)
    assert set(await rig.stored()) == {("c1", 3)}


async def test_what_is_paused_is_not_asked(rig: Rig) -> None:
    """A platform that throttles said when to come back, and an operator's pause means no calls at all."""
    row = await rig.row()
    async with rig.services.database.write() as connection:
        await connections.set_mode(connection, Role.DESTINATION, row.id, ConnectionMode.PAUSED)

    told = await rig.read()

    assert (told.outcome, rig.account.asked) == (SpendOutcome.UNABLE, [])


async def test_a_kind_without_the_ability_says_what_to_do(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is told the way that there is."""
    monkeypatch.setattr(registry, "DESTINATIONS", {KIND: bare_platform(rig.account)})

    assert "leadloop spend import" in (await rig.read()).text()
    with pytest.raises(NameUnknown, match="did you mean 'ads'"):
        await rig.services.spend_reading().read("adz")


async def test_a_process_that_ends_asks_no_more(rig: Rig) -> None:
    """A stop must not wait for a report of half an hour, and is no failure."""
    rig.account.pending = 10

    async def sleep(_seconds: float) -> None:
        rig.services.stopping.set()

    rig.services.sleep = sleep
    await asyncio.wait_for(rig.services.spend_reading().run(NOW), 5)

    assert (len(rig.account.asked), (await rig.row()).spend_error) == (1, None)
