"""A suggested mapping on each simulator is activated with no edit but the consent section, and counts what happens."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr
from sqlalchemy import select

from app.bootstrap.rounds import SourceUnknown
from app.bootstrap.services import Services, open_services
from app.bootstrap.suggesting import suggested
from app.cli_mapping import InitRefused, write_section
from app.config import ConfigInvalid, Settings, load_file
from app.db.tables import conversions, deliveries
from app.mapping.suggest import Suggestion
from connectors.registry import SOURCES
from tests.contract.suggestion_stages import STAGES, CrmStage

KINDS = ("hubspot", "salesforce", "pipedrive")
CONSENT = '{not_required: true, because: "a test"}'


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[CrmStage, Services, Path]]:
    """A simulated CRM, services, and a config file with the source and destinations, not applied."""
    kind = request.param
    if kind not in SOURCES or kind not in STAGES:
        pytest.skip(f"{kind} has no connector or no simulator yet")
    stage = STAGES[kind]()
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'one.db'}",
        secret_key=SecretStr("a long enough secret text"),
        allow_custom_base_urls=True,
    )
    services = await open_services(settings, clock=stage.now, environ={}, http=stage.http, sleep=stage.sleep)
    file = tmp_path / "leadloop.yaml"
    config = {
        "sources": {"crm": {"kind": kind, **stage.settings}},
        "destinations": {
            "google": {"kind": "google", "mode": "shadow", "account_id": "4812093377", "access_token": "t"},
            "meta": {"kind": "meta", "mode": "shadow", "dataset_id": "1201480973312345", "access_token": "t"},
        },
    }
    file.write_text(f"# Our own words.\n{yaml.safe_dump(config)}", encoding="utf-8")
    yield stage, services, file
    await services.close()


async def test_describe_suggest_consent_activate_pull(place: tuple[CrmStage, Services, Path]) -> None:
    """The first hour with Leadloop: nothing but the consent section is the operator's to write."""
    stage, services, file = place
    suggestion = await suggested(services, "crm", load_file(file, {}))
    write_section(file, "crm", suggestion)
    text = file.read_text(encoding="utf-8")

    with pytest.raises(ConfigInvalid, match=r"mappings\.crm\.consent: name the field that grants"):
        await services.apply_file(file, actor="test")
    file.write_text(text.replace("consent: {}", f"consent: {CONSENT}"), encoding="utf-8")
    report = await services.apply_file(file, actor="test")
    stage.play()
    (row,) = await services.sources()
    await services.pull(row, only_due=False)

    assert report.created == ("sources.crm", "destinations.google", "destinations.meta", "mappings.crm")
    async with services.database.read() as connection:
        made = set(await connection.scalars(select(conversions.c.milestone).where(conversions.c.live)))
        owed = set(await connection.scalars(select(deliveries.c.target)))
    assert made == {"lead", "qualified_lead", "opportunity", "closed_revenue"}
    assert '{"event_name":"Purchase"}' in owed
    assert not any("conversion_action" in target for target in owed)


async def test_a_stored_source_is_described_anew(place: tuple[CrmStage, Services, Path]) -> None:
    """A field that was made a minute ago, because our README asked for it, must be found."""
    _, services, file = place
    suggestion = await suggested(services, "crm", load_file(file, {}))
    write_section(file, "crm", suggestion)
    file.write_text(file.read_text(encoding="utf-8").replace("consent: {}", f"consent: {CONSENT}"), encoding="utf-8")
    await services.apply_file(file, actor="test")

    again = await suggested(services, "crm")

    assert again == suggestion


async def test_a_name_that_nobody_has_is_told(place: tuple[CrmStage, Services, Path]) -> None:
    """A typing mistake must not end in a trace of our code."""
    _, services, file = place

    with pytest.raises(SourceUnknown, match="no source is named 'cmr'"):
        await suggested(services, "cmr", load_file(file, {}))


@pytest.mark.parametrize(
    "before",
    [
        "",
        "mappings:\n",
        "mappings: {}  # none yet\nsources: {}\n",
        "mappings:\n\n    # a note\n    other:\n        milestones: []\nsources: {}\n",
        "mappings:\n  other: {}\n",
    ],
)
async def test_the_section_goes_into_a_file_of_any_layout(tmp_path: Path, before: str) -> None:
    """What an operator wrote stays, comments included; only one section comes."""
    suggestion = await _of_hubspot(tmp_path)
    file = tmp_path / "mine.yaml"
    file.write_text(before, encoding="utf-8")

    write_section(file, "crm", suggestion)

    assert "crm" in load_file(file, {}).mappings
    assert all(line.strip() in file.read_text(encoding="utf-8") for line in before.splitlines() if "mappings" not in line)


async def test_a_file_that_cannot_be_added_to_stays_as_it_is(tmp_path: Path) -> None:
    """A flow mapping has no place for lines; the file must not be spoilt."""
    suggestion = await _of_hubspot(tmp_path)
    file = tmp_path / "mine.yaml"
    file.write_text("mappings: {other: {milestones: []}}\n", encoding="utf-8")

    with pytest.raises(InitRefused, match="by hand"):
        write_section(file, "crm", suggestion)

    assert file.read_text(encoding="utf-8") == "mappings: {other: {milestones: []}}\n"
    assert not file.with_name("mine.yaml.new").exists()


async def _of_hubspot(tmp_path: Path) -> Suggestion:
    stage = STAGES["hubspot"]()
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'two.db'}",
        secret_key=SecretStr("a long enough secret text"),
        allow_custom_base_urls=True,
    )
    services = await open_services(settings, clock=stage.now, environ={}, http=stage.http, sleep=stage.sleep)
    file = tmp_path / "source.yaml"
    file.write_text(yaml.safe_dump({"sources": {"crm": {"kind": "hubspot", **stage.settings}}}), encoding="utf-8")
    try:
        return await suggested(services, "crm", load_file(file, {}))
    finally:
        await services.close()
