"""A token store of one process for tests: versioned like the stored ones, with the lock that goes with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from connectors.contract.tokens import Tokens


@dataclass
class MemoryTokens:
    """A TokenStore that behaves: it refuses a save over a version that is not the newest. `on_save` may fail as a kill would."""

    tokens: Tokens | None = None
    saves: int = 0
    on_save: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._one = asyncio.Lock()

    async def load(self) -> Tokens | None:
        await asyncio.sleep(0)
        return self.tokens

    async def save(self, expected_version: int, tokens: Tokens) -> Tokens | None:
        await asyncio.sleep(0)
        if expected_version != (self.tokens.version if self.tokens else 0):
            return None
        self.saves += 1
        self.tokens = replace(tokens, version=expected_version + 1)
        self.on_save()
        return self.tokens

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        async with self._one:
            yield
