"""`leadloop forget`, `leadloop privacy ...`, `leadloop secrets rotate`: people's rights and the keys they are sealed under.

All of it works beside `serve`.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from app.bootstrap.failures import NameUnknown
from app.bootstrap.people_rights import ClueRefused, Forgotten, PeopleRights, PersonClue, SeveralPeople
from app.bootstrap.services import Services
from app.db.instants import from_ms
from app.ingest.erasing import Erased
from app.privacy.rotation import Rotated
from app.privacy.tombstone_file import TombstonesRefused

ACTOR = "cli"
PRIVACY_MISTAKES = (ClueRefused, SeveralPeople, TombstonesRefused)
Open = Callable[[], Awaitable[Services]]

Ref = Annotated[str | None, typer.Argument(help="The person's record, like `contact:123` or `lead:9`, or a lead's id.")]
Source = Annotated[str | None, typer.Option(help="The source's name; needed where several may have the record.")]
Email = Annotated[bool, typer.Option("--email", help="Name the person by e-mail: asked for, or the first line of stdin.")]
Phone = Annotated[bool, typer.Option("--phone", help="By phone, asked for likewise.")]
Form = Annotated[bool, typer.Option("--form-id", help="By the id that Meta, LinkedIn or TikTok gave a form's lead.")]
Country = Annotated[str | None, typer.Option(help="Two letters, to read a national phone number.")]


def forget_command(open_up: Open) -> Callable[..., None]:
    """The command, on services that `open_up` opens."""

    def forget(
        ref: Ref = None,
        source: Source = None,
        email: Email = False,  # noqa: FBT002 a command line flag
        phone: Phone = False,  # noqa: FBT002 a command line flag
        form: Form = False,  # noqa: FBT002 a command line flag
        country: Country = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002 a command line flag
    ) -> None:
        """Erase a person for good and bar them; conversions stay as numbers."""
        clue = _clue(ref, source, country, email=email, phone=phone, form=form)
        raise typer.Exit(asyncio.run(_forget(open_up, clue, asks=not yes)))

    return forget


def privacy_commands(open_up: Open) -> typer.Typer:
    """The commands, on services that `open_up` opens."""
    commands = typer.Typer(no_args_is_help=True, help="What is stored of a person, and who was forgotten.")
    stones = typer.Typer(no_args_is_help=True, help="Tombstones, to be kept beside the backups.")
    commands.add_typer(stones, name="tombstones")

    @commands.command(name="export")
    def export_command(
        ref: Ref = None,
        source: Source = None,
        email: Email = False,  # noqa: FBT002 a command line flag
        phone: Phone = False,  # noqa: FBT002 a command line flag
        form: Form = False,  # noqa: FBT002 a command line flag
        country: Country = None,
    ) -> None:
        """Print all that is stored of a person as JSON, opened."""
        clue = _clue(ref, source, country, email=email, phone=phone, form=form)
        raise typer.Exit(asyncio.run(_export(open_up, clue)))

    @stones.command(name="export")
    def export_stones(file: Annotated[Path, typer.Argument(help="A file that is not there yet.")]) -> None:
        """Write every tombstone into a file; it names nobody."""
        raise typer.Exit(asyncio.run(_export_stones(open_up, file)))

    @stones.command(name="import")
    def import_stones(file: Annotated[Path, typer.Argument(help="A file of `tombstones export`.")]) -> None:
        """After a backup was restored: bar everybody again, and erase who came back with it."""
        raise typer.Exit(asyncio.run(_import_stones(open_up, file)))

    return commands


def secret_commands(open_up: Open) -> typer.Typer:
    """The commands, on services that `open_up` opens."""
    commands = typer.Typer(no_args_is_help=True, help="The key under which everything personal is sealed.")

    @commands.callback()
    def _group() -> None:
        """Keep `rotate` a command of its own, though it is the only one."""

    @commands.command(name="rotate")
    def rotate_command() -> None:
        """Seal everything again under the first key of LEADLOOP_SECRET_KEY, so that the others can be taken out."""
        raise typer.Exit(asyncio.run(_rotate(open_up)))

    return commands


def _clue(ref: str | None, source: str | None, country: str | None, *, email: bool, phone: bool, form: bool) -> PersonClue:
    """What names the person is asked for: an argument would stand in the shell's history and in the list of processes."""
    if sum((ref is not None, email, phone, form)) != 1:
        raise ClueRefused("name the person by one of: a record like `contact:123`, --email, --phone, --form-id")
    if country is not None and not phone:
        raise ClueRefused("--country goes with --phone")
    return PersonClue(
        source=source,
        ref=ref,
        email=_asked("e-mail") if email else None,
        phone=_asked("phone") if phone else None,
        country=None if country is None else country.upper(),
        lead_form_id=_asked("form id") if form else None,
    )


