"""A real `leadloop serve` on one SQLite file: webhooks are heard at once, and the command line works beside it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from app.demo.stage import Stage
from connectors.simulators.google import create_google
from connectors.simulators.hubspot import create_hubspot
from connectors.simulators.hubspot.webhooks import signed_request
from tests.api.rig import KEY, SECRET
from tests.stages import stage_of

ROOT = Path(__file__).resolve().parents[2]
LEADLOOP = (sys.executable, "-c", "from app.cli import main; main()")
# Starting Python takes longer than all commands together: one process runs them one after another.
COMMANDS = """
import contextlib, io, json, sys
from app.cli import main
told = []
for words in json.loads(sys.argv[1]):
    sys.argv, code, out, err = ["leadloop", *words], 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    told.append([code, " ".join(f"{out.getvalue()} {err.getvalue()}".split())])
print(json.dumps(told))
"""


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def _on_loopback(app: ASGIApp) -> Iterator[str]:
    """A simulator on a port of this machine, in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=_free_port(), log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.config.port}"
    server.should_exit = True
    thread.join()


@dataclass(slots=True)
class Slow:
    """A platform that answers so many seconds after it has done what it was asked, and tells when it was asked."""

    app: ASGIApp
    seconds: float = 0
    was_asked: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.was_asked.set()
            await asyncio.sleep(self.seconds)
        await self.app(scope, receive, send)


@dataclass(slots=True)
class World:
    """The simulators, and how Leadloop is run against them."""

    stage: Stage
    environ: dict[str, str]
    url: str
    logs: Path
    google: Slow
    serving: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *commands: str) -> list[tuple[int, str]]:
        """Commands beside the server, one after another: the exit code of each and what it printed."""
        words = json.dumps([command.split() for command in commands])
        told = subprocess.run(
            (sys.executable, "-c", COMMANDS, words), env=self.environ, cwd=ROOT, capture_output=True, text=True, check=True
        )
        return [(code, text) for code, text in json.loads(told.stdout)]

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        port = self.url.rpartition(":")[2]
        command = (*LEADLOOP, "serve", "--port", port)
        with self.logs.open("ab") as logs:
            self.serving.append(subprocess.Popen(command, env=self.environ, cwd=ROOT, stdout=logs, stderr=logs))
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("the server did not become ready")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {KEY}"})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    now = datetime.now(UTC)
    stage = stage_of(days=1, most_deals=0, ends_at=now)
    slow = Slow(create_google(stage.google, lambda: datetime.now(UTC)))
    with (
        _on_loopback(create_hubspot(stage.portal, lambda: datetime.now(UTC))) as hubspot,
        _on_loopback(slow) as google,
    ):
        text = stage.config(("google",), now - timedelta(days=30), webhook=SECRET)
        text = text.replace("http://hubspot.demo", hubspot).replace("http://google.demo", google)
        config = tmp_path / "leadloop.yaml"
        config.write_text(text, encoding="utf-8")
        url = f"http://127.0.0.1:{_free_port()}"
        environ = {
            **os.environ,
            "LEADLOOP_DATABASE_URL": f"sqlite:///{tmp_path / 'one.db'}",
            "LEADLOOP_SECRET_KEY": "a long enough secret text",
            "LEADLOOP_API_KEY": KEY,
            "LEADLOOP_PUBLIC_URL": url,
            "LEADLOOP_CONFIG": str(config),
            "LEADLOOP_ALLOW_CUSTOM_BASE_URLS": "1",
        }
        one = World(stage, environ, url, tmp_path / "serve.log", slow)
        yield one
        for process in one.serving:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


def _person(world: World, email: str) -> str:
    properties = {"email": email, "lifecyclestage": "salesqualifiedlead", "ads_consent": "yes", "country": "US"}
    return world.stage.portal.create("contacts", properties, datetime.now(UTC) - timedelta(minutes=1))


def _milestones(world: World, contact: str) -> list[str]:
    told = world.get(f"/v1/leads/contact:{contact}/trace")
    return [one["milestone"] for one in told.json()["conversions"]] if told.status_code == 200 else []


def _wait_for_milestones(world: World, contact: str) -> float:
    began = time.monotonic()
    while not _milestones(world, contact):
        assert time.monotonic() - began < 20
        time.sleep(0.05)
    return time.monotonic() - began


async def test_a_webhook_is_heard_within_a_second_and_the_command_line_works_beside(world: World) -> None:
    """One file, one server, many hands: hints do not wait for a turn; trace, sync and replay do not disturb, nor double."""
    await asyncio.to_thread(_play, world)


def _play(world: World) -> None:
    first = _person(world, "first@example.com")
    world.start()
    _wait_for_milestones(world, first)
    path = httpx.URL(world.get("/v1/status").json()["sources"][0]["webhook_url"]).path
    contact = _person(world, "second@example.com")
    event: dict[str, object] = {"portalId": world.stage.portal.portal_id, "objectTypeId": "0-1", "objectId": int(contact)}
    request = signed_request(SECRET, f"{world.url}{path}", [event], datetime.now(UTC))

    answer = httpx.post(f"{world.url}{path}", content=request.body, headers=dict(request.headers))
    waited = _wait_for_milestones(world, contact)

    assert answer.status_code == 204
    assert waited < 2.5  # about a second on an idle machine, where a turn comes every ten
    served, synced, again, traced, replayed, mistyped, checked = world.run(
        "serve",
        "sync",
        "sync hubspot",
        f"trace hubspot contact:{contact}",
        "replay --state rejected --dry-run",
        "replay --state rejected --destination gogle",
        "check",
    )
    assert (served[0], "another `leadloop serve`" in served[1]) == (2, True)
    assert (synced[0], again[0]) == (0, 0), synced[1] + again[1]
    assert (traced[0], "qualified_lead" in traced[1]) == (0, True)
    assert (replayed[0], "0 looked at" in replayed[1]) == (0, True)
    assert (mistyped[0], "did you mean 'google'" in mistyped[1]) == (2, True)
    assert f"webhook address: {world.url}{path}" in checked[1]
    assert sorted(_milestones(world, contact)) == ["lead", "qualified_lead"]
    assert len(world.stage.google.received()) == 2  # one upload a person, whoever pulled and sent


async def test_a_server_that_is_stopped_during_an_upload_hears_it_out(world: World) -> None:
    """An upload that is cut off is a try of unknown effect: every deployment would leave some to a person."""
    await asyncio.to_thread(_stop_during_an_upload, world)


def _stop_during_an_upload(world: World) -> None:
    _person(world, "first@example.com")
    world.google.seconds = 2
    world.start()
    assert world.google.was_asked.wait(60)

    (process,) = world.serving
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=60)

    with contextlib.closing(sqlite3.connect(world.environ["LEADLOOP_DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        states = set(database.execute("SELECT state, tries FROM deliveries WHERE tries > 0"))
        held = list(database.execute("SELECT name FROM leases WHERE holder <> ''"))
    logs = world.logs.read_text(encoding="utf-8")
    assert (states, held, code) == ({("accepted", 1)}, [], 0), logs
    assert "Traceback" not in logs, logs
    assert "exception" not in logs, logs
