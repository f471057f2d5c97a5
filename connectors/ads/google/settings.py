"""The settings of a Google connection, read from plain text values."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connectors.ads.google.versions import ADS_VERSION, DATA_MANAGER_VERSION
from connectors.upload.text_settings import TextSettings

BASE_URL = "https://datamanager.googleapis.com"
ADS_BASE_URL = "https://googleads.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 an address
API_VERSION = DATA_MANAGER_VERSION

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
    "ads_api_version",
    "retractions",
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


class Retractions(StrEnum):
    """AUTO: by the Google Ads API where the grant reaches it. OFF: none."""

    AUTO = "auto"
    OFF = "off"


class IndexBase(StrEnum):
    """The first index in a status reply."""

    ZERO = "0"
    ONE = "1"


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
    ads_base_url: str = ADS_BASE_URL
    ads_api_version: str = ADS_VERSION
    retracts: bool = True

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "GoogleSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        texts = TextSettings("Google", values, KNOWN_SETTINGS)
        account_id = _account_id(texts, "account_id")
        if account_id is None:
            raise ValueError("Google needs the setting `account_id`")
        base_url = texts.url("base_url", BASE_URL)
        return cls(
            account_id=account_id,
            credentials=_credentials(texts.given),
            login_account_id=_account_id(texts, "login_account_id"),
            base_url=base_url,
            ads_base_url=ADS_BASE_URL if base_url == BASE_URL else base_url,
            token_url=texts.url("token_url", TOKEN_URL),
            api_version=texts.matching("api_version", API_VERSION, _API_VERSION, f"a version such as {API_VERSION}"),
            ads_api_version=texts.matching("ads_api_version", ADS_VERSION, _API_VERSION, f"a version such as {ADS_VERSION}"),
            event_source=texts.choice("event_source", EventSource.WEB),
            encoding=texts.choice("encoding", Encoding.HEX),
            record_indices_base=int(texts.choice("record_indices_base", IndexBase.ZERO)),
            retracts=texts.choice("retractions", Retractions.AUTO) is Retractions.AUTO,
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


def _account_id(texts: TextSettings, name: str) -> str | None:
    """Google's screens write 123-456-7890, its API takes the digits."""
    if name not in texts:
        return None
    digits = texts.text(name).replace("-", "").replace(" ", "")
    if not _ACCOUNT_ID.fullmatch(digits):
        raise texts.wrong(name, "a customer id such as 123-456-7890")
    return digits
