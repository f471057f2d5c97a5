"""One Microsoft Advertising account: offline conversions and their adjustments. Goals are made in provision.py."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import ClassVar

import httpx

from connectors.ads.microsoft import provision, spend
from connectors.ads.microsoft.api import Api
from connectors.ads.microsoft.check import check_account
from connectors.ads.microsoft.payload import LIMITS, build, build_adjustments, content_key
from connectors.ads.microsoft.refusals import failure_of, is_of_rows, is_stale_token, read_partial, read_refusal
from connectors.ads.microsoft.settings import (
    API,
    API_VERSION,
    CAMPAIGN_HOST,
    CUSTOMER_HOST,
    REPORTING_HOST,
    MicrosoftSettings,
)
from connectors.contract.conversions import Target, UploadRow
from connectors.contract.destination import DestinationLimits
from connectors.contract.findings import Finding
from connectors.contract.provisioning import PlannedTarget, WantedTarget
from connectors.contract.results import UploadResult
from connectors.contract.spend import SpendPage, SpendPending
from connectors.contract.tokens import TokenStore
from connectors.contract.versions import ApiVersion
from connectors.http.auth import Auth, Lock, OAuthRefresh, StaticToken
from connectors.http.client import Clock, Hooks, HttpClient, Sleep
from connectors.http.download import Downloads
from connectors.http.rate_limit import Rate, RateLimits
from connectors.upload.draft import Draft

__all__ = ["MicrosoftDestination", "MicrosoftSettings"]

VENDOR = "Microsoft"
SCOPE = "https://ads.microsoft.com/msads.manage offline_access"
# Numbers are not published; others start with two calls a second for a customer.
REQUESTS = Rate(120, timedelta(minutes=1))


def auth_from(settings: MicrosoftSettings, client: httpx.AsyncClient, tokens: TokenStore, lock: Lock, clock: Clock) -> Auth:
    """How the connection proves itself: a person's grant, whose refresh token rotates with each use."""
    if settings.access_token is not None:
        return StaticToken(settings.access_token)
    return OAuthRefresh(
        client,
        vendor=VENDOR,
        token_url=settings.token_url,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        refresh_token=settings.refresh_token,
        store=tokens,
        lock=lock,
        clock=clock,
        extra={"scope": SCOPE},
    )


class MicrosoftDestination:
    """Uploads conversions of one account, restates and retracts them. Microsoft knows no id of ours and tells no row's fate."""

    kind: ClassVar[str] = "microsoft"
    limits: ClassVar[DestinationLimits] = LIMITS
    content_step: ClassVar[timedelta] = timedelta(seconds=1)
    spend_days: ClassVar[int] = spend.MOST_DAYS

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: MicrosoftSettings,
        auth: Auth,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        limits = RateLimits({"general": REQUESTS}, clock, sleep)

        def of(host: str) -> HttpClient:
            return HttpClient(
                client,
                vendor=VENDOR,
                base_url=settings.host(host),
                auth=auth,
                classify=lambda reply: failure_of(reply, clock()),
                rate_limits=limits,
                hooks=hooks,
                clock=clock,
                sleep=sleep,
                is_stale_token=is_stale_token,
                is_readers=is_of_rows,
            )

        headers = {
            "DeveloperToken": settings.developer_token,
            "CustomerId": settings.customer_id,
            "CustomerAccountId": settings.account_id,
        }
        self._api = Api(of(CAMPAIGN_HOST), of(CUSTOMER_HOST), of(REPORTING_HOST), headers)
        self._downloads = Downloads(client, VENDOR)

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        MicrosoftSettings.from_mapping(settings)

    @classmethod
    def open(
        cls,
        settings: Mapping[str, str],
        http: httpx.AsyncClient,
        tokens: TokenStore,
        lock: Lock,
        clock: Clock,
        hooks: Hooks,
        sleep: Sleep,
    ) -> "MicrosoftDestination":
        """A connector from its text settings."""
        chosen = MicrosoftSettings.from_mapping(settings)
        return cls(http, chosen, auth_from(chosen, http, tokens, lock, clock), clock, hooks, sleep)

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """Ask for the person, the account and each goal; that rows are taken is proven by a real one only, and said so."""
        return await check_account(targets, self._settings, self._api)

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send conversions in one request (none at all where nothing valid is left) and say what became of each."""
        return await self._apply("/OfflineConversions/Apply", build(rows, self._settings, now), now)

    async def adjust(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send restatements, or retractions, in one request, and say what became of each."""
        return await self._apply("/OfflineConversionAdjustments/Apply", build_adjustments(rows, self._settings, now), now)

    def content_key(self, row: UploadRow) -> str:
        """Goal, click id or hashes, and second."""
        return content_key(row, self._settings)

    def api_versions(self) -> Sequence[ApiVersion]:
        """One version for all; Microsoft has named no last day of it (SOAP's end on 2027-01-31 is not ours)."""
        return [ApiVersion(API, API_VERSION)]

    async def spend(self, first: date, last: date, page: str | None = None) -> SpendPage | SpendPending:
        """One page of what campaigns cost, or how long to wait for the report."""
        return await spend.read_page(self._api, self._downloads, self._settings, first, last, page)

    async def plan(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
        """Which goals there are and which would be made or changed."""
        return await provision.plan(wanted, self._api)

    async def provision(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
        """Make the goals that are missing, mend those that would lose conversions."""
        return await provision.provision(wanted, self._api)

    async def _apply(self, path: str, draft: Draft, now: datetime) -> Sequence[UploadResult]:
        if not draft.rows:
            return draft.results([])
        reply = await self._api.send(path, draft.body)
        if reply.status >= HTTPStatus.BAD_REQUEST:
            return draft.results(read_refusal(reply, draft, now))
        return draft.results(read_partial(reply, draft, now))
