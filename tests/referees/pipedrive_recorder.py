"""A transport that remembers what was asked and answered, and how Pipedrive's OpenAPI judges it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx

JUDGE = Path(__file__).with_name("pipedrive_judge.py")


class Recorder(httpx.AsyncBaseTransport):
    """Passes requests on to `inner` and keeps each with its answer in `exchanges`, as the judge reads them."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.exchanges: list[dict[str, Any]] = []
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        body = await response.aread()
        self.exchanges.append(
            {
                "method": request.method,
                "path": request.url.path,
                "query": request.url.query.decode(),
                "headers": sorted(name.lower() for name in request.headers),
                "sent": _sent(request),
                "status": response.status_code,
                "got": json.loads(body) if "json" in response.headers.get("content-type", "") else None,
            }
        )
        return httpx.Response(response.status_code, headers=response.headers, content=body, request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def judged(shared: Path, exchanges: list[dict[str, Any]]) -> list[list[str]]:
    """The reasons against each exchange, empty where the documents take it; one process judges all."""
    command = [sys.executable, str(JUDGE), str(shared)]
    ran = subprocess.run(command, input=json.dumps(exchanges), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    verdicts: list[list[str]] = json.loads(ran.stdout)
    return verdicts


def _sent(request: httpx.Request) -> Any:
    content = request.content
    if not content:
        return None
    if "json" in request.headers.get("content-type", ""):
        return json.loads(content)
    return dict(parse_qsl(content.decode()))
