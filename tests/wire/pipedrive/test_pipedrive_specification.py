"""Every request that the connector makes is one that Pipedrive's own OpenAPI files document."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import StatusNote, Window
from tests.wire.pipedrive.described_company import described_company
from tests.wire.pipedrive.fake_company import CONSENT, GCLID, NOW, SELECTION, Company, lead_id, nothing_stored

HOUR_AGO = NOW - timedelta(hours=1)
PERSONS = ObjectSelection(frozenset({"email", "marketing_status", GCLID}), frozenset({CONSENT}))
EVERYTHING = Selection({**SELECTION.objects, ObjectKind.CONTACT: PERSONS})


@pytest.fixture(scope="module")
def paths(shared: Path) -> Mapping[str, Mapping[str, Any]]:
    """The paths of both versions, by version."""
    files = {version: shared / "specs" / "pipedrive" / f"openapi-{version}.yaml" for version in ("v1", "v2")}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {version: yaml.load(file.read_text(encoding="utf-8"), loader)["paths"] for version, file in files.items()}  # noqa: S506 a safe loader in C


async def requests_of_everything(company: Company) -> list[httpx.Request]:
    """Windows of every kind over several pages, fetches, check, describe, webhooks, write-back."""
    for number in range(1, 700):
        company.deal(number, HOUR_AGO, added=NOW - timedelta(days=5), status="won" if number < 5 else "open")
        company.lead(number, HOUR_AGO)
        company.lead(2_000 + number, HOUR_AGO, is_archived=True)
    company.rows["deals"][1]["person_id"] = 1
    company.person(1, HOUR_AGO, custom_fields={CONSENT: 11})
    company.rows["persons"][1]["add_time"] = "2026-11-01T00:00:00Z"
    source = company.source(webhook_secrets="leadloop:word")
    for kind in ObjectKind:
        async for _page in source.changes(Window(kind, NOW - timedelta(days=1)), EVERYTHING, nothing_stored()):
            pass
    deals = [RecordRef(ObjectKind.DEAL, str(number)) for number in range(690, 705)]
    others = [RecordRef(ObjectKind.LEAD, lead_id(1)), RecordRef(ObjectKind.CONTACT, "1")]
    gone = RecordRef(ObjectKind.LEAD, lead_id(9_999))
    await source.fetch([*deals, *others, gone], EVERYTHING, nothing_stored())
    await source.check()
    await source.describe()
    company.webhooks = [{"id": 7, "subscription_url": "https://x.example", "event_object": "deal", "is_active": 0}]
    await source.keep_webhooks("https://x.example", frozenset(ObjectKind))
    refs = [*deals[:1], *others]
    await source.write_back([StatusNote(ref, GCLID, "sent") for ref in refs])
    return company.requests


async def test_paths_parameters_and_bodies_are_documented(paths: Mapping[str, Mapping[str, Any]]) -> None:
    """Two readings of one vendor must agree; version 2 is strict about what it does not know."""
    company = described_company()
    company.on_request = _take_patches

    found = await requests_of_everything(company)

    assert sorted({mistake for request in found for mistake in _mistakes(paths, request)}) == []
    assert len({(request.method, re.sub(r"\d{2,}|-", "", request.url.path)) for request in found}) > 20


def _take_patches(request: httpx.Request) -> httpx.Response | None:
    return httpx.Response(200, json={"success": True, "data": {}}) if request.method == "PATCH" else None


def _mistakes(paths: Mapping[str, Mapping[str, Any]], request: httpx.Request) -> Iterator[str]:
    _, _, version, *rest = request.url.path.split("/")
    path = "/" + "/".join(rest)
    fitting = [one for one in paths[version] if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", one), path)]
    exact = [one for one in fitting if "{" not in one] or fitting
    operation = next(
        (paths[version][one][request.method.lower()] for one in exact if request.method.lower() in paths[version][one]), None
    )
    if operation is None:
        yield f"{request.method} {version} {path} is no operation"
        return
    schemas = {one["name"]: one["schema"] for one in operation.get("parameters", []) if one["in"] == "query"}
    for name, value in request.url.params.items():
        allowed = schemas.get(name, {}).get("enum")
        if name not in schemas:
            yield f"{path} has no parameter {name}"
        elif allowed is not None and not {part.split(" ")[0] for part in value.split(",")} <= set(allowed):
            yield f"{path} has no {name}={value}"
    if request.content:
        yield from _body_mistakes(operation, path, json.loads(request.content))


def _body_mistakes(operation: Mapping[str, Any], path: str, body: Mapping[str, Any]) -> Iterator[str]:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    properties = schema["properties"]
    for name, value in body.items():
        is_flat_custom_field = path.startswith("/leads/") and len(name) == 40
        if name not in properties and not is_flat_custom_field:
            yield f"{path} takes no {name}"
        elif "enum" in properties.get(name, {}) and value not in properties[name]["enum"]:
            yield f"{path} takes no {name}={value}"
    for name in schema.get("required", []):
        if name not in body:
            yield f"{path} wants {name}"
