"""The settings of a Meta connection, read from plain text values."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

BASE_URL = "https://graph.facebook.com"
API_VERSION = "v26.0"

KNOWN_SETTINGS = (
    "dataset_id",
    "access_token",
    "app_secret",
    "token_in",
    "mode",
    "lead_event_source",
    "test_event_code",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
    "api_version",
    "base_url",
)

_DATASET_ID = re.compile(r"[0-9]{5,20}")
_API_VERSION = re.compile(r"v[0-9]{1,3}\.[0-9]{1,2}")
_TEST_EVENT_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNITED_STATES = "1"
# California to Rhode Island. 0 asks Meta to locate the person by an IP address, and we collect none.
_STATES = [str(state) for state in range(1000, 1014)]


class TokenPlace(StrEnum):
    """Where the token stands: `parameter` is what Meta documents, `header` keeps it out of addresses."""

    HEADER = "header"
    PARAMETER = "parameter"


class Mode(StrEnum):
    """Whether events carry the marks of the CRM integration (conversion leads) or none (leads of the advertiser's own site)."""

    CRM = "crm"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class LimitedDataUse:
    """Meta's data processing options for people of one US state."""

    state: int
    country: int = 1


@dataclass(frozen=True, slots=True)
class MetaSettings:
    """`dataset_id` (formerly: pixel) receives the events. With `test_event_code` every event is a test event.

    `token_in` is a setting because Meta's page names only the parameter; `mode` because its CRM integration is for leads of
    its own forms. `lead_event_source` is the CRM's name as Meta shall show it ("" takes the source's).
    """

    dataset_id: str
    access_token: str = field(repr=False)
    app_secret: str = field(default="", repr=False)
    token_in: TokenPlace = TokenPlace.HEADER
    mode: Mode = Mode.CRM
    lead_event_source: str = ""
    test_event_code: str = ""
    limited_data_use: LimitedDataUse | None = None
    api_version: str = API_VERSION
    base_url: str = BASE_URL

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "MetaSettings":
        """Read text settings; ValueError names the key that is missing, unknown or unreadable, never its value."""
        unknown = sorted(set(values) - set(KNOWN_SETTINGS))
        if unknown:
            raise ValueError(f"Meta has no setting `{unknown[0]}`; there are {', '.join(KNOWN_SETTINGS)}")
        given = {name: value.strip() for name, value in values.items() if value.strip()}
        for name in ("dataset_id", "access_token"):
            if name not in given:
                raise ValueError(f"Meta needs the setting `{name}`")
        return cls(
            dataset_id=_matching(given, "dataset_id", "", _DATASET_ID, "the dataset's (pixel's) number"),
            access_token=given["access_token"],
            app_secret=given.get("app_secret", ""),
            token_in=TokenPlace(_choice(given, "token_in", TokenPlace.HEADER, [str(one) for one in TokenPlace])),
            mode=Mode(_choice(given, "mode", Mode.CRM, [str(one) for one in Mode])),
            lead_event_source=given.get("lead_event_source", ""),
            test_event_code=_matching(given, "test_event_code", "", _TEST_EVENT_CODE, "a code such as TEST12345"),
            limited_data_use=_limited_data_use(given),
            api_version=_matching(given, "api_version", API_VERSION, _API_VERSION, f"a version such as {API_VERSION}"),
            base_url=_url(given),
        )

    @property
    def secret_parameters(self) -> Mapping[str, str]:
        """What of the credentials goes with each request beside its headers."""
        found = {"access_token": self.access_token} if self.token_in is TokenPlace.PARAMETER else {}
        if self.app_secret:
            proof = hmac.new(self.app_secret.encode(), self.access_token.encode(), hashlib.sha256).hexdigest()
            found["appsecret_proof"] = proof
        return found


def _limited_data_use(given: Mapping[str, str]) -> LimitedDataUse | None:
    parts = [name for name in KNOWN_SETTINGS if name.startswith("data_processing_options_") and name in given]
    if "data_processing_options" not in given:
        if parts:
            raise ValueError(f"Meta's setting `{parts[0]}` needs `data_processing_options: LDU`")
        return None
    if given["data_processing_options"].upper() != "LDU":
        raise ValueError("Meta's setting `data_processing_options` is LDU, or left out")
    _choice(given, "data_processing_options_country", _UNITED_STATES, [_UNITED_STATES])
    if "data_processing_options_state" not in given:
        raise ValueError("Meta's limited data use needs `data_processing_options_state`, such as 1000 for California")
    return LimitedDataUse(int(_choice(given, "data_processing_options_state", "", _STATES)))


def _url(given: Mapping[str, str]) -> str:
    url = given.get("base_url", BASE_URL).rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise ValueError("Meta's setting `base_url` is a URL")
    return url


def _matching(given: Mapping[str, str], name: str, default: str, pattern: re.Pattern[str], what: str) -> str:
    text = given.get(name, default)
    if text != default and not pattern.fullmatch(text):
        raise ValueError(f"Meta's setting `{name}` is {what}")
    return text


def _choice(given: Mapping[str, str], name: str, default: str, choices: list[str]) -> str:
    text = given.get(name, default).lower()
    if text not in choices:
        raise ValueError(f"Meta's setting `{name}` is one of {', '.join(choices)}")
    return text
