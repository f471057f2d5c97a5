from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
