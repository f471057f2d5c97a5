"""Writing to the simulated account: what HubSpot takes, what it refuses, and what a write leaves behind."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulators.hubspot import OAuthApp, Portal, Subscription
from connectors.simulators.hubspot.catalogue import DEFAULT_SCOPES
from connectors.simulators.hubspot.instants import millis
from tests.unit.simulators.hubspot_rig import DEALS, START, Rig, deal

PROPERTIES = "/crm/properties/2026-09/deals"
STATUS = {"name": "sync_status", "label": "Sync", "groupName": "dealinformation", "type": "string", "fieldType": "text"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Portal(has_limits=False))
    made.portal.define_property("deals", "sync_status")
    yield made
    await made.client.aclose()


def change(record_id: str, trace: str | None = None, **properties: str | None) -> dict[str, Any]:
    return {"id": record_id, "properties": properties, **({} if trace is None else {"objectWriteTraceId": trace})}


async def test_a_batch_answers_each_input_with_its_trace_id(rig: Rig) -> None:
    """Results come in HubSpot's order, so a caller must tell by the trace id which is whose."""
    one, other = deal(rig.portal), deal(rig.portal)
    inputs = [change(other, "b", sync_status="sent"), change("404", "x", sync_status="sent"), change(one, "a", sync_status="")]

    reply = await rig.post(f"{DEALS}/batch/update", inputs=inputs)

    body = reply.json()
    assert (reply.status_code, body["numErrors"]) == (207, 1)
    assert [(each["id"], each["objectWriteTraceId"]) for each in body["results"]] == [(one, "a"), (other, "b")]
    assert body["results"][1]["properties"]["sync_status"] == "sent"
    assert body["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert body["errors"][0]["context"] == {"ids": ["404"], "objectWriteTraceId": ["x"]}


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"no_such": "x"}, "PROPERTY_DOESNT_EXIST"),
        ({"hs_is_closed": "true"}, "READ_ONLY_VALUE"),
        ({"dealstage": "nowhere"}, "INVALID_OPTION"),
        ({"sync_status": "x" * 65_537}, "PROPERTY_VALUE_TOO_LONG"),
        ({"sync_status": ["x"]}, "INVALID_VALUE"),
    ],
)
async def test_a_value_that_does_not_fit_is_refused(rig: Rig, properties: dict[str, Any], code: str) -> None:
    """A simulator that takes everything would hide that HubSpot does not."""
    one = deal(rig.portal)

    single = await rig.call("PATCH", f"{DEALS}/{one}", json={"properties": properties})
    batch = await rig.post(f"{DEALS}/batch/update", inputs=[{"id": one, "properties": properties}])

    assert (single.status_code, single.json()["category"], single.json()["errors"][0]["code"]) == (400, "VALIDATION_ERROR", code)
    assert (batch.status_code, batch.json()["results"]) == (207, [])


async def test_a_validation_rule_judges_writes_by_api_only(rig: Rig) -> None:
    """Since 2026-09 a record that lacks what an admin requires refuses every write, though the written field is fine."""
    rig.portal.require("deals", "closedate", when="dealstage", value="closedwon")
    won = deal(rig.portal, dealstage="closedwon")

    refused = await rig.call("PATCH", f"{DEALS}/{won}", json={"properties": {"sync_status": "sent"}})
    rig.portal.update("deals", won, {"closedate": "2026-11-01T00:00:00Z"}, START)
    taken = await rig.call("PATCH", f"{DEALS}/{won}", json={"properties": {"sync_status": "sent"}})

    assert (refused.status_code, taken.status_code) == (400, 200)


async def test_a_write_moves_the_cursor_and_shows_in_history_and_webhooks(rig: Rig) -> None:
    """Whoever writes back meets his own writes at the next poll."""
    one = deal(rig.portal)
    rig.portal.subscribe("https://leadloop.example/", "hush", [Subscription("object.propertyChange", "deals", "sync_status")])

    await rig.post(f"{DEALS}/batch/update", inputs=[change(one, sync_status="sent")])

    asked = {"inputs": [{"id": one}], "properties": ["hs_lastmodifieddate"], "propertiesWithHistory": ["sync_status"]}
    (row,) = (await rig.post(f"{DEALS}/batch/read", **asked)).json()["results"]
    (event,) = json.loads(rig.portal.drain_webhooks(rig.now)[0].body)
    assert [entry["sourceType"] for entry in row["propertiesWithHistory"]["sync_status"]] == ["INTEGRATION"]
    assert row["properties"]["hs_lastmodifieddate"] == "2026-11-02T12:00:00.000Z"
    assert (event["changeSource"], event["occurredAt"]) == ("INTEGRATION", millis(rig.now))


