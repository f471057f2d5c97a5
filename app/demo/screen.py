"""What a person sees of the demo: the days passing, then what became of the leads, and where to look further."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from app.demo.happenings import Webhook
from app.demo.play import TICK, Play, Tally
from app.demo.summary import LedgerCheck, Results
from app.reports.formulas import rounded
from app.reports.funnel_model import Funnel, metrics_of
from app.reports.report_text import tables_of

WIDTH_OF_A_FILE = 140
TICKS_A_LINE = 120


@contextmanager
def progress(console: Console, begins_at: datetime, ends_at: datetime) -> Iterator[Callable[[Tally], None]]:
    """A bar with the day, counts and the rate on a terminal; a plain line a month elsewhere."""
    ticks = (ends_at - begins_at) // TICK
    if not console.is_terminal:
        yield lambda tally: _line(console, tally)
        return
    columns = (
        TextColumn("[bold]{task.fields[day]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[counts]}", style="dim"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=ticks, day=f"{begins_at:%d %b %Y}", counts="")

        def tell(tally: Tally) -> None:
            speed = bar.tasks[0].speed
            rate = f" · {speed:,.0f} ticks/s" if speed else ""
            bar.update(task, advance=1, day=f"{tally.now:%d %b %Y}", counts=_counts(tally) + rate)

        yield tell


def _counts(tally: Tally) -> str:
    return f"{tally.records:,} records · {tally.conversions:,} conversions · {tally.sent:,} sent"


def _line(console: Console, tally: Tally) -> None:
    if tally.ticks % TICKS_A_LINE == 0:
        console.print(f"{tally.now:%Y-%m-%d}  {_counts(tally)}")


def show(console: Console, play: Play, results: Results, seconds: float) -> None:
    """The summary: leads, milestones, platforms, money, and what it took."""
    for part in _parts(play, results, seconds):
        console.print(part)
        console.print()


def _parts(play: Play, results: Results, seconds: float) -> Iterator[RenderableType]:
    yield Rule("What became of the leads")
    yield from tables_of(results.funnel)
    yield Rule("What the money bought, by campaign")
    yield from tables_of(results.campaigns)
    yield from _story(results)
    yield Rule("What the platforms were told")
    yield from tables_of(results.books)
    yield from (_ledger(one) for one in results.ledgers)
    yield Rule("What it took")
    yield _effort(play, seconds)


def _story(results: Results) -> Iterator[RenderableType]:
    yield from _lesson(results.campaigns)
    if results.too_late:
        text = (
            f"{results.too_late:,} of {results.won:,} won deals closed too late for Google, which takes an event up to 90 days "
            "after the click: they are shown below as too_old, not hidden. Meta takes 7 days for leads of its"
            " own forms, so it is told the early steps."
        )
        yield Text(text, style="yellow")


def _lesson(campaigns: Funnel) -> Iterator[RenderableType]:
    """What a platform would do with leads alone, and what it does with outcomes."""
    costs = {row.name or "": metrics_of(row, campaigns.query.steps) for row in campaigns.rows if row.campaign_id}
    by_lead = {name: told.cost_per_lead for name, told in costs.items() if told.cost_per_lead}
    by_opportunity = {name: told.cost_per_opportunity for name, told in costs.items() if told.cost_per_opportunity}
    if not by_lead or not by_opportunity:
        return
    cheap, good = min(by_lead, key=lambda name: by_lead[name]), min(by_opportunity, key=lambda name: by_opportunity[name])
    text = f"Told of leads only, bidding goes for “{cheap}”: {_money(by_lead[cheap])} a lead"
    if good != cheap:
        dear = f", {_money(by_opportunity[cheap])} an opportunity" if cheap in by_opportunity else ""
        text += f"{dear}. Told of outcomes, it goes for “{good}”: {_money(by_opportunity[good])} an opportunity"
    yield Text(f"{text}.", style="bold")


def _money(micros: Fraction) -> str:
    return f"{rounded(micros / 1_000_000, 0):,} USD"


def _ledger(one: LedgerCheck) -> Text:
    said = f"{one.platform}'s own ledger counts {one.counted:,} conversions"
    if one.is_equal:
        return Text(f"{said}, none twice: exactly what Leadloop says.", "green")
    return Text(f"{said}, {one.doubled:,} of them twice; Leadloop says {one.said:,}.", "bold red")


def _effort(play: Play, seconds: float) -> Table:
    tally, stage, fates = play.tally, play.stage, play.stage.post.fates
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    lost, late, twice = (fates[one] for one in (Webhook.LOST, Webhook.LATE, Webhook.DUPLICATED))
    webhooks = f"of their webhooks {lost:,} were lost, {late:,} came late, {twice:,} came twice"
    table.add_row("happenings in the CRM", f"{tally.happenings:,}", webhooks)
    for name, requests in (("HubSpot", stage.portal.requests), ("Google", stage.google.calls), ("Meta", stage.meta.calls)):
        met = f"{len(stage.plans[name.lower()].met):,} of them met a fault"
        table.add_row(f"requests to {name}", f"{sum(requests.values()):,}", met)
    table.add_row("ticks of Leadloop", f"{tally.ticks:,}", "four a day of simulated time")
    table.add_row("seconds", f"{seconds:,.1f}", f"{tally.happenings / max(seconds, 1):,.0f} happenings a second")
    return table


@dataclass(frozen=True, slots=True)
class Address:
    """Where the result is served, and the key for it."""

    url: str
    key: str


def invite(console: Console, address: Address, example: str) -> None:
    """How to look further, ready to be pasted."""
    console.print(Rule("The result is served until Ctrl-C"))
    calls = {
        "what is connected and what waits": "/v1/status",
        "why was this lead (not) sent": f"/v1/leads/{example}/trace",
        "what was skipped, and why": "/v1/deliveries?state=skipped&limit=5",
        "the contract": "/openapi.json",
    }
    for what, path in calls.items():
        console.print(f"[dim]# {what}[/]", highlight=False)
        console.print(f"curl -s -H 'Authorization: Bearer {address.key}' '{address.url}{path}'", highlight=False, soft_wrap=True)


def console_for_person() -> Console:
    """A terminal as it is; wide plain text where there is none."""
    console = Console(highlight=False)
    return console if sys.stdout.isatty() else Console(highlight=False, width=WIDTH_OF_A_FILE)
