"""The main job end to end: what a CRM's people did, as an oracle reads it, is exactly what is recorded and counted."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from app.bootstrap.services import Services
from app.db.instants import from_ms
from app.db.tables import conversions, deliveries, leads, records
from app.demo.play import ACTIONS, Stage, open_stage, run_stage, set_stage
from app.demo.world import What

ENDS_AT = datetime(2026, 11, 24, tzinfo=UTC)
DAYS = 10
MOST_DEALS = 25


@dataclass(slots=True)
class Oracle:
    """What must come out, read from the happenings by code that knows nothing of the engine."""

    facts: Counter[tuple[str, str, datetime]] = field(default_factory=Counter)
    worth: dict[str, int] = field(default_factory=dict)
    people: dict[str, dict[str, str]] = field(default_factory=dict)
    deal_people: dict[str, list[str]] = field(default_factory=dict)


def _ms(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _read(stage: Stage) -> Oracle:
    oracle = Oracle()
    for one in stage.world.happenings:
        number = stage.ids.get(one.key, "")
        stage_now = one.properties.get("dealstage")
        if one.what is What.CREATE and one.kind == "contacts":
            oracle.facts["lead", number, _ms(one.at)] += 1
            oracle.people[number] = dict(one.properties)
        if one.properties.get("lifecyclestage") == "salesqualifiedlead":
            oracle.facts["qualified_lead", number, _ms(one.at)] += 1
        if one.what is What.ASSOCIATE:
            oracle.deal_people.setdefault(number, []).append(stage.ids[one.other])
        if stage_now == "qualifiedtobuy":
            oracle.facts["opportunity", number, _ms(one.at)] += 1
        if stage_now == "closedwon":
            oracle.facts["closed_revenue", number, _ms(one.at)] += 1
        if one.properties.get("amount"):
            oracle.worth[number] = int(one.properties["amount"]) * 1_000_000
    return oracle


async def _play(tmp_path: Path, database_url: str) -> tuple[Stage, Services]:
    stage = set_stage(days=DAYS, most_deals=MOST_DEALS, ends_at=ENDS_AT)
    services = await open_stage(stage, database_url, tmp_path, stage.clock.now)
    await run_stage(stage, services, ENDS_AT, lambda _now: None)
    return stage, services


async def test_every_fact_becomes_its_conversion_once_and_is_counted_once(tmp_path: Path, database_url: str) -> None:
    """A conversion lost and a conversion counted twice are what users fear: the sets must be equal, not similar."""
    stage, services = await _play(tmp_path, database_url)
    oracle = _read(stage)
    start = ENDS_AT - timedelta(days=DAYS)

    async with services.database.read() as connection:
        found = (
            await connection.execute(
                select(conversions, records.c.external_id).join(records, records.c.id == conversions.c.record_id)
            )
        ).mappings()
        rows = {row["id"]: row for row in found}
        sent = (await connection.execute(select(deliveries))).mappings().all()
        ids_of_leads = {row.id for row in await connection.execute(select(leads.c.id))}
    await services.close()

    facts = Counter((row["milestone"], row["external_id"], from_ms(row["occurred_at"])) for row in rows.values())
    assert facts == oracle.facts
    live = {
        row["external_id"]: row["amount_micros"] for row in rows.values() if row["milestone"] == "closed_revenue" and row["live"]
    }
    assert live == {deal: oracle.worth[deal] for deal in live}
    assert {row["lead_id"] for row in rows.values()} <= ids_of_leads
    _check_deliveries(stage, oracle, rows, list(sent), start)


def _check_deliveries(stage: Stage, oracle: Oracle, rows: dict, sent: list, start: datetime) -> None:  # type: ignore[type-arg]  # rows of SQL
    uploads = [row for row in sent if row["kind"] == "upload"]
    wanted = {row["id"] for row in rows.values() if row["milestone"] in ACTIONS}
    assert {row["conversion_id"] for row in uploads} == wanted
    assert not [row for row in sent if row["state"] in ("pending", "sending", "expired", "rejected", "uncertain")]
    ledger = {key: entry for key, entry in stage.google.ledger.entries.items() if entry.times_counted}
    confirmed = {
        (ACTIONS[rows[row["conversion_id"]]["milestone"]], rows[row["conversion_id"]]["uid"])
        for row in uploads
        if row["state"] == "confirmed"
    }
    assert {tuple(key) for key in ledger} == confirmed
    assert {entry.times_counted for entry in ledger.values()} <= {1}
    for row in uploads:
        fact = rows[row["conversion_id"]]
        people = oracle.deal_people.get(fact["external_id"], [fact["external_id"]])
        if len(people) == 1:
            assert (row["state"], row["reason"]) == _expected(oracle.people[people[0]], from_ms(fact["occurred_at"]), start)


def _expected(person: dict[str, str], occurred_at: datetime, start: datetime) -> tuple[str, str]:
    """The state that a delivery must end in, from the raw facts alone."""
    has_click = "hs_google_click_id" in person
    reachable = has_click or person.get("phone") or "@" in person.get("email", "")
    if occurred_at < start:
        return "skipped", "before_start"
    if person["ads_consent"] == "no":
        return "skipped", "no_consent"
    if not reachable:
        return "skipped", "no_identifier"
    return ("confirmed", "confirmed") if has_click else ("unmatched", "unmatched")


async def test_nothing_of_a_person_stands_in_the_database_file(tmp_path: Path) -> None:
    """A stolen database file must name nobody: no e-mail, phone, name, and no bare hash of one."""
    import hashlib  # noqa: PLC0415 only here

    path = tmp_path / "private.db"
    stage, services = await _play(tmp_path, f"sqlite:///{path}")
    await services.close()

    content = b"".join(file.read_bytes() for file in tmp_path.glob("private.db*"))  # noqa: ASYNC240 the service is closed
    for person in _read(stage).people.values():
        for value in (person.get("email"), person.get("phone"), person["lastname"]):
            if value and len(value) > 4:
                assert value.encode() not in content
                digest = hashlib.sha256(value.lower().encode())
                assert digest.digest() not in content
                assert digest.hexdigest().encode() not in content
