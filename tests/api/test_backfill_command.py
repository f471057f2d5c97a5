"""`leadloop backfill`: read here or by the server, stopped and gone on with, sent only when said; mistakes in one line."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from sqlalchemy import select, update

from app import cli, cli_backfill
from app.bootstrap.backfilling import BackfillRefused
from app.bootstrap.services import Services
from app.bootstrap.serving import is_served
from app.cli_backfill import Order, instant_of, run_order
from app.config import ConnectionMode
from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.lock import sqlite_lock
from app.db.tables import jobs, mapping_versions, sources
from app.ingest.pull_lease import PULL_LEASE_MS
from app.leases.clock import ClockGuard
from app.leases.repository import acquire
from connectors.simulators.hubspot.portal import Portal
from tests.api.rig import NOW, Rig, rig_on

DAY = timedelta(days=1)
SECRET = "a long enough secret text"
ORDER = Order("hubspot", "2025-06-01", sends=False, is_agreed=False, restarts=False)
SENDING = Order("hubspot", "2026-10-01", sends=True, is_agreed=True, restarts=False)


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """An open house whose mapping starts ten days ago; in its CRM three people were qualified before."""
    async with rig_on(tmp_path, database_url, start=NOW - 10 * DAY) as one:
        for number in range(3):
            qualified(one.stage.portal, number, NOW - (30 + number) * DAY)
        yield one


def qualified(portal: Portal, number: int, at: datetime) -> None:
    chosen = {"email": f"p{number}@example.com", "lifecyclestage": "salesqualifiedlead", "ads_consent": "yes"}
    portal.create("contacts", chosen, at)


def opened(rig: Rig) -> Callable[[], Awaitable[Services]]:
    class Kept(Services):
        """The rig closes them."""

        async def close(self) -> None:
            await self.database.close()

    async def open_up() -> Services:
        return Kept(**{one.name: getattr(rig.services, one.name) for one in fields(Services)})

    return open_up


async def test_it_reads_tells_and_sends_nothing(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """What will be read, how far it is, what was found, and that nothing of it went."""
    code = await run_order(opened(rig), ORDER)

    told = capsys.readouterr().out
    assert code == 0
    assert "contacts, deals modified since 2025-06-01, people before deals" in told
    assert "entries before 2026-11-14T10:00:00+00:00 (the mapping's start) are known and reported, not sent" in told
    assert "100% deals: 2 pages, 3 seen, 6 conversions found" in told
    assert "contacts: 3 seen, 3 read and stored, 6 new conversions" in told
    assert "nothing from before the start was sent" in told
    assert list(rig.stage.google.received()) == []


async def test_it_plans_and_sends_what_a_person_agreed_to(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan first, then the deed; the next `sync` or the server sends."""
    code = await run_order(opened(rig), SENDING)
    await rig.services.tick()

    told = capsys.readouterr().out
    assert code == 0
    assert "sendable" in told
    assert "3 owed" in told
    assert len(list(rig.stage.google.received())) == 3


