"""`leadloop values ...`: what our own history teaches of each milestone, fitted now or as of last night. Works beside `serve`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Annotated

import typer
from rich.table import Table

from app.bootstrap.services import Services
from app.bootstrap.value_fits import LearntValue, LearntValues
from app.cli_console import console_of_tables
from app.mapping.fits import Figures, MilestoneFit, shown

Open = Callable[[], Awaitable[Services]]
Source = Annotated[str | None, typer.Argument(help="One source's name; all without it.")]

MOST_SEGMENTS = 20
EVERYBODY = "all"


def value_commands(open_up: Open) -> typer.Typer:
    """The commands, on services that `open_up` opens."""
    commands = typer.Typer(no_args_is_help=True, help="Values learnt from our own history: averages and chances to win.")

    @commands.command(name="fit")
    def fit_command(source: Source = None) -> None:
        """Learn from all that is known now; new conversions are valued by it, and none that is there changes."""
        asyncio.run(_tell(open_up, source, fits=True))

    @commands.command(name="show")
    def show_command(
        source: Source = None,
        *,
        segments: Annotated[int, typer.Option(help="At most so many segments of a milestone.", min=0)] = MOST_SEGMENTS,
    ) -> None:
        """The newest figures: leads, won, chance and average by milestone and segment, and where the fallback stands in."""
        asyncio.run(_tell(open_up, source, segments=segments))

    return commands


async def _tell(open_up: Open, source: str | None, *, fits: bool = False, segments: int = MOST_SEGMENTS) -> None:
    services = await open_up()
    try:
        learning = services.value_fits()
        found = await (learning.fit(source) if fits else learning.shown(source))
    finally:
        await services.close()
    if not any(one.values for one in found):
        typer.echo("no mapping learns a value: none has the model `average` or `predicted`")
    for one in found:
        if one.values:
            _print(one, segments)


def _print(learnt: LearntValues, segments: int) -> None:
    typer.echo(f"{learnt.source}: {_which(learnt)}")
    table = Table("milestone", "segment", box=None, pad_edge=False)
    for name in ("leads", "won", "lost", "chance", "per lead", "per sale"):
        table.add_column(name, justify="right")
    table.add_column("valued by")
    notes: list[str] = []
    for value in learnt.values:
        for row in _rows(value, segments):
            table.add_row(*row)
        notes += _notes(value, segments)
    console_of_tables().print(table)
    for note in notes:
        typer.echo(f"  {note}")


def _which(learnt: LearntValues) -> str:
    fit = learnt.fit
    if fit is None:
        return f"no fit yet; `serve` makes one within a minute, `leadloop values fit {learnt.source}` now"
    return f"fit {fit.version} of {fit.fitted_at:%Y-%m-%d %H:%M} UTC, by version {fit.mapping_version} of the mapping"


def _rows(value: LearntValue, segments: int) -> Iterator[Sequence[str]]:
    found, model = value.fit, value.model
    said = "fallback" if value.why_not else model.model
    if found is None:
        yield value.milestone, EVERYBODY, *("-",) * 6, said
        return
    yield value.milestone, EVERYBODY, *_figures(found.whole, found), said
    for segment, figures in found.largest[:segments]:
        yield "", ", ".join(part or "(empty)" for part in segment), *_figures(figures, found), ""


def _notes(value: LearntValue, segments: int) -> Iterator[str]:
    if value.why_not:
        yield f"{value.milestone}: {value.why_not}; valued by the fallback"
    if value.fit is None:
        return
    if len(value.fit.segments) > segments:
        yield f"{value.milestone}: {len(value.fit.segments) - segments} smaller segments are not shown (`--segments`)"
    if value.fit.unvalued:
        yield f"{value.milestone}: {value.fit.unvalued} sales have no amount"
    if value.fit.unconverted:
        told = f"{value.fit.unconverted} sales could not be converted to {value.fit.currency}"
        yield f"{value.milestone}: {told}; `leadloop rates import FILE` brings rates"


def _figures(one: Figures, found: MilestoneFit) -> Sequence[str]:
    money = ("-" if micros is None else shown(micros, found.currency) for micros in (one.average_micros, one.won_micros))
    return f"{one.leads:,}", f"{one.won:,}", f"{one.lost:,}", f"{one.chance:.1%}", *money
