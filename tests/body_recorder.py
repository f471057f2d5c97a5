"""Writes down what connectors send while tests run, so that the vendors' own classes can judge it in environments of their own.

`LEADLOOP_BODIES=<folder>` switches it on. Each line is `{"vendor", "path", "now", "body"}`; a body that was seen is not
written again by the same process. Only uploads and corrections are recorded, by whatever test, not what tests send themselves.
"""

import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = "LEADLOOP_BODIES"
_NOW: ContextVar[datetime | None] = ContextVar("now", default=None)


def install() -> None:
    """Record from now on, where the environment asks for it."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    from connectors import registry  # noqa: PLC0415 environments of referees lack what it needs
    from connectors.http.client import HttpClient  # noqa: PLC0415 as above

    Path(folder).mkdir(parents=True, exist_ok=True)
    for connector in registry.DESTINATIONS.values():
        for name in ("upload", "adjust"):
            if hasattr(connector, name):
                setattr(connector, name, _dated(getattr(connector, name)))
    HttpClient.send = _recorded(HttpClient.send, Path(folder).resolve())  # type: ignore[method-assign, assignment]


def _dated(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The connector's own method, which leaves word of the instant that it was given."""

    async def upload(self: Any, rows: Any, now: datetime) -> Any:
        token = _NOW.set(now)
        try:
            return await method(self, rows, now)
        finally:
            _NOW.reset(token)

    return upload


def _recorded(send: Callable[..., Awaitable[Any]], folder: Path) -> Callable[..., Awaitable[Any]]:
    seen: set[bytes] = set()

    async def sent(self: Any, method: str, path: str, **given: Any) -> Any:
        now, body = _NOW.get(), given.get("json")
        if now is not None and body is not None:
            _write(folder, seen, {"vendor": self._vendor, "path": path, "now": now.timestamp(), "body": body})
        return await send(self, method, path, **given)

    return sent


def _write(folder: Path, seen: set[bytes], line: dict[str, Any]) -> None:
    text = json.dumps(line, separators=(",", ":"))
    digest = hashlib.sha256(json.dumps([line["path"], line["body"]]).encode()).digest()
    if digest in seen:
        return
    seen.add(digest)
    # Workers of tests are forked and killed: each process has a file of its own, and each line is written whole.
    with (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
        file.write(text + "\n")
