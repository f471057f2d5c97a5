"""A suggested mapping on each simulator is activated with no edit but the consent section, and counts what happens."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
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
from tests.contract.crm_stage import Ability, Clock, CrmStage, Step
from tests.contract.hubspot_stage import HubSpotStage
from tests.contract.stages import STAGES

CONSENT = '{not_required: true, because: "a test"}'
BEGINS_AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Place = tuple[CrmStage, Services, Path]


@pytest.fixture(params=sorted(STAGES))
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A simulated CRM, services, and a config file with the source and destinations, not applied."""
    stage = STAGES[request.param](Clock(BEGINS_AT))
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'one.db'}",
        secret_key=SecretStr("a long enough secret text"),
        allow_custom_base_urls=True,
    )

    async def sleep(seconds: float) -> None:
        stage.clock.at += timedelta(seconds=seconds)

    client = httpx.AsyncClient(transport=stage.transport())
    services = await open_services(settings, clock=stage.clock, environ={}, http=client, sleep=sleep)
    file = tmp_path / "leadloop.yaml"
    config = {
        "sources": {"crm": {"kind": stage.kind, **stage.settings()}},
        "destinations": {
            "google": {"kind": "google", "mode": "shadow", "account_id": "4812093377", "access_token": "t"},
            "meta": {"kind": "meta", "mode": "shadow", "dataset_id": "1201480973312345", "access_token": "t"},
        },
    }
    file.write_text(f"# Our own words.\n{yaml.safe_dump(config)}", encoding="utf-8")
    yield stage, services, file
    await services.close()


def play(stage: CrmStage) -> None:
    """Somebody comes, is qualified, becomes an opportunity and a customer."""
    later = stage.clock.go_on
    if Ability.LEAD_HISTORY in stage.abilities:
        lead = stage.add_lead(later(MINUTE), "jane@example.com")
        stage.qualify_lead(lead, later(MINUTE))
        _, deal = stage.convert_lead(lead, later(MINUTE))
    else:
        person = stage.add_person(later(MINUTE), "jane@example.com")
        stage.qualify(person, later(MINUTE))
        deal = stage.add_deal(later(MINUTE), person=person)
    stage.set_amount(deal, 100, later(MINUTE))
    stage.move(deal, Step.OPPORTUNITY, later(MINUTE))
    stage.move(deal, Step.WON, later(MINUTE))
    later(10 * MINUTE)


async def test_describe_suggest_consent_activate_pull(place: Place) -> None:
    """The first hour with Leadloop: nothing but the consent section is the operator's to write."""
    stage, services, file = place
    suggestion = await suggested(services, "crm", load_file(file, {}))
    write_section(file, "crm", suggestion)
    text = file.read_text(encoding="utf-8")

    with pytest.raises(ConfigInvalid, match=r"mappings\.crm\.consent: name the field that grants"):
        await services.apply_file(file, actor="test")
    file.write_text(text.replace("consent: {}", f"consent: {CONSENT}"), encoding="utf-8")
    report = await services.apply_file(file, actor="test")
    play(stage)
    (row,) = await services.sources()
    await services.pull(row, only_due=False)

    assert report.created == ("sources.crm", "destinations.google", "destinations.meta", "mappings.crm")
    async with services.database.read() as connection:
        made = set(await connection.scalars(select(conversions.c.milestone).where(conversions.c.live)))
        owed = set(await connection.scalars(select(deliveries.c.target)))
    assert made == {"lead", "qualified_lead", "opportunity", "closed_revenue"}
    assert '{"event_name":"Purchase"}' in owed
    assert not any("conversion_action" in target for target in owed)


async def test_a_stored_source_is_described_anew(place: Place) -> None:
    """A field that was made a minute ago, because our README asked for it, must be found."""
    _, services, file = place
    suggestion = await suggested(services, "crm", load_file(file, {}))
    write_section(file, "crm", suggestion)
    file.write_text(file.read_text(encoding="utf-8").replace("consent: {}", f"consent: {CONSENT}"), encoding="utf-8")
    await services.apply_file(file, actor="test")

    again = await suggested(services, "crm")

    assert again == suggestion


async def test_a_name_that_nobody_has_is_told(place: Place) -> None:
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
    stage = HubSpotStage(Clock(BEGINS_AT))
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'two.db'}",
        secret_key=SecretStr("a long enough secret text"),
        allow_custom_base_urls=True,
    )
    client = httpx.AsyncClient(transport=stage.transport())
    services = await open_services(settings, clock=stage.clock, environ={}, http=client)
    file = tmp_path / "source.yaml"
    file.write_text(yaml.safe_dump({"sources": {"crm": {"kind": "hubspot", **stage.settings()}}}), encoding="utf-8")
    try:
        return await suggested(services, "crm", load_file(file, {}))
    finally:
        await services.close()
