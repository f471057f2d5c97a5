"""Faults on the way to a simulated vendor: a plan says which request meets which, a transport or a middleware does it.

`FaultyTransport` wraps a client's transport in process; `FaultyApp` wraps an app that a server serves over a real socket.
The words that each vendor fails with are in its own folder (`hubspot/faults.py` and its like).
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class FaultKind(StrEnum):
    """How a fault looks to the caller."""

    ANSWER = "answer"
    TIMEOUT = "timeout"
    RESET = "reset"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. With `has_effect` the vendor did the work before the answer was lost or replaced."""

    kind: FaultKind
    has_effect: bool = False
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class FaultyCall:
    """What a plan may judge a request by. `number` counts all requests that came by the plan, from 1."""

    number: int
    method: str
    path: str


When = Callable[[FaultyCall], bool]


def any_call(_: FaultyCall) -> bool:
    """Every request."""
    return True


def path_has(*parts: str, method: str | None = None) -> When:
    """Requests whose path has all these parts."""
    return lambda call: all(part in call.path for part in parts) and method in (None, call.method)


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Fault:
    """A refusal in a vendor's own words (JSON) instead of the answer; the work was not done."""
    return _answer(status, body, headers or {})


def too_many_requests(retry_after: int | None = None, body: object = None) -> Fault:
    """429, with or without Retry-After."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return _answer(429, body or {"status": "error", "message": "too many requests"}, headers)


def server_error(status: int = 503, *, has_effect: bool = False) -> Fault:
    """A 5xx with a page of HTML, before the work was done or after."""
    return Fault(
        FaultKind.ANSWER, has_effect, status, {"Content-Type": "text/html"}, b"<html><h1>Service Unavailable</h1></html>"
    )


def timeout(*, has_effect: bool = False) -> Fault:
    """No answer in time; with `has_effect` the work was done."""
    return Fault(FaultKind.TIMEOUT, has_effect)


def reset(*, has_effect: bool = False) -> Fault:
    """The connection breaks after the request was sent."""
    return Fault(FaultKind.RESET, has_effect)


def refused() -> Fault:
    """No connection at all."""
    return Fault(FaultKind.REFUSED)


def garbage(*, has_effect: bool = True) -> Fault:
    """200 with a body that is cut JSON, as of a proxy that gave up halfway."""
    return Fault(FaultKind.ANSWER, has_effect, 200, {"Content-Type": "application/json"}, b'{"results": [{"id": "1", "pro')


def expired_token(body: object = None) -> Fault:
    """401, as for an access token that ran out; `body` in the vendor's own words."""
    return _answer(401, body or {"status": "error", "category": "EXPIRED_AUTHENTICATION", "message": "token expired"}, {})


def unknown_error(status: int = 400, body: object = None) -> Fault:
    """An error with a code that no documentation names."""
    return _answer(status, body or {"status": "error", "category": "FLUX_CAPACITOR", "message": "never seen before"}, {})


@dataclass(slots=True)
class _Rule:
    when: When
    faults: list[Fault | None]
    chance: float = 1.0
    is_endless: bool = False


