"""Stored connections become connectors: with the credential that is configured now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import httpx
from pydantic import SecretStr

from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.connections import repository

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
CONFIG = """
destinations:
  google:
    kind: google
    account_id: "4812093377"
    client_id: an-app
    client_secret: its-secret
    refresh_token: ${GOOGLE_REFRESH_TOKEN}
"""


class TokenEndpoint:
    """Takes every refresh token, and remembers which were shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "oauth2.googleapis.com":
            return httpx.Response(200, json={"results": []})
        (token,) = parse_qs(request.content.decode())["refresh_token"]
        self.shown.append(token)
        return httpx.Response(200, json={"access_token": f"access of {token}", "expires_in": 3600})


async def no_pause(seconds: float) -> None:
    """Nothing here waits."""


@asynccontextmanager
async def started(database_url: str, endpoint: TokenEndpoint, refresh_token: str) -> AsyncIterator[Services]:
    settings = Settings(database_url=database_url, secret_key=SecretStr("a secret key for tests"))
    services = await open_services(
        settings,
        clock=lambda: NOW,
        environ={"GOOGLE_REFRESH_TOKEN": refresh_token},
        http=httpx.AsyncClient(transport=httpx.MockTransport(endpoint)),
        sleep=no_pause,
    )
    try:
        yield services
    finally:
        await services.close()


async def check(services: Services) -> None:
    async with services.database.read() as connection:
        row = await repository.destination_by_name(connection, "google")
    assert row is not None
    await services.openers.stored_destination(row).check({})


async def test_a_new_credential_is_used_at_once(database_url: str, tmp_path: Path) -> None:
    """Whoever replaces a secret in the environment wants it used, not the token that the one before had gained."""
    file = tmp_path / "leadloop.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    endpoint = TokenEndpoint()

    for refresh_token in ("old", "old", "new"):
        async with started(database_url, endpoint, refresh_token) as services:
            await services.apply_file(file, actor="test")
            await check(services)

    assert endpoint.shown == ["old", "new"]
