"""The command line of reports: `leadloop report funnel|campaigns|books` and `leadloop spend import`. Works beside `serve`."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
import typer

from app.cli_console import console_of_tables
from app.config import load_settings
from app.db.migrate import upgrade
from app.db.session import Database
from app.reports.books import Books, BooksQuery, books
from app.reports.csv_table import FileInvalid
from app.reports.funnel import Base, Funnel, FunnelQuery, ReportRefused, Steps, campaigns, funnel
from app.reports.report_json import json_of
from app.reports.report_text import tables_of
from app.reports.spend import import_spend

USUAL_DAYS = 90
REPORT_MISTAKES = (ReportRefused, FileInvalid)

Answer = TypeVar("Answer")

report_commands = typer.Typer(no_args_is_help=True, help="What leads cost, what they brought, and whether the books balance.")
spend_commands = typer.Typer(no_args_is_help=True, help="What the campaigns cost.")

Since = Annotated[str | None, typer.Option(help=f"First day (UTC), like 2026-11-01; {USUAL_DAYS} days back without it.")]
Until = Annotated[str | None, typer.Option(help="Last day (UTC), included; today without it.")]
Source = Annotated[str | None, typer.Option(help="Only this source.")]
BaseOption = Annotated[Base, typer.Option(help="Count people by their creation, or by when they reached a milestone.")]
Platform = Annotated[str | None, typer.Option(help="Only this platform.")]
Campaign = Annotated[str | None, typer.Option(help="Only this campaign id.")]
Dimension = Annotated[str | None, typer.Option(help="Only people with this value, like country=US.")]
Currency = Annotated[str | None, typer.Option(help="Report in this currency, converted by the stored rates.")]
StepsOption = Annotated[
    str | None, typer.Option(help="Milestones that stand for lead, qualified, opportunity, customer: four names, comma between.")
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@report_commands.command(name="funnel")
def funnel_command(  # noqa: PLR0913 the options of a command are its arguments
    *,
    since: Since = None,
    until: Until = None,
    base: BaseOption = Base.COHORT,
    by: Annotated[str | None, typer.Option(help="campaign, platform or dimension:NAME.")] = None,
    platform: Platform = None,
    campaign: Campaign = None,
    dimension: Dimension = None,
    source: Source = None,
    currency: Currency = None,
    steps: StepsOption = None,
    as_json: AsJson = False,
) -> None:
    """How many people became what, and what each step cost."""
    first, last = _days(since, until)
    query = FunnelQuery(first, last, base, by, platform, campaign, _pair(dimension), source, _code(currency), _steps(steps))
    _show(lambda database: funnel(database, query), as_json=as_json)


@report_commands.command(name="campaigns")
def campaigns_command(  # noqa: PLR0913 the options of a command are its arguments
    *,
    since: Since = None,
    until: Until = None,
    base: BaseOption = Base.COHORT,
    by: Annotated[str, typer.Option(help="campaign, platform or dimension:NAME.")] = "campaign",
    platform: Platform = None,
    dimension: Dimension = None,
    source: Source = None,
    currency: Currency = None,
    steps: StepsOption = None,
    most: Annotated[int, typer.Option(help="How many rows before all others are added up.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The funnel by campaign: cost of each step, value of a lead, ROAS."""
    first, last = _days(since, until)
    query = FunnelQuery(
        first, last, base, by, platform, None, _pair(dimension), source, _code(currency), _steps(steps), most=most
    )
    _show(lambda database: campaigns(database, query), as_json=as_json)


@report_commands.command(name="books")
def books_command(
    *,
    since: Since = None,
    until: Until = None,
    by: Annotated[str, typer.Option(help="milestone or day.")] = "milestone",
    source: Source = None,
    destination: Annotated[str | None, typer.Option(help="Only this destination.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every conversion found, and where it stands at every destination; exit 1 where they do not balance."""
    if by not in ("milestone", "day"):
        raise ReportRefused(f"`{by}` is nothing to break the books down by; use milestone or day")
    first, last = _days(since, until)
    query = BooksQuery(first, last, source, destination)
    report = _show(lambda database: books(database, query), as_json=as_json, by_day=by == "day")
    if isinstance(report, Books) and not report.is_balanced:
        raise typer.Exit(1)


@spend_commands.command(name="import")
def import_command(
    file: Annotated[Path, typer.Argument(help="CSV: platform,campaign_id,day,cost,currency[,campaign_name,clicks,impressions]")],
) -> None:
    """Import what campaigns cost, day by day: all or nothing; what was imported before is replaced."""
    try:
        imported = _with_database(lambda database: import_spend(database, file, actor="cli", now=datetime.now(UTC)))
    except OSError as error:
        raise ReportRefused(f"{file} cannot be read: {error.strerror or error}") from error
    typer.echo(str(imported))


def _show(make: Callable[[Database], Awaitable[Funnel | Books]], *, as_json: bool, by_day: bool = False) -> Funnel | Books:
    report = _with_database(make)
    if as_json:
        typer.echo(orjson.dumps(json_of(report), option=orjson.OPT_INDENT_2))
        return report
    console = console_of_tables()
    for part in tables_of(report, by_day=by_day):
        console.print(part)
        console.print()
    return report


def _with_database(work: Callable[[Database], Awaitable[Answer]]) -> Answer:
    """Needs the database only: no secret, no lock, so that it works beside `serve`."""

    async def run() -> Answer:
        url = load_settings().database_url
        await upgrade(url)
        database = Database(url)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def _days(since: str | None, until: str | None) -> tuple[date, date]:
    last = datetime.now(UTC).date() if until is None else _day("--until", until)
    return (last - timedelta(days=USUAL_DAYS) if since is None else _day("--since", since)), last


def _day(option: str, text: str) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ReportRefused(f"{option} {text} is no day; write it like 2026-11-22")


def _pair(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ReportRefused(f"--dimension {text} names no value; write it like country=US")
    return name, value


def _code(text: str | None) -> str | None:
    if text is None or re.fullmatch("[A-Z]{3}", text):
        return text
    raise ReportRefused(f"--currency {text} is no currency; write its three capital letters, like USD")


def _steps(text: str | None) -> Steps:
    if text is None:
        return Steps()
    names = [name.strip() for name in text.split(",")]
    if len(names) != len(Steps.__slots__) - 1 or not all(names):
        raise ReportRefused("--steps takes four milestones, like lead,qualified_lead,opportunity,closed_revenue")
    return Steps(*names)
