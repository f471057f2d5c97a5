"""Rotated refresh tokens: of each there is one, and whatever kills us, it is used or its loss is told, on both databases."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from app.bootstrap.services import Services
from app.connections.repository import SourceRow
from app.connections.tokens import DatabaseTokenStore
from app.reports.status import read_status
from connectors import registry
from connectors.contract.tokens import Tokens
from tests.integration.oauth_rig import Clock, Endpoint, OAuthCrm, config, process


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.SOURCES, "oauth", OAuthCrm)


class Killed(Exception):
    """The process died here."""


async def _source(services: Services) -> SourceRow:
    (row,) = await services.sources()
    return row


async def _apply(services: Services, tmp_path: Path, text: str) -> None:
    file = tmp_path / "leadloop.yaml"
    file.write_text(text, encoding="utf-8")
    await services.apply_file(file, actor="test")


async def test_the_token_that_describing_rotated_is_used_after_applying(database_url: str, tmp_path: Path) -> None:
    """Applying asks the CRM first: the token gained by that is the only one that is still taken."""
    endpoint, clock = Endpoint(), Clock()

    async with process(database_url, endpoint, clock) as services:
        await _apply(services, tmp_path, config("first"))
        await services.pull(await _source(services), only_due=False)
        clock.now += timedelta(hours=2)
        await services.pull(await _source(services), only_due=False)

    assert endpoint.shown == ["first", "rotated-1"]


async def test_another_setting_costs_no_token(database_url: str, tmp_path: Path) -> None:
    """The webhook secret is set after the connection was made: that must not cost the rotated token."""
    endpoint, clock = Endpoint(), Clock()

    async with process(database_url, endpoint, clock) as services:
        await _apply(services, tmp_path, config("first"))
        await _apply(services, tmp_path, config("first", webhook_secrets="a secret"))
        clock.now += timedelta(hours=2)
        await services.pull(await _source(services), only_due=False)

    assert endpoint.shown == ["first", "rotated-1"]


async def test_a_kill_between_saving_and_using_loses_no_token(database_url: str, tmp_path: Path) -> None:
    """The next process goes on with what the dead one had saved."""
    endpoint, clock = Endpoint(), Clock()
    async with process(database_url, endpoint, clock) as services:
        await _apply(services, tmp_path, config("first"))
        clock.now += timedelta(hours=2)
        crm = services.openers.stored_source(await _source(services))
        assert isinstance(crm, OAuthCrm)
        await crm.auth.headers()
        served = endpoint.served

    async with process(database_url, endpoint, clock) as services:
        await services.pull(await _source(services), only_due=False)

    assert endpoint.shown == ["first", "rotated-1"]
    assert endpoint.served > served


async def test_a_kill_before_the_commit_is_told_as_a_connection_to_make_anew(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor had rotated, we had not saved: nobody but a person can help, and status and sync must say so."""
    endpoint, clock = Endpoint(), Clock()
    async with process(database_url, endpoint, clock) as services:
        await _apply(services, tmp_path, config("first"))
        clock.now += timedelta(hours=2)
        with monkeypatch.context() as dying:
            dying.setattr(DatabaseTokenStore, "save", _die)
            with pytest.raises(Killed):
                await services.pull(await _source(services), only_due=False)

    clock.now += timedelta(minutes=5)
    async with process(database_url, endpoint, clock) as services:
        told = [(await services.tick()).problems, (await services.tick()).problems, (await services.sync()).problems]
        row = await _source(services)
        status = await read_status(services.database, clock.now, "test", services.webhook_address())
        await services.check_paused(clock.now)
        still = (await _source(services)).pause_reason

        endpoint.good = "second"
        await _apply(services, tmp_path, config("second"))
        await services.check_paused(clock.now)
        healed = (await _source(services)).pause_reason

    assert all(any("connect again" in problem for problem in problems) for problems in told)
    assert (row.pause_reason, row.paused_until) == ("needs_reauth", None)
    assert status.sources[0].pause is not None
    assert status.sources[0].pause.mend.startswith("connect again")
    assert (still, healed) == ("needs_reauth", None)


async def _die(_self: DatabaseTokenStore, _expected_version: int, _tokens: Tokens) -> Tokens | None:
    raise Killed


async def test_ten_workers_of_two_processes_refresh_once(database_url: str, tmp_path: Path) -> None:
    """A second refresh with the same token would be refused, and the connection lost."""
    endpoint, clock = Endpoint(), Clock()
    async with process(database_url, endpoint, clock) as one, process(database_url, endpoint, clock) as other:
        await _apply(one, tmp_path, config("first"))
        clock.now += timedelta(hours=2)
        settings = {"refresh_token": "first"}
        workers = [services.openers.source("crm", "oauth", settings) for services in (one, other) for _ in range(5)]

        found = await asyncio.gather(*(crm.auth.headers() for crm in workers if isinstance(crm, OAuthCrm)))

    assert len({one["authorization"] for one in found}) == 1
    assert len(found) == 10
    assert endpoint.shown == ["first", "rotated-1"]
