"""Pipedrive's own OpenAPI documents take every request and every answer of the simulated company."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.simulators.pipedrive import Company, OAuthApp, create_pipedrive
from connectors.simulators.pipedrive.app import DOORS
from tests.referees.pipedrive_recorder import Recorder, judged

pytest.importorskip("openapi_schema_validator", reason="the validator lives in an environment of its own (make test-referees)")

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = START + timedelta(days=1)
BASE = "https://northwind.pipedrive.com"
APP = OAuthApp("client", "hush", "refresh-me")
LOGIN = {"Authorization": "Basic " + base64.b64encode(b"client:hush").decode()}
WINDOW = {"updated_since": "2026-10-01T00:00:00Z", "updated_until": "2026-12-01T00:00:00Z", "sort_by": "update_time"}
HOOK = {"subscription_url": "https://leadloop.example/hook", "event_action": "*", "event_object": "deal", "name": "Leadloop"}


def company_at_work(*, shows_nulls: bool) -> Company:
    """A company in which every field is full once and empty once."""
    made = Company(has_limits=False, shows_nulls=shows_nulls, oauth=APP)
    kinds = ("varchar", "text", "double", "date", "phone", "user")
    values: list[object] = ["x", "Cj0", 1.5, "2026-11-01", "+49 30 1", made.admin]
    custom = {made.define_field("deal", kind, kind): value for kind, value in zip(kinds, values, strict=True)}
    custom[made.define_field("deal", "Tier", "enum", ["A", "B"])] = 1
    custom[made.define_field("deal", "Tags", "set", ["a", "b"])] = [3, 4]
    custom[made.define_field("deal", "Margin", "monetary")] = {"value": 1, "currency": "EUR"}
    made.define_currency("USR", "users")
    made.add_user("Rep", "rep@northwind.example")
    address = {"value": "Main St 1, Berlin", "country": "Germany", "locality": "Berlin", "postal_code": "10115"}
    organization = made.create_organization({"name": "Acme", "address": address}, START)
    contact = {"emails": "jane@example.com", "phones": "+49 30 1", "postal_address": address, "org_id": organization}
    person, other = made.create_person({"name": "Jane Doe", **contact}, START), made.create_person({"name": "Jo"}, START)
    made.update("person", other, {"name": "Joe"}, START)
    full = {"title": "Full", "value": 99.5, "person_id": person, "org_id": organization, "label_ids": [1], "channel": 52}
    deal = made.create_deal({**full, "channel_id": "Jun23", "expected_close_date": "2026-12-01", **custom}, START)
    made.add_participant(deal, other, START)
    made.move(deal, 3, START + timedelta(hours=1))
    made.win(deal, START + timedelta(hours=2))
    made.create_deal({"title": "Empty"}, START)
    for act in (made.archive, made.delete):
        act("deal", made.create_deal({"title": "Away"}, START), START + timedelta(hours=1))
    money = {"amount": 5, "currency": "EUR"}
    for _ in range(3):
        made.create_lead(
            {"title": "Full", "value": money, "person_id": person, "label_ids": [made.define_label("VIP")], **custom}, START
        )
    made.create_lead({"title": "Empty"}, START)
    made.archive("lead", made.create_lead({"title": "Away"}, START), START + timedelta(hours=1))
    return made


async def played(company: Company) -> Recorder:
    """Every endpoint once at least, by token and by OAuth."""
    recorder = Recorder(httpx.ASGITransport(create_pipedrive(company, lambda: NOW)))
    async with httpx.AsyncClient(transport=recorder, base_url=BASE, headers={"x-api-token": company.tokens[0]}) as client:
        await _lists(client)
        await _writes(client, company)
    async with httpx.AsyncClient(transport=recorder, base_url=BASE, headers=LOGIN) as client:
        form = {"grant_type": "refresh_token", "refresh_token": "refresh-me"}
        token = (await client.post("/oauth/token", data=form)).json()["access_token"]
        await client.get("/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    async with httpx.AsyncClient(transport=recorder, base_url=BASE, headers={"x-api-token": "wrong"}) as client:
        for path in ("/v1/users/me", "/v1/webhooks"):
            await client.get(path)
    return recorder


async def _lists(client: httpx.AsyncClient) -> None:
    rich = {
        **WINDOW,
        "include_fields": "first_won_time,participants_count,source_lead_id",
        "include_option_labels": "true",
        "limit": "500",
    }
    for path in ("/api/v2/deals", "/api/v2/deals/archived", "/api/v2/persons", "/api/v2/organizations"):
        await client.get(path, params={"limit": "1"})
        await client.get(path, params={**WINDOW, "sort_direction": "desc", "ids": "1,2,3"})
    await client.get("/api/v2/deals", params={**rich, "status": "open,won,lost,deleted"})
    await client.get("/api/v2/deals/1", params={"include_fields": "first_won_time"})
    await client.get("/api/v2/persons", params={**WINDOW, "include_fields": "marketing_status"})
    for path in ("/api/v2/persons/1", "/api/v2/persons/2", "/api/v2/organizations/1", "/api/v2/deals/2"):
        await client.get(path)
    for path in (
        "/api/v2/pipelines",
        "/api/v2/stages",
        "/v1/currencies",
        "/v1/users",
        "/v1/users/me",
        "/v1/leadLabels",
        "/v1/leadSources",
    ):
        await client.get(path)
    for path in ("/api/v2/dealFields", "/api/v2/personFields", "/api/v2/organizationFields"):
        await client.get(path, params={"limit": "500", "include_fields": "ui_visibility,important_fields,required_fields"})
    await client.get("/api/v2/dealFields", params={"limit": "5"})
    await client.get("/v1/leadFields", params={"start": "0", "limit": "500"})
    for path in ("/v1/leads", "/v1/leads/archived"):
        await client.get(path, params={"start": "0", "limit": "2", "sort": "update_time DESC"})
    await client.get("/v1/leads", params={"updated_since": "2026-10-01T00:00:00Z", "sort": "update_time ASC"})
    for path in ("/v1/deals/1/changelog", "/v1/persons/2/changelog"):
        await client.get(path, params={"limit": "1"})
        await client.get(path)
    await client.get("/v1/deals/1/participants", params={"start": "0", "limit": "100"})


async def _writes(client: httpx.AsyncClient, company: Company) -> None:
    status = company.define_field("deal", "Sync status")
    field = {"field_name": "Leadloop", "field_type": "enum", "options": [{"label": "sent"}, {"label": "refused"}]}
    await client.post("/api/v2/dealFields", json=field)
    made = (await client.post("/api/v2/personFields", json={"field_name": "Leadloop", "field_type": "varchar"})).json()["data"]
    await client.patch("/api/v2/deals/1", json={"custom_fields": {status: "sent"}})
    await client.patch("/api/v2/persons/1", json={"custom_fields": {made["field_code"]: "sent"}})
    leads = (await client.get("/v1/leads")).json()["data"]
    await client.patch(f"/v1/leads/{leads[0]['id']}", json={status: "sent"})
    await client.get(f"/v1/leads/{leads[0]['id']}")
    started = (await client.post(f"/api/v2/leads/{leads[0]['id']}/convert/deal", json={"stage_id": 2})).json()["data"]
    await client.get(f"/api/v2/leads/{leads[0]['id']}/convert/status/{started['conversion_id']}")
    await client.get(f"/v1/leads/{leads[0]['id']}")
    hook = (await client.post("/v1/webhooks", json={**HOOK, "http_auth_user": "u", "http_auth_password": "p"})).json()["data"]
    await client.post("/v1/webhooks", json={**HOOK, "subscription_url": "https://api.pipedrive.com/x"})
    await client.get("/v1/webhooks")
    for _ in range(2):
        await client.delete(f"/v1/webhooks/{hook['id']}")


def reasons(shared: Path, recorder: Recorder) -> list[str]:
    return [reason for verdict in judged(shared, recorder.exchanges) for reason in verdict]


async def test_every_request_and_answer_passes_the_openapi(shared: Path) -> None:
    """Two readings of the vendor, his own documents and our facts, must agree on every endpoint that is offered."""
    recorder = await played(company_at_work(shows_nulls=False))

    offered = {door.name for door in DOORS} | {"POST oauth/token"}
    assert {one for one in offered if not _is_played(one, recorder)} == set()
    assert reasons(shared, recorder) == []


async def test_nulls_are_all_that_the_documents_do_not_know(shared: Path) -> None:
    """The service writes null where the schemas know only absence; nothing else may differ."""
    recorder = await played(company_at_work(shows_nulls=True))

    found = reasons(shared, recorder)

    assert found
    assert [one for one in found if ": None is not of type" not in one and ": None for not nullable" not in one] == []


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("/api/v2/deals", {"query": "updated_sinc=2026-10-01"}),
    ("/api/v2/deals", {"query": "sort_by=title"}),
    ("/api/v2/deals", {"query": "limit=many"}),
    ("/api/v2/deals", {"headers": []}),
    ("/api/v2/deals", {"got": {"success": True, "data": [{"id": "1"}]}}),
    ("/api/v2/deals", {"method": "PUT"}),
    ("/v1/leads", {"got": {"success": True, "data": [{"visible_to": 3}]}}),
    ("/v1/leads", {"status": 299}),
    ("/v1/webhooks", {"sent": {**HOOK, "event_action": "updated"}}),
    ("/v1/webhooks", {"sent": {**HOOK, "colour": "red"}}),
    ("/v1/nowhere", {}),
]


async def test_the_referee_refuses_wrong_ones(shared: Path) -> None:
    """A referee that lets everything pass would prove nothing."""
    company = company_at_work(shows_nulls=False)
    recorder = Recorder(httpx.ASGITransport(create_pipedrive(company, lambda: NOW)))
    async with httpx.AsyncClient(transport=recorder, base_url=BASE, headers={"x-api-token": company.tokens[0]}) as client:
        for path, change in WRONG:
            await (client.post(path, json=HOOK) if "sent" in change else client.get(path))
    wrong = [{**one, **change} for one, (_, change) in zip(recorder.exchanges, WRONG, strict=True)]

    verdicts = judged(shared, [*recorder.exchanges[:-1], *wrong])

    assert verdicts[: len(WRONG) - 1] == [[]] * (len(WRONG) - 1)
    assert [case for case, verdict in zip(WRONG, verdicts[len(WRONG) - 1 :], strict=True) if not verdict] == []


def _is_played(name: str, recorder: Recorder) -> bool:
    method, _, path = name.partition(" ")
    wanted = path.split("/")
    for one in recorder.exchanges:
        parts = one["path"].removeprefix("/api").strip("/").split("/")
        fits = len(parts) == len(wanted) and all(w == p or w.startswith("{") for w, p in zip(wanted, parts, strict=True))
        if one["method"] == method and fits and one["status"] < 300:
            return True
    return False
