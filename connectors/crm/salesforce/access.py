"""How we prove who we are: one of three OAuth flows, its refusals told with their mend; and where the API then is."""

from collections.abc import Mapping
from datetime import timedelta

import httpx

from connectors.contract.errors import AuthenticationFailed, Effect, UnexpectedReply
from connectors.contract.tokens import TokenStore
from connectors.crm.salesforce.refusals import explained
from connectors.crm.salesforce.settings import AuthFlow, SalesforceSettings, is_salesforce_url
from connectors.http.auth import ClientCredentials, Lock, OAuthRefresh, RenewedToken, ServiceAccountJwt
from connectors.http.client import Clock

VENDOR = "Salesforce"
TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 a path
# No reply says how long a token lives: an org's session timeout is two hours by default. One that ends sooner is a 401.
TOKEN_LIFETIME = timedelta(minutes=90)
# Salesforce takes an assertion that is good for at most three minutes.
ASSERTION_LIFETIME = timedelta(minutes=3)
ENDPOINT_KEY = "instance_url"


class SalesforceAccess:
    """The token of one connection and the base URL that came with it."""

    def __init__(
        self, client: httpx.AsyncClient, settings: SalesforceSettings, store: TokenStore, lock: Lock, clock: Clock
    ) -> None:
        self._settings = settings
        self._token = _token(client, settings, store, lock, clock)

    async def headers(self) -> Mapping[str, str]:
        """The token's header."""
        try:
            return await self._token.headers()
        except AuthenticationFailed as error:
            raise explained(error, self._settings.auth) from error

    async def refresh(self, used: Mapping[str, str]) -> bool:
        """A token other than the refused one."""
        try:
            return await self._token.refresh(used)
        except AuthenticationFailed as error:
            raise explained(error, self._settings.auth) from error

    def base_url(self) -> str:
        """Where the API is, after a token was gained; a token is sent to Salesforce's own hosts only."""
        if self._settings.base_url:
            return self._settings.base_url
        named = self._token.endpoint
        if named is None or not is_salesforce_url(named):
            message = f"{VENDOR}'s token endpoint names no Salesforce host as `{ENDPOINT_KEY}`"
            raise UnexpectedReply(message, effect=Effect.NONE)
        return named

    def pages_url(self) -> str:
        """Where people see the org's records: Salesforce's own host, also where requests go by a proxy."""
        named = self._token.endpoint
        return named if named is not None and is_salesforce_url(named) else self._settings.instance_url or self.base_url()


def _token(client: httpx.AsyncClient, settings: SalesforceSettings, store: TokenStore, lock: Lock, clock: Clock) -> RenewedToken:
    token_url = settings.token_host + TOKEN_PATH
    match settings.auth:
        case AuthFlow.CLIENT_CREDENTIALS:
            return ClientCredentials(
                client,
                vendor=VENDOR,
                token_url=token_url,
                client_id=settings.client_id,
                client_secret=settings.client_secret,
                store=store,
                lock=lock,
                clock=clock,
                default_lifetime=TOKEN_LIFETIME,
                endpoint_key=ENDPOINT_KEY,
            )
        case AuthFlow.JWT:
            return ServiceAccountJwt(
                client,
                vendor=VENDOR,
                token_url=token_url,
                issuer=settings.client_id,
                subject=settings.username,
                private_key=settings.private_key,
                audience=settings.audience,
                lifetime=ASSERTION_LIFETIME,
                store=store,
                lock=lock,
                clock=clock,
                default_lifetime=TOKEN_LIFETIME,
                endpoint_key=ENDPOINT_KEY,
            )
        case AuthFlow.REFRESH_TOKEN:
            return OAuthRefresh(
                client,
                vendor=VENDOR,
                token_url=token_url,
                client_id=settings.client_id,
                client_secret=settings.client_secret,
                refresh_token=settings.refresh_token,
                store=store,
                lock=lock,
                clock=clock,
                default_lifetime=TOKEN_LIFETIME,
                endpoint_key=ENDPOINT_KEY,
            )
