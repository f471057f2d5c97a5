"""The simulated Data Manager API is at least as strict as Google's own protobuf classes and discovery document."""

import copy
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.simulators.google import Account, ConversionAction, GooglePlatform, create_google
from connectors.simulators.google.schema import _ENUMS, _MESSAGES

Body = dict[str, Any]
NOW = datetime(2026, 11, 21, tzinfo=UTC)
DIGEST = "fb98d44ad7501a959f3f4f4a3f004fe2d9e581ea6207e218c4b02c08a4d75adf"
DRIVER = """
import contextlib, io, json, runpy, sys
codes, bodies = [], json.load(sys.stdin)
sys.argv = [sys.argv[1], "-"]
for body in bodies:
    sys.stdin = io.StringIO(body)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        codes.append(end.code)
print(json.dumps(codes))
"""


def put(path: str, value: Any) -> Callable[[Body], None]:
    """A mutation that sets the value at a dotted path."""

    def mutate(body: Body) -> None:
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        inner: Any = body
        for step in way:
            inner = inner[step]
        inner[last] = value

    return mutate


def drop(path: str) -> Callable[[Body], None]:
    """A mutation that removes what is at a dotted path."""

    def mutate(body: Body) -> None:
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        inner: Any = body
        for step in way:
            inner = inner[step]
        del inner[last]

    return mutate


ADDRESS = {"givenName": DIGEST, "familyName": DIGEST, "regionCode": "DE", "postalCode": "10115"}
IDENTIFIER = "events.0.userData.userIdentifiers.0"
ACCOUNT = "destinations.0.operatingAccount"
MUTATIONS: dict[str, Callable[[Body], None]] = {
    "as it is": put("validateOnly", False),
    "unknown field at the top": put("partialFailure", True),
    "unknown field of a destination": put("destinations.0.name", "x"),
    "unknown field of an event": put("events.0.gclid", "Cj0KCQ"),
    "unknown field of identifiers": put(f"{IDENTIFIER}.hashedEmail", DIGEST),
    "unknown field of consent": put("events.0.consent.adUserDataStatus", "CONSENT_GRANTED"),
    "snake case": put("events.0.event_name", "won"),
    "both spellings": put("events.0.transaction_id", "deal-1"),
    "both members of a oneof": put(f"{IDENTIFIER}.phoneNumber", DIGEST),
    "no destinations": put("destinations", []),
    "no events": put("events", []),
    "events missing": drop("events"),
    "events an object": put("events", {}),
    "an event null": put("events.0", None),
    "no operating account": drop(ACCOUNT),
    "no account id": drop(f"{ACCOUNT}.accountId"),
    "account id a number": put(f"{ACCOUNT}.accountId", 1234567890),
    "no account type": drop(f"{ACCOUNT}.accountType"),
    "account type unspecified": put(f"{ACCOUNT}.accountType", "ACCOUNT_TYPE_UNSPECIFIED"),
    "account type unknown": put(f"{ACCOUNT}.accountType", "GOOGLE_ADWORDS"),
    "only the deprecated product": put(ACCOUNT, {"accountId": "1234567890", "product": "GOOGLE_ADS"}),
    "action id a number": put("destinations.0.productDestinationId", 987654321),
    "reference of no destination": put("events.0.destinationReferences", ["d2"]),
    "reference a string": put("events.0.destinationReferences", "d1"),
    "references twice": lambda body: body["destinations"].append(copy.deepcopy(body["destinations"][0])),
    "no timestamp": drop("events.0.eventTimestamp"),
    "timestamp without offset": put("events.0.eventTimestamp", "2026-11-20T10:00:00"),
    "timestamp with a space": put("events.0.eventTimestamp", "2026-11-20 10:00:00+01:00"),
    "timestamp of Google Ads API": put("events.0.eventTimestamp", "2026-11-20 10:00:00Z"),
    "timestamp in seconds": put("events.0.eventTimestamp", 1795340400),
    "timestamp of no day": put("events.0.eventTimestamp", "2026-02-30T10:00:00Z"),
    "timestamp empty": put("events.0.eventTimestamp", ""),
    "source unknown": put("events.0.eventSource", "CRM"),
    "source a number": put("events.0.eventSource", 1),
    "value a string": put("events.0.conversionValue", "120.5"),
    "value a bool": put("events.0.conversionValue", True),
    "value null": put("events.0.conversionValue", None),
    "currency a number": put("events.0.currency", 978),
    "transaction id a number": put("events.0.transactionId", 88213),
    "consent of Google Ads API": put("events.0.consent.adUserData", "GRANTED"),
    "consent a bool": put("consent", True),
    "no encoding": drop("encoding"),
    "encoding unspecified": put("encoding", "ENCODING_UNSPECIFIED"),
    "encoding in lower case": put("encoding", "hex"),
    "the other encoding": put("encoding", "BASE64"),
    "e-mail in clear": put(f"{IDENTIFIER}.emailAddress", "jane@example.com"),
    "digest cut": put(f"{IDENTIFIER}.emailAddress", DIGEST[:-2]),
    "digest with a space": put(f"{IDENTIFIER}.emailAddress", DIGEST + " "),
    "digest of MD5": put(f"{IDENTIFIER}.emailAddress", DIGEST[:32]),
    "user data empty": put("events.0.userData", {}),
    "identifiers empty": put("events.0.userData.userIdentifiers", []),
    "address without postal code": put(
        IDENTIFIER, {"address": {key: ADDRESS[key] for key in ("givenName", "familyName", "regionCode")}}
    ),
    "address in clear": put(IDENTIFIER, {"address": {**ADDRESS, "givenName": "jane"}}),
    "country by name": put(IDENTIFIER, {"address": {**ADDRESS, "regionCode": "Germany"}}),
    "country of three letters": put(IDENTIFIER, {"address": {**ADDRESS, "regionCode": "DEU"}}),
    "address whole": put(IDENTIFIER, {"address": ADDRESS}),
    "validateOnly a string": put("validateOnly", "true"),
    "quantity a number": put("events.0.cartData", {"items": [{"quantity": 1}]}),
    "screen as text": put("events.0.eventDeviceInfo", {"screenHeight": "100"}),
    "key info without key": put("encryptionInfo", {"coordinatorKeyInfo": {}}),
    "too many events": lambda body: body.update(
        events=[{**body["events"][0], "transactionId": f"deal-{each}"} for each in range(2001)]
    ),
}
ACCEPTABLE = {"as it is", "address whole"}


