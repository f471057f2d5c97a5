"""The settings of a HubSpot connection, read from plain text values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from connectors.crm.hubspot.search import PAGE_ROWS

HUBSPOT_API_VERSION = "2026-09"
BASE_URL = "https://api.hubapi.com"
GENERAL_PER_SECOND = 9
# HubSpot lets an OAuth app ask 110 times in ten seconds, whatever the account's plan.
OAUTH_PER_SECOND = 10
SEARCHES_PER_SECOND = 4
MOST_PER_SECOND = 100

OAUTH_KEYS = ("client_id", "client_secret", "refresh_token")


@dataclass(frozen=True, slots=True)
class OAuthGrant:
    """An OAuth app that the account's owner consented to, and the refresh token that the consent gave."""

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HubSpotSettings:
    """Either `access_token` (a service key, private app token or static-auth app token) or `oauth`, never both.

    `api_version` pins HubSpot's dated release. `webhook_secrets`: client secrets of which any may have signed (rotation).
    `page_rows`: the most rows that one search asks for. The rates hold for one process; lower them where other apps share
    the account's limits.
    """

    access_token: str | None = field(default=None, repr=False)
    oauth: OAuthGrant | None = None
    base_url: str = BASE_URL
    api_version: str = HUBSPOT_API_VERSION
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    requests_per_second: int = GENERAL_PER_SECOND
    searches_per_second: int = SEARCHES_PER_SECOND
    page_rows: int = PAGE_ROWS

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "HubSpotSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        known = [*(one.name for one in fields(cls) if one.name != "oauth"), *OAUTH_KEYS]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"HubSpot has no setting `{unknown[0]}`; there are {', '.join(known)}")
        token, oauth = _credentials(values)
        fastest = GENERAL_PER_SECOND if oauth is None else OAUTH_PER_SECOND
        return cls(
            access_token=token,
            oauth=oauth,
            base_url=values.get("base_url", "").strip().rstrip("/") or BASE_URL,
            api_version=values.get("api_version", "").strip() or HUBSPOT_API_VERSION,
            webhook_secrets=tuple(values.get("webhook_secrets", "").replace(",", " ").split()),
            requests_per_second=_number(values, "requests_per_second", fastest, MOST_PER_SECOND),
            searches_per_second=_number(values, "searches_per_second", SEARCHES_PER_SECOND, MOST_PER_SECOND),
            page_rows=_number(values, "page_rows", PAGE_ROWS, PAGE_ROWS),
        )


def _credentials(values: Mapping[str, str]) -> tuple[str | None, OAuthGrant | None]:
    """The static token or the OAuth grant, whichever is there whole."""
    token = values.get("access_token", "").strip()
    given = {key: values.get(key, "").strip() for key in OAUTH_KEYS}
    if token and any(given.values()):
        one_of = next(key for key, value in given.items() if value)
        raise ValueError(f"HubSpot takes either `access_token` or an OAuth app, not both: leave `access_token` or `{one_of}` out")
    if token:
        return token, None
    if not any(given.values()):
        raise ValueError("HubSpot needs the setting `access_token`, or `client_id`, `client_secret` and `refresh_token`")
    missing = [key for key, value in given.items() if not value]
    if missing:
        raise ValueError(f"HubSpot's OAuth app also needs the setting `{missing[0]}`")
    return None, OAuthGrant(**given)


def _number(values: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = values.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))) or not 1 <= int(text) <= most:
        raise ValueError(f"HubSpot's setting `{name}` is a whole number from 1 to {most}")
    return int(text)
