"""The committed example, applied as a user applies it, and the compose file that runs it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import yaml
from pydantic import SecretStr

from app.bootstrap.services import open_services
from app.config import Settings, load_file
from app.connections.settings import resolve_settings
from app.mapping.document import parse_document
from connectors import registry
from connectors.simulators.hubspot import create_hubspot
from tests.stages import stage_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "leadloop.example.yaml"
NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
ENVIRON = {
    "HUBSPOT_WEBHOOK_SECRET": "a-client-secret",
    "GOOGLE_CLIENT_ID": "an-app",
    "GOOGLE_CLIENT_SECRET": "its-secret",
    "GOOGLE_REFRESH_TOKEN": "a-refresh-token",
    "META_ACCESS_TOKEN": "a-token",
}


def test_the_example_is_a_document() -> None:
    """Whoever copies it must not start with somebody else's mistake."""
    config = load_file(EXAMPLE, {**ENVIRON, "HUBSPOT_ACCESS_TOKEN": "a-token"})

    document = parse_document(config.mappings["hubspot"].data)

    assert [one.name for one in document.milestones] == ["lead", "qualified_lead", "opportunity", "closed_revenue"]
    assert config.destinations.keys() == document.destinations.keys()
    assert {one.mode for one in config.destinations.values()} == {"shadow"}


async def test_the_example_fits_a_hubspot_account(database_url: str) -> None:
    """Applying asks the CRM: every property, stage and pipeline is there, every setting is known, every secret a reference."""
    stage = stage_of(days=1, most_deals=0, ends_at=NOW)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(create_hubspot(stage.portal, stage.clock)))
    settings = Settings(database_url=database_url, secret_key=SecretStr("a secret key for tests"))
    environ = {**ENVIRON, "HUBSPOT_ACCESS_TOKEN": stage.secrets["hubspot"]}
    services = await open_services(settings, clock=stage.clock, environ=environ, http=http, sleep=stage.clock.sleep)
    try:
        report = await services.apply_file(EXAMPLE, actor="test")
    finally:
        await services.close()

    assert set(report.created) == {"sources.hubspot", "destinations.google", "destinations.meta", "mappings.hubspot"}


def test_the_sections_in_comments_are_right_too(tmp_path: Path) -> None:
    """Whoever takes the marks away must have settings and targets that the connector knows."""
    whole = tmp_path / "whole.yaml"
    head, mark, rest = EXAMPLE.read_text(encoding="utf-8").partition("\ndestinations:\n")
    whole.write_text(head + mark + re.sub(r"(?m)^( +)# (?=[ \w])(?!start:)", r"\1", rest), encoding="utf-8")
    names = set(re.findall(r"\$\{(\w+)\}", rest))
    config = load_file(whole, dict.fromkeys([*names, *ENVIRON, "HUBSPOT_ACCESS_TOKEN"], "a-value"))
    document = parse_document(config.mappings["hubspot"].data)

    assert config.destinations.keys() == document.destinations.keys() == {"google", "meta", "linkedin", "microsoft", "tiktok"}
    for name in ("linkedin", "microsoft", "tiktok"):
        section = config.destinations[name]
        assert (section.kind, section.mode) == (name, "shadow")
        connector = registry.DESTINATIONS.get(section.kind)
        if connector is not None:
            registry.check_settings(
                section.kind, resolve_settings(section.settings, dict.fromkeys([*names, *ENVIRON], "a-value"))
            )
            targets = [set(one) for one in document.destinations[name].values()]
            assert targets == [connector.limits.target_settings] * len(targets), name


def test_compose_hands_on_what_the_service_needs() -> None:
    """Without the key every door answers 401, without the public address no signature fits, without .env no secret is there."""
    (service,) = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"].values()

    assert service["env_file"] == {"path": ".env", "required": False}
    assert {"LEADLOOP_SECRET_KEY", "LEADLOOP_API_KEY", "LEADLOOP_PUBLIC_URL", "LEADLOOP_CONFIG"} == service["environment"].keys()
