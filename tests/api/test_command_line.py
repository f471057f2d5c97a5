"""The command line for people and scripts: one clear line for a mistake, real JSON, no markup from others' words."""

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.bootstrap.services import Services
from connectors.contract.findings import Finding, FindingStatus
from tests.api.rig import rig_on
from tests.commands import run_command

SECRET = "a long enough secret text"


@pytest.fixture
def leadloop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: io.StringIO) -> pytest.MonkeyPatch:
    """An environment with a secret key and a database of its own; the logs are as before afterwards."""
    assert not logs.getvalue()
    monkeypatch.setenv("LEADLOOP_DATABASE_URL", f"sqlite:///{tmp_path / 'one.db'}")
    monkeypatch.setenv("LEADLOOP_SECRET_KEY", SECRET)
    return monkeypatch


def test_a_trace_as_json_is_json(leadloop: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script reads it."""

    async def play() -> str:
        async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
            contact = rig.person(lifecyclestage="salesqualifiedlead")
            await rig.services.tick()
            return contact

    contact = asyncio.run(play())
    capsys.readouterr()

    assert run_command(leadloop, "trace", "hubspot", f"contact:{contact}", "--json") == 0

    told = json.loads(capsys.readouterr().out)
    assert [one["milestone"] for one in told["conversions"]] == ["lead", "qualified_lead"]


def test_words_of_a_vendor_are_no_markup(leadloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A message in brackets must be readable, and must not break the command."""
    finding = Finding("token", FindingStatus.FAILED, "error [403] [/nothing] [bold]", "see [docs]")

    async def check_all(_services: Services) -> Sequence[tuple[str, Sequence[Finding]]]:
        return [("crm", [finding])]

    leadloop.setattr(Services, "check_all", check_all)

    assert run_command(leadloop, "check") == 1

    assert "failed token: error [403] [/nothing] [bold] -> see [docs]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read as a UTF-8 file"),
        ("sorces: {}", "did you mean 'sources'?"),
        ("destinations: {google: {kind: gogle}}", "did you mean 'google'?"),
    ],
)
def test_a_server_tells_a_mistake_in_its_file_in_one_line(
    leadloop: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, told: str
) -> None:
    """Whoever mistypes a word must not have to read a trace of our code."""
    file = tmp_path / "leadloop.yaml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    leadloop.setenv("LEADLOOP_CONFIG", str(file))

    assert run_command(leadloop, "serve", "--port", "0") == 2

    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("words", [("db", "upgrade"), ("report", "books"), ("sync",), ("serve", "--port", "0")])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "LEADLOOP_DATABASE_URL"),
        ("mysql://there/is", "must be like sqlite:///leadloop.db or postgresql://"),
        ("postgresql://me:my-password@127.0.0.1:1/x", "is the server up"),
        ("sqlite:////no/such/directory/x.db", "make /no/such/directory"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_one_line(
    leadloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], url: str, told: str
) -> None:
    """The first thing that goes wrong at a new place, whatever the command."""
    leadloop.setenv("LEADLOOP_DATABASE_URL", url)

    assert run_command(leadloop, *words) == 2

    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.count("\n") == 1
    assert "my-password" not in captured.err


def test_a_revision_that_is_not_there_is_told_in_one_line(
    leadloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typo must not look like a broken database."""
    assert run_command(leadloop, "db", "downgrade", "nonsense") == 2

    assert "'nonsense'" in capsys.readouterr().err


def test_sync_refuses_a_source_that_is_not_there(leadloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A script with a typo must not run green."""
    assert run_command(leadloop, "sync", "hubspt") == 2

    assert "no source is named 'hubspt'" in capsys.readouterr().err


def test_keys_are_made_listed_and_revoked(leadloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The first key of a service without an admin key is made here; the text stands alone on a line, for scripts."""
    assert run_command(leadloop, "keys", "list") == 0
    assert "keys create" in capsys.readouterr().out
    assert run_command(leadloop, "keys", "create", "operator", "--days", "30") == 0
    key = capsys.readouterr().out.strip()
    prefix = key[:12]
    assert run_command(leadloop, "keys", "list") == 0
    listed = capsys.readouterr().out
    assert run_command(leadloop, "keys", "revoke", prefix) == 0
    assert run_command(leadloop, "keys", "list") == 0
    ended = capsys.readouterr().out
    assert run_command(leadloop, "keys", "revoke", "llk_nobody00") == 2

    assert len(key.splitlines()) == 1
    assert prefix in listed
    assert "good until" in listed
    assert key not in listed
    assert "revoked" in ended
    assert "there is no key" in capsys.readouterr().err
