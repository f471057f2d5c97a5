"""The REST doors: what they tell of leads, deliveries, runs and the state of things."""

from datetime import timedelta

import orjson

from app.bootstrap.journal import Journal
from app.connections import repository as connections
from app.connections.repository import Role
from app.db.instants import to_ms
from app.main import create_app
from app.reports.trace import as_json, trace
from tests.api.rig import NOW, SECRET, Rig
from tests.api.rows import TARGET, owe
from tests.statements import asked


async def test_the_status_tells_what_stands_still_and_how_to_mend_it(rig: Rig) -> None:
    """The first page of a bad morning: paused by what, how much waits, since when, what failed."""
    await owe(
        rig,
        [
            {"state": "pending", "due_at": to_ms(NOW - timedelta(hours=3)), "settled_at": None},
            {"state": "pending", "due_at": to_ms(NOW + timedelta(hours=3)), "settled_at": None},
            {"state": "rejected", "settled_at": to_ms(NOW - timedelta(hours=1))},
            {"state": "rejected", "settled_at": to_ms(NOW - timedelta(days=2))},
            {"state": "skipped"},
        ],
    )
    (source,), (destination,) = await rig.services.sources(), await rig.services.destinations()
    async with rig.services.database.write() as connection:
        await connections.pause(connection, Role.DESTINATION, destination.id, "UNAUTHENTICATED", None)
        await connections.pause(connection, Role.SOURCE, source.id, "RATE_LIMIT", to_ms(NOW + timedelta(minutes=5)))
        await connections.pause_target(connection, destination.id, TARGET, "NOT_FOUND", to_ms(NOW))
    await rig.deliver(rig.signed([rig.change(1), rig.change(2)]))

    told = (await rig.client.get("/v1/status")).json()

    (one,), (google,) = told["sources"], told["destinations"]
    assert (one["pause"]["reason"], one["pause"]["until"]) == ("RATE_LIMIT", "2026-11-24T10:05:00Z")
    assert (one["hints_waiting"], one["mapping_version"], one["differs_from_file"]) == (2, 1, False)
    assert one["webhook_url"] == f"https://leads.example.com{rig.hook_path}"
    assert google["pause"]["until"] is None
    assert "leadloop check" in google["pause"]["mend"]
    assert [(target["code"], target["target"]) for target in google["paused_targets"]] == [("NOT_FOUND", orjson.loads(TARGET))]
    assert {**google["owed"], "counted_to": 0} == {
        "due": 1,
        "waiting": 1,
        "oldest_due_at": "2026-11-24T07:00:00Z",
        "counted_to": 0,
    }
    assert google["failed_last_day"] == {"rejected": 1}
    assert told["database"] in ("sqlite", "postgresql")
    assert SECRET not in str(told)
    assert rig.stage.secrets["hubspot"] not in str(told)


async def test_the_status_tells_the_polls_and_jobs(rig: Rig) -> None:
    """Is it alive: what was read to when, and when is the next look."""
    await rig.services.tick()

    told = (await rig.client.get("/v1/status")).json()

    polls = {poll["object"]: poll for poll in told["sources"][0]["polls"]}
    assert set(polls) == {"contact", "deal"}
    assert polls["deal"]["next_poll_at"].startswith("2026-11-24T10:05:00")
    assert told["jobs"] == []


