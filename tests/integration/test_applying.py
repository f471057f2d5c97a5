"""Applying a config file beside CRMs that are down, refuse the token, or turn out to be another account."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.bootstrap.services import Services, open_services
from app.config import ConfigInvalid, Settings
from app.connections.settings import open_settings
from app.db.tables import runs
from app.demo.stage import Stage
from connectors.contract.errors import Unavailable
from connectors.simulators.faults import refused
from tests.api.rig import NOW
from tests.stages import stage_of

START = NOW - timedelta(days=30)


class Place:
    """A stage with services on it, and the config file; every request to the CRM is counted."""

    def __init__(self, stage: Stage, services: Services, file: Path, asked: list[str]) -> None:
        self.stage = stage
        self.services = services
        self.file = file
        self.asked = asked

    def write(self, destinations: tuple[str, ...] = ("google",), **secrets: str) -> Path:
        self.file.write_text(self.stage.config(destinations, START, **secrets), encoding="utf-8")
        return self.file

    def crm_is_down(self) -> None:
        self.stage.plans["hubspot"].always(refused())

    def crm_is_up(self) -> None:
        self.stage.plans["hubspot"].clear()

    async def settings(self) -> dict[str, str]:
        (row,) = await self.services.sources()
        return open_settings(self.services.keyring, row.settings_sealed)

    async def errors(self) -> list[str | None]:
        async with self.services.database.read() as connection:
            return list(await connection.scalars(select(runs.c.error).where(runs.c.kind == "apply").order_by(runs.c.id)))


@pytest.fixture
async def place(tmp_path: Path, database_url: str) -> AsyncIterator[Place]:
    """Nothing is applied yet."""
    stage = stage_of(days=1, most_deals=0, ends_at=NOW)
    stage.clock.now = NOW
    asked: list[str] = []

    async def note(request: httpx.Request) -> None:
        asked.append(request.url.host)

    http = stage.http
    http.event_hooks = {"request": [note], "response": []}
    settings = Settings(database_url=database_url, secret_key=SecretStr("a long enough secret text"), allow_custom_base_urls=True)
    services = await open_services(settings, clock=stage.clock, environ={}, http=http, sleep=stage.clock.sleep)
    yield Place(stage, services, tmp_path / "leadloop.yaml", asked)
    await services.close()


async def test_an_unchanged_file_asks_no_crm(place: Place) -> None:
    """A restart must not depend on a vendor: what was applied and described is there."""
    await place.services.apply_file(place.write(), actor="test")
    place.crm_is_down()
    place.asked.clear()

    report = await place.services.apply_file(place.write(), actor="test")
    added = await place.services.apply_file(place.write(("google", "meta")), actor="test", waits=True)

    assert (report.created, report.changed, report.waiting) == ((), (), ())
    assert "destinations.meta" in added.created


async def test_a_crm_that_is_down_is_an_error_of_the_command(place: Place) -> None:
    """Whoever applies a file by hand stands there and can read it."""
    place.crm_is_down()

    with pytest.raises(Unavailable):
        await place.services.apply_file(place.write(), actor="test")

    assert await place.services.sources() == []


async def test_a_new_source_whose_crm_is_down_is_applied_as_soon_as_it_answers(place: Place) -> None:
    """The server starts all the same, tells what waits, and does it by itself."""
    place.crm_is_down()
    report = await place.services.apply_file(place.write(), actor="test", waits=True)
    assert (report.waiting, report.created) == (("sources.hubspot", "mappings.hubspot"), ("destinations.google",))
    (told,) = await place.errors()
    assert told is not None
    assert told.startswith("sources.hubspot, mappings.hubspot not applied yet, tried again each minute: hubspot: ")
    await place.services.go_on_applying(NOW)
    assert await place.services.sources() == []

    place.crm_is_up()
    await place.services.go_on_applying(NOW)

    (row,) = await place.services.sources()
    assert row.schema_json is not None
    assert await place.services.contexts.of_source(row) is not None
    place.asked.clear()
    await place.services.go_on_applying(NOW)
    assert place.asked == []


async def test_a_new_token_that_is_refused_leaves_the_old_one_at_work(place: Place) -> None:
    """A typo in a new token must not end a server, nor what works."""
    await place.services.apply_file(place.write(), actor="test")
    before = await place.settings()

    report = await place.services.apply_file(place.write(hubspot="pat-na1-mistyped"), actor="test", waits=True)

    assert report.waiting == ("sources.hubspot",)
    assert report.missing == ()
    assert await place.settings() == before
    assert not (await place.services.tick()).is_stuck


async def test_a_mistake_that_only_the_crm_could_show_is_told_and_not_tried_again(place: Place) -> None:
    """The file stays as it was read at the start: asking each minute would change nothing."""
    place.crm_is_down()
    file = place.write()
    file.write_text(file.read_text(encoding="utf-8").replace("enters: [closedwon]", "enters: [closedwn]"), encoding="utf-8")
    await place.services.apply_file(file, actor="test", waits=True)
    place.crm_is_up()

    await place.services.go_on_applying(NOW)
    place.asked.clear()
    await place.services.go_on_applying(NOW)

    assert place.asked == []
    assert "closedwn" in str((await place.errors())[-1])
    assert await place.services.sources() == []


async def test_the_credentials_of_another_account_are_not_stored(place: Place) -> None:
    """Two accounts under one name would mix their people; the old credentials stay, whole."""
    await place.services.apply_file(place.write(), actor="test")
    before = await place.settings()
    place.stage.portal.portal_id += 1

    with pytest.raises(ConfigInvalid, match=r"sources\.hubspot: The credentials of this source now belong to the account"):
        await place.services.apply_file(place.write(webhook="another-secret"), actor="test")

    assert await place.settings() == before
    place.stage.portal.portal_id -= 1
    assert (await place.services.apply_file(place.write(webhook="another-secret"), actor="test")).changed == ("sources.hubspot",)
