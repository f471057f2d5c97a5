import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.simulators.faults import (
    Fault,
    FaultKind,
    FaultPlan,
    FaultyApp,
    FaultyTransport,
    expired_token,
    garbage,
    path_has,
    refused,
    reset,
    server_error,
    timeout,
    too_many_requests,
)
from connectors.simulators.google import GooglePlatform, create_google
from connectors.simulators.google.faults import google_faults
from connectors.simulators.hubspot import Portal, create_hubspot
from connectors.simulators.hubspot.faults import day_is_used_up, hubspot_faults
from connectors.simulators.meta import MetaPlatform, create_meta
from connectors.simulators.meta.faults import meta_faults
from connectors.simulators.salesforce import Org, create_salesforce
from connectors.simulators.salesforce.faults import salesforce_faults

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FAULTS = {
    "hubspot": hubspot_faults(),
    "salesforce": salesforce_faults(),
    "google": google_faults(),
    "meta": meta_faults(),
}
EVERY_FAULT = [(vendor, name) for vendor, faults in FAULTS.items() for name in faults]


@dataclass
class Simulator:
    """A vendor's app, a path of it, and how often it was really called."""

    app: ASGIApp
    path: str
    calls: Counter[str]


def simulator_of(vendor: str) -> Simulator:
    match vendor:
        case "hubspot":
            portal = Portal()
            return Simulator(create_hubspot(portal, lambda: NOW), "/crm/objects/2026-09/deals/search", portal.requests)
        case "salesforce":
            org = Org()
            return Simulator(create_salesforce(org, lambda: NOW), "/services/data/v67.0/composite", org.requests)
        case "google":
            google = GooglePlatform()
            return Simulator(create_google(google, lambda: NOW), "/v1/events:ingest", google.calls)
        case _:
            meta = MetaPlatform()
            return Simulator(create_meta(meta, lambda: NOW), "/v26.0/1/events", meta.calls)


class Vendor:
    """Counts the work that really was done."""

    def __init__(self) -> None:
        self.done = 0
        self.app = Starlette(routes=[Route("/{rest:path}", self.work, methods=["GET", "POST"])])

    async def work(self, _: Request) -> Response:
        self.done += 1
        return JSONResponse({"done": self.done})


def client_of(vendor: Vendor, plan: FaultPlan) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=FaultyTransport(httpx.ASGITransport(vendor.app), plan), base_url="http://vendor")


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        (timeout(), httpx.ReadTimeout, 0),
        (timeout(has_effect=True), httpx.ReadTimeout, 1),
        (reset(), httpx.ReadError, 0),
        (reset(has_effect=True), httpx.ReadError, 1),
        (refused(), httpx.ConnectError, 0),
    ],
)
async def test_a_lost_answer_has_had_its_effect_or_not(fault: Fault, error: type[Exception], done: int) -> None:
    """Whether the work was done is what the sender cannot know, so the simulator must be able to play both."""
    vendor, plan = Vendor(), FaultPlan().script(fault)

    async with client_of(vendor, plan) as client:
        with pytest.raises(error):
            await client.post("/upload")
        after = await client.post("/upload")

    assert after.json() == {"done": done + 1}


async def test_answers_are_replaced_for_the_scripted_calls_only() -> None:
    """A fault on the seventh page must hit that page and no neighbour."""
    vendor = Vendor()
    plan = FaultPlan().script(None, too_many_requests(7), expired_token(), garbage(), when=path_has("/search"))
    plan.script(server_error(502), when=path_has("/token", method="POST"))

    async with client_of(vendor, plan) as client:
        replies = [await client.get("/search") for _ in range(5)]
        replies += [await client.get("/token"), await client.post("/token")]

    assert [one.status_code for one in replies] == [200, 429, 401, 200, 200, 200, 502]
    assert replies[1].headers["retry-after"] == "7"
    with pytest.raises(ValueError, match="Unterminated"):
        replies[3].json()
    assert (vendor.done, [call.number for call, _ in plan.met]) == (4, [2, 3, 4, 7])


async def test_seeded_faults_come_again_in_the_same_places() -> None:
    """A storm that broke something must be replayable."""

    async def met() -> list[int]:
        plan = FaultPlan(seed=11).sometimes([server_error(), timeout()], 0.3)
        return [number for number in range(1, 101) if plan.next("GET", "/")]

    assert await met() == await met()
    assert 15 < len(await met()) < 45


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def test_over_a_real_socket_a_lost_answer_is_a_broken_connection() -> None:
    """Another process meets the same faults, and must see a cut answer where the work was done and not a server's error."""
    vendor = Vendor()

    with served(FaultyApp(vendor.app, FaultPlan().script(reset(has_effect=True), server_error(503)))) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{url}/upload")
        unavailable = httpx.post(f"{url}/upload")
        after = httpx.post(f"{url}/upload")

    assert (unavailable.status_code, after.json()) == (503, {"done": 2})


