"""Statements that are sent to a database while a test looks."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from app.db.session import Database

Asked = list[tuple[str, object]]


@contextmanager
def asked(database: Database, *, writes: bool = False) -> Iterator[Asked]:
    """Each statement with its values, of readers and (`writes`) of the writer; the locks around them left out."""
    found: Asked = []
    engines = {database._reader.sync_engine, *([database._writer.sync_engine] if writes else [])}

    def note(_connection: object, _cursor: object, statement: str, given: object, *_rest: object) -> None:
        if not statement.startswith("BEGIN"):
            found.append((statement, given))

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
