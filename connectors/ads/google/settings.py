"""The settings of a Google connection, read from plain text values."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

BASE_URL = "https://datamanager.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 an address
API_VERSION = "v1"

CREDENTIAL_SETTINGS = ("service_account_json", "client_id", "client_secret", "refresh_token", "access_token")
KNOWN_SETTINGS = (
    "account_id",
    "login_account_id",
    *CREDENTIAL_SETTINGS,
    "base_url",
    "token_url",
    "api_version",
    "event_source",
    "encoding",
    "record_indices_base",
)

_ACCOUNT_ID = re.compile(r"[0-9]{3,20}")
_API_VERSION = re.compile(r"v[0-9]+[a-z0-9]*")


class EventSource(StrEnum):
    """Where Google is told that the event happened."""

    WEB = "WEB"
    APP = "APP"
    IN_STORE = "IN_STORE"
    PHONE = "PHONE"
    MESSAGE = "MESSAGE"
    OTHER = "OTHER"


class Encoding(StrEnum):
    """How digests are written."""

    HEX = "HEX"
    BASE64 = "BASE64"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What is needed of a service account's JSON key."""

    email: str
    private_key: str = field(repr=False)
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A user's grant to an OAuth client."""

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that somebody else keeps fresh: for tests and simulators, as Google's own runs out after an hour."""

    token: str = field(repr=False)


Credentials = ServiceAccount | OAuthClient | AccessToken


@dataclass(frozen=True, slots=True)
class GoogleSettings:
    """`account_id` owns the conversion actions; `login_account_id` is the manager through which the credential has access.

    `event_source`, `encoding` and `record_indices_base` (the first index in a status reply) are settings because Google's
    pages leave them open for offline conversions.
    """

    account_id: str
    credentials: Credentials
    login_account_id: str | None = None
    base_url: str = BASE_URL
    token_url: str = TOKEN_URL
    api_version: str = API_VERSION
    event_source: EventSource = EventSource.WEB
    encoding: Encoding = Encoding.HEX
    record_indices_base: int = 0

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "GoogleSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        unknown = sorted(set(values) - set(KNOWN_SETTINGS))
        if unknown:
            raise ValueError(f"Google has no setting `{unknown[0]}`; there are {', '.join(KNOWN_SETTINGS)}")
        given = {name: value.strip() for name, value in values.items() if value.strip()}
        account_id = _account_id(given, "account_id")
        if account_id is None:
            raise ValueError("Google needs the setting `account_id`")
        return cls(
            account_id=account_id,
            credentials=_credentials(given),
            login_account_id=_account_id(given, "login_account_id"),
            base_url=_url(given, "base_url", BASE_URL),
            token_url=_url(given, "token_url", TOKEN_URL),
            api_version=_matching(given, "api_version", API_VERSION, _API_VERSION),
            event_source=EventSource(_choice(given, "event_source", EventSource.WEB, list(EventSource))),
            encoding=Encoding(_choice(given, "encoding", Encoding.HEX, list(Encoding))),
            record_indices_base=int(_choice(given, "record_indices_base", "0", ["0", "1"])),
        )


def _credentials(given: Mapping[str, str]) -> Credentials:
    """Exactly one kind of credential."""
    names = sorted(name for name in CREDENTIAL_SETTINGS if name in given)
    if names == ["service_account_json"]:
        return _service_account(given["service_account_json"])
    if names == ["access_token"]:
        return AccessToken(given["access_token"])
    if names == ["client_id", "client_secret", "refresh_token"]:
        return OAuthClient(given["client_id"], given["client_secret"], given["refresh_token"])
    raise ValueError(
        "Google needs one kind of credential: `service_account_json`, or `client_id` with `client_secret` and `refresh_token`,"
        f" or `access_token`; found {', '.join(f'`{name}`' for name in names) or 'none'}"
    )


def _service_account(text: str) -> ServiceAccount:
    try:
        key = json.loads(text)
    except ValueError:
        raise ValueError("Google's setting `service_account_json` is the JSON text of the key file") from None
    parts = [key.get(name) if isinstance(key, dict) else None for name in ("client_email", "private_key", "private_key_id")]
    email, private_key, key_id = (part if isinstance(part, str) and part else None for part in parts)
    if email is None or private_key is None:
        raise ValueError("Google's setting `service_account_json` holds no `client_email` or no `private_key`")
    return ServiceAccount(email, private_key, key_id)


def _account_id(given: Mapping[str, str], name: str) -> str | None:
    """Google's screens write 123-456-7890, its API takes the digits."""
    if name not in given:
        return None
    digits = given[name].replace("-", "").replace(" ", "")
    if not _ACCOUNT_ID.fullmatch(digits):
        raise ValueError(f"Google's setting `{name}` is a customer id such as 123-456-7890")
    return digits


def _url(given: Mapping[str, str], name: str, default: str) -> str:
    url = given.get(name, default).rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"Google's setting `{name}` is a URL")
    return url


def _matching(given: Mapping[str, str], name: str, default: str, pattern: re.Pattern[str]) -> str:
    text = given.get(name, default)
    if not pattern.fullmatch(text):
        raise ValueError(f"Google's setting `{name}` looks like {default}")
    return text


def _choice(given: Mapping[str, str], name: str, default: str, choices: list[str] | list[EventSource] | list[Encoding]) -> str:
    text = given.get(name, default).upper()
    if text not in choices:
        raise ValueError(f"Google's setting `{name}` is one of {', '.join(choices)}")
    return text
