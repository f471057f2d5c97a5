"""The simulated vendors of the kill test, served over a real socket: a clock shared by all processes, faults, control doors.

Requests move the clock a little, so that the company goes on while it is being read.
"""

import json
import mmap
import random
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.simulators.faults import Fault, FaultPlan, FaultyApp
from connectors.simulators.google import Account, Click, ConversionAction, GooglePlatform, Person, RefreshGrant, create_google
from connectors.simulators.google.faults import google_faults
from connectors.simulators.hubspot import Portal, create_hubspot
from connectors.simulators.hubspot.faults import hubspot_faults
from connectors.simulators.meta import Dataset, MetaPlatform, Token, create_meta
from connectors.simulators.meta.faults import meta_faults
from tests.e2e.kill_world import ACTIONS, BEGINS_AT, PORTAL, Act, Company, acts_of

CRM_TOKEN = "pat-na1-5f2f0d8f-0000-4000-8000-0123456789ab"
ACCOUNT = "4812093377"
DATASET = "1016482915093427"
META_TOKEN = "EAAGm0PX4ZCpsBAKillTest"
GRANT = RefreshGrant("1//0kill-refresh", "kill.apps.example.com", "kill-secret", frozenset({ACCOUNT}))
A_REQUEST_TAKES = timedelta(milliseconds=40)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SharedClock:
    """Milliseconds in memory that forked processes share; only the stage's process moves it."""

    def __init__(self, at: datetime) -> None:
        self._memory = mmap.mmap(-1, 8)
        self.set(at)

    def __call__(self) -> datetime:
        """The instant it shows."""
        return _EPOCH + timedelta(milliseconds=struct.unpack_from("q", self._memory)[0])

    def set(self, at: datetime) -> None:
        """Show another instant."""
        struct.pack_into("q", self._memory, 0, (at - _EPOCH) // timedelta(milliseconds=1))


@dataclass
class Stage:
    """The vendors, with the company's acts yet to come."""

    company: Company
    clock: SharedClock
    seed: int
    fault_rate: float
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.portal = Portal(portal_id=PORTAL, tokens=(CRM_TOKEN,), has_limits=False)
        self.portal.define_property("contacts", "ads_consent")
        self.portal.index_lag = self._lag
        self.google = _google(self.company, self.seed)
        self.meta = MetaPlatform((Dataset(DATASET, is_consolidated_container=True),), seed=self.seed)
        self.meta.add_token(Token(META_TOKEN, frozenset({DATASET})))
        self._waiting = list(reversed(acts_of(self.company)))
        self.plans: list[FaultPlan] = []

    def app(self) -> ASGIApp:
        """All vendors and the control doors behind one server, told apart by the first part of the path."""
        vendors: dict[str, ASGIApp] = {
            "hubspot": self._faulty(create_hubspot(self.portal, self.clock), 1, hubspot_faults()),
            "google": self._faulty(create_google(self.google, self.clock), 2, google_faults()),
            "meta": self._faulty(create_meta(self.meta, self.clock), 3, meta_faults()),
        }
        control = Starlette(
            routes=[
                Route("/advance", self._advance, methods=["POST"]),
                Route("/calm", self._calm, methods=["POST"]),
                Route("/result", self._result),
            ]
        )
        return Street({**vendors, "control": control}, self._take_time)

    def pass_time(self, until: datetime) -> None:
        """Let everything happen up to an instant, and show it."""
        while self._waiting and self._waiting[-1].at <= until:
            self._do(self._waiting.pop())
        self.clock.set(max(until, self.clock()))

    def _take_time(self, vendor: str) -> None:
        if vendor != "control":
            self.pass_time(self.clock() + A_REQUEST_TAKES)

    def _do(self, act: Act) -> None:
        match act.what:
            case "create":
                self.ids[act.key] = self.portal.create(act.kind, dict(act.properties), act.at)
            case "update":
                self.portal.update(act.kind, self.ids[act.key], dict(act.properties), act.at)
            case _:
                for other in act.others:
                    self.portal.associate(self.ids[act.key], self.ids[other], at=act.at)

    def _lag(self, kind: str, record_id: str, at: datetime) -> timedelta:
        """Search shows most changes at once, some minutes late and a few a day late."""
        draw = random.Random(f"{self.seed} {kind} {record_id} {at.isoformat()}").randrange(100)
        return timedelta(hours=30) if draw < 2 else timedelta(minutes=20) if draw < 8 else timedelta(seconds=draw % 7)

    def _faulty(self, app: ASGIApp, number: int, faults: Mapping[str, Fault]) -> ASGIApp:
        plan = FaultPlan.mixed(self.seed * 10 + number, self.fault_rate, faults.values())
        self.plans.append(plan)
        return FaultyApp(app, plan, hold=5)

    async def _advance(self, request: Request) -> Response:
        self.pass_time(self.clock() + timedelta(seconds=float(request.query_params["seconds"])))
        return JSONResponse({"now": self.clock().isoformat()})

    async def _calm(self, _: Request) -> Response:
        for plan in self.plans:
            plan.clear()
        return JSONResponse({"faults": sum(len(plan.met) for plan in self.plans)})

    async def _result(self, _: Request) -> Response:
        return JSONResponse(self.result())

    def result(self) -> dict[str, Any]:
        """What the platforms count, and the CRM's ids by the company's keys."""
        google = [
            {
                "action": key.action,
                "uid": key.transaction_id,
                "times": entry.times_counted,
                "value": entry.value,
                "receptions": [reception.outcome for reception in entry.history],
            }
            for key, entry in self.google.ledger.entries.items()
        ]
        meta = [
            {"event": key.event_name, "uid": key.event_id, "times": entry.times_counted, "receptions": len(entry.history)}
            for key, entry in self.meta.ledger.entries.items()
        ]
        return {"ids": self.ids, "google": google, "meta": meta, "left": len(self._waiting)}


class Street:
    """Sends a request to the app that its path's first part names."""

    def __init__(self, apps: Mapping[str, ASGIApp], on_request: Callable[[str], None]) -> None:
        self._apps = apps
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, without that first part."""
        _, name, rest = scope["path"].split("/", 2)
        self._on_request(name)
        inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}
        await self._apps[name](inner, receive, send)


def serve(stage: Stage, listening: socket.socket) -> None:
    """Serve until the process is ended."""
    config = uvicorn.Config(stage.app(), log_level="critical", lifespan="off", access_log=False, date_header=False)
    uvicorn.Server(config).run(sockets=[listening])


def _google(company: Company, seed: int) -> GooglePlatform:
    long_ago = BEGINS_AT - timedelta(days=30)
    platform = GooglePlatform(
        (Account(ACCOUNT, {action: ConversionAction(action, long_ago) for action in ACTIONS.values()}),), seed=seed
    )
    platform.add_grant(GRANT)
    for one in company.people.values():
        clicked_at = one.created_at - timedelta(days=1)
        if one.gclid:
            platform.add_clicks(Click(one.gclid, ACCOUNT, clicked_at))
        elif one.is_known:
            platform.add_people(Person(frozenset({_digest(one.email)}), ACCOUNT, clicked_at))
    return platform


def _digest(email: str) -> str:
    import hashlib  # noqa: PLC0415 one line

    return hashlib.sha256(email.encode()).hexdigest()


def dumped(text: bytes) -> dict[str, object]:
    """A control door's answer."""
    found: dict[str, object] = json.loads(text)
    return found
