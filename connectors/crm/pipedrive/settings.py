"""The settings of a Pipedrive connection, read from plain text values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

API_HOST = "https://api.pipedrive.com"
OAUTH_HOST = "https://oauth.pipedrive.com"
DAILY_SHARE_PERCENT = 25
# The smallest plan's requests in two seconds: by token, by OAuth app.
TOKEN_REQUESTS = 20
OAUTH_REQUESTS = 80
MOST_REQUESTS = 480
MOST_TOKENS = 1_000_000_000

_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OAUTH = ("client_id", "client_secret", "refresh_token")


class HistoryMode(StrEnum):
    """How histories are read: EXACT by the changelog of whatever changed, CHEAP by what the record itself tells.

    AUTO: by the changelog of what is seen to have moved, as far as the budget goes.
    """

    EXACT = "exact"
    CHEAP = "cheap"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class PipedriveSettings:
    """`api_token`, or an OAuth app's `client_id`, `client_secret` and `refresh_token`.

    `base_url` replaces every host, the token endpoint's too. `webhook_secrets`: pairs `user:password` of which any may knock;
    the first is given to Pipedrive when subscribing. `daily_share` is the part (0 to 1) of the company's day that we may spend.
    """

    api_token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    company_domain: str | None = None
    base_url: str | None = None
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    daily_tokens: int | None = None
    daily_share: float = DAILY_SHARE_PERCENT / 100
    history: HistoryMode = HistoryMode.AUTO
    requests_per_2_seconds: int = TOKEN_REQUESTS

    @property
    def host(self) -> str:
        """Where the API is, unless an OAuth token names another host of Pipedrive."""
        if self.base_url:
            return self.base_url
        return f"https://{self.company_domain}.pipedrive.com" if self.company_domain else API_HOST

    @property
    def token_url(self) -> str:
        """Where OAuth tokens are renewed."""
        return f"{self.base_url or OAUTH_HOST}/oauth/token"

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "PipedriveSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        known = [one.name for one in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"Pipedrive has no setting `{unknown[0]}`; there are {', '.join(known)}")
        given = {name: value.strip() for name, value in values.items() if value.strip()}
        _check_credentials(given)
        usual = TOKEN_REQUESTS if "api_token" in given else OAUTH_REQUESTS
        return cls(
            api_token=given.get("api_token"),
            client_id=given.get("client_id"),
            client_secret=given.get("client_secret"),
            refresh_token=given.get("refresh_token"),
            company_domain=_domain(given.get("company_domain")),
            base_url=given.get("base_url", "").rstrip("/") or None,
            webhook_secrets=_secrets(given.get("webhook_secrets", "")),
            daily_tokens=_number(given, "daily_tokens", None, MOST_TOKENS),
            daily_share=(_number(given, "daily_share", DAILY_SHARE_PERCENT, 100) or DAILY_SHARE_PERCENT) / 100,
            history=_history(given.get("history", HistoryMode.AUTO)),
            requests_per_2_seconds=_number(given, "requests_per_2_seconds", usual, MOST_REQUESTS, least=2) or usual,
        )


def _check_credentials(given: Mapping[str, str]) -> None:
    oauth = [name for name in _OAUTH if name in given]
    if "api_token" in given:
        if oauth:
            raise ValueError(f"Pipedrive takes `api_token` or an OAuth app, not both: take out `{oauth[0]}`")
    elif not oauth:
        raise ValueError("Pipedrive needs the setting `api_token`, or `client_id`, `client_secret` and `refresh_token`")
    elif len(oauth) < len(_OAUTH):
        missing = next(name for name in _OAUTH if name not in given)
        raise ValueError(f"Pipedrive's OAuth needs the setting `{missing}`")


def _domain(given: str | None) -> str | None:
    """The company's own word in its address; the whole address is taken too."""
    if given is None:
        return None
    found = given.lower().removeprefix("https://").rstrip("/").removesuffix(".pipedrive.com")
    if not _DOMAIN.fullmatch(found):
        raise ValueError(
            "Pipedrive's setting `company_domain` is the first word of the company's address (acme of acme.pipedrive.com)"
        )
    return found


def _secrets(given: str) -> tuple[str, ...]:
    pairs = tuple(given.replace(",", " ").split())
    if any(not user or not password for user, _, password in (pair.partition(":") for pair in pairs)):
        raise ValueError("Pipedrive's setting `webhook_secrets` holds pairs `user:password`, separated by commas or blanks")
    return pairs


def _history(given: str) -> HistoryMode:
    try:
        return HistoryMode(given.lower())
    except ValueError:
        raise ValueError(f"Pipedrive's setting `history` is one of {', '.join(HistoryMode)}") from None


def _number(given: Mapping[str, str], name: str, default: int | None, most: int, least: int = 1) -> int | None:
    text = given.get(name, "").removesuffix("%").strip().replace("_", "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))) or not least <= int(text) <= most:
        raise ValueError(f"Pipedrive's setting `{name}` is a whole number from {least} to {most}")
    return int(text)
