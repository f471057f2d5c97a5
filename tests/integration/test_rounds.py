"""Turns of the connections: a bad one stops no other, and `sync` goes on until nothing is due."""

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from app.bootstrap.rounds import SourceUnknown
from app.config import ConnectionMode
from app.connections import repository as connections
from app.connections.repository import Role
from app.connections.settings import seal_settings
from app.db.instants import to_ms
from app.db.tables import runs
from app.ingest.pull_lease import LeaseLost
from app.leases.repository import acquire, release
from app.mapping import repository as mappings
from tests.api.conftest import logs
from tests.api.rig import Rig, rig_on

__all__ = ["logs"]

GONE = {"access_token": "${A_VARIABLE_THAT_IS_GONE}"}


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """A house with two destinations, a qualified person in its CRM, and nothing pulled yet."""
    async with rig_on(tmp_path, database_url, destinations=("google", "meta")) as one:
        one.person(lifecyclestage="salesqualifiedlead")
        yield one


async def _break_destination(rig: Rig, name: str) -> None:
    async with rig.services.database.write() as connection:
        row = await connections.destination_by_name(connection, name)
        assert row is not None
        sealed = seal_settings(rig.services.keyring, GONE)
        await connections.upsert_destination(connection, name, row.kind, sealed, None, 0)


async def _add_broken_source(rig: Rig, name: str, settings: bytes | None = None) -> None:
    """A second source of the same mapping, whose turn comes first, with credentials that are no more."""
    (row,) = await rig.services.sources()
    now_ms = to_ms(rig.stage.clock.now)
    async with rig.services.database.write() as connection:
        active = await mappings.active(connection, row.id)
        assert active is not None
        sealed = settings or seal_settings(rig.services.keyring, GONE)
        source_id = await connections.upsert_source(connection, name, "hubspot", sealed, None, now_ms)
        await connections.save_schema(connection, source_id, row.schema_json or "", "another account", now_ms)
        version = await mappings.save_version(connection, source_id, active.document_json, "test", now_ms)
        await mappings.activate(connection, source_id, version, now_ms)


async def _errors(rig: Rig) -> list[str]:
    async with rig.services.database.read() as connection:
        return [error for error in await connection.scalars(select(runs.c.error).order_by(runs.c.id)) if error]


async def test_a_source_whose_variable_is_gone_stops_no_other(rig: Rig) -> None:
    """After a restart without one variable, every other connection must work as before."""
    await _add_broken_source(rig, "a-broken-one")

    summary = await rig.services.tick()

    assert (summary.records, summary.accepted > 0) == (1, True)
    assert [one for one in summary.problems if "a-broken-one" in one and "A_VARIABLE_THAT_IS_GONE" in one]
    assert any("A_VARIABLE_THAT_IS_GONE" in one for one in await _errors(rig))
    row = next(one for one in await rig.services.sources() if one.name == "a-broken-one")
    assert row.pause_reason == "SettingsRefused"
    assert row.paused_until is not None
    assert 0 <= to_ms(rig.stage.clock.now + timedelta(minutes=1)) - row.paused_until < 2000, "the tick itself takes a little"


async def test_a_source_whose_secrets_cannot_be_opened_stops_no_other(rig: Rig) -> None:
    """A key that was rotated away concerns what it had sealed."""
    await _add_broken_source(rig, "a-broken-one", b"sealed by another key")

    summary = await rig.services.tick()

    assert (summary.records, summary.accepted > 0) == (1, True)


async def test_a_poison_record_stops_one_source_and_its_values_are_told_to_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, logs: io.StringIO
) -> None:
    """An error in our own code quotes what it stumbled over: neither log nor journal may repeat it."""
    await rig.services.tick()
    rig.person(email="second@example.com", lifecyclestage="salesqualifiedlead")
    rig.stage.clock.now += timedelta(minutes=6)

    async def stumble(*_: object, **__: object) -> None:
        raise KeyError("Zaphod Beeblebrox")

    monkeypatch.setattr(rig.services.poller, "pull", stumble)
    summary = await rig.services.tick()

    (problem,) = summary.problems
    assert "hubspot: KeyError at app/bootstrap/rounds.py" in problem
    assert problem.split(": ", 1)[1] in (await _errors(rig))[-1]
    printed = logs.getvalue()
    assert "turn.failed" in printed
    assert "Zaphod" not in printed + problem + "".join(await _errors(rig))


