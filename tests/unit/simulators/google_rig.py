"""A simulated Google Ads with one account, its manager, two actions and a few clicks, for the simulator's own tests."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.simulators.google import Account, Behaviour, Click, ConversionAction, GooglePlatform, Person, create_google

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADS, MANAGER, OTHER = "4812093377", "7701128856", "5550001111"
SQL, WON = "7302219941", "7302219958"
EMAIL = "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69"
EMAIL_BASE64 = "1hFzBkhe0OUK+rOshx6Y+BaZFR8wKBUn1j/18jNlbGk="
PHONE = "c5383c2eeada28210d27f011bc127d4f9562cf38ff0c9bba33dd45ae79b9fe7c"
STRANGER = "7c7ee1acd69362a6d98922802a2cceaac9fdf463135c5240fc8794dcc276b3e1"
Body = dict[str, Any]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def new_platform() -> GooglePlatform:
    old = NOW - timedelta(days=300)
    actions = {each: ConversionAction(each, old) for each in (SQL, WON)}
    account = Account(ADS, actions, frozenset({MANAGER}), currency="EUR")
    quick = Behaviour(shortest_delay=timedelta(hours=1), longest_delay=timedelta(hours=1))
    platform = GooglePlatform([account, Account(OTHER)], behaviour=quick)
    platform.add_token("good", [MANAGER], NOW + timedelta(days=999))
    platform.add_clicks(
        Click("Cj0KCQ_fresh", ADS, NOW - timedelta(days=5)), Click("Cj0KCQ_foreign", OTHER, NOW - timedelta(days=5))
    )
    platform.add_people(Person(frozenset({EMAIL, PHONE}), ADS, NOW - timedelta(days=5)))
    return platform


def new_client(platform: GooglePlatform, clock: Clock) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=create_google(platform, clock))
    return httpx.AsyncClient(transport=transport, base_url="http://google.test", headers={"authorization": "Bearer good"})


def event(name: str = "deal-1:won", **changes: Any) -> Body:
    made: Body = {
        "destinationReferences": ["won"],
        "transactionId": name,
        "eventTimestamp": "2026-11-20T14:03:11Z",
        "eventSource": "WEB",
        "adIdentifiers": {"gclid": "Cj0KCQ_fresh"},
        "conversionValue": 150.0,
        "currency": "EUR",
        "userData": {"userIdentifiers": [{"emailAddress": EMAIL}]},
        **changes,
    }
    return {key: value for key, value in made.items() if value is not None}


def destination(reference: str, action: str) -> Body:
    accounts = {
        name: {"accountType": "GOOGLE_ADS", "accountId": of}
        for name, of in (("operatingAccount", ADS), ("loginAccount", MANAGER))
    }
    return {"reference": reference, **accounts, "productDestinationId": action}


def body(*events: Body, **changes: Any) -> Body:
    made: Body = {
        "destinations": [destination("sql", SQL), destination("won", WON)],
        "encoding": "HEX",
        "consent": {"adUserData": "CONSENT_GRANTED"},
        "events": list(events) or [event()],
    }
    return copy.deepcopy({**made, **changes})


async def send(google: httpx.AsyncClient, sent: Body) -> httpx.Response:
    return await google.post("/v1/events:ingest", json=sent)


async def accept(google: httpx.AsyncClient, *events: Body, **changes: Any) -> str:
    answer = await send(google, body(*events, **changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["requestId"])


async def verdict(google: httpx.AsyncClient, request_id: str) -> list[Body]:
    answer = await google.get("/v1/requestStatus:retrieve", params={"requestId": request_id})
    assert answer.status_code == 200, answer.text
    told: list[Body] = answer.json()["requestStatusPerDestination"]
    return told


async def late_reason(google: httpx.AsyncClient, clock: Clock, sent: Body, **changes: Any) -> str | None:
    """The processing error of one event for the destination `won`, without its prefix."""
    request_id = await accept(google, sent, **changes)
    clock.now += timedelta(hours=1)
    (told,) = [each for each in await verdict(google, request_id) if each["destination"]["reference"] == "won"]
    counts = told.get("errorInfo", {}).get("errorCounts", [])
    return str(counts[0]["reason"]).removeprefix("PROCESSING_ERROR_REASON_") if counts else None


def violations(answer: httpx.Response) -> set[tuple[str, str]]:
    details = answer.json()["error"]["details"]
    bad = [each for each in details if each["@type"] == "type.googleapis.com/google.rpc.BadRequest"]
    return {(each["field"], each["reason"]) for found in bad for each in found["fieldViolations"]}


def reason(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["details"][0]["reason"])
