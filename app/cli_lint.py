"""`leadloop mapping lint FILE`: mistakes and warnings of a file's mappings, without a database, a CRM or a platform."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from app.bootstrap.linting import Linted, lint
from app.config import ConfigInvalid, load_mappings


def lint_command(
    file: Annotated[Path, typer.Argument(help="A config file, or a mapping document alone (YAML or JSON).")],
) -> None:
    """Check mappings offline: form, names, targets, and what is legal but unwise; exit 1 where there are mistakes."""
    try:
        found = lint(load_mappings(file))
    except ConfigInvalid as invalid:
        for mistake in invalid.mistakes:
            _tell("[red]mistake[/]", str(mistake))
        raise typer.Exit(1) from invalid
    if not found:
        _tell("[red]mistake[/]", f"{file} has no mapping")
        raise typer.Exit(1)
    for one in found:
        show(one)
    raise typer.Exit(1 if any(one.mistakes for one in found) else 0)


def show(one: Linted) -> None:
    """Each mistake and warning on a line of its own, or that there is none."""
    for mistake in one.mistakes:
        _tell("[red]mistake[/]", str(mistake))
    for warning in one.warnings:
        _tell("[yellow]warning[/]", str(warning))
    if not one.mistakes:
        checked = "properties, stages and targets are checked by `apply`, or when a version is stored"
        _tell("[green]ok[/]", f"{one.source or 'the mapping'} has no mistakes of form; {checked}")


def _tell(mark: str, text: str) -> None:
    Console().print(f"{mark} {escape(text)}", highlight=False, soft_wrap=True)
