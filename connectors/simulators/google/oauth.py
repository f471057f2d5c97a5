"""Google's token endpoint: refresh tokens and signed service-account assertions become access tokens."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import jwt

from connectors.simulators.google.refusals import JsonObject

DATA_MANAGER_SCOPE = "https://www.googleapis.com/auth/datamanager"
ADS_SCOPE = "https://www.googleapis.com/auth/adwords"
AUDIENCE = "https://oauth2.googleapis.com/token"
TOKEN_LIFE = timedelta(seconds=3599)
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token: whose it is says which accounts its owner is a (Standard) user of."""

    value: str = field(repr=False)
    expires_at: datetime
    scopes: frozenset[str]
    accounts: frozenset[str]


@dataclass(slots=True)
class RefreshGrant:
    """A user's consent to an OAuth client, held as a refresh token."""

    refresh_token: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    accounts: frozenset[str]
    scopes: frozenset[str] = frozenset({DATA_MANAGER_SCOPE})
    is_revoked: bool = False


@dataclass(slots=True)
class ServiceAccount:
    """A service account, known by its public key (PEM), and the accounts it was added to."""

    email: str
    public_key: str = field(repr=False)
    accounts: frozenset[str]


@dataclass(slots=True, eq=False)
class OAuthRefusal(Exception):
    """The token endpoint's own kind of error."""

    http_status: int
    error: str
    description: str


@dataclass(slots=True)
class TokenDesk:
    """Issues access tokens and knows those that are still good."""

    chance: random.Random
    grants: dict[str, RefreshGrant] = field(default_factory=dict)
    service_accounts: dict[str, ServiceAccount] = field(default_factory=dict)
    tokens: dict[str, AccessToken] = field(default_factory=dict, repr=False)

    def find(self, value: str, now: datetime) -> AccessToken | None:
        """The token, unless it is unknown or has expired."""
        token = self.tokens.get(value)
        return token if token is not None and now < token.expires_at else None

    def exchange(self, form: Mapping[str, str], now: datetime) -> JsonObject:
        """Answer one POST to the token endpoint, or raise `OAuthRefusal`."""
        match form.get("grant_type"):
            case "refresh_token":
                grant = self._grant(form)
                return self._issue(grant.accounts, grant.scopes, now)
            case kind if kind == _JWT_GRANT:
                account, scopes = self._assertion(form.get("assertion", ""), now)
                return self._issue(account.accounts, scopes, now)
            case None:
                raise OAuthRefusal(400, "invalid_request", "Required parameter is missing: grant_type")
            case _:
                raise OAuthRefusal(400, "unsupported_grant_type", "Invalid grant_type")

    def _grant(self, form: Mapping[str, str]) -> RefreshGrant:
        grant = self.grants.get(form.get("refresh_token", ""))
        known = {each.client_id: each.client_secret for each in self.grants.values()}
        client_id = form.get("client_id", "")
        if client_id not in known or known[client_id] != form.get("client_secret"):
            raise OAuthRefusal(401, "invalid_client", "The OAuth client was not found.")
        if grant is None or grant.is_revoked or grant.client_id != client_id:
            raise OAuthRefusal(400, "invalid_grant", "Token has been expired or revoked.")
        return grant

    def _assertion(self, assertion: str, now: datetime) -> tuple[ServiceAccount, frozenset[str]]:
        try:
            stated = jwt.decode(assertion, options={"verify_signature": False})
            account = self.service_accounts[str(stated.get("iss"))]
            # The clock is injected, so times are judged below and not by the library.
            options: jwt.types.Options = {
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "require": ["exp", "iat", "aud"],
            }
            claims = jwt.decode(assertion, account.public_key, algorithms=["RS256"], audience=AUDIENCE, options=options)
            issued, expires = (datetime.fromtimestamp(int(claims[key]), UTC) for key in ("iat", "exp"))
        except KeyError:
            raise OAuthRefusal(400, "invalid_grant", "Invalid grant: account not found") from None
        except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError):
            raise OAuthRefusal(400, "invalid_grant", "Invalid JWT Signature.") from None
        if issued > now + _SKEW or expires <= now or expires - issued > timedelta(hours=1):
            raise OAuthRefusal(400, "invalid_grant", "Invalid JWT: a short-lived token in a reasonable timeframe is expected.")
        scopes = frozenset(str(claims.get("scope") or "").split())
        if not scopes:
            raise OAuthRefusal(400, "invalid_scope", "Empty or missing scope not allowed.")
        return account, scopes

    def _issue(self, accounts: frozenset[str], scopes: frozenset[str], now: datetime) -> JsonObject:
        token = AccessToken(f"ya29.{self.chance.getrandbits(160):040x}", now + TOKEN_LIFE, scopes, accounts)
        self.tokens[token.value] = token
        life = int(TOKEN_LIFE.total_seconds())
        return {"access_token": token.value, "expires_in": life, "scope": " ".join(sorted(scopes)), "token_type": "Bearer"}
