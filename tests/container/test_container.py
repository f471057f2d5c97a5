"""The container, built from the Dockerfile and run for real: `make container-test`."""

import json
import os
import uuid
from collections.abc import Iterator

import pytest

from tests.container.container_rig import House, Shop, missing_tools

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("LEADLOOP_CONTAINER_TEST") != "1",
        reason="builds an image for minutes, as root: `make container-test` sets LEADLOOP_CONTAINER_TEST=1",
    ),
    pytest.mark.timeout(1_800),
]

KEY = "the admin key of a test"
ENVIRONMENT = {"LEADLOOP_SECRET_KEY": "a long random text for a test", "LEADLOOP_API_KEY": f" {KEY} "}
CONFIG = """
destinations:
  google: {kind: google, mode: paused, account_id: "4812093377", access_token: a-token-that-nobody-takes}
"""
READY_SECONDS = 60
STOP_SECONDS = 10


@pytest.fixture(scope="module")
def shop() -> Shop:
    """A storage with the image in it."""
    assert not missing_tools(), f"not installed: {missing_tools()}; `make container-test` installs them"
    shop = Shop.open()
    shop.make_base()
    shop.build()
    return shop


@pytest.fixture
def house(shop: Shop) -> Iterator[House]:
    """A container to be started, with an empty volume."""
    house = House(shop, f"leadloop-{uuid.uuid4().hex[:8]}")
    yield house
    house.remove()


def test_the_image_holds_what_it_needs_and_runs_as_nobody_special(house: House) -> None:
    """A tag proves nothing: the interpreter, the user, and no build tool's leftovers."""
    told = house.run({}, "python", "-c", "import os, sys; print(sys.version_info[:2], os.getuid(), os.getcwd())").stdout

    assert told.strip() == "(3, 13) 10001 /data"
    assert "Usage: leadloop" in house.run({}, "leadloop", "--help").stdout
    config = house.shop.image()["Config"]
    assert config["User"] == "leadloop"
    assert not any("SECRET" in one or "KEY" in one for one in config["Env"])


def test_the_schema_is_in_the_image(house: House) -> None:
    """An image without its migrations starts on a developer's database only."""
    for _ in range(2):
        house.run(ENVIRONMENT, "leadloop", "db", "upgrade")

    code = "import sqlite3; print(len(sqlite3.connect('/data/leadloop.db').execute('SELECT * FROM alembic_version').fetchall()))"
    assert house.run({}, "python", "-c", code).stdout.strip() == "1"


def test_without_a_secret_key_it_refuses_with_one_message(house: House) -> None:
    """Nothing personal may ever be stored unsealed; an orchestrator must see the exit code, a person the reason."""
    done = house.run({}, "leadloop", "serve", is_checked=False)

    assert done.returncode == 2
    assert "LEADLOOP_SECRET_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_serves_locked_down_and_keeps_its_data_over_a_restart(house: House) -> None:
    """What an operator relies on at an update: no write outside the volume, a quick clean stop, everything there again."""
    house.start(ENVIRONMENT)
    house.wait_until_ready(READY_SECONDS)

    assert house.ask("/healthz")[0] == 200
    assert house.ask("/v1/status")[0] == 401
    status = house.tell("cat", "/proc/1/status").stdout.split("\n")
    assert {"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"} <= set(status)
    assert house.tell("touch", "/opt/leadloop/x", is_checked=False).returncode != 0
    how, *healthcheck = house.shop.image()["Healthcheck"]["Test"]
    assert how == "CMD"
    house.tell(*healthcheck)
    house.tell("sh", "-c", "cat > /data/leadloop.yaml && leadloop apply --yes /data/leadloop.yaml", text=CONFIG)

    took, code = house.stop(STOP_SECONDS)
    assert code == 0, house.logs()
    assert took < STOP_SECONDS

    house.shop.podman("start", house.name)
    house.wait_until_ready(READY_SECONDS)
    told, body = house.ask("/v1/status", KEY)
    assert told == 200
    assert [one["name"] for one in json.loads(body)["destinations"]] == ["google"]
    assert house.stop(STOP_SECONDS)[1] == 0
