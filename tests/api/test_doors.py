"""The REST doors: who is let in, what they tell, and that a mistake is told with its place and its mend."""

import io
from datetime import timedelta
from pathlib import Path

import httpx
import orjson
from sqlalchemy import event

from app.connections import repository as connections
from app.connections.repository import Role
from app.db.instants import to_ms
from app.main import create_app
from app.reports.trace import as_json, trace
from tests.api.rig import KEY, NOW, SECRET, Rig, rig_on
from tests.api.rows import TARGET, owe

DOORS = (
    ("GET", "/v1/status"),
    ("GET", "/v1/runs"),
    ("GET", "/v1/deliveries"),
    ("POST", "/v1/deliveries/replay"),
    ("GET", "/v1/leads/contact:1/trace"),
    ("POST", "/v1/leads/find"),
    ("GET", "/v1/nowhere"),
)


async def test_every_door_wants_the_key(house: Rig) -> None:
    """One door forgotten would be open to everybody; what the mend is stands in the answer."""
    mend = "Authorization: Bearer"
    for authorization, words in (("", mend), ("Basic abc", mend), (f"Bearer {KEY}x", "wrong"), ("Bearer é", "wrong")):
        headers = {b"Authorization": authorization.encode()}
        for method, path in DOORS:
            answer = await house.client.request(method, path, headers=headers, content=b"{no json")

            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json"), path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert words in answer.json()["detail"]


async def test_without_a_key_set_nobody_is_let_in(tmp_path: Path) -> None:
    """An operator who forgot the variable must not run an open service, and must read what to do."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}", key=None) as rig:
        for method, path in DOORS:
            answer = await rig.client.request(method, path)

            assert answer.status_code == 401
            assert "set LEADLOOP_API_KEY" in answer.json()["detail"]
        assert (await rig.client.get("/healthz")).status_code == 200


async def test_a_starting_process_answers_not_ready() -> None:
    """A load balancer may ask before the database is open."""
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://starting") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        answer = await client.get("/v1/status")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")


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
    assert rig.stage.crm_token not in str(told)


async def test_the_status_tells_the_polls_and_jobs(rig: Rig) -> None:
    """Is it alive: what was read to when, and when is the next look."""
    await rig.services.tick()

    told = (await rig.client.get("/v1/status")).json()

    polls = {poll["object"]: poll for poll in told["sources"][0]["polls"]}
    assert set(polls) == {"contact", "deal"}
    assert polls["deal"]["next_poll_at"] == "2026-11-24T10:05:00Z"
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

    found = await trace(rig.services.database, "hubspot", f"contact:{contact}", rig.services.sentences, rig.services.clock())
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
    rig.person(email="later@example.com")
    await rig.services.sync()

    told = (await rig.client.get("/v1/runs")).json()["items"]
    assert {run["started_at"][:10] for run in told} == {"2026-12-25"}


QUERY_MISTAKES = (
    ("/v1/deliveries?state=rejectd", "query.state.0", "rejected"),
    ("/v1/deliveries?reasn=no_consent", "query.reasn", "reason"),
    ("/v1/deliveries?reason=no_consnt", "query.reason.0", "no_consent"),
    ("/v1/deliveries?limit=500", "query.limit", "200"),
    ("/v1/deliveries?limit=5.0", "query.limit", "whole number"),
    ("/v1/deliveries?since=yesterday", "query.since", "ISO 8601"),
    ("/v1/deliveries?since=1795514400", "query.since", "ISO 8601"),
    ("/v1/deliveries?since=2026-11-24T10:00:00", "query.since", "timezone"),
    ("/v1/deliveries?cursor=%FF", "cursor", "none of this list"),
    ("/v1/deliveries?cursor=Wy0xXQ", "cursor", "none of this list"),
    ("/v1/deliveries?destination=gogle", "query.destination", "google"),
    ("/v1/runs?kid=pull", "query.kid", "kind"),
    ("/v1/leads/contact:1/trace?source=hubspt", "query.source", "hubspot"),
    ("/v1/leads/contact:1/trace?sauce=hubspot", "query.sauce", "source"),
)


async def test_a_mistake_in_a_query_names_its_place_and_the_mend(house: Rig) -> None:
    """A filter that is ignored shows everything and looks like an answer."""
    for path, place, words in QUERY_MISTAKES:
        answer = await house.client.get(path)

        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), path
        (error,) = answer.json()["errors"]
        assert error["path"] == place
        assert words in error["message"] + error.get("nearest", "")


BAD_BODIES = (
    (b'{"email": "jane@exam', "application/json", 400, "no JSON"),
    (b'{"email": "\xff"}', "application/json", 400, "JSON"),
    (b'{"email": "jane@example.com"}', "text/plain", 415, "application/json"),
    (b'{"email": "jane@example.com"}', "", 415, "application/json"),
    (b"[" * 100_000, "application/json", 400, "JSON"),
    (b" " * (5 << 20), "application/json", 413, "bytes"),
    (b'{"email": 5}', "application/json", 422, "mistake"),
    (b'{"emial": "jane@example.com"}', "application/json", 422, "mistake"),
    (b'{"email": "jane@example.com", "ref": "contact:1"}', "application/json", 422, "mistake"),
    (b'{"jane@example.com": 1, "ref": "contact:1"}', "application/json", 422, "mistake"),
)


async def test_a_body_that_cannot_be_taken_is_refused_without_repeating_it(house: Rig) -> None:
    """What was sent may be somebody's address; the refusal says where and why, and never echoes it."""
    for content, content_type, status, words in BAD_BODIES:
        headers = {"Content-Type": content_type} if content_type else {}
        answer = await house.client.post("/v1/leads/find", content=content, headers=headers)

        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), content[:40]
        assert words in answer.json()["detail"]
        assert "jane" not in answer.text


