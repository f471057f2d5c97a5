"""Bring a database to the newest schema with alembic, from code (`leadloop db upgrade`, start, tests)."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from app.db.address import telling
from app.db.session import Database

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
ADVISORY_LOCK = 7_112_026

Action = Callable[[Config], None]


async def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade, DatabaseUnusable where that fails; on PostgreSQL under an advisory lock, so that replicas do it once."""
    await _with_config(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: str, revision: str) -> None:
    """Step back to an older revision (tests run each migration both ways)."""
    await _with_config(url, lambda config: command.downgrade(config, revision))


async def _with_config(url: str, action: Action) -> None:
    database = Database(url)
    try:
        with telling(url):
            async with database.write() as connection:
                if not database.is_sqlite:
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
                await connection.run_sync(_run, action)
    finally:
        await database.close()


def _run(connection: Connection, action: Action) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    action(config)
