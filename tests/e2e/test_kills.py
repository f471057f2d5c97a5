"""Must be true: after thirty kills among faults, on each database, what is known and counted is exactly what happened."""

import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.db.instants import from_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries, destinations, records
from tests.e2e.kill_world import ACTIONS, Company, Expected, build_company, expected_of, outcomes_of

KILLS = 30
ROOT = Path(__file__).resolve().parents[2]
CORRECTIONS = {("confirmed", "confirmed"), ("confirmed", "already_there"), ("unmatched", "unmatched")}
NOT_SENT = {("skipped", "superseded"), ("skipped", "withdrawn"), ("skipped", "unsupported")}


def _seed() -> int:
    """A new one each time; a failing one is printed and replays."""
    return int(os.environ.get("LEADLOOP_KILL_SEED") or secrets.randbelow(10**6))


@pytest.mark.timeout(300)
async def test_after_thirty_kills_among_faults_every_fact_is_counted_once(tmp_path: Path, database_url: str) -> None:
    """A process may die anywhere, and vendors fail in every way they know: nothing may be lost, nothing doubled."""
    seed = _seed()
    sys.stdout.write(f"replay with LEADLOOP_KILL_SEED={seed}\n")

    result = _play(database_url, tmp_path, seed)

    company = build_company(seed)
    expected = expected_of(company, result["ids"])
    facts, sent = await _read(database_url)
    assert (result["left"], result["kills"]) == (0, KILLS)
    wanted = Counter(one.fact for one in expected)
    extra = [fact for fact in facts - wanted if not _stands_for_nobody(fact, company, result["ids"])]
    assert (sorted(map(str, extra)), sorted(map(str, wanted - facts))) == ([], [])
    _check_deliveries(sent, expected, company)
    _check_google(result["google"], sent, expected)
    _check_meta(result["meta"], sent)


def _play(database_url: str, folder: Path, seed: int) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.e2e.kill_master", database_url, str(folder), str(seed), str(KILLS)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout[-500:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


async def _read(database_url: str) -> tuple[Counter[tuple[object, ...]], list[dict[str, Any]]]:
    """The facts that are stored, and each delivery with its conversion's uid."""
    database = Database(database_url)
    try:
        async with database.read() as connection:
            made = await connection.execute(
                select(conversions, records.c.external_id).join(records, records.c.id == conversions.c.record_id)
            )
            rows = [dict(row) for row in made.mappings()]
            owed = await connection.execute(
                select(deliveries, conversions.c.uid, conversions.c.milestone, destinations.c.name.label("destination"))
                .join(conversions, conversions.c.id == deliveries.c.conversion_id)
                .join(destinations, destinations.c.id == deliveries.c.destination_id)
            )
            sent = [dict(row) for row in owed.mappings()]
    finally:
        await database.close()
    return Counter(_fact(row) for row in rows), sent


def _fact(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["uid"],
        row["milestone"],
        row["external_id"],
        from_ms(row["occurred_at"]),
        row["amount_micros"] if row["live"] else None,
        bool(row["live"]),
        bool(row["implied"]),
    )


def _stands_for_nobody(fact: tuple[object, ...], company: Company, ids: dict[str, str]) -> bool:
    """A person's milestone implied by a deal that had nobody on it yet: it is filed under the deal and never sent."""
    _, milestone, record, _, _, _, is_implied = fact
    lonely = {ids[deal.key] for deal in company.deals.values() if deal.associated_at > deal.created_at}
    return bool(is_implied) and milestone in ("lead", "qualified_lead") and record in lonely


def _check_deliveries(sent: list[dict[str, Any]], expected: list[Expected], company: Company) -> None:
    """Each upload ended as its person and its instant say, each correction with a verdict or a reason not to go."""
    for destination in {row["destination"] for row in sent}:
        uploads = {row["uid"]: row for row in sent if row["kind"] == "upload" and row["destination"] == destination}
        wanted = {one.uid: outcomes for one in expected if (outcomes := outcomes_of(one, company, destination)) is not None}
        wrong = {
            uid: (uploads[uid]["milestone"], uploads[uid]["state"], uploads[uid]["reason"], sorted(outcomes))
            for uid, outcomes in wanted.items()
            if uid in uploads and (uploads[uid]["state"], uploads[uid]["reason"]) not in outcomes
        }
        assert set(uploads) == set(wanted)
        assert wrong == {}
    corrections = {(row["state"], row["reason"]) for row in sent if row["kind"] != "upload" and row["destination"] == "google"}
    assert corrections <= CORRECTIONS | NOT_SENT


def _check_google(ledger: list[dict[str, Any]], sent: list[dict[str, Any]], expected: list[Expected]) -> None:
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


def _check_meta(ledger: list[dict[str, Any]], sent: list[dict[str, Any]]) -> None:
    """Meta counts no event twice, and each that was accepted."""
    accepted = {row["uid"] for row in sent if (row["destination"], row["kind"], row["state"]) == ("meta", "upload", "accepted")}

    assert {entry["times"] for entry in ledger} <= {1}
    assert accepted <= {entry["uid"] for entry in ledger}
