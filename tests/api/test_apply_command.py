"""`leadloop apply` tells what it would do before it does it, and does nothing where nobody agreed; `export` writes the file."""

import asyncio
import io
from pathlib import Path

import pytest

from app.config import ConnectionMode
from app.connections.repository import Role
from tests.api.rig import rig_on
from tests.commands import Run, in_environ, teller


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A config file that was applied; Google was put into the shadow since, over REST."""

    async def play() -> None:
        async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
            await rig.services.connecting().set_mode(Role.DESTINATION, "google", ConnectionMode.SHADOW, actor="key x")

    asyncio.run(play())
    return tmp_path / "leadloop.yaml"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: io.StringIO, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line: exit code, what was said, what was complained of."""
    assert not logs.getvalue()
    in_environ(monkeypatch, tmp_path)

    return teller(monkeypatch, capsys)


def edited(file: Path) -> Path:
    """Another token for Google."""
    text = file.read_text(encoding="utf-8")
    token = text.split('account_id: "4812093377", access_token: "')[1].split('"')[0]
    file.write_text(text.replace(token, "another-token"), encoding="utf-8")
    return file


def test_what_was_edited_since_is_told_and_left(run: Run, file: Path) -> None:
    """A restart, or somebody who applies the same file again, undoes nobody's work, and asks nobody."""
    code, out, err = run("apply", str(file))

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "sources.hubspot stays as it is",
        "destinations.google differs from file: edited since it was applied, stays as it is edited until its section changes",
        "mappings.hubspot stays as it is",
    ]
    assert "works, differs from file" in run("destinations", "list")[1]


def test_nothing_is_done_unless_somebody_agrees(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script without --yes gets a clear error and changes nothing; neither does a person who says no."""
    plan = [
        "destinations.google changes",
        "  it was edited by other means than a file; the file's section takes its place",
        "  access_token changes",
    ]

    script = run("apply", str(edited(file)))
    monkeypatch.setattr("app.cli_asking.is_at_a_terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda _question: False)
    person = run("apply", str(file))
    agreed = run("apply", str(file), "--yes")
    after = run("apply", str(file))

    assert script[0] == 2
    assert script[1].splitlines()[1:4] == plan
    assert "nothing was done: there is no terminal to ask at; --yes agrees to the plan above" in script[2]
    assert (person[0], person[1].splitlines()[-1]) == (1, "nothing was done")
    assert (agreed[0], agreed[1].splitlines()[-2]) == (0, "changed: destinations.google")
    assert "another-token" not in script[1] + agreed[1]
    assert after[1].splitlines()[1] == "destinations.google stays as it is"


def test_a_mistake_is_told_before_anybody_is_asked(run: Run, file: Path) -> None:
    """Nobody says yes to what cannot be done."""
    file.write_text(file.read_text(encoding="utf-8").replace("milestones:", "milestons:"), encoding="utf-8")

    code, out, err = run("apply", str(file), "--yes")

    assert (code, out) == (2, "")
    assert "mappings.hubspot.milestons: there is no such key here (did you mean 'milestones'?)" in err


def test_an_export_can_be_piped_into_a_file(run: Run, file: Path) -> None:
    """What must be set beside the file is told beside it."""
    code, out, err = run("export")

    assert code == 0
    assert out.startswith("sources:\n  hubspot:\n    kind: hubspot\n    mode: live\n")
    assert "    mode: shadow\n" in out
    assert "${GOOGLE_ACCESS_TOKEN} stands for the value of google.access_token" in err
