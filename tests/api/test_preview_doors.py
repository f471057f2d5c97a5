"""Seeing what a version would do before it does it, and applying it to what is stored: nothing is sent twice by any of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.db.instants import to_ms
from app.ingest.pull_lease import pull_lease
from app.leases.repository import renew
from tests.api.rig import Rig, rig_on
from tests.api.test_mapping_doors import ROOT, activated, active, edited, saved

TABLES = ("records", "entries", "leads", "identities", "conversions", "valuations", "deliveries", "inbox", "uploads", "tries")


@pytest.fixture
async def open_rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    async with rig_on(tmp_path, database_url) as rig:
        yield rig


async def preview(rig: Rig, version: int, **body: Any) -> dict[str, Any]:
    answer = await rig.client.post(f"{ROOT}/versions/{version}/preview", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def reapplied(rig: Rig, version: int, **body: Any) -> dict[str, Any]:
    answer = await rig.client.post(f"{ROOT}/versions/{version}/reapply", json=body)
    assert answer.status_code == 202, answer.text
    await rig.services.reapplies().finish("hubspot")
    found: dict[str, Any] = (await rig.client.get(f"{ROOT}/reapply")).json()
    return found


async def everything(rig: Rig) -> dict[str, list[tuple[Any, ...]]]:
    """All that recording writes, row by row."""
    async with rig.services.database.read() as connection:
        return {name: sorted(map(tuple, await connection.execute(text(f"SELECT * FROM {name}"))), key=repr) for name in TABLES}


async def activate(rig: Rig, version: int) -> None:
    answer = await activated(rig, version, (await active(rig)).headers["etag"])
    assert answer.status_code == 200, answer.text


def stages(document: dict[str, Any], milestone: str) -> list[str]:
    (found,) = (one for one in document["milestones"] if one["name"] == milestone)
    enters: list[str] = found["when"][0]["enters"]
    return enters


async def wider(rig: Rig) -> dict[str, Any]:
    """A mapping by which subscribers are qualified, too."""
    document = await edited(rig)
    stages(document, "qualified_lead").append("subscriber")
    return document


def person(rig: Rig, **properties: str) -> None:
    """Two days ago, so that their click is not too recent for Google."""
    chosen = {"ads_consent": "yes", "country": "US", **properties}
    rig.stage.portal.create("contacts", chosen, rig.stage.clock.now - timedelta(days=2))


async def people(rig: Rig) -> None:
    person(rig, email="q@example.com", lifecyclestage="salesqualifiedlead")
    person(rig, email="s@example.com", lifecyclestage="subscriber", hs_google_click_id="Cj0-s")
    person(rig, email="n@example.com", lifecyclestage="subscriber", ads_consent="no")
    person(rig, email="l@example.com", lifecyclestage="lead")
    await rig.services.tick()


def counted(rig: Rig) -> int:
    """What Google's own ledger counts."""
    return sum(not one.is_retracted for one in rig.stage.google.ledger.entries.values())


def milestone(found: dict[str, Any], name: str = "qualified_lead") -> dict[str, Any]:
    (one,) = (one for one in found["milestones"] if one["name"] == name)
    return {key: one[key] for key in ("before", "after", "new", "revalued", "ended")}


async def test_a_preview_stores_and_sends_nothing(open_rig: Rig) -> None:
    """It looks at real records, and everything stays as it was."""
    await people(open_rig)
    version = await saved(open_rig, await wider(open_rig))
    before, sent = await everything(open_rig), len(open_rig.stage.google.bodies)

    found = await preview(open_rig, version)
    await open_rig.services.tick()

    assert await everything(open_rig) == before
    assert len(open_rig.stage.google.bodies) == sent
    assert (found["version"], found["against"], found["origin"], found["is_whole"]) == (version, 1, "stored", True)
    assert milestone(found) == {"before": 1, "after": 3, "new": 2, "revalued": 0, "ended": 0}
    (google,) = found["destinations"]
    assert (google["sendable"], google["stopped"], google["people"]) == (1, {"no_consent": 1}, 4)
    assert google["identifiers"]["gclid"] == 1
    samples = [one for one in found["samples"] if one["milestone"] == "qualified_lead"]
    assert {one["fate"] for one in samples} == {"new"}
    assert {one["destinations"]["google"] for one in samples} == {"sendable", "no_consent"}
    assert all("lifecyclestage" in one["why"] for one in samples)


