"""Versions of a mapping over REST: checked, stored, compared, activated and rolled back, by two people at once if need be."""

from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from app.db.tables import conversions, deliveries
from app.mapping.diff import differences
from connectors.simulators.faults import server_error
from tests.api.rig import Rig, rig_on

ROOT = "/v1/mappings/hubspot"


@pytest.fixture
async def open_rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        yield rig


async def active(rig: Rig) -> httpx.Response:
    answer = await rig.client.get(ROOT)
    assert answer.status_code == 200, answer.text
    return answer


async def edited(rig: Rig, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = deepcopy((await active(rig)).json()["document"])
    return {**document, **changes}


async def saved(rig: Rig, document: dict[str, Any]) -> int:
    answer = await rig.client.post(f"{ROOT}/versions", json={"document": document})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["version"])


async def activated(rig: Rig, version: int, seen: str | None) -> httpx.Response:
    headers = {} if seen is None else {"If-Match": seen}
    return await rig.client.post(f"{ROOT}/versions/{version}/activate", headers=headers)


async def test_a_version_is_stored_listed_compared_and_activated(open_rig: Rig) -> None:
    """The whole way of an edit; the version that was active stays as it was."""
    before = await active(open_rig)
    document = await edited(open_rig, dimensions={"country": "contact.country"})

    version = await saved(open_rig, document)
    listed = (await open_rig.client.get(f"{ROOT}/versions")).json()["items"]
    diff = (await open_rig.client.get(f"{ROOT}/versions/{version}/diff", params={"against": version - 1})).json()
    assert [(one["version"], one["is_active"], one["is_of_file"]) for one in listed] == [(2, False, False), (1, True, True)]
    assert [one["path"] for one in diff["changes"]] == ["dimensions.product"]
    assert (await active(open_rig)).json() == before.json()

    done = await activated(open_rig, version, before.headers["etag"])
    assert (done.status_code, done.headers["etag"], done.json()["before"]) == (200, '"2"', 1)
    assert (await active(open_rig)).json()["document"] == document
    assert (before.json()["differs_from_file"], (await active(open_rig)).json()["differs_from_file"]) == (False, True)
    (source,) = (await open_rig.client.get("/v1/status")).json()["sources"]
    assert (source["mapping_version"], source["mapping_differs_from_file"]) == (2, True)
    lines = (await open_rig.client.get("/v1/audit")).json()["items"]
    assert [one["action"] for one in lines[:2]] == ["mapping.activate", "mapping.save"]
    assert lines[0]["detail"] == {"version": 2, "before": 1}


async def test_two_people_do_not_undo_each_other_unseen(open_rig: Rig) -> None:
    """Whoever did not see the other's version is told; without saying what they saw nobody changes anything."""
    seen = (await active(open_rig)).headers["etag"]
    mine = await saved(open_rig, await edited(open_rig, dimensions={}))
    theirs = await saved(open_rig, await edited(open_rig, dimensions={"country": "contact.country"}))
    assert (await activated(open_rig, theirs, seen)).status_code == 200

    for tag, status in ((None, 428), (seen, 412), ('"zero"', 412), ("*", 412)):
        answer = await activated(open_rig, mine, tag)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await active(open_rig)).json()["version"] == theirs


async def test_rolling_back_and_forward_sends_nothing_twice(open_rig: Rig) -> None:
    """What was counted stays counted under its id, whichever version is active."""
    open_rig.person(lifecyclestage="salesqualifiedlead")
    await open_rig.services.tick()
    second = await saved(open_rig, await edited(open_rig, dimensions={"country": "contact.country"}))

    async def counts() -> tuple[int, int, int]:
        async with open_rig.services.database.read() as connection:
            made = await connection.scalar(select(func.count()).select_from(conversions))
            owed = await connection.scalar(select(func.count()).select_from(deliveries))
        return int(made or 0), int(owed or 0), len(open_rig.stage.google.bodies)

    before = await counts()
    for version in (second, 1, second, 1):
        tag = (await active(open_rig)).headers["etag"]
        assert (await activated(open_rig, version, tag)).status_code == 200
        open_rig.stage.portal.touch(
            "contacts", next(iter(map(str, open_rig.stage.portal.shelves["contacts"].records))), open_rig.stage.clock.now
        )
        await open_rig.services.tick()

    assert await counts() == before
    assert (await active(open_rig)).json()["version"] == 1


@pytest.mark.parametrize(
    ("changes", "path", "nearest"),
    [
        ({"identity": {"email": ["contact.emial"]}}, "body.document.identity.email", "contact.email"),
        ({"milestons": []}, "body.document.milestons", "milestones"),
        ({"destinations": {"gogle": {}}}, "body.document.destinations.gogle", "google"),
        (
            {"destinations": {"google": {"qualified_lead": {"conversion_actoin": "1"}}}},
            "body.document.destinations.google.qualified_lead.conversion_actoin",
            "conversion_action",
        ),
        ({"exclude": [{"field": "contact.country", "op": "equals"}]}, "body.document.exclude[0].op", None),
        ({"consent": {}}, "body.document.consent", None),
    ],
)
async def test_a_document_with_a_mistake_is_not_stored(
    open_rig: Rig, changes: dict[str, Any], path: str, nearest: str | None
) -> None:
    """Each mistake has its place and the nearest right word; a dry run says the same."""
    document = await edited(open_rig, **changes)

    for dry_run in (True, False):
        answer = await open_rig.client.post(f"{ROOT}/versions", json={"document": document, "dry_run": dry_run})
        assert answer.status_code == 422
        faults = {one["path"]: one.get("nearest") for one in answer.json()["errors"]}
        assert path in faults
        assert nearest is None or faults[path] == nearest
    assert len((await open_rig.client.get(f"{ROOT}/versions")).json()["items"]) == 1


