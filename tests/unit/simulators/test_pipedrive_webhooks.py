import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from connectors.simulators.pipedrive import Company, Disorder, WebhookRequest
from tests.unit.simulators.pipedrive_rig import DEALS, START, Rig, at

URL = "https://leadloop.example/webhooks/pipedrive/t0ken"
HOOKS = "/v1/webhooks"
ASKED = {"subscription_url": URL, "event_action": "*", "event_object": "deal", "name": "Leadloop"}


@pytest.fixture
def rig() -> Rig:
    return Rig(Company(has_limits=False))


def told(requests: list[WebhookRequest]) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in requests]


async def test_a_stage_move_is_told_with_its_previous_stage(rig: Rig) -> None:
    """Webhooks bring each move with milliseconds; meta ids are texts, data ids are numbers, previous holds only what changed."""
    company = rig.company
    tier, gclid = company.define_field("deal", "Tier", "enum", ["A", "B"]), company.define_field("deal", "gclid", "text")
    await rig.post(HOOKS, **ASKED, http_auth_user="user", http_auth_password="pass")
    deal = company.create_deal({"title": "x", gclid: "Cj0"}, START)
    company.move(deal, 2, START + timedelta(hours=1, milliseconds=7))
    company.update("deal", deal, {tier: 2}, at(2), is_bulk=True)

    requests = company.drain_webhooks(rig.now)
    created, moved, edited = told(requests)

    assert (requests[0].method, requests[0].url) == ("POST", URL)
    assert requests[0].headers["Authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
    assert (created["previous"], created["data"]["id"], created["data"]["visible_to"]) == (None, deal, "3")
    assert created["data"]["custom_fields"] == {tier: None, gclid: {"type": "text", "value": "Cj0"}}
    assert (moved["previous"], moved["data"]["stage_id"]) == ({"stage_id": 1, "stage_change_time": None}, 2)
    assert edited["previous"] == {"custom_fields": {tier: None}}
    assert edited["data"]["custom_fields"][tier] == {"type": "enum", "id": 2}
    meta = moved["meta"]
    assert len({one["meta"]["id"] for one in (created, moved, edited)}) == 3
    assert {name: meta[name] for name in ("action", "entity", "entity_id", "company_id", "timestamp", "version", "attempt")} == {
        "action": "change",
        "entity": "deal",
        "entity_id": str(deal),
        "company_id": "7104235",
        "timestamp": "2026-11-01T13:00:00.007Z",
        "version": "2.0",
        "attempt": 1,
    }
    assert (meta["webhook_id"], meta["host"], meta["change_source"]) == ("501", "northwind.pipedrive.com", "app")
    assert (meta["is_bulk_edit"], edited["meta"]["is_bulk_edit"]) == (False, True)
    assert company.drain_webhooks(rig.now) == []


async def test_a_merge_is_a_deletion_that_names_the_winner_and_a_change(rig: Rig) -> None:
    """Only the webhook tells into what a row was merged."""
    company = rig.company
    company.subscribe(URL, at=START)
    winner, loser = company.create_deal({"title": "x"}, START), company.create_deal({"title": "y"}, START)
    company.merge("deal", winner, loser, at(1))

    gone, changed = told(company.drain_webhooks(rig.now))[-2:]

    assert (gone["meta"]["action"], gone["meta"]["entity_id"], gone["meta"]["merged_to_id"]) == (
        "delete",
        str(loser),
        str(winner),
    )
    assert (gone["data"], gone["previous"]["title"]) == (None, "y")
    assert (changed["meta"]["action"], changed["meta"]["entity_id"]) == ("change", str(winner))


async def test_own_writes_come_back_as_api_changes(rig: Rig) -> None:
    """A write-back that reacts to its own webhook would loop: change_source and previous tell it apart."""
    code = rig.company.define_field("deal", "Sync status")
    deal = rig.company.create_deal({"title": "x"}, START)
    rig.company.subscribe(URL, "change", "deal", at=START)

    await rig.patch(f"{DEALS}/{deal}", custom_fields={code: "sent"})
    [event] = told(rig.company.drain_webhooks(rig.now))

    assert (event["meta"]["change_source"], event["previous"]) == ("api", {"custom_fields": {code: None}})


async def test_an_import_is_told_when_it_is_made(rig: Rig) -> None:
    """An imported deal may say that it is old and long won; the event is of now, and the poll finds it by its update time."""
    rig.company.subscribe(URL, at=START)
    fields = {"title": "old", "add_time": at(-9000), "status": "won", "won_time": at(-8000)}
    deal = rig.company.create_deal(fields, at(1), source="api")

    [event] = told(rig.company.drain_webhooks(rig.now))

    assert (event["meta"]["timestamp"], event["data"]["add_time"]) == ("2026-11-01T13:00:00.000Z", "2025-10-22T12:00:00Z")
    assert event["data"]["won_time"] == "2025-12-03T04:00:00Z"
    assert await rig.ids(DEALS, updated_since="2026-11-01T13:00:00Z") == [deal]


async def test_one_webhook_is_one_action_and_object_and_sees_with_its_users_eyes(rig: Rig) -> None:
    """A webhook under a user without rights silently misses rows."""
    company = rig.company
    rep = company.add_user("Rep", "rep@northwind.example")
    for action, entity in (("delete", "person"), ("*", "lead"), ("create", "*")):
        company.subscribe(URL, action, entity, at=START)
    await rig.post(HOOKS, **ASKED, user_id=rep)
    person, lead = company.create_person({"name": "Jane"}, START), company.create_lead({"title": "L"}, START)
    company.create_deal({"title": "x", "visible_to": 1}, START)
    company.update("person", person, {"name": "J"}, at(1))
    company.archive("lead", lead, at(1))
    company.delete("person", person, at(2))

    events = [
        (one["meta"]["webhook_id"], one["meta"]["action"], one["meta"]["entity"]) for one in told(company.drain_webhooks(rig.now))
    ]

    assert sorted(events) == [
        ("501", "delete", "person"),
        ("502", "change", "lead"),
        ("502", "create", "lead"),
        ("503", "create", "deal"),
        ("503", "create", "lead"),
        ("503", "create", "person"),
    ]


async def test_registering_is_checked_listed_and_undone(rig: Rig) -> None:
    """Wrong registrations are told by field, the 41st active one is refused with 422, deleting is once."""
    wrong: list[dict[str, Any]] = [
        {"subscription_url": "http://x.example"},
        {"event_action": "updated"},
        {"event_object": "deals"},
        {"name": ""},
    ]
    wrong += [{"version": "1.0"}, {"user_id": 5}, {"colour": "red"}, {"subscription_url": "https://api.pipedrive.com/v1"}]

    refused = [await rig.post(HOOKS, **{**ASKED, **one}) for one in wrong]
    made = [await rig.post(HOOKS, **ASKED) for _ in range(41)]
    deleted = [await rig.call("DELETE", f"{HOOKS}/501") for _ in range(2)]

    assert [(one.status_code, list(one.json()["errors"])) for one in refused] == [(400, list(change)) for change in wrong]
    assert [one.status_code for one in made] == [201] * 40 + [422]
    assert [one.status_code for one in deleted] == [200, 404]
    assert len(await rig.data(HOOKS)) == 39


async def test_failed_deliveries_are_retried_with_the_same_id(rig: Rig) -> None:
    """Three more tries after 3, 30 and 150 seconds; meta.id stays, the attempt counts up."""
    company = rig.company
    company.subscribe(URL, at=START)
    company.create_deal({"title": "x"}, START)
    seen = []
    for wait in (0, 3, 30, 150, 600):
        rig.now += timedelta(seconds=wait)
        for request in company.drain_webhooks(rig.now):
            [event] = told([request])
            seen.append((wait, event["meta"]["attempt"], event["meta"]["id"]))
            company.webhooks.answered(request, 500, rig.now)
    [listed] = await rig.data(HOOKS)

    assert [one[:2] for one in seen] == [(0, 1), (3, 2), (30, 3), (150, 4)]
    assert len({one[2] for one in seen}) == 1
    assert (listed["last_http_status"], listed["is_active"]) == (500, 1)


async def test_failing_webhooks_are_banned_and_in_the_end_removed(rig: Rig) -> None:
    """Events of a banned or removed webhook are lost: only polling finds them. The list says when and why it went."""
    company = rig.company
    company.subscribe(URL, at=START)
    for number in range(11):
        company.create_deal({"title": str(number)}, START)
    first = company.drain_webhooks(rig.now)
    for request in first[:10]:
        company.webhooks.answered(request, 503, rig.now)
    company.create_deal({"title": "lost"}, rig.now)
    during = company.drain_webhooks(rig.now + timedelta(minutes=29))
    company.create_deal({"title": "told"}, rig.now)
    after = company.drain_webhooks(rig.now + timedelta(minutes=30))
    company.webhooks.answered(after[0], 503, rig.now + timedelta(days=3))
    company.create_deal({"title": "lost"}, rig.now)

    [listed] = await rig.data(HOOKS)

    assert (len(first), during, [one["data"]["title"] for one in told(after)]) == (11, [], ["told"])
    assert (listed["is_active"], listed["remove_time"]) == (0, "2026-11-05T12:00:00.000Z")
    assert "3 consecutive days" in listed["remove_reason"]
    assert company.drain_webhooks(rig.now + timedelta(days=4)) == []


async def test_disorder_loses_doubles_and_shuffles_by_its_seed() -> None:
    """The same seed makes the same trouble; a double has the same meta.id and the attempt 2."""

    def seen(seed: int) -> list[tuple[str, int]]:
        company = Company()
        company.subscribe(URL, at=START)
        company.disturb_webhooks(Disorder(seed, loss=0.3, duplication=0.3, is_shuffled=True))
        for number in range(200):
            company.create_deal({"title": str(number)}, START)
        return [(one["meta"]["id"], one["meta"]["attempt"]) for one in told(company.drain_webhooks(at(1)))]

    events = seen(7)

    assert events == seen(7) != seen(8)
    assert 120 < len({one[0] for one in events}) < 160
    assert {one[0] for one in events if one[1] == 2} <= {one[0] for one in events if one[1] == 1}
    assert any(attempt == 2 for _, attempt in events)
