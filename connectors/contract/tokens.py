"""OAuth tokens and where they are kept: saved and committed before they are used."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint gave. `version` counts up with every save; 0 was never saved.

    `endpoint` is the base URL of the API, where the token endpoint names it (Salesforce's `instance_url`).
    """

    access_token: str = field(repr=False)
    expires_at: datetime
    refresh_token: str | None = field(default=None, repr=False)
    version: int = 0
    endpoint: str | None = None


class TokenStore(Protocol):
    """Keeps the tokens of one connection, sealed."""

    async def load(self) -> Tokens | None:
        """The newest tokens, None where none were saved yet."""
        ...

    async def save(self, expected_version: int, tokens: Tokens) -> Tokens | None:
        """Commit; None where another process saved first (load again then)."""
        ...
