"""Who may call: users' API tokens that last, and OAuth access tokens that run out and are got by code or refresh token."""

import base64
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.simulators.pipedrive.errors import Json, Refusal, invalid_grant, unauthorized

_DIGITS = "0123456789abcdef"
CODE_LIFETIME = timedelta(minutes=5)
REFRESH_LIFETIME = timedelta(days=60)
RACE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class OAuthApp:
    """An app that a user of the company installed. With `is_rotating` each refresh answers with another refresh token."""

    client_id: str
    client_secret: str
    refresh_token: str
    redirect_uri: str = "https://leadloop.example/callback"
    is_rotating: bool = False
    lifetime: timedelta = timedelta(seconds=3600)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose burst a call is charged to and whose eyes it sees with."""

    token: str
    user_id: int
    is_oauth: bool


class Tokens:
    """The tokens that open one company. `exchanges` counts how often the token endpoint gave a token."""

    def __init__(self, api: Mapping[str, int], oauth: OAuthApp | None, user_id: int, scopes: frozenset[str], domain: str) -> None:
        self.api = dict(api)
        self.api_domain = domain
        self.exchanges = 0
        self._oauth = oauth
        self._user_id = user_id
        self._scopes = scopes
        self._access: dict[str, datetime] = {}
        self._codes: dict[str, datetime] = {}
        self._refresh = oauth.refresh_token if oauth else None
        self._used_at: datetime | None = None
        self._random = random.Random(oauth.client_id if oauth else "")

    def caller(self, api_token: str | None, authorization: str | None, now: datetime) -> Caller:
        """Who calls; a `Refusal` with 401 where the headers open nothing."""
        if api_token is not None:
            if api_token in self.api:
                return Caller(api_token, self.api[api_token], is_oauth=False)
            raise unauthorized()
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and token in self._access and now < self._access[token]:
            return Caller("oauth", self._user_id, is_oauth=True)
        raise unauthorized()

    def issue(self, now: datetime) -> str:
        """A new access token; those before it stay good until they run out."""
        app = self._app()
        token = f"v1u:{''.join(self._random.choices(_DIGITS, k=180))}"
        self._access[token] = now + app.lifetime
        return token

    def authorize(self, now: datetime) -> str:
        """What a user's consent brings: a code that lives five minutes and is good once."""
        self._app()
        code = "".join(self._random.choices(_DIGITS, k=40))
        self._codes[code] = now + CODE_LIFETIME
        return code

    def expire(self, now: datetime) -> None:
        """Let every access token run out now."""
        self._access = {token: min(until, now) for token, until in self._access.items()}

    def revoke(self) -> None:
        """Uninstall the app and regenerate the users' tokens: nothing opens the company any more."""
        self._refresh = None
        self._access.clear()
        self.api.clear()

    def regenerate(self, token: str) -> str:
        """A user's new API token; the old one is dead at once."""
        made = "".join(self._random.choices(_DIGITS, k=40))
        self.api[made] = self.api.pop(token)
        return made

    def granted(self, form: Mapping[str, str], authorization: str | None, now: datetime) -> Json:
        """The reply of the token endpoint."""
        app = self._client(authorization)
        match form.get("grant_type"):
            case "authorization_code":
                self._spend_code(form, app, now)
            case "refresh_token":
                self._spend_refresh(form, now)
            case _:
                raise Refusal(400, {"success": False, "error": "unsupported_grant_type", "message": "unsupported grant_type"})
        self._used_at = now
        self.exchanges += 1
        if self._refresh is None or app.is_rotating:
            self._refresh = f"{app.client_id}:{''.join(self._random.choices(_DIGITS, k=40))}"
        return {
            "access_token": self.issue(now),
            "token_type": "Bearer",
            "refresh_token": self._refresh,
            "scope": " ".join(sorted(self._scopes)),
            "expires_in": int(app.lifetime.total_seconds()),
            "api_domain": self.api_domain,
        }

    def revoked(self, form: Mapping[str, str], authorization: str | None) -> Json:
        """The reply of the revoke endpoint: a refresh token takes all down, an access token only itself."""
        self._client(authorization)
        if form.get("token") == self._refresh:
            self._refresh = None
            self._access.clear()
        self._access.pop(form.get("token", ""), None)
        return {"success": True}

    def _client(self, authorization: str | None) -> OAuthApp:
        app = self._oauth
        scheme, _, told = (authorization or "").partition(" ")
        expected = base64.b64encode(f"{app.client_id}:{app.client_secret}".encode()).decode() if app else None
        if app is None or scheme.lower() != "basic" or told != expected:
            raise Refusal(401, {"success": False, "error": "invalid_client", "message": "Client authentication failed"})
        return app

    def _spend_code(self, form: Mapping[str, str], app: OAuthApp, now: datetime) -> None:
        until = self._codes.pop(form.get("code", ""), None)
        if until is None or now >= until or form.get("redirect_uri") != app.redirect_uri:
            raise invalid_grant("Invalid grant: authorization code is invalid or already exchanged")

    def _spend_refresh(self, form: Mapping[str, str], now: datetime) -> None:
        if self._refresh is None or form.get("refresh_token") != self._refresh:
            raise invalid_grant("Invalid grant: refresh token is invalid or already exchanged")
        if self._used_at is not None and now - self._used_at >= REFRESH_LIFETIME:
            raise invalid_grant("Invalid grant: refresh token has expired")
        if self._used_at is not None and now - self._used_at < RACE and not self._app().is_rotating:
            raise invalid_grant("Invalid grant: refresh token is already exchanged")

    def _app(self) -> OAuthApp:
        if self._oauth is None:
            raise ValueError("this company has no OAuth app")
        return self._oauth
