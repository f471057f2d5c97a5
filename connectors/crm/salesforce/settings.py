"""The settings of a Salesforce connection, read from plain text values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlsplit

SALESFORCE_API_VERSION = "v67.0"
LOGIN = "https://login.salesforce.com"
TEST = "https://test.salesforce.com"
LOOK_BACK_MINUTES = 10
LONGEST_LOOK_BACK_MINUTES = 24 * 60
DAILY_SHARE_PERCENT = 25
WHOLE_PERCENT = 100

# Hosts that a token reply may name as the API's: a token is sent to no other.
_HOSTS = (".salesforce.com", ".force.com", ".cloudforce.com", ".salesforce.mil", ".sfcrmproducts.cn")
_VERSION = re.compile(r"v?([1-9]\d{1,2})(?:\.0)?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_CHOICES = {"login": LOGIN, "test": TEST}


class AuthFlow(StrEnum):
    """How a token is gained."""

    CLIENT_CREDENTIALS = "client_credentials"
    JWT = "jwt"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 the flow's name


_NEEDED: Mapping[AuthFlow, tuple[str, ...]] = {
    AuthFlow.CLIENT_CREDENTIALS: ("client_id", "client_secret"),
    AuthFlow.JWT: ("client_id", "username", "private_key"),
    AuthFlow.REFRESH_TOKEN: ("client_id", "refresh_token"),
}


@dataclass(frozen=True, slots=True)
class SalesforceSettings:
    """`auth` is told by what is set. `instance_url`: the My Domain host, where client credentials are asked for tokens.

    `login_url`: where the other flows ask (`login`, `test` or the My Domain host). `base_url` replaces every host.
    `look_back_minutes`: how long a transaction may take to become visible. `daily_share`: per cent of the org's daily requests
    that Leadloop may use. `currency`: of an org with a single one, where Salesforce does not tell it.
    `webhook_secrets`: of which any may have signed (rotation). `write_back` is read by the service.
    """

    auth: AuthFlow
    client_id: str
    client_secret: str = field(default="", repr=False)
    instance_url: str = ""
    login_url: str = LOGIN
    username: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    base_url: str = ""
    api_version: str = SALESFORCE_API_VERSION
    currency: str = ""
    look_back_minutes: int = LOOK_BACK_MINUTES
    daily_share: int = DAILY_SHARE_PERCENT
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    write_back: str = ""

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "SalesforceSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        known = [one.name for one in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"Salesforce has no setting `{unknown[0]}`; there are {', '.join(known)}")
        given = {name: text for name, value in values.items() if (text := value.strip())}
        flow = _flow(given)
        for name in _NEEDED[flow]:
            if name not in given:
                raise ValueError(f"Salesforce needs the setting `{name}` for `auth: {flow}`")
        base_url = given.get("base_url", "").rstrip("/")
        instance_url = _host(given, "instance_url", "")
        return cls(
            auth=flow,
            client_id=given["client_id"],
            client_secret=given.get("client_secret", ""),
            instance_url=_my_domain(instance_url, base_url) if flow is AuthFlow.CLIENT_CREDENTIALS else instance_url,
            login_url=_host(given, "login_url", instance_url or LOGIN),
            username=given.get("username", ""),
            private_key=given.get("private_key", "").replace("\\n", "\n"),
            refresh_token=given.get("refresh_token", ""),
            base_url=base_url,
            api_version=_version(given.get("api_version", SALESFORCE_API_VERSION)),
            currency=_currency(given.get("currency", "")),
            look_back_minutes=_number(given, "look_back_minutes", LOOK_BACK_MINUTES, LONGEST_LOOK_BACK_MINUTES),
            daily_share=_number(given, "daily_share", DAILY_SHARE_PERCENT, WHOLE_PERCENT),
            webhook_secrets=tuple(given.get("webhook_secrets", "").replace(",", " ").split()),
            write_back=given.get("write_back", ""),
        )

    @property
    def look_back(self) -> timedelta:
        """How far before a window its reading begins, beyond the overlap that every poll has."""
        return timedelta(minutes=max(self.look_back_minutes - LOOK_BACK_MINUTES, 0))

    @property
    def token_host(self) -> str:
        """Where tokens are asked for."""
        return self.base_url or (self.instance_url if self.auth is AuthFlow.CLIENT_CREDENTIALS else self.login_url)

    @property
    def audience(self) -> str:
        """Whom a signed assertion is for: production or the sandboxes, whatever host is asked."""
        return TEST if self.login_url == TEST or ".sandbox." in self.login_url else LOGIN


def is_salesforce_url(url: str) -> bool:
    """True for the https address of a Salesforce host, without port, path or user."""
    try:
        parts = urlsplit(url)
        has_more = bool(parts.port or parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"))
    except ValueError:
        return False
    host = (parts.hostname or "").lower()
    return parts.scheme == "https" and not has_more and host.isascii() and host.endswith(_HOSTS)


def _flow(given: Mapping[str, str]) -> AuthFlow:
    if "auth" in given:
        try:
            return AuthFlow(given["auth"].lower())
        except ValueError:
            raise ValueError(f"Salesforce's setting `auth` is one of {', '.join(AuthFlow)}") from None
    told = [flow for flow, name in ((AuthFlow.JWT, "private_key"), (AuthFlow.REFRESH_TOKEN, "refresh_token")) if name in given]
    if len(told) > 1:
        raise ValueError("Salesforce has both `private_key` and `refresh_token`; say which by the setting `auth`")
    if told:
        return told[0]
    if "client_secret" in given:
        return AuthFlow.CLIENT_CREDENTIALS
    raise ValueError("Salesforce needs the setting `client_secret`, `private_key` or `refresh_token`")


def _host(given: Mapping[str, str], name: str, default: str) -> str:
    text = given.get(name, "").rstrip("/")
    if not text:
        return default
    url = _CHOICES.get(text.lower(), text if "://" in text else f"https://{text}")
    if not is_salesforce_url(url):
        raise ValueError(
            f"Salesforce's setting `{name}` is the https address of a Salesforce host, like https://acme.my.salesforce.com"
        )
    return url.lower()


def _my_domain(instance_url: str, base_url: str) -> str:
    if instance_url in (LOGIN, TEST):
        raise ValueError(
            "Salesforce's setting `instance_url` must be the My Domain host (https://acme.my.salesforce.com): "
            "client credentials are refused on login and test"
        )
    if not instance_url and not base_url:
        raise ValueError("Salesforce needs the setting `instance_url` for `auth: client_credentials` (Setup > My Domain)")
    return instance_url


def _version(text: str) -> str:
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"Salesforce's setting `api_version` reads like {SALESFORCE_API_VERSION}")
    return f"v{found.group(1)}.0"


def _currency(text: str) -> str:
    if text and not _CURRENCY.fullmatch(text.upper()):
        raise ValueError("Salesforce's setting `currency` is an ISO code of three letters, like USD")
    return text.upper()


def _number(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = given.get(name, "").removesuffix("%").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))) or not 1 <= int(text) <= most:
        raise ValueError(f"Salesforce's setting `{name}` is a whole number from 1 to {most}")
    return int(text)