async def test_deliveries_are_listed_page_by_page_without_gap_or_repetition(rig: Rig) -> None:
    """Somebody exports what was rejected: each row once, whatever the size of a page, while others arrive."""
    ids = await owe(rig, [{"state": state} for state in ("rejected", "skipped", "accepted") * 7])

    for query, wanted in (
        ("state=rejected", ids[::3]),
        ("state=rejected&state=skipped", sorted(ids[::3] + ids[1::3])),
        ("", ids),
        ("state=accepted&destination=google", ids[2::3]),
    ):
        found: list[int] = []
        cursor = ""
        while True:
            page = (await rig.client.get(f"/v1/deliveries?{query}&limit=4{cursor}")).json()
            found += [row["id"] for row in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert found == sorted(wanted, reverse=True)


async def test_what_waits_is_listed_by_due_time(rig: Rig) -> None:
    """What goes next is the question about what waits; many share one due time, as a page of recording makes them."""
    due = [to_ms(NOW + timedelta(minutes=minutes)) for minutes in (5, 1, 1, 1, 3, 1)]
    ids = await owe(rig, [{"state": "pending", "due_at": at, "settled_at": None} for at in due])
    wanted = [number for _, number in sorted(zip(due, ids, strict=True))]

    found: list[int] = []
    cursor = ""
    while True:
        page = (await rig.client.get(f"/v1/deliveries?state=pending&limit=2{cursor}")).json()
        found += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert found == wanted


async def test_a_listed_delivery_says_why_and_leads_to_its_trace(rig: Rig) -> None:
    """A row in a list is a question; its answer is one link away."""
    contact = rig.person(lifecyclestage="salesqualifiedlead", ads_consent="no")
    await rig.services.sync()

    page = (await rig.client.get("/v1/deliveries?state=skipped&reason=no_consent&milestone=qualified_lead&source=hubspot")).json()

    (row,) = page["items"]
    assert (row["reason"], row["value"]) == ("no_consent", {"amount": "50.00", "currency": "USD"})
    assert row["sentence"].startswith("The person has not granted")
    assert row["target"] == {"conversion_action": "7302219941"}
    told = (await rig.client.get(row["trace"])).json()
    assert told["keys"][0]["ref"] == f"contact:{contact}"


async def test_a_trace_is_what_the_command_line_prints(rig: Rig) -> None:
    """Two tellings of one lead would be two truths."""
    contact = rig.person(lifecyclestage="salesqualifiedlead")
    await rig.services.sync()

    told = await rig.client.get(f"/v1/leads/contact:{contact}/trace?source=hubspot")

    found = await trace(rig.services.database, rig.services.keyring, f"contact:{contact}", rig.services.clock())
    assert found is not None
    assert told.json() == orjson.loads(orjson.dumps(as_json(found)))
    uid = told.json()["conversions"][0]["uid"]
    assert (await rig.client.get(f"/v1/leads/{uid}/trace")).json() == told.json()
    absent = await rig.client.get("/v1/leads/contact:9/trace")
    assert (absent.status_code, absent.json()["type"]) == (404, "/problems/not-found")


async def test_a_person_is_found_by_what_they_say_of_themselves(rig: Rig) -> None:
    """Somebody calls and gives an address as they write it; the answer names refs, never the address."""
    contact = rig.person(phone="+442079460018", country="GB")
    rig.person(email="other@example.com")
    await rig.services.sync()

    for clue in (
        {"email": " Jane@Example.com"},
        {"phone": "020 7946 0018", "country": "gb"},
        {"phone": "+44 20 7946 0018"},
        {"source": "hubspot", "email": "jane@example.com"},
    ):
        answer = await rig.client.post("/v1/leads/find", json=clue)

        (found,) = answer.json()
        assert found["refs"] == [f"contact:{contact}"]
        assert "jane" not in answer.text.lower()
        assert (await rig.client.get(found["trace"])).json()["keys"][0]["ref"] == f"contact:{contact}"


async def test_a_lead_is_found_by_ref_and_by_the_id_that_a_platform_shows(rig: Rig) -> None:
    """Google's report names a transaction, and somebody asks who it was."""
    contact = rig.person(lifecyclestage="salesqualifiedlead")
    await rig.services.sync()
    (sent,) = rig.stage.google.received()

    for clue in ({"ref": f"contact:{contact}"}, {"platform_id": sent["transactionId"]}):
        (found,) = (await rig.client.post("/v1/leads/find", json=clue)).json()
        assert found["refs"] == [f"contact:{contact}"]
    for clue in ({"ref": "contact:9"}, {"platform_id": "llnone"}, {"email": "nobody@example.com"}, {"phone": "not one"}):
        assert (await rig.client.post("/v1/leads/find", json=clue)).json() == []


async def test_at_most_twenty_people_of_one_address_are_told(rig: Rig) -> None:
    """A shared inbox belongs to hundreds of contacts."""
    for _ in range(25):
        rig.person(email="info@shared.example")
    await rig.services.sync()

    assert len((await rig.client.post("/v1/leads/find", json={"email": "info@shared.example"})).json()) == 20


async def test_runs_tell_what_was_done_and_idle_turns_leave_nothing(rig: Rig) -> None:
    """What happened last night; six idle ticks a minute must not bury it."""
    rig.person(lifecyclestage="salesqualifiedlead")
    await rig.services.sync()
    for _ in range(3):
        rig.stage.clock.now += timedelta(minutes=10)
        await rig.services.tick()

    told = (await rig.client.get("/v1/runs")).json()["items"]

    assert [run["kind"] for run in told] == ["drain", "pull", "apply"]
    assert told[0]["counts"]["accepted"] == 1
    assert told[1]["counts"]["new_conversions"] == 2
    assert {run["state"] for run in told} == {"done"}
    pulls = (await rig.client.get("/v1/runs?kind=pull&source=hubspot&limit=1")).json()
    assert [run["kind"] for run in pulls["items"]] == ["pull"]


async def test_runs_are_forgotten_after_thirty_days(rig: Rig) -> None:
    """A journal that grows for ever is a second outbox."""
    rig.person()
    await rig.services.sync()
    rig.stage.clock.now += timedelta(days=31)
    rig.services.journal = Journal(rig.services.database, rig.stage.clock)  # a process that starts looks what is old
    rig.person(email="later@example.com")
    await rig.services.sync()

    told = (await rig.client.get("/v1/runs")).json()["items"]
    assert {run["started_at"][:10] for run in told} == {"2026-12-25"}


async def test_lists_and_status_stay_cheap_beside_what_was_delivered(rig: Rig) -> None:
    """Ten million settled rows must cost a page nothing: no plan may scan the table of deliveries."""
    await owe(rig, [{"state": "rejected"}, {"state": "pending", "due_at": to_ms(NOW), "settled_at": None}])
    with asked(rig.services.database) as seen:
        for path in ("/v1/status", "/v1/deliveries?state=rejected", "/v1/deliveries?state=pending", "/v1/deliveries"):
            assert (await rig.client.get(path)).status_code == 200

    reads = [(statement, parameters) for statement, parameters in seen if "deliveries" in statement]
    assert reads
    for statement, parameters in reads:
        plan = await _plan(rig, statement, parameters)
        assert not any(_scans_all(line.strip()) for line in plan), statement
        if rig.services.database.is_sqlite and "deliveries.destination_id = ?" in statement:
            assert all(
                "USING INDEX ix_deliveries_" in line or "COVERING INDEX ix_" in line for line in plan if "deliveries" in line
            )


def _scans_all(line: str) -> bool:
    """A walk along an index that a LIMIT ends is no scan."""
    return line.startswith("Seq Scan on deliveries") or (line.startswith("SCAN deliveries") and "USING" not in line)


async def _plan(rig: Rig, statement: str, parameters: object) -> list[str]:
    """The plan's lines; on PostgreSQL as if sequential scans were dear, since a small table is always scanned."""
    async with rig.services.database.read() as connection:
        if rig.services.database.is_sqlite:
            found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]  # as recorded
            return [str(row.detail) for row in found]
        await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        found = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)  # type: ignore[arg-type]  # as recorded
        return [str(row[0]).replace("->", "  ") for row in found]


def test_the_contract_is_printed_without_a_database() -> None:
    """Clients are generated from it in places where there is no database; every door has an example and the key's scheme."""
    document = create_app().openapi()

    for path, doors in document["paths"].items():
        for method, door in doors.items():
            assert door["summary"]
            told = orjson.dumps(door).decode()
            assert '"example' in told, f"{method} {path}"
            assert ("security" in door) == (path.startswith("/v1/") or path == "/metrics"), path
            for status, answer in door["responses"].items():
                if status >= "400" and path != "/readyz":
                    assert "application/problem+json" in answer["content"], f"{method} {path} {status}"
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    assert "errors" in document["components"]["schemas"]["ProblemBody"]["properties"]
