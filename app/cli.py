"""The command line: what people do with Leadloop in a terminal; `leadloop --help` lists it."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
import uvicorn
from fastapi import FastAPI
from rich.console import Console
from rich.markup import escape

from app.bootstrap.backfilling import BackfillRefused
from app.bootstrap.checking import CheckRefused
from app.bootstrap.failures import NameUnknown
from app.bootstrap.keeping_keys import KeyRefused
from app.bootstrap.mapping_versions import VersionChanged, VersionRefused, VersionUnknown
from app.bootstrap.previewing import PreviewRefused
from app.bootstrap.provisioning import ProvisionRefused
from app.bootstrap.reapplying import ReapplyRefused
from app.bootstrap.replaying import ReplayOrder, ReplayRefused, replay_all
from app.bootstrap.rounds import SourceUnknown
from app.bootstrap.services import Services, open_services
from app.bootstrap.value_fits import NothingLearnt
from app.cli_apply import apply_command, export_command
from app.cli_asking import NotAgreed
from app.cli_backfill import backfill_command
from app.cli_check import check_command
from app.cli_console import tell
from app.cli_destinations import destination_commands
from app.cli_keys import key_commands
from app.cli_mapping import InitRefused, init_command
from app.cli_privacy import PRIVACY_MISTAKES, forget_command, privacy_commands, secret_commands
from app.cli_rates import rates_commands
from app.cli_reapply import reapply_command
from app.cli_reports import REPORT_MISTAKES, report_commands, spend_commands
from app.cli_spend import read_command
from app.cli_values import value_commands
from app.cli_versions import MappingRefused, mapping_commands
from app.config import ConfigInvalid, LogFormat, SettingsInvalid, load_settings
from app.connections.repository import ConnectionRefused
from app.connections.settings import SettingsRefused
from app.db.address import DatabaseUnusable, telling
from app.db.lock import AlreadyServed, sqlite_lock
from app.db.migrate import downgrade, upgrade
from app.demo.command import SEED, USUAL_DEALS
from app.demo.command import demo as play_demo
from app.demo.world import WHOLE_DAYS
from app.ingest.pull_lease import SourceBusy
from app.main import create_app
from app.outbox.replay import Resolution
from app.outbox.states import DeliveryState, Reason
from app.references import ReferenceUnresolved
from app.reports.listing_queries import DeliveryFilter
from app.reports.trace import as_json, render, trace
from app.secrets import SecretsUnreadable
from app.telemetry.logs import configure_logs
from connectors.contract.errors import ConnectorError

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="Tells ad platforms what became of their leads.")
database_commands = typer.Typer(no_args_is_help=True, help="The database's schema.")
cli.add_typer(database_commands, name="db")
cli.add_typer(report_commands, name="report")
cli.add_typer(spend_commands, name="spend")

OPERATOR_MISTAKES = (
    *REPORT_MISTAKES,
    *PRIVACY_MISTAKES,
    AlreadyServed,
    BackfillRefused,
    CheckRefused,
    SettingsInvalid,
    ConfigInvalid,
    ConnectionRefused,
    DatabaseUnusable,
    InitRefused,
    KeyRefused,
    MappingRefused,
    NameUnknown,
    NotAgreed,
    NothingLearnt,
    PreviewRefused,
    ProvisionRefused,
    SettingsRefused,
    ReapplyRefused,
    ReferenceUnresolved,
    ReplayRefused,
    SecretsUnreadable,
    SourceBusy,
    SourceUnknown,
    VersionChanged,
    VersionRefused,
    VersionUnknown,
    ConnectorError,
)


def main() -> None:
    """Run the command line; a mistake of the operator ends with one clear message and exit code 2."""
    try:
        cli()
    except OPERATOR_MISTAKES as error:
        Console(stderr=True).print(f"[red]leadloop:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _now() -> datetime:
    return datetime.now(UTC)


def _run(work: Coroutine[object, object, int]) -> None:
    raise typer.Exit(asyncio.run(work))


async def _services() -> Services:
    settings = load_settings()
    configure_logs(as_json=settings.log_format is LogFormat.JSON, level=settings.log_level)
    return await open_services(settings, clock=_now, environ=os.environ, guards_clock=True)


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Run the service: pull, map, upload, and answer the API."""
    settings = load_settings()
    settings.secret_texts()
    with telling(settings.database_url), sqlite_lock(settings.database_url):
        pass  # told here in one line; the server itself holds the lock
    # The server ends in order on SIGTERM and then raises it again: a process that did as it was told ends with 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(_serve(create_app(settings), host, port))


async def _serve(app: FastAPI, host: str, port: int) -> None:
    """Start up and end outside of uvicorn, which would print a trace for a mistake in the config file."""
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_config=None, lifespan="off"))
    with server.capture_signals():  # a signal during the start-up is heard too, and none cuts the end short
        async with app.router.lifespan_context(app):
            await server.serve()


# Commands are listed in this order.
cli.command(name="init")(init_command)


cli.command(name="apply")(apply_command(_services))
cli.command(name="export")(export_command(_services))