async def test_without_a_yes_nothing_is_sent(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """A script without a terminal cannot be asked: it must say so beforehand."""
    code = await run_order(opened(rig), Order("hubspot", "2026-10-01", sends=True, is_agreed=False, restarts=False))
    await rig.services.tick()

    told = capsys.readouterr().out
    assert code == 0
    assert "nothing was sent; say it with: leadloop backfill hubspot --since 2026-10-01 --send --yes" in told
    assert list(rig.stage.google.received()) == []


async def test_what_was_read_is_not_asked_for_again(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command after the end says so and asks the CRM nothing; with --restart it reads again."""
    _, context = await rig.services.backfills.source("hubspot")
    await rig.services.backfills.ask(context, instant_of("2025-06-01"))
    await run_order(opened(rig), ORDER)
    asked = rig.stage.portal.requests.copy()

    code = await run_order(opened(rig), ORDER)

    assert code == 0
    assert "read already, 2026-11-24 10:00 UTC; --restart reads it again" in capsys.readouterr().out
    assert rig.stage.portal.requests == asked
    await run_order(opened(rig), Order("hubspot", "2025-06-01", sends=False, is_agreed=False, restarts=True))
    assert rig.stage.portal.requests != asked


async def test_another_date_must_wait_or_take_its_place(rig: Rig) -> None:
    """Two dates at once would be two places in one; the one under way is named, and how to go on or give it up."""
    _, context = await rig.services.backfills.source("hubspot")
    await rig.services.backfills.ask(context, instant_of("2025-01-01"))

    with pytest.raises(BackfillRefused, match=r"since 2025-01-01 is under way .* --restart"):
        await run_order(opened(rig), ORDER)
    state = await rig.services.backfills.ask(context, instant_of("2025-06-01"), restarts=True)

    assert (state.since, state.is_done) == (datetime(2025, 6, 1, tzinfo=UTC), False)


async def test_what_the_crm_forbids_ends_it_with_what_to_do(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """It cannot go on by itself: a script must see that, and all that was read stays."""
    rig.stage.portal.scopes = frozenset()

    code = await run_order(opened(rig), ORDER)

    captured = capsys.readouterr()
    assert code == 1
    assert "stuck: " in captured.err
    assert "Go on with: leadloop backfill hubspot --since 2025-06-01" in captured.err


def test_stopped_by_a_person_it_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in the fifth hour must not look like five lost hours."""

    async def stopped() -> Services:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        cli_backfill.backfill_command(stopped)("hubspot", since="2025-06-01")

    assert ended.value.exit_code == 130
    assert "all that was read is kept. Go on with: leadloop backfill hubspot --since 2025-06-01" in capsys.readouterr().err


async def test_the_server_reads_it_and_the_command_follows(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside `serve` the command only asks and watches: one process reads, in turns among its polls."""

    async def served(_services: Services) -> bool:
        return True

    waits = 0

    async def sleep(_seconds: float) -> None:
        nonlocal waits
        waits += 1
        await rig.services.tick()

    monkeypatch.setattr(cli_backfill, "is_served", served)
    monkeypatch.setattr(rig.services, "sleep", sleep)

    code = await run_order(opened(rig), ORDER)

    told = capsys.readouterr().out
    assert (code, waits > 0) == (0, True)
    assert "the server that runs on this database reads it" in told
    assert "contacts: 3 seen" in told
    kinds = {one["kind"] for one in (await rig.client.get("/v1/runs?source=hubspot")).json()["items"]}
    assert kinds == {"pull", "backfill"}


async def test_who_waits_for_a_killed_process_is_told(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 the lease stays for minutes; a command that stands still without a word looks broken."""
    row, _ = await rig.services.backfills.source("hubspot")
    async with rig.services.database.write() as connection:
        await acquire(connection, f"pull:{row.id}", "killed", to_ms(NOW), PULL_LEASE_MS)

    async def sleep(seconds: float) -> None:
        rig.stage.clock.now += timedelta(seconds=60 * seconds)

    monkeypatch.setattr(rig.services, "sleep", sleep)

    code = await run_order(opened(rig), ORDER)

    told = capsys.readouterr().out
    assert code == 0
    assert told.count("another process reads hubspot now, or was killed as it did; this waits until it lets go") == 1
    assert "contacts: 3 seen" in told


async def test_a_clock_that_is_off_takes_no_lease(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that is minutes ahead every lease has run out: it would take over what others hold."""

    async def is_in_time(_guard: ClockGuard) -> bool:
        return False

    monkeypatch.setattr(ClockGuard, "is_in_time", is_in_time)
    monkeypatch.setattr(rig.services, "guard", ClockGuard(rig.services.database, rig.services.clock))

    with pytest.raises(BackfillRefused, match="clock differs"):
        await run_order(opened(rig), ORDER)


async def test_a_server_is_seen_by_its_lock_and_its_turns(rig: Rig) -> None:
    """A process that only sends, or that is no more, reads nothing: the command must not wait for it."""
    before = await is_served(rig.services)
    async with rig.services.database.write() as connection:
        ran = {"name": "tick", "due_at": to_ms(NOW), "ran_at": to_ms(NOW - timedelta(seconds=5))}
        await insert_rows(connection, jobs, [ran])
    without_lock = await is_served(rig.services)
    with sqlite_lock(rig.services.settings.database_url):
        with_lock = await is_served(rig.services)
        rig.stage.clock.now += timedelta(minutes=5)
        is_long_gone = not await is_served(rig.services)

    is_sqlite = rig.services.database.is_sqlite
    assert (before, without_lock, with_lock, is_long_gone) == (False, not is_sqlite, True, True)


async def test_the_status_tells_how_far_it_is(rig: Rig) -> None:
    """While it is under way: by kind, with its share of time; gone from the page once it is done."""
    row, context = await rig.services.backfills.source("hubspot")
    await rig.services.backfills.ask(context, instant_of("2025-06-01"))

    asked = (await rig.client.get("/v1/status")).json()["sources"][0]["backfill"]
    while (await rig.services.backfills.turn(row)).has_more:
        pass
    done = (await rig.client.get("/v1/status")).json()["sources"][0]["backfill"]

    assert [(one["object"], one["since"], one["share"]) for one in asked] == [
        ("contact", "2025-06-01T00:00:00Z", 0.0),
        ("deal", "2025-06-01T00:00:00Z", 0.0),
    ]
    assert done == []


@pytest.mark.parametrize("text", ["yesterday", "2025-13-01", "2025-01-01T10:00", "1e9", "", "2025-1-1", "٢٠٢٥-٠١-٠١"])
def test_a_date_that_cannot_be_read_is_refused(text: str) -> None:
    """A date that is guessed at could send a year too much."""
    with pytest.raises(BackfillRefused, match="write it like 2025-01-01"):
        instant_of(text)


def test_a_day_is_its_utc_midnight_and_an_instant_has_its_zone() -> None:
    """Two people in two zones must mean the same."""
    assert instant_of("2025-01-01") == datetime(2025, 1, 1, tzinfo=UTC)
    assert instant_of("2025-01-01T02:00:00+02:00") == datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "spoil", "told"),
    [
        (("hubspt", "--since", "2025-01-01"), None, "no source is named 'hubspt' (did you mean 'hubspot'?)"),
        (("hubspot", "--since", "2999-01-01"), None, "2999-01-01 is in the future"),
        (("hubspot", "--since", "1789-07-14"), None, "is before every CRM"),
        (("hubspot", "--since", "soon"), None, "--since soon is no day"),
        (("hubspot", "--since", "2025-01-01"), {"mode": ConnectionMode.PAUSED.value}, "paused by its mode"),
        (("hubspot", "--since", "2025-01-01"), {"pause_reason": "INVALID_AUTHENTICATION"}, "run `leadloop check`"),
        (("hubspot", "--since", "2025-01-01"), {}, "has no active mapping"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    logs: io.StringIO,
    words: tuple[str, ...],
    spoil: dict[str, str] | None,
    told: str,
) -> None:
    """What is wrong and what to do, without a trace, and with an exit code that a script sees."""
    assert not logs.getvalue()
    url = f"sqlite:///{tmp_path / 'one.db'}"

    async def prepare() -> None:
        async with rig_on(tmp_path, url) as rig, rig.services.database.write() as connection:
            if spoil:
                await connection.execute(update(sources).values(**spoil))
            elif spoil is not None:
                await connection.execute(update(mapping_versions).values(is_active=False))

    asyncio.run(prepare())
    capsys.readouterr()
    monkeypatch.setenv("LEADLOOP_DATABASE_URL", url)
    monkeypatch.setenv("LEADLOOP_SECRET_KEY", SECRET)
    monkeypatch.setattr("sys.argv", ["leadloop", "backfill", *words])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert told in captured.err
    assert captured.err.count("\n") == 1


async def test_a_tick_takes_one_turn_after_the_polls(rig: Rig) -> None:
    """Polls and webhooks come first, uploads are not held up, and the next tick is asked for at once."""
    row, context = await rig.services.backfills.source("hubspot")
    await rig.services.backfills.ask(context, instant_of("2025-06-01"))
    await rig.services.bell.heard()
    rig.services.bell.answer()
    rig.stage.portal.requests.clear()

    await rig.services.tick()

    state = await rig.services.backfills.state(row.id)
    assert state is not None
    assert state.is_done
    async with rig.services.database.read() as connection:
        assert await connection.scalar(select(sources.c.pause_reason)) is None
