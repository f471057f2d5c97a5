import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors.simulators.hubspot import Disorder, OAuthApp, Portal, Subscription, sign_v3
from connectors.simulators.hubspot.instants import millis
from tests.unit.simulators.hubspot_rig import DEALS, START, Rig, deal


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Portal(has_limits=False))
    yield made
    await made.client.aclose()


async def test_who_may_not_call_is_told_why(rig: Rig) -> None:
    """A wrong token, a cut one and a missing scope lead to different mends, so they must look different."""
    scoped = Rig(Portal(scopes=frozenset({"oauth"})))
    replies = [await scoped.get(DEALS), await rig.get("/crm/objects/2026-09/leads")]
    for token in ("pat-na1-99999999-2222-4333-8444-555555555555", "pat-na1-1111"):
        rig.token = token
        replies.append(await rig.get(DEALS))

    assert [(one.status_code, one.json()["category"]) for one in replies[:3]] == [
        (403, "MISSING_SCOPES"),
        (403, "MISSING_SCOPES"),
        (401, "INVALID_AUTHENTICATION"),
    ]
    assert replies[0].json()["errors"][0]["context"] == {"requiredGranularScopes": ["crm.objects.deals.read"]}
    assert (replies[3].status_code, replies[3].text) == (530, "error code: 1016")


async def test_access_tokens_run_out_and_are_got_by_the_refresh_token() -> None:
    """A token ends in the middle of a page; refreshing must mend that, and must end when the app is uninstalled."""
    rig = Rig(Portal(oauth=OAuthApp("client", "hush", "refresh-me")))
    form = {"grant_type": "refresh_token", "client_id": "client", "client_secret": "hush", "refresh_token": "refresh-me"}
    granted = (await rig.client.post("/oauth/2026-09/token", data=form)).json()
    rig.token = granted["access_token"]

    fresh = await rig.get(DEALS)
    rig.now += timedelta(seconds=granted["expires_in"])
    stale = await rig.get(DEALS)
    rig.portal.access.revoke()
    revoked = await rig.client.post("/oauth/2026-09/token", data=form)

    assert (fresh.status_code, fresh.headers["x-hubspot-ratelimit-max"]) == (200, "110")
    assert "x-hubspot-ratelimit-daily" not in fresh.headers
    assert (stale.status_code, stale.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert (revoked.status_code, revoked.json()["status"], revoked.json()["error"]) == (400, "BAD_REFRESH_TOKEN", "invalid_grant")
    assert (await rig.client.post("/oauth/2026-09/token", params=form)).status_code == 400


async def test_searches_are_limited_by_the_second_and_say_no_rate() -> None:
    """Search is the account's tightest budget and gives no headers to steer by."""
    rig = Rig(Portal())

    replies = [await rig.search() for _ in range(6)]
    rig.now += timedelta(seconds=1)

    assert [one.status_code for one in replies] == [200] * 5 + [429]
    assert (replies[5].json()["policyName"], replies[5].json()["errorType"]) == ("SECONDLY", "RATE_LIMIT")
    assert not [name for name in replies[0].headers if "ratelimit" in name]
    assert (await rig.search()).status_code == 200


async def test_bursts_and_days_are_limited_each_until_its_own_end() -> None:
    """A burst is over in ten seconds, a day only at midnight in the account's own zone."""
    rig = Rig(Portal(time_zone="Asia/Tokyo"), now=datetime(2026, 11, 2, 14, 59, 40, tzinfo=UTC))
    rig.portal.limits.daily = 191

    burst = [await rig.get(DEALS) for _ in range(191)]
    rig.now += timedelta(seconds=10)
    last, over = await rig.get(DEALS), await rig.get(DEALS)
    rig.now += timedelta(seconds=10)
    tomorrow = await rig.get(DEALS)

    assert (burst[-1].status_code, burst[-1].json()["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    assert (burst[0].headers["x-hubspot-ratelimit-remaining"], last.headers["x-hubspot-ratelimit-daily-remaining"]) == (
        "189",
        "0",
    )
    assert (over.status_code, over.json()["policyName"]) == (429, "DAILY")
    assert tomorrow.status_code == 200


def test_the_signature_is_the_published_one() -> None:
    """A signature made wrongly here would teach the receiver to accept the wrong one (vector of HubSpot's own SDK tests)."""
    secret, url = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "https://www.example.com/webhook_uri"
    body = b"{'example_field':'example_value'}"

    assert sign_v3(secret, "POST", url, body, "15000000") == "HPW73RUtKmcYoEDADG0s6MmGFWUzWJKAW07r8RDgcQw="
    assert sign_v3(secret, "POST", "https%3a//www.example.com%2Fwebhook_uri", body, "15000000").startswith("HPW73")
    assert not sign_v3(secret, "POST", f"{url}%20", body, "15000000").startswith("HPW73")


def test_webhooks_tell_of_subscribed_changes_only_in_arrays_of_a_hundred() -> None:
    """A receiver must cope with arrays, and with no event for what nobody subscribed to."""
    portal = Portal()
    wanted = [Subscription("deal.propertyChange", "deals", "dealstage"), Subscription("object.merge", "deals")]
    outbox = portal.subscribe("https://leadloop.example/webhooks/hubspot?x=1", "hush", wanted)
    made = [deal(portal, amount="5") for _ in range(150)]
    survivor = portal.merge("deals", made[0], made[1], START + timedelta(hours=1), new_id=True)

    requests = portal.drain_webhooks(START + timedelta(hours=2))
    again = json.loads(outbox.redeliver(requests[1], START + timedelta(hours=3)).body)

    batches = [json.loads(request.body) for request in requests]
    merge = batches[1][-1]
    assert [len(batch) for batch in batches] == [100, 51]
    assert (batches[0][0]["propertyValue"], batches[0][0]["occurredAt"]) == ("qualifiedtobuy", millis(START))
    assert (merge["newObjectId"], merge["mergedObjectIds"], merge["objectTypeId"]) == (int(survivor), [int(made[1])], "0-3")
    assert requests[0].headers["X-HubSpot-Request-Timestamp"] == str(millis(START + timedelta(hours=2)))
    assert {one["attemptNumber"] for one in again} == {1}
    assert portal.drain_webhooks(START) == []


def test_disorder_of_webhooks_is_fixed_by_its_seed() -> None:
    """A run that found a lost event must be found again; and loss and doubling must really happen."""

    def sent() -> list[list[int]]:
        portal = Portal()
        disorder = Disorder(seed=3, loss=0.3, duplication=0.3, is_shuffled=True)
        portal.subscribe("https://leadloop.example/", "hush", [Subscription("object.creation", "deals")], disorder=disorder)
        for _ in range(100):
            deal(portal)
        return [[event["objectId"] for event in json.loads(one.body)] for one in portal.drain_webhooks(START)]

    events = [one for batch in sent() for one in batch]

    assert sent() == sent()
    assert 50 < len(set(events)) < 90
    assert len(events) > len(set(events))
    assert events != sorted(events)
