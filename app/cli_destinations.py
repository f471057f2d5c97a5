"""`leadloop destinations list` and `leadloop destinations provision NAME`. Works beside `serve`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.table import Table

from app.bootstrap.provisioning import ProvisionPlan
from app.bootstrap.services import Services
from app.cli_asking import is_at_a_terminal
from app.cli_console import console_of_tables
from app.connections.repository import DestinationRow
from app.db.instants import to_ms
from app.mapping.suggest_text import one_line
from app.reports.platforms import Platform, rows_now
from connectors.contract.provisioning import Provision

PLANNED = {
    Provision.KEEP: "is there",
    Provision.CREATE: "will be created",
    Provision.CHANGE: "will be changed",
    Provision.BLOCKED: "blocked",
}
DONE = {**PLANNED, Provision.CREATE: "created", Provision.CHANGE: "changed"}

Open = Callable[[], Awaitable[Services]]


def destination_commands(open_up: Open) -> typer.Typer:
    """The commands, on services that `open_up` opens."""
    commands = typer.Typer(no_args_is_help=True, help="The ad accounts: how they stand, and what milestones need there.")

    @commands.command(name="list")
    def list_command() -> None:
        """Every destination: how it stands, how many rows a request holds now, and the API versions in use."""
        raise typer.Exit(asyncio.run(_list(open_up)))

    @commands.command(name="provision")
    def provision_command(
        name: Annotated[str, typer.Argument(help="The destination's name.")],
        *,
        yes: Annotated[bool, typer.Option("--yes", help="Create without asking.")] = False,
    ) -> None:
        """Create at the platform what the mappings need there; shows the plan and asks first."""
        raise typer.Exit(asyncio.run(_provision(open_up, name, is_agreed=yes)))

    return commands


async def _list(open_up: Open) -> int:
    services = await open_up()
    try:
        rows = await services.destinations()
        platforms = await services.platforms()
        now_ms = to_ms(services.clock())
    finally:
        await services.close()
    if not rows:
        typer.echo("there is no destination; `leadloop apply FILE` makes one")
        return 0
    table = Table("name", "kind", "mode", "state", "rows per request", "API versions", box=None, pad_edge=False)
    for row in rows:
        state = f"paused: {row.pause_reason or 'by its mode'}" if row.is_paused(now_ms) else "works"
        state += ", differs from file" if row.differs_from_file else ""
        platform = platforms.get(row.name)
        told = ("", "this release knows no such kind") if platform is None else (_held(row, platform), _versions(platform))
        table.add_row(row.name, row.kind, row.mode.value, state, *told)
    console_of_tables().print(table)
    return 0


def _held(row: DestinationRow, platform: Platform) -> str:
    most, now = platform.limits.rows, rows_now(platform.limits, row.batch_rows, row.adaptive_rows)
    return f"{now:,}" if now == most else f"{now:,} of {most:,}"


def _versions(platform: Platform) -> str:
    told = [
        f"{one.api} {one.version}" + (f" (until {one.sunset})" if one.sunset is not None else "") for one in platform.versions
    ]
    return ", ".join(told) or "unknown: its settings cannot be used; see `leadloop check`"


async def _provision(open_up: Open, name: str, *, is_agreed: bool) -> int:
    services = await open_up()
    try:
        work = services.provisioning()
        plan = await work.plan(name)
        _show(plan, PLANNED)
        if not plan.has_work:
            typer.echo("nothing is to be created")
            _tell_lines(plan)
            return 1 if plan.is_blocked else 0
        if not is_agreed:
            if not is_at_a_terminal():
                typer.echo("nothing was created: this is the plan alone; --yes creates it")
                return 0
            if not typer.confirm("Create it now?"):
                typer.echo("nothing was created")
                return 0
        done = await work.provision(name)
        _show(done, DONE)
        _tell_lines(done)
        typer.echo(f"then prove it: leadloop check {name}")
        return 1 if done.is_blocked else 0
    finally:
        await services.close()


def _show(plan: ProvisionPlan, words: dict[Provision, str]) -> None:
    table = Table("milestone", plan.destination, "", box=None, pad_edge=False)
    for want, planned in zip(plan.wants, plan.planned, strict=True):
        table.add_row(want.wanted.milestone, words[planned.action], planned.message)
    console = console_of_tables()
    console.print(table)
    console.print()


def _tell_lines(plan: ProvisionPlan) -> None:
    """What the mappings do not name yet, as YAML to put there."""
    lines = plan.lines()
    if not lines:
        return
    typer.echo("put this into the mapping, then `leadloop apply FILE`:\n\nmappings:")
    for source, targets in lines.items():
        typer.echo(f"  {one_line(source)}:\n    destinations:\n      {one_line(plan.destination)}:")
        for milestone, settings in targets.items():
            typer.echo(f"        {one_line(milestone)}: {one_line(settings)}")
    typer.echo()
