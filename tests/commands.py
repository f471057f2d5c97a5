"""The command line as a person meets it: words in, exit code and what was said out."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from app import cli

SECRET = "a long enough secret text"
Run = Callable[..., tuple[int, str, str]]


def run_command(monkeypatch: pytest.MonkeyPatch, *words: str, types: str | None = None) -> int:
    """The exit code of `leadloop` with these words. `types`: what stands on its standard input."""
    monkeypatch.setattr("sys.argv", ["leadloop", *words])
    if types is not None:
        monkeypatch.setattr("sys.stdin", io.StringIO(types))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def in_environ(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """What the command line is told of the house in this folder (`tests.api.rig` opens it under the same key)."""
    monkeypatch.setenv("LEADLOOP_DATABASE_URL", f"sqlite:///{folder / 'one.db'}")
    monkeypatch.setenv("LEADLOOP_SECRET_KEY", SECRET)
    monkeypatch.setenv("LEADLOOP_ALLOW_CUSTOM_BASE_URLS", "true")


def teller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs commands: exit code, what was said, what was complained of."""

    def told(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command(monkeypatch, *words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return told
