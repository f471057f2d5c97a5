"""Connections over REST: made and changed by name, their secrets written and never shown, two accounts never mixed."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from connectors.simulators.faults import server_error
from tests.api.rig import Rig, rig_on

SOURCE, DESTINATION = "/v1/sources/hubspot", "/v1/destinations/google"


@pytest.fixture
async def open_rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    async with rig_on(tmp_path, database_url) as rig:
        yield rig


async def shown(rig: Rig, path: str = SOURCE) -> httpx.Response:
    answer = await rig.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer


async def put(rig: Rig, path: str, seen: str | None = None, **body: Any) -> httpx.Response:
    return await rig.client.put(path, json=body, headers={} if seen is None else {"If-Match": seen})


def base_url(found: httpx.Response) -> dict[str, str]:
    """The settings that are shown, which a change gives back."""
    settings: dict[str, str] = found.json()["settings"]
    return settings


async def test_credentials_are_written_and_never_shown(open_rig: Rig) -> None:
    """Nobody who may read the API, the audit log or the database reads a token."""
    before = await shown(open_rig)
    new = "a-token-that-was-renewed"
    open_rig.stage.portal.access.add(new)

    answer = await put(
        open_rig, SOURCE, before.headers["etag"], kind="hubspot", settings={**base_url(before), "access_token": new}
    )

    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] != before.headers["etag"]
    assert answer.json() == (await shown(open_rig)).json() == before.json()
    assert "access_token" in answer.json()["credentials"]
    assert "access_token" not in answer.json()["settings"]
    audit = (await open_rig.client.get("/v1/audit")).text
    async with open_rig.services.database.read() as connection:
        stored = str(list(await connection.execute(text("SELECT settings_sealed FROM sources"))))
    for told in (answer.text, audit, stored, (await open_rig.client.get("/v1/status")).text):
        assert new not in told
    assert "source.change" in audit


async def test_what_is_left_out_is_taken_away_but_credentials_stay(open_rig: Rig) -> None:
    """An operator edits a rate without the token at hand, and takes a credential away by saying so."""
    before = await shown(open_rig)

    first = await put(
        open_rig,
        SOURCE,
        before.headers["etag"],
        kind="hubspot",
        settings={**base_url(before), "requests_per_second": "5", "webhook_secrets": None},
    )
    second = await put(open_rig, SOURCE, first.headers["etag"], kind="hubspot", settings=base_url(before))

    assert first.json()["settings"]["requests_per_second"] == "5"
    assert first.json()["credentials"] == ["access_token"]
    assert "requests_per_second" not in second.json()["settings"]
    assert second.json()["credentials"] == ["access_token"]
    open_rig.person(lifecyclestage="salesqualifiedlead")
    assert not (await open_rig.services.sync()).problems


async def test_two_people_do_not_undo_each_other_unseen(open_rig: Rig) -> None:
    """The second is told; whoever did not look changes nothing."""
    seen = await shown(open_rig)
    body: Any = {"kind": "hubspot", "settings": base_url(seen)}
    assert (await put(open_rig, SOURCE, seen.headers["etag"], **body)).status_code == 200

    late = await put(open_rig, SOURCE, seen.headers["etag"], **body)
    blind = await put(open_rig, SOURCE, **body)
    gone = await put(open_rig, "/v1/sources/other", '"0123"', **body)
    wild = await put(open_rig, SOURCE, "*", **body)

    assert [one.status_code for one in (late, blind, gone, wild)] == [412, 428, 412, 200]


async def test_a_new_source_is_asked_for_its_account(open_rig: Rig) -> None:
    """It is there at once, with all that a mapping may name."""
    token = (await credentials(open_rig))["access_token"]
    body: Any = {"kind": "hubspot", "settings": {**base_url(await shown(open_rig)), "access_token": token}}

    answer = await put(open_rig, "/v1/sources/second", **body)
    schema = (await open_rig.client.get("/v1/sources/second/schema", params={"object": "contact"})).json()
    listed = (await open_rig.client.get("/v1/sources")).json()["items"]

    assert (answer.status_code, answer.json()["mode"]) == (201, "live")
    assert schema["account"] == str(open_rig.portal_id)
    assert list(schema["objects"]) == ["contact"]
    assert any(one["name"] == "lifecyclestage" and one["options"] for one in schema["objects"]["contact"])
    assert schema["pipelines"] == []
    assert [one["name"] for one in listed] == ["hubspot", "second"]


async def credentials(rig: Rig) -> dict[str, str]:
    (row,) = [row for row in await rig.services.sources() if row.name == "hubspot"]
    return dict(rig.services.openers.settings_as_written(row))


async def test_credentials_of_another_account_are_refused(open_rig: Rig) -> None:
    """Their records would mix under one name, and every conversion's id with them."""
    before = await shown(open_rig)
    open_rig.stage.portal.portal_id += 1

    answer = await put(open_rig, SOURCE, before.headers["etag"], kind="hubspot", settings=base_url(before))

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/conflict")
    assert "another" in answer.json()["detail"] or "account" in answer.json()["detail"]
    assert (await shown(open_rig)).headers["etag"] == before.headers["etag"]


