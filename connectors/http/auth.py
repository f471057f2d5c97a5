"""Who we are to a vendor: a static token, an OAuth grant that is renewed, a signed service account.

Renewal is single-flight and a new token is saved before it is used. Where tokens are kept is TokenStore's matter.
"""

import asyncio
import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

import httpx
import jwt

from connectors.contract.errors import NEEDS_REAUTH, AuthenticationFailed, Effect, RateLimited, Unavailable, UnexpectedReply
from connectors.contract.tokens import Tokens, TokenStore
from connectors.http.reply import (
    READ_TIMEOUT,
    Reply,
    build,
    exchange,
    retry_after,
    vendor_code,
    vendor_message,
)
from connectors.http.retry import Clock

# A context that only one holder is in at a time, over all processes.
Lock = Callable[[], AbstractAsyncContextManager[None]]

MARGIN = timedelta(seconds=60)
DEFAULT_LIFETIME = timedelta(hours=1)
LONGEST_LIFETIME = timedelta(days=3650)
# A signer whose clock is a little ahead must not be refused.
CLOCK_SKEW = timedelta(seconds=30)
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
INVALID_GRANT = "invalid_grant"


class Auth(Protocol):
    """Gives the headers that prove who we are."""

    async def headers(self) -> Mapping[str, str]:
        """Headers for the next request; may raise a ConnectorError of effect none."""
        ...

    async def refresh(self, used: Mapping[str, str]) -> bool:
        """The vendor refused `used`: get newer headers. False where there is nothing to refresh."""
        ...


class StaticToken:
    """A token that a human made: `Authorization: Bearer ...`, or another header, bare where `scheme` is empty."""

    def __init__(self, token: str, *, header: str = "Authorization", scheme: str = "Bearer") -> None:
        self._headers = {header.lower(): f"{scheme} {token.strip()}".strip()}

    async def headers(self) -> Mapping[str, str]:
        """The token's header."""
        return self._headers

    async def refresh(self, used: Mapping[str, str]) -> bool:  # noqa: ARG002 the protocol's signature
        """Nothing to refresh."""
        return False


