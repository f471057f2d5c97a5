"""The settings of a Microsoft Advertising connection, read from plain text values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connectors.contract.conversions import Identifier
from connectors.upload.text_settings import TextSettings

API = "Microsoft Advertising API"
API_VERSION = "v13"
CAMPAIGN_HOST = "https://campaign.api.bingads.microsoft.com"
CUSTOMER_HOST = "https://clientcenter.api.bingads.microsoft.com"
REPORTING_HOST = "https://reporting.api.bingads.microsoft.com"
TOKEN_HOST = "https://login.microsoftonline.com"  # noqa: S105 an address
TOKEN_PATH = "/common/oauth2/v2.0/token"  # noqa: S105 an address

OAUTH = frozenset({"client_id", "client_secret", "refresh_token"})
KNOWN_SETTINGS = (
    "account_id",
    "customer_id",
    "developer_token",
    "access_token",
    "client_id",
    "client_secret",
    "refresh_token",
    "email_mode",
    "base_url",
    "token_url",
)

_NUMBER = re.compile(r"[0-9]{3,20}")


class EmailMode(StrEnum):
    """How an e-mail is normalised before its hash.

    STRIP_ALL: dots and what follows a plus go from every local part, as the UET Conversions API wants it. LOWERCASE_ONLY: they
    stay. Which of them the offline conversions take is not documented.
    """

    STRIP_ALL = "strip_all"
    LOWERCASE_ONLY = "lowercase_only"


@dataclass(frozen=True, slots=True)
class MicrosoftSettings:
    """`account_id` and `customer_id` are the numbers of the ad account and of its customer (manager).

    A person's grant: `client_id`, `refresh_token`, and `client_secret` where the app is a web app; or, for tests, `access_token`.
    """

    account_id: str
    customer_id: str
    developer_token: str = field(repr=False)
    access_token: str | None = field(default=None, repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    email_mode: EmailMode = EmailMode.STRIP_ALL
    base_url: str | None = None
    token_url: str = TOKEN_HOST + TOKEN_PATH

    @property
    def email(self) -> Identifier:
        """Which hash of an e-mail is sent."""
        is_stripped = self.email_mode is EmailMode.STRIP_ALL
        return Identifier.EMAIL_MICROSOFT_SHA256 if is_stripped else Identifier.EMAIL_SHA256

    def host(self, usual: str) -> str:
        """One base URL stands for all of Microsoft's hosts; their paths differ."""
        return self.base_url or usual

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "MicrosoftSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        texts = TextSettings("Microsoft", values, KNOWN_SETTINGS)
        for name in ("account_id", "customer_id", "developer_token"):
            texts.needed(name)
        texts.one_kind([frozenset({"access_token"}), OAUTH], optional=["client_secret"])
        base_url = texts.url("base_url", TOKEN_HOST) if "base_url" in texts else None
        return cls(
            account_id=texts.matching("account_id", "", _NUMBER, "the ad account's number (aid in its address)"),
            customer_id=texts.matching("customer_id", "", _NUMBER, "the customer's number (cid in its address)"),
            developer_token=texts.needed("developer_token"),
            access_token=texts.text("access_token") or None,
            client_id=texts.text("client_id"),
            client_secret=texts.text("client_secret"),
            refresh_token=texts.text("refresh_token"),
            email_mode=texts.choice("email_mode", EmailMode.STRIP_ALL),
            base_url=base_url,
            token_url=texts.url("token_url", (base_url or TOKEN_HOST) + TOKEN_PATH),
        )