async def test_a_property_is_made_once_in_a_group_that_exists(rig: Rig) -> None:
    """409 means that it is there already, which is fine for whoever sets up."""
    name = "adsync_status"

    lost = await rig.post(PROPERTIES, **{**STATUS, "name": name, "groupName": "adsync"})
    group = await rig.post(f"{PROPERTIES}/groups", name="adsync", label="Ad sync")
    made = await rig.post(PROPERTIES, **{**STATUS, "name": name, "groupName": "adsync"})
    again = await rig.post(PROPERTIES, **{**STATUS, "name": name})
    told = (await rig.get(f"{PROPERTIES}/{name}")).json()

    assert [one.status_code for one in (lost, group, made, again)] == [400, 201, 201, 409]
    assert (told["hubspotDefined"], told["modificationMetadata"]["readOnlyValue"]) == (False, False)
    assert (await rig.get(f"{PROPERTIES}/amount")).json()["hubspotDefined"]


async def test_writing_takes_scopes_of_its_own() -> None:
    """A token that may read must not be able to write."""
    rig = Rig(Portal(scopes=frozenset(one for one in DEFAULT_SCOPES if not one.endswith("write"))))
    one = deal(rig.portal)

    replies = [
        await rig.post(f"{DEALS}/batch/update", inputs=[change(one, amount="1")]),
        await rig.call("PATCH", f"{DEALS}/{one}", json={"properties": {"amount": "1"}}),
        await rig.post(PROPERTIES, **STATUS),
    ]

    needed = [reply.json()["errors"][0]["context"]["requiredGranularScopes"] for reply in replies]
    assert [reply.status_code for reply in replies] == [403, 403, 403]
    assert needed == [["crm.objects.deals.write"], ["crm.objects.deals.write"], ["crm.schemas.deals.write"]]


async def test_a_rotating_refresh_token_serves_once() -> None:
    """HubSpot does not rotate in practice; whoever does not store what comes back would not survive the day it does."""
    rig = Rig(Portal(oauth=OAuthApp("client", "hush", "refresh-me", is_rotating=True)))
    form = {"grant_type": "refresh_token", "client_id": "client", "client_secret": "hush"}

    first = await rig.client.post("/oauth/2026-09/token", data={**form, "refresh_token": "refresh-me"})
    used = await rig.client.post("/oauth/2026-09/token", data={**form, "refresh_token": "refresh-me"})
    second = await rig.client.post("/oauth/2026-09/token", data={**form, "refresh_token": first.json()["refresh_token"]})

    assert [one.status_code for one in (first, used, second)] == [200, 400, 200]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
    st.sets(st.integers(0, 45), max_size=20),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(1, 40),
    st.sampled_from([(), ("amount",), ("amount", "closed_lost_reason")]),
)
async def test_a_window_without_some_ids_shows_all_others(
    ticks: list[int], left_out: set[int], low: int, high: int, limit: int, wanted: tuple[str, ...]
) -> None:
    """The short way through the index must give what a plain filter gives, ids that are elsewhere or nowhere included."""
    rig = Rig(Portal(has_limits=False))
    values = [{}, {"amount": "1"}, {"closed_lost_reason": "price"}, {"amount": ""}]
    made: dict[str, int] = {}
    has: dict[str, bool] = {}
    for number, tick in enumerate(ticks):
        one = deal(rig.portal, START + timedelta(milliseconds=tick), **values[number % 4])
        made[one], has[one] = tick, not wanted or any(values[number % 4].get(name) for name in wanted)
    ids = [list(made)[one] if one < len(made) else str(one) for one in left_out]
    window = {
        "propertyName": "hs_lastmodifieddate",
        "operator": "BETWEEN",
        "value": str(millis(START) + low),
        "highValue": str(millis(START) + high),
    }
    without = {"propertyName": "hs_object_id", "operator": "NOT_IN", "values": ids}
    sorts = [{"propertyName": "hs_lastmodifieddate", "direction": "ASCENDING"}]

    base = [window, *([without] if ids else [])]
    groups = [[*base, {"propertyName": name, "operator": "HAS_PROPERTY"}] for name in wanted] or [base]

    asked = {"filterGroups": [{"filters": one} for one in groups], "sorts": sorts, "limit": limit}
    found = (await rig.post(f"{DEALS}/search", **asked)).json()

    inside = [one for one, tick in sorted(made.items(), key=lambda item: (item[1], int(item[0]))) if low <= tick <= high]
    expected = [one for one in inside if one not in ids and has[one]]
    assert (found["total"], [one["id"] for one in found["results"]]) == (len(expected), expected[:limit])