def _asked(what: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip()


async def _forget(open_up: Open, clue: PersonClue, *, asks: bool) -> int:
    services = await open_up()
    try:
        await _check_source(services, clue)
        rights = PeopleRights(services)
        many = await rights.look(clue)
        if asks and not typer.confirm(f"stored of this person: {_many(many, 'lead')}. Erase it for good, and bar them?"):
            typer.echo("nothing was changed")
            return 1
        _show(await rights.forget(clue, actor=ACTOR))
    finally:
        await services.close()
    return 0


def _show(found: Forgotten) -> None:
    erased = found.erased
    typer.echo(_erased(erased))
    if not erased.leads:
        typer.echo("nothing was stored of this person; they are barred all the same")
    if not erased.sent:
        typer.echo("no platform was told of them")
        return
    typer.echo("platforms were told of them, or may have been; ask these to delete:")
    table = Table("destination", "platform", "milestone", "state", "times", "first", "last", box=None, pad_edge=False)
    for row in erased.sent:
        days = ("-" if at is None else f"{from_ms(at):%Y-%m-%d}" for at in (row.first_at, row.last_at))
        table.add_row(row.destination, row.platform, row.milestone, row.state, str(row.count), *days)
    Console().print(table)


def _erased(erased: Erased) -> str:
    gone = f"{_many(erased.leads, 'lead')}, {_many(erased.records, 'record')}"
    stopped = f"{erased.deliveries} deliveries" if erased.deliveries != 1 else "1 delivery"
    return f"erased: {gone}; {stopped} will not go"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


async def _export(open_up: Open, clue: PersonClue) -> int:
    services = await open_up()
    try:
        await _check_source(services, clue)
        people = await PeopleRights(services).export(clue, actor=ACTOR)
    finally:
        await services.close()
    typer.echo(orjson.dumps({"people": people}, option=orjson.OPT_INDENT_2))
    return 0


async def _check_source(services: Services, clue: PersonClue) -> None:
    names = [row.name for row in await services.sources()]
    if clue.source is not None and clue.source not in names:
        raise NameUnknown("source", clue.source, names)


async def _export_stones(open_up: Open, file: Path) -> int:
    services = await open_up()
    try:
        many = await services.sweeping().export(file, actor=ACTOR)
    finally:
        await services.close()
    typer.echo(f"{_many(many, 'tombstone')} written to {file}")
    return 0


async def _import_stones(open_up: Open, file: Path) -> int:
    services = await open_up()
    try:
        found = await services.sweeping().take_in(file, actor=ACTOR)
    finally:
        await services.close()
    typer.echo(f"{_many(found.read, 'tombstone')} read, {found.new} of them new")
    typer.echo(_erased(found.erased))
    return 0


async def _rotate(open_up: Open) -> int:
    services = await open_up()
    try:
        rotated = await services.rotation().run(actor=ACTOR)
        is_sqlite = services.database.is_sqlite
    finally:
        await services.close()
    typer.echo(f"sealed again under the newest key: {_counts(rotated.resealed) or 'nothing, all of it was already'}")
    if rotated.is_complete:
        typer.echo("nothing is sealed under an old key any more: take the old keys out of LEADLOOP_SECRET_KEY and start again")
        if not is_sqlite:
            typer.echo("PostgreSQL keeps replaced rows until their space is used again; VACUUM FULL takes them out of its files")
        return 0
    typer.echo(_mend(rotated), err=True)
    return 1


def _mend(rotated: Rotated) -> str:
    lines = []
    if rotated.unreadable:
        lines.append(f"no key at hand opens: {_counts(rotated.unreadable)}; put the key they were sealed with behind the new one")
    if sum(rotated.left.values()) > sum(rotated.unreadable.values()):
        lines.append("a running process still seals with an old key: start it with the new key in front, then rotate once more")
    return "\n".join(lines)


def _counts(many: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(many.items()))
