"""Everything that a config file may hold, written as one: applied to an empty database it gives the same file again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from app.bootstrap.openers import Openers
from app.config import ConnectionMode
from app.connections import repository as connections
from app.connections.repository import DestinationRow, SourceRow
from app.db.session import Database
from app.mapping import repository as mappings
from app.mapping.suggest_text import lines_of, one_line
from app.references import is_reference
from connectors.registry import CREDENTIALS

_NO_NAME = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Exported:
    """The file's text. `variables`: by reference that was made for it, the setting whose value it stands for.

    `left_out`: what is stored and has no place in a config file.
    """

    text: str
    variables: Mapping[str, str]
    left_out: Sequence[str]


async def export(database: Database, openers: Openers) -> Exported:
    """Connections and active mappings, by name. A credential is written as its reference, never as its value."""
    variables: dict[str, str] = {}
    left_out: list[str] = []
    async with database.read() as connection:
        sources = await connections.list_sources(connection)
        destinations = await connections.list_destinations(connection)
        active = {row.name: await mappings.active(connection, row.id) for row in sources}
    lines = [*_section("sources", sources, openers, variables), "", *_section("destinations", destinations, openers, variables)]
    documents = {name: orjson.loads(one.document_json) for name, one in active.items() if one is not None}
    lines += ["", "mappings:" if documents else "mappings: {}"]
    for name, document in documents.items():
        lines += [f"  {one_line(name)}:", *lines_of(document, 4)]
    for row in destinations:
        left_out += [f"{row.name}: {name} is {mode.value}" for name, mode in row.milestone_modes.items() if _is_set(mode)]
    return Exported("\n".join(lines) + "\n", variables, left_out)


def _is_set(mode: ConnectionMode) -> bool:
    return mode is not ConnectionMode.LIVE


def _section(
    title: str, rows: Sequence[SourceRow] | Sequence[DestinationRow], openers: Openers, variables: dict[str, str]
) -> Iterator[str]:
    yield f"{title}:" if rows else f"{title}: {{}}"
    for row in rows:
        settings = dict(_settings(row, openers, variables))
        yield f"  {one_line(row.name)}:"
        yield from lines_of({"kind": row.kind, "mode": row.mode.value, **settings}, 4)


def _settings(row: SourceRow | DestinationRow, openers: Openers, variables: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, written in sorted(openers.settings_as_written(row).items()):
        if name not in CREDENTIALS or all(is_reference(part) for part in written.split(",")):
            yield name, written
            continue
        variable = _variable(f"{row.name}_{name}", variables)
        variables[variable] = f"{row.name}.{name}"
        yield name, f"${{{variable}}}"


def _variable(text: str, taken: Mapping[str, str]) -> str:
    """The name of an environment variable that stands for one setting alone."""
    name = _NO_NAME.sub("_", text).strip("_").upper()
    name = f"_{name}" if name[:1].isdigit() else name
    return name if name not in taken else next(other for n in range(2, len(taken) + 3) if (other := f"{name}_{n}") not in taken)