class FaultPlan:
    """Scripted and seeded faults. The first rule that has something for a request decides; without one it passes.

    Chance depends on the seed and the request's number only, so that the same requests meet the same faults again.
    `met` lists what happened: each call with its fault.
    """

    def __init__(self, seed: int = 0) -> None:
        self.met: list[tuple[FaultyCall, Fault]] = []
        self._rules: list[_Rule] = []
        self._seed = seed
        self._number = 0

    @classmethod
    def mixed(cls, seed: int, rate: float, faults: Iterable[Fault], when: When = any_call) -> "FaultPlan":
        """A storm: this share of the requests meets one of the faults, all kinds equally often, replayed by its seed.

        Give it a vendor's own faults, e.g. `FaultPlan.mixed(7, 0.03, hubspot_faults().values())`; `clear` ends the storm.
        """
        return cls(seed).sometimes(list(faults), rate, when)

    def script(self, *faults: Fault | None, when: When = any_call) -> "FaultPlan":
        """The next requests of this kind meet these faults in turn, None lets one pass; then the rule is used up."""
        self._rules.append(_Rule(when, list(faults)))
        return self

    def always(self, fault: Fault, when: When = any_call) -> "FaultPlan":
        """Every request of this kind meets the fault, until `clear`."""
        return self.sometimes([fault], 1.0, when)

    def sometimes(self, faults: Sequence[Fault], chance: float, when: When = any_call) -> "FaultPlan":
        """A share of the requests of this kind meets one of these faults, fixed by the plan's seed."""
        self._rules.append(_Rule(when, list(faults), chance, is_endless=True))
        return self

    def clear(self) -> None:
        """Let everything pass from now on."""
        self._rules.clear()

    def next(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets."""
        self._number += 1
        call = FaultyCall(self._number, method, path)
        fault = self._decided(call)
        if fault is not None:
            self.met.append((call, fault))
        return fault

    def _decided(self, call: FaultyCall) -> Fault | None:
        luck = random.Random(f"{self._seed}:{call.number}")
        for rule in self._rules:
            if not rule.faults or not rule.when(call):
                continue
            if not rule.is_endless:
                return rule.faults.pop(0)
            if luck.random() < rule.chance:
                return luck.choice(rule.faults)
        return None


class FaultyTransport(httpx.AsyncBaseTransport):
    """A transport that lets requests meet the plan's faults; lost answers are httpx's own exceptions."""

    def __init__(self, inner: httpx.AsyncBaseTransport, plan: FaultPlan) -> None:
        self._inner = inner
        self._plan = plan

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, or let it fail."""
        fault = self._plan.next(request.method, request.url.path)
        if fault is None:
            return await self._inner.handle_async_request(request)
        if fault.has_effect:
            done = await self._inner.handle_async_request(request)
            await done.aread()
            await done.aclose()
        match fault.kind:
            case FaultKind.ANSWER:
                return httpx.Response(fault.status, headers=dict(fault.headers), content=fault.body, request=request)
            case FaultKind.TIMEOUT:
                raise httpx.ReadTimeout("simulated: no answer in time", request=request)
            case FaultKind.RESET:
                raise httpx.ReadError("simulated: connection reset", request=request)
            case FaultKind.REFUSED:
                raise httpx.ConnectError("simulated: connection refused", request=request)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class ConnectionLost(Exception):
    """Tells the server to drop the connection; seen in its log only."""


class FaultyApp:
    """ASGI middleware for a real server. A timeout is an answer that is held until the client gives up (or `hold` is over).

    A reset, and a refusal (which no server can play once it has accepted), is a connection closed in the middle of the answer.
    """

    def __init__(self, app: ASGIApp, plan: FaultPlan, *, hold: float = 100.0) -> None:
        self._app = app
        self._plan = plan
        self._hold = hold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or let it fail."""
        fault = self._plan.next(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if fault is None:
            await self._app(scope, receive, send)
            return
        if fault.has_effect:
            await self._app(scope, receive, _swallow)
        if fault.kind is FaultKind.TIMEOUT and await _gave_up(receive, self._hold):
            return
        is_answered = fault.kind is FaultKind.ANSWER
        length = len(fault.body) if is_answered else 1_000_000
        headers = [*fault.headers.items(), ("Content-Length", str(length))]
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": fault.status if is_answered else 200, "headers": pairs})
        await send({"type": "http.response.body", "body": fault.body, "more_body": not is_answered})
        if not is_answered:
            raise ConnectionLost


async def _gave_up(receive: Receive, hold: float) -> bool:
    """True once the client has hung up, False where it waits longer than that."""
    try:
        async with asyncio.timeout(hold):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


async def _swallow(_: Message) -> None:
    """An answer that nobody gets."""


def lost_answers() -> dict[str, Fault]:
    """The faults that look the same at every vendor, by name: outages, lost and broken answers, before and after the work."""
    return {
        "server_error": server_error(503),
        "server_error_after": server_error(502, has_effect=True),
        "timeout": timeout(),
        "timeout_after": timeout(has_effect=True),
        "reset": reset(),
        "reset_after": reset(has_effect=True),
        "refused": refused(),
        "garbage": garbage(),
    }


def _answer(status: int, body: object, headers: Mapping[str, str]) -> Fault:
    return Fault(FaultKind.ANSWER, False, status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode())
