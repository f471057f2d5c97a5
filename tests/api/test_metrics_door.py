"""What a Prometheus server reads: counted where it happens, read by its own parser, and nothing that names a person."""

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.rig import Rig, rig_on

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


def _samples(answer: httpx.Response) -> Samples:
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


async def test_what_happened_is_counted_and_what_stands_is_shown(rig: Rig) -> None:
    """Whoever is woken at night by a page of Prometheus must find there what the status says."""
    contact = rig.person(lifecyclestage="salesqualifiedlead", phone="+442079460018")
    await rig.services.sync()
    await rig.client.get(f"/v1/leads/contact:{contact}/trace")
    await rig.client.get("/v1/leads/jane@example.com/trace")
    await rig.client.get("/nowhere/jane@example.com")

    samples = _samples(await rig.client.get("/metrics"))

    assert _value(samples, "leadloop_recorded_total", source="hubspot", what="records") == 1
    assert _value(samples, "leadloop_recorded_total", source="hubspot", what="conversions") == 2
    assert _value(samples, "leadloop_deliveries_drained_total", destination="google", outcome="accepted") == 1
    assert _value(samples, "leadloop_deliveries_due", destination="google") == 0
    assert _value(samples, "leadloop_connection_paused", role="source", connection="hubspot") == 0
    assert _value(samples, "leadloop_source_lag_seconds", source="hubspot") >= 0
    vendors = {dict(labels)["vendor"] for name, labels in samples if name == "leadloop_vendor_requests_total"}
    assert vendors == {"HubSpot", "Google"}
    template = "/v1/leads/{ref}/trace"
    assert _value(samples, "leadloop_http_requests_total", method="GET", path=template, status="200") == 1
    assert _value(samples, "leadloop_http_requests_total", method="GET", path=template, status="404") == 1
    assert _value(samples, "leadloop_http_requests_total", method="GET", path="none", status="404") == 1
    told = " ".join(value for _, labels in samples for _, value in labels)
    assert not any(one in told for one in (contact, "jane", "example.com", "2079460018"))


async def test_a_pause_is_shown_and_a_connection_that_is_gone_is_not(rig: Rig) -> None:
    """An alarm on a pause must fall silent with its end, and not ring for what was removed."""
    await rig.client.post("/v1/sources/hubspot/mode", json={"mode": "paused"})
    rig.services.metrics.show_paused("source", "gone", paused=True)

    samples = _samples(await rig.client.get("/metrics"))

    shown = {
        dict(labels)["connection"]: value for (name, labels), value in samples.items() if name == "leadloop_connection_paused"
    }
    assert shown == {"hubspot": 1, "google": 0}


@pytest.mark.parametrize(("opened", "status"), [({}, 401), ({"metrics_open": True}, 200)])
async def test_metrics_need_a_key_unless_they_are_open(tmp_path: Path, opened: dict[str, bool], status: int) -> None:
    """Names of accounts and how they run are nobody else's business."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        rig.services.settings = rig.services.settings.model_copy(update=opened)

        answer = await rig.client.get("/metrics", headers={"Authorization": ""})
        with_key = await rig.client.get("/metrics")

    assert (answer.status_code, with_key.status_code) == (status, 200)
