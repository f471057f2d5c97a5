"""`leadloop init` prints what can be piped into a file, and says beside it what is left to do."""

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml

from app import cli_mapping
from app.bootstrap.services import Services, open_services
from app.config import Settings
from tests.commands import in_environ, run_command
from tests.contract.crm_stage import Clock
from tests.contract.hubspot_stage import HubSpotStage


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config file with one source that was never applied, and a command line that reaches its simulated CRM."""
    in_environ(monkeypatch, tmp_path)
    stage = HubSpotStage(Clock(datetime(2026, 11, 24, 10, tzinfo=UTC)))
    client = httpx.AsyncClient(transport=stage.transport())

    async def opened(settings: Settings, **_more: object) -> Services:
        return await open_services(settings, clock=stage.clock, environ={}, http=client)

    monkeypatch.setattr(cli_mapping, "open_services", opened)
    path = tmp_path / "leadloop.yaml"
    path.write_text(yaml.safe_dump({"sources": {"crm": {"kind": "hubspot", **stage.settings()}}}), encoding="utf-8")
    return path


def test_what_is_printed_is_a_section_of_a_config_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its output goes into a file as it is; what is left to do is told beside it."""
    assert run_command(monkeypatch, "init", "crm", "--file", str(file)) == 0

    told = capsys.readouterr()
    assert yaml.safe_load(told.out)["mappings"]["crm"]["consent"] == {}
    assert "enters:\n              - qualifiedtobuy  # Qualified To Buy, 40%" in told.out
    assert "mappings.crm: write its consent section, then `leadloop apply FILE`" in told.err


def test_a_section_is_written_once(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A mapping that somebody edited is never written over."""
    assert run_command(monkeypatch, "init", "crm", "--file", str(file), "--write") == 0
    written = file.read_text(encoding="utf-8")

    assert run_command(monkeypatch, "init", "crm", "--file", str(file), "--write") == 2

    assert file.read_text(encoding="utf-8") == written
    assert "has a mapping of 'crm' already" in capsys.readouterr().err


def test_a_source_that_nobody_has_is_told_in_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever mistypes a name must not have to read a trace of our code."""
    assert run_command(monkeypatch, "init", "cmr", "--file", str(file)) == 2

    assert "no source is named 'cmr'" in capsys.readouterr().err