async def test_a_preview_is_what_then_happens(open_rig: Rig) -> None:
    """Activated and reapplied, the version makes what its preview said, and the platform is told just that."""
    await people(open_rig)
    version = await saved(open_rig, await wider(open_rig))
    told = await preview(open_rig, version)
    sent = counted(open_rig)

    await activate(open_rig, version)
    done = await reapplied(open_rig, version)
    await open_rig.services.tick()

    (google,) = told["destinations"]
    assert done["conversions"] == sum(one["new"] for one in told["milestones"]) == 2
    assert done["done_at"] is not None
    assert counted(open_rig) == sent + google["sendable"]
    deliveries = (await open_rig.client.get("/v1/deliveries")).json()["items"]
    assert sum(one["reason"] == "no_consent" for one in deliveries) == google["stopped"]["no_consent"]


async def test_reapplying_again_changes_nothing(open_rig: Rig) -> None:
    """Nor does rolling back and forward and reapplying each: what was counted keeps its id."""
    await people(open_rig)
    version = await saved(open_rig, await wider(open_rig))
    await activate(open_rig, version)
    await reapplied(open_rig, version)
    await open_rig.services.tick()
    before, total = await everything(open_rig), counted(open_rig)

    again = await reapplied(open_rig, version)
    for one in (1, version, 1, version):
        await activate(open_rig, one)
        await reapplied(open_rig, one)
        await open_rig.services.tick()

    assert {key: again[key] for key in ("conversions", "revalued", "ended", "deliveries")} == dict.fromkeys(
        ("conversions", "revalued", "ended", "deliveries"), 0
    )
    assert again["seen"] == 4
    assert await everything(open_rig) == before
    assert counted(open_rig) == total


async def test_a_version_restates_only_where_it_is_asked_to(open_rig: Rig) -> None:
    """Another fixed value is for what comes; what was sent keeps its own until a person says otherwise, having seen a plan."""
    await people(open_rig)
    document = await edited(open_rig)
    (qualified,) = (one for one in document["milestones"] if one["name"] == "qualified_lead")
    qualified["value"] = {"model": "fixed", "amount": 75, "currency": "USD"}
    version = await saved(open_rig, document)
    await activate(open_rig, version)

    plain = await preview(open_rig, version)
    plan = await preview(open_rig, version, restates=True)
    first = await reapplied(open_rig, version)
    second = await reapplied(open_rig, version, restates=True)
    third = await reapplied(open_rig, version, restates=True)

    assert (milestone(plain)["revalued"], milestone(plan)["revalued"]) == (0, 1)
    assert plan["destinations"][0]["restates"] == 1
    assert (first["revalued"], second["revalued"], third["revalued"]) == (0, 1, 0)
    assert second["deliveries"] == 1
    rows = (await open_rig.client.get("/v1/deliveries")).json()["items"]
    assert sorted(one["kind"] for one in rows if one["milestone"] == "qualified_lead") == ["restate", "upload"]


async def test_a_first_mapping_is_seen_on_the_crm_s_own_records(open_rig: Rig) -> None:
    """Before anything was pulled there is nothing stored: a stretch of the CRM is read for it, and not kept."""
    person(open_rig, email="q@example.com", lifecyclestage="salesqualifiedlead", hs_google_click_id="Cj0-q")
    before = await everything(open_rig)

    found = await preview(open_rig, 1)

    assert await everything(open_rig) == before
    assert (found["origin"], found["records"], found["is_whole"]) == ("crm", 1, False)
    assert milestone(found)["new"] == 1
    assert found["destinations"][0]["sendable"] == 1


async def test_a_lead_is_qualified_by_points_alone(open_rig: Rig) -> None:
    """No stage says it: fit and consent do, once, however often the contact changes."""
    await people(open_rig)
    document = await edited(open_rig)
    scored = [
        {"field": "contact.country", "op": "in", "value": ["US", "CA"], "points": 30},
        {"field": "contact.ads_consent", "op": "eq", "value": "yes", "points": 20},
        {"field": "contact.lifecyclestage", "op": "eq", "value": "subscriber", "points": -10},
    ]
    (qualified,) = (one for one in document["milestones"] if one["name"] == "qualified_lead")
    qualified["when"] = [{"object": "contact", "where": {"points": scored, "threshold": 45}}]
    version = await saved(open_rig, document)
    told = await preview(open_rig, version)
    await activate(open_rig, version)

    for _ in range(3):
        await reapplied(open_rig, version)
        for key in open_rig.stage.portal.shelves["contacts"].records:
            open_rig.stage.portal.touch("contacts", str(key), open_rig.stage.clock.now)
        open_rig.stage.clock.now += timedelta(hours=3)
        await open_rig.services.tick()

    # q@ was counted by its stage before; l@ reaches 50 points; s@ and n@ do not.
    assert milestone(told) == {"before": 1, "after": 2, "new": 1, "revalued": 0, "ended": 0}
    (sample,) = [one for one in told["samples"] if one["milestone"] == "qualified_lead"]
    assert "50 of 45 points" in sample["why"]
    rows = (await open_rig.client.get("/v1/deliveries")).json()["items"]
    assert [one["state"] for one in rows if one["milestone"] == "qualified_lead"] == ["accepted", "accepted"]


