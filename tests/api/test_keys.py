"""Keys of the API: what each role may, how a key ends, and that nothing is readable without one."""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.access.keys import KeyRole
from app.main import create_app
from tests.api.rig import KEY, NOW, Rig, rig_on

VIEWER, OPERATOR, ADMIN = KeyRole.VIEWER, KeyRole.OPERATOR, KeyRole.ADMIN
# Every keyed route with the role that it needs; what is in no row fails the test below.
ROUTES: dict[tuple[str, str], KeyRole] = {
    ("GET", "/v1/status"): VIEWER,
    ("GET", "/v1/runs"): VIEWER,
    ("GET", "/v1/destinations"): VIEWER,
    ("GET", "/v1/destinations/{name}"): VIEWER,
    ("PUT", "/v1/destinations/{name}"): ADMIN,
    ("POST", "/v1/destinations/{name}/mode"): OPERATOR,
    ("POST", "/v1/destinations/{name}/check"): OPERATOR,
    ("GET", "/v1/sources"): VIEWER,
    ("GET", "/v1/sources/{name}"): VIEWER,
    ("PUT", "/v1/sources/{name}"): ADMIN,
    ("POST", "/v1/sources/{name}/mode"): OPERATOR,
    ("POST", "/v1/sources/{name}/check"): OPERATOR,
    ("GET", "/v1/sources/{name}/schema"): VIEWER,
    ("POST", "/v1/sources/{name}/suggest"): OPERATOR,
    ("POST", "/v1/sources/{name}/sync"): OPERATOR,
    ("GET", "/v1/sources/{name}/backfill"): VIEWER,
    ("POST", "/v1/sources/{name}/backfill"): OPERATOR,
    ("POST", "/v1/sources/{name}/past"): OPERATOR,
    ("GET", "/v1/deliveries"): VIEWER,
    ("POST", "/v1/deliveries/replay"): OPERATOR,
    ("GET", "/v1/leads/{ref}/trace"): VIEWER,
    ("POST", "/v1/leads/find"): VIEWER,
    ("POST", "/v1/people/forget"): ADMIN,
    ("POST", "/v1/people/export"): ADMIN,
    ("GET", "/v1/mappings/{source}"): VIEWER,
    ("GET", "/v1/mappings/{source}/versions"): VIEWER,
    ("POST", "/v1/mappings/{source}/versions"): OPERATOR,
    ("GET", "/v1/mappings/{source}/versions/{version}"): VIEWER,
    ("GET", "/v1/mappings/{source}/versions/{version}/diff"): VIEWER,
    ("POST", "/v1/mappings/{source}/versions/{version}/activate"): OPERATOR,
    ("POST", "/v1/mappings/{source}/versions/{version}/preview"): OPERATOR,
    ("POST", "/v1/mappings/{source}/versions/{version}/reapply"): OPERATOR,
    ("GET", "/v1/mappings/{source}/reapply"): VIEWER,
    ("GET", "/v1/mappings/{source}/values"): VIEWER,
    ("GET", "/v1/reports/funnel"): VIEWER,
    ("GET", "/v1/reports/campaigns"): VIEWER,
    ("GET", "/v1/reports/books"): VIEWER,
    ("GET", "/v1/rates"): VIEWER,
    ("PUT", "/v1/rates"): OPERATOR,
    ("GET", "/v1/spend"): VIEWER,
    ("PUT", "/v1/spend"): OPERATOR,
    ("GET", "/v1/keys"): ADMIN,
    ("POST", "/v1/keys"): ADMIN,
    ("DELETE", "/v1/keys/{prefix}"): ADMIN,
    ("GET", "/v1/audit"): ADMIN,
    ("GET", "/metrics"): VIEWER,
}
OPEN = {"/healthz", "/readyz", "/webhooks/{source}/{token}"}


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        yield rig


