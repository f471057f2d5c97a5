"""`leadloop mapping ...`: a mapping's versions listed, shown, compared, previewed and activated. Works beside `serve`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.table import Table

from app.api.previews import PreviewView
from app.bootstrap.mapping_versions import VersionView
from app.bootstrap.preview_model import Origin
from app.bootstrap.previewing import MOST_DAYS, MOST_RECORDS, PreviewOrder
from app.bootstrap.services import Services
from app.cli_asking import asked
from app.cli_console import console_of_tables
from app.cli_lint import lint_command
from app.cli_preview_text import preview_lines
from app.config import load_mappings
from app.mapping.diff import Change
from app.mapping.suggest_text import lines_of, one_line

MOST_LISTED = 50
USUAL = PreviewOrder()

Open = Callable[[], Awaitable[Services]]
Source = Annotated[str, typer.Argument(help="The source's name.")]
Version = Annotated[int, typer.Argument(help="A version's number.", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="As the API tells it, in JSON.")]


class MappingRefused(Exception):
    """What was asked for cannot be done; the message says what to ask for."""


def mapping_commands(open_up: Open) -> typer.Typer:
    """The commands, on services that `open_up` opens."""
    commands = typer.Typer(no_args_is_help=True, help="Mappings: which changes count, as what, and where they go.")
    commands.command(name="lint")(lint_command)

    @commands.command(name="list")
    def list_command(source: Source) -> None:
        """The newest versions: who made each and when, and which is active."""
        asyncio.run(_list(open_up, source))

    @commands.command(name="show")
    def show_command(
        source: Source,
        version: Annotated[int | None, typer.Argument(help="A version's number; the active one without it.", min=1)] = None,
        *,
        as_json: AsJson = False,
    ) -> None:
        """A version's document, as a config file has it."""
        asyncio.run(_show(open_up, source, version, as_json=as_json))

    @commands.command(name="diff")
    def diff_command(source: Source, before: Version, after: Version) -> None:
        """What the second version changes of the first."""
        asyncio.run(_diff(open_up, source, before, after))

    @commands.command(name="preview")
    def preview_command(
        source: Source,
        what: Annotated[str, typer.Argument(metavar="FILE|VERSION", help="A file with the mapping, or a stored version.")],
        *,
        records: Annotated[int, typer.Option(help="At most so many records.", min=1, max=MOST_RECORDS)] = USUAL.records,
        origin: Annotated[Origin | None, typer.Option("--from", help="Stored records, or the CRM's own.")] = None,
        days: Annotated[int, typer.Option(help="Of the CRM: what changed in so many days.", min=1, max=MOST_DAYS)] = USUAL.days,
        restate: Annotated[bool, typer.Option("--restate", help="As `reapply --restate` would do.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """What a mapping would do to real records; nothing is stored, owed or sent."""
        order = PreviewOrder(records=records, origin=origin, days=days, restates=restate)
        asyncio.run(_preview(open_up, source, what, order, as_json=as_json))

    @commands.command(name="activate")
    def activate_command(
        source: Source,
        version: Version,
        *,
        yes: Annotated[bool, typer.Option("--yes", help="Activate without asking.")] = False,
    ) -> None:
        """Judge leads by this version from now on; an older one is a roll back. Nothing is sent twice by it."""
        raise typer.Exit(asyncio.run(_activate(open_up, source, version, is_agreed=yes)))

    return commands


async def _list(open_up: Open, source: str) -> None:
    services = await open_up()
    try:
        found = await services.mapping_versions().list(source, limit=MOST_LISTED)
        differs = await services.mapping_versions().differs_from_file(source)
    finally:
        await services.close()
    if not found:
        typer.echo(f"{source} has no mapping yet; `leadloop init {source}` drafts one")
        return
    table = Table("version", "", "made", "by", "activated first", "of a file", box=None, pad_edge=False)
    for one in found:
        state = "active" if one.is_active else ""
        told = (_at(one.created_at), one.created_by, _at(one.activated_at), "yes" if one.is_of_file else "no")
        table.add_row(str(one.version), state, *told)
    console_of_tables().print(table)
    if differs:
        typer.echo("differs from file: another version is active than the one that the config file brought last")


async def _show(open_up: Open, source: str, version: int | None, *, as_json: bool) -> None:
    services = await open_up()
    try:
        found = await _version(services, source, version)
    finally:
        await services.close()
    if as_json:
        typer.echo(orjson.dumps(found.document, option=orjson.OPT_INDENT_2).decode())
        return
    activated = "active" if found.is_active else "not active"
    typer.echo(f"# version {found.version}, {activated}, made {_at(found.created_at)} by {found.created_by}")
    typer.echo("\n".join(lines_of(found.document)))


async def _version(services: Services, source: str, version: int | None) -> VersionView:
    versions = services.mapping_versions()
    found = await (versions.active(source) if version is None else versions.get(source, version))
    if found is None:
        raise MappingRefused(
            f"no version of the mapping of {source} is active; `leadloop mapping list {source}` shows what is there"
        )
    return found


async def _diff(open_up: Open, source: str, before: int, after: int) -> None:
    services = await open_up()
    try:
        changes = await services.mapping_versions().diff(source, after, before)
    finally:
        await services.close()
    typer.echo("\n".join(_lines_of(changes)) or f"versions {before} and {after} say the same")


def _lines_of(changes: Sequence[Change]) -> list[str]:
    lines = []
    for one in changes:
        lines += [f"- {one.path}: {one_line(one.before)}"] if one.was_there else []
        lines += [f"+ {one.path}: {one_line(one.after)}"] if one.is_there else []
    return lines


async def _preview(open_up: Open, source: str, what: str, order: PreviewOrder, *, as_json: bool) -> None:
    document = None if what.isdecimal() else document_in(Path(what), source)
    services = await open_up()
    try:
        previews = services.previews()
        if document is None:
            found = await previews.preview(source, int(what), order)
        else:
            found = await previews.preview_document(source, document, order)
    finally:
        await services.close()
    if as_json:
        typer.echo(PreviewView.of(found).model_dump_json(indent=2))
    else:
        typer.echo("\n".join(preview_lines(found)))


def document_in(path: Path, source: str) -> Mapping[str, object]:
    """The mapping of a source in a config file, or the file itself where it is a mapping alone."""
    found = load_mappings(path).mappings
    if source not in found and "" not in found:
        raise MappingRefused(f"{path} has no mapping of {source!r}; there are: {', '.join(found) or 'none'}")
    return (found.get(source) or found[""]).data


async def _activate(open_up: Open, source: str, version: int, *, is_agreed: bool) -> int:
    services = await open_up()
    try:
        versions = services.mapping_versions()
        row, wanted, active = await versions.stored(source, version)
        if version == active:
            typer.echo(f"version {version} is active already")
            return 0
        changes = [] if active is None else await versions.diff(source, version, active)
        more = await versions.reads_more(row, wanted)
        typer.echo(f"version {version} in place of {'none' if active is None else f'version {active}'} of {source}")
        typer.echo("\n".join(f"  {line}" for line in _lines_of(changes)) or "  it says the same")
        for kind, count in more.items():
            said = f"{count:,} {kind} records are stored without what it reads: polls read those of its history again"
            typer.echo(f"  {said}, `leadloop backfill {source} --since DATE` the others")
        if not asked("Activate it?", is_agreed=is_agreed):
            return 1
        await versions.activate(source, version, active, actor="cli")
        typer.echo(f"version {version} is active; `leadloop reapply {source}` judges by it what is stored")
        return 0
    finally:
        await services.close()


def _at(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M}"
