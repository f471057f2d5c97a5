"""What a database and the platforms hold at the end of a play, held against the oracle."""

from collections import Counter
from typing import Any

from sqlalchemy import select

from app.db.instants import from_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries, destinations, records
from tests.e2e.kill_world import ACTIONS, Company, Expected, outcomes_of

CORRECTIONS = {("confirmed", "confirmed"), ("confirmed", "already_there"), ("unmatched", "unmatched")}
NOT_SENT = {("skipped", "superseded"), ("skipped", "withdrawn"), ("skipped", "unsupported")}
META_FORGETS_AFTER_MS = (48 * 60 - 15) * 60_000


async def read_database(database_url: str) -> tuple[Counter[tuple[object, ...]], list[dict[str, Any]]]:
    """The facts that are stored, and each delivery with its conversion's uid."""
    database = Database(database_url)
    try:
        async with database.read() as connection:
            made = await connection.execute(
                select(conversions, records.c.external_id).join(records, records.c.id == conversions.c.record_id)
            )
            rows = [dict(row) for row in made.mappings()]
            owed = await connection.execute(
                select(
                    deliveries,
                    conversions.c.uid,
                    conversions.c.milestone,
                    conversions.c.scope_key,
                    conversions.c.occurrence,
                    conversions.c.live,
                    destinations.c.name.label("destination"),
                )
                .join(conversions, conversions.c.id == deliveries.c.conversion_id)
                .join(destinations, destinations.c.id == deliveries.c.destination_id)
            )
            sent = [dict(row) for row in owed.mappings()]
    finally:
        await database.close()
    return Counter(fact_of(row) for row in rows), sent


def fact_of(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["uid"],
        row["milestone"],
        row["external_id"],
        from_ms(row["occurred_at"]),
        row["amount_micros"] if row["live"] else None,
        bool(row["live"]),
        bool(row["implied"]),
    )


def check_facts(facts: Counter[tuple[object, ...]], expected: list[Expected]) -> None:
    """The same conversions, values and ids, none twice."""
    wanted = Counter(one.fact for one in expected)
    assert (sorted(map(str, facts - wanted)), sorted(map(str, wanted - facts))) == ([], [])


def check_deliveries(sent: list[dict[str, Any]], expected: list[Expected], company: Company) -> None:
    """Each upload ended as its person and its instant say, each correction with a verdict or a reason not to go."""
    for destination in {row["destination"] for row in sent}:
        uploads = {row["uid"]: row for row in sent if row["kind"] == "upload" and row["destination"] == destination}
        wanted = {one.uid: outcomes for one in expected if (outcomes := outcomes_of(one, company, destination)) is not None}
        wrong = {
            uid: (uploads[uid]["milestone"], uploads[uid]["state"], uploads[uid]["reason"], sorted(outcomes))
            for uid, outcomes in wanted.items()
            if uid in uploads
            and (uploads[uid]["state"], uploads[uid]["reason"]) not in outcomes
            and not is_counted_before(uploads[uid], list(uploads.values()))
        }
        assert set(uploads) == set(wanted)
        assert wrong == {}
        assert counted_twice([row for row in sent if row["destination"] == destination]) == []
    corrections = {(row["state"], row["reason"]) for row in sent if row["kind"] != "upload" and row["destination"] == "google"}
    assert corrections <= CORRECTIONS | NOT_SENT


def is_counted_before(repeat: dict[str, Any], uploads: list[dict[str, Any]]) -> bool:
    """A deal that is won again is not sent where the platform still counts, or may count, the first time."""
    earlier = [
        row
        for row in uploads
        if (row["scope_key"], row["milestone"]) == (repeat["scope_key"], repeat["milestone"])
        and row["occurrence"] < repeat["occurrence"]
    ]
    is_there = any(row["state"] in ("accepted", "confirmed", "uncertain") and not row["live"] for row in earlier)
    return (repeat["state"], repeat["reason"]) == ("skipped", "still_counted") and is_there


def counted_twice(sent: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Deals of which one platform counts two times: uploads that it has, without those that it took back."""
    counted: Counter[tuple[str, str]] = Counter()
    for row in sent:
        if row["state"] in ("accepted", "confirmed") and row["kind"] != "restate":
            counted[row["scope_key"], row["milestone"]] += -1 if row["kind"] == "retract" else 1
    return [key for key, times in counted.items() if times > 1]


def check_google(ledger: list[dict[str, Any]], sent: list[dict[str, Any]], expected: list[Expected]) -> None:
    """Google counts what was confirmed and nothing else, each once, at the value that the CRM has now."""
    uploads = [row for row in sent if (row["destination"], row["kind"]) == ("google", "upload")]
    confirmed, uncertain = (
        {(ACTIONS[row["milestone"]], row["uid"]) for row in uploads if row["state"] == state}
        for state in ("confirmed", "uncertain")
    )
    counted = {(entry["action"], entry["uid"]): entry for entry in ledger if entry["times"]}
    worth = {one.uid: one.amount_micros for one in expected if one.is_live and one.amount_micros is not None}

    assert confirmed <= set(counted) <= confirmed | uncertain
    assert {entry["times"] for entry in counted.values()} <= {1}
    assert {uid: round(entry["value"] * 1_000_000) for (_, uid), entry in counted.items() if uid in worth} == {
        uid: worth[uid] for _, uid in counted if uid in worth
    }


def check_meta(ledger: list[dict[str, Any]], sent: list[dict[str, Any]]) -> None:
    """Meta counts what was accepted, each once, besides only what is uncertain; and nothing is uncertain without need."""
    uploads = [row for row in sent if (row["destination"], row["kind"]) == ("meta", "upload")]
    accepted, uncertain = ({row["uid"]: row for row in uploads if row["state"] == state} for state in ("accepted", "uncertain"))
    counted = {entry["uid"]: entry["times"] for entry in ledger if entry["times"]}
    needless = [
        uid
        for uid, row in uncertain.items()
        if row["live"] and row["settled_at"] - row["first_unknown_at"] < META_FORGETS_AFTER_MS
    ]

    assert set(counted.values()) <= {1}
    assert set(accepted) <= set(counted) <= set(accepted) | set(uncertain)
    assert needless == []
