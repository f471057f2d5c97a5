"""A Salesforce org whose requests of the day are spent: what waits, for how long, and what does not."""

import shutil
from datetime import timedelta
from pathlib import Path

import yaml
from sqlalchemy import select

from app.db.instants import from_ms
from app.db.tables import records, sources
from connectors.simulators.faults import path_has
from tests.integration.salesforce_rig import Story, story_at

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


async def _two_sources(story: Story, folder: Path) -> None:
    """A second source beside `crm`, told apart by the version that it asks for."""
    stage = story.rig.stage
    section = {"kind": "salesforce", **stage.settings(oauth=True)}
    document = {**stage.mapping(), "start": stage.clock().isoformat()}
    both = {"crm": section, "other": {**section, "api_version": "v66.0"}}
    file = folder / "both.yaml"
    file.write_text(yaml.safe_dump({"sources": both, "mappings": dict.fromkeys(both, document)}), encoding="utf-8")
    await story.rig.services.apply_file(file, actor="test")


async def _knows(story: Story, lead: str) -> list[str]:
    """The sources that have read a lead."""
    query = select(sources.c.name).join(records, records.c.source_id == sources.c.id).where(records.c.external_id == lead)
    async with story.rig.services.database.read() as connection:
        return sorted(await connection.scalars(query))


async def test_a_spent_day_parks_its_own_connection_for_half_an_hour_and_loses_nothing(
    sqlite_template: Path, tmp_path: Path
) -> None:
    """Each further try would take a request from the customer's other integrations; other orgs have days of their own."""
    shutil.copy(sqlite_template, tmp_path / "leadloop.db")
    story = await story_at(f"sqlite:///{tmp_path / 'leadloop.db'}", tmp_path)
    stage = story.rig.stage
    await _two_sources(story, tmp_path)
    await story.rig.tick()
    lead = story.org.create("Lead", {"LastName": "Doe", "Company": "Acme"}, stage.clock.go_on(HOUR))
    stage.clock.go_on(MINUTE)
    stage.plan.always(stage.faults.daily, when=path_has("v67.0"))

    await story.rig.tick()
    spent_at = stage.clock()
    (parked,) = [row for row in await story.rig.services.sources() if row.name == "crm"]
    met = len(stage.plan.met)
    for _ in range(4):
        stage.clock.go_on(6 * MINUTE)
        await story.rig.tick()

    assert await _knows(story, lead) == ["other"]
    assert parked.paused_until is not None
    assert timedelta(minutes=29) <= from_ms(parked.paused_until) - spent_at <= timedelta(minutes=31)
    assert len(stage.plan.met) == met
    stage.plan.clear()
    stage.clock.go_on(10 * MINUTE)
    await story.rig.tick()
    assert await _knows(story, lead) == ["crm", "other"]
    await story.rig.close()