async def test_a_dry_run_stores_nothing(open_rig: Rig) -> None:
    """An editor checks while somebody types."""
    answer = await open_rig.client.post(f"{ROOT}/versions", json={"document": await edited(open_rig), "dry_run": True})

    assert (answer.status_code, set(answer.json())) == (200, {"warnings"})
    assert len((await open_rig.client.get(f"{ROOT}/versions")).json()["items"]) == 1


async def test_what_is_unwise_is_told_and_stored_all_the_same(open_rig: Rig) -> None:
    """A warning keeps nobody from what they mean; whoever checks the source hears it again once it is active."""
    document = await edited(open_rig)
    document["identity"].pop("gclid")

    checked = await open_rig.client.post(f"{ROOT}/versions", json={"document": document, "dry_run": True})
    stored = await open_rig.client.post(f"{ROOT}/versions", json={"document": document})
    await activated(open_rig, stored.json()["version"], (await active(open_rig)).headers["etag"])
    findings = (await open_rig.client.post("/v1/sources/hubspot/check")).json()

    (warning,) = [one for one in checked.json()["warnings"] if one["path"] == "document.destinations.google"]
    assert "no `gclid` or `gbraid` or `wbraid` is mapped" in warning["message"]
    assert warning in stored.json()["warnings"]
    assert ("mapping.destinations.google", "warning") in [(one["subject"], one["status"]) for one in findings["findings"]]
    assert findings["is_clean"]


async def test_a_milestone_that_vanishes_under_another_name_must_say_so(open_rig: Rig) -> None:
    """Else its leads would count once more under the new name."""
    document = await edited(open_rig)
    for milestone in document["milestones"]:
        if milestone["name"] == "qualified_lead":
            milestone["name"] = "sales_ready"
    document["destinations"]["google"]["sales_ready"] = document["destinations"]["google"].pop("qualified_lead")
    version = await saved(open_rig, document)

    answer = await activated(open_rig, version, (await active(open_rig)).headers["etag"])

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"].endswith("renamed_from")
    assert (await active(open_rig)).json()["version"] == 1


async def test_an_edit_over_rest_survives_a_restart_with_the_same_file(open_rig: Rig, tmp_path: Path) -> None:
    """The file is applied only where its section changed since it was applied last."""
    version = await saved(open_rig, await edited(open_rig, dimensions={}))
    await activated(open_rig, version, (await active(open_rig)).headers["etag"])

    await open_rig.services.apply_file(tmp_path / "leadloop.yaml", actor="config file")

    assert (await active(open_rig)).json()["version"] == version


async def test_a_target_that_the_platform_lacks_is_a_mistake(open_rig: Rig) -> None:
    """Found before the first conversion is refused for it; a platform that does not answer keeps nobody from working."""
    document = await edited(open_rig)
    document["destinations"]["google"]["qualified_lead"] = {"conversion_action": "999999999"}
    path, body = f"{ROOT}/versions", {"document": document}

    refused = await open_rig.client.post(path, json=body)
    unasked = await open_rig.client.post(path, json={**body, "check_targets": False})
    open_rig.stage.plans["google"].always(server_error())
    unanswered = await open_rig.client.post(path, json=body)

    assert refused.status_code == 422
    assert [one["path"] for one in refused.json()["errors"]] == ["body.document.destinations.google.qualified_lead"]
    assert (unasked.status_code, unanswered.status_code) == (201, 201)


async def test_what_reads_more_is_told(open_rig: Rig) -> None:
    """What is stored was read for other fields: it takes a backfill to know them."""
    same = await saved(open_rig, await edited(open_rig, exclude=[]))
    more = await edited(open_rig)
    more["identity"]["city"] = ["contact.city"]
    wider = await saved(open_rig, more)

    first = await activated(open_rig, wider, (await active(open_rig)).headers["etag"])
    second = await activated(open_rig, same, first.headers["etag"])

    assert first.json()["reads_more"] == {"contact": 0}
    assert second.json()["reads_more"] == {}


@pytest.mark.parametrize(
    "path", ["/v1/mappings/nobody", f"{ROOT}/versions/9", f"{ROOT}/versions/9/diff?against=1", "/v1/mappings/nobody/versions"]
)
async def test_what_is_not_there_says_what_is(open_rig: Rig, path: str) -> None:
    """A wrong name is the most common mistake."""
    answer = await open_rig.client.get(path)

    assert answer.status_code == 404
    assert "hubspot" in answer.json()["detail"]


async def test_versions_come_in_pages(open_rig: Rig) -> None:
    """A mapping is edited for years."""
    for _ in range(4):
        await saved(open_rig, await edited(open_rig))
    found: list[int] = []
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = (await open_rig.client.get(f"{ROOT}/versions", params=params)).json()
        found += [one["version"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert found == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2, "b": None}, [("a", 1, 2, True), ("b", None, None, False)]),
        (
            [{"name": "x", "v": 1}],
            [{"name": "y"}, {"name": "x", "v": 2}],
            [("[x].v", 1, 2, True), ("[y]", None, {"name": "y"}, False)],
        ),
        ([{"name": "x"}, {"name": "y"}], [{"name": "y"}, {"name": "x"}], [(" (order)", ["x", "y"], ["y", "x"], True)]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [("a", [1, 2], [1, 3], True)]),
        ({"a": {"b": 1}}, {"a": 5}, [("a", {"b": 1}, 5, True)]),
    ],
)
def test_what_differs_is_told_by_its_place(
    before: object, after: object, changes: list[tuple[str, object, object, bool]]
) -> None:
    """A milestone that moved is one change, not a change of everything after it."""
    assert [(one.path, one.before, one.after, one.was_there) for one in differences(before, after)] == changes
