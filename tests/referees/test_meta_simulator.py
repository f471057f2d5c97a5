"""The simulated Conversions API agrees with Meta's own classes, where Meta's pages do not say otherwise."""

import copy
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.simulators.meta import Dataset, MetaPlatform, Token, create_meta

Body = dict[str, Any]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
DAY = int(timedelta(days=1).total_seconds())
DIGEST = "fb98d44ad7501a959f3f4f4a3f004fe2d9e581ea6207e218c4b02c08a4d75adf"
DRIVER = """
import contextlib, io, json, runpy, sys
codes, bodies = [], json.load(sys.stdin)
sys.argv = [sys.argv[1], "-", sys.argv[2]]
for body in bodies:
    sys.stdin = io.StringIO(body)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        codes.append(end.code)
print(json.dumps(codes))
"""
Mutation = Callable[[Body], None]


def put(path: str, value: Any) -> Mutation:
    """A mutation that sets the value at a dotted path."""

    def mutate(body: Body) -> None:
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        inner: Any = body
        for step in way:
            inner = inner[step]
        inner[last] = value

    return mutate


def drop(path: str) -> Mutation:
    """A mutation that removes what is at a dotted path."""

    def mutate(body: Body) -> None:
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        inner: Any = body
        for step in way:
            inner = inner[step]
        del inner[last]

    return mutate


def without_money(body: Body) -> None:
    """A mutation: neither value nor currency."""
    for key in ("value", "currency"):
        del body["data"][0]["custom_data"][key]


EVENT = "data.0"
USER = f"{EVENT}.user_data"
CUSTOM = f"{EVENT}.custom_data"
ACCEPTABLE: dict[str, Mutation] = {
    "as it is": put("partner_agent", "leadloop"),
    "test event": put("test_event_code", "TEST12345"),
    "token and proof in the body": lambda body: body.update(access_token="good", appsecret_proof="00"),
    "seven days old": put(f"{EVENT}.event_time", SECONDS - 7 * DAY),
    "a minute ahead": put(f"{EVENT}.event_time", SECONDS + 60),
    "store event of 62 days": lambda body: body["data"][0].update(action_source="physical_store", event_time=SECONDS - 62 * DAY),
    "lead id as text": put(f"{USER}.lead_id", "1234567890123456"),
    "lead id alone": put(USER, {"lead_id": 1234567890123456}),
    "e-mail alone, no list": put(USER, {"em": DIGEST}),
    "names alone": put(USER, {"fn": DIGEST, "ln": DIGEST}),
    "external id in clear": put(USER, {"external_id": "HS-000123"}),
    "click id with a fifth part": put(f"{USER}.fbc", "fb.1.1795345820402.IwAR2F4abc.AQICAQMC"),
    "every key of the package": lambda body: body["data"][0]["user_data"].update(
        dict.fromkeys(("f5first", "f5last", "fi", "dobd", "dobm", "doby", "db", "ge"), DIGEST),
        anon_id="1",
        ctwa_clid="c",
        page_id="2",
        madid="m",
    ),
    "Purchase with value": put(f"{EVENT}.event_name", "Purchase"),
    "value of zero": put(f"{CUSTOM}.value", 0),
    "currency in lower case": put(f"{CUSTOM}.currency", "eur"),
    "no value": without_money,
    "no custom data": drop(CUSTOM),
    "no event id": drop(f"{EVENT}.event_id"),
    "limited data use": lambda body: body["data"][0].update(
        data_processing_options=["LDU"], data_processing_options_country=1, data_processing_options_state=1000
    ),
    "a thousand events": lambda body: body.update(data=body["data"] * 1000),
}
REFUSED: dict[str, Mutation] = {
    "unknown field at the top": put("validate_only", True),
    "unknown field of an event": put(f"{EVENT}.eventId", "1"),
    "unknown customer key": put(f"{USER}.email", DIGEST),
    "no data": drop("data"),
    "data empty": put("data", []),
    "data an object": put("data", {}),
    "an event null": put(EVENT, None),
    "too many events": lambda body: body.update(data=body["data"] * 1001),
    "no event name": drop(f"{EVENT}.event_name"),
    "event name empty": put(f"{EVENT}.event_name", ""),
    "event name a number": put(f"{EVENT}.event_name", 1),
    "no time": drop(f"{EVENT}.event_time"),
    "time in milliseconds": put(f"{EVENT}.event_time", SECONDS * 1000),
    "time as text": put(f"{EVENT}.event_time", "2026-11-20T10:00:00Z"),
    "time a float": put(f"{EVENT}.event_time", SECONDS - 0.5),
    "time a bool": put(f"{EVENT}.event_time", True),
    "older than seven days": put(f"{EVENT}.event_time", SECONDS - 7 * DAY - 1),
    "store event of more than 62 days": lambda body: body["data"][0].update(
        action_source="physical_store", event_time=SECONDS - 62 * DAY - 1
    ),
    "in the future": put(f"{EVENT}.event_time", SECONDS + 61),
    "no action source": drop(f"{EVENT}.action_source"),
    "action source unknown": put(f"{EVENT}.action_source", "crm"),
    "website without its fields": put(f"{EVENT}.action_source", "website"),
    "no user data": drop(USER),
    "user data empty": put(USER, {}),
    "user data a list": put(USER, []),
    "only places": put(USER, {"ct": [DIGEST], "st": [DIGEST], "zp": [DIGEST], "country": [DIGEST]}),
    "only a birthday": put(USER, {"db": [DIGEST]}),
    "e-mail in clear": put(f"{USER}.em", ["jane@example.com"]),
    "digest in upper case": put(f"{USER}.em", [DIGEST.upper()]),
    "digest of MD5": put(f"{USER}.em", [DIGEST[:32]]),
    "phone in clear": put(f"{USER}.ph", "493012345678"),
    "lead id no number": put(f"{USER}.lead_id", "l:1234567890123456"),
    "lead id a float": put(f"{USER}.lead_id", 1234567890123456.5),
    "value as text": put(f"{CUSTOM}.value", "12.50"),
    "value a bool": put(f"{CUSTOM}.value", True),
    "currency by name": put(f"{CUSTOM}.currency", "Euro"),
    "custom data a list": put(CUSTOM, []),
    "Purchase without value": lambda body: body["data"][0].update(event_name="Purchase", custom_data={"currency": "EUR"}),
    "Purchase without currency": lambda body: body["data"][0].update(event_name="Purchase", custom_data={"value": 1}),
    "Purchase without custom data": lambda body: body["data"][0].update(event_name="Purchase", custom_data=None),
}
# Name -> what Meta's pages say, where the package's rules are others: a malformed click id raises an alert and no error, a lead
# id has 15 to 17 digits, and one name alone is too broad.
PAGES_DIFFER: dict[str, tuple[Mutation, bool]] = {
    "bare click id": (put(f"{USER}.fbc", "IwAR2F4abc"), True),
    "lead id too short": (put(f"{USER}.lead_id", 12345), False),
    "first name alone": (put(USER, {"fn": [DIGEST]}), False),
}
MUTATIONS = {**ACCEPTABLE, **REFUSED, **{name: mutation for name, (mutation, _) in PAGES_DIFFER.items()}}


