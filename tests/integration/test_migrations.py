"""Migrations: both ways on both databases, and never behind the tables."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from app.db.migrate import downgrade, upgrade
from app.db.session import Database
from app.db.tables import metadata


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def _tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def test_migrated_schema_equals_the_tables_page(database: Database) -> None:
    """The code reads tables.py; a column that no migration makes would fail only in production."""
    async with database.read() as connection:
        differences = await connection.run_sync(_differences)

    assert differences == []


async def test_migrations_run_both_ways(database: Database, database_url: str) -> None:
    """An operator who steps back must be able to step forward again."""
    await downgrade(database_url, "base")
    async with database.read() as connection:
        assert await connection.run_sync(_tables) == {"alembic_version"}

    await upgrade(database_url)
    async with database.read() as connection:
        assert set(metadata.tables) <= await connection.run_sync(_tables)
