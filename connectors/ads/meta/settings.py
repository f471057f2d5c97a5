"""The settings of a Meta connection, read from plain text values."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connectors.ads.meta.versions import API_VERSION
from connectors.upload.text_settings import TextSettings

BASE_URL = "https://graph.facebook.com"

KNOWN_SETTINGS = (
    "dataset_id",
    "access_token",
    "app_secret",
    "token_in",
    "without_lead_id",
    "lead_event_source",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
    "ad_account_id",
    "api_version",
    "ads_api_version",
    "base_url",
)

_DATASET_ID = re.compile(r"[0-9]{5,20}")
_API_VERSION = re.compile(r"v[0-9]{1,3}\.[0-9]{1,2}")
_AD_ACCOUNT_ID = re.compile(r"(act_)?[0-9]{3,20}")
_UNITED_STATES = "1"
# California to Rhode Island. 0 asks Meta to locate the person by an IP address, and we collect none.
_STATES = [str(state) for state in range(1000, 1014)]


class TokenPlace(StrEnum):
    """Where the token stands: `parameter` is what Meta documents, `header` keeps it out of addresses."""

    HEADER = "header"
    PARAMETER = "parameter"


class Form(StrEnum):
    """How Meta is told of a conversion.

    CRM: with the marks of its CRM integration (conversion leads), which is for leads of its own forms. OFFLINE: as an offline
    event, up to 62 days old. OTHER: neither.
    """

    CRM = "crm"
    OFFLINE = "offline"
    OTHER = "other"


class Limited(StrEnum):
    """Meta's only data processing option."""

    NO = ""
    LDU = "LDU"


@dataclass(frozen=True, slots=True)
class LimitedDataUse:
    """Meta's data processing options for people of one US state."""

    state: int
    country: int = 1


@dataclass(frozen=True, slots=True)
class MetaSettings:
    """`dataset_id` (formerly: pixel) receives the events; `ad_account_id` is the account whose spend is read.

    `token_in` is a setting because Meta's page names only the parameter; `without_lead_id` says how leads go that came from no
    form of Meta's. `lead_event_source` is the CRM's name as Meta shall show it ("" takes the source's).
    """

    dataset_id: str
    access_token: str = field(repr=False)
    app_secret: str = field(default="", repr=False)
    token_in: TokenPlace = TokenPlace.HEADER
    without_lead_id: Form = Form.OFFLINE
    lead_event_source: str = ""
    ad_account_id: str = ""
    limited_data_use: LimitedDataUse | None = None
    api_version: str = API_VERSION
    ads_api_version: str = API_VERSION
    base_url: str = BASE_URL

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "MetaSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        texts = TextSettings("Meta", values, KNOWN_SETTINGS)
        for name in ("dataset_id", "access_token"):
            texts.needed(name)
        version = f"a version such as {API_VERSION}"
        return cls(
            dataset_id=texts.matching("dataset_id", "", _DATASET_ID, "the dataset's (pixel's) number"),
            access_token=texts.needed("access_token"),
            app_secret=texts.text("app_secret"),
            token_in=texts.choice("token_in", TokenPlace.HEADER),
            without_lead_id=texts.choice("without_lead_id", Form.OFFLINE),
            lead_event_source=texts.text("lead_event_source"),
            ad_account_id=texts.matching("ad_account_id", "", _AD_ACCOUNT_ID, "the ad account's number").removeprefix("act_"),
            limited_data_use=_limited_data_use(texts),
            api_version=texts.matching("api_version", API_VERSION, _API_VERSION, version),
            ads_api_version=texts.matching("ads_api_version", API_VERSION, _API_VERSION, version),
            base_url=texts.url("base_url", BASE_URL),
        )

    @property
    def secret_parameters(self) -> Mapping[str, str]:
        """What of the credentials goes with each request beside its headers."""
        found = {"access_token": self.access_token} if self.token_in is TokenPlace.PARAMETER else {}
        if self.app_secret:
            proof = hmac.new(self.app_secret.encode(), self.access_token.encode(), hashlib.sha256).hexdigest()
            found["appsecret_proof"] = proof
        return found


def _limited_data_use(texts: TextSettings) -> LimitedDataUse | None:
    parts = [name for name in KNOWN_SETTINGS if name.startswith("data_processing_options_") and name in texts]
    if texts.choice("data_processing_options", Limited.NO) is Limited.NO:
        if parts:
            raise ValueError(f"Meta's setting `{parts[0]}` needs `data_processing_options: LDU`")
        return None
    if texts.text("data_processing_options_country", _UNITED_STATES) != _UNITED_STATES:
        raise texts.wrong("data_processing_options_country", f"{_UNITED_STATES} (United States)")
    if "data_processing_options_state" not in texts:
        raise ValueError("Meta's limited data use needs `data_processing_options_state`, such as 1000 for California")
    if texts.text("data_processing_options_state") not in _STATES:
        raise texts.wrong("data_processing_options_state", f"one of {', '.join(_STATES)}")
    return LimitedDataUse(int(texts.text("data_processing_options_state")))
