"""`leadloop keys create|list|revoke`: who may call the API. Works beside `serve`."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.access.keys import KeyRole, StoredKey
from app.bootstrap.services import Services

ACTOR = "cli"
Open = Callable[[], Awaitable[Services]]


def key_commands(open_up: Open) -> typer.Typer:
    """The commands, on services that `open_up` opens."""
    commands = typer.Typer(no_args_is_help=True, help="Keys of the REST API.")

    @commands.command(name="create")
    def create_command(
        role: Annotated[KeyRole, typer.Argument(help="viewer looks, operator runs the business, admin changes who may.")],
        days: Annotated[int | None, typer.Option(min=1, max=3660, help="Days until it expires; never without it.")] = None,
    ) -> None:
        """Make a key and print it, once."""
        raise typer.Exit(asyncio.run(_create(open_up, role, days)))

    @commands.command(name="list")
    def list_command() -> None:
        """Every key by its prefix: role, last use, end."""
        raise typer.Exit(asyncio.run(_list(open_up)))

    @commands.command(name="revoke")
    def revoke_command(prefix: Annotated[str, typer.Argument(help="The key's prefix, as `keys list` shows it.")]) -> None:
        """From now on it opens nothing."""
        raise typer.Exit(asyncio.run(_revoke(open_up, prefix)))

    return commands


async def _create(open_up: Open, role: KeyRole, days: int | None) -> int:
    services = await open_up()
    try:
        expires_at = None if days is None else services.clock() + timedelta(days=days)
        made, _ = await services.keys().create(role, expires_at, actor=ACTOR)
    finally:
        await services.close()
    typer.echo(made.text)
    typer.echo("keep it now: it is shown this once and stored nowhere", err=True)
    return 0


async def _list(open_up: Open) -> int:
    services = await open_up()
    try:
        keys, now = await services.keys().list(), services.clock()
    finally:
        await services.close()
    if not keys:
        typer.echo("there is no key; `leadloop keys create ROLE` makes one")
        return 0
    table = Table("prefix", "role", "made", "last used", "state", box=None, pad_edge=False)
    for one in keys:
        table.add_row(one.prefix, one.role, _day(one.created_at), _day(one.last_used_at), _state(one, now))
    Console().print(table)
    return 0


async def _revoke(open_up: Open, prefix: str) -> int:
    services = await open_up()
    try:
        await services.keys().revoke(prefix, actor=ACTOR)
    finally:
        await services.close()
    typer.echo(f"{prefix} opens nothing any more")
    return 0


def _day(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _state(key: StoredKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is None:
        return "good"
    return f"good until {_day(key.expires_at)}" if key.is_good(now) else f"expired {_day(key.expires_at)}"
