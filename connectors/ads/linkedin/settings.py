"""The settings of a LinkedIn connection, read from plain text values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.ads.linkedin.versions import API_VERSION
from connectors.upload.text_settings import TextSettings

BASE_URL = "https://api.linkedin.com"
TOKEN_HOST = "https://www.linkedin.com"  # noqa: S105 an address
TOKEN_PATH = "/oauth/v2/accessToken"  # noqa: S105 an address

OAUTH = frozenset({"client_id", "client_secret", "refresh_token"})
KNOWN_SETTINGS = (
    "account_id",
    "access_token",
    "client_id",
    "client_secret",
    "refresh_token",
    "api_version",
    "base_url",
    "token_url",
)

_ACCOUNT_ID = re.compile(r"(urn:li:sponsoredAccount:)?[0-9]{3,20}")
_API_VERSION = re.compile(r"20[0-9]{2}(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class LinkedInSettings:
    """`account_id`: the ad account that owns the conversion rules.

    `access_token`: made in Campaign Manager, does not run out; or an app's `client_id`, `client_secret`, `refresh_token`.
    """

    account_id: str
    access_token: str | None = field(default=None, repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    api_version: str = API_VERSION
    base_url: str = BASE_URL
    token_url: str = TOKEN_HOST + TOKEN_PATH

    @property
    def account_urn(self) -> str:
        """The account as the API names it."""
        return f"urn:li:sponsoredAccount:{self.account_id}"

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "LinkedInSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        texts = TextSettings("LinkedIn", values, KNOWN_SETTINGS)
        texts.needed("account_id")
        account = texts.matching("account_id", "", _ACCOUNT_ID, "an ad account's number")
        texts.one_kind([frozenset({"access_token"}), OAUTH])
        base_url = texts.url("base_url", BASE_URL)
        host = TOKEN_HOST if base_url == BASE_URL else base_url
        return cls(
            account_id=account.rpartition(":")[2],
            access_token=texts.text("access_token") or None,
            client_id=texts.text("client_id"),
            client_secret=texts.text("client_secret"),
            refresh_token=texts.text("refresh_token"),
            api_version=texts.matching("api_version", API_VERSION, _API_VERSION, f"a month such as {API_VERSION}"),
            base_url=base_url,
            token_url=texts.url("token_url", host + TOKEN_PATH),
        )