class RenewedToken(ABC):
    """An access token that runs out: read from the store, renewed at a token endpoint by one caller at a time."""

    def __init__(  # noqa: PLR0913 each is a seam of its own
        self,
        client: httpx.AsyncClient,
        *,
        vendor: str,
        token_url: str,
        store: TokenStore,
        lock: Lock,
        clock: Clock,
        margin: timedelta = MARGIN,
        default_lifetime: timedelta = DEFAULT_LIFETIME,
        endpoint_key: str | None = None,
    ) -> None:
        """`margin`: renewed when less is left. `default_lifetime`: for endpoints that do not say `expires_in`.

        `endpoint_key`: where the reply names the API's base URL (Salesforce `instance_url`, Pipedrive `api_domain`).
        """
        self._client = client
        self._vendor = vendor
        self._token_url = token_url
        self._store = store
        self._lock = lock
        self._clock = clock
        self._margin = margin
        self._default_lifetime = default_lifetime
        self._endpoint_key = endpoint_key
        self._known: Tokens | None = None
        self._one_here = asyncio.Lock()

    @property
    def endpoint(self) -> str | None:
        """The API's base URL as the token endpoint named it last; None before the first `headers`."""
        return None if self._known is None else self._known.endpoint

    async def headers(self) -> Mapping[str, str]:
        """A bearer header that is good for at least the margin."""
        tokens = self._known
        if tokens is None or not self._is_fresh(tokens):
            tokens = await self._newer_than(None)
        return _bearer(tokens)

    async def refresh(self, used: Mapping[str, str]) -> bool:
        """Take what another caller has renewed meanwhile, else renew."""
        await self._newer_than(used)
        return True

    @abstractmethod
    def _grants(self, saved: Tokens | None) -> Sequence[Mapping[str, str]]:
        """The forms to post, in the order to try them; a later one is tried only after `invalid_grant`."""

    def _endpoint_headers(self) -> Mapping[str, str]:
        return {}

    async def _newer_than(self, used: Mapping[str, str] | None) -> Tokens:
        """Fresh tokens other than `used`. Waiters of this process queue here, so that the lock is asked once."""
        async with self._one_here:
            if self._known is not None and self._serves(self._known, used):
                return self._known
            async with self._lock():
                saved = await self._store.load()
                if saved is None or not self._serves(saved, used):
                    saved = await self._renew(saved)
            self._known = saved
            return saved

    def _serves(self, tokens: Tokens, used: Mapping[str, str] | None) -> bool:
        return self._is_fresh(tokens) and _bearer(tokens) != used

    def _is_fresh(self, tokens: Tokens) -> bool:
        return tokens.expires_at - self._clock() > self._margin

    async def _renew(self, saved: Tokens | None) -> Tokens:
        """Ask the endpoint and commit; whoever committed first wins."""
        version = saved.version if saved else 0
        try:
            gained = await self._ask(saved)
        except AuthenticationFailed as error:
            elsewhere = await self._store.load()
            if elsewhere is not None and elsewhere.version != version and self._is_fresh(elsewhere):
                return elsewhere
            if error.code == INVALID_GRANT:
                raise AuthenticationFailed(error.message, code=NEEDS_REAUTH, status=error.status) from error
            raise
        stored = await self._store.save(version, gained) or await self._store.load()
        if stored is None or not self._is_fresh(stored):
            raise Unavailable(f"{self._what()}: another process saved older tokens; try again", effect=Effect.NONE)
        return stored

    async def _ask(self, saved: Tokens | None) -> Tokens:
        """Try the grants in order; the last refusal comes out."""
        refusal = AuthenticationFailed(f"{self._what()}: no refresh token is known; connect again", code=INVALID_GRANT)
        for form in self._grants(saved):
            try:
                return await self._post(form, saved)
            except AuthenticationFailed as error:
                if error.code != INVALID_GRANT:
                    raise
                refusal = error
        raise refusal

    async def _post(self, form: Mapping[str, str], saved: Tokens | None) -> Tokens:
        headers = {"accept": "application/json", "user-agent": "leadloop", **self._endpoint_headers()}
        request = build(self._client, self._what(), "POST", self._token_url, data=form, headers=headers, timeout=READ_TIMEOUT)
        reply = await exchange(self._client, request, what=self._what(), effect=Effect.NONE)
        if reply.status >= httpx.codes.BAD_REQUEST:
            raise self._refusal(reply)
        return self._tokens(reply, form.get("refresh_token") or (saved.refresh_token if saved else None))

    def _refusal(self, reply: Reply) -> AuthenticationFailed | RateLimited | Unavailable:
        answer = f"{self._what()}: answered {reply.status}: {vendor_message(reply)}"
        away = retry_after(reply, self._clock())
        if reply.status == httpx.codes.TOO_MANY_REQUESTS:
            return RateLimited(answer, retry_after=away, status=reply.status)
        if reply.status == httpx.codes.REQUEST_TIMEOUT or reply.status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return Unavailable(answer, effect=Effect.NONE, retry_after=away, status=reply.status)
        error = reply.body.get("error") if isinstance(reply.body, dict) else None
        code = error if error == INVALID_GRANT else vendor_code(reply)
        return AuthenticationFailed(f"{answer}; connect again", code=code, status=reply.status)

    def _tokens(self, reply: Reply, refresh_token: str | None) -> Tokens:
        body = reply.json_object()
        access_token = body.get("access_token")
        if not isinstance(access_token, str) or not access_token:
            raise UnexpectedReply(f"{self._what()}: no access_token in the reply", effect=Effect.NONE)
        rotated = body.get("refresh_token")
        return Tokens(
            access_token,
            self._clock() + self._lifetime(body.get("expires_in")),
            rotated if isinstance(rotated, str) and rotated else refresh_token,
            endpoint=self._endpoint_of(body),
        )

    def _endpoint_of(self, body: Mapping[str, object]) -> str | None:
        """The base URL that the reply names; what it named before where it is silent now."""
        named = None if self._endpoint_key is None else body.get(self._endpoint_key)
        return named.rstrip("/") if isinstance(named, str) and named else self.endpoint

    def _lifetime(self, expires_in: object) -> timedelta:
        try:
            lifetime = timedelta(seconds=int(expires_in)) if isinstance(expires_in, int | float | str) else None
        except (ValueError, OverflowError):
            lifetime = None
        # A token that lives no longer than the margin would be renewed for ever.
        return min(max(lifetime or self._default_lifetime, self._margin * 2), LONGEST_LIFETIME)

    def _what(self) -> str:
        return f"{self._vendor} token endpoint"


