"""`leadloop reapply SOURCE [--restate]`: the active version judges all that is stored once more, after a plan."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from app.bootstrap.mapping_versions import VersionUnknown
from app.bootstrap.preview_model import Origin
from app.bootstrap.previewing import MOST_RECORDS, PreviewOrder, PreviewRefused
from app.bootstrap.reapplying import ReapplyRefused
from app.bootstrap.services import Services
from app.bootstrap.serving import is_served
from app.cli_asking import asked
from app.cli_preview_text import changes_lines, reapply_line
from app.ingest.reapply_repository import ReapplyRow

LOOKS_EVERY_SECONDS = 1.0

Open = Callable[[], Awaitable[Services]]


def reapply_command(open_up: Open) -> Callable[..., None]:
    """The command, on services that `open_up` opens."""

    def reapply(
        source: Annotated[str, typer.Argument(help="The source's name.")],
        *,
        restate: Annotated[bool, typer.Option("--restate", help="Let values follow the version; correct what was sent.")] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Begin without asking.")] = False,
    ) -> None:
        """Judge all that is stored by the active mapping again; nothing that was sent is sent again."""
        raise typer.Exit(asyncio.run(_reapply(open_up, source, restates=restate, is_agreed=yes)))

    return reapply


async def _reapply(open_up: Open, source: str, *, restates: bool, is_agreed: bool) -> int:
    services = await open_up()
    try:
        active = await services.mapping_versions().active(source)
        if active is None:
            raise ReapplyRefused(f"no version of the mapping of {source} is active; activate one first")
        await _tell_plan(services, source, active.version, restates=restates)
        if not asked("Reapply it?", is_agreed=is_agreed):
            return 1
        await services.reapplies().ask(source, active.version, restates=restates, actor="cli")
        done = await _to_the_end(services, source)
        typer.echo(reapply_line(done))
        return 1 if done.given_up else 0
    finally:
        await services.close()


async def _tell_plan(services: Services, source: str, version: int, *, restates: bool) -> None:
    order = PreviewOrder(records=MOST_RECORDS, origin=Origin.STORED, restates=restates)
    try:
        found = await services.previews().preview(source, version, order)
    except PreviewRefused as refused:
        raise ReapplyRefused(str(refused)) from refused
    part = "all that is stored" if found.is_whole else f"the newest {found.records:,} records; older ones may change too"
    typer.echo(f"version {version} of {source}, tried on {part}:")
    typer.echo("\n".join(changes_lines(found)) or "  nothing changes")


async def _to_the_end(services: Services, source: str) -> ReapplyRow:
    """Carried on here, or followed where a server does it."""
    reapplies = services.reapplies()
    while True:
        found = await (reapplies.state(source) if await is_served(services) else reapplies.finish(source))
        if found is None:
            raise VersionUnknown(f"the reapply of {source} is gone")
        if not found.is_open:
            return found
        await services.sleep(LOOKS_EVERY_SECONDS)
