"""The settings of a TikTok connection, read from plain text values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.upload.text_settings import TextSettings

API = "TikTok Business API"
API_VERSION = "v1.3"
BASE_URL = "https://business-api.tiktok.com"

KNOWN_SETTINGS = (
    "access_token",
    "advertiser_id",
    "crm_event_set_id",
    "offline_event_set_id",
    "app_id",
    "app_secret",
    "offline_click_ids",
    "api_version",
    "base_url",
)

_NUMBER = re.compile(r"[0-9]{3,25}")
_API_VERSION = re.compile(r"v[0-9]{1,2}\.[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class TikTokSettings:
    """Leads of TikTok's own forms go to the CRM event set, all others to the offline one; with one of the two, all go there.

    `offline_click_ids`: send click ids and external ids to the offline set too, which TikTok's pages do not agree on.
    `app_id` and `app_secret` are only needed for the list of accounts that a check asks for.
    """

    advertiser_id: str
    access_token: str = field(repr=False)
    crm_event_set_id: str = ""
    offline_event_set_id: str = ""
    app_id: str = ""
    app_secret: str = field(default="", repr=False)
    offline_click_ids: bool = False
    api_version: str = API_VERSION
    base_url: str = BASE_URL

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "TikTokSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        texts = TextSettings("TikTok", values, KNOWN_SETTINGS)
        for name in ("advertiser_id", "access_token"):
            texts.needed(name)
        if "crm_event_set_id" not in texts and "offline_event_set_id" not in texts:
            raise ValueError("TikTok needs the setting `crm_event_set_id`, or `offline_event_set_id`, or both")
        if ("app_id" in texts) != ("app_secret" in texts):
            raise ValueError("TikTok's settings `app_id` and `app_secret` come together")
        return cls(
            advertiser_id=texts.matching("advertiser_id", "", _NUMBER, "the ad account's number"),
            access_token=texts.needed("access_token"),
            crm_event_set_id=texts.matching("crm_event_set_id", "", _NUMBER, "an event set's number"),
            offline_event_set_id=texts.matching("offline_event_set_id", "", _NUMBER, "an event set's number"),
            app_id=texts.text("app_id"),
            app_secret=texts.text("app_secret"),
            offline_click_ids=texts.flag("offline_click_ids", default=False),
            api_version=texts.matching("api_version", API_VERSION, _API_VERSION, f"a version such as {API_VERSION}"),
            base_url=texts.url("base_url", BASE_URL),
        )
