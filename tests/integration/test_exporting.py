"""What is stored becomes a config file without a secret in it; applied to an empty database it gives the same file again."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.bootstrap.connecting import ConnectionOrder
from app.bootstrap.exporting import export
from app.bootstrap.planning import SectionFate
from app.bootstrap.preview_model import Origin
from app.bootstrap.previewing import PreviewOrder
from app.bootstrap.services import Services, open_services
from app.config import ConnectionMode, Settings, load_file
from app.connections.repository import Role
from app.demo.stage import Stage
from tests.api.rig import NOW
from tests.stages import stage_of

START = NOW - timedelta(days=30)


@asynccontextmanager
async def house(stage: Stage, url: str, environ: Mapping[str, str]) -> AsyncIterator[Services]:
    """Services on the stage, with an environment of their own."""
    settings = Settings(database_url=url, secret_key=SecretStr("a long enough secret text"), allow_custom_base_urls=True)
    services = await open_services(settings, clock=stage.clock, environ=environ, http=stage.http, sleep=stage.clock.sleep)
    try:
        yield services
    finally:
        await services.close()


@pytest.fixture
def stage() -> Stage:
    """A CRM and two platforms."""
    found = stage_of(days=1, most_deals=0, ends_at=NOW)
    found.clock.now = NOW
    return found


def written(stage: Stage, folder: Path, **secrets: str) -> Path:
    file = folder / "leadloop.yaml"
    file.write_text(stage.config(("google", "meta"), START, **secrets), encoding="utf-8")
    return file


async def test_an_export_round_trips(stage: Stage, tmp_path: Path, database_url: str) -> None:
    """References stay, values of secrets become references, and the second house says byte for byte what the first one said."""
    references = {"hubspot": "${HUBSPOT_TOKEN}", "webhook": "${OLD_SECRET},${NEW_SECRET}"}
    environ = {"HUBSPOT_TOKEN": stage.secrets["hubspot"], "OLD_SECRET": "an-old-secret", "NEW_SECRET": "a-new-secret"}
    async with house(stage, database_url, environ) as first:
        await first.apply_file(written(stage, tmp_path, **references), actor="test")
        await first.connecting().set_mode(Role.DESTINATION, "meta", ConnectionMode.SHADOW, actor="test")
        found = await export(first.database, first.openers)
    file = tmp_path / "exported.yaml"
    file.write_text(found.text, encoding="utf-8")
    environ |= {"GOOGLE_ACCESS_TOKEN": stage.secrets["google"], "META_ACCESS_TOKEN": stage.secrets["meta"]}
    async with house(stage, f"sqlite:///{tmp_path / 'other.db'}", environ) as second:
        await second.apply_file(file, actor="test")
        again = await export(second.database, second.openers)
        plan = await second.planning().plan(load_file(file, environ))

    assert again.text == found.text
    assert found.variables == {
        "GOOGLE_ACCESS_TOKEN": "google.access_token",
        "META_ACCESS_TOKEN": "meta.access_token",
    }
    assert again.variables == {}
    assert 'access_token: "${HUBSPOT_TOKEN}"' in found.text
    assert 'webhook_secrets: "${OLD_SECRET},${NEW_SECRET}"' in found.text
    assert "mode: shadow" in found.text
    assert not any(secret in found.text for secret in (*stage.secrets.values(), *environ.values()))
    assert {one.fate for one in plan.sections} == {SectionFate.KEEP}


async def test_an_empty_database_is_exported_too(stage: Stage, database_url: str) -> None:
    """A file that can be read, not an error."""
    async with house(stage, database_url, {}) as services:
        found = await export(services.database, services.openers)

    assert found.text == "sources: {}\n\ndestinations: {}\n\nmappings: {}\n"


async def test_a_secret_beside_a_reference_is_not_written_out(stage: Stage, tmp_path: Path, database_url: str) -> None:
    """Of two secrets, one by reference and one by value, the value must not get into a file that is kept with the code."""
    environ = {"NEW_SECRET": "a-new-secret"}
    async with house(stage, database_url, environ) as services:
        await services.apply_file(written(stage, tmp_path, webhook="a-plain-secret,${NEW_SECRET}"), actor="test")
        found = await export(services.database, services.openers)

    assert "a-plain-secret" not in found.text
    assert 'webhook_secrets: "${HUBSPOT_WEBHOOK_SECRETS}"' in found.text


async def test_a_plan_tells_apart_what_the_file_and_what_people_changed(stage: Stage, tmp_path: Path, database_url: str) -> None:
    """Edits made over REST stay until their section changes; then the plan says that they are lost, and no secret is shown."""
    async with house(stage, database_url, {}) as services:
        file = written(stage, tmp_path)
        new = await services.planning().plan(load_file(file, {}))
        await services.apply_file(file, actor="test")
        settings = {"dataset_id": "812093377481209", "base_url": "http://meta.demo", "lead_event_source": "Phone"}
        tag = (await services.connecting().shown(Role.DESTINATION))["meta"].tag
        await services.connecting().put(Role.DESTINATION, "meta", ConnectionOrder("meta", settings, None), tag, actor="key x")
        document = dict((await services.mapping_versions().get("hubspot", 1)).document)
        saved = await services.mapping_versions().save("hubspot", {**document, "dimensions": {}}, actor="key x")
        assert saved.view is not None
        await services.mapping_versions().activate("hubspot", saved.view.version, 1, actor="key x")
        edited = await services.planning().plan(load_file(file, {}))
        again = written(stage, tmp_path, meta="another-token", webhook="another-secret")
        again.write_text(again.read_text(encoding="utf-8").replace("amount: 50", "amount: 75"), encoding="utf-8")
        changed = await services.planning().plan(load_file(again, {}))

    assert {one.fate for one in new.sections} == {SectionFate.CREATE}
    fates = {one.path: one.fate for one in edited.sections}
    assert fates == {
        "sources.hubspot": SectionFate.KEEP,
        "destinations.google": SectionFate.KEEP,
        "destinations.meta": SectionFate.EDITED,
        "mappings.hubspot": SectionFate.EDITED,
    }
    assert not edited.has_work
    plans = {one.path: one for one in changed.sections}
    assert plans["destinations.meta"].overwrites
    assert [(one.path, one.before, one.after) for one in plans["sources.hubspot"].changes] == [("webhook_secrets", None, None)]
    assert [one.path for one in plans["mappings.hubspot"].changes] == [
        "dimensions.country",
        "dimensions.product",
        "milestones[qualified_lead].value.amount",
    ]
    assert plans["mappings.hubspot"].overwrites
    assert "another" not in repr(changed)


async def test_a_first_mapping_is_previewed_before_any_is_applied(stage: Stage, tmp_path: Path, database_url: str) -> None:
    """The connections alone are applied and checked: that suffices to see on the CRM's own records what the mapping would do."""
    whole = load_file(written(stage, tmp_path), {})
    file = tmp_path / "connections.yaml"
    file.write_text(written(stage, tmp_path).read_text(encoding="utf-8").partition("mappings:")[0], encoding="utf-8")
    stage.portal.create("contacts", {"email": "p1@example.com", "lifecyclestage": "lead"}, NOW - timedelta(hours=1))
    async with house(stage, database_url, {}) as services:
        await services.apply_file(file, actor="test")
        await services.check_named("hubspot")
        found = await services.previews().preview_document("hubspot", whole.mappings["hubspot"].data, PreviewOrder())
        kept = await services.mapping_versions().list("hubspot", limit=5)

    assert (found.origin, found.against, found.milestones["lead"].new) == (Origin.CRM, None, 1)
    assert kept == []
