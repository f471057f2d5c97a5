"""How a HubSpot account is entered, and how fast it may be asked: a static token, or an OAuth app's grant."""

import asyncio
from datetime import timedelta

import httpx

from connectors.contract.errors import AuthenticationFailed, RateLimited, Unavailable
from connectors.contract.tokens import TokenStore
from connectors.crm.hubspot.api import SEARCH
from connectors.crm.hubspot.settings import HubSpotSettings, OAuthGrant
from connectors.http.auth import INVALID_GRANT, Auth, Lock, OAuthRefresh, StaticToken
from connectors.http.client import Clock, Reply, Sleep
from connectors.http.rate_limit import Rate, RateLimits

GENERAL = "general"
SECOND = timedelta(seconds=1)
# HubSpot's access tokens live half an hour; it asks apps to renew before a 401 tells them to.
TOKEN_MARGIN = timedelta(minutes=5)
TOKEN_LIFETIME = timedelta(minutes=30)
BAD_REFRESH_TOKEN = "BAD_REFRESH_TOKEN"  # noqa: S105 HubSpot's code for a grant that was taken back
# The edge answers a malformed token with this one (November 2026).
MALFORMED_TOKEN = 530


def auth_of(settings: HubSpotSettings, client: httpx.AsyncClient, tokens: TokenStore | None, lock: Lock, clock: Clock) -> Auth:
    """What gives the headers; ValueError where an OAuth app has no store for its tokens."""
    if settings.oauth is None:
        return StaticToken(settings.access_token or "")
    if tokens is None:
        raise ValueError("an OAuth app needs a store for its tokens")
    token_url = f"{settings.base_url}/oauth/{settings.api_version}/token"
    return HubSpotOAuth(client, settings.oauth, token_url, tokens, lock, clock)


class HubSpotOAuth(OAuthRefresh):
    """HubSpot's refresh grant. A grant taken back is told by `BAD_REFRESH_TOKEN`, with or without `invalid_grant`."""

    def __init__(
        self, client: httpx.AsyncClient, grant: OAuthGrant, token_url: str, tokens: TokenStore, lock: Lock, clock: Clock
    ) -> None:
        super().__init__(
            client,
            vendor="HubSpot",
            token_url=token_url,
            client_id=grant.client_id,
            client_secret=grant.client_secret,
            refresh_token=grant.refresh_token,
            store=tokens,
            lock=lock,
            clock=clock,
            margin=TOKEN_MARGIN,
            default_lifetime=TOKEN_LIFETIME,
        )

    def _refusal(self, reply: Reply) -> AuthenticationFailed | RateLimited | Unavailable:
        error = super()._refusal(reply)
        body = reply.body if isinstance(reply.body, dict) else {}
        if reply.status == MALFORMED_TOKEN:
            return AuthenticationFailed(f"{error.message}; connect again", code=INVALID_GRANT, status=reply.status)
        if isinstance(error, AuthenticationFailed) and BAD_REFRESH_TOKEN in (body.get("status"), body.get("category")):
            return AuthenticationFailed(error.message, code=INVALID_GRANT, status=error.status)
        return error


def is_stale_token(reply: Reply) -> bool:
    """A malformed token may be mended by a new one, as a 401 is."""
    return reply.status == MALFORMED_TOKEN


class AccountRates(RateLimits):
    """The account's two limits: a search counts as a request too."""

    def __init__(self, settings: HubSpotSettings, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        rates = {
            GENERAL: Rate(settings.requests_per_second, SECOND),
            # HubSpot counts searches by the second and has no patience: none is saved up.
            SEARCH: Rate(1, SECOND / settings.searches_per_second),
        }
        super().__init__(rates, clock, sleep)

    async def acquire(self, budget: str) -> None:
        """Wait until one more request fits the budget, and a search the general one too."""
        if budget == SEARCH:
            await super().acquire(GENERAL)
        await super().acquire(budget)
