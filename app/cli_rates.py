"""`leadloop rates import FILE`: dated currency rates. Works beside `serve`, which values with them what waits."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from app.bootstrap.services import Services
from app.reports.funnel import ReportRefused


def rates_commands(open_up: Callable[[], Awaitable[Services]]) -> typer.Typer:
    """The commands, on services that `open_up` opens."""
    commands = typer.Typer(no_args_is_help=True, help="Currency rates, by which values are converted.")

    @commands.callback()
    def rates() -> None:
        """Currency rates, by which values are converted."""

    @commands.command(name="import")
    def import_command(file: Annotated[Path, typer.Argument(help="CSV: day,base,quote,rate (what one of base costs)")]) -> None:
        """Import rates, all or nothing; the same day and pair is replaced."""
        typer.echo(asyncio.run(_import(open_up, file)))

    return commands


async def _import(open_up: Callable[[], Awaitable[Services]], file: Path) -> str:
    services = await open_up()
    try:
        return str(await services.rates().import_file(file, actor="cli"))
    except OSError as error:
        raise ReportRefused(f"{file} cannot be read: {error.strerror or error}") from error
    finally:
        await services.close()