async def test_a_token_that_the_crm_refuses_is_not_stored(open_rig: Rig) -> None:
    """It would stop what works."""
    before = await shown(open_rig)
    settings = {**base_url(before), "access_token": "a-wrong-one"}

    answer = await put(open_rig, SOURCE, before.headers["etag"], kind="hubspot", settings=settings)

    assert answer.status_code == 422
    assert "a-wrong-one" not in answer.text
    assert (await shown(open_rig)).headers["etag"] == before.headers["etag"]


@pytest.mark.parametrize(
    ("path", "body", "fault"),
    [
        ("/v1/sources/new", {"kind": "hubspt", "settings": {}}, "body.kind"),
        ("/v1/sources/new", {"kind": "google", "settings": {}}, "body.kind"),
        ("/v1/sources/new", {"kind": "hubspot", "settings": {}}, "body.settings"),
        ("/v1/sources/new", {"kind": "hubspot", "settings": {"access_token": "${HOME}"}}, "body.settings.access_token"),
        (
            "/v1/sources/new",
            {"kind": "hubspot", "settings": {"access_token": "file:/etc/hostname"}},
            "body.settings.access_token",
        ),
        ("/v1/sources/new", {"kind": "hubspot", "settings": {"access_token": 5}}, "body.settings.access_token"),
        ("/v1/sources/no way", {"kind": "hubspot", "settings": {"access_token": "x"}}, "body.name"),
        ("/v1/destinations/new", {"kind": "google", "settings": {"acount_id": "5"}}, "body.settings"),
        ("/v1/destinations/new", {"kind": "meta", "settings": {"dataset_id": "5"}, "mode": "on"}, "body.mode"),
    ],
)
async def test_a_mistake_is_told_with_its_place(open_rig: Rig, path: str, body: dict[str, Any], fault: str) -> None:
    """References are the config file's: over REST they would read the server's files and environment."""
    answer = await open_rig.client.put(path, json=body)

    assert answer.status_code == 422, answer.text
    assert fault in [one["path"] for one in answer.json()["errors"]]
    assert (await open_rig.client.get(path)).status_code == 404


async def test_a_connection_keeps_its_kind(open_rig: Rig) -> None:
    """What was counted in one platform's words is not another's."""
    before = await shown(open_rig, DESTINATION)

    answer = await put(open_rig, DESTINATION, before.headers["etag"], kind="meta", settings={"dataset_id": "12345"})

    assert "body.kind" in [one["path"] for one in answer.json()["errors"]]


async def test_a_crm_that_does_not_answer_changes_nothing(open_rig: Rig) -> None:
    """Its account could not be proved."""
    before = await shown(open_rig)
    open_rig.stage.plans["hubspot"].always(server_error())

    answer = await put(open_rig, SOURCE, before.headers["etag"], kind="hubspot", settings=base_url(before))

    assert (answer.status_code, answer.json()["type"]) == (502, "/problems/upstream")


async def test_a_changed_connection_differs_from_its_file_and_survives_a_restart(open_rig: Rig, tmp_path: Path) -> None:
    """The same file, applied again at the next start, does not undo what was edited since."""
    before = await shown(open_rig, DESTINATION)
    settings = {**before.json()["settings"], "event_source": "PHONE"}

    answer = await put(open_rig, DESTINATION, before.headers["etag"], kind="google", settings=settings)
    await open_rig.services.apply_file(tmp_path / "leadloop.yaml", actor="config file")

    after = (await shown(open_rig, DESTINATION)).json()
    assert answer.status_code == 200
    assert (after["settings"]["event_source"], after["differs_from_file"]) == ("PHONE", True)


async def test_a_destination_is_checked(open_rig: Rig) -> None:
    """Token, account and targets, without a conversion."""
    answer = await open_rig.client.post(f"{DESTINATION}/check", json={})

    assert answer.json()["is_clean"] is True, answer.text
    assert {one["subject"] for one in answer.json()["findings"]} >= {"token"}
    assert not open_rig.stage.google.ledger.entries
    assert (await open_rig.client.post(f"{SOURCE}/check")).json()["is_clean"] is True


