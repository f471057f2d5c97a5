"""`leadloop apply FILE`, after a plan; `leadloop export` writes what is stored as such a file. Both work beside `serve`."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from app.bootstrap.exporting import export
from app.bootstrap.planning import ApplyPlan, PlannedSection, SectionFate
from app.bootstrap.services import Services
from app.cli_asking import asked
from app.cli_console import tell
from app.config import load_file
from app.mapping.diff import Change
from app.mapping.suggest_text import one_line

Open = Callable[[], Awaitable[Services]]

WORDS = {
    SectionFate.CREATE: "is new",
    SectionFate.CHANGE: "changes",
    SectionFate.KEEP: "stays as it is",
    SectionFate.EDITED: "differs from file: edited since it was applied, stays as it is edited until its section changes",
    SectionFate.MISSING: "is not in this file any more: stays as it is, and differs from file",
}


def apply_command(open_up: Open) -> Callable[..., None]:
    """The command, on services that `open_up` opens."""

    def apply(
        file: Annotated[Path, typer.Argument(help="The YAML file with sources, destinations and mappings.")],
        *,
        yes: Annotated[bool, typer.Option("--yes", help="Apply without asking.")] = False,
    ) -> None:
        """Apply a config file, after its plan: only sections that changed since they were last applied."""
        raise typer.Exit(asyncio.run(_apply(open_up, file, is_agreed=yes)))

    return apply


def export_command(open_up: Open) -> Callable[[], None]:
    """The command, on services that `open_up` opens."""

    def export_file() -> None:
        """Write what is stored as a config file; secrets as references, never their values."""
        asyncio.run(_export(open_up))

    return export_file


async def _apply(open_up: Open, file: Path, *, is_agreed: bool) -> int:
    services = await open_up()
    try:
        plan = await services.planning().plan(load_file(file, os.environ))
        tell("\n".join(plan_lines(plan)) or f"{file} is empty", soft_wrap=True)
        if not plan.has_work:
            return 0
        if not asked("Apply it?", is_agreed=is_agreed):
            return 1
        report = await services.apply_file(file, actor="cli")
        tell(report.text(), soft_wrap=True)
        return 0
    finally:
        await services.close()


async def _export(open_up: Open) -> None:
    services = await open_up()
    try:
        found = await export(services.database, services.openers)
    finally:
        await services.close()
    typer.echo(found.text, nl=False)
    for variable, setting in found.variables.items():
        typer.echo(f"${{{variable}}} stands for the value of {setting}: set it where the file is applied", err=True)
    for one in found.left_out:
        typer.echo(f"{one}: a config file has no place for it; set it over REST", err=True)


def plan_lines(plan: ApplyPlan) -> Iterator[str]:
    """What each section comes to, and of what changes, how."""
    for one in plan.sections:
        yield f"{one.path} {WORDS[one.fate]}"
        if one.overwrites:
            yield "  it was edited by other means than a file; the file's section takes its place"
        yield from (f"  {line}" for change in one.changes for line in _change(one, change))
        yield from (f"  warning {warning}" for warning in one.warnings)


def _change(section: PlannedSection, one: Change) -> Iterator[str]:
    if section.path.startswith("mappings.") or (one.before, one.after) != (None, None):
        yield from (f"{mark} {one.path}: {one_line(value)}" for mark, value in _sides(one))
    else:
        yield f"{one.path} {'changes' if one.was_there and one.is_there else 'is added' if one.is_there else 'is taken away'}"


def _sides(one: Change) -> Iterator[tuple[str, object]]:
    if one.was_there:
        yield "-", one.before
    if one.is_there:
        yield "+", one.after
