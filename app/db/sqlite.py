"""SQLite connections with cheap statements: execute, fetch and close in one trip to the connection's thread, or in none.

A trip costs more than most statements. Statements that are short by design run in the event loop itself; what may wait (the
write lock, the fsync of a commit) and what may be long (a report) goes to a thread.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import aiosqlite

WRITE_LOCK = "BEGIN IMMEDIATE"


class OneTripCursor:
    """A cursor of the shape that SQLAlchemy drives; the rows are there once `execute` returns, `close` costs nothing."""

    arraysize = 1

    def __init__(self, connection: "OneTripConnection") -> None:
        self._connection = connection
        self._rows: Sequence[Any] = ()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        """Nothing to open: the thread makes its own cursor with the statement."""
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Self:
        """Run one statement and fetch what it returns."""
        return await self._run(sqlite3.Cursor.execute, sql, parameters)

    async def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> Self:
        """Run one statement for many rows."""
        return await self._run(sqlite3.Cursor.executemany, sql, parameters)

    async def fetchall(self) -> Sequence[Any]:
        """The rows of the statement."""
        return self._rows

    async def close(self) -> None:
        """Closed already."""

    async def _run(self, act: Any, sql: str, parameters: Any) -> Self:
        def work() -> None:
            cursor = self._connection.raw.cursor()
            try:
                act(cursor, sql, parameters)
                self.description = cursor.description
                self._rows = cursor.fetchall() if cursor.description is not None else ()
                self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
            finally:
                cursor.close()

        if self._connection.runs_in_loop and sql != WRITE_LOCK:
            work()
        else:
            await self._connection.in_thread(work)
        return self


class OneTripConnection(aiosqlite.Connection):
    """An aiosqlite connection with cheaper cursors; streaming cursors are not offered."""

    runs_in_loop = False
    is_writer = False

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection itself, for use in its own thread."""
        return self._conn

    async def in_thread(self, work: Any) -> None:
        """Run `work` in the connection's thread."""
        await self._execute(work)  # type: ignore[no-untyped-call]  # aiosqlite leaves it untyped

    async def truncate_log(self, waits_ms: int, usual_ms: int) -> bool:
        """Copy the write-ahead log into the file and cut it to nothing; False where a reader still needs it after the wait."""
        found: list[bool] = []

        def work() -> None:
            self._conn.execute(f"PRAGMA busy_timeout = {waits_ms}")
            try:
                found.append(self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
            finally:
                self._conn.execute(f"PRAGMA busy_timeout = {usual_ms}")

        await self.in_thread(work)
        return found[0]

    async def commit(self) -> None:
        """Commit; a writer waits for the disk in the thread."""
        if self.runs_in_loop and not self.is_writer:
            self._conn.commit()
        else:
            await super().commit()

    async def rollback(self) -> None:
        """Roll back, where there is anything; the pool asks for it after every commit as well."""
        if self._conn.in_transaction:
            await super().rollback()

    def cursor(self) -> OneTripCursor:  # type: ignore[override]  # SQLAlchemy awaits the cursor's methods, not this
        """A cursor, at no cost."""
        return OneTripCursor(self)


def connect(path: str | Path, **options: Any) -> OneTripConnection:
    """For SQLAlchemy's `async_creator_fn`: short statements, in the loop."""
    connection = connect_for_long(path, **options)
    connection.runs_in_loop = True
    return connection


def connect_writer(path: str | Path, **options: Any) -> OneTripConnection:
    """As `connect`, for the one writer."""
    connection = connect(path, **options)
    connection.is_writer = True
    return connection


def connect_for_long(path: str | Path, **options: Any) -> OneTripConnection:
    """For statements that may be long; the thread never keeps the process alive."""
    connection = OneTripConnection(lambda: sqlite3.connect(path, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # noqa: SLF001 as SQLAlchemy does with the connections that it makes itself
    return connection
