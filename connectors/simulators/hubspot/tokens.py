"""Who may call: static tokens that last, and OAuth access tokens that run out and are got by a refresh token."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.simulators.hubspot.errors import Json, Refusal, edge_refusal, unauthenticated

_DIGITS = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class OAuthApp:
    """An app that the portal's owner consented to. `is_rotating`: each refresh token serves once and brings the next."""

    client_id: str
    client_secret: str
    refresh_token: str
    lifetime: timedelta = timedelta(seconds=1800)
    is_rotating: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose budget a call is charged to."""

    app: str
    is_oauth: bool


class Tokens:
    """The tokens that open one portal."""

    def __init__(self, static: tuple[str, ...], oauth: OAuthApp | None) -> None:
        self._static = set(static)
        self._oauth = oauth
        self._refresh_token = oauth.refresh_token if oauth else None
        self._access: dict[str, datetime] = {}
        self._random = random.Random(oauth.client_id if oauth else "")

    def add(self, token: str) -> None:
        """Take a further static token, as of an app whose token was rotated."""
        self._static.add(token)

    def caller(self, authorization: str | None, now: datetime) -> Caller:
        """Who calls; a `Refusal` with 401 or 530 where the header opens nothing."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise unauthenticated("INVALID_AUTHENTICATION")
        if token in self._static:
            return Caller(token, is_oauth=False)
        if token in self._access:
            if now >= self._access[token]:
                raise unauthenticated("EXPIRED_AUTHENTICATION")
            return Caller("oauth", is_oauth=True)
        if not token.strip() or any(known.startswith(token) for known in (*self._static, *self._access)):
            raise edge_refusal()
        raise unauthenticated("INVALID_AUTHENTICATION")

    def issue(self, now: datetime) -> str:
        """A new access token (long, as HubSpot's may be); those before it stay good."""
        if self._oauth is None:
            raise ValueError("this portal has no OAuth app")
        token = "".join(self._random.choices(_DIGITS, k=320))
        self._access[token] = now + self._oauth.lifetime
        return token

    def expire(self, now: datetime) -> None:
        """Let every access token run out now."""
        self._access = {token: min(until, now) for token, until in self._access.items()}

    def revoke(self) -> None:
        """Uninstall the app or delete the key: neither refresh token nor any other token opens the portal again."""
        self._refresh_token = None
        self._static.clear()
        self._access.clear()

    def refresh(self, form: Mapping[str, str], now: datetime) -> Json:
        """The reply of the token endpoint to a refresh grant."""
        app = self._oauth
        if form.get("grant_type") != "refresh_token":
            raise Refusal(400, {"error": "unsupported_grant_type", "status": "BAD_GRANT_TYPE", "message": "unknown grant_type"})
        if app is None or form.get("client_id") != app.client_id or form.get("client_secret") != app.client_secret:
            raise Refusal(400, {"error": "invalid_client", "status": "BAD_CLIENT_ID", "message": "missing or unknown client"})
        if self._refresh_token is None or form.get("refresh_token") != self._refresh_token:
            message = "missing or unknown refresh token"
            raise Refusal(400, {"error": "invalid_grant", "status": "BAD_REFRESH_TOKEN", "message": message})
        if app.is_rotating:
            self._refresh_token = f"na1-{self._random.getrandbits(64):016x}"
        return {
            "access_token": self.issue(now),
            "refresh_token": self._refresh_token,
            "expires_in": int(app.lifetime.total_seconds()),
            "token_type": "bearer",
        }