async def made(rig: Rig, **body: Any) -> dict[str, Any]:
    answer = await rig.client.post("/v1/keys", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_every_route_has_its_role() -> None:
    """A door that nobody thought about would be open to every key."""
    paths = create_app().openapi()["paths"]
    found = {(method.upper(), path) for path, doors in paths.items() for method in doors if path not in OPEN}

    assert found == set(ROUTES)


def _addresses(routes: Iterable[Any]) -> Iterator[str]:
    """Of these routes and of those that they include."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route.path
        else:
            yield from _addresses(included.routes)


def test_what_the_contract_does_not_list_is_only_the_contract() -> None:
    """A door left out of the contract would escape the test above."""
    app = create_app()

    addresses = set(_addresses(app.routes))

    assert len(addresses) > len(OPEN)
    assert addresses - set(app.openapi()["paths"]) == {"/openapi.json"}


async def test_the_contract_is_read_with_any_key(keyed: Rig) -> None:
    """It names no one, and yet nothing but the health doors is readable without a key."""
    key = (await made(keyed, role="viewer"))["key"]

    closed = await keyed.client.get("/openapi.json", headers={"Authorization": ""})
    opened = await keyed.client.get("/openapi.json", headers=bearer(key))

    assert (closed.status_code, closed.json()["type"]) == (401, "/problems/unauthorized")
    assert (opened.status_code, "paths" in opened.json()) == (200, True)


async def test_each_role_may_what_it_may_and_no_more(keyed: Rig) -> None:
    """Every route, with every role and without a key."""
    keys = {role: (await made(keyed, role=role.value))["key"] for role in KeyRole}
    for (method, path), needed in ROUTES.items():
        address = path.format(name="google", ref="contact:1", prefix="llk_none", source="hubspot", version=1)
        answer = await keyed.client.request(method, address, headers={"Authorization": ""}, json={})
        assert answer.status_code == 401, path
        for role, key in keys.items():
            answer = await keyed.client.request(method, address, headers=bearer(key), json=None if method == "GET" else {})
            assert (answer.status_code == 403) is not role.may(needed), (method, path, role, answer.text)
            assert answer.status_code != 401
            if answer.status_code == 403:
                assert answer.json()["type"] == "/problems/forbidden"
                assert needed.value in answer.json()["detail"]


async def test_a_key_is_shown_once_and_stored_hashed(keyed: Rig) -> None:
    """Whoever reads the database, a backup or the list opens nothing with it."""
    new = await made(keyed, role="operator")

    listed = (await keyed.client.get("/v1/keys")).json()["items"]
    async with keyed.services.database.read() as connection:
        rows = (await connection.execute(text("SELECT * FROM api_keys"))).all()
    audit = (await keyed.client.get("/v1/audit")).text
    assert [(one["prefix"], one["role"]) for one in listed] == [(new["prefix"], "operator")]
    assert new["key"].startswith(new["prefix"])
    assert len(new["key"]) > 60
    for told in (str(listed), str(rows), audit):
        assert new["key"][len(new["prefix"]) :] not in told


async def test_a_revoked_key_opens_nothing(keyed: Rig) -> None:
    """At once, and for good."""
    new = await made(keyed, role="viewer")
    assert (await keyed.client.get("/v1/status", headers=bearer(new["key"]))).status_code == 200

    for _ in range(2):
        assert (await keyed.client.delete(f"/v1/keys/{new['prefix']}")).json()["revoked_at"] is not None

    answer = await keyed.client.get("/v1/status", headers=bearer(new["key"]))
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
    lines = (await keyed.client.get("/v1/audit")).json()["items"]
    assert [(one["action"], one["subject"]) for one in lines[:2]] == [
        ("key.revoke", new["prefix"]),
        ("key.create", new["prefix"]),
    ]
    assert {one["actor"] for one in lines[:2]} == {"key of the environment"}
    assert (await keyed.client.delete("/v1/keys/llk_nobody")).status_code == 404


async def test_a_key_ends_when_it_was_said(keyed: Rig) -> None:
    """A contractor's key must not outlive the contract."""
    end = NOW + timedelta(days=30)
    new = await made(keyed, role="viewer", expires_at=end.isoformat())

    keyed.stage.clock.now = end - timedelta(seconds=1)
    assert (await keyed.client.get("/v1/status", headers=bearer(new["key"]))).status_code == 200
    keyed.stage.clock.now = end
    assert (await keyed.client.get("/v1/status", headers=bearer(new["key"]))).status_code == 401


async def test_when_a_key_was_used_last_is_known_to_the_minute(keyed: Rig) -> None:
    """A key that nobody uses can be revoked; a write for each request would cost more than the request."""
    new = await made(keyed, role="viewer")

    async def last_used() -> str | None:
        (one,) = (await keyed.client.get("/v1/keys")).json()["items"]
        found: str | None = one["last_used_at"]
        return found

    assert await last_used() is None
    await keyed.client.get("/v1/status", headers=bearer(new["key"]))
    first = await last_used()
    keyed.stage.clock.now += timedelta(seconds=59)
    await keyed.client.get("/v1/status", headers=bearer(new["key"]))
    assert await last_used() == first
    keyed.stage.clock.now += timedelta(seconds=1)
    await keyed.client.get("/v1/status", headers=bearer(new["key"]))
    assert await last_used() != first


async def test_keys_work_without_the_key_of_the_environment(tmp_path: Path) -> None:
    """Made on the command line, they let in whoever has them, also where no admin key is set."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}", key=None) as rig:
        new, _ = await rig.services.keys().create(KeyRole.VIEWER, None, actor="cli")

        assert (await rig.client.get("/v1/status", headers=bearer(new.text))).status_code == 200
        answer = await rig.client.get("/v1/status", headers=bearer(KEY))
        assert (answer.status_code, "wrong" in answer.json()["detail"]) == (401, True)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "body.role"),
        ({"role": "owner"}, "body.role"),
        ({"role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}, "body.expires_at"),
        ({"role": "viewer", "expires_at": "2090-01-01T00:00:00Z"}, "body.expires_at"),
        ({"role": "viewer", "expires_at": "tomorrow"}, "body.expires_at"),
        ({"role": "viewer", "name": "ops"}, "body.name"),
    ],
)
async def test_what_no_key_is_made_of(keyed: Rig, body: dict[str, Any], path: str) -> None:
    """A mistake names its place; nothing is made."""
    answer = await keyed.client.post("/v1/keys", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == path
    assert (await keyed.client.get("/v1/keys")).json() == {"items": []}


async def test_the_audit_log_comes_in_pages(keyed: Rig) -> None:
    """It grows for years."""
    for _ in range(5):
        await made(keyed, role="viewer")
    found: list[str] = []
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page: httpx.Response = await keyed.client.get("/v1/audit", params=params)
        found += [one["subject"] for one in page.json()["items"] if one["action"] == "key.create"]
        cursor = page.json()["next"]
        if cursor is None:
            break

    assert len(found) == len(set(found)) == 5
    assert (await keyed.client.get("/v1/audit?cursor=%FF")).status_code == 422