def mutated(shared: Path, name: str) -> Body:
    body: Body = json.loads((shared / "referee" / "good_meta.json").read_text())
    body["data"][0]["event_time"] = SECONDS - DAY
    MUTATIONS[name](body)
    return copy.deepcopy(body)


@pytest.fixture(scope="module")
def referee(shared: Path) -> dict[str, bool]:
    """Which mutations the referee accepts; one process judges all."""
    try:
        importlib.metadata.version("facebook-business")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package facebook-business is not installed")
    bodies = json.dumps([json.dumps(mutated(shared, name)) for name in MUTATIONS])
    command = [sys.executable, "-c", DRIVER, str(shared / "referee" / "meta_capi.py"), f"--now={SECONDS}"]
    ran = subprocess.run(command, input=bodies, capture_output=True, text=True, check=True)
    return dict(zip(MUTATIONS, (code == 0 for code in json.loads(ran.stdout)), strict=True))


@pytest.mark.parametrize("name", MUTATIONS)
async def test_the_simulator_judges_as_the_referee(shared: Path, referee: dict[str, bool], name: str) -> None:
    """A simulator laxer than Meta would let our mistakes through to production, a stricter one would make us drop good rows."""
    platform = MetaPlatform([Dataset("777")])
    platform.add_token(Token("good", frozenset({"777"})))
    transport = httpx.ASGITransport(app=create_meta(platform, lambda: NOW))

    async with httpx.AsyncClient(transport=transport, base_url="http://meta.test") as client:
        answer = await client.post("/v26.0/777/events", json=mutated(shared, name), headers={"authorization": "Bearer good"})

    by_pages = PAGES_DIFFER[name][1] if name in PAGES_DIFFER else name in ACCEPTABLE
    assert referee[name] == (not by_pages if name in PAGES_DIFFER else by_pages)
    assert answer.status_code == (200 if by_pages else 400), answer.text


def test_every_event_field_of_the_package_is_judged(shared: Path, referee: dict[str, bool]) -> None:
    """A field that Meta adds must not be refused by a simulator that never heard of it."""
    from facebook_business.adobjects.serverside.event import Event  # noqa: PLC0415 only in its own environment

    from connectors.simulators.meta.event import _FIELDS  # noqa: PLC0415 as above

    assert set(Event.param_types) <= set(_FIELDS)
