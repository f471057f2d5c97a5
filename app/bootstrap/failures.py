"""What a failure may say to a person: its own words where they are ours, else only its kind and place."""

import traceback
from collections.abc import Iterable

from app.config import ConfigInvalid, nearest
from app.connections.repository import ConnectionRefused
from app.connections.settings import SettingsRefused
from app.ingest.pull_lease import LeaseLost
from app.mapping.mistakes import DocumentInvalid
from app.references import ReferenceUnresolved
from app.reports.status import REAUTH_MEND
from app.secrets import SecretsUnreadable
from connectors.contract.errors import NEEDS_REAUTH, AuthenticationFailed, ConnectorError, RateLimited, Unavailable

# Their messages are written for operators and hold no value of a record. Any other error may quote what it stumbled over.
OPERATOR_ERRORS = (ConfigInvalid, ConnectionRefused, DocumentInvalid, ReferenceUnresolved, SecretsUnreadable, SettingsRefused)
HOUSES = ("app/", "connectors/")


class NameUnknown(Exception):
    """No connection has the name that was asked for; the message has the nearest one, or those that there are."""

    def __init__(self, what: str, name: str, names: Iterable[str]) -> None:
        known = sorted(names)
        meant = nearest(name, known)
        hint = f"did you mean {meant!r}?" if meant else f"there are: {', '.join(known) or 'none'}"
        super().__init__(f"no {what} is named {name!r} ({hint})")


def told(error: Exception) -> str:
    """The failure in one line without personal data."""
    if isinstance(error, ConnectorError):
        return error.message
    if isinstance(error, (*OPERATOR_ERRORS, LeaseLost)):
        return str(error) or type(error).__name__
    return f"{type(error).__name__} at {place(error)}: an error of Leadloop's own or of its database, not of this connection"


def place(error: Exception) -> str:
    """Where in our code it happened, as `app/mapping/engine.py:88`."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for house in HOUSES:
            before, found, path = frame.filename.rpartition(f"/{house}")
            if found and "site-packages" not in before:
                return f"{house}{path}:{frame.lineno}"
    return "an unknown place"


def mend_of(error: Exception) -> str:
    """What to do about a connection that could not be checked."""
    match error:
        case AuthenticationFailed(code=code) if code == NEEDS_REAUTH:
            return REAUTH_MEND
        case AuthenticationFailed():
            return "renew the credentials of this connection, or give them the right that is missing, and check again"
        case RateLimited() | Unavailable():
            return "check again in some minutes; where it stays so, look at the vendor's status page and at base_url"
        case ConnectorError():
            return "look at the settings of this connection, and check again"
        case SecretsUnreadable():
            return "give back the secret key that sealed the credentials, or apply the connection's settings again"
        case ReferenceUnresolved() | SettingsRefused():
            return "set what is missing where Leadloop is started, and start it again"
        case _:
            return "look into the log, and report it"
