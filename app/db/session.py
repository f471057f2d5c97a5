"""Engines and transactions: one writer on SQLite (BEGIN IMMEDIATE), plain READ COMMITTED transactions on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asyncpg import PostgresError
from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app.db.sqlite import WRITE_LOCK, OneTripConnection, connect, connect_for_long, connect_writer

BUSY_TIMEOUT_MS = 10_000
# Writers wait meanwhile: a reader that takes long is waited for at the next occasion.
WIPE_TIMEOUT_MS = 500
# Pages that each SQLite connection keeps, in KiB; the operating system caches the file besides. With all connections they are
# full once the file has some ten megabytes, so that memory does not grow with the CRM.
WRITER_CACHE_KIB = 24 * 1024
READER_CACHE_KIB = 4 * 1024


class Database:
    """A database by its URL (`sqlite:///file.db`, `postgresql://...`): `write()` and `read()` open transactions.

    Its errors hold no value of a statement or row: these are people's, and an error's traceback is logged.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.path = parsed.database if self.is_sqlite else None
        driver = "sqlite+aiosqlite" if self.is_sqlite else "postgresql+asyncpg"
        self.url = parsed.set(drivername=driver)
        self.holds_lock = asyncio.Lock()
        if self.is_sqlite:
            self._writer = _sqlite_engine(self.url, pool_size=1, begin=WRITE_LOCK, connect=connect_writer, cache=WRITER_CACHE_KIB)
            self._reader = _sqlite_engine(self.url, pool_size=4, begin="BEGIN", connect=connect)
            self._reporter = _sqlite_engine(
                self.url, pool_size=2, begin="BEGIN", connect=connect_for_long, cache=WRITER_CACHE_KIB
            )
        else:
            self._writer = self._reader = self._reporter = _postgresql_engine(self.url)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A writing transaction: committed at the end of the block, rolled back by an exception."""
        if not self.is_sqlite:
            async with self._writer.begin() as connection:
                yield connection
            return
        async with self.holds_lock, self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def rehearse(self) -> AsyncIterator[AsyncConnection]:
        """As `write`, but nothing of it stays: rolled back at the end of the block."""
        async with self.write() as connection:
            yield connection
            await connection.rollback()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A reading transaction: a consistent snapshot that never waits for the writer on SQLite."""
        async with self._reader.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read_long(self) -> AsyncIterator[AsyncConnection]:
        """As `read`, for statements that may take long: on SQLite they leave the event loop alone."""
        async with self._reporter.begin() as connection:
            yield connection

    async def clock_ms(self) -> int | None:
        """The database server's clock in epoch milliseconds, None on SQLite (it is this machine's own)."""
        if self.is_sqlite:
            return None
        async with self.read() as connection:
            value = await connection.scalar(text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"))
            return int(value or 0)

    async def wipe(self) -> bool:
        """Take what was deleted out of SQLite's log; False where a reader keeps it for now. PostgreSQL does so by VACUUM."""
        if not self.is_sqlite:
            return True
        async with self.holds_lock, self._writer.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert isinstance(raw, OneTripConnection)  # noqa: S101 the engines above make no other
            return await raw.truncate_log(WIPE_TIMEOUT_MS, BUSY_TIMEOUT_MS)

    async def close(self) -> None:
        """Give back every connection."""
        await self._writer.dispose()
        await self._reader.dispose()
        await self._reporter.dispose()


def _postgresql_engine(url: Any) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=10, max_overflow=10, pool_pre_ping=True, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "handle_error")
    def _without_values(context: ExceptionContext) -> None:
        """PostgreSQL's detail quotes the row that failed."""
        error: BaseException | None = context.original_exception
        while error is not None:
            if isinstance(error, PostgresError):
                error.detail = None
            error = error.__cause__

    return engine


def _sqlite_engine(
    url: Any, *, pool_size: int, begin: str, connect: Callable[..., OneTripConnection], cache: int = READER_CACHE_KIB
) -> AsyncEngine:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "async_creator_fn": connect},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "secure_delete = ON",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            f"cache_size = -{cache}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