def mutated(shared: Path, name: str) -> Body:
    body: Body = json.loads((shared / "referee" / "good_datamanager.json").read_text())
    MUTATIONS[name](body)
    return body


@pytest.fixture(scope="module")
def referee(shared: Path) -> dict[str, bool]:
    """Which mutations the referee accepts; one process judges all."""
    try:
        importlib.metadata.version("google-ads-datamanager")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package google-ads-datamanager is not installed")
    bodies = json.dumps([json.dumps(mutated(shared, name)) for name in MUTATIONS])
    script = str(shared / "referee" / "google_datamanager.py")
    ran = subprocess.run([sys.executable, "-c", DRIVER, script], input=bodies, capture_output=True, text=True, check=True)
    return dict(zip(MUTATIONS, (code == 0 for code in json.loads(ran.stdout)), strict=True))


@pytest.mark.parametrize("name", MUTATIONS)
async def test_what_the_referee_refuses_the_simulator_refuses(shared: Path, referee: dict[str, bool], name: str) -> None:
    """A simulator laxer than Google would let our mistakes through to production."""
    action = ConversionAction("987654321", datetime(2026, 1, 1, tzinfo=UTC))
    platform = GooglePlatform([Account("1234567890", {action.id: action})])
    platform.add_token("good", ["1234567890"], datetime(2027, 1, 1, tzinfo=UTC))
    transport = httpx.ASGITransport(app=create_google(platform, lambda: NOW))

    async with httpx.AsyncClient(transport=transport, base_url="http://google.test") as client:
        answer = await client.post("/v1/events:ingest", json=mutated(shared, name), headers={"authorization": "Bearer good"})

    assert referee[name] == (name in ACCEPTABLE)
    assert answer.status_code == (200 if name in ACCEPTABLE else 400), answer.text


def test_the_table_is_the_discovery_document(shared: Path) -> None:
    """Every message, field, type and enum value as Google publishes them, so nothing is refused or taken by a slip."""
    schemas = json.loads((shared / "specs" / "google" / "datamanager.v1.json").read_text())["schemas"]

    for message, row in _MESSAGES.items():
        ours = {name: kind.rstrip("!") for name, kind in (field.split(":") for field in row.split())}
        theirs = schemas[message]["properties"]
        assert set(ours) == set(theirs), message
        for name, kind in ours.items():
            assert _is_same(kind, theirs[name]), f"{message}.{name}"


def _is_same(kind: str, theirs: Body) -> bool:
    if kind.startswith("["):
        return bool(theirs["type"] == "array") and _is_same(kind.strip("[]"), theirs["items"])
    if kind in _MESSAGES:
        return bool(theirs.get("$ref") == kind)
    if kind in _ENUMS:
        return bool(_ENUMS[kind].split() == theirs["enum"])
    types = {"bool": "boolean", "double": "number", "int32": "integer"}
    formats = {"time": "google-datetime", "int32": "int32", "int64": "int64", "double": "double"}
    return bool(theirs["type"] == types.get(kind, "string") and theirs.get("format") == formats.get(kind))
