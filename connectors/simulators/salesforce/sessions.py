"""Who may call: the token endpoint with its three grants, and the sessions it opens."""

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import jwt

from connectors.simulators.salesforce.errors import Json, expired_session, grant_refusal
from connectors.simulators.salesforce.instants import millis
from connectors.simulators.salesforce.records import USER_ID

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SHARED_HOSTS = ("login.salesforce.com", "test.salesforce.com")
LONGEST_ASSERTION = timedelta(minutes=3)
LOGINS_AN_HOUR = 3600
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"


@dataclass(frozen=True, slots=True)
class ConnectedApp:
    """An External Client App: `certificate` is the PEM of the public key that JWTs are checked with.

    `approved` are the users who may come by JWT. With `rotates` each refresh gives a new refresh token and the old one dies.
    With `shares_session` a login gives the newest session that is open, if there is one.
    """

    client_id: str = "3MVG9leadloopConsumerKey"
    client_secret: str = "leadloop-consumer-secret"
    run_as: str = "integration@acme.example"
    has_client_credentials: bool = True
    certificate: str = ""
    approved: tuple[str, ...] = ("integration@acme.example",)
    refresh_token: str | None = None
    rotates: bool = False
    shares_session: bool = False


class Sessions:
    """Open sessions; using one keeps it open for its lifetime more, as the session timeout of an org does."""

    def __init__(self, app: ConnectedApp, org_id: str, lifetime: timedelta) -> None:
        self.app = app
        self.lifetime = lifetime
        self.refresh_token = app.refresh_token
        self.refuses: tuple[str, str] | None = None  # error and description for every login: inactive_user, inactive_org ...
        self.is_blocked = False
        self._org_id = org_id
        self._until: dict[str, datetime] = {}
        self._logins: deque[datetime] = deque()
        self._random = random.Random(org_id)

    def admit(self, authorization: str | None, now: datetime) -> None:
        """Pass a call with an open session; 401 otherwise."""
        scheme, _, token = (authorization or "").partition(" ")
        until = self._until.get(token.strip())
        if scheme.lower() not in ("bearer", "oauth") or until is None or now >= until:
            raise expired_session()
        self._until[token.strip()] = max(until, now + self.lifetime)

    def issue(self, now: datetime) -> str:
        """A new session."""
        token = f"{self._org_id[:15]}!{''.join(self._random.choices(_LETTERS, k=96))}"
        self._until[token] = now + self.lifetime
        return token

    def expire(self) -> None:
        """End every session now."""
        self._until.clear()

    def revoke(self) -> None:
        """Take the app's access away: no session, refresh token or grant opens the org again."""
        self.expire()
        self.refresh_token = None
        self.is_blocked = True

    def granted(self, form: Mapping[str, str], basic: tuple[str, str] | None, base_url: str, now: datetime) -> Json:
        """The token endpoint's answer; without `instance_url`, which the caller adds."""
        client = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        if self.refuses is not None:
            raise grant_refusal(*self.refuses)
        renewed: str | None = None
        match form.get("grant_type"):
            case "client_credentials":
                self._check_client_credentials(client, base_url)
            case "refresh_token":
                renewed = self._refreshed(form, client)
            case grant if grant == JWT_GRANT:
                self._check_assertion(form.get("assertion", ""), base_url, now)
            case _:
                raise grant_refusal("unsupported_grant_type", "grant type not supported")
        self._count_login(now)
        token = (self._newest(now) if self.app.shares_session else None) or self.issue(now)
        reply: Json = {
            "access_token": token,
            "signature": "c2lnbmF0dXJl",
            "scope": "api refresh_token id" if renewed else "api id",
            "id": f"https://login.salesforce.com/id/{self._org_id}/{USER_ID}",
            "token_type": "Bearer",
            "issued_at": str(millis(now)),
        }
        return {**reply, "refresh_token": renewed} if renewed and self.app.rotates else reply

    def _newest(self, now: datetime) -> str | None:
        return next((token for token, until in reversed(self._until.items()) if now < until), None)

    def _check_client(self, client: tuple[str, str], *, needs_secret: bool = True) -> None:
        if client[0] != self.app.client_id:
            raise grant_refusal("invalid_client_id", "client identifier invalid")
        if needs_secret and client[1] != self.app.client_secret:
            raise grant_refusal("invalid_client", "invalid client credentials")

    def _check_client_credentials(self, client: tuple[str, str], base_url: str) -> None:
        if urlsplit(base_url).hostname in SHARED_HOSTS:
            raise grant_refusal("unsupported_grant_type", "request not supported on this domain")
        self._check_client(client)
        if self.is_blocked or not self.app.has_client_credentials:
            raise grant_refusal("invalid_grant", "no client credentials user enabled")

    def _refreshed(self, form: Mapping[str, str], client: tuple[str, str]) -> str:
        self._check_client(client, needs_secret=bool(client[1]))
        if self.refresh_token is None or form.get("refresh_token") != self.refresh_token:
            raise grant_refusal("invalid_grant", "expired access/refresh token")
        if self.app.rotates:
            self.refresh_token = "5Aep861" + "".join(self._random.choices(_LETTERS, k=60))
        return self.refresh_token

    def _check_assertion(self, assertion: str, base_url: str, now: datetime) -> None:
        try:
            claims = jwt.decode(
                assertion,
                self.app.certificate,
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise grant_refusal("invalid_grant", "invalid assertion") from error
        self._check_client((str(claims.get("iss")), ""), needs_secret=False)
        audiences = {f"https://{host}" for host in SHARED_HOSTS} | {base_url}
        expires = _seconds(claims.get("exp"))
        if claims.get("aud") not in audiences:
            raise grant_refusal("invalid_grant", "audience is invalid")
        if not now.timestamp() < expires <= (now + LONGEST_ASSERTION).timestamp() + 1:
            raise grant_refusal("invalid_grant", "expired authorization code")
        if self.is_blocked or claims.get("sub") not in self.app.approved:
            raise grant_refusal("invalid_grant", "user hasn't approved this consumer")

    def _count_login(self, now: datetime) -> None:
        while self._logins and self._logins[0] <= now - timedelta(hours=1):
            self._logins.popleft()
        if len(self._logins) >= LOGINS_AN_HOUR:
            raise grant_refusal("login_rate_exceeded", "login rate exceeded")
        self._logins.append(now)


def _seconds(value: object) -> float:
    """Epoch seconds, as a number or as text; 0 where there are none."""
    text = str(value)
    return float(text) if text.replace(".", "", 1).isdigit() else 0.0