async def test_a_shadowed_destination_is_sent_nothing(open_rig: Rig) -> None:
    """What would have gone is kept; going live sends none of it."""
    await open_rig.client.post(f"{DESTINATION}/mode", json={"mode": "shadow"})
    qualified(open_rig, "q@example.com")
    await open_rig.services.tick()
    await open_rig.client.post(f"{DESTINATION}/mode", json={"mode": "live"})
    await open_rig.services.tick()

    rows = (await open_rig.client.get("/v1/deliveries")).json()["items"]
    assert {one["state"] for one in rows} == {"shadowed"}
    assert not open_rig.stage.google.ledger.entries
    audit = (await open_rig.client.get("/v1/audit")).json()["items"]
    assert [one["detail"] for one in audit[:2]] == [
        {"mode": "live", "before": "shadow"},
        {"mode": "shadow", "before": "live"},
    ]


def qualified(rig: Rig, email: str) -> None:
    """A lead that is qualified, two days ago, so that no click is too recent."""
    chosen = {"email": email, "lifecyclestage": "salesqualifiedlead", "ads_consent": "yes", "country": "US"}
    rig.stage.portal.create("contacts", chosen, rig.stage.clock.now - timedelta(days=2))


async def states(rig: Rig) -> list[tuple[str, str]]:
    rows = (await rig.client.get("/v1/deliveries")).json()["items"]
    return sorted((one["milestone"], one["state"]) for one in rows)


async def test_one_milestone_is_only_shown(open_rig: Rig) -> None:
    """A new milestone is tried out beside those that are trusted; going live sends nothing old, a replay offers it."""
    body = {"mode": "shadow", "milestone": "qualified_lead"}
    assert (await open_rig.client.post(f"{DESTINATION}/mode", json=body)).status_code == 204
    qualified(open_rig, "q@example.com")
    await open_rig.services.tick()
    first, wanted = await states(open_rig), {"filter": {"state": ["shadowed"]}}
    held = (await open_rig.client.post("/v1/deliveries/replay", json=wanted)).json()

    await open_rig.client.post(f"{DESTINATION}/mode", json={**body, "mode": "live"})
    await open_rig.services.tick()
    second = await states(open_rig)
    offered = (await open_rig.client.post("/v1/deliveries/replay", json=wanted)).json()
    await open_rig.services.tick()

    assert ("qualified_lead", "shadowed") in first
    assert not [one for one in first if one[0] != "qualified_lead" and one[1] == "shadowed"]
    assert (held["reopened"], held["stayed"][0]["why"]) == (0, "shadow")
    assert second == first
    assert offered["reopened"] == 1
    assert ("qualified_lead", "accepted") in await states(open_rig)
    assert (await shown(open_rig, DESTINATION)).json()["milestone_modes"] == {}


async def test_one_milestone_stands_still(open_rig: Rig) -> None:
    """What is owed of it waits, and goes when it is live again."""
    body = {"mode": "paused", "milestone": "qualified_lead"}
    await open_rig.client.post(f"{DESTINATION}/mode", json=body)
    qualified(open_rig, "q@example.com")
    await open_rig.services.tick()
    waiting = (await open_rig.client.get("/v1/deliveries", params={"state": "pending"})).json()["items"]

    await open_rig.client.post(f"{DESTINATION}/mode", json={**body, "mode": "live"})
    open_rig.stage.clock.now += timedelta(hours=2)
    await open_rig.services.tick()

    assert [(one["milestone"], one["reason"]) for one in waiting] == [("qualified_lead", "paused")]
    assert ("qualified_lead", "accepted") in await states(open_rig)


async def test_nothing_of_a_shadowed_source_is_sent(open_rig: Rig) -> None:
    """It is read and judged, and everything that comes of it is only shown."""
    await open_rig.client.post(f"{SOURCE}/mode", json={"mode": "shadow"})
    qualified(open_rig, "q@example.com")

    await open_rig.services.tick()

    assert {state for _, state in await states(open_rig)} == {"shadowed"}
    assert not open_rig.stage.google.ledger.entries