async def test_a_request_keeps_its_id_from_door_to_log(house: Rig, logs: io.StringIO) -> None:
    """A ticket quotes an id; the log must know it. A hostile id is not believed."""
    given = await house.client.get("/v1/nowhere", headers={"X-Request-Id": "ticket-17"})
    hostile = await house.client.get("/healthz", headers={"X-Request-Id": 'x"\tforged'})
    await house.client.post(house.hook_path, content=b"[]", headers={"X-Request-Id": "ticket-18"})

    assert given.headers["x-request-id"] == given.json()["request_id"] == "ticket-17"
    assert (given.status_code, given.json()["type"]) == (404, "/problems/not-found")
    assert len(hostile.headers["x-request-id"]) == 32
    assert '"request_id":"ticket-18"' in logs.getvalue().replace(": ", ":")


async def test_what_nobody_foresaw_is_answered_without_internals(house: Rig, logs: io.StringIO) -> None:
    """A stack trace in an answer tells an attacker the house's plan, and perhaps a person's name."""

    class Broken:
        is_sqlite = True

        async def clock_ms(self) -> int:
            raise RuntimeError("jane@example.com is at fault")

    whole, house.services.database = house.services.database, Broken()  # type: ignore[assignment]  # it only breaks
    answer = await house.client.get("/v1/status")
    house.services.database = whole

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "fault" not in answer.text
    logged = logs.getvalue()
    assert "request.failed" in logged
    assert "jane@" not in logged


async def test_lists_and_status_stay_cheap_beside_what_was_delivered(rig: Rig) -> None:
    """Ten million settled rows must cost a page nothing: no plan may scan the table of deliveries."""
    await owe(rig, [{"state": "rejected"}, {"state": "pending", "due_at": to_ms(NOW), "settled_at": None}])
    seen: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        seen.append((statement, parameters))

    engine = rig.services.database._reader.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    for path in ("/v1/status", "/v1/deliveries?state=rejected", "/v1/deliveries?state=pending", "/v1/deliveries"):
        assert (await rig.client.get(path)).status_code == 200
    event.remove(engine, "before_cursor_execute", note)

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
            assert ("security" in door) == path.startswith("/v1/"), path
            for status, answer in door["responses"].items():
                if status >= "400" and path != "/readyz":
                    assert "application/problem+json" in answer["content"], f"{method} {path} {status}"
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    assert "errors" in document["components"]["schemas"]["ProblemBody"]["properties"]
