"""The settings of a HubSpot connection, read from plain text values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

HUBSPOT_API_VERSION = "2026-09"
BASE_URL = "https://api.hubapi.com"
GENERAL_PER_SECOND = 9
SEARCHES_PER_SECOND = 4
MOST_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class HubSpotSettings:
    """`access_token`: a service key, private app token or static-auth app token.

    `api_version` pins HubSpot's dated release. `webhook_secrets`: client secrets of which any may have signed (rotation).
    The rates hold for one process; lower them where other apps share the account's limits.
    """

    access_token: str = field(repr=False)
    base_url: str = BASE_URL
    api_version: str = HUBSPOT_API_VERSION
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    requests_per_second: int = GENERAL_PER_SECOND
    searches_per_second: int = SEARCHES_PER_SECOND

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "HubSpotSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        known = [one.name for one in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"HubSpot has no setting `{unknown[0]}`; there are {', '.join(known)}")
        token = values.get("access_token", "").strip()
        if not token:
            raise ValueError("HubSpot needs the setting `access_token`")
        return cls(
            access_token=token,
            base_url=values.get("base_url", "").strip().rstrip("/") or BASE_URL,
            api_version=values.get("api_version", "").strip() or HUBSPOT_API_VERSION,
            webhook_secrets=tuple(values.get("webhook_secrets", "").replace(",", " ").split()),
            requests_per_second=_rate(values, "requests_per_second", GENERAL_PER_SECOND),
            searches_per_second=_rate(values, "searches_per_second", SEARCHES_PER_SECOND),
        )


def _rate(values: Mapping[str, str], name: str, default: int) -> int:
    text = values.get(name, "").strip()
    if not text:
        return default
    if (
        not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST_PER_SECOND)))
        or not 1 <= int(text) <= MOST_PER_SECOND
    ):
        raise ValueError(f"HubSpot's setting `{name}` is a whole number from 1 to {MOST_PER_SECOND}")
    return int(text)
