import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
