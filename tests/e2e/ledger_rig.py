"""Reads what Leadloop has in its books and tells where that differs from the oracle's, one line for each difference."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app.db.instants import from_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries, destinations
from app.demo.config import ACTIONS, EVENTS
from app.outbox.states import STATE_REASONS
from connectors.simulators.google import GooglePlatform
from connectors.simulators.meta import MetaPlatform
from tests.e2e.oracle import Conversion
from tests.e2e.oracle_platforms import Platform

Row = Mapping[str, object]
Standing = tuple[str, str]
Counts = Mapping[tuple[str, str], tuple[int, float]]


ALLOWED = {(state.value, reason.value) for state, reasons in STATE_REASONS.items() for reason in reasons}


@dataclass(frozen=True, slots=True)
class Books:
    """The rows of conversions by uid, and of deliveries by uid, destination, kind and number."""

    conversions: Mapping[str, Row]
    deliveries: Mapping[tuple[str, str, str, int], Row]


async def read_books(database: Database) -> Books:
    """Everything that stands in the books."""
    async with database.read() as connection:
        made = {str(row["uid"]): dict(row) for row in (await connection.execute(select(conversions))).mappings()}
        uids = {row["id"]: uid for uid, row in made.items()}
        rows = await connection.execute(
            select(deliveries, destinations.c.name).join(destinations, destinations.c.id == deliveries.c.destination_id)
        )
        owed = {(uids[row["conversion_id"]], row["name"], row["kind"], row["seq"]): dict(row) for row in rows.mappings()}
    strange = {(row["state"], row["reason"]) for row in owed.values()} - ALLOWED
    assert not strange, f"no page tells of these: {strange}"
    return Books(made, owed)


@dataclass(frozen=True, slots=True)
class DeliveryDifference:
    """A delivery that is missing, too much, or stands otherwise than it should: state and reason, None where there is none."""

    delivery: str
    found: Standing | None
    expected: Standing | None


def differences(books: Books, expected: Mapping[str, Conversion]) -> list[str]:
    """Conversions that are missing, too many or otherwise, in words that name them."""
    found = []
    for uid in sorted(books.conversions.keys() | expected.keys()):
        row, one = books.conversions.get(uid), expected.get(uid)
        if row is None and one is not None:
            found.append(f"missing {_named(one)}")
        elif row is not None and one is None:
            found.append(
                f"too much {row['milestone']} {row['scope_kind']} {row['scope_key']} #{row['occurrence']} {row['occurred_at']}"
            )
        elif row is not None and one is not None:
            found += [f"{_named(one)}: {text}" for text in _fields(row, one)]
    return found


def delivery_differences(
    books: Books, expected: Mapping[str, Conversion], platforms: Collection[Platform]
) -> list[DeliveryDifference]:
    """Deliveries to these platforms that are missing, too many, or end otherwise."""
    found = []
    names = {platform.name for platform in platforms}
    wanted = {
        (uid, owed.platform.name, owed.kind, owed.number): (owed.state, owed.reason)
        for uid, one in expected.items()
        for owed in one.deliveries
        if owed.platform.name in names
    }
    there = {key: (str(row["state"]), str(row["reason"])) for key, row in books.deliveries.items() if key[1] in names}
    for key in sorted(wanted.keys() | there.keys()):
        if there.get(key) != wanted.get(key):
            name = _named(expected[key[0]]) if key[0] in expected else key[0]
            found.append(DeliveryDifference(f"{name} {' '.join(map(str, key[1:]))}", there.get(key), wanted.get(key)))
    return found


def _named(one: Conversion) -> str:
    return f"{one.milestone} {one.scope_kind} {one.scope_ref} #{one.occurrence}"


def _fields(row: Row, one: Conversion) -> Iterator[str]:
    at = one.occurred_at
    pairs = {
        "scope": ((row["scope_kind"], row["scope_key"], row["occurrence"]), (one.scope_kind, one.scope_ref, one.occurrence)),
        "instant": (from_ms(int(str(row["occurred_at"]))), at),
        "implied": (bool(row["implied"]), one.is_implied),
        "live": (bool(row["live"]), one.is_live),
        "end": (row["ended_why"] or "", one.ended_why),
        "duplicate of": (row["duplicate_of"], one.duplicate_of),
        "amount": ((row["amount_micros"], row["currency"]), (one.micros, one.currency)),
    }
    return (f"{name} is {is_now}, should be {should}" for name, (is_now, should) in pairs.items() if is_now != should)


def verdicts_of(google: GooglePlatform) -> Mapping[str, datetime]:
    """When Google had its verdict on the first arrival of each conversion."""
    ready: dict[str, datetime] = {}
    for taken in google.taken.values():
        for event in taken.events:
            ready.setdefault(str(event["transactionId"]), taken.ready_at)
    return ready


def google_differences(google: GooglePlatform, expected: Mapping[str, Conversion]) -> list[str]:
    """Where Google's own ledger counts other conversions, other values, or one of them twice."""
    wanted: dict[tuple[str, str], tuple[int, float]] = {}
    for uid, one in expected.items():
        sent = [owed for owed in one.deliveries if owed.platform.name == "google" and owed.state == "confirmed"]
        is_back = any(owed.kind == "retract" and owed.state == "accepted" for owed in one.deliveries)
        if sent and not is_back:
            latest = max(sent, key=lambda owed: owed.number).sent_micros
            wanted[ACTIONS[one.milestone], uid] = (1, 1.0 if latest is None else latest / 1_000_000)
    counted = {
        (key.action, key.transaction_id): (entry.times_counted, entry.value)
        for key, entry in google.ledger.entries.items()
        if entry.times_counted
    }
    return _count_differences("Google", counted, wanted)


def meta_differences(meta: MetaPlatform, expected: Mapping[str, Conversion]) -> list[str]:
    """Where Meta's own ledger counts other conversions, other values, or one of them twice."""
    wanted: dict[tuple[str, str], tuple[int, float]] = {}
    for uid, one in expected.items():
        for owed in one.deliveries:
            if owed.platform.name == "meta" and owed.state == "accepted":
                wanted[EVENTS[one.milestone], uid] = (1, 0.0 if owed.sent_micros is None else owed.sent_micros / 1_000_000)
    counted = {
        (key.event_name, key.event_id): (entry.times_counted, entry.worth)
        for key, entry in meta.ledger.entries.items()
        if entry.times_counted
    }
    return _count_differences("Meta", counted, wanted)


def _count_differences(name: str, counted: Counts, wanted: Counts) -> list[str]:
    return [
        f"{key}: {name} counts {counted.get(key)}, should count {wanted.get(key)}"
        for key in sorted(wanted.keys() | counted.keys())
        if counted.get(key) != wanted.get(key)
    ]
