"""What the simulated Meta says of credentials and of faults that only it knows; and that faults on the way meet it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.simulators.faults import FaultPlan, FaultyTransport, garbage, path_has, timeout
from connectors.simulators.meta import Dataset, GraphError, MetaPlatform, Token, create_meta

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DIGEST = "33ba87fd9ed214b4fcc4d931be50d6091c9572974bda75ec5df228f11a448892"
Body = dict[str, Any]


@pytest.fixture
def platform() -> MetaPlatform:
    platform = MetaPlatform([Dataset("777")])
    platform.add_token(Token("good", frozenset({"777"})))
    return platform


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
async def meta(platform: MetaPlatform, plan: FaultPlan) -> AsyncIterator[httpx.AsyncClient]:
    transport = FaultyTransport(httpx.ASGITransport(app=create_meta(platform, lambda: NOW)), plan)
    headers = {"authorization": "Bearer good"}
    async with httpx.AsyncClient(transport=transport, base_url="http://meta.test", headers=headers) as client:
        yield client


def batch(*names: str) -> Body:
    at = int((NOW - timedelta(days=1)).timestamp())
    shared = {"event_name": "Lead", "event_time": at, "action_source": "system_generated", "user_data": {"em": [DIGEST]}}
    return {"data": [{**shared, "event_id": name} for name in names]}


@pytest.mark.parametrize("subcode", [2804048, None])
async def test_a_rule_that_only_meta_knows_sinks_the_batch(
    meta: httpx.AsyncClient, platform: MetaPlatform, subcode: int | None
) -> None:
    """No local check can foresee it: this is what halving is for."""
    platform.refuses["b"] = GraphError("Invalid parameter", 100, subcode)

    refused = await meta.post("/v26.0/777/events", json=batch("a", "b", "c"))
    passed = await meta.post("/v26.0/777/events", json=batch("a", "c"))

    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error.get("error_subcode")) == (400, 100, subcode)
    assert '"b"' not in refused.text
    assert passed.json()["events_received"] == 2
    assert [platform.ledger.times_counted("Lead", name) for name in "abc"] == [1, 0, 1]


@pytest.mark.parametrize(
    ("changes", "dataset", "expected"),
    [
        ({}, "777", 200),
        ({"may_read": False}, "777", 200),
        ({"may_see_quality": False}, "777", 403),
        ({}, "888", 400),
    ],
)
async def test_the_quality_report_is_open_to_a_token_for_sending(
    meta: httpx.AsyncClient, platform: MetaPlatform, changes: Body, dataset: str, expected: int
) -> None:
    """By it a check can know a dataset that its token may not read."""
    platform.add_token(Token("other", frozenset({"777"}), **changes))

    answer = await meta.get("/v26.0/dataset_quality", params={"dataset_id": dataset}, headers={"authorization": "Bearer other"})

    assert answer.status_code == expected


async def test_an_answer_lost_after_the_effect_is_counted(
    meta: httpx.AsyncClient, platform: MetaPlatform, plan: FaultPlan
) -> None:
    """The case that dedup windows are for: the sender knows nothing, Meta has the event."""
    plan.script(timeout(has_effect=True), timeout(), garbage(has_effect=True), when=path_has("/events", method="POST"))

    for name in "ab":
        with pytest.raises(httpx.ReadTimeout):
            await meta.post("/v26.0/777/events", json=batch(name))
    assert (await meta.post("/v26.0/777/events", json=batch("c"))).status_code == 200

    assert [platform.ledger.times_counted("Lead", name) for name in "abc"] == [1, 0, 1]


@pytest.mark.parametrize("state", [999, 1014])
async def test_a_state_that_meta_does_not_list_is_refused(meta: httpx.AsyncClient, state: int) -> None:
    """Limited data use for an unknown state is a mistake in the settings, and fails every batch."""
    body = batch("a")
    options = {"data_processing_options": ["LDU"], "data_processing_options_country": 1}
    body["data"][0].update(**options, data_processing_options_state=state)

    assert (await meta.post("/v26.0/777/events", json=body)).status_code == 400