async def test_a_milestone_that_nothing_sends_is_a_mistake(open_rig: Rig) -> None:
    """A typing mistake must not look like a pause."""
    answer = await open_rig.client.post(f"{DESTINATION}/mode", json={"mode": "shadow", "milestone": "qualified_laed"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["nearest"] == "qualified_lead"


async def test_a_paused_source_is_not_read_until_it_is_live(open_rig: Rig) -> None:
    """Nothing that came meanwhile is lost."""
    await open_rig.client.post(f"{SOURCE}/mode", json={"mode": "paused"})
    open_rig.person(lifecyclestage="salesqualifiedlead")
    await open_rig.services.tick()
    paused = (await open_rig.client.get("/v1/deliveries")).json()["items"]
    refused = await open_rig.client.post(f"{SOURCE}/backfill", json={"since": "2026-01-01T00:00:00Z"})

    await open_rig.client.post(f"{SOURCE}/mode", json={"mode": "live"})
    await open_rig.services.tick()

    assert (paused, refused.status_code) == ([], 409)
    assert (await open_rig.client.get("/v1/deliveries")).json()["items"]


async def test_sync_reads_a_source_at_once(open_rig: Rig) -> None:
    """Before its next poll is due."""
    await open_rig.services.tick()
    open_rig.person(lifecyclestage="salesqualifiedlead")
    await open_rig.services.tick()
    before = (await open_rig.client.get("/v1/deliveries")).json()["items"]

    answer = await open_rig.client.post(f"{SOURCE}/sync")
    await open_rig.services.tick()

    assert (answer.status_code, before) == (202, [])
    assert (await open_rig.client.get("/v1/deliveries")).json()["items"]


async def test_a_first_mapping_is_drafted(open_rig: Rig) -> None:
    """From what the account has, each line with its reason; what it drafts is checked without a mistake."""
    found = (await open_rig.client.post(f"{SOURCE}/suggest")).json()

    assert found["document"]["milestones"][0]["name"] == "lead"
    assert found["reasons"]
    document = {**found["document"], "consent": {"not_required": True, "because": "all signed"}}
    answer = await open_rig.client.post("/v1/mappings/hubspot/versions", json={"document": document, "dry_run": True})
    assert answer.status_code == 200, answer.text


async def test_the_past_is_read_planned_and_sent(open_rig: Rig) -> None:
    """What was before the start is told first, and goes on an operator's word only."""
    chosen = {"email": "old@example.com", "lifecyclestage": "salesqualifiedlead", "ads_consent": "yes", "country": "US"}
    open_rig.stage.portal.create("contacts", chosen, open_rig.stage.clock.now - timedelta(days=40))
    since = {"since": "2026-10-01T00:00:00Z"}
    assert (await open_rig.client.get(f"{SOURCE}/backfill")).status_code == 404

    asked = await open_rig.client.post(f"{SOURCE}/backfill", json=since)
    for _ in range(3):
        await open_rig.services.tick()
    state = (await open_rig.client.get(f"{SOURCE}/backfill")).json()
    plan = (await open_rig.client.post(f"{SOURCE}/past", json=since)).json()
    unsent = len(open_rig.stage.google.ledger.entries)
    sent = (await open_rig.client.post(f"{SOURCE}/past", json={**since, "dry_run": False})).json()
    await open_rig.services.tick()

    assert (asked.status_code, state["is_done"], state["share"]) == (202, True, 1.0)
    (google,) = plan["destinations"]["google"]
    assert (google["outcome"], google["deliveries"], plan["owed"], unsent) == ("sendable", 1, 0, 0)
    assert sent["owed"] == 1
    assert len(open_rig.stage.google.ledger.entries) == 1
    assert (await open_rig.client.post(f"{SOURCE}/past", json=since)).json()["destinations"]["google"] == []
    other = await open_rig.client.post(f"{SOURCE}/backfill", json={"since": "2031-01-01T00:00:00Z"})
    assert (other.status_code, other.json()["type"]) == (409, "/problems/conflict")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sources/nobody"),
        ("GET", "/v1/sources/nobody/schema"),
        ("GET", "/v1/sources/nobody/backfill"),
        ("GET", "/v1/destinations/nobody"),
        ("POST", "/v1/sources/nobody/check"),
        ("POST", "/v1/sources/nobody/sync"),
        ("POST", "/v1/sources/nobody/suggest"),
        ("POST", "/v1/sources/nobody/mode"),
        ("POST", "/v1/sources/nobody/backfill"),
        ("POST", "/v1/sources/nobody/past"),
        ("POST", "/v1/destinations/nobody/check"),
        ("POST", "/v1/destinations/nobody/mode"),
    ],
)
async def test_a_wrong_name_is_told(open_rig: Rig, method: str, path: str) -> None:
    """With the names that there are."""
    bodies: dict[str, Any] = {"mode": {"mode": "live"}, "backfill": {"since": "2026-01-01T00:00:00Z"}}
    bodies["past"] = bodies["backfill"]
    name = path.rpartition("/")[2]
    body = bodies.get(name, {} if path.startswith("/v1/destinations") else None)

    answer = await open_rig.client.request(method, path, json=body if method == "POST" else None)

    assert answer.status_code == 404, answer.text
    assert "hubspot" in answer.text or "google" in answer.text