@pytest.mark.parametrize(("vendor", "name"), EVERY_FAULT)
async def test_every_fault_of_every_vendor_in_process(vendor: str, name: str) -> None:
    """A storm is only as good as its kinds: each must look as it says, and have had its effect where it says so."""
    simulator, fault = simulator_of(vendor), FAULTS[vendor][name]
    lost = {FaultKind.TIMEOUT: httpx.ReadTimeout, FaultKind.RESET: httpx.ReadError, FaultKind.REFUSED: httpx.ConnectError}
    transport = FaultyTransport(httpx.ASGITransport(simulator.app), FaultPlan().script(fault))

    async with httpx.AsyncClient(transport=transport, base_url="http://vendor") as client:
        if fault.kind is FaultKind.ANSWER:
            _is_the_fault(await client.post(simulator.path, json={}), fault)
        else:
            with pytest.raises(lost[fault.kind]):
                await client.post(simulator.path, json={})
        reached = simulator.calls.total()
        after = await client.post(simulator.path, json={})

    assert reached == int(fault.has_effect)
    assert (after.status_code, simulator.calls.total()) != (503, reached), "the next request passes"


@pytest.mark.parametrize("vendor", list(FAULTS))
def test_every_fault_of_every_vendor_over_a_real_socket(vendor: str) -> None:
    """Other processes meet them as real clients do: a held answer runs into the timeout, a reset breaks the connection."""
    simulator, faults = simulator_of(vendor), FAULTS[vendor]
    plan = FaultPlan().script(*faults.values())
    lost = (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError)
    reached: dict[str, int] = {}

    with served(FaultyApp(simulator.app, plan, hold=5)) as url:
        for name, fault in faults.items():
            before = simulator.calls.total()
            if fault.kind is FaultKind.ANSWER:
                _is_the_fault(httpx.post(url + simulator.path, json={}), fault)
            else:
                with pytest.raises(httpx.ReadTimeout if fault.kind is FaultKind.TIMEOUT else lost):
                    httpx.post(url + simulator.path, json={}, timeout=0.3)
            reached[name] = simulator.calls.total() - before

    assert reached == {name: int(fault.has_effect) for name, fault in faults.items()}


def test_a_held_answer_is_cut_where_the_client_waits_longer() -> None:
    """A test must not hang for as long as a patient client would."""
    with (
        served(FaultyApp(Vendor().app, FaultPlan().script(timeout()), hold=0.05)) as url,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.post(f"{url}/upload", timeout=20)


def _is_the_fault(reply: httpx.Response, fault: Fault) -> None:
    assert (reply.status_code, reply.content) == (fault.status, fault.body)
    assert fault.headers.items() <= {name: reply.headers.get(name) for name in fault.headers}.items()


def test_vendors_fail_in_their_own_words() -> None:
    """What is read from a failure (which limit, until when, whose fault) stands in places that differ by vendor."""

    def told(fault: Fault) -> dict[str, Any]:
        return dict(json.loads(fault.body))

    hubspot, google, meta = (FAULTS[name] for name in ("hubspot", "google", "meta"))
    assert (told(hubspot["throttled"])["policyName"], told(day_is_used_up())["policyName"]) == ("TEN_SECONDLY_ROLLING", "DAILY")
    assert told(hubspot["expired_token"])["category"] == "EXPIRED_AUTHENTICATION"
    assert {told(hubspot[name])["correlationId"] for name in ("throttled", "unknown_error")} != {None}
    assert told(google["throttled"])["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert told(google["expired_token"])["error"]["code"] == 401
    assert told(meta["throttled"])["error"]["code"] == 80004
    assert told(meta["expired_token"])["error"]["error_subcode"] == 463
    for faults in (hubspot, google, meta):
        assert "Retry-After" in faults["throttled_retry_after"].headers
        assert "Retry-After" not in faults["throttled"].headers


def test_a_storm_is_replayed_by_its_seed_and_knows_every_kind() -> None:
    """A failing seed must fail again, also where another rule was added; another seed must be another storm."""

    def storm(seed: int, faults: Mapping[str, Fault], *, has_script: bool = False) -> list[tuple[int, Fault]]:
        plan = FaultPlan.mixed(seed, 0.2, faults.values(), when=path_has("/search"))
        if has_script:
            plan.script(server_error(), when=path_has("/never"))
        for number in range(600):
            plan.next("POST", "/search" if number % 2 else "/other")
        return [(call.number, fault) for call, fault in plan.met]

    faults = FAULTS["hubspot"]
    assert storm(4, faults) == storm(4, faults, has_script=True) != storm(5, faults)
    assert {id(fault) for _, fault in storm(4, faults)} == {id(fault) for fault in faults.values()}
    assert 30 < len(storm(4, faults)) < 90
    assert all(number % 2 == 0 for number, _ in storm(4, faults))


def test_a_storm_ends_when_it_is_cleared() -> None:
    """After the faults the truth must come out: nothing may fail any more."""
    plan = FaultPlan.mixed(1, 1.0, [timeout()])
    assert plan.next("GET", "/") is not None
    plan.clear()

    assert plan.next("GET", "/") is None
