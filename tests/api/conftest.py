import io
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from app.telemetry.logs import configure_logs
from tests.api.rig import Rig, rig_on


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """An open house on a fresh database of each kind."""
    async with rig_on(tmp_path, database_url) as one:
        yield one


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Rig]:
    """An open house on SQLite, for what the database has no part in."""
    path = tmp_path / "house.db"
    async with rig_on(tmp_path, f"sqlite:///{path}") as one:
        yield one


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """What is logged while the test runs, as JSON lines."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs(as_json=True, level="debug", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
