"""One serving process on a SQLite file: a lock beside it, let go by the operating system when the process ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url


class AlreadyServed(Exception):
    """Another process serves this SQLite file."""


@contextmanager
def sqlite_lock(url: str) -> Iterator[None]:
    """Hold the file's lock; AlreadyServed where another process has it. PostgreSQL needs none."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        yield
        return
    path = Path(f"{parsed.database}.serve.lock")
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyServed(
                f"another `leadloop serve` has {parsed.database} open; stop it, or use PostgreSQL for several replicas"
            ) from error
        yield
