"""Transactions: what their errors tell."""

import traceback
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.session import Database
from app.db.tables import tokens

SECRET = "jane@example.com"


async def test_a_failing_statement_tells_no_parameter(database: Database) -> None:
    """A traceback is logged as it is; a person's e-mail must not stand in it, whoever wrote the statement."""
    broken = {"connection": SECRET, "version": None, "sealed": SECRET.encode(), "expires_at": 1}
    select = text("SELECT nothing FROM tokens WHERE connection = :name")

    told = [
        await _failure(database, lambda connection: insert_rows(connection, tokens, [broken])),
        await _failure(database, lambda connection: connection.execute(insert(tokens), [broken])),
        await _failure(database, lambda connection: connection.execute(select, {"name": SECRET})),
    ]

    assert not any(SECRET in one for one in told), told


async def _failure(database: Database, statement: Callable[[AsyncConnection], Awaitable[object]]) -> str:
    """The traceback of a statement that fails, with everything that caused it."""
    try:
        async with database.write() as connection:
            await statement(connection)
    except DBAPIError:
        return traceback.format_exc()
    pytest.fail("the statement did not fail")
