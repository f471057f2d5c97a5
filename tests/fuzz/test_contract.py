"""schemathesis on the whole contract, every check on, against the doors on loopback: `make fuzz-api` looks longer."""

import asyncio
import os
import random
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import jsonschema_rs
import pytest
import uvicorn
from starlette.types import ASGIApp

from app.main import create_app
from tests.api.rig import KEY, Rig, rig_on

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
SEED, EXAMPLES = 20_261_127, 10
PHASES = "examples,coverage,fuzzing,stateful"
SLOWEST_SECONDS = 10


@pytest.mark.timeout(7_200)  # as long as `make fuzz-api` is asked to look
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """What a client may send, in every form, and in orders that nobody thought of: each answer is the contract's (must hold)."""
    examples = os.environ.get("LEADLOOP_FUZZ_EXAMPLES", str(EXAMPLES))
    given = os.environ.get("LEADLOOP_FUZZ_SEED", str(SEED))
    seed = str(random.SystemRandom().randrange(2**31)) if given == "random" else given
    async with _lived_in(tmp_path) as (rig, ref), _served(rig.app) as url:
        token = rig.hook_path.rpartition("/")[2]
        command = (
            str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run", f"{url}/openapi.json",
            "--header", f"Authorization: Bearer {KEY}", "--checks", "all", "--phases", PHASES, "--max-examples", examples,
            "--seed", seed, "--continue-on-failure", "--max-response-time", str(SLOWEST_SECONDS), "--no-color",
        )  # fmt: skip
        environ = {**os.environ, "LEADLOOP_FUZZ_REF": ref, "LEADLOOP_FUZZ_TOKEN": token}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        told = (await process.communicate())[0].decode()
    sys.stdout.write(f"\nschemathesis, seed {seed}, {examples} examples an operation\n{told[-2_000:]}")

    assert process.returncode == 0, told[-20_000:]
    operations = sum(len(path) for path in create_app().openapi()["paths"].values())
    assert f"{operations} selected / {operations} total" in told


def test_every_example_of_the_contract_fits_it() -> None:
    """A client is written after the examples; one that does not fit its schema is a trap."""
    contract = create_app().openapi()
    wrong = []
    for path, operations in contract["paths"].items():
        for method, operation in operations.items():
            bodies = [("asked", operation.get("requestBody", {}))]
            bodies += [(status, one) for status, one in operation["responses"].items()]
            for place, body in bodies:
                for kind, told in body.get("content", {}).items():
                    named = {name: one["value"] for name, one in told.get("examples", {}).items()}
                    if "example" in told:
                        named[""] = told["example"]
                    schema = {**told.get("schema", {}), "components": contract["components"]}
                    check = jsonschema_rs.validator_for(schema, validate_formats=True)
                    for name, value in named.items():
                        wrong += [f"{method} {path} {place} {kind} {name}: {one.message}" for one in check.iter_errors(value)]
    assert wrong == []


def test_every_operation_has_an_example_of_what_it_answers() -> None:
    """And of what it is asked, where it takes a body."""
    lacking = []
    for path, operations in create_app().openapi()["paths"].items():
        for method, operation in operations.items():
            bodies = [operation["requestBody"]] if "requestBody" in operation else []
            bodies += [one for status, one in operation["responses"].items() if status.startswith("2") and status != "204"]
            lacking += [
                f"{method} {path}"
                for body in bodies
                for kind, told in body.get("content", {}).items()
                if kind == "application/json" and not told.get("examples") and "example" not in told
            ]
    assert lacking == []


@asynccontextmanager
async def _lived_in(tmp_path: Path) -> AsyncIterator[tuple[Rig, str]]:
    """Doors behind which people, a deal and deliveries stand; the ref of somebody with a story."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}", destinations=("google", "meta")) as rig:
        refs = [rig.person(email=f"p{n}@example.com", lifecyclestage="salesqualifiedlead") for n in range(4)]
        at = rig.stage.clock.now - timedelta(minutes=1)
        deal = rig.stage.portal.create("deals", {"dealname": "A", "pipeline": "default", "dealstage": "closedwon"}, at)
        rig.stage.portal.associate(deal, refs[0])
        await rig.services.sync()
        yield rig, f"contact:{refs[0]}"


@asynccontextmanager
async def _served(app: ASGIApp) -> AsyncIterator[str]:
    """The doors on a port of this machine."""
    # Named as TCP: only then does asyncio send small answers at once.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as one:
        one.bind(("127.0.0.1", 0))
        one.listen(128)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[one]))
        try:
            yield f"http://127.0.0.1:{one.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