async def test_what_reads_more_needs_a_backfill_first(open_rig: Rig) -> None:
    """Judged by what is stored it would take fields that were never read for empty."""
    await people(open_rig)
    document = await edited(open_rig)
    document["identity"]["city"] = ["contact.city"]
    version = await saved(open_rig, document)

    found = await preview(open_rig, version)
    await activate(open_rig, version)
    answer = await open_rig.client.post(f"{ROOT}/versions/{version}/reapply", json={})

    assert found["reads_more"] == ["contact"]
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/conflict")
    assert "backfill" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/versions/9/preview", {}, 404),
        ("/versions/1/preview", {"records": 0}, 422),
        ("/versions/1/preview", {"origin": "here"}, 422),
        ("/versions/1/preview", {"origin": "stored"}, 409),
        ("/versions/1/preview", {"days": 1, "origin": "crm"}, 409),
        ("/versions/9/reapply", {}, 404),
    ],
)
async def test_what_cannot_be_looked_at_is_said(open_rig: Rig, path: str, body: dict[str, Any], status: int) -> None:
    """Each with what to do instead."""
    answer = await open_rig.client.post(f"{ROOT}{path}", json=body)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_only_the_active_version_is_reapplied(open_rig: Rig) -> None:
    """Another would undo what the active one makes."""
    version = await saved(open_rig, await wider(open_rig))

    answer = await open_rig.client.post(f"{ROOT}/versions/{version}/reapply", json={})

    assert answer.status_code == 409
    assert "version 1 is active" in answer.json()["detail"].lower()
    assert (await open_rig.client.get(f"{ROOT}/reapply")).status_code == 404


async def test_a_reapply_of_a_version_that_gave_way_is_given_up(open_rig: Rig) -> None:
    """Two people: what one asked for does not go on under the other's version."""
    await people(open_rig)
    version = await saved(open_rig, await wider(open_rig))
    await activate(open_rig, version)
    assert (await open_rig.client.post(f"{ROOT}/versions/{version}/reapply", json={})).status_code == 202
    await activate(open_rig, 1)

    await open_rig.services.tick()

    state = (await open_rig.client.get(f"{ROOT}/reapply")).json()
    assert (state["given_up"], state["conversions"]) == ("version 1 is active by now", 0)


async def test_the_server_carries_a_reapply_on(open_rig: Rig) -> None:
    """Whoever asked may go home."""
    await people(open_rig)
    version = await saved(open_rig, await wider(open_rig))
    await activate(open_rig, version)
    asked: httpx.Response = await open_rig.client.post(f"{ROOT}/versions/{version}/reapply", json={})

    await open_rig.services.tick()

    assert asked.json()["done_at"] is None
    state = (await open_rig.client.get(f"{ROOT}/reapply")).json()
    assert (state["seen"], state["conversions"], state["given_up"]) == (4, 2, None)
    assert state["done_at"] is not None
    runs = (await open_rig.client.get("/v1/runs")).json()["items"]
    assert runs[0]["kind"] in ("reapply", "drain")


async def test_a_poll_of_the_same_process_is_waited_for(open_rig: Rig) -> None:
    """It would lose its lease in the middle, and with it its page."""
    await people(open_rig)
    services = open_rig.services
    source_id = (await services.sources())[0].id
    async with pull_lease(services.database, source_id, services.holder, services.clock()) as held:
        answer = await open_rig.client.post(f"{ROOT}/versions/1/preview", json={})
        assert held is not None
        async with services.database.write() as connection:
            kept = await renew(connection, held.name, held.holder, held.fence, to_ms(services.clock()), 1000)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert kept
    assert (await preview(open_rig, 1))["records"] == 4
