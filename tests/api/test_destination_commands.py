"""`leadloop destinations`, `leadloop spend read` and `leadloop check NAME` as somebody types them."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.bootstrap.services import Services
from app.connections import repository as connections
from app.connections.settings import seal_settings
from connectors import registry
from connectors.contract.errors import Effect, RateLimited, Unavailable
from tests.api.rig import rig_on
from tests.commands import run_command
from tests.fake_ads import KIND, FakeAccount, bare_platform, fake_platform


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAccount:
    """A database with HubSpot's mapping and a destination of the fake kind, as the command line finds it."""
    one = FakeAccount()
    monkeypatch.setattr(registry, "DESTINATIONS", {**registry.DESTINATIONS, KIND: fake_platform(one)})
    url = f"sqlite:///{tmp_path / 'one.db'}"
    for name, value in (
        ("LEADLOOP_DATABASE_URL", url),
        ("LEADLOOP_SECRET_KEY", "a long enough secret text"),
        ("LEADLOOP_ALLOW_CUSTOM_BASE_URLS", "true"),
        ("LEADLOOP_LOG_LEVEL", "error"),
    ):
        monkeypatch.setenv(name, value)

    async def set_up() -> None:
        async with rig_on(tmp_path, url) as rig, rig.services.database.write() as connection:
            sealed = seal_settings(rig.services.keyring, {})
            await connections.upsert_destination(connection, "ads", KIND, sealed, None, 0)

    asyncio.run(set_up())
    return one


def test_provision_shows_a_plan_and_creates_when_told(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a script nothing is created by surprise; with --yes it is, once, and the lines for the mapping are printed."""
    capsys.readouterr()
    assert run_command(monkeypatch, "destinations", "provision", "ads") == 0
    plan = capsys.readouterr().out
    assert (account.goals, plan.count("will be created"), "this is the plan alone" in plan) == ({}, 4, True)

    assert run_command(monkeypatch, "destinations", "provision", "ads", "--yes") == 0
    done = capsys.readouterr().out
    assert len(account.goals) == 4
    assert (
        'mappings:\n  hubspot:\n    destinations:\n      ads:\n        lead: {goal: "Leadloop: lead"}\n'
        '        qualified_lead: {goal: "Leadloop: qualified lead"}\n'
    ) in done

    assert run_command(monkeypatch, "destinations", "provision", "ads", "--yes") == 0
    again = capsys.readouterr().out
    assert (len(account.goals), "created " in again, "nothing is to be created" in again, "mappings:" in again) == (
        4,
        False,
        True,
        True,
    )


@pytest.mark.parametrize(("said", "goals"), [("y", 4), ("n", 0)])
def test_at_a_terminal_provision_asks(account: FakeAccount, monkeypatch: pytest.MonkeyPatch, said: str, goals: int) -> None:
    """What is made in somebody's ad account is made by a yes."""
    monkeypatch.setattr("app.cli_destinations.is_at_a_terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda _question: said == "y")

    assert run_command(monkeypatch, "destinations", "provision", "ads") == 0
    assert len(account.goals) == goals


def test_a_blocked_target_needs_a_person(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script must see that the set-up is not done."""
    account.frozen_goals.add("Leadloop: lead")

    assert run_command(monkeypatch, "destinations", "provision", "ads", "--yes") == 1
    assert "enable it on the Goals page" in capsys.readouterr().out


def test_mistakes_are_told_in_one_line(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The vendor's failure, a wrong name, a kind that cannot: one message, no trace."""
    account.provision_fails = RateLimited("Fake throttles: try again in a minute")
    for words, told in (
        (("destinations", "provision", "ads", "--yes"), "Fake throttles"),
        (("destinations", "provision", "adz"), "did you mean 'ads'?"),
        (("spend", "read", "adz"), "did you mean 'ads'?"),
        (("check", "adz"), "did you mean 'ads'?"),
        (("check", "--test-event", "T1"), "leadloop check NAME --test-event CODE"),
        (("check", "hubspot", "--test-event", "T1"), "is a source"),
        (("check", "ads", "--test-event", " "), "--test-event is empty"),
    ):
        capsys.readouterr()
        assert run_command(monkeypatch, *words) == 2, words
        captured = capsys.readouterr()
        assert told in captured.err, words
        assert captured.err.count("\n") == 1

    monkeypatch.setattr(registry, "DESTINATIONS", {**registry.DESTINATIONS, KIND: bare_platform(account)})
    assert run_command(monkeypatch, "destinations", "provision", "ads") == 2
    assert "by hand" in capsys.readouterr().err


def test_destinations_are_listed(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One look says which account stands still, and how much goes in a request."""

    async def shrink() -> None:
        async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig, rig.services.database.write() as connection:
            row = await connections.destination_by_name(connection, "ads")
            assert row is not None
            await connections.set_batch_rows(connection, row.id, 20)
            await connections.pause(connection, connections.Role.DESTINATION, row.id, "REFUSED", None)

    asyncio.run(shrink())
    capsys.readouterr()

    assert run_command(monkeypatch, "destinations", "list") == 0
    told = capsys.readouterr().out
    (ads,) = [line for line in told.splitlines() if line.startswith("ads")]
    assert all(word in ads for word in (KIND, "live", "paused: REFUSED", "20 of 500", "Fake API v3 (until 2027-06-01)"))
    assert any(line.startswith("google") and "works" in line and "2,000" in line for line in told.splitlines())


def test_spend_is_read_by_name(account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The operator compares the total with the platform's own page; a failure is an exit code for a script."""
    account.cost("c1", datetime.now(UTC).date(), 12_500_000)

    assert run_command(monkeypatch, "spend", "read", "ads") == 0
    assert "ads: 1 row of spend" in (told := capsys.readouterr().out)
    assert "12.50 EUR" in told

    def fails(*_: object) -> None:
        raise Unavailable("Fake is away", effect=Effect.NONE)

    account.fails = fails
    assert run_command(monkeypatch, "spend", "read") == 1
    assert "ads: failed: Fake is away" in capsys.readouterr().out


def test_a_check_of_one_sends_the_code(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code is the platform's own; blanks around it come from copying."""
    seen: list[tuple[str, str | None]] = []
    plain = Services.check_named

    async def check_named(self: Services, name: str, test_code: str | None = None) -> object:
        seen.append((name, test_code))
        return await plain(self, name, test_code)

    monkeypatch.setattr(Services, "check_named", check_named)

    assert run_command(monkeypatch, "check", "ads", "--test-event", " T1 ") == 0
    assert seen == [("ads", "T1")]
    assert "unproven test_event: no test event was sent" in capsys.readouterr().out