@cli.command()
def sync(source: Annotated[str | None, typer.Argument(help="One source's name; all without it.")] = None) -> None:
    """Pull, map and upload until nothing is due; exit 1 where something is stuck."""

    async def work() -> int:
        services = await _services()
        try:
            summary = await services.sync(source)
            tell(summary.text())
            return 1 if summary.is_stuck else 0
        finally:
            await services.close()

    _run(work())


cli.command(name="backfill")(backfill_command(_services))
spend_commands.command(name="read")(read_command(_services))


cli.command(name="check")(check_command(_services))
cli.add_typer(destination_commands(_services), name="destinations")
cli.add_typer(mapping_commands(_services), name="mapping")
cli.command(name="reapply")(reapply_command(_services))
cli.add_typer(key_commands(_services), name="keys")
cli.add_typer(rates_commands(_services), name="rates")
cli.add_typer(value_commands(_services), name="values")
cli.command(name="forget")(forget_command(_services))
cli.add_typer(privacy_commands(_services), name="privacy")
cli.add_typer(secret_commands(_services), name="secrets")


@cli.command(name="trace")
def trace_command(
    source: Annotated[str, typer.Argument(help="The source's name.")],
    ref: Annotated[str, typer.Argument(help="`contact:123`, `deal:9`, a lead's id or a conversion's id.")],
    as_json_text: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,  # noqa: FBT002 a command line flag
) -> None:
    """Say why a lead was (not) sent."""

    async def work() -> int:
        services = await _services()
        try:
            found = await trace(services.database, services.keyring, ref, services.clock(), source)
            if found is None:
                tell(f"leadloop: {source} knows no {ref}", is_aside=True)
                return 1
            typer.echo(orjson.dumps(as_json(found), option=orjson.OPT_INDENT_2) if as_json_text else render(found))
            return 0
        finally:
            await services.close()

    _run(work())


@cli.command(name="replay")
def replay_command(  # noqa: PLR0913, PLR0917 one option for each key of the REST door's body
    ids: Annotated[list[int] | None, typer.Option("--id", help="A delivery's id; several by repeating it.")] = None,
    state: Annotated[list[DeliveryState] | None, typer.Option(help="What to try again; may be repeated.")] = None,
    reason: Annotated[list[Reason] | None, typer.Option(help="Only these reasons; may be repeated.")] = None,
    code: Annotated[str | None, typer.Option(help="Only this error code of the platform.")] = None,
    destination: Annotated[str | None, typer.Option(help="A destination's name.")] = None,
    source: Annotated[str | None, typer.Option(help="A source's name.")] = None,
    milestone: Annotated[str | None, typer.Option(help="A milestone's name.")] = None,
    before: Annotated[datetime | None, typer.Option(help="Only what stopped before this instant (UTC).")] = None,
    resolution: Annotated[Resolution | None, typer.Option(help="What uncertain deliveries (by --id) come to.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, tell the counts.")] = False,  # noqa: FBT002 a command line flag
) -> None:
    """Try stopped deliveries again; works beside `serve`, which sends them."""
    wanted = DeliveryFilter(
        states=tuple(state or ()),
        reasons=tuple(reason or ()),
        code=code,
        destination=destination,
        source=source,
        milestone=milestone,
        settled_before=None if before is None else before.replace(tzinfo=UTC),
    )
    order = ReplayOrder(tuple(ids or ()), None if wanted == DeliveryFilter() else wanted, resolution, dry_run)

    async def work() -> int:
        services = await _services()
        try:
            report = await replay_all(services, order, actor="cli")
            typer.echo(report.text())
            return 0
        finally:
            await services.close()

    _run(work())


@cli.command()
def openapi() -> None:
    """Print the contract of the REST API as JSON; needs no database."""
    typer.echo(orjson.dumps(create_app().openapi(), option=orjson.OPT_INDENT_2).decode())


@cli.command()
def demo(
    days: Annotated[int, typer.Option(help="How many days of the pipeline to play.", min=2, max=WHOLE_DAYS)] = WHOLE_DAYS,
    deals: Annotated[int, typer.Option(help="At most this many of the 8,800 opportunities.", min=1)] = USUAL_DEALS,
    seed: Annotated[int, typer.Option(help="Another seed makes other people, campaigns and faults.")] = SEED,
    port: Annotated[int, typer.Option(help="Where the result is served afterwards.")] = 8000,
    ends: Annotated[
        bool | None, typer.Option("--exit/--serve", help="End after the summary, or serve the result; served on a terminal.")
    ] = None,
) -> None:
    """Play fourteen months of a real pipeline through simulated CRM and ad platforms, show what came of it, and serve it."""
    serves = sys.stdout.isatty() if ends is None else not ends
    _run(play_demo(days=days, most_deals=deals, seed=seed, serves=serves, port=port))


@database_commands.command(name="upgrade")
def db_upgrade(revision: Annotated[str, typer.Argument(help="The revision to reach.")] = "head") -> None:
    """Bring the schema up to date."""
    asyncio.run(upgrade(load_settings().database_url, revision))


@database_commands.command(name="downgrade")
def db_downgrade(revision: Annotated[str, typer.Argument(help="The revision to go back to.")]) -> None:
    """Step the schema back."""
    asyncio.run(downgrade(load_settings().database_url, revision))