async def test_a_lost_lease_pauses_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another replica reads on; a pause would stop it."""

    async def lose(*_: object, **__: object) -> None:
        raise LeaseLost("another process reads this source now")

    monkeypatch.setattr(rig.services.poller, "pull", lose)

    summary = await rig.services.tick()

    (row,) = await rig.services.sources()
    assert row.pause_reason is None
    assert summary.problems == ["hubspot: another process reads this source now"]


@pytest.mark.parametrize(("broken", "other"), [("google", "meta"), ("meta", "google")])
async def test_a_destination_that_cannot_be_opened_stops_no_other(rig: Rig, broken: str, other: str) -> None:
    """Whichever comes first: what is owed to the other platform goes."""
    rig.person(email="of-meta@example.com", lifecyclestage="salesqualifiedlead")
    await _break_destination(rig, broken)

    summary = await rig.services.tick()

    assert [one for one in summary.problems if one.startswith(f"{broken}: ") and "A_VARIABLE_THAT_IS_GONE" in one]
    rows = {row.name: row for row in await rig.services.destinations()}
    assert (rows[broken].pause_reason, rows[other].pause_reason) == ("SettingsRefused", None)
    sent = {"google": rig.stage.google.received(), "meta": rig.stage.meta.received()}
    assert (bool(sent[broken]), bool(sent[other])) == (False, True)


async def test_verdicts_that_fail_stop_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking what became of old uploads must not keep new ones of the next destination from going."""
    await rig.services.tick()
    before = len(rig.stage.meta.received())
    rig.person(email="second@example.com", lifecyclestage="salesqualifiedlead")
    rig.stage.clock.now += timedelta(hours=30)

    async def stumble(_destination_id: int) -> int:
        raise RuntimeError("what is this?")

    monkeypatch.setattr(rig.services.verdicts, "collect", stumble)
    summary = await rig.services.tick()

    assert [one for one in summary.problems if one.startswith("google: RuntimeError")]
    assert len(rig.stage.meta.received()) > before
    assert any(one.startswith("RuntimeError") for one in await _errors(rig))


async def test_sync_sends_what_it_has_just_read(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that goes on, what is found is due after the round began; one command must still do it all."""
    clock = rig.stage.clock
    pull = rig.services.poller.pull

    async def slow(*given: object, **named: object) -> object:
        clock.now += timedelta(seconds=3)
        pulled = await pull(*given, **named)  # type: ignore[arg-type]  # handed on as it came
        clock.now += timedelta(seconds=3)
        return pulled

    monkeypatch.setattr(rig.services.poller, "pull", slow)

    summary = await rig.services.sync()

    assert (summary.records, summary.accepted, summary.problems) == (1, 3, [])
    assert (len(rig.stage.google.received()), len(rig.stage.meta.received())) == (1, 2)


async def test_sync_goes_on_with_what_comes_meanwhile(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It promises to end when nothing is due, not after one look."""
    drain = rig.services.dispatcher.drain
    came: list[str] = []

    async def meanwhile(destination_id: int) -> object:
        if not came:
            came.append(rig.person(email="second@example.com", lifecyclestage="salesqualifiedlead"))
            await rig.deliver(rig.signed([rig.change(came[0])]))
        return await drain(destination_id)

    monkeypatch.setattr(rig.services.dispatcher, "drain", meanwhile)

    summary = await rig.services.sync()

    assert (summary.records, len(rig.stage.google.received()), summary.problems) == (2, 2, [])


@pytest.mark.parametrize(("lease", "name"), [("pull", "hubspot"), ("drain", "google")])
async def test_sync_tells_who_is_at_work_elsewhere(rig: Rig, lease: str, name: str) -> None:
    """Beside a server that holds the connection, `sync` must not say that all is done."""
    rows = {row.name: row.id for row in await rig.services.sources()}
    rows |= {row.name: row.id for row in await rig.services.destinations()}
    now_ms = to_ms(rig.stage.clock.now)
    async with rig.services.database.write() as connection:
        await acquire(connection, f"{lease}:{rows[name]}", "another process", now_ms, 600_000)

    summary = await rig.services.sync()

    assert [one for one in summary.problems if one.startswith(f"{name}: another process works on it now")]


async def test_sync_waits_a_moment_for_another_process(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's turn takes a second; a command beside it must not fail for that."""
    (row,) = await rig.services.sources()
    async with rig.services.database.write() as connection:
        await acquire(connection, f"pull:{row.id}", "another process", to_ms(rig.stage.clock.now), 600_000)

    async def let_go(_seconds: float) -> None:
        async with rig.services.database.write() as connection:
            await release(connection, f"pull:{row.id}", "another process")

    rig.services.sleep = let_go

    summary = await rig.services.sync()

    assert (summary.records, summary.problems) == (1, [])


async def test_sync_knows_no_other_source_than_those_that_are(rig: Rig) -> None:
    """A typo must not look like a clean run."""
    with pytest.raises(SourceUnknown, match=r"no source is named 'hubspt' \(did you mean 'hubspot'\?\)"):
        await rig.services.sync("hubspt")


async def test_sync_leaves_alone_and_tells_what_an_operator_or_a_platform_paused(rig: Rig) -> None:
    """Whoever set the mode meant it; and a refused target holds conversions back that somebody waits for."""
    (row,) = await rig.services.sources()
    google, meta = await rig.services.destinations()
    async with rig.services.database.write() as connection:
        await connections.set_mode(connection, Role.SOURCE, row.id, ConnectionMode.PAUSED)
        await connections.set_mode(connection, Role.DESTINATION, meta.id, ConnectionMode.PAUSED)
        await connections.pause_target(connection, google.id, '{"conversion_action":"9"}', "NOT_FOUND", 0)

    summary = await rig.services.sync()

    assert summary.records == 0
    assert summary.problems == [
        "hubspot is paused by its mode and was not read; set it to live",
        "meta is paused: its mode says so",
        'google: target {"conversion_action":"9"} is paused: NOT_FOUND; run `leadloop check` and follow what it says',
    ]
