"""The command line of mappings: `leadloop init` drafts the first one. Works beside `serve`."""

import asyncio
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.bootstrap.services import open_services
from app.bootstrap.suggesting import suggested
from app.cli_console import tell
from app.config import ConfigInvalid, FileConfig, LogFormat, Settings, load_file, load_settings
from app.mapping.suggest import Suggestion
from app.mapping.suggest_text import as_yaml
from app.telemetry.logs import configure_logs

USUAL_FILE = Path("leadloop.yaml")
_MAPPINGS = re.compile(r"^mappings:[ \t]*(\{\}|null|~)?[ \t]*(#.*)?$", re.MULTILINE)
# The first section under it, whose indentation the new one must share; empty lines and comments may stand before.
_CHILD = re.compile(r"(?:\n[ \t]*(?:#.*)?)*\n( +)[^\s#]")


class InitRefused(Exception):
    """The suggestion cannot be written into the file; the message says why."""


def init_command(
    source: Annotated[str, typer.Argument(help="A source's name: a stored one, or one of the config file.")],
    file: Annotated[Path | None, typer.Option(help="The config file; LEADLOOP_CONFIG or leadloop.yaml without it.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Add the section to the file instead of printing it.")] = False,  # noqa: FBT002 a command line flag
) -> None:
    """Ask the CRM what it has, and draft a first mapping with the reason for each line."""
    settings = load_settings()
    configure_logs(as_json=settings.log_format is LogFormat.JSON, level=settings.log_level)
    path = file or settings.config or (USUAL_FILE if USUAL_FILE.exists() else None)
    if write and path is None:
        raise InitRefused("There is no file to write to: name it by --file.")
    config = None if path is None else load_file(path, os.environ)
    if write and config is not None and source in config.mappings:
        raise InitRefused(f"{path} has a mapping of {source!r} already; without --write the suggestion is printed.")
    suggestion = asyncio.run(_ask(settings, source, config))
    if write and path is not None:
        write_section(path, source, suggestion)
        tell(f"{path}: added mappings.{source}", soft_wrap=True, is_aside=True)
    else:
        typer.echo(f"mappings:\n{as_yaml(source, suggestion)}", nl=False)
    tell(_next(source, suggestion), soft_wrap=True, is_aside=True)


async def _ask(settings: Settings, source: str, config: FileConfig | None) -> Suggestion:
    services = await open_services(settings, clock=lambda: datetime.now(UTC), environ=os.environ)
    try:
        return await suggested(services, source, config)
    finally:
        await services.close()


def write_section(path: Path, source: str, suggestion: Suggestion) -> None:
    """Put a section under the file's `mappings:`, all else as it is; InitRefused where the result would not be readable."""
    before = path.read_text(encoding="utf-8")
    at = _MAPPINGS.search(before)
    if at is None:
        after = f"{before.rstrip()}\n\nmappings:\n{as_yaml(source, suggestion)}".lstrip()
    else:
        child = _CHILD.match(before, at.end())
        section = as_yaml(source, suggestion, len(child.group(1)) if child else 2)
        after = f"{before[: at.start()]}mappings:\n{section}{before[at.end() :].removeprefix(chr(10))}"
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(after, encoding="utf-8")
    try:
        _same_beside(path, draft)
        shutil.copymode(path, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _same_beside(path: Path, draft: Path) -> None:
    """The draft must say all that the file says, and one mapping more."""
    before = load_file(path, os.environ)
    try:
        after = load_file(draft, os.environ)
    except ConfigInvalid as error:
        raise InitRefused(f"{path} cannot be added to: {error}. Print the suggestion and put it there by hand.") from error
    is_whole = (before.sources, before.destinations) == (after.sources, after.destinations)
    if not is_whole or any(after.mappings.get(name) != kept for name, kept in before.mappings.items()):
        raise InitRefused(f"{path} cannot be added to as it is written; print the suggestion and put it there by hand.")


def _next(source: str, suggestion: Suggestion) -> str:
    todo = "write its consent section, then" if suggestion.needs_consent else "read its consent section, then"
    return f"mappings.{source}: {todo} `leadloop apply FILE`. Targets that are null send nothing."
