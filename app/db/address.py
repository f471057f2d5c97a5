"""Where the database is: its URL judged before anything is opened, and its refusal told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from alembic.util import CommandError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

KINDS = ("sqlite", "postgresql")


class DatabaseUnusable(Exception):
    """The database cannot be opened or brought to its schema; the message says why and what to do, without a password."""


def usable_url(text: str) -> str:
    """The URL as it is; ValueError where no database of ours can be meant."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() not in KINDS:
        raise ValueError("must be like sqlite:///leadloop.db or postgresql://user:password@host/name")
    return text


@contextmanager
def telling(text: str) -> Iterator[None]:
    """DatabaseUnusable instead of whatever a driver, the network, the file system or a migration says inside."""
    url = make_url(text)
    if url.get_backend_name() == "sqlite" and url.database and not _folder(url).is_dir():
        raise DatabaseUnusable(_in_one_line(url, "its directory is not there"))  # before a driver's thread is started
    try:
        yield
    except CommandError as error:
        raise DatabaseUnusable(f"{error}; `leadloop db upgrade` without a revision brings the schema up to date") from error
    except (SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        raise DatabaseUnusable(_in_one_line(url, said or type(error).__name__)) from error


def _in_one_line(url: URL, said: str) -> str:
    return f"the database {url.render_as_string(hide_password=True)} cannot be used: {said}; {_mend(url)}"


def _mend(url: URL) -> str:
    if url.get_backend_name() != "sqlite":
        return "is the server up, and are host, port, name, user and password in LEADLOOP_DATABASE_URL right?"
    if not _folder(url).is_dir():
        return f"make {_folder(url)}, or set LEADLOOP_DATABASE_URL to a file elsewhere (four slashes for a whole path)"
    return "is it a file of Leadloop's that this user may read and write?"


def _folder(url: URL) -> Path:
    return Path(url.database or "").absolute().parent
