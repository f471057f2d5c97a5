"""What a Google Ads connection is configured with."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

EVENT_SOURCES = frozenset({"WEB", "APP", "IN_STORE", "PHONE", "MESSAGE", "OTHER"})
BASE_URL = "https://datamanager.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 an address
_SERVICE_ACCOUNT_KEYS = ("client_email", "private_key")


@dataclass(frozen=True, slots=True)
class GoogleSettings:
    """One Google Ads account and one way to prove who we are.

    `account_id` owns the conversion actions; `login_account_id` is the manager through which the credential has access.
    Credentials: `access_token`, or `service_account_json`, or `client_id`, `client_secret` and `refresh_token` together.
    """

    account_id: str
    login_account_id: str | None = None
    access_token: str | None = field(default=None, repr=False)
    service_account_json: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    base_url: str = BASE_URL
    token_url: str = TOKEN_URL
    event_source: str = "WEB"
    record_indices_base: int = 0

    def __post_init__(self) -> None:
        for name in ("account_id", "login_account_id"):
            value = getattr(self, name)
            if value is not None and not re.fullmatch(r"[0-9]+", value):
                raise ValueError(f"{name} must be digits only, the number in the corner of Google Ads without its dashes")
        if self.event_source not in EVENT_SOURCES:
            raise ValueError(f"event_source must be one of {', '.join(sorted(EVENT_SOURCES))}")
        if self.record_indices_base not in (0, 1):
            raise ValueError("record_indices_base must be 0 or 1")
        self._check_credentials()

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "GoogleSettings":
        """Read what a connection stores; empty values count as absent. ValueError names a missing or unknown key."""
        unknown = sorted(set(values) - {each.name for each in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"unknown setting: {', '.join(unknown)}")
        given: dict[str, str] = {name: value.strip() for name, value in values.items() if value.strip()}
        if "account_id" not in given:
            raise ValueError("missing setting: account_id")
        for name in ("account_id", "login_account_id"):
            if name in given:
                given[name] = given[name].replace("-", "").replace(" ", "")
        base = given.pop("record_indices_base", "0")
        if base not in ("0", "1"):
            raise ValueError("record_indices_base must be 0 or 1")
        return cls(**given, record_indices_base=int(base))

    def service_account(self) -> Mapping[str, str]:
        """The key file's content; ValueError where it is none."""
        try:
            key = json.loads(self.service_account_json or "")
        except json.JSONDecodeError:
            key = None
        if not isinstance(key, dict) or not all(isinstance(key.get(name), str) for name in _SERVICE_ACCOUNT_KEYS):
            raise ValueError("service_account_json must be the JSON key file of a service account (client_email, private_key)")
        return {name: value for name, value in key.items() if isinstance(value, str)}

    def _check_credentials(self) -> None:
        if self.access_token:
            return
        if self.service_account_json:
            self.service_account()
            return
        oauth = {"client_id": self.client_id, "client_secret": self.client_secret, "refresh_token": self.refresh_token}
        missing = [name for name, value in oauth.items() if not value]
        if missing:
            either = "" if len(missing) < len(oauth) else " (or access_token, or service_account_json)"
            raise ValueError(f"missing setting: {', '.join(missing)}{either}")
