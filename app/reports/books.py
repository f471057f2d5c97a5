"""The books that balance: found = accounted for, by milestone, destination and UTC day; and what is missing where they do not."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.session import Database
from app.outbox.states import Reason
from app.reports import books_queries as queries
from app.reports.books_model import (
    CORRECTIONS,
    IMPLIED,
    NOT_NAMED,
    STATES,
    BookRow,
    Books,
    BooksQuery,
    Difference,
    Imbalance,
    Overstated,
)
from app.reports.days import bounds_of, day_of
from app.reports.funnel_model import ReportRefused
from app.reports.snapshot import snapshot
from connectors.contract.conversions import DeliveryKind

__all__ = ["Books", "BooksQuery", "books"]

Cell = tuple[str, int, int]
SKIPPED = "skipped"
_SUMMED = ("conversions", "told", "true", "told_micros", "true_micros")


async def books(database: Database, query: BooksQuery) -> Books:
    """The books of a span of days, read from one moment; 6 statements a source and one more for each destination."""
    if query.since is not None and query.until is not None and query.until < query.since:
        raise ReportRefused(f"the period ends on {query.until}, before it begins on {query.since}; swap them")
    async with snapshot(database) as connection:
        sources, destinations = await queries.names(connection)
        chosen = _chosen("source", query.source, sources)
        shown = _chosen("destination", query.destination, destinations)
        ledger = _Ledger({number: name for name, number in shown.items()})
        for source_id in chosen.values():
            await _add_source(connection, ledger, source_id, query)
    imbalances = tuple(sorted(ledger.imbalances(), key=lambda one: (one.day, str(one))))
    return Books(query, tuple(ledger.rows()), imbalances, tuple(ledger.summed_differences()), tuple(ledger.summed_overstated()))


def _chosen(what: str, name: str | None, known: Mapping[str, int]) -> Mapping[str, int]:
    if name is None:
        return known
    if name not in known:
        raise ReportRefused(f"there is no {what} `{name}`; known are: {', '.join(known) or 'none'}")
    return {name: known[name]}


@dataclass(slots=True)
class _Entry:
    """What is known of one milestone at one destination on one day."""

    found: int = 0
    uploads: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    corrections: dict[str, dict[tuple[str, str], int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    owes_nothing: int = 0
    unexplained: int = 0
    stuck: int = 0
    still_due: int = 0
    rows: int = 0

    @property
    def doubled(self) -> int:
        """Uploads beyond one for each conversion that has one."""
        return self.rows - (self.found - self.owes_nothing - self.unexplained)


@dataclass(slots=True)
class _Ledger:
    """The entries by milestone, destination and day; `names` are those of the destinations shown."""

    names: Mapping[int, str]
    entries: dict[Cell, _Entry] = field(default_factory=lambda: defaultdict(_Entry))
    differences: dict[tuple[int, str, str | None, str | None], list[int]] = field(default_factory=dict)
    excesses: dict[tuple[int, str], list[int]] = field(default_factory=dict)

    def add_overstated(self, rows: queries.Rows) -> None:
        """What platforms were told beyond the worth of leads, of one source."""
        for row in rows:
            if row["destination_id"] in self.names:
                before = self.excesses.setdefault((row["destination_id"], row["currency"]), [0, 0, 0])
                before[:] = [held + int(row[name]) for held, name in zip(before, ("leads", "micros", "mixed"), strict=True)]

    def summed_overstated(self) -> Iterator[Overstated]:
        """Of all sources together, where there is any."""
        for (destination_id, currency), sums in sorted(self.excesses.items()):
            if any(sums):
                yield Overstated(self.names[destination_id], currency, *sums)

    def add_differences(self, rows: queries.Rows) -> None:
        """What platforms count otherwise, of one source."""
        for row in rows:
            if row["destination_id"] in self.names:
                key = (row["destination_id"], row["milestone"], row["currency"], row["true_currency"])
                before = self.differences.get(key, [0] * len(_SUMMED))
                self.differences[key] = [held + int(row[name] or 0) for held, name in zip(before, _SUMMED, strict=True)]

    def summed_differences(self) -> Iterator[Difference]:
        """Of all sources together, in the order of destination and milestone."""
        for (destination_id, milestone, currency, true_currency), sums in self.differences.items():
            found = Difference(milestone, self.names[destination_id], currency, true_currency, *sums)
            if found.told != found.true or found.overstated_micros != 0:
                yield found

    def rows(self) -> Iterator[BookRow]:
        """As rows, in the order of destination, milestone, day."""
        for (milestone, destination_id, day), entry in sorted(self.entries.items(), key=lambda one: (one[0][1], *one[0])):
            yield BookRow(
                milestone,
                self.names[destination_id],
                day_of(day),
                found=entry.found,
                uploads=dict(entry.uploads),
                corrections={kind: dict(entry.corrections[kind]) for kind in CORRECTIONS if kind in entry.corrections},
                unexplained=entry.unexplained,
                doubled=max(0, entry.doubled),
            )

    def imbalances(self) -> Iterator[Imbalance]:
        """Everything that is not as it should be."""
        for (milestone, destination_id, day), entry in self.entries.items():
            for count, message in _wrong(entry):
                if count:
                    yield Imbalance(milestone, self.names[destination_id], day_of(day), count, message)


def _wrong(entry: _Entry) -> Iterator[tuple[int, str]]:
    yield entry.unexplained, "found, with no delivery and no reason for it"
    yield max(0, entry.doubled), "more uploads than conversions: something would be counted twice"
    yield entry.stuck, "waiting without a due time: nothing would ever send them"
    yield entry.still_due, "settled and still due: they would be sent again"
    known = set(Reason) | {IMPLIED, NOT_NAMED}
    for standing in (entry.uploads, *entry.corrections.values()):
        for (state, reason), count in standing.items():
            if state not in STATES:
                yield count, f"in a state that nobody knows ({state})"
            elif reason not in known:
                yield count, f"{state} without a reason that anybody knows ({reason or 'none'})"


async def _add_source(connection: AsyncConnection, ledger: _Ledger, source_id: int, query: BooksQuery) -> None:
    span = bounds_of(query.since, query.until)
    found = {(row["milestone"], int(row["day"])): int(row["found"]) for row in await queries.found(connection, source_id, span)}
    cells = _add_deliveries(ledger, await queries.standing(connection, source_id, span))
    ledger.add_differences(await queries.differences(connection, source_id, span))
    ledger.add_differences(await queries.still_counted(connection, source_id, span))
    ledger.add_overstated(await queries.overstated(connection, source_id, span))
    silent = {one: await queries.owing_nothing(connection, source_id, one, span) for one in ledger.names}
    versions = {row["mapping_version"] for rows in silent.values() for row in rows}
    law = _Law.read(await queries.documents(connection, source_id, sorted(versions)))
    for destination_id, name in ledger.names.items():
        cells |= {(milestone, destination_id, day) for milestone, day in found if law.names_now(name, milestone)}
        for row in silent[destination_id]:
            cell = (row["milestone"], destination_id, int(row["day"]))
            if cell in cells or law.owes(name, row["milestone"], row["mapping_version"], is_implied=row["implied"]):
                cells.add(cell)
                _add_silent(ledger.entries[cell], law, name, row)
    for milestone, destination_id, day in cells:
        ledger.entries[milestone, destination_id, day].found += found.get((milestone, day), 0)


def _add_deliveries(ledger: _Ledger, rows: queries.Rows) -> set[Cell]:
    cells = set()
    for row in rows:
        if row["destination_id"] not in ledger.names:
            continue
        cell = (row["milestone"], row["destination_id"], int(row["day"]))
        cells.add(cell)
        entry, count = ledger.entries[cell], int(row["rows"])
        entry.stuck += int(row["stuck"])
        entry.still_due += int(row["still_due"])
        if row["kind"] == DeliveryKind.UPLOAD.value:
            entry.uploads[row["state"], row["reason"]] += count
            entry.rows += count
        else:
            entry.corrections[row["kind"]][row["state"], row["reason"]] += count
    return cells


def _add_silent(entry: _Entry, law: "_Law", name: str, row: RowMapping) -> None:
    """Conversions without a delivery: explained, or missing."""
    count, milestone, version = int(row["rows"]), row["milestone"], row["mapping_version"]
    is_implied = bool(row["implied"])
    if law.owes(name, milestone, version, is_implied=is_implied):
        entry.unexplained += count
        return
    entry.owes_nothing += count
    reason = IMPLIED if is_implied and law.names(name, milestone, version) else NOT_NAMED
    entry.uploads[SKIPPED, reason] += count


@dataclass(frozen=True, slots=True)
class _Law:
    """What each mapping version said: which destination takes which milestone, and which implied ones are sent."""

    targets: Mapping[int, frozenset[tuple[str, str]]]
    sent_implied: Mapping[int, frozenset[str]]
    active: int | None

    @classmethod
    def read(cls, rows: queries.Rows) -> "_Law":
        """From the stored documents, as they were written."""
        targets, implied, active = {}, {}, None
        for row in rows:
            version, document = row["version"], orjson.loads(row["document_json"])
            targets[version] = frozenset(
                (name, milestone)
                for name, given in document.get("destinations", {}).items()
                for milestone, target in given.items()
                if target is not None
            )
            implied[version] = frozenset(one["name"] for one in document["milestones"] if one.get("implied") == "send")
            active = version if row["is_active"] else active
        return cls(targets, implied, active)

    def names(self, destination: str, milestone: str, version: int) -> bool:
        """True where this version named a target."""
        return (destination, milestone) in self.targets.get(version, ())

    def names_now(self, destination: str, milestone: str) -> bool:
        """True where the active version names a target."""
        return self.active is not None and self.names(destination, milestone, self.active)

    def owes(self, destination: str, milestone: str, version: int, *, is_implied: bool) -> bool:
        """True where a conversion of this version must have a delivery: named then and still, and sent though implied."""
        if is_implied and milestone not in self.sent_implied.get(version, ()):
            return False
        return self.names(destination, milestone, version) and self.names_now(destination, milestone)
