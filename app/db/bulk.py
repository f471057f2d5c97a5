"""Statements over many rows in one round trip: unnest on PostgreSQL, executemany and json_each on SQLite."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Column, ColumnElement, Integer, LargeBinary, Table, Text, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Mapping[str, object]

_ARRAY_TYPES: Mapping[type, str] = {
    BigInteger: "bigint[]",
    Integer: "integer[]",
    Text: "text[]",
    Boolean: "boolean[]",
    LargeBinary: "bytea[]",
}


def is_sqlite(connection: AsyncConnection) -> bool:
    """Which of the two dialects this connection speaks."""
    return connection.dialect.name == "sqlite"


async def insert_rows(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Row],
    *,
    conflict: Sequence[str] | None = None,
    update: Sequence[str] = (),
    where: str = "",
) -> int:
    """Insert many rows in one statement; every row has the same keys.

    `conflict` names the unique columns: rows that are there stay as they are, or get `update` columns where `where` holds
    (SQL over `excluded` and the table's name). Returns how many rows were written.
    """
    if not rows:
        return 0
    names = tuple(rows[0])
    tail = _on_conflict(conflict, update, where)
    return await _execute(connection, _insert(table, names, tail, for_sqlite=is_sqlite(connection)), rows, names)


async def update_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[Row], *, key: Sequence[str], where: str = ""
) -> int:
    """Set the other columns of many rows by their key columns; `where` adds a condition (e.g. `t.upload_id = x.fence`).

    In `where` the table is `t` and the row given is `x`; keys starting with `_` are only for `where` and are not set.
    Returns how many rows were changed.
    """
    if not rows:
        return 0
    names = tuple(rows[0])
    return await _execute(connection, _update(table, names, tuple(key), where, for_sqlite=is_sqlite(connection)), rows, names)


async def delete_rows(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> int:
    """Delete the rows that equal the given ones in all the columns given; how many there were."""
    if not rows:
        return 0
    names = tuple(rows[0])
    return await _execute(connection, _delete(table, names, for_sqlite=is_sqlite(connection)), rows, names)


async def _execute(connection: AsyncConnection, statement: TextClause, rows: Sequence[Row], names: Sequence[str]) -> int:
    """Rows as they are on SQLite (executemany), as one array a column on PostgreSQL."""
    given: Any = [dict(row) for row in rows] if is_sqlite(connection) else _columns(rows, names)
    result = await connection.execute(statement, given)
    return result.rowcount


# The statements are the same every time, so each is built once.
@lru_cache(maxsize=200)
def _insert(table: Table, names: tuple[str, ...], tail: str, *, for_sqlite: bool) -> TextClause:
    quoted = ", ".join(f'"{name}"' for name in names)
    if for_sqlite:
        values = ", ".join(f":{name}" for name in names)
        return text(f"INSERT INTO {table.name} ({quoted}) VALUES ({values}){tail}")  # noqa: S608 names are the schema's own
    arrays = ", ".join(f"CAST(:{name} AS {_array_type(table.c[name])})" for name in names)
    sql = f"INSERT INTO {table.name} ({quoted}) SELECT * FROM unnest({arrays}){tail}"  # noqa: S608 names are the schema's own
    return _typed(sql, table, names)


@lru_cache(maxsize=200)
def _update(table: Table, names: tuple[str, ...], key: tuple[str, ...], where: str, *, for_sqlite: bool) -> TextClause:
    assigned = [name for name in names if name not in key and not name.startswith("_")]
    condition = " AND ".join([f't."{name}" = x."{name}"' for name in key] + ([f"({where})"] if where else []))
    sets = ", ".join(f'"{name}" = x."{name}"' for name in assigned)
    if for_sqlite:
        given = ", ".join(f':{name} AS "{name}"' for name in names)
        return text(f"UPDATE {table.name} AS t SET {sets} FROM (SELECT {given}) AS x WHERE {condition}")  # noqa: S608 names are the schema's own
    arrays = ", ".join(f"CAST(:{name} AS {_array_type(_column(table, name))})" for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    sql = f"UPDATE {table.name} AS t SET {sets} FROM unnest({arrays}) AS x({columns}) WHERE {condition}"  # noqa: S608 names are the schema's own
    return _typed(sql, table, names)


@lru_cache(maxsize=20)
def _delete(table: Table, names: tuple[str, ...], *, for_sqlite: bool) -> TextClause:
    if for_sqlite:
        equal = " AND ".join(f'"{name}" = :{name}' for name in names)
        return text(f"DELETE FROM {table.name} WHERE {equal}")  # noqa: S608 names are the schema's own
    arrays = ", ".join(f"CAST(:{name} AS {_array_type(table.c[name])})" for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    equal = " AND ".join(f't."{name}" = x."{name}"' for name in names)
    sql = f"DELETE FROM {table.name} AS t USING unnest({arrays}) AS x({columns}) WHERE {equal}"  # noqa: S608 names are the schema's own
    return _typed(sql, table, names)


def among(connection: AsyncConnection, column: ColumnElement[Any], values: Sequence[object]) -> ColumnElement[bool]:
    """`column` is one of many values, as one bound parameter (bytes on SQLite: at most 30,000)."""
    for_sqlite = is_sqlite(connection)
    is_text = for_sqlite and not isinstance(column.type, LargeBinary)
    given = orjson.dumps(list(values)).decode() if is_text else list(values)
    return _one_of(column, {"key": "among", "value": given, "unique": True}, for_sqlite=for_sqlite)


def listed(column: ColumnElement[Any], name: str, *, for_sqlite: bool) -> ColumnElement[bool]:
    """As `among`, for statements that are built once: the values are bound as `name`, made by `lists` (bytes as a plain list)."""
    return _one_of(column, {"key": name}, for_sqlite=for_sqlite)


def _one_of(column: ColumnElement[Any], bound: dict[str, Any], *, for_sqlite: bool) -> ColumnElement[bool]:
    if not for_sqlite:
        return column == bindparam(**bound, type_=ARRAY(column.type)).any_()
    if isinstance(column.type, LargeBinary):
        return column.in_(bindparam(**bound, expanding=True))
    return column.in_(_each(bound["key"]).bindparams(bindparam(**bound)))


@lru_cache(maxsize=20)
def _each(name: str) -> TextClause:
    return text(f"SELECT value FROM json_each(:{name})")  # noqa: S608 a name of ours


def lists(connection: AsyncConnection, **values: Sequence[object]) -> dict[str, object]:
    """The parameters of a statement with `listed` conditions: one array each, as JSON text on SQLite."""
    if is_sqlite(connection):
        return {name: orjson.dumps(list(each)).decode() for name, each in values.items()}
    return {name: list(each) for name, each in values.items()}


def _column(table: Table, name: str) -> Column[Any]:
    return table.c[name.lstrip("_")]


def _array_type(column: Column[Any]) -> str:
    return _ARRAY_TYPES[type(column.type)]


def _typed(sql: str, table: Table, names: Sequence[str]) -> TextClause:
    return text(sql).bindparams(*(bindparam(name, type_=ARRAY(_column(table, name).type)) for name in names))


def _columns(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[object]]:
    return {name: [row[name] for row in rows] for name in names}


def _on_conflict(conflict: Sequence[str] | None, update: Sequence[str], where: str) -> str:
    if conflict is None:
        return ""
    target = ", ".join(f'"{name}"' for name in conflict)
    if not update:
        return f" ON CONFLICT ({target}) DO NOTHING"
    sets = ", ".join(f'"{name}" = excluded."{name}"' for name in update)
    return f" ON CONFLICT ({target}) DO UPDATE SET {sets}" + (f" WHERE {where}" if where else "")