class OAuthRefresh(RenewedToken):
    """OAuth 2 refresh grant; a rotated refresh token replaces the one before.

    `refresh_token` is the configured one: used first, and again where the stored one is refused (the user reconnected).
    With `client_in_header` the client proves itself by Basic auth. `extra` goes into the form (scope, for example).
    """

    def __init__(  # noqa: PLR0913 each is a seam of its own
        self,
        client: httpx.AsyncClient,
        *,
        vendor: str,
        token_url: str,
        client_id: str,
        client_secret: str,
        refresh_token: str | None,
        store: TokenStore,
        lock: Lock,
        clock: Clock,
        extra: Mapping[str, str] | None = None,
        client_in_header: bool = False,
        margin: timedelta = MARGIN,
        default_lifetime: timedelta = DEFAULT_LIFETIME,
        endpoint_key: str | None = None,
    ) -> None:
        super().__init__(
            client,
            vendor=vendor,
            token_url=token_url,
            store=store,
            lock=lock,
            clock=clock,
            margin=margin,
            default_lifetime=default_lifetime,
            endpoint_key=endpoint_key,
        )
        self._client_id = client_id
        self._client_secret = client_secret
        self._configured = refresh_token
        self._extra = dict(extra or {})
        self._client_in_header = client_in_header

    def _grants(self, saved: Tokens | None) -> Sequence[Mapping[str, str]]:
        known = [saved.refresh_token if saved else None, self._configured]
        return [
            {"grant_type": "refresh_token", "refresh_token": token, **self._client_form(), **self._extra}
            for token in dict.fromkeys(known)
            if token
        ]

    def _client_form(self) -> Mapping[str, str]:
        return _client_form(self._client_id, self._client_secret, in_header=self._client_in_header)

    def _endpoint_headers(self) -> Mapping[str, str]:
        return _basic(self._client_id, self._client_secret) if self._client_in_header else {}


class ClientCredentials(RenewedToken):
    """OAuth 2 client credentials grant: asked again where a token runs out; no refresh token is involved."""

    def __init__(  # noqa: PLR0913 each is a seam of its own
        self,
        client: httpx.AsyncClient,
        *,
        vendor: str,
        token_url: str,
        client_id: str,
        client_secret: str,
        store: TokenStore,
        lock: Lock,
        clock: Clock,
        extra: Mapping[str, str] | None = None,
        default_lifetime: timedelta = DEFAULT_LIFETIME,
        endpoint_key: str | None = None,
    ) -> None:
        super().__init__(
            client,
            vendor=vendor,
            token_url=token_url,
            store=store,
            lock=lock,
            clock=clock,
            default_lifetime=default_lifetime,
            endpoint_key=endpoint_key,
        )
        self._form = {
            "grant_type": "client_credentials",
            **_client_form(client_id, client_secret, in_header=False),
            **(extra or {}),
        }

    def _grants(self, saved: Tokens | None) -> Sequence[Mapping[str, str]]:  # noqa: ARG002 the base's signature
        return [self._form]


class ServiceAccountJwt(RenewedToken):
    """JWT bearer grant, RS256: Google service accounts (`scope`), or Salesforce (`subject`, `lifetime` of 3 minutes)."""

    def __init__(  # noqa: PLR0913 each is a seam of its own
        self,
        client: httpx.AsyncClient,
        *,
        vendor: str,
        token_url: str,
        issuer: str,
        private_key: str,
        audience: str,
        store: TokenStore,
        lock: Lock,
        clock: Clock,
        scope: str | None = None,
        subject: str | None = None,
        key_id: str | None = None,
        lifetime: timedelta = timedelta(hours=1),
        default_lifetime: timedelta = DEFAULT_LIFETIME,
        endpoint_key: str | None = None,
    ) -> None:
        super().__init__(
            client,
            vendor=vendor,
            token_url=token_url,
            store=store,
            lock=lock,
            clock=clock,
            default_lifetime=default_lifetime,
            endpoint_key=endpoint_key,
        )
        claims = {"iss": issuer, "aud": audience, "scope": scope, "sub": subject}
        self._claims = {name: value for name, value in claims.items() if value}
        self._private_key = private_key
        self._key_id = key_id
        self._assertion_lifetime = lifetime

    def _grants(self, saved: Tokens | None) -> Sequence[Mapping[str, str]]:  # noqa: ARG002 the base's signature
        issued_at = self._clock() - CLOCK_SKEW
        times = {"iat": int(issued_at.timestamp()), "exp": int((issued_at + self._assertion_lifetime).timestamp())}
        try:
            assertion = jwt.encode(
                {**self._claims, **times},
                self._private_key,
                algorithm="RS256",
                headers={"kid": self._key_id} if self._key_id else None,
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise AuthenticationFailed(
                f"{self._what()}: the private key is no RSA key in PEM form", code="bad_private_key"
            ) from None
        return [{"grant_type": JWT_BEARER, "assertion": assertion}]


def _bearer(tokens: Tokens) -> Mapping[str, str]:
    return {"authorization": f"Bearer {tokens.access_token}"}


def _client_form(client_id: str, client_secret: str, *, in_header: bool) -> Mapping[str, str]:
    """A public client has no secret, and an empty one would be refused as wrong."""
    secret = {"client_secret": client_secret} if client_secret else {}
    return {} if in_header else {"client_id": client_id, **secret}


def _basic(client_id: str, client_secret: str) -> Mapping[str, str]:
    pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode("ascii")
    return {"authorization": f"Basic {pair}"}
