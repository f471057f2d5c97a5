"""`leadloop spend read [DESTINATION]`: what campaigns cost, from the ad accounts themselves. Works beside `serve`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from app.bootstrap.services import Services
from app.bootstrap.spend_reading import SpendOutcome


def read_command(open_up: Callable[[], Awaitable[Services]]) -> Callable[..., None]:
    """The command, on services that `open_up` opens."""

    def read(
        destination: Annotated[str | None, typer.Argument(help="One destination's name; all without it.")] = None,
    ) -> None:
        """Read what campaigns cost from the ad accounts: the last days again, and what came since; exit 1 where one failed."""
        raise typer.Exit(asyncio.run(_read(open_up, destination)))

    return read


async def _read(open_up: Callable[[], Awaitable[Services]], destination: str | None) -> int:
    services = await open_up()
    try:
        found = await services.spend_reading().read(destination)
    finally:
        await services.close()
    for one in found:
        typer.echo(one.text())
    if not found:
        typer.echo("there is no destination; `leadloop apply FILE` makes one")
    return 1 if any(one.outcome is SpendOutcome.FAILED for one in found) else 0
