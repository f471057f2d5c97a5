"""What the doors refuse: without the key, with a mistake, with a body that cannot be taken; and how they say so."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from app.main import create_app
from tests.api.rig import KEY, Rig, rig_on
from tests.api.rows import delivery_states, owe

DOORS = (
    ("GET", "/v1/status"),
    ("GET", "/v1/runs"),
    ("GET", "/v1/destinations"),
    ("GET", "/v1/destinations/google"),
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


async def test_blanks_around_the_configured_key_are_no_part_of_it(tmp_path: Path) -> None:
    """A key read from a file ends with a line break; nobody could ever send it so. Blanks alone are no key."""
    database_url = f"sqlite:///{tmp_path / 'one.db'}"
    async with rig_on(tmp_path, database_url, key=f" {KEY}\n") as rig:
        assert (await rig.client.get("/v1/status")).status_code == 200
    async with rig_on(tmp_path, database_url, key=" \n") as rig:
        answer = await rig.client.get("/v1/status", headers={"Authorization": "Bearer  "})

        assert answer.status_code == 401
        assert "set LEADLOOP_API_KEY" in answer.json()["detail"]


async def test_a_starting_process_answers_not_ready() -> None:
    """A load balancer may ask before the database is open."""
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://starting") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        answer = await client.get("/v1/status")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")


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
    ("/v1/runs?source=%00", "query.source", "NUL"),
    ("/v1/runs?source=hubspt", "query.source", "hubspot"),
    ("/v1/runs?destination=gogle", "query.destination", "google"),
    ("/v1/runs?kind=pul", "query.kind", "pull"),
    ("/v1/runs?state=faild", "query.state", "failed"),
    ("/v1/status?verbose=1", "query.verbose", "no query"),
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
    (b'{"email": "a\\ud800@example.com"}', "application/json", 422, "mistake"),
    (b'{"ref": "contact:\\u0000"}', "application/json", 422, "mistake"),
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


async def test_a_dry_run_asked_for_in_the_wrong_place_is_no_wet_one(house: Rig) -> None:
    """`?dry_run=true` beside a body without it would replay everything that somebody only wanted to look at."""
    (row,) = await owe(house, [{"state": "rejected"}])

    answer = await house.client.post("/v1/deliveries/replay?dry_run=true", json={"ids": [row]})

    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "query.dry_run")
    assert await delivery_states(house, [row]) == [("rejected", "refused")]


async def test_an_address_that_no_database_takes_is_no_address(rig: Rig) -> None:
    """PostgreSQL refuses NUL in a text: a stranger's request must not be an error of ours."""
    for path in ("/webhooks/%00/token", "/webhooks/hubspot/%00", "/v1/leads/contact:%00/trace"):
        assert (await rig.client.request("GET" if "leads" in path else "POST", path)).status_code == 404


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


async def test_a_body_that_announces_no_size_ends_at_the_largest(house: Rig) -> None:
    """Sent in pieces it could fill the memory before anybody had counted."""

    async def long() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b" " * 65_536

    answer = await house.client.post("/v1/leads/find", content=long(), headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
